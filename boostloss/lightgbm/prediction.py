"""Probabilities from a booster of LightGBM that carries its fitted loss; fitting that loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.classifier import probabilities
from boostloss.lightgbm.model import carried, is_forest, rounds_used
from boostloss.losses import FittedLoss, Loss
from boostloss.losses.validation import Array
from boostloss.metrics import raw_of_probability


def predict_proba(booster: Any, X: Any) -> Array:
    """Calibrated probabilities from a booster of :func:`train`, which carries its fitted loss.

    Parameters
    ----------
    booster : lightgbm.Booster
        As :func:`train` returned it, or read from its saved file. After early stopping the rounds
        up to the best count.
    X : array or frame of shape (n, d)
        What ``booster.predict`` takes.

    Returns
    -------
    array of shape (n, K)
        Probability of each class; rows sum to 1.

    Raises
    ------
    TypeError, ValueError
        For what is no booster; for one that carries no loss, or was refitted or trained on by
        LightGBM itself.

    See Also
    --------
    boostloss.lightgbm.train : Makes such a booster.
    boostloss.decide.decide : Decisions from probabilities.

    Examples
    --------
    >>> import boostloss.lightgbm, lightgbm as lgb
    >>> from boostloss import FocalLoss
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> rows = lgb.Dataset(X, y)
    >>> booster = boostloss.lightgbm.train({"verbose": -1}, rows, 20, loss=FocalLoss())
    >>> boostloss.lightgbm.predict_proba(booster, X).shape
    (500, 2)
    """
    state = carried(booster)
    raw = booster.predict(X, raw_score=True)
    if is_forest(booster):  # the sum, where LightGBM's prediction is by the mean
        raw = raw / rounds_used(booster)
    return probabilities(raw, state.loss, state.probability)


def fit_to_training_rows(
    loss: Loss,
    booster: Any,
    y: Array,
    weight: Array | None,
    by_class: FittedLoss,
    linked: bool = False,
) -> FittedLoss:
    """The fitted loss of a booster that still holds its training rows; cuts it to its best round.

    ``by_class`` is the loss fitted to the classes alone, all that plain cross-entropy needs.
    ``linked``: the built-in objective trained, under which LightGBM passes probabilities.
    """
    dart = any(booster.params.get(n) == "dart" for n in ("boosting", "boosting_type", "boost"))
    # asked for its training scores, dart drops trees once more, which changes the model
    if by_class.keeps_shares or (dart and not loss.depends_on_all_scores):
        return by_class
    if booster.best_iteration > 0:
        for _ in range(booster.current_iteration() - booster.best_iteration):
            booster.rollback_one_iter()
    seen: list[Array] = []

    def keep(raw: Array, rows: Any) -> tuple[str, float, bool]:
        seen.append(np.array(raw))
        return "kept", 0.0, False

    booster.eval_train(keep)  # the scores of the training rows, which it holds anyway
    return loss.fit(y, raw_of_probability(seen[0]) if linked else seen[0], weight)
