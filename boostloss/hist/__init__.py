"""scikit-learn's own trees: a loss for ``HistGradientBoostingClassifier``, and the classifier.

They need nothing but what boostloss itself depends on.
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
    """A loss as ``HistGradientBoostingClassifier(loss=...)`` takes it.

    Training starts at the loss's exact intercept, early stopping follows the log loss of the
    posterior, and ``predict_proba`` returns that posterior. Parameters can be searched as
    ``loss__gamma`` and the like. :class:`ImbalancedHistGradientBoostingClassifier` does the same
    and takes a recorder, class weights by label and the parameter ``probability`` too.

    Parameters
    ----------
    loss : Loss or str
        A loss such as ``FocalLoss(gamma=2)``, or the name of one with its defaults. A
        ``class_weight`` that is a sequence is in the order of the sorted labels.

    Returns
    -------
    HistLoss
        For one model: scikit-learn's ``clone``, and with it cross-validation and searches, makes
        another one for each.

    Raises
    ------
    TypeError, ValueError
        For what is not a loss.

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
