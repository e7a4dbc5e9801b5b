"""One training on either engine with a loss or the engine's own objective, watched on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from boostloss.losses import Loss
from boostloss.losses._validation import Array
from boostloss.optional import require

EVERY = 5
"""Rounds between two looks at the validation rows."""

See = Callable[[Array], bool]
"""Takes the validation rows' probabilities every ``EVERY`` rounds and says whether to stop."""


class Rows(NamedTuple):
    """Features (a frame or an array), codes 0..K-1, weights or None, and K."""

    X: Any
    y: Array
    weight: Array | None
    n_classes: int


class Model(NamedTuple):
    """A booster, and raw scores of any rows after the first ``rounds`` rounds."""

    booster: Any
    raw: Callable[[Any, int], Array]


def link(raw: Array) -> Array:
    """Sigma or softmax."""
    linked: Array = expit(raw) if raw.ndim == 1 else softmax(raw, axis=1)
    return linked


def posterior(loss: Loss | None, train: Rows, raw_train: Array, raw: Array) -> Array:
    """Calibrated probabilities; the link where the engine's own objective was used."""
    if loss is None:
        return link(raw)
    return loss.frozen(train.y, raw_train, train.weight).posterior(raw)


def train(
    engine: str, loss: Loss | None, params: dict[str, Any], rows: Rows, rounds: int,
    valid: Rows | None = None, see: See | None = None,
) -> Model:  # fmt: skip
    """Train on ``rows``; with ``see`` look at ``valid`` on the way and stop when it says so.

    Parameters
    ----------
    engine : {"xgboost", "lightgbm"}
    loss : Loss or None
        None is the engine's own cross-entropy.
    params : dict
        The engine's parameters.
    rows, valid : Rows
    rounds : int
        The most rounds.
    see : callable, optional
    """
    look = None
    if valid is not None and see is not None:
        look = _looking(loss, valid, see)
    fit = _xgboost if engine == "xgboost" else _lightgbm
    return fit(loss, params, rows, rounds, valid, look)


def _looking(loss: Loss | None, valid: Rows, see: See) -> Callable[[Array, bool], bool]:
    def look(scores: Array, linked: bool) -> bool:
        if linked:
            return see(scores)
        if loss is None:
            return see(link(scores))
        return see(loss.frozen(valid.y, scores, valid.weight).posterior(scores))

    return look


def _xgboost(
    loss: Loss | None, params: dict[str, Any], rows: Rows, rounds: int,
    valid: Rows | None, look: Any,
) -> Model:  # fmt: skip
    xgb, bx = require("xgboost", "xgboost"), require("boostloss.xgboost", "xgboost")
    several = {"objective": "multi:softprob", "num_class": rows.n_classes}
    native = several if rows.n_classes > 2 else {"objective": "binary:logistic"}
    params = {"disable_default_eval_metric": 1, **params, **native}
    options = {"enable_categorical": True, "nthread": params.get("nthread")}
    matrix = xgb.QuantileDMatrix(rows.X, rows.y, weight=rows.weight, **options)
    keywords: dict[str, Any] = {"verbose_eval": False}
    if look is not None and valid is not None:
        held_out = xgb.DMatrix(valid.X, valid.y, weight=valid.weight, **options)
        keywords |= {"evals": [(held_out, "valid")], "callbacks": [_xgboost_stop(held_out, look)]}
    if loss is None:
        booster = xgb.train(params, matrix, rounds, **keywords)
    else:
        booster = bx.train(params, matrix, rounds, loss=loss, custom_metric=_nothing, **keywords)

    def raw(X: Any, n_rounds: int) -> Array:
        scores: Array = booster.predict(
            xgb.DMatrix(X, **options), output_margin=True, iteration_range=(0, n_rounds)
        )
        return scores

    return Model(booster, raw)


def _nothing(raw: Any, data: Any) -> tuple[str, float]:
    """In place of a metric of each round, which costs time and is not looked at."""
    return "none", 0.0


def _xgboost_stop(held_out: Any, look: Any) -> Any:
    callback: Any = require("xgboost.callback", "xgboost").TrainingCallback

    class Stop(callback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if (epoch + 1) % EVERY:
                return False
            stop: bool = look(model.predict(held_out, output_margin=True), False)
            return stop

    return Stop()


def _lightgbm(
    loss: Loss | None, params: dict[str, Any], rows: Rows, rounds: int,
    valid: Rows | None, look: Any,
) -> Model:  # fmt: skip
    lgb, bg = require("lightgbm", "lightgbm"), require("boostloss.lightgbm", "lightgbm")
    params = {"verbose": -1, **params, "metric": "None"}
    if rows.n_classes > 2:
        params["num_class"] = rows.n_classes
    of_data = {name: params[name] for name in ("verbose", "num_threads") if name in params}
    data = lgb.Dataset(rows.X, rows.y, weight=rows.weight, params=of_data)
    keywords: dict[str, Any] = {}
    if look is not None and valid is not None:
        held_out = lgb.Dataset(
            valid.X, valid.y, weight=valid.weight, reference=data, params=of_data
        )
        keywords = {"valid_sets": [held_out], "callbacks": [_lightgbm_stop(look, loss is None)]}
    if loss is None:
        native = "multiclass" if rows.n_classes > 2 else "binary"
        booster = lgb.train({**params, "objective": native}, data, rounds, **keywords)
    else:
        booster = bg.train(params, data, rounds, loss=loss, **keywords)

    def raw(X: Any, n_rounds: int) -> Array:
        return np.asarray(booster.predict(X, raw_score=True, num_iteration=n_rounds))

    return Model(booster, raw)


def _lightgbm_stop(look: Any, built_in: bool) -> Callable[[Any], None]:
    lgb = require("lightgbm", "lightgbm")

    def callback(env: Any) -> None:
        if (env.iteration + 1) % EVERY:
            return
        scores: list[Array] = []

        def keep(given: Array, data: Any) -> tuple[str, float, bool]:
            scores.append(given)
            return "none", 0.0, False

        env.model.eval_valid(keep)
        # under its own objective LightGBM hands out probabilities
        if look(scores[0], built_in):
            raise lgb.callback.EarlyStopException(env.iteration, [])

    return callback
