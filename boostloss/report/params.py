"""Check and set an engine's parameters, which are the same for all losses in a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from boostloss.losses import CrossEntropy, Loss
from boostloss.losses.validation import Array
from boostloss.optional import require

_INSTEAD = {
    "objective": "losses",
    "num_class": "y",
    "metric": "metric",
    "eval_metric": "metric",
    "num_iterations": "rounds",
    "num_boost_round": "rounds",
    "early_stopping_round": "rounds",
    "early_stopping_rounds": "rounds",
    "max_iter": "rounds",
    "early_stopping": "rounds",
    "n_iter_no_change": "rounds",
    "scoring": "metric",
    "loss": "losses",
}
"""Parameters of each engine that an argument of the comparison replaces."""


def check(engine: str, params: Mapping[str, Any]) -> None:
    """Raise an error for parameters that would be overwritten or contradict an argument."""
    names = _engine(engine).NAMES if engine != "hist" else {}
    if engine == "xgboost":
        _engine(engine).check_params(params)
    if engine == "hist":
        _check_known(params)
    for name, argument in _INSTEAD.items():
        for one in names.get(name, (name,)):
            if params.get(one) is not None:
                raise ValueError(
                    f"params must not contain {one}: the argument {argument} sets it, "
                    f"got {params[one]!r}"
                )


def _check_known(params: Mapping[str, Any]) -> None:
    known = HistGradientBoostingClassifier().get_params()
    unknown = [name for name in params if name not in known and name not in _INSTEAD]
    if unknown:
        raise ValueError(
            "params must contain parameters of scikit-learn's HistGradientBoostingClassifier, got "
            f"{', '.join(map(repr, unknown))}"
        )


def with_defaults(
    engine: str, defaults: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parameters, with defaults for those not given under any of their names."""
    if engine == "hist":
        return {**defaults, **params}
    together: dict[str, Any] = _engine(engine).with_defaults(defaults, params)
    return together


def take_class_factor(
    engine: str, params: Mapping[str, Any], y: Array, n_classes: int
) -> tuple[dict[str, Any], Array | None]:
    """Return the parameters without the engine's class weights, and the factor of each class."""
    if engine == "hist":
        return dict(params), None
    of_engine = _engine(engine)
    rows = np.bincount(y, minlength=n_classes) if engine == "lightgbm" else n_classes
    taken: tuple[dict[str, Any], Array | None] = of_engine.take_class_factor(params, rows)
    return taken


def weighted(loss: Loss | None, factor: Array | None) -> Loss | None:
    """Multiply the loss's class weights, as numbers, by the engine's class weights.

    The built-in objective with such weights becomes cross-entropy with them, whose probabilities
    correct for them.
    """
    if factor is None:
        return loss
    if loss is None:
        return CrossEntropy(class_weight=factor.tolist())
    return loss.with_class_weight(np.asarray(loss.class_weight) * factor)


def _engine(name: str) -> Any:
    require(name, name)
    return require(f"boostloss.{name}.parameters", name)
