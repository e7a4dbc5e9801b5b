"""Which features the written model uses: total gain, and mean absolute SHAP values."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses.validation import Array
from boostloss.optional import require
from boostloss.report.record import Section
from boostloss.report.scores import Comparison

MOST_FEATURES, MOST_ROWS = 20, 2000


def section(comparison: Comparison, booster: Any) -> Section:
    """The features of the highest mean absolute SHAP value, by the names in the file."""
    rows, engine = comparison.rows, comparison.settings.engine
    n_rows = min(len(rows.y), MOST_ROWS)
    index = np.random.default_rng(comparison.settings.seed).permutation(len(rows.y))[:n_rows]
    X = rows.part(np.sort(index)).X
    gain, shap = (_xgboost if engine == "xgboost" else _lightgbm)(booster, X)
    shap = np.abs(shap.reshape(n_rows, -1, X.shape[1] + 1)[:, :, :-1]).mean(axis=(0, 1))
    original = {column.inside: column.name for column in comparison.data.columns}
    names = [original.get(str(name), str(name)) for name in getattr(X, "columns", range(len(gain)))]
    total = max(gain.sum(), np.finfo(float).tiny)
    order = np.argsort(-shap, kind="stable")[:MOST_FEATURES]
    table = [(names[i], f"{shap[i]:.4f}", f"{gain[i] / total:.1%}") for i in order]
    note = (f"Of the model that is written. SHAP values of {n_rows:,} rows it was trained on are "
            "in units of the raw score; they sum to it.")  # fmt: skip
    return Section("Features", note, ("feature", "mean |SHAP|", "share of the gain"), table)


def _xgboost(booster: Any, X: Any) -> tuple[Array, Array]:
    matrix = require("xgboost", "xgboost").DMatrix(X, enable_categorical=True)
    scores = booster.get_score(importance_type="total_gain")
    names = booster.feature_names or [f"f{i}" for i in range(X.shape[1])]
    gain = np.array([float(scores.get(name, 0.0)) for name in names])
    return gain, np.asarray(booster.predict(matrix, pred_contribs=True), np.float64)


def _lightgbm(booster: Any, X: Any) -> tuple[Array, Array]:
    gain = np.asarray(booster.feature_importance("gain"), np.float64)
    return gain, np.asarray(booster.predict(X, pred_contrib=True), np.float64)
