"""Losses by name, and as plain data that a file can hold."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from boostloss.losses._base import Loss
from boostloss.losses._frozen_ghm import FrozenGHM
from boostloss.losses.cross_entropy import CrossEntropy
from boostloss.losses.focal import FocalLoss
from boostloss.losses.ghm import GHMLoss

NAMED: dict[str, Loss] = {
    "cross_entropy": CrossEntropy(),
    "balanced": CrossEntropy(class_weight="balanced"),
    "focal": FocalLoss(),
    "ghm": GHMLoss(),
}
_TYPES: dict[str, type[Loss]] = {
    kind.__name__: kind for kind in (CrossEntropy, FocalLoss, GHMLoss, FrozenGHM)
}


def named(loss: Loss | str) -> Loss:
    """A loss, given itself or by its name."""
    if isinstance(loss, Loss):
        return loss
    allowed = f"a boostloss loss such as FocalLoss(), or one of {', '.join(map(repr, NAMED))}"
    if not isinstance(loss, str):
        raise TypeError(f"loss must be {allowed}, got {loss!r}")
    if loss not in NAMED:
        raise ValueError(f"loss must be {allowed}, got {loss!r}")
    return NAMED[loss]


def to_plain(loss: Loss) -> dict[str, Any]:
    """A loss as numbers, texts, lists and dicts; :func:`from_plain` undoes it."""
    kind = type(loss).__name__
    if _TYPES.get(kind) is not type(loss):
        raise TypeError(f"a model with a loss of your own cannot be saved to a file, got {loss!r}")
    return {"type": kind, "params": {k: _plain(v) for k, v in loss.get_params().items()}}


def from_plain(plain: Any) -> Loss:
    """The loss that :func:`to_plain` wrote; a ValueError says what is wrong with it."""
    name = plain.get("type") if isinstance(plain, Mapping) else None
    if not isinstance(name, str) or name not in _TYPES:
        raise ValueError(f"loss in the file must be one of {', '.join(_TYPES)}, got {plain!r}")
    kind, params = _TYPES[name], plain.get("params")
    known = set(inspect.signature(kind).parameters)
    if not isinstance(params, Mapping) or not set(params) <= known:
        raise ValueError(f"params of {name} in the file are not known: {params!r}")
    try:
        return kind(**params)
    except TypeError as error:
        raise ValueError(f"params of {name} in the file are not right: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        if set(value) == set(range(len(value))):  # JSON would make texts of such keys
            return [_plain(value[k]) for k in range(len(value))]
        return {key: _plain(item) for key, item in value.items()}
    return value
