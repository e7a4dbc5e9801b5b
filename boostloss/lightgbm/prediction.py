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
    state = carried(booster).in_use()
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
    # asked for its training scores, dart drops trees once more, which changes the model
    if by_class.keeps_shares or (is_dart(booster) and not loss.depends_on_all_scores):
        return by_class
    if booster.best_iteration > 0:
        for _ in range(booster.current_iteration() - booster.best_iteration):
            booster.rollback_one_iter()
    return loss.fit(y, training_scores(booster, linked), weight)


def is_dart(booster: Any) -> bool:
    """Whether trees are dropped while it trains."""
    return any(booster.params.get(n) == "dart" for n in ("boosting", "boosting_type", "boost"))


def training_scores(booster: Any, linked: bool) -> Array:
    """Raw scores of the training rows, which a booster in training holds anyway."""
    seen: list[Array] = []

    def keep(raw: Array, rows: Any) -> tuple[str, float, bool]:
        seen.append(np.array(raw))
        return "kept", 0.0, False

    booster.eval_train(keep)
    return raw_of_probability(seen[0]) if linked else seen[0]


class KeepTrainingScores:
    """A callback of LightGBM that keeps the training rows' scores after the last round.

    Predicting them again takes 6 to 12% of a training. Where training stops early, or drops
    trees, ``raw`` stays None: the scores at hand are then those of another model.

    Parameters
    ----------
    linked : bool
        As in :func:`fit_to_training_rows`.
    """

    order = 1_000
    """After early stopping, which ends a round by an exception."""

    before_iteration = False

    def __init__(self, linked: bool) -> None:
        self.linked = linked
        self.raw: Array | None = None

    def __call__(self, env: Any) -> None:
        """Called by LightGBM after each round."""
        if env.iteration + 1 == env.end_iteration and not is_dart(env.model):
            self.raw = training_scores(env.model, self.linked)
