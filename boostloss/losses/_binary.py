"""The binary loops.

With margin ``m = (2y-1) z``, all terms follow from ``e = exp(-|m|)``::

    p = 1/(1+e), q = e/(1+e)      for m >= 0, exchanged for m < 0
    -log p = max(-m, 0) + log1p(e)
    -log q = max( m, 0) + log1p(e)

float32 scores are computed in float32, float64 scores in float64. The gradient's loop looks at
labels, scores and weights on its way, in the same SIMD code: it returns True if one of them is not
allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from boostloss.losses._elementary import SMALLEST_LOG, exp_nonpositive, log1p_unit
from boostloss.losses._jit import SOURCE_STAMP, inlined, kernel

ScalarFunction = Callable[..., Any]

_SMALLEST = np.float32(SMALLEST_LOG)


@inlined
def row_terms(margin: Any) -> Any:
    """p, q, -log p and -log q (in two parts, large and small) of a binary row."""
    zero = margin - margin  # a literal 0 would widen float32 to float64
    e = exp_nonpositive(max(-abs(margin), zero + _SMALLEST), zero)
    one = zero + np.float32(1)
    larger = one / (one + e)
    smaller = e * larger
    small_log = log1p_unit(e)
    right = margin >= zero
    p = larger if right else smaller
    q = smaller if right else larger
    return p, q, max(-margin, zero) + small_log, max(margin, zero), small_log


@inlined
def is_finite(x: Any) -> Any:
    """``x - x`` is 0, but NaN for NaN and infinity."""
    difference = x - x
    return difference == difference


def gradient_kernel(slope: ScalarFunction, curvature: ScalarFunction) -> Callable[..., bool]:
    """Compile the gradient loop for a loss's ``slope`` (w*q) and ``curvature``."""
    stamp = SOURCE_STAMP

    @kernel
    def binary_gradient(
        raw: Any, y: Any, weight: Any, class_numbers: Any, gradient: Any, hessian: Any
    ) -> bool:
        bad = stamp != stamp  # False: read it, and numba sees that it changed
        class_weight, shape, limit = class_numbers
        weight_0, weight_1 = class_weight[0], class_weight[1]
        shape_0, shape_1 = shape[0], shape[1]
        limit_0, limit_1 = limit[0], limit[1]
        for i in range(raw.shape[0]):
            z, label = raw[i], y[i]
            positive = label > 0
            bad |= not (is_finite(z) & ((label == 0) | (label == 1)))
            margin = z if positive else -z
            # p is held at exp(-80): times a -log p that grows on, it would add to the slope
            margin = max(min(margin, limit_1 if positive else limit_0), _SMALLEST)
            theta = shape_1 if positive else shape_0
            w = weight_1 if positive else weight_0
            if weight is not None:
                bad |= not (is_finite(weight[i]) & (weight[i] >= 0))
                w = w * weight[i]
            p, q, loss_p, large, small = row_terms(margin)
            steepness = slope(theta, p, q, loss_p, large, small)
            curve = curvature(theta, p, q, loss_p, large, small, steepness)
            gradient[i] = np.float32(-w * steepness if positive else w * steepness)
            hessian[i] = np.float32(w * curve)
        return bad

    return binary_gradient


def value_kernel(value: ScalarFunction) -> Callable[..., None]:
    """Compile the loop of a loss's ``value``; its input has been checked."""
    stamp = SOURCE_STAMP

    @kernel
    def binary_value(raw: Any, y: Any, weight: Any, class_numbers: Any, out: Any) -> None:
        if stamp != stamp:  # never: read it, and numba sees that it changed
            return
        class_weight, shape, limit = class_numbers
        for i in range(raw.shape[0]):
            positive = y[i] > 0
            margin = raw[i] if positive else -raw[i]
            margin = min(margin, limit[1] if positive else limit[0])
            w = class_weight[1] if positive else class_weight[0]
            if weight is not None:
                w = w * weight[i]
            p, q, loss_p, large, small = row_terms(margin)
            theta = shape[1] if positive else shape[0]
            out[i] = w * value(theta, p, q, loss_p, large, small)

    return binary_value
