"""Define the focal loss: cross-entropy with larger weights on hard rows."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from boostloss.kernels import Row, RowFunctions, log1p, q_power, scalar
from boostloss.losses.base import Loss
from boostloss.losses.class_weight import ClassWeight, ClassWeightParameters
from boostloss.losses.registry import register
from boostloss.losses.validation import SMALLEST, Array, check_choice, check_number

FLOOR = 1e-16
"""Lower bound of the exact curvature. It is positive, so that engines never divide by zero."""

TINY = float(np.finfo(np.float64).tiny)

Hessian = Literal["reweighted", "exact"]


class FocalParameters(ClassWeightParameters, total=False):
    """Keyword arguments of :class:`FocalLoss`, for type checkers."""

    hessian: Hessian


@register
class FocalLoss(Loss):
    r"""Focal loss: cross-entropy with less weight on easy examples.

    Let p be the probability that the raw score z gives to the true class, q = 1 - p and
    u = -log p. Easy examples (q near 0) lose their weight, and hard examples keep it [1]_. The
    value, and the weight w relative to the gradient of cross-entropy, are

    .. math::
        \ell = w_y\,q^\gamma u, \qquad
        w = w_y\,\big(q^\gamma + \gamma\,p\,q^{\gamma-1} u\big).

    The gradient is -(2y - 1) w q. The true second derivative

    .. math::
        w_y\,q^\gamma p\,\big(q\,(1 + 2\gamma) + \gamma\,u\,(\gamma\,p - q)\big)

    is negative on confidently wrong rows. ``hessian="reweighted"`` therefore uses cross-entropy's
    curvature times the same weight, w p q, which is never negative (a Gauss-Newton step).

    Parameters
    ----------
    gamma : float >= 0 or one for each class, default=2.0
        Strength of the focus on hard examples. 0 is cross-entropy.
    alpha : float in (0, 1), optional
        Lin et al.'s balance for two classes: the weight of positives is alpha, and that of
        negatives 1 - alpha. It cannot be combined with ``class_weight``.
    class_weight : None, "balanced", "effective", float, dict or sequence, default=None
        Weight w_y of each class, as in :class:`~boostloss.CrossEntropy`.
    beta : float in [0, 1), default=0.9999
        Overlap of samples, used by "effective" only.
    hessian : {"reweighted", "exact"}, default="reweighted"
        "exact" is the true second derivative, at least 1e-16 (times the row's weight). With
        several classes it is exact for the score of the true class; the others keep
        ``w p_k (1 - p_k)``.

    See Also
    --------
    focal_obj, focal_metric : The loss as an objective and as a metric.
    AsymmetricLoss : Has an exponent for each class, and a margin.

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
        class_weight: ClassWeight = None,
        beta: float = 0.9999,
        hessian: Hessian = "reweighted",
    ) -> None:
        self.gamma = gamma
        self.alpha = alpha
        self.class_weight = class_weight
        self.beta = beta
        self.hessian = hessian
        self.check_params()

    @scalar
    def value(row: Row, gamma: Any) -> Any:  # type: ignore[override]
        return q_power(row, gamma) * row.neg_log_p

    @scalar
    def slope(row: Row, gamma: Any) -> Any:
        return q_power(row, gamma) * (row.q + gamma * row.p * row.neg_log_p)

    @scalar
    def curvature(row: Row, gamma: Any) -> Any:
        inner = row.q + gamma * (row.q + row.q + row.neg_log_p * (gamma * row.p - row.q))
        return max(q_power(row, gamma) * row.p * inner, FLOOR)

    @scalar
    def log_weight(row: Row, gamma: Any) -> Any:
        # w = q**gamma (1 + gamma p u / q), where u / q -> 1 as q -> 0
        ratio = (row.neg_log_p + TINY) / (row.q + TINY)
        return -gamma * row.neg_log_q + log1p(gamma * row.p * ratio)

    def row_functions(self) -> RowFunctions:
        """Return the scalar functions, with the exact curvature only if a parameter asks for it."""
        exact = self.hessian == "exact"
        return self.functions if exact else self.functions._replace(curvature=None)

    def check_params(self) -> None:
        """Raise an error if a parameter is out of range."""
        super().check_params()
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

    def shape_params(self, n_classes: int) -> dict[str, Any]:
        """Return gamma."""
        return {"gamma": self.gamma}

    @property
    def has_constant_weight(self) -> bool:
        """Whether gamma is 0, which makes the loss cross-entropy."""
        return not np.any(self.gamma)

    def tail_power(self, n_classes: int) -> Any:
        """Return 1 + gamma, since ``w q ~ q**(1 + gamma)`` on easy rows."""
        return 1.0 + np.asarray(self.gamma, dtype=np.float64)

    def needs_float64(self, softmax: bool, of_value: bool = False) -> bool:
        """Return True for the exact curvature: float32 loses its digits near its zero."""
        return self.hessian == "exact" and not of_value

    def class_weights(self, counts: Array | None, n_classes: int) -> Array:
        """Return the weight of each class, which ``alpha`` may set."""
        if self.alpha is None:
            return super().class_weights(counts, n_classes)
        if n_classes != 2:
            raise ValueError(
                f"alpha must be None with {n_classes} classes (it is the weight of the positives "
                f"in a binary problem), got {self.alpha!r}; use class_weight"
            )
        return np.array([1.0 - self.alpha, self.alpha])

    def of_the_positive(self) -> dict[str, Any]:
        """Return ``class_weight`` and ``alpha`` if they belong to the positive class."""
        alpha = {} if self.alpha in (None, 0.5) else {"alpha": self.alpha}
        return {**super().of_the_positive(), **alpha}

    def with_class_weight(self, class_weight: Array) -> Self:
        """Return an equal loss with these class weights, which replace ``alpha``."""
        return self._changed({"alpha": None, "class_weight": class_weight.tolist()})
