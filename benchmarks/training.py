"""Compare training with the built-in objective, boostloss's, and stored gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb

import boostloss.lightgbm
import boostloss.xgboost
from benchmarks.interleaved import seconds, table
from boostloss import CrossEntropy
from boostloss.objectives import Objective

_call = Objective.__call__
inside: list[float] = []
"""Seconds of each call of boostloss's objective in the last training."""
kept: list[Any] = []
"""Results of the objective, to be returned again."""


def _timed(self: Objective, *arguments: Any, **keywords: Any) -> Any:
    start = time.perf_counter()
    result = _call(self, *arguments, **keywords)
    inside.append(time.perf_counter() - start)
    return result


def _kept(self: Objective, *arguments: Any, **keywords: Any) -> Any:
    made = _call(self, *arguments, **keywords)
    kept.append(tuple(array.copy() for array in made))  # a run writes to the same arrays again
    return made


def make(n_rows: int, n_classes: int) -> tuple[Any, Any]:
    """Return 20 features, five of which determine the classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 20)).astype(np.float32)
    score = X[:, :5].sum(axis=1) + rng.normal(0, 2, n_rows)
    shares = [0.95] if n_classes == 2 else [0.6, 0.8, 0.9, 0.97]
    return X, np.searchsorted(np.quantile(score, shares), score).astype(np.float32)


def xgboost_arms(X: Any, y: Any, n_classes: int, rounds: int) -> dict[str, Callable[[], Any]]:
    data = xgb.QuantileDMatrix(X, y)
    params: dict[str, Any] = {"max_depth": 6, "eta": 0.1, "objective": "binary:logistic"}
    if n_classes > 2:
        params |= {"objective": "multi:softprob", "num_class": n_classes}
    loss = CrossEntropy()
    start = boostloss.xgboost.train(params, data, 1, loss=loss).save_config()
    params["base_score"] = _base_score(start)
    none = {"custom_metric": lambda *_: ("none", 0.0)}

    def stored() -> Any:
        rows = iter(kept)
        return xgb.train(params, data, rounds, obj=lambda *_: next(rows))

    return {
        "built-in": lambda: xgb.train(params, data, rounds),
        "ours": lambda: boostloss.xgboost.train(params, data, rounds, loss=loss, **none),
        "stored": stored,
    }


def _base_score(config: str) -> Any:
    import json

    return json.loads(config)["learner"]["learner_model_param"]["base_score"]


def lightgbm_arms(X: Any, y: Any, n_classes: int, rounds: int) -> dict[str, Callable[[], Any]]:
    params: dict[str, Any] = {"num_leaves": 63, "learning_rate": 0.1, "verbose": -1,
                              "num_threads": 2}  # fmt: skip
    data = lgb.Dataset(X, y, params=params).construct()
    several = {"num_class": n_classes} if n_classes > 2 else {}
    loss = CrossEntropy()
    name = "multiclass" if several else "binary"
    share = np.bincount(y.astype(int)) / len(y)
    start = np.log(share) if several else np.log(share[1:] / share[:1])
    begun = lgb.Dataset(X, y, params=params, init_score=np.repeat(start, len(y))).construct()

    def stored() -> Any:
        rows = iter(kept)
        return lgb.train({**params, **several, "objective": lambda *_: next(rows)}, begun, rounds)

    return {
        "built-in": lambda: lgb.train({**params, **several, "objective": name}, data, rounds),
        # a user's metric forces the callable; without one the built-in objective would train
        "ours": lambda: boostloss.lightgbm.train({**params, "metric": "None"}, data, rounds,
                                                 loss=loss, feval=lambda *_: ("none", 0.0, False)),
        "stored": stored,
    }  # fmt: skip


def _leaves(booster: Any) -> list[int]:
    if isinstance(booster, lgb.Booster):
        return [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]
    return booster.trees_to_dataframe().groupby("Tree").size().tolist()


def whole(cases: list[tuple[int, int, int]], pairs: int) -> str:
    """Return times relative to the built-in objective. ``cases`` are rows, classes, rounds."""
    rows = []
    for n_rows, n_classes, rounds in cases:
        X, y = make(n_rows, n_classes)
        for engine, arms_of in (("XGBoost", xgboost_arms), ("LightGBM", lightgbm_arms)):
            arms = arms_of(X, y, n_classes, rounds)
            shares = []
            kept.clear()
            try:
                Objective.__call__ = _kept  # type: ignore[method-assign]
                ours = arms["ours"]()
                same = _leaves(ours) == _leaves(arms["built-in"]())
                Objective.__call__ = _timed  # type: ignore[method-assign]
                times = []
                for _ in range(pairs):
                    inside.clear()
                    times.append([seconds(arm) for arm in arms.values()])
                    shares.append(sum(inside) / times[-1][1])
            finally:
                Objective.__call__ = _call  # type: ignore[method-assign]
            ratio = np.median(np.array(times) / np.array(times)[:, :1], axis=0)
            rows.append([f"{n_rows:,} × 20", n_classes, rounds, engine,
                         float(ratio[1]), float(ratio[2]), f"{np.median(shares):.1%}",
                         "yes" if same else "no"])  # fmt: skip
    header = ["rows × features", "classes", "rounds", "engine", "ours / built-in",
              "stored gradients / built-in", "inside our callable", "equal trees"]  # fmt: skip
    return table(header, rows)
