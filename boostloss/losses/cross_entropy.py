"""Define cross-entropy, plain or with a weight for each class (balanced cross-entropy)."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.kernels import Row, scalar
from boostloss.losses.base import Loss
from boostloss.losses.registry import register
from boostloss.losses.validation import Array


@register
class CrossEntropy(Loss):
    r"""Cross-entropy, plain or with a weight for each class (balanced cross-entropy).

    Let p be the probability that the raw score z gives to the true class, and q = 1 - p. With the
    class weight w_y the value, gradient and curvature are

    .. math::
        \ell = {-w_y \log p}, \qquad
        \frac{\partial\ell}{\partial z} = {-(2y - 1)}\,w_y\,q, \qquad
        \frac{\partial^2\ell}{\partial z^2} = w_y\,p\,q.

    A large majority of easy examples still makes up most of the loss, although each has a small
    q. A class weight rescales the sum of a class. It treats easy and hard examples alike.

    Parameters
    ----------
    class_weight : None, "balanced", "effective", float, dict or sequence, default=None
        Weight w_y of each class. "balanced" is ``n / (K n_k)`` for n rows and K classes, with
        n_k rows in class k. "effective" is ``1 / E_k`` with
        ``E_k = (1 - beta**n_k) / (1 - beta)`` [1]_, scaled so that the mean weight of a row is 1.
        A float is the weight of the positive class, with 1 for the negative class, as
        ``scale_pos_weight`` (two classes only). Counts are sums of sample weights.
    beta : float in [0, 1), default=0.9999
        Overlap of samples, used by "effective" only.

    See Also
    --------
    balanced_ce_obj, balanced_ce_metric : Balanced cross-entropy as an objective and as a metric.

    References
    ----------
    .. [1] Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.

    Examples
    --------
    >>> from boostloss import CrossEntropy
    >>> loss = CrossEntropy(class_weight="balanced")
    >>> gradient, hessian = loss.gradient_hessian([0, 0, 0, 1], [0.0, 0.0, 0.0, 0.0])
    >>> print(gradient.round(3))
    [ 0.333  0.333  0.333 -1.   ]
    """

    name = "cross_entropy"

    @scalar
    def value(row: Row) -> Any:  # type: ignore[override]
        return row.neg_log_p

    @scalar
    def slope(row: Row) -> Any:
        return row.q

    @scalar
    def log_weight(row: Row) -> Any:
        return 0.0

    @property
    def has_constant_weight(self) -> bool:
        """Always True, except in subclasses, which may define another value."""
        return type(self) is CrossEntropy

    def needs_float64(self, softmax: bool, of_value: bool = False) -> bool:
        """Return True for the derivatives of softmax.

        They are then rounded only once, and XGBoost grows the same trees as with its built-in
        objective (digits, 139 rounds: probabilities differ by 6e-7). In float32, which is faster,
        one split that was nearly a tie differed, and probabilities by 0.22.
        """
        return softmax and not of_value


def is_plain_cross_entropy(loss: Loss) -> bool:
    """Return whether this is cross-entropy without weights, the engines' built-in loss."""
    weights = constant_weights(loss)
    return weights is not None and bool((weights == 1.0).all())


def constant_weights(loss: Loss) -> Array | None:
    """Return the class weights if the loss is cross-entropy with numbers as weights, else None.

    An engine's built-in objective minimises the same loss, given these weights.
    """
    weights = loss.class_weight
    if type(loss) is not CrossEntropy or not isinstance(weights, list):
        return None
    return np.array(weights, dtype=np.float64)
