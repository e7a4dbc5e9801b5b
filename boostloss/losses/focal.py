"""Focal loss: cross-entropy weighted by how hard a row is."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from boostloss.losses._base import Loss
from boostloss.losses._elementary import exp_nonpositive
from boostloss.losses._jit import fma, inlined
from boostloss.losses._kernels import compile_loss
from boostloss.losses._validation import SMALLEST, Array, check_choice, check_number
from boostloss.losses._workers import ALONE, Workers


@inlined
def _power(gamma: Any, large: Any, small: Any) -> Any:
    """``q**gamma = exp(-gamma (large + small))``, any gamma >= 0.

    The exponent reaches 69 where the result is still 1e-30: rounding it to float32 alone
    would cost 4e-6, so the rounding errors of product and sum are carried along.
    """
    product = -gamma * large
    product_error = fma(-gamma, large, -product)
    smaller = -gamma * small
    exponent = product + smaller
    sum_error = smaller - (exponent - product)
    return exp_nonpositive(exponent, product_error + sum_error)


@inlined
def _slope(gamma: Any, p: Any, q: Any, loss_p: Any, large: Any, small: Any) -> Any:
    return _power(gamma, large, small) * (q + gamma * p * loss_p)


@inlined
def _reweighted(gamma: Any, p: Any, q: Any, loss_p: Any, large: Any, small: Any, slope: Any) -> Any:
    return slope * p


@inlined
def _exact(gamma: Any, p: Any, q: Any, loss_p: Any, large: Any, small: Any, slope: Any) -> Any:
    inner = q + gamma * (q + q + loss_p * (gamma * p - q))
    return max(_power(gamma, large, small) * p * inner, FLOOR)


@inlined
def _value(gamma: Any, p: Any, q: Any, loss_p: Any, large: Any, small: Any) -> Any:
    return _power(gamma, large, small) * loss_p


FLOOR = 1e-16
"""Least exact curvature: positive, so that engines never divide by zero or step uphill."""

SMALLEST_NORMAL = np.finfo(np.float64).tiny

_REWEIGHTED = compile_loss(_slope, _reweighted, _value)
_EXACT = compile_loss(_slope, _exact, _value)


class FocalLoss(Loss):
    r"""Focal loss ``w_y q**gamma u`` with ``u = -log p`` and ``q = 1 - p``.

    p is the probability given to the true class. Easy rows (q near 0) lose their weight,
    hard rows keep it [1]_. With dp/dm = p q for the margin m,

        d/dm [q**gamma u] = -gamma q**(gamma-1) p q u - q**gamma q
                          = -q**gamma (q + gamma p u) = -w q,

    so that the weight is ``w = q**gamma + gamma p q**(gamma-1) u``: no division is needed.
    Differentiating once more gives the true curvature

        q**gamma p [ q (1 + 2 gamma) + gamma u (gamma p - q) ],

    which is negative on confidently wrong rows; ``hessian="reweighted"`` takes cross-entropy's
    curvature times the same weight, ``w p q``, never negative (a Gauss-Newton step).

    Parameters
    ----------
    gamma : float >= 0 or one for each class, default=2.0
        Strength of the focus on hard rows. 0 is cross-entropy.
    alpha : float in (0, 1), optional
        Lin et al.'s balance for binary problems: weight alpha for positives, 1 - alpha for
        negatives. Not together with ``class_weight``.
    class_weight, beta
        As in :class:`~boostloss.CrossEntropy`.
    hessian : {"reweighted", "exact"}, default="reweighted"
        "exact" is the true curvature, floored at 1e-16 (times the row's weight). For softmax
        it is exact in the true class's score; the others keep ``w p_k (1 - p_k)``.

    References
    ----------
    .. [1] Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equations 4 and 5.

    Examples
    --------
    >>> from boostloss import FocalLoss
    >>> easy, hard = FocalLoss(gamma=2).value([1, 1], [3.0, -3.0])
    >>> print(f"{easy:.4f} {hard:.4f}")
    0.0001 2.7663
    """

    name = "focal"

    def __init__(
        self,
        gamma: Any = 2.0,
        alpha: float | None = None,
        *,
        class_weight: Any = None,
        beta: float = 0.9999,
        hessian: str = "reweighted",
    ) -> None:
        self.gamma = gamma
        self.alpha = alpha
        self.class_weight = class_weight
        self.beta = beta
        self.hessian = hessian
        self._check_params()

    @property
    def _kernels(self) -> Any:  # type: ignore[override]
        return _EXACT if self.hessian == "exact" else _REWEIGHTED

    def _check_params(self) -> None:
        super()._check_params()
        check_choice("hessian", self.hessian, ("reweighted", "exact"))
        for gamma in np.atleast_1d(np.asarray(self.gamma, dtype=object)):
            check_number("gamma (one, or one for each class)", gamma, 0.0)
        if self.alpha is not None:
            check_number("alpha", self.alpha, SMALLEST, 1.0, open_end=True)
            if self.class_weight is not None:
                raise ValueError(
                    f"alpha must be None when class_weight is given, got alpha={self.alpha!r} "
                    f"and class_weight={self.class_weight!r}"
                )

    def _shape(self, n_classes: int) -> Array:
        gamma = np.asarray(self.gamma, dtype=np.float64)
        if gamma.ndim and len(gamma) != n_classes:
            raise ValueError(
                f"gamma must be one number or one for each of {n_classes} classes, got {len(gamma)}"
            )
        return np.array(np.broadcast_to(gamma, n_classes))

    def _class_weight(
        self, y: Array, sample_weight: Array | None, n_classes: int, workers: Workers = ALONE
    ) -> Array:
        if self.alpha is None:
            return super()._class_weight(y, sample_weight, n_classes, workers)
        if n_classes != 2:
            raise ValueError(
                f"alpha must be None with {n_classes} classes (it is the weight of the positives "
                f"in a binary problem), got {self.alpha!r}; use class_weight"
            )
        return np.array([1.0 - self.alpha, self.alpha])

    def _with_class_weight(self, class_weight: Array) -> Self:
        # alpha is a class weight too, and stands in the numbers given
        given = {"alpha": None, "class_weight": class_weight.tolist()}
        return type(self)(**{**self.get_params(), **given})

    def _in_double(self, n_dimensions: int) -> bool:
        # the exact curvature crosses zero: float32 would lose its digits near the crossing
        return self.hessian == "exact"

    def _log_weight(self, log_p: Array, log_q: Array, label: Any) -> Array:
        shape = np.asarray(self.gamma, dtype=np.float64)
        shape = shape[label] if shape.ndim else shape
        # w = q**gamma (1 + gamma p u / q), where u / q -> 1 as q -> 0
        p, q = np.exp(log_p), np.exp(log_q)
        ratio = np.divide(-log_p, q, out=np.ones_like(q), where=q > SMALLEST_NORMAL)
        weight: Array = shape * log_q + np.log1p(shape * p * ratio)
        return weight
