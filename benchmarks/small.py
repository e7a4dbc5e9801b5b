"""Measure small and medium data: the callable, fitting, evaluation and predicting one row."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from sklearn.utils.class_weight import compute_sample_weight

from benchmarks.endurance import mebibytes
from benchmarks.interleaved import ratios, table
from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
    objective,
    posterior_log_loss,
)

LOSSES = {"cross-entropy": CrossEntropy(), "focal γ=2": FocalLoss(2), "GHM": GHMLoss()}
NAMED = {
    "cross-entropy": "cross_entropy",
    "balanced": "balanced",
    "focal γ=2": "focal",
    "GHM": "ghm",
}
CLASSIFIERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "XGBoost": (ImbalancedXGBClassifier, xgb.XGBClassifier, {}),
    "LightGBM": (ImbalancedLGBMClassifier, lgb.LGBMClassifier, {"verbose": -1}),
}


def data(n_rows: int) -> tuple[Any, Any]:
    """Return twenty features, and labels with 10% positives."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 20)).astype(np.float32)
    score = X[:, :3].sum(axis=1) + rng.normal(0, 1, n_rows)
    return X, (score > np.quantile(score, 0.9)).astype(int)


def callables(n_rows: int, rounds: int, threads: int = 1) -> str:
    """Measure microseconds of one call of the objective, and of what the engine does around it."""
    X, y = data(n_rows)
    rows = []
    for name, loss in LOSSES.items():
        ours, predict = _in_xgboost(objective(loss), xgb.DMatrix(X, y), rounds, threads)
        rows.append([name, "XGBoost", ours * 1e6, "its own predict", predict * 1e6, ours / predict])
    for name, loss in LOSSES.items():
        seconds = []
        quiet = {"num_threads": threads, "verbose": -1}
        timed = _timed(objective(loss), seconds)
        lgb.train({**quiet, "objective": timed}, lgb.Dataset(X, y), rounds)
        own = lgb.Booster({**quiet, "objective": "binary"}, lgb.Dataset(X, y))
        round_ = _median(own.update, rounds)
        ours = float(np.median(seconds))
        rows.append([name, "LightGBM", ours * 1e6, "a built-in round", round_ * 1e6, ours / round_])
    header = [
        f"{n_rows:,} rows, {_said(threads)}",
        "engine",
        "our callable, µs",
        "beside",
        "µs",
        "ratio",
    ]
    return table(header, rows)


def _in_xgboost(callable_: Any, matrix: Any, rounds: int, threads: int) -> tuple[float, float]:
    """Return median seconds of a callable, and of the ``predict`` that XGBoost calls before it.

    Both are timed in the same rounds of a training. Growing trees removes the data of both from
    the cache.
    """
    params = {"nthread": threads, "max_depth": 3, "objective": "binary:logistic"}
    booster = xgb.Booster(params, [matrix])
    ours: list[float] = []
    predict: list[float] = []
    booster.predict = _timed(booster.predict, predict)  # type: ignore[method-assign]
    timed = _timed(callable_, ours)
    for round_ in range(rounds):
        booster.update(matrix, round_, fobj=timed)
    return float(np.median(ours)), float(np.median(predict))


def training(n_rows: int, rounds: int, repeats: int, threads: int = 1) -> str:
    """Compare ``xgb.train`` with one whose objective returns precomputed arrays."""
    X, y = data(n_rows)
    matrix = xgb.DMatrix(X, y)
    params = {"nthread": threads, "max_depth": 6, "objective": "binary:logistic"}
    rows = []
    for name, loss in LOSSES.items():
        stored: list[Any] = []
        xgb.train(params, matrix, rounds, obj=_kept(objective(loss), stored))
        arms = {
            "stored": lambda stored=stored: xgb.train(
                params, matrix, rounds, obj=_replayed(iter(stored))
            ),
            "ours": lambda loss=loss: xgb.train(params, matrix, rounds, obj=objective(loss)),
        }
        rows.append([name, ratios(arms, repeats)["ours"]])
    what = f"xgb.train, {rounds} rounds, {n_rows:,} rows, {_said(threads)}: ours / stored arrays"
    return table(["loss", what], rows)


def _kept(function: Callable[..., Any], results: list[Any]) -> Callable[..., Any]:
    def kept(first: Any, second: Any) -> Any:
        results.append(function(first, second))
        return results[-1]

    return kept


def _replayed(results: Any) -> Callable[..., Any]:
    return lambda first, second: next(results)


