"""Measure the share of a training that a recorder takes."""

from __future__ import annotations

import time
from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb

import boostloss.lightgbm
import boostloss.xgboost
from benchmarks.interleaved import seconds, table
from benchmarks.training import make
from boostloss import FocalLoss, Recorder


class _Timed(Recorder):
    spent = 0.0

    def see(self, *arguments: Any) -> None:
        start = time.perf_counter()
        super().see(*arguments)
        self.spent += time.perf_counter() - start


def share_of_training(cases: list[tuple[int, int, int]], repeats: int) -> str:
    """``cases`` are rows, classes, rounds."""
    rows = []
    for n_rows, n_classes, rounds in cases:
        X, y = make(n_rows, n_classes)
        for engine in ("XGBoost", "LightGBM"):
            train = _xgboost(X, y, rounds) if engine == "XGBoost" else _lightgbm(X, y, rounds)
            train(_Timed())
            shares = []
            for _ in range(repeats):
                recorder = _Timed()
                whole = seconds(lambda r=recorder, f=train: f(r))
                shares.append(recorder.spent / whole)
            rows.append([f"{n_rows:,} × 20", n_classes, rounds, engine, f"{np.median(shares):.1%}"])
    return table(["rows × features", "classes", "rounds", "engine", "inside the recorder"], rows)


def _xgboost(X: Any, y: Any, rounds: int) -> Any:
    data = xgb.QuantileDMatrix(X, y)
    params = {"max_depth": 6, "eta": 0.1}
    none = {"custom_metric": lambda *_: ("none", 0.0)}
    return lambda recorder: boostloss.xgboost.train(
        params, data, rounds, loss=FocalLoss(2), recorder=recorder, **none
    )


def _lightgbm(X: Any, y: Any, rounds: int) -> Any:
    params = {"num_leaves": 63, "learning_rate": 0.1, "verbose": -1, "metric": "None"}
    data = lgb.Dataset(X, y, params=params).construct()
    return lambda recorder: boostloss.lightgbm.train(
        params, data, rounds, loss=FocalLoss(2), recorder=recorder
    )
