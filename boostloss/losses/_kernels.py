"""The loops of one loss: every loss is a weight on cross-entropy, so the same loops serve all.

A loss is handed in as scalar functions of one row's true class (see
:class:`boostloss.losses._base.Loss`): its slope ``w*q``, its curvature and its value. Results
are float32: both engines store that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from boostloss.losses import _binary, _softmax

ScalarFunction = Callable[..., Any]


class Kernels(NamedTuple):
    """Compiled loops of one loss; gradient and slope return True if input is not allowed."""

    binary_gradient: Callable[..., bool]
    binary_value: Callable[..., None]
    softmax_slope: Callable[..., bool]
    softmax_value: Callable[..., None]


def compile_loss(
    slope: ScalarFunction, curvature: ScalarFunction, value: ScalarFunction
) -> Kernels:
    """All four loops of a loss; nothing compiles before the first call."""
    return Kernels(
        _binary.gradient_kernel(slope, curvature),
        _binary.value_kernel(value),
        _softmax.slope_kernel(slope, curvature),
        _softmax.value_kernel(value),
    )
