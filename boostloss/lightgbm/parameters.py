"""Handle LightGBM's parameters that act through the objective, which a callable disables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from boostloss.labels import positive_factor
from boostloss.losses.validation import Array
from boostloss.optional import require

lgb = require("lightgbm", "lightgbm")

NAMES: dict[str, tuple[str, ...]] = {
    "objective": ("objective", "app", "loss", "application", "objective_type"),
    "num_class": ("num_class", "num_classes"),
    "metric": ("metric", "metrics", "metric_types"),
    "boosting": ("boosting", "boost", "boosting_type"),
    "linear_tree": ("linear_tree", "linear_trees"),
    "sigmoid": ("sigmoid",),
    "boost_from_average": ("boost_from_average",),
    "is_unbalance": ("is_unbalance", "unbalance", "unbalanced_sets"),
    "scale_pos_weight": ("scale_pos_weight",),
    "pos_bagging_fraction": (
        "pos_bagging_fraction", "pos_bagging", "pos_sub_row", "pos_subsample",
    ),
    "neg_bagging_fraction": (
        "neg_bagging_fraction", "neg_bagging", "neg_sub_row", "neg_subsample",
    ),
    "early_stopping_round": (
        "early_stopping_round", "early_stopping", "n_iter_no_change", "early_stopping_rounds",
    ),
    "num_iterations": (
        "num_iterations", "max_iter", "num_tree", "nrounds", "num_round", "num_trees",
        "num_rounds", "n_estimators", "n_iter", "num_iteration", "num_boost_round",
    ),
    "learning_rate": ("learning_rate", "eta", "shrinkage_rate"),
    "drop_rate": ("drop_rate", "rate_drop"),
    "num_leaves": ("num_leaves", "max_leaf", "num_leaf", "max_leaves", "max_leaf_nodes"),
    "min_sum_hessian_in_leaf": (
        "min_sum_hessian_in_leaf", "min_hessian", "min_sum_hessian", "min_child_weight",
        "min_sum_hessian_per_leaf",
    ),
    "seed": ("seed", "random_seed", "random_state"),
    "verbosity": ("verbosity", "verbose"),
    "num_threads": ("num_threads", "n_jobs", "nthread", "nthreads", "num_thread"),
}  # fmt: skip
"""All names of each parameter that is read or set here."""

ENGINE_NAMES = frozenset(lgb.LGBMClassifier().get_params()).union(*NAMES.values())
"""Names of LightGBM's most common parameters. A loss may have parameters of the same names."""

_METRIC_PARAMS = (
    *("auc_mu_weights", "multi_error_top_k", "label_gain"),
    *("eval_at", "ndcg_at", "ndcg_eval_at", "map_at", "map_eval_at"),
    *("alpha", "fair_c", "tweedie_variance_power", "tweedie_variance"),
    *NAMES["num_threads"],
)
"""Parameters that LightGBM's metrics use."""


def value_of(params: Mapping[str, Any], name: str) -> Any:
    """Return a parameter's value under any of its names, or None if it is not given."""
    return next((params[one] for one in NAMES[name] if params.get(one) is not None), None)


def moves_shares(params: Mapping[str, Any]) -> bool:
    """Return whether the mean probability of plain cross-entropy differs from the class shares.

    It does if trees are dropped, if each is fitted separately, and if rows are sampled by class.
    """
    if value_of(params, "boosting") in ("dart", "rf", "random_forest"):
        return True
    fractions = (value_of(params, f"{sign}_bagging_fraction") for sign in ("pos", "neg"))
    return any(fraction not in (None, 1) for fraction in fractions)


def without(params: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the parameters without the named ones, under all of their names."""
    skip = {one for name in names for one in NAMES[name]}
    return {name: value for name, value in params.items() if name not in skip}


def with_defaults(defaults: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters, with defaults for those not given under any of their names."""
    kept = {name: value for name, value in defaults.items() if value_of(params, name) is None}
    return {**kept, **params}


def of_metrics(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that LightGBM's metrics use."""
    return {name: params[name] for name in _METRIC_PARAMS if params.get(name) is not None}


def is_true(value: Any) -> bool:
    """Return whether a parameter is true, in any of LightGBM's spellings."""
    return str(value).lower() in ("true", "1", "+", "yes")


def starts_from_average(params: Mapping[str, Any]) -> bool:
    """Return whether training starts from the intercept (``boost_from_average``)."""
    value = value_of(params, "boost_from_average")
    return value is None or is_true(value)


def take_class_factor(
    params: Mapping[str, Any], rows: Array
) -> tuple[dict[str, Any], Array | None]:
    """Return the parameters without LightGBM's class weights, and the factor of each class.

    ``rows`` is the number of rows of each class, without weights.
    """
    if params.get("class_weight") is not None:
        raise ValueError(
            "class_weight is not a parameter of LightGBM: pass it to the loss, as in "
            f"CrossEntropy(class_weight=...), got {params['class_weight']!r} in the parameters"
        )
    scale = value_of(params, "scale_pos_weight")
    unbalance = is_true(value_of(params, "is_unbalance"))
    scale = float(scale) if isinstance(scale, str) else scale
    if unbalance and scale not in (None, 1):
        raise ValueError(
            "scale_pos_weight must be left out with is_unbalance=True, as in LightGBM, "
            f"got {scale!r}"
        )
    factor = positive_factor(scale, np.arange(len(rows)))
    if unbalance and (rows > 0).all():
        factor = rows.max() / rows
    return without(params, "scale_pos_weight", "is_unbalance"), factor


def check_link(params: Mapping[str, Any]) -> None:
    """Raise an error for a link other than the posterior's."""
    sigmoid = value_of(params, "sigmoid")
    if sigmoid is not None and float(sigmoid) != 1.0:
        raise ValueError(f"sigmoid must be 1 with a loss, got {sigmoid!r}")


def check_callable(params: Mapping[str, Any]) -> None:
    """Raise an error for parameters that LightGBM supports with built-in objectives only."""
    if is_true(value_of(params, "linear_tree")):
        raise ValueError(
            "linear_tree must be False with a loss: the intercept cannot be written into leaves "
            "that contain a linear model, got True"
        )
    if value_of(params, "boosting") in ("rf", "random_forest"):
        raise ValueError(
            "boosting must not be 'rf' with a loss: LightGBM's random forest accepts "
            "built-in objectives only, got 'rf'"
        )
    for name in ("pos_bagging_fraction", "neg_bagging_fraction"):
        fraction = value_of(params, name)
        if fraction is not None and float(fraction) != 1.0:
            raise ValueError(
                f"{name} must be 1 with a loss: LightGBM bags by class with built-in objectives "
                "only; use bagging_fraction, or CrossEntropy with class_weight, which uses a "
                f"built-in objective, got {fraction!r}"
            )


def check_bagging_by_class(params: Mapping[str, Any], n_classes: int) -> None:
    """Raise an error for bagging by class with several classes, where LightGBM ignores it."""
    for name in ("pos_bagging_fraction", "neg_bagging_fraction"):
        fraction = value_of(params, name)
        if n_classes > 2 and fraction is not None and float(fraction) != 1.0:
            raise ValueError(
                f"{name} is for two classes, got {fraction!r} with {n_classes}: use "
                "bagging_fraction"
            )