def many(n_models: int, n_rows: int) -> str:
    """Measure time and memory of classifiers created one after another, as in a search."""
    X, y = data(n_rows)
    rows = []
    for engine, (ours, parent, quiet) in CLASSIFIERS.items():
        common = {"n_estimators": 20, "max_depth": 3, "n_jobs": 1, **quiet}
        arms: dict[str, Any] = {"parent": partial(parent, **common)}
        arms |= {name: partial(ours, loss=loss, **common) for name, loss in NAMED.items()}
        for name, make in arms.items():
            make().fit(X, y)  # compile and fill caches
            before, start = mebibytes(), time.perf_counter()
            for _ in range(n_models):
                make().fit(X, y)
            each = (time.perf_counter() - start) / n_models
            rows.append([engine, name, each * 1e3, mebibytes() - before])
    header = [f"{n_models:,} classifiers of {n_rows} rows", "loss", "ms each", "growth, MiB"]
    return table(header, rows)


def fitting(sizes: list[int], repeats: int, threads: int = 1) -> str:
    """Compare fitting a classifier with its parent class, with and without an evaluation set.

    Balanced class weights grow larger trees. They are compared with the parent with the same
    weights.
    """
    rows = []
    for n_rows in sizes:
        X, y = data(n_rows)
        other = data(n_rows)
        for engine, (ours, parent, quiet) in CLASSIFIERS.items():
            common = {"n_estimators": 50, "n_jobs": threads, **quiet}
            weights = _same_weights(engine, y)
            for judged in (False, True):
                keywords = {"eval_set": [other]} if judged else {}
                if judged and engine == "XGBoost":
                    keywords["verbose"] = False  # type: ignore[assignment]
                fit = partial(_fit, X, y, keywords, common)
                arms = {"parent": partial(fit, parent)}
                arms |= {name: partial(fit, ours, loss=loss) for name, loss in NAMED.items()}
                arms["weighted"] = partial(
                    _fit, X, y, keywords | weights[0], common | weights[1], parent
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # LightGBM warns about eval_set
                    found = ratios(arms, repeats)
                what = "with evaluation" if judged else "fit"
                found["weighted"] = found["balanced"] / found["weighted"]
                rows.append(
                    [f"{n_rows:,}", engine, what, *(found[n] for n in (*NAMED, "weighted"))]
                )
    said = ["balanced / parent's with weights"]
    return table([f"rows, {_said(threads)}", "engine", "time / parent's", *NAMED, *said], rows)


def serving(repeats: int) -> str:
    """Compare the posterior's log loss with the gradient, and time ``predict_proba`` of one row."""
    rows = []
    X, y = data(20_000)
    raw, labels = np.random.default_rng(1).normal(-2, 2, len(y)), y.astype(np.float32)
    for name, loss in LOSSES.items():
        arms: dict[str, Callable[[], Any]] = {
            "gradient": partial(loss.gradient_hessian, labels, raw),
            "metric": partial(posterior_log_loss(loss), labels, raw),
        }
        ratio = ratios(arms, repeats)["metric"]
        rows.append([name, "posterior_log_loss / gradient, 20,000 rows", ratio])
    X, y = data(2_000)
    three = np.searchsorted(np.quantile(X[:, 0], [0.6, 0.9]), X[:, 0])
    for engine, (ours, parent, quiet) in CLASSIFIERS.items():
        for target, classes in ((y, 2), (three, 3)):
            common = {"n_estimators": 20, "n_jobs": 1, **quiet}
            fitted = parent(**common).fit(X, target), ours(loss="focal", **common).fit(X, target)
            arms = {str(k): partial(_one_row, model, X[:1]) for k, model in enumerate(fitted)}
            what = f"predict_proba of one row / {engine}'s, {classes} classes"
            rows.append(["focal γ=2", what, ratios(arms, repeats)["1"]])
    return table(["loss", "what", "ratio"], rows)


def whole(quick: bool) -> str:
    """Return all tables."""
    if quick:
        parts = callables(500, 5), training(500, 5, 1), fitting([500], 1), serving(1), many(3, 100)
    else:
        parts = (
            callables(2_000, 300), training(2_000, 100, 15), fitting([2_000, 20_000], 9),
            callables(2_000, 300, 2), training(2_000, 100, 15, 2), fitting([2_000, 20_000], 9, 2),
            serving(15), many(500, 500),
        )  # fmt: skip
    return "\n".join(parts)


def _said(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _same_weights(engine: str, y: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arguments of ``fit`` and parameters that give the parent balanced class weights."""
    per_row = compute_sample_weight("balanced", y)
    if engine == "LightGBM":
        return {"sample_weight": per_row}, {}
    low, high = per_row[y == 0][0], per_row[y == 1][0]
    scaled = {"reg_lambda": 1 / low, "min_child_weight": 1 / low}
    return {}, {"scale_pos_weight": high / low, **scaled}


def _fit(X: Any, y: Any, keywords: Any, params: Any, kind: Any, **own: Any) -> Any:
    return kind(**params, **own).fit(X, y, **keywords)


def _one_row(model: Any, row: Any) -> None:
    for _ in range(50):
        model.predict_proba(row)


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **keywords)
        seconds.append(time.perf_counter() - start)
        return result

    return timed


def _median(function: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))
