"""Run the speed benchmark: print Markdown tables and write them to a directory."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from benchmarks import (
    engines,
    hist,
    kernels,
    others,
    recording,
    small,
    small_trees,
    start,
    training,
)


def sections(quick: bool, output: Path) -> dict[str, Callable[[], str]]:
    """Return the name and function of each table. ``quick`` is for the tests."""
    n, repeats = (5_000, 3) if quick else (1_000_000, 15)
    sizes = [1_000, 5_000] if quick else [10_000, 100_000, 1_000_000, 3_000_000, 10_000_000]
    cases = [(20_000, 2, 200), (20_000, 5, 200), (1_000_000, 2, 20), (1_000_000, 5, 10)]
    cases = [(2_000, 2, 3), (2_000, 5, 2)] if quick else cases
    return {
        "small": lambda: small.whole(quick),
        "kernels": lambda: kernels.against_exp(n, repeats),
        "rows": lambda: kernels.by_rows(sizes, 3 if quick else 9, output / "rows.png"),
        "memory": lambda: kernels.memory(n if quick else 4 * n),
        "start": lambda: start.cold_start(1 if quick else 5, not quick),
        "recorder": lambda: recording.share_of_training(cases, 1 if quick else 5),
        "training": lambda: training.whole(cases, 1 if quick else 7),
        "hist": lambda: hist.whole(quick),
        "small_trees": lambda: small_trees.whole(quick),
        "engines": lambda: engines.whole(quick),
        "others": lambda: others.side_by_side(n, 2 if quick else 20, repeats),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the requested sections."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(sections(True, Path()))
    parser.add_argument("--only", nargs="*", help=f"sections to run, of {names}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, numba {numba.__version__}")
    for name, make_table in sections(options.quick, options.output).items():
        if options.only and name not in options.only:
            continue
        text = make_table()
        print(f"\n## {name}\n\n{text}", flush=True)
        (options.output / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
