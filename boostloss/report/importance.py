"""Show which features the model uses, by total gain and mean absolute SHAP values."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from boostloss.losses.validation import Array
from boostloss.optional import require
from boostloss.report.record import Section
from boostloss.report.scores import Comparison
from boostloss.report.training import Rows

MOST_FEATURES, MOST_ROWS = 20, 2000


def section(comparison: Comparison, booster: Any) -> Section:
    """List the features with the highest mean absolute SHAP values, by their names in the file."""
    engine = comparison.settings.engine
    if engine == "hist":
        return _by_permutation(comparison, booster)
    X = _some_rows(comparison).X
    n_rows = X.shape[0]
    gain, shap = (_xgboost if engine == "xgboost" else _lightgbm)(booster, X)
    shap = np.abs(shap.reshape(n_rows, -1, X.shape[1] + 1)[:, :, :-1]).mean(axis=(0, 1))
    names = _names(comparison, X)
    total = max(gain.sum(), np.finfo(float).tiny)
    order = np.argsort(-shap, kind="stable")[:MOST_FEATURES]
    table = [(names[i], f"{shap[i]:.4f}", f"{gain[i] / total:.1%}") for i in order]
    note = (f"Of the model that is written. SHAP values of {n_rows:,} rows it was trained on are "
            "in units of the raw score; they sum to it.")  # fmt: skip
    return Section("Features", note, ("feature", "mean |SHAP|", "share of the gain"), table)


def _by_permutation(comparison: Comparison, model: Any) -> Section:
    """List features by the loss of ROC AUC if shuffled, as scikit-learn's trees have no gain."""
    rows = _some_rows(comparison)
    found = permutation_importance(
        model, rows.X, rows.y, scoring="roc_auc" if rows.n_classes == 2 else "roc_auc_ovr",
        random_state=comparison.settings.seed,
    )  # fmt: skip
    names, mean, spread = _names(comparison, rows.X), found.importances_mean, found.importances_std
    order = np.argsort(-mean, kind="stable")[:MOST_FEATURES]
    table = [(names[i], f"{mean[i]:.4f}", f"{spread[i]:.4f}") for i in order]
    note = (f"Of the model that is written: the loss of ROC AUC if the feature is shuffled among "
            f"{len(rows.y):,} rows it was trained on.")  # fmt: skip
    return Section("Features", note, ("feature", "loss of ROC AUC", "standard deviation"), table)


def _some_rows(comparison: Comparison) -> Rows:
    rows = comparison.rows
    if len(rows.y) <= MOST_ROWS:
        return rows
    learn = np.arange(len(rows.y))
    index, _ = train_test_split(
        learn, train_size=MOST_ROWS, stratify=rows.y, random_state=comparison.settings.seed
    )
    return rows.part(np.sort(index))


def _names(comparison: Comparison, X: Any) -> list[str]:
    """Return the names in the file, or the numbers of an array's columns."""
    original = {column.inside: column.name for column in comparison.data.columns}
    return [original.get(str(name), str(name)) for name in getattr(X, "columns", range(X.shape[1]))]


def _xgboost(booster: Any, X: Any) -> tuple[Array, Array]:
    matrix = require("xgboost", "xgboost").DMatrix(X, enable_categorical=True)
    scores = booster.get_score(importance_type="total_gain")
    names = booster.feature_names or [f"f{i}" for i in range(X.shape[1])]
    gain = np.array([float(scores.get(name, 0.0)) for name in names])
    return gain, np.asarray(booster.predict(matrix, pred_contribs=True), np.float64)


def _lightgbm(booster: Any, X: Any) -> tuple[Array, Array]:
    gain = np.asarray(booster.feature_importance("gain"), np.float64)
    return gain, np.asarray(booster.predict(X, pred_contrib=True), np.float64)
