"""Store the fitted loss in an XGBoost model, and edit the model's JSON.

The fitted loss is an attribute of the booster, which XGBoost saves, copies and pickles with it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from boostloss.classifier import probabilities
from boostloss.losses import FittedLoss
from boostloss.losses.validation import Array
from boostloss.model_file import State, read_state, state_of_codes
from boostloss.optional import require
from boostloss.xgboost.trees import factors_of, start_of

xgb = require("xgboost", "xgboost")

ATTRIBUTE = "boostloss"
_ROUNDS = "boostloss_rounds"
"""Attribute with the number of rounds when the loss was fitted. With more, training continued."""


def carry(booster: Any, loss: FittedLoss, **in_use: Any) -> Any:
    """Write the fitted loss into the booster, unless it is not registered and cannot be saved.

    ``in_use`` contains further fields of the state: class shares, prior, decision.
    """
    rounds = str(booster.num_boosted_rounds())
    booster.set_attr(**{ATTRIBUTE: state_of_codes(loss, **in_use), _ROUNDS: rounds})
    return booster


def carried(booster: Any) -> State:
    """Return the labels and the fitted loss that a booster carries.

    Raises
    ------
    TypeError, ValueError
        If it is not a booster, carries no loss, or was trained further since.
    """
    if not isinstance(booster, xgb.Booster):
        raise TypeError(f"booster must be an xgboost.Booster, got {type(booster).__name__}")
    text = booster.attr(ATTRIBUTE)
    if text is None:
        raise ValueError(
            "booster must carry a fitted loss, as those of boostloss.xgboost.train with a "
            "registered loss do, and files that ImbalancedXGBClassifier saved; got one without"
        )
    rounds, fitted = booster.num_boosted_rounds(), booster.attr(_ROUNDS)
    if fitted is not None and rounds > int(fitted):
        raise ValueError(
            f"booster must be as boostloss.xgboost.train returned it: its loss was fitted after "
            f"{fitted} rounds, and it has {rounds}"
        )
    return read_state(text, "booster")


def predict_proba(booster: Any, X: Any) -> Array:
    """Predict probabilities with a booster of :func:`train`, which contains its fitted loss.

    Parameters
    ----------
    booster : xgboost.Booster
        A booster that :func:`train` returned, or that was loaded from its file or from a file of
        :class:`ImbalancedXGBClassifier`. After early stopping the rounds up to the best are used.
    X : DMatrix, or array or frame of shape (n, d)
        Features as in training, including categorical columns of a frame.

    Returns
    -------
    array of shape (n, K)
        Probability of each class. Rows sum to 1.

    Raises
    ------
    TypeError, ValueError
        If ``booster`` is not a booster, contains no loss, or was trained further by XGBoost.

    See Also
    --------
    boostloss.xgboost.train : Trains such a booster.
    boostloss.decide.decide : Decides from probabilities.

    Examples
    --------
    >>> import boostloss.xgboost, xgboost as xgb
    >>> from boostloss import FocalLoss
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> booster = boostloss.xgboost.train({}, xgb.DMatrix(X, y), 20, loss=FocalLoss())
    >>> boostloss.xgboost.predict_proba(booster, X).shape
    (500, 2)
    """
    state = carried(booster).in_use()
    data = X if isinstance(X, xgb.DMatrix) else xgb.DMatrix(X, enable_categorical=True)
    return probabilities(raw_scores(booster, data), state.loss, state.probability)


def raw_scores(booster: Any, data: Any) -> Array:
    """Return the raw scores of the rounds up to the best."""
    best = booster.attr("best_iteration")
    rounds = (0, 0) if best is None else (0, int(best) + 1)
    raw: Array = booster.predict(data, output_margin=True, iteration_range=rounds)
    return raw


def shifted(booster: Any, shift: Array) -> Any:
    """Return a copy of the booster with ``shift`` (1,) or (K,) added to its raw scores.

    The shift is added to ``base_score``. The part that this cannot represent, because it is a
    float32 probability, is added to the leaves of the first tree of each class.
    """
    document = json.loads(bytes(booster.save_raw("json")))
    learner = document["learner"]
    wanted = start_of(learner) + shift
    binary = learner["objective"]["name"] == "binary:logistic"
    base = 1.0 / (1.0 + np.exp(-wanted)) if binary else wanted
    base = np.clip(base, 1e-6, 0.5) if binary else base  # float32 is inaccurate near 1
    numbers = ",".join(f"{value:.9E}" for value in base)
    learner["learner_model_param"]["base_score"] = f"[{numbers}]"
    rest = wanted - start_of(learner)
    if (np.abs(rest) > np.finfo(np.float32).eps * np.maximum(1.0, np.abs(wanted))).any():
        _add_to_leaves(learner["gradient_booster"], rest)
    copy = xgb.Booster()
    copy.load_model(bytearray(json.dumps(document).encode()))
    return copy


def _add_to_leaves(gradient_booster: dict[str, Any], rest: Array) -> None:
    model = gradient_booster.get("gbtree", gradient_booster)["model"]
    targets = model.get("tree_info", [])
    if set(range(len(rest))) - set(targets):
        raise ValueError(
            "calibrated must be False for a model without trees if base_score cannot store the "
            "shift, got True"
        )
    factors = factors_of(gradient_booster)
    for target, value in enumerate(rest):
        first = targets.index(target)
        tree = model["trees"][first]
        for node, left in enumerate(tree["left_children"]):
            if left == -1:
                tree["split_conditions"][node] += value / factors[first]
