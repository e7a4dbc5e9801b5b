"""Compile the kernels for two classes.

With margin ``m = (2y-1) z``, all terms follow from ``e = exp(-|m|)``::

    p = 1/(1+e), q = e/(1+e)      for m >= 0, swapped for m < 0
    -log p = max(-m, 0) + log1p(e)
    -log q = max( m, 0) + log1p(e)

Kernels compute in the type of the scores, float32 or float64. The gradient kernel also checks
labels, scores and weights in the same SIMD code. It returns True if one of them is invalid.

``per_class`` contains, for each of the two classes, its weight, the margin beyond which the loss's
slope would underflow, and the tuple of its shape parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boostloss.kernels import Row, RowFunctions, ScalarFunction
from boostloss.kernels.jit import WORTHWHILE, in_parts, inlined, kernel, part_of
from boostloss.kernels.simd_math import SMALLEST_LOG, exp_nonpositive, log1p_unit

_SMALLEST = np.float32(SMALLEST_LOG)


Array = NDArray[Any]


def gradient_hessian(
    functions: RowFunctions, raw: Array, y: Array, weight: Array | None, per_class: Any,
    factor: float, gradient: Array, hessian: Array, n_threads: int = 1,
) -> bool:  # fmt: skip
    """Fill gradient and Hessian (n,). Return True if a label, score or weight is invalid."""
    loop = _gradient_loop(functions.slope, functions.curvature)
    if len(raw) < WORTHWHILE:
        return loop(raw, y, weight, per_class, gradient, hessian)

    def work(start: int, stop: int) -> bool:
        rows = slice(start, stop)
        return loop(
            raw[rows], y[rows], part_of(weight, rows), per_class, gradient[rows], hessian[rows]
        )

    return any(in_parts(work, len(raw), len(raw), n_threads))


def value(
    functions: RowFunctions, raw: Array, y: Array, weight: Array | None, per_class: Any,
    out: Array, n_threads: int = 1,
) -> bool:  # fmt: skip
    """Fill the value of each row. Return False, because the input has been checked before."""
    loop = _value_loop(functions.value)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        loop(raw[rows], y[rows], part_of(weight, rows), per_class, out[rows])

    in_parts(work, len(raw), len(raw), n_threads)
    return False


@inlined
def binary_row(margin: Any) -> Any:
    """Return the row of a margin."""
    zero = margin - margin  # a literal 0 would widen float32 to float64
    e = exp_nonpositive(max(-abs(margin), zero + _SMALLEST), zero)
    one = zero + np.float32(1)
    larger = one / (one + e)
    smaller = e * larger
    small_log = log1p_unit(e)
    right = margin >= zero
    p = larger if right else smaller
    q = smaller if right else larger
    high = max(margin, zero)
    return Row(p, q, max(-margin, zero) + small_log, high + small_log, high, small_log)


@inlined
def is_finite(x: Any) -> Any:
    """Return whether x is finite: ``x - x`` is 0, but NaN for NaN and infinity."""
    difference = x - x
    return difference == difference


@functools.cache
def _gradient_loop(slope: ScalarFunction, curvature: ScalarFunction | None) -> Callable[..., bool]:
    """Compile the gradient kernel of a loss."""

    def binary_gradient(
        raw: Any, y: Any, weight: Any, per_class: Any, gradient: Any, hessian: Any
    ) -> bool:
        bad = False
        # read before the loop, since the kernel takes 1.4 times as long if it reads them inside
        (weight_0, limit_0, shape_0), (weight_1, limit_1, shape_1) = per_class
        for i in range(raw.shape[0]):
            z, label = raw[i], y[i]
            positive = label > 0
            bad |= not (is_finite(z) & ((label == 0) | (label == 1)))
            margin = z if positive else -z
            # p is clipped at exp(-80), so the margin must be too: -log p would grow further
            margin = max(min(margin, limit_1 if positive else limit_0), _SMALLEST)
            shape = shape_1 if positive else shape_0
            w = weight_1 if positive else weight_0
            if weight is not None:
                bad |= not (is_finite(weight[i]) & (weight[i] >= 0))
                w = w * weight[i]
            row = binary_row(margin)
            steepness = slope(row, *shape)
            curve = steepness * row.p if curvature is None else curvature(row, *shape)
            gradient[i] = np.float32(-w * steepness if positive else w * steepness)
            hessian[i] = np.float32(w * curve)
        return bad

    return kernel(binary_gradient, tuple(filter(None, (slope, curvature))))


@functools.cache
def _value_loop(value: ScalarFunction) -> Callable[..., None]:
    """Compile the kernel of a loss's value. Its input has been checked before."""

    def binary_value(raw: Any, y: Any, weight: Any, per_class: Any, out: Any) -> None:
        (weight_0, limit_0, shape_0), (weight_1, limit_1, shape_1) = per_class
        for i in range(raw.shape[0]):
            positive = y[i] > 0
            margin = raw[i] if positive else -raw[i]
            margin = min(margin, limit_1 if positive else limit_0)
            shape = shape_1 if positive else shape_0
            w = weight_1 if positive else weight_0
            if weight is not None:
                w = w * weight[i]
            out[i] = w * value(binary_row(margin), *shape)

    return kernel(binary_value, (value,))
