"""Measure import, first gradient and first fit in a new process, with and without a cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.interleaved import table

IMPORT = """
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""
IMPORTS = (
    "import boostloss",
    "from boostloss import ImbalancedHistGradientBoostingClassifier",
    "from sklearn.ensemble import HistGradientBoostingClassifier",
    "from boostloss import ImbalancedXGBClassifier",
    "from xgboost import XGBClassifier",
    "from boostloss import ImbalancedLGBMClassifier",
    "from lightgbm import LGBMClassifier",
)
FIRST = """
import time
import numpy as np
from boostloss import CrossEntropy, FocalLoss, GHMLoss
y = np.arange(100, dtype=np.float32) % {classes}
raw = np.zeros(100 if {classes} == 2 else (100, {classes}), np.float32)
start = time.perf_counter()
for loss in {losses}:
    loss.gradient_hessian(y, raw)
print(time.perf_counter() - start)
"""
FIT = """
import time
import numpy as np
from boostloss import ImbalancedXGBClassifier
X = np.random.default_rng(0).normal(size=(500, 4))
y = np.digitize(X[:, 0], [0.5] if {classes} == 2 else [0.5, 1.0])
start = time.perf_counter()
ImbalancedXGBClassifier(loss="{loss}", n_estimators=5, n_jobs=1).fit(X, y).predict_proba(X)
print(time.perf_counter() - start)
"""
ONE = "(FocalLoss(2),)"
ALL = "(CrossEntropy(), FocalLoss(2), GHMLoss(), GHMLoss(density='window'))"


def _run(code: str, cache: str) -> float:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return float(output.stdout)


def cold_start(repeats: int, softmax: bool) -> str:
    """Return a table of seconds in new processes."""
    cases = [("one binary loss", ONE, 2), ("all binary losses", ALL, 2)]
    if softmax:
        cases.append(("all softmax losses", ALL, 4))
    with tempfile.TemporaryDirectory() as folder:
        rows: list[list[object]] = [
            [f"`{one}`", "", _median(IMPORT.format(statement=one), folder, repeats)]
            for one in IMPORTS
        ]
        fits = [(loss, k) for k in ((2, 3) if softmax else (2,)) for loss in ("focal", "ghm")]
        programs = [
            (f"first fit and predict_proba, {loss}, {k} classes", FIT.format(loss=loss, classes=k))
            for loss, k in fits
        ]
        for name, losses, classes in cases:
            programs.append(
                (f"first gradient, {name}", FIRST.format(losses=losses, classes=classes))
            )
        for name, code in programs:
            with tempfile.TemporaryDirectory() as empty:
                cold = _run(code, empty)
                rows.append([name, cold, _median(code, empty, repeats)])
    return table(["seconds", "empty compile cache", "full compile cache"], rows)


def _median(code: str, cache: str, repeats: int) -> float:
    return float(np.median([_run(code, cache) for _ in range(repeats)]))
