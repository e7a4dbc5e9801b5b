"""The loops: every loss is a weight on cross-entropy, so two loops serve them all.

A loss is handed in as scalar functions of one row's true class (see
:class:`boostloss.losses._base.Loss`): its slope ``w*q`` and its value. With margin
``m = (2y-1) z``, all terms follow from one exponential ``e = exp(-|m|)``::

    p = 1/(1+e), q = e/(1+e)      for m >= 0, exchanged for m < 0
    -log p = max(-m, 0) + log1p(e)
    -log q = max( m, 0) + log1p(e)

A softmax row reduces to the same terms: q is the sum of the other classes' probabilities.
float32 scores are computed in float32, float64 scores in float64, and softmax always in
float64, since differences of float32 scores are not exact. Results are float32: both
engines store that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from boostloss.losses._elementary import exp_nonpositive, log1p_unit, log_positive
from boostloss.losses._jit import SOURCE_STAMP, inlined, kernel

ScalarFunction = Callable[..., Any]


class Kernels(NamedTuple):
    """Compiled loops of one loss."""

    binary_gradient: Callable[..., None]
    softmax_gradient: Callable[..., None]
    binary_value: Callable[..., None]
    softmax_value: Callable[..., None]


@inlined
def row_terms(margin: Any) -> Any:
    """p, q, -log p and -log q (in two parts, large and small) of a binary row."""
    zero = margin - margin  # a literal 0 would widen float32 to float64
    e = exp_nonpositive(-abs(margin), zero)
    one = zero + np.float32(1)
    larger = one / (one + e)
    smaller = e * larger
    small_log = log1p_unit(e)
    right = margin >= zero
    p = larger if right else smaller
    q = smaller if right else larger
    return p, q, max(-margin, zero) + small_log, max(margin, zero), small_log


@inlined
def softmax_terms(row: Any, target: int, shifted: Any) -> Any:
    """Terms of the true class, and in ``shifted`` exp(z_k - max z); without cancellation.

    The largest class's complement 1-p is summed from the others, never subtracted.
    """
    top = 0
    for k in range(row.shape[0]):
        if row[k] > row[top]:
            top = k
    highest = np.float64(row[top])
    rest = 0.0
    for k in range(row.shape[0]):
        shifted[k] = exp_nonpositive(np.float64(row[k]) - highest, 0.0)
        if k != top:
            rest += shifted[k]
    total = 1.0 + rest
    p = shifted[target] / total
    q = rest / total if target == top else 1.0 - p
    # log1p's polynomial holds to 1; beyond that no digit is lost by a plain logarithm
    log_total = log1p_unit(rest) if rest <= 1.0 else log_positive(total)
    return p, q, highest - np.float64(row[target]) + log_total, -log_positive(q), top, rest, total


def gradient_kernels(slope: ScalarFunction, curvature: ScalarFunction) -> tuple[Any, Any]:
    """Compile the gradient loops for a loss's ``slope`` (w*q) and ``curvature``."""
    stamp = SOURCE_STAMP

    @kernel
    def binary_gradient(
        raw: Any, y: Any, weight: Any, class_weight: Any, shape: Any, limit: Any,
        gradient: Any, hessian: Any,
    ) -> None:  # fmt: skip
        if stamp < 0:
            return
        weight_0, weight_1 = class_weight[0], class_weight[1]
        shape_0, shape_1 = shape[0], shape[1]
        limit_0, limit_1 = limit[0], limit[1]
        for i in range(raw.shape[0]):
            positive = y[i] > 0
            margin = raw[i] if positive else -raw[i]
            margin = min(margin, limit_1 if positive else limit_0)
            theta = shape_1 if positive else shape_0
            w = weight_1 if positive else weight_0
            if weight is not None:
                w = w * weight[i]
            p, q, loss_p, large, small = row_terms(margin)
            steepness = slope(theta, p, q, loss_p, large, small)
            curve = curvature(theta, p, q, loss_p, large, small, steepness)
            gradient[i] = np.float32(-w * steepness if positive else w * steepness)
            hessian[i] = np.float32(w * curve)

    @kernel
    def softmax_gradient(
        raw: Any, y: Any, weight: Any, class_weight: Any, shape: Any, limit: Any,
        factor: float, gradient: Any, hessian: Any,
    ) -> None:  # fmt: skip
        if stamp < 0:
            return
        n_classes = raw.shape[1]
        shifted = np.empty(n_classes)
        for i in range(raw.shape[0]):
            t = int(y[i])
            p, q, loss_p, loss_q, top, rest, total = softmax_terms(raw[i], t, shifted)
            w = np.float64(class_weight[t])
            if weight is not None:
                w = w * weight[i]
            loss_q = min(loss_q, limit[t])
            steepness = slope(shape[t], p, q, loss_p, loss_q, 0.0)
            curve = curvature(shape[t], p, q, loss_p, loss_q, 0.0, steepness)
            for k in range(n_classes):
                p_k = shifted[k] / total
                not_k = rest / total if k == top else 1.0 - p_k
                if k == t:
                    gradient[i, k] = -w * steepness
                    hessian[i, k] = factor * w * curve
                else:
                    share = p_k / q
                    gradient[i, k] = w * steepness * share
                    hessian[i, k] = factor * w * steepness * share * not_k

    return binary_gradient, softmax_gradient


def value_kernels(value: ScalarFunction) -> tuple[Any, Any]:
    """Compile the loops of a loss's ``value``."""
    stamp = SOURCE_STAMP

    @kernel
    def binary_value(
        raw: Any, y: Any, weight: Any, class_weight: Any, shape: Any, limit: Any, out: Any
    ) -> None:
        if stamp < 0:
            return
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

    @kernel
    def softmax_value(
        raw: Any, y: Any, weight: Any, class_weight: Any, shape: Any, limit: Any, out: Any
    ) -> None:
        if stamp < 0:
            return
        shifted = np.empty(raw.shape[1])
        for i in range(raw.shape[0]):
            t = int(y[i])
            p, q, loss_p, loss_q, _, _, _ = softmax_terms(raw[i], t, shifted)
            w = np.float64(class_weight[t])
            if weight is not None:
                w = w * weight[i]
            out[i] = w * value(shape[t], p, q, loss_p, min(loss_q, limit[t]), 0.0)

    return binary_value, softmax_value


def compile_loss(
    slope: ScalarFunction, curvature: ScalarFunction, value: ScalarFunction
) -> Kernels:
    """All four loops of a loss; nothing compiles before the first call."""
    return Kernels(*gradient_kernels(slope, curvature), *value_kernels(value))


@kernel
def binary_norms(raw: Any, y: Any, out: Any) -> None:
    """Gradient norm of each row, q = |sigma(z) - y|."""
    for i in range(raw.shape[0]):
        out[i] = row_terms(raw[i] if y[i] > 0 else -raw[i])[1]


@kernel
def softmax_norms(raw: Any, y: Any, out: Any) -> None:
    """Gradient norm of each row, q = 1 - p of the true class."""
    shifted = np.empty(raw.shape[1])
    for i in range(raw.shape[0]):
        out[i] = softmax_terms(raw[i], int(y[i]), shifted)[1]
