"""scikit-learn's trees: losses over the built-in, and the three engines side by side."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, log_loss

from benchmarks.interleaved import ratios, table
from boostloss import FocalLoss, GHMLoss
from boostloss.hist import hist_loss

ENGINES = ("hist", "xgboost", "lightgbm")
LOSSES = ("cross_entropy", "balanced", "focal", "ghm")


def data(n_rows: int, n_classes: int, seed: int = 0) -> tuple[Any, Any]:
    """Twenty features; 10% positives, or K classes of unequal size."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 20))
    score = X[:, :3].sum(axis=1) + rng.normal(0, 1, n_rows)
    ends = [0.9] if n_classes == 2 else np.linspace(0.5, 0.97, n_classes - 1)
    return X, np.searchsorted(np.quantile(score, ends), score)


def over_the_built_in(cases: list[tuple[int, int, int]], repeats: int) -> str:
    """Training time over that of ``loss="log_loss"``, and the difference of cross-entropy's raw."""
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


def side_by_side(n_rows: int, rounds: int) -> str:
    """The same rows and losses through each engine, one thread: time, memory, results."""
    rows = []
    for loss in LOSSES:
        for engine in ENGINES:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.hist"]
            arguments = [engine, loss, str(n_rows), str(rounds)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            out = subprocess.run(
                [*command, *arguments], env=environment, check=True, capture_output=True, text=True
            ).stdout
            found = json.loads(out.splitlines()[-1])
            rows.append([engine, loss, *(found[name] for name in RESULTS)])
    return table(["engine", "loss", *RESULTS.values()], rows)


RESULTS = {
    "seconds": "seconds",
    "memory": "peak memory above the data, MB",
    "average_precision": "average precision",
    "log_loss": "log loss",
}


def whole(quick: bool) -> str:
    """Both tables."""
    cases = [(2_000, 2, 3), (2_000, 3, 2)] if quick else [(20_000, 2, 100), (20_000, 5, 40)]
    repeats, n_rows, rounds = (1, 2_000, 3) if quick else (5, 100_000, 100)
    return "\n".join([over_the_built_in(cases, repeats), side_by_side(n_rows, rounds)])


def _fit(X: Any, y: Any, loss: Any, rounds: int) -> Any:
    given = loss if isinstance(loss, str) else hist_loss(loss)
    params = {"max_iter": rounds, "early_stopping": False}
    return HistGradientBoostingClassifier(loss=given, **params).fit(X, y)


def _classifier(engine: str, loss: str, rounds: int) -> Any:
    import boostloss

    common = {"loss": loss, "learning_rate": 0.1}
    if engine == "xgboost":
        return boostloss.ImbalancedXGBClassifier(n_estimators=rounds, n_jobs=1, **common)
    if engine == "lightgbm":
        quiet = {"n_jobs": 1, "verbose": -1, "min_sum_hessian_in_leaf": 1.0}
        return boostloss.ImbalancedLGBMClassifier(n_estimators=rounds, **quiet, **common)
    return boostloss.ImbalancedHistGradientBoostingClassifier(
        max_iter=rounds, early_stopping=False, **common
    )


def _measure(engine: str, loss: str, n_rows: int, rounds: int) -> dict[str, float]:
    X, y = data(n_rows, 2)
    X_test, y_test = data(n_rows // 2, 2, seed=1)
    _classifier(engine, loss, 2).fit(X[:1000], y[:1000])  # compile, import
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    model = _classifier(engine, loss, rounds).fit(X, y)
    seconds = time.perf_counter() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    p = model.predict_proba(X_test)[:, 1]
    return {
        "seconds": seconds,
        "memory": memory,
        "average_precision": float(average_precision_score(y_test, p)),
        "log_loss": float(log_loss(y_test, p)),
    }


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
