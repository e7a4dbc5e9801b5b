"""Find losses by name, and convert them to and from plain data for files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np

T = TypeVar("T", bound=type)

LossName = Literal["asymmetric", "balanced", "cross_entropy", "focal", "ghm"]
"""Names of the built-in losses, for type checkers, which do not know other names. In code that is
type-checked, pass a custom loss as an object."""

_TYPES: dict[str, Any] = {}
_FORMER_NAMES = {"CrossEntropy": "cross_entropy", "FocalLoss": "focal", "GHMLoss": "ghm"}
"""Names of the losses in files that version 0.1.0 wrote."""


def register(kind: T) -> T:
    """Register a loss under its name, for classifiers, ``compare`` and model files.

    Use it as a decorator. The class's ``name`` must not belong to another class. Defining the same
    class again, as in a notebook, replaces it. Before loading a model with the loss, import the
    module that registers it.

    Parameters
    ----------
    kind : type
        A subclass of :class:`~boostloss.losses.Loss` with a ``name``.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    TypeError, ValueError
        If the name is not a string, or belongs to another class.

    See Also
    --------
    named : Finds a loss by its name.

    Examples
    --------
    >>> from boostloss.losses import Loss, register, scalar
    >>> @register
    ... class Squared(Loss):
    ...     name = "squared"
    ...     @scalar
    ...     def value(row):
    ...         return 0.5 * row.q * row.q
    ...     @scalar
    ...     def slope(row):
    ...         return row.p * row.q * row.q
    """
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"name must be a string in {kind.__name__}, got {name!r}")
    known = _TYPES.get(name, kind)
    again = (known.__module__, known.__qualname__) == (kind.__module__, kind.__qualname__)
    if not again or name == "balanced":
        raise ValueError(f"name must not be that of another loss, got {name!r} in {kind.__name__}")
    _TYPES[name] = kind
    return kind


def is_type_of(name: str, loss: Any) -> bool:
    """Return whether the loss's class, not a base class, is registered under this name."""
    return _TYPES.get(name) is type(loss)


def names() -> tuple[str, ...]:
    """Return the names that :func:`named` accepts."""
    return (*_TYPES, "balanced")


def named(loss: Any) -> Any:
    """Find a loss by its name. "balanced" is cross-entropy with balanced class weights.

    Parameters
    ----------
    loss : Loss or str
        The name of a registered loss. A loss object is returned unchanged.

    Returns
    -------
    Loss
        The loss. A name gives default parameters.

    Raises
    ------
    TypeError, ValueError
        If ``loss`` is neither a loss nor the name of one.

    See Also
    --------
    register : Registers a loss under its name.
    """
    if hasattr(loss, "gradient_hessian") and not isinstance(loss, type):
        return loss
    allowed = f"a boostloss loss such as FocalLoss(), or one of {', '.join(map(repr, names()))}"
    if not isinstance(loss, str):
        got = f"the class {loss.__name__}" if isinstance(loss, type) else repr(loss)
        raise TypeError(f"loss must be {allowed}, got {got}")
    if loss not in names():
        raise ValueError(f"loss must be {allowed}, got {loss!r}")
    if loss == "balanced":
        return _TYPES["cross_entropy"](class_weight="balanced")
    return _TYPES[loss]()


def to_dict(loss: Any) -> dict[str, Any]:
    """Convert a loss to a dict of plain data, which :func:`from_dict` reads."""
    name = getattr(type(loss), "name", None)
    if name is None or _TYPES.get(name) is not type(loss):
        raise TypeError(
            f"only a registered loss can be saved to a file: put @boostloss.losses.register "
            f"before its class, got {loss!r}"
        )
    return {"type": name, "params": {k: _plain(v) for k, v in loss.get_params().items()}}


def from_dict(plain: Any) -> Any:
    """Create a loss from a dict that :func:`to_dict` returned.

    Raises
    ------
    ValueError
        If the dict is invalid.
    """
    name = plain.get("type") if isinstance(plain, Mapping) else None
    name = _FORMER_NAMES.get(name, name) if isinstance(name, str) else None
    if name not in _TYPES:
        raise ValueError(
            f"loss in the file must be one of {', '.join(_TYPES)} (import the module that "
            f"registers it), got {plain!r}"
        )
    kind, params = _TYPES[name], plain.get("params")
    known = set(inspect.signature(kind).parameters)
    if not isinstance(params, Mapping) or not set(params) <= known:
        raise ValueError(f"params of {name} in the file must be of {sorted(known)}, got {params!r}")
    try:
        loss = kind(**params)
        loss.check_params()
    except TypeError as error:
        raise ValueError(f"params of {name} in the file are invalid: {error}") from error
    return loss


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        if set(value) == set(range(len(value))):  # JSON would convert such keys to strings
            return [_plain(value[k]) for k in range(len(value))]
        return {key: _plain(item) for key, item in value.items()}
    return value
