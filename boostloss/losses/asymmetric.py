"""Define the asymmetric loss: focal loss with one exponent per class and no easy negatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.kernels import Row, exp, log, log1p, neg_log_rest, scalar, where
from boostloss.losses.base import FARTHEST, Loss
from boostloss.losses.class_weight import ClassWeight
from boostloss.losses.registry import register
from boostloss.losses.validation import check_number

HELD = 1e-2
"""In the posterior, a negative's weight is constant up to ``q = margin + HELD (1 - margin)``."""

TINY = float(np.finfo(np.float64).tiny)


@scalar
def shifted(row: Row, margin: Any) -> Any:
    """Return ``r = max(q - margin, 0)`` and ``v = -log(1 - r)``."""
    r = max(row.q - margin, 0.0)
    # 1 - r = p + margin if r > 0
    v = row.neg_log_p if margin == 0 else neg_log_rest(r, row.p + margin)
    return r, v


@scalar
def power(r: Any, gamma: Any) -> Any:
    """Return ``r**gamma`` for 0 <= r <= 1."""
    return exp(gamma * log(max(r, TINY)))


@register
class AsymmetricLoss(Loss):
    r"""Asymmetric loss: a focal loss that ignores easy negatives, for two classes [1]_.

    Let p be the probability that the raw score gives to the true class, and q = 1 - p. For
    positives r = q. For negatives r = max(q - margin, 0), so negatives whose predicted
    probability is at most ``margin`` have no loss, no gradient and no weight. With
    v = -log(1 - r), the value, and the weight w relative to the gradient of cross-entropy, are

    .. math::
        \ell = w_y\,r^\gamma v, \qquad
        w = w_y\,p\,\Big(\gamma\,r^{\gamma-1} v + \frac{r^\gamma}{1 - r}\Big).

    The curvature is cross-entropy's with the same weight, w p q.

    Parameters
    ----------
    gamma_neg : float >= 0, default=4.0
        Focus on hard negatives; 0 is cross-entropy, apart from the margin.
    gamma_pos : float >= 0, default=1.0
        Focus on hard positives, smaller where positives are rare.
    margin : float in [0, 1), default=0.05
        Predicted probability up to which a negative is ignored.
    class_weight : None, "balanced", "effective", float, dict or sequence, default=None
        Weight w_y of each class, as in :class:`~boostloss.CrossEntropy`.
    beta : float in [0, 1), default=0.9999
        Overlap of samples, used by "effective" only.

    See Also
    --------
    FocalLoss : Has no margin, and works for several classes.

    Notes
    -----
    Where the weight of negatives is 0, the loss determines only that P(positive) is small.
    The posterior then uses the weight slightly above the margin, at
    ``q = margin + 0.01 (1 - margin)``. It is therefore positive and increases with the score. The
    loss of a negative is at most ``-log(margin)``, so with ``gamma_pos=0`` the posterior stays
    below 1 up to a score of 512. Beyond it the weight is constant.

    References
    ----------
    .. [1] Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021,
       equations 4 to 7.

    Examples
    --------
    >>> from boostloss import AsymmetricLoss
    >>> easy, hard = AsymmetricLoss().value([0, 0], [-3.0, 3.0])  # p = 0.047 and 0.953
    >>> print(f"{easy:.4f} {hard:.4f}")
    0.0000 1.5518
    """

    name = "asymmetric"
    binary_only = True
    weight_may_be_zero = True

    def __init__(
        self,
        gamma_neg: float = 4.0,
        gamma_pos: float = 1.0,
        margin: float = 0.05,
        *,
        class_weight: ClassWeight = None,
        beta: float = 0.9999,
    ) -> None:
        self.gamma_neg = gamma_neg
        self.gamma_pos = gamma_pos
        self.margin = margin
        self.class_weight = class_weight
        self.beta = beta
        self.check_params()

    @scalar
    def value(row: Row, gamma: Any, margin: Any) -> Any:  # type: ignore[override]
        r, v = shifted(row, margin)
        return power(r, gamma) * v

    @scalar
    def slope(row: Row, gamma: Any, margin: Any) -> Any:
        r, v = shifted(row, margin)
        # v / r -> 1 as r -> 0
        rest = 1.0 if margin == 0 else row.p / (row.p + margin)  # p may be 0 in softmax
        bracket = gamma * row.p * v / max(r, TINY) + rest
        return power(r, gamma) * row.q * bracket if row.q > margin else 0.0 * row.q

    @scalar
    def log_weight(row: Row, gamma: Any, margin: Any) -> Any:
        if margin == 0:  # the focal loss
            ratio = (row.neg_log_p + TINY) / (row.q + TINY)
            return -gamma * row.neg_log_q + log1p(gamma * row.p * ratio)
        least = HELD * (1.0 - margin)
        held = row.q - margin < least
        r = where(held, least, row.q - margin)
        p = where(held, 1.0 - margin - least, row.p)
        neg_log_p = where(held, -np.log(1.0 - margin - least), row.neg_log_p)
        bracket = gamma * -log(p + margin) / r + 1.0 / (p + margin)
        return gamma * log(r) - where(neg_log_p < FARTHEST, neg_log_p, FARTHEST) + log(bracket)

    def check_params(self) -> None:
        """Raise an error if a parameter is out of range."""
        super().check_params()
        check_number("gamma_neg", self.gamma_neg, 0.0)
        check_number("gamma_pos", self.gamma_pos, 0.0)
        check_number("margin", self.margin, 0.0, 1.0, open_end=True)

    def shape_params(self, n_classes: int) -> dict[str, Any]:
        """Return gamma and margin of negatives and positives."""
        return {"gamma": [self.gamma_neg, self.gamma_pos], "margin": [self.margin, 0.0]}

    def tail_power(self, n_classes: int) -> Any:
        """Return 1 + gamma: on easy rows ``w q ~ q**(1 + gamma)``, or 0."""
        return [1.0 + self.gamma_neg, 1.0 + self.gamma_pos]

    def of_the_positive(self) -> dict[str, Any]:
        """Return all parameters, but those of the shape only if the classes differ in them."""
        alike = self.gamma_neg == self.gamma_pos and self.margin == 0
        names = () if alike else ("gamma_neg", "gamma_pos", "margin")
        return {**super().of_the_positive(), **{name: getattr(self, name) for name in names}}
