"""Compare focal losses of several packages: kernel and training times, errors against mpmath."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath as mp
import numpy as np
import xgboost as xgb

from benchmarks.interleaved import ratios, table
from benchmarks.kernels import Data
from benchmarks.training import make
from boostloss import FocalLoss

Gradient = Callable[[Any, Any], tuple[Any, Any]]
GAMMA = 2


def packages() -> dict[str, Gradient]:
    """Return focal losses f(y, raw) of the installed packages, boostloss's first."""
    found: dict[str, Gradient] = {"boostloss": FocalLoss(GAMMA).gradient_hessian}
    makers = {
        "imbalance-xgboost": ("imxgboost.focal_loss", lambda m: _as_engine(
            m.Focal_Binary_Loss(GAMMA).focal_binary_object)),
        "bokbokbok": ("bokbokbok.loss_functions.classification", lambda m: _as_engine(
            m.WeightedFocalLoss(alpha=1.0, gamma=GAMMA))),
        "imlightgbm": ("imlightgbm.objective", lambda m: lambda y, raw:
            m.binary_focal_objective(y, raw, GAMMA)),
        "gbdtCBL": ("gbdtCBL.binary", lambda m: m.FLLoss(GAMMA)),
    }  # fmt: skip
    for name, (module, maker) in makers.items():
        try:
            found[name] = maker(importlib.import_module(module))
        except ImportError as error:
            print(f"{name} left out: {error}")
    return found


def _as_engine(function: Callable[[Any, Any], Any]) -> Gradient:
    return lambda y, raw: function(raw, SimpleNamespace(get_label=lambda: y))


def _errors(gradient: Gradient) -> tuple[str, str]:
    """Return the largest relative errors over both labels.

    The gradient is compared where its magnitude is at least 1e-30, the Hessian where it is at least
    1e-15, because boostloss's has a lower bound.
    """
    mp.mp.dps = 50
    raw = np.concatenate([np.linspace(-700, 700, 71), np.linspace(-20, 20, 81)])
    worst = [mp.mpf(0), mp.mpf(0)]
    for label in (0.0, 1.0):
        with np.errstate(all="ignore"):
            got = gradient(np.full(len(raw), label), raw)
        for i, z in enumerate(raw):
            for k, want in enumerate(_exact(2 * label - 1, z)):
                value = float(got[k][i])
                if abs(want) >= mp.mpf("1e-30") if k == 0 else want >= mp.mpf("1e-15"):
                    error = abs(mp.mpf(value) / want - 1) if np.isfinite(value) else mp.inf
                    worst[k] = max(worst[k], error)
    return mp.nstr(worst[0], 2), mp.nstr(worst[1], 2)


def _exact(sign: float, z: float) -> tuple[Any, Any]:
    e = mp.exp(-abs(mp.mpf(z)))
    p, q = (1 / (1 + e), e / (1 + e)) if sign * z >= 0 else (e / (1 + e), 1 / (1 + e))
    u = max(-sign * mp.mpf(z), mp.mpf(0)) + mp.log1p(e)
    curvature = q**GAMMA * p * (q * (1 + 2 * GAMMA) + GAMMA * u * (GAMMA * p - q))
    return -sign * q**GAMMA * (q + GAMMA * p * u), curvature


def side_by_side(n_rows: int, rounds: int, repeats: int) -> str:
    """Compare times with boostloss's, and with training with the built-in log loss."""
    found = packages()
    data = Data(n_rows)
    kernels = ratios({name: (lambda f=f: f(data.y, data.raw)) for name, f in found.items()},
                     repeats)  # fmt: skip
    X, y = make(n_rows, 2)
    matrix = xgb.QuantileDMatrix(X, y)
    params = {"objective": "binary:logistic", "base_score": 0.05, "max_depth": 6, "eta": 0.1}
    arms = {"built-in": lambda: xgb.train(params, matrix, rounds)}
    for name, f in found.items():
        objective = lambda raw, d, f=f: f(d.get_label(), raw)  # noqa: E731
        arms[name] = lambda o=objective: xgb.train(params, matrix, rounds, obj=o)
    with np.errstate(all="ignore"):
        training = ratios(arms, max(3, repeats // 3))
    rows = []
    for name, f in found.items():
        # ours offers the curvature the others mean as hessian="exact"
        errors = _errors(FocalLoss(GAMMA, hessian="exact").gradient_hessian
                         if name == "boostloss" else f)  # fmt: skip
        kernel = 1.0 if name == "boostloss" else kernels[name]
        rows.append([name, kernel, training[name], *errors])
    header = ["focal γ=2", "kernel / ours", "XGBoost training / built-in",
              "gradient: worst relative error", "Hessian: worst relative error"]  # fmt: skip
    return table(header, rows)
