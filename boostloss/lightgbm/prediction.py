"""Fit a loss to a LightGBM booster, and predict probabilities with a booster that carries one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from boostloss.classifier import fit_to_scores, probabilities
from boostloss.lightgbm.model import carried, is_forest, rounds_used
from boostloss.lightgbm.parameters import moves_shares, value_of
from boostloss.losses import FittedLoss, Loss
from boostloss.losses.validation import Array
from boostloss.metrics import raw_of_probability


def predict_proba(booster: Any, X: Any) -> Array:
    """Predict probabilities with a booster of :func:`train`, which contains its fitted loss.

    Parameters
    ----------
    booster : lightgbm.Booster
        A booster that :func:`train` returned, or that was loaded from its file. After early
        stopping the rounds up to the best are used.
    X : array or frame of shape (n, d)
        Features, as for ``booster.predict``.

    Returns
    -------
    array of shape (n, K)
        Probability of each class. Rows sum to 1.

    Raises
    ------
    TypeError, ValueError
        If ``booster`` is not a booster, contains no loss, or was refitted or trained further by
        LightGBM.

    See Also
    --------
    boostloss.lightgbm.train : Trains such a booster.
    boostloss.decide.decide : Decides from probabilities.

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
    if is_forest(booster):  # raw scores are the sum of the trees, not the mean
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
    """Fit the loss to a booster that still has its training rows, cut to its best round.

    ``by_class`` is the loss fitted to the class counts alone, which is mostly sufficient for plain
    cross-entropy. ``linked`` says whether the built-in objective was used, so that LightGBM
    passes probabilities.
    """
    if not needs_scores(by_class, booster.params):
        return by_class
    if booster.best_iteration > 0:
        for _ in range(booster.current_iteration() - booster.best_iteration):
            booster.rollback_one_iter()
    return fit_to_scores(loss, y, training_scores(booster, linked), weight)


def needs_scores(by_class: FittedLoss, params: Mapping[str, Any]) -> bool:
    """Return whether the loss must also be fitted to the raw scores of its training rows."""
    return not by_class.keeps_shares or moves_shares(params)


def is_dart(booster: Any) -> bool:
    """Return whether the booster drops trees in training."""
    return bool(value_of(booster.params, "boosting") == "dart")


def training_scores(booster: Any, linked: bool) -> Array:
    """Return the raw scores of the training rows, which a booster keeps in training.

    With dart, reading them would drop trees again and change the model. The rows are then added
    as an evaluation set, for which LightGBM sums the trees without dropping any.
    """
    seen: list[Array] = []

    def keep(raw: Array, rows: Any) -> tuple[str, float, bool]:
        seen.append(np.array(raw))
        return "kept", 0.0, False

    if is_dart(booster):
        booster.add_valid(booster.train_set, "training rows, no tree dropped")
        booster.eval_valid(keep)
    else:
        booster.eval_train(keep)
    return raw_of_probability(seen[-1]) if linked else seen[-1]


class KeepTrainingScores:
    """A callback of LightGBM that keeps the training rows' scores after the last round.

    Predicting them again takes 6 to 12% of a training. If training stops early or drops trees,
    ``raw`` is None, because the current scores belong to another model.

    Parameters
    ----------
    linked : bool
        As in :func:`fit_to_training_rows`.
    """

    order = 1_000
    """Runs after early stopping, which ends a round by an exception."""

    before_iteration = False

    def __init__(self, linked: bool) -> None:
        self.linked = linked
        self.raw: Array | None = None

    def __call__(self, env: Any) -> None:
        """Keep the scores after the last round."""
        if env.iteration + 1 == env.end_iteration and not is_dart(env.model):
            self.raw = training_scores(env.model, self.linked)


def with_drop_alike(callbacks: Any) -> list[Any]:
    """Return the callbacks and another one, with which dart drops the same trees in every training.

    Before the first round of a callable objective, LightGBM reads a variable that it initializes
    only later, so that the same training could return two models. Evaluating the training scores
    initializes it. Setting the parameters again restarts the random numbers.
    """

    def drop_alike(env: Any) -> None:
        if env.iteration != env.begin_iteration:
            return
        for booster in getattr(env.model, "boosters", [env.model]):
            if is_dart(booster):
                booster.eval_train(_no_metric)
                rate = value_of(booster.params, "drop_rate")
                booster.reset_parameter({"drop_rate": DROP_RATE if rate is None else rate})

    vars(drop_alike).update(order=0, before_iteration=True)
    return [drop_alike, *(callbacks or ())]


DROP_RATE = 0.1
"""LightGBM's default."""


def _no_metric(raw: Any, rows: Any) -> tuple[str, float, bool]:
    return "none", 0.0, False
