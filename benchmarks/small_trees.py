"""Compare parameters that protect scikit-learn's trees from overfitting on small data."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from benchmarks.interleaved import table
from boostloss import FocalLoss, ImbalancedHistGradientBoostingClassifier, ImbalancedXGBClassifier

PARAMETERS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "`l2_regularization=1`": {"l2_regularization": 1.0},
    "`l2_regularization=10`": {"l2_regularization": 10.0},
    "`min_samples_leaf=50`": {"min_samples_leaf": 50},
    "`max_leaf_nodes=4`": {"max_leaf_nodes": 4},
    "`learning_rate=0.03`": {"learning_rate": 0.03},
    "`early_stopping=True`": {"early_stopping": True, "random_state": 0},
}
LOSSES = {"cross-entropy": "cross_entropy", "focal": FocalLoss(gamma=2)}


def data(n_rows: int, seed: int) -> tuple[Any, Any]:
    """Return ten features and 7% positives."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 10))
    log_odds = 1.2 * X[:, 0] + X[:, 1] + 0.8 * X[:, 2] * X[:, 3] - 3.6
    return X, (rng.random(n_rows) < 1 / (1 + np.exp(-log_odds))).astype(int)


def log_losses(model: Any, n_sets: int, n_test: int, n_rows: int = 500) -> float:
    """Return the mean log loss over the sets, each with its own test rows."""
    found = []
    for seed in range(n_sets):
        X, y = data(n_rows + n_test, seed)
        model.fit(X[:n_rows], y[:n_rows])
        p = model.predict_proba(X[n_rows:])
        found.append(log_loss(y[n_rows:], p))
    return float(np.mean(found))


def whole(quick: bool) -> str:
    """Return the table."""
    n_sets, n_test, rounds = (1, 500, 5) if quick else (10, 10_000, 60)
    rows = []
    with threadpool_limits(1):
        for name, params in PARAMETERS.items():
            models = [
                ImbalancedHistGradientBoostingClassifier(loss=loss, max_iter=rounds, **params)
                for loss in LOSSES.values()
            ]
            rows.append([name, *(log_losses(model, n_sets, n_test) for model in models)])
        models = [
            ImbalancedXGBClassifier(loss=loss, n_estimators=rounds, learning_rate=0.1, n_jobs=1)
            for loss in LOSSES.values()
        ]
        default = "XGBoost, `min_child_weight=1` (its default), `learning_rate=0.1`"
        rows.append([default, *(log_losses(model, n_sets, n_test) for model in models)])
    return table(["", *(f"log loss, {name}" for name in LOSSES)], rows)
