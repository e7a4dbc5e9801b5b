"""Refit the best loss on all rows, and write the model and the code that uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from boostloss.hist.sklearn_loss import plain
from boostloss.model_file import positive_of
from boostloss.report import training
from boostloss.report.scores import Comparison

SUFFIXES = {"xgboost": "json", "lightgbm": "txt", "hist": "joblib"}
"""Suffix of the file of the best model, by engine."""


def write_model(comparison: Comparison, folder: Path) -> tuple[str, Any]:
    """Refit the best loss on all rows for the folds' number of rounds. Return code and model."""
    name, rows, settings = comparison.best, comparison.rows, comparison.settings
    loss, params = training.resolved(comparison.losses[name], rows, settings)
    rounds = max(1, round(float(np.median(comparison.values(name, "rounds")))))
    model = training.train(settings.engine, loss, params, rows, rounds)
    suffix = SUFFIXES[settings.engine]
    if settings.engine == "hist":
        joblib.dump(plain(model.booster), folder / f"model.{suffix}")
    else:
        model.booster.save_model(folder / f"model.{suffix}")
    labels = comparison.labels.tolist()
    state: dict[str, Any] = {"labels": labels, "positive": positive_of(labels), "loss": None}
    if loss is not None:
        state["loss"] = training.fitted(loss, rows, model.raw(rows.X, rounds)).to_dict()
    (folder / "model_loss.json").write_text(json.dumps(state, default=str), encoding="utf-8")
    return _snippet(comparison, suffix, loss is not None), model.booster


def _snippet(comparison: Comparison, suffix: str, has_loss: bool) -> str:
    """Return code that loads the model and predicts."""
    labels = comparison.labels
    if comparison.settings.engine == "xgboost":
        load = ["import xgboost as xgb", "",
                f'booster = xgb.Booster(model_file="model.{suffix}")  # XGBoost alone',
                "data = xgb.DMatrix(X, enable_categorical=True)"]  # fmt: skip
        link, raw = "booster.predict(data)", "booster.predict(data, output_margin=True)"
    elif comparison.settings.engine == "hist":
        read = f'model = joblib.load("model.{suffix}")  # scikit-learn alone; a pickle: trust it'
        load = ["import joblib", "", read]
        link, raw = "model.predict_proba(X)", "model.decision_function(X)"
        link += "[:, 1]" if len(labels) == 2 else ""
    else:
        read = f'booster = lgb.Booster(model_file="model.{suffix}")  # LightGBM alone'
        load = ["import lightgbm as lgb", "", read]
        link, raw = "booster.predict(X)", "booster.predict(X, raw_score=True)"
    what = f"of {labels.tolist() if comparison.positive is None else comparison.positive}"
    of_other = comparison.positive is not None and comparison.rows.positive == 0
    other = f"1 - probability  # the model's own is that of {labels[1]}" if of_other else ""
    columns = [column for column in comparison.data.columns if column.inside]
    renamed = {column.name: column.inside for column in columns if column.name != column.inside}
    head = "\n".join([
        f'"""Probabilities {what}; X: a frame with the columns of the training file."""', "",
        "import pandas as pd", "",
        f"X = X[{[column.name for column in columns]!r}].copy()",
        *[column.code for column in columns if column.code],
        *([f"X = X.rename(columns={renamed!r})"] if renamed else []), "",
    ])  # fmt: skip
    if not has_loss:
        last = [f"probability = {other}"] if other else []
        return "\n".join([head, *load, f"probability = {link}", *last]) + "\n"
    undo = [
        "",
        "# calibrated probabilities undo the loss's weights",
        "import json",
        "from boostloss.losses import FittedLoss",
        "",
        'fitted = FittedLoss.from_dict(json.load(open("model_loss.json"))["loss"])',
        f"probability = fitted.posterior({raw})",
        *([f"probability = {other}"] if other else []),
    ]
    sign = "-" if other else ""
    return "\n".join([head, *load, f"ranking = {sign}{link}", *undo]) + "\n"
