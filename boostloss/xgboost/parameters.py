"""Handle XGBoost's parameters that act through the objective, which a callable disables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from boostloss.labels import positive_factor
from boostloss.losses.validation import Array
from boostloss.optional import require

xgb = require("xgboost", "xgboost")

NAMES: dict[str, tuple[str, ...]] = {
    "eta": ("eta", "learning_rate"),
    "seed": ("seed", "random_state"),
    "nthread": ("nthread", "n_jobs"),
    "lambda": ("lambda", "reg_lambda"),
    "alpha": ("alpha", "reg_alpha"),
    "gamma": ("gamma", "min_split_loss"),
}
"""Parameters with two names."""

ENGINE_NAMES = frozenset(xgb.XGBClassifier().get_params()).union(*NAMES.values())
"""Names of XGBoost's most common parameters. A loss may have parameters of the same names."""

_METRIC_PARAMS = ("quantile_alpha", "expectile_alpha", "huber_slope")
"""Parameters that XGBoost's metrics use."""


def with_defaults(defaults: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters, with defaults for those not given under any of their names."""
    given = {name for name, value in params.items() if value is not None}
    kept = {n: value for n, value in defaults.items() if not given & set(NAMES.get(n, (n,)))}
    return {**kept, **params}


def of_metrics(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that XGBoost's metrics use."""
    return {name: params[name] for name in _METRIC_PARAMS if params.get(name) is not None}


def check_params(params: Mapping[str, Any]) -> None:
    """Raise an error for parameters that cannot be combined with a loss."""
    if params.get("class_weight") is not None:
        raise ValueError(
            "class_weight is not a parameter of XGBoost: pass it to the loss, as in "
            f"CrossEntropy(class_weight=...), got {params['class_weight']!r} in the parameters"
        )
    if params.get("boost_from_average") is not None:
        raise ValueError(
            "boost_from_average must be left out: XGBoost stores it in models but does not use it "
            "in training; base_score=0.5 starts from a raw score of 0, "
            f"got {params['boost_from_average']!r}"
        )
    if params.get("num_target") not in (None, 1, "1"):
        raise ValueError(
            "num_target must be left out: a loss is for one column of labels, "
            f"got {params['num_target']!r}"
        )


def moves_shares(params: Mapping[str, Any]) -> bool:
    """Return whether the mean probability of plain cross-entropy differs from the class shares.

    It does if trees are dropped (on three synthetic sets the mean was 1.06 to 1.14 times the share
    with ``rate_drop=0.5``), and in a forest, whose scores do not converge (1.4 to 1.6 times).
    """
    one_drop = str(params.get("one_drop") or 0).lower() in ("1", "true")
    dropped = float(params.get("rate_drop") or 0.0) > 0.0 or one_drop
    return dropped or int(params.get("num_parallel_tree") or 1) > 1


def take_class_factor(
    params: Mapping[str, Any], n_classes: int
) -> tuple[dict[str, Any], Array | None]:
    """Return the parameters without ``scale_pos_weight``, and its factor for each class."""
    left = dict(params)
    scale = left.pop("scale_pos_weight", None)
    scale = float(scale) if isinstance(scale, str) else scale
    return left, positive_factor(scale, np.arange(n_classes))
