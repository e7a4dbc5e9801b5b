"""Define the row that a loss's scalar functions take; compiled kernels are in the modules.

A loss defines scalar functions of a :class:`Row`. :mod:`~boostloss.kernels.binary` and
:mod:`~boostloss.kernels.softmax` put them into loops over all rows,
:mod:`~boostloss.kernels.simd_math` provides exponentials and logarithms, and
:mod:`~boostloss.kernels.jit` compiles them. :mod:`~boostloss.kernels.histogram` counts gradient
norms, :mod:`~boostloss.kernels.posterior` computes probabilities. This file itself needs no
compiler.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

ScalarFunction = Callable[..., Any]


class Row(NamedTuple):
    """The input of a loss's scalar functions: one row. Each field is accurate in the tails.

    Parameters
    ----------
    p : float
        Probability given to the true class.
    q : float
        ``1 - p``, the norm of cross-entropy's gradient.
    neg_log_p : float
        ``-log p``, cross-entropy in nats.
    neg_log_q : float
        ``-log q``, in nats.
    neg_log_q_high, neg_log_q_low : float
        ``-log q`` in two parts, whose sum is more accurate than one float32.

    See Also
    --------
    scalar : Marks the functions that take a row.
    """

    p: Any
    q: Any
    neg_log_p: Any
    neg_log_q: Any
    neg_log_q_high: Any
    neg_log_q_low: Any


class RowFunctions(NamedTuple):
    """Scalar functions of one loss. Each takes a row, then the loss's shape parameters."""

    value: ScalarFunction
    """Loss of the row, in nats."""

    slope: ScalarFunction
    """Magnitude ``w q`` of the gradient."""

    curvature: ScalarFunction | None = None
    """Second derivative. None means ``slope * p``, as for weighted cross-entropy."""

    log_weight: ScalarFunction | None = None
    """``log w`` of one row or of arrays of rows, in NumPy. None derives it from ``slope``."""


class MarkedFunction(Protocol):
    """Type of a marked scalar function. In a loss, ``value`` is also the name of a method."""

    @overload
    def __call__(self, row: Row, /, *shape: Any) -> Any: ...
    @overload
    def __call__(
        self, y: ArrayLike, raw: ArrayLike, sample_weight: ArrayLike | None = None,
        *, workers: Any = ...,
    ) -> NDArray[Any]: ...  # fmt: skip


def scalar(function: ScalarFunction) -> MarkedFunction:
    """Mark a function of a :class:`Row` and of shape parameters for compilation.

    Use it as a decorator for the functions of a :class:`~boostloss.losses.Loss` (``value``,
    ``slope``, ``curvature``, ``log_weight``) and for their helpers. The function can still be
    called from Python.

    Parameters
    ----------
    function : callable
        A function of a :class:`Row` and of shape parameters by name that returns a number.

    Returns
    -------
    callable
        The same function.

    See Also
    --------
    boostloss.losses.Loss : Base class of the losses.
    Row : The first argument of the functions.

    Examples
    --------
    >>> from boostloss.losses import scalar
    >>> @scalar
    ... def slope(row, a):
    ...     return row.p**a * row.q
    """
    function.is_scalar = True  # type: ignore[attr-defined]
    return function  # type: ignore[return-value]


def in_use() -> bool:
    """Return whether this process has loaded kernels, which training does.

    If not, posteriors are computed in NumPy, so that the compiler is not loaded for them.
    """
    return f"{__name__}.jit" in sys.modules


# Functions that scalar functions may call. In a kernel, their compiled versions in simd_math become
# SIMD code, which np.exp and np.log do not.


def exp(x: Any) -> Any:
    """Compute ``exp(x)`` for x <= 0."""
    return np.exp(x)


def log(x: Any) -> Any:
    """Compute ``log(x)`` of a positive normal number."""
    return np.log(x)


def log1p(x: Any) -> Any:
    """Compute ``log(1 + x)`` for x >= 0."""
    return np.log1p(x)


def neg_log_rest(r: Any, rest: Any) -> Any:
    """Compute ``-log(rest)`` for rest = 1 - r, accurately also for small r."""
    return np.log1p(r / rest) if r < rest else -np.log(rest)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition is true, else ``b``."""
    return np.where(condition, a, b)


def q_power(row: Row, gamma: Any) -> Any:
    """Compute ``q**gamma`` for gamma >= 0, as accurately as the row's type allows for tiny q."""
    wide = np.result_type(np.float64, row.neg_log_q_high)
    return np.exp(-gamma * np.add(row.neg_log_q_high, row.neg_log_q_low, dtype=wide))
