"""Losses for scikit-learn's ``HistGradientBoostingClassifier``, and a classifier that uses them.

No other package is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boostloss.hist.sklearn_loss import HistLoss
from boostloss.optional import import_when_used

if TYPE_CHECKING:
    from boostloss.hist.classifier import (
        ImbalancedHistGradientBoostingClassifier as ImbalancedHistGradientBoostingClassifier,
    )

__all__ = ["HistLoss", "ImbalancedHistGradientBoostingClassifier", "hist_loss"]

_LATE = {"ImbalancedHistGradientBoostingClassifier": "boostloss.hist.classifier"}
__getattr__, __dir__ = import_when_used(__name__, _LATE)


def hist_loss(loss: Any) -> HistLoss:
    """Make a loss for scikit-learn's ``HistGradientBoostingClassifier(loss=...)``.

    Training starts at the loss's own intercept, early stopping uses the log loss of the posterior,
    and ``predict_proba`` returns the posterior; scikit-learn's own ``predict`` decides by raw
    scores. In a search, parameters have names such as ``loss__gamma``.
    :class:`ImbalancedHistGradientBoostingClassifier` also takes a recorder, class weights by label
    and the parameters ``probability``, ``prior`` and ``decision``.

    Parameters
    ----------
    loss : Loss or str
        A loss such as ``FocalLoss(gamma=2)``, or the name of a loss with default parameters. A
        ``class_weight`` sequence has the order of the sorted labels.

    Returns
    -------
    HistLoss
        A loss for one model. scikit-learn's ``clone`` makes a new one for each model, so
        cross-validation and searches work.

    Raises
    ------
    TypeError, ValueError
        If ``loss`` is neither a loss nor the name of one.

    See Also
    --------
    boostloss.ImbalancedHistGradientBoostingClassifier : The classifier with a loss.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from boostloss import FocalLoss
    >>> from boostloss.hist import hist_loss
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> model = HistGradientBoostingClassifier(loss=hist_loss(FocalLoss(gamma=2)), max_iter=20)
    >>> model.fit(X, y).predict_proba(X).shape
    (500, 2)
    """
    return HistLoss(loss)
