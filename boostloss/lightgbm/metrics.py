"""LightGBM's metrics under a custom objective, where its own see raw scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from boostloss.losses import CrossEntropy
from boostloss.metrics import Metric

RIGHT_ON_RAW_SCORES = ("auc", "average_precision", "auc_mu", "multi_error", "ndcg", "map")
"""Ranking metrics, and multi_error, which looks for the largest score."""

_NONE = ("", "None", "na", "null", "custom")


def binary_error(y: Any, raw: Any, weight: Any = None) -> tuple[str, float, bool]:
    """Share of rows whose raw score has the wrong sign."""
    wrong = (np.asarray(raw) > 0) != (np.asarray(y) > 0)
    return "binary_error", float(np.average(wrong, weights=weight)), False


def split_metrics(names: Any, n_classes: int) -> tuple[list[str], list[Callable[..., Any]]]:
    """Metrics that LightGBM may compute itself, and callables for those that need the link.

    Parameters
    ----------
    names : list of str
        Single ones may hold several names between commas.
    n_classes : int
    """
    replaced: dict[str, Callable[..., Any]]
    if n_classes > 2:
        replaced = {"multi_logloss": Metric(CrossEntropy(), name="multi_logloss")}
    else:
        replaced = {
            "binary_logloss": Metric(CrossEntropy(), name="binary_logloss"),
            "binary_error": binary_error,
        }
    own, callables = [], []
    for name in _of_this_problem(names, "multi" if n_classes > 2 else "binary"):
        if name in replaced:
            callables.append(replaced[name])
        elif name in RIGHT_ON_RAW_SCORES:
            own.append(name)
        else:
            raise ValueError(
                "eval_metric must be a callable or one of "
                f"{', '.join((*replaced, *RIGHT_ON_RAW_SCORES))} with a loss (LightGBM's other "
                f"metrics would see raw scores), got {name!r}"
            )
    return own, callables


def _of_this_problem(names: list[str], kind: str) -> list[str]:
    """Names as LightGBM's classifier reads them: log loss and error mean this problem's."""
    aliases = {
        prefix + measure: f"{kind}_{measure}"
        for measure in ("logloss", "error")
        for prefix in ("", "binary_", "multi_")
    }
    aliases |= dict.fromkeys(("binary", "multiclass", "softmax"), f"{kind}_logloss")
    single = [name.strip() for several in names for name in several.split(",")]
    return list(dict.fromkeys(aliases.get(name, name) for name in single if name not in _NONE))
