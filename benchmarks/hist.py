"""Compare training of scikit-learn's trees with a loss and with the built-in one."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from benchmarks.interleaved import ratios, table
from boostloss import FocalLoss, GHMLoss
from boostloss.hist import hist_loss


def data(n_rows: int, n_classes: int, seed: int = 0) -> tuple[Any, Any]:
    """Return twenty features with 10% positives, or with K classes of unequal size."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 20))
    score = X[:, :3].sum(axis=1) + rng.normal(0, 1, n_rows)
    ends = [0.9] if n_classes == 2 else np.linspace(0.5, 0.97, n_classes - 1)
    return X, np.searchsorted(np.quantile(score, ends), score)


def over_the_built_in(cases: list[tuple[int, int, int]], repeats: int) -> str:
    """Compare training time and cross-entropy's raw scores with ``loss="log_loss"``."""
    rows = []
    for n_rows, n_classes, rounds in cases:
        X, y = data(n_rows, n_classes)
        losses = {"built-in": "log_loss", "γ=0": FocalLoss(0), "focal γ=2": FocalLoss(2),
                  "GHM": GHMLoss()}  # fmt: skip
        arms = {name: partial(_fit, X, y, loss, rounds) for name, loss in losses.items()}
        found = ratios(arms, repeats)
        built_in, ours = (arms[name]().decision_function(X) for name in ("built-in", "γ=0"))
        difference = float(np.abs(built_in - ours).max())
        times = [found[name] for name in losses if name != "built-in"]
        rows.append([f"{n_rows:,} × 20", n_classes, rounds, *times, difference])
    header = ["rows × features", "classes", "rounds", "γ=0 / built-in", "focal γ=2 / built-in"]
    return table([*header, "GHM / built-in", "raw scores, γ=0 to built-in"], rows)


def whole(quick: bool) -> str:
    """Return the table, measured in one thread."""
    cases = [(2_000, 2, 3), (2_000, 3, 2)] if quick else [(20_000, 2, 100), (20_000, 5, 40)]
    with threadpool_limits(1):
        return over_the_built_in(cases, 1 if quick else 5)


def _fit(X: Any, y: Any, loss: Any, rounds: int) -> Any:
    given = loss if isinstance(loss, str) else hist_loss(loss)
    params = {"max_iter": rounds, "early_stopping": False}
    return HistGradientBoostingClassifier(loss=given, **params).fit(X, y)
