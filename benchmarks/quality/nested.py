"""Run nested cross-validation of one method, whose tuner never sees the outer test rows."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from benchmarks.quality.arms import ARMS, Arm, trials
from benchmarks.quality.engines import ENGINES
from benchmarks.quality.sets import Set, load
from boostloss.report import scores, training
from boostloss.report.training import CHECK_EVERY, EarlyStopping, Rows

OUTER, INNER, ROUNDS, PATIENCE = 4, 3, 300, 6
FLIPPED_SHARE = 0.02
CRITERIA = ("average_precision", "log_loss")


class Cell(NamedTuple):
    """The method, data and seed of one result."""

    set: str
    seed: int
    engine: str
    arm: str
    flipped: bool


class Best(NamedTuple):
    """The choice of the tuner by one criterion."""

    score: float
    trial: dict[str, Any]
    rounds: int
    threshold: scores.Threshold


@lru_cache(maxsize=2)
def _load(name: str, folder: Path | None, max_rows: int) -> Set:
    return load(name, folder, max_rows)


def evaluate(cell: Cell, folder: Path | None, max_rows: int, n_trials: int) -> list[dict[str, Any]]:
    """Return one row of metrics for each criterion used for tuning."""
    data = _load(cell.set, folder, max_rows)
    train_rows, test_rows = next(_folds(data, OUTER, cell.seed))
    train, test = data.rows(train_rows), data.rows(test_rows)
    if cell.flipped:
        train = _with_flips(train, cell.seed)
    start = time.perf_counter()
    best = _tune(cell, train, n_trials)
    tuning = time.perf_counter() - start
    rows = []
    for criterion, choice in best.items():
        figures = _test(cell, choice, train, test)
        shared = {"tuned_for": criterion, "tuning_seconds": tuning}
        rows.append({**cell._asdict(), **shared, **figures})
    return rows


def _folds(data: Set, n_folds: int, seed: int) -> Any:
    if data.groups is None:
        return StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(data.X, data.y)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return splitter.split(data.X, data.y, data.groups)


def _with_flips(data: Set, seed: int) -> Set:
    """Change the labels of a few rows to another class."""
    rng = np.random.default_rng(seed)
    y = data.y.copy()
    rows = rng.choice(len(y), round(FLIPPED_SHARE * len(y)), replace=False)
    y[rows] = (y[rows] + rng.integers(1, data.n_classes, len(rows))) % data.n_classes
    return data._replace(y=y)


def _tune(cell: Cell, train: Set, n_trials: int) -> dict[str, Best]:
    folds = [(train.rows(a), train.rows(b)) for a, b in _folds(train, INNER, cell.seed)]
    best: dict[str, Best] = {}
    for trial in trials(n_trials, cell.seed):
        fits = [_fit(cell, trial, inner, ROUNDS, valid) for inner, valid in folds]
        for name in CRITERIA:
            # folds may stop at different rounds; only rounds of all folds count
            length = min(len(stopping.curves[name]) for _, _, stopping in fits)
            mean = np.mean([stopping.curves[name][:length] for _, _, stopping in fits], axis=0)
            score, rounds = float(mean.max()), (int(mean.argmax()) + 1) * CHECK_EVERY
            if name not in best or score > best[name].score:
                held_out = [
                    _posterior(loss, model, inner, valid, rounds)
                    for (loss, model, _), (inner, valid) in zip(fits, folds, strict=True)
                ]
                y = np.concatenate([valid.y for _, valid in folds])
                threshold = scores.Threshold(y, np.concatenate(held_out))
                best[name] = Best(score, trial, rounds, threshold)
    return best


def _rows(data: Set, balanced: bool = False) -> Rows:
    weight = None
    if balanced:
        counts = np.bincount(data.y)
        weight = (len(data.y) / (len(counts) * counts))[data.y]
    return Rows(data.X, data.y, weight, data.n_classes)


def _fit(
    cell: Cell, trial: dict[str, Any], data: Set, rounds: int, valid: Set | None
) -> tuple[Any, Any, Any]:
    arm: Arm = ARMS[cell.arm]
    loss = arm.make_loss(trial)
    if loss is not None:
        loss = loss.fit(data.y, n_classes=data.n_classes).loss
    stopping = None if valid is None else EarlyStopping(_rows(valid), CRITERIA, PATIENCE)
    model = training.train(
        cell.engine, loss, ENGINES[cell.engine](trial, cell.seed), _rows(data, arm.balanced_rows),
        rounds, stopping,
    )  # fmt: skip
    return loss, model, stopping


def _posterior(loss: Any, model: Any, train: Set, other: Set, rounds: int) -> Any:
    raw = model.raw(other.X, rounds)
    return training.posterior(loss, _rows(train), model.raw(train.X, rounds), raw)


def _test(cell: Cell, choice: Best, train: Set, test: Set) -> dict[str, Any]:
    start = time.perf_counter()
    loss, model, _ = _fit(cell, choice.trial, train, choice.rounds, None)
    seconds = time.perf_counter() - start
    raw = model.raw(test.X, choice.rounds)
    probability = _posterior(loss, model, train, test, choice.rounds)
    # the default decision: raw score above 0, or the largest
    default = (raw > 0).astype(int) if raw.ndim == 1 else raw.argmax(axis=1)
    tuned = choice.threshold.decide(probability)
    return {
        **{metric: score(test.y, probability) for metric, score in scores.METRICS.items()},
        "f1_default": scores.f1(test.y, default, test.n_classes),
        "f1_tuned": scores.f1(test.y, tuned, test.n_classes),
        "balanced_accuracy_default": float(balanced_accuracy_score(test.y, default)),
        "balanced_accuracy_tuned": float(balanced_accuracy_score(test.y, tuned)),
        "trees": choice.rounds,
        "seconds": seconds,
        "trial": choice.trial,
    }
