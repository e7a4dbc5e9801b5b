"""An engine's parameters in a comparison: the same for the built-in objective and every loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

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
}
"""What an argument of the comparison says in place of an engine's parameter."""


def check(engine: str, params: Mapping[str, Any]) -> None:
    """Raise for parameters that would be overwritten, or would say two things."""
    names = _engine(engine).NAMES if engine != "hist" else {}
    if engine == "xgboost":
        _engine(engine).check_params(params)
    for name, argument in _INSTEAD.items():
        for one in names.get(name, (name,)):
            if params.get(one) is not None:
                raise ValueError(
                    f"params must not hold {one}: the argument {argument} says it, "
                    f"got {params[one]!r}"
                )


def with_defaults(
    engine: str, defaults: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters, and those of the defaults that they do not give by any name."""
    if engine == "hist":
        return {**defaults, **params}
    together: dict[str, Any] = _engine(engine).with_defaults(defaults, params)
    return together


def take_class_factor(
    engine: str, params: Mapping[str, Any], y: Array, n_classes: int
) -> tuple[dict[str, Any], Array | None]:
    """Parameters without the engine's own class weights, and these as numbers."""
    if engine == "hist":
        return dict(params), None
    of_engine = _engine(engine)
    rows = np.bincount(y, minlength=n_classes) if engine == "lightgbm" else n_classes
    taken: tuple[dict[str, Any], Array | None] = of_engine.take_class_factor(params, rows)
    return taken


def weighted(loss: Loss | None, factor: Array | None) -> Loss | None:
    """The loss, its class weights as numbers, times the engine's own class weights.

    The built-in objective with such weights is cross-entropy with them, and its probabilities undo
    them likewise.
    """
    if factor is None:
        return loss
    if loss is None:
        return CrossEntropy(class_weight=factor.tolist())
    return loss.with_class_weight(np.asarray(loss.class_weight) * factor)


def _engine(name: str) -> Any:
    require(name, name)
    return require(f"boostloss.{name}.parameters", name)
