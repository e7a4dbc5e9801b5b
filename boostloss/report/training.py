"""Train one model with a loss or the built-in objective, with early stopping."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax
from sklearn.ensemble import HistGradientBoostingClassifier

from boostloss.engine_call import stated_threads
from boostloss.hist import hist_loss
from boostloss.hist.sklearn_loss import FIT_TAKES_VALIDATION, STOPPED_FROM_OUTSIDE, watched
from boostloss.losses import FittedLoss, Loss
from boostloss.losses.validation import SMALLEST, Array, check_choice, check_integer, check_number
from boostloss.metrics import raw_of_probability
from boostloss.optional import require
from boostloss.report import params as params_of
from boostloss.report.scores import METRICS, sign

CHECK_EVERY = 5
"""Number of rounds between checks on the rows that stop the training."""


ENGINES = ("xgboost", "lightgbm", "hist")
"""Engines in the order of preference. scikit-learn's trees are always installed."""


def installed_engine() -> str:
    """Return the first engine that is installed."""
    return next(name for name in ENGINES if name == "hist" or importlib.util.find_spec(name))


@dataclass(frozen=True)
class Settings:
    """Settings that all models of a comparison share."""

    engine: str
    metric: str
    rounds: int
    learning_rate: float
    params: dict[str, Any]
    """Parameters of the engine that are added to those below or replace them."""

    seed: int

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, ENGINES)
        check_choice("metric", self.metric, tuple(METRICS))
        check_integer("rounds", self.rounds, CHECK_EVERY)
        check_number("learning_rate", self.learning_rate, SMALLEST)
        params_of.check(self.engine, self.params)

    @property
    def engine_params(self) -> dict[str, Any]:
        """Parameters that lead to trees of similar size on all engines."""
        if self.engine == "xgboost":
            params = {"eta": self.learning_rate, "tree_method": "hist", "max_depth": 6}
        elif self.engine == "hist":
            hist = {"learning_rate": self.learning_rate, "max_leaf_nodes": 31}
            return params_of.with_defaults("hist", {**hist, "random_state": self.seed}, self.params)
        else:
            params = {
                "learning_rate": self.learning_rate,
                "num_leaves": 31,
                "min_sum_hessian_in_leaf": 1.0,  # the default is unstable with very rare classes
            }
        return params_of.with_defaults(self.engine, {**params, "seed": self.seed}, self.params)


class Rows(NamedTuple):
    """Features (a frame, an array or a sparse matrix), codes 0..K-1, weights or None, and K.

    ``positive`` is the code of the positive class.
    """

    X: Any
    y: Array
    weight: Array | None
    n_classes: int
    positive: int = 1

    def judged(self, probability: Array) -> tuple[Array, Array]:
        """Return codes and probabilities for metrics. Of two classes, 1 is the positive one."""
        swap = self.n_classes == 2 and self.positive == 0
        return (1 - self.y, 1.0 - probability) if swap else (self.y, probability)

    def part(self, index: Array) -> Rows:
        """Return some of the rows."""
        X = self.X.iloc[index] if hasattr(self.X, "iloc") else self.X[index]
        weight = None if self.weight is None else self.weight[index]
        return self._replace(X=X, y=self.y[index], weight=weight)


class EarlyStopping:
    """Follow metrics on validation rows, and stop when none of them improves any more.

    With few positives a ranking metric may not change for long although the scores still improve.
    Several metrics together therefore stop later than one.

    Parameters
    ----------
    rows : Rows
    metrics : sequence of str
        Names in :data:`boostloss.report.scores.METRICS`.
    patience : int
        Checks without an improvement, each after ``CHECK_EVERY`` rounds, before it stops.
    """

    def __init__(self, rows: Rows, metrics: tuple[str, ...], patience: int) -> None:
        self.rows, self.patience = rows, patience
        self.curves: dict[str, list[float]] = {name: [] for name in metrics}
        """Values at each check, with a sign so that larger is better."""

    def should_stop(self, probability: Array) -> bool:
        """Record the metrics of these probabilities, and return whether to stop."""
        y, judged = self.rows.judged(probability)
        for name, curve in self.curves.items():
            curve.append(sign(name) * METRICS[name](y, judged, self.rows.weight))
        since_best = [len(curve) - 1 - int(np.argmax(curve)) for curve in self.curves.values()]
        return min(since_best) >= self.patience

    def best_rounds(self, metric: str) -> int:
        """Return the number of rounds at the best check by a metric."""
        return (int(np.argmax(self.curves[metric])) + 1) * CHECK_EVERY


class Model(NamedTuple):
    """A booster, and a function for raw scores of any rows after a number of rounds."""

    booster: Any
    raw: Callable[[Any, int], Array]


def resolved(
    loss: Loss | None, rows: Rows, settings: Settings
) -> tuple[Loss | None, dict[str, Any]]:
    """Return the loss with class weights counted on ``rows``, and the engine's parameters.

    Class weights among the parameters are moved to the loss, which is then used also instead of
    the built-in one.
    """
    params, factor = params_of.take_class_factor(
        settings.engine, settings.engine_params, rows.y, rows.n_classes
    )
    if loss is not None:
        loss = loss.fit(rows.y, None, rows.weight, n_classes=rows.n_classes).loss
    return params_of.weighted(loss, factor), params


def fitted(loss: Loss, rows: Rows, raw: Array, offset: bool = True) -> FittedLoss:
    """Fit the loss to the training rows and their raw scores."""
    return loss.fit(rows.y, raw, rows.weight, offset=offset)


def posterior(
    loss: Loss | None, train: Rows, raw_train: Array, raw: Array, offset: bool = True
) -> Array:
    """Return calibrated probabilities, or the link for the built-in objective."""
    if loss is not None:
        return fitted(loss, train, raw_train, offset).posterior(raw)
    linked: Array = expit(raw) if raw.ndim == 1 else softmax(raw, axis=1)
    return linked


def train(
    engine: str, loss: Loss | None, params: dict[str, Any], rows: Rows, rounds: int,
    stopping: EarlyStopping | None = None,
) -> Model:  # fmt: skip
    """Train on ``rows``.

    Parameters
    ----------
    engine : {"xgboost", "lightgbm", "hist"}
    loss : Loss or None
        None is the built-in cross-entropy.
    params : dict
        The engine's parameters.
    rows : Rows
    rounds : int
        Maximum number of rounds.
    stopping : EarlyStopping, optional
        Asked every ``CHECK_EVERY`` rounds whether to stop.
    """
    train_on_engine = {"xgboost": _xgboost, "lightgbm": _lightgbm, "hist": _hist}
    return train_on_engine[engine](loss, params, rows, rounds, stopping)


def _xgboost(
    loss: Loss | None, params: dict[str, Any], rows: Rows, rounds: int,
    stopping: EarlyStopping | None,
) -> Model:  # fmt: skip
    xgb, bx = require("xgboost", "xgboost"), require("boostloss.xgboost", "xgboost")
    several = {"objective": "multi:softprob", "num_class": rows.n_classes}
    native = several if rows.n_classes > 2 else {"objective": "binary:logistic"}
    params = {"disable_default_eval_metric": 1, **params, **native}
    options = {"enable_categorical": True, "nthread": stated_threads(params) or None}
    matrix = xgb.QuantileDMatrix(rows.X, rows.y, weight=rows.weight, **options)
    keywords: dict[str, Any] = {"verbose_eval": False}
    if stopping is not None:
        X, y, weight, *_ = stopping.rows
        valid = xgb.DMatrix(X, y, weight=weight, **options)
        callback = _xgboost_callback(loss, valid, stopping)
        keywords |= {"evals": [(valid, "valid")], "callbacks": [callback]}
    if loss is None:
        booster = xgb.train(params, matrix, rounds, **keywords)
    else:
        booster = bx.train(params, matrix, rounds, loss=loss, custom_metric=_no_metric, **keywords)

    def raw_scores(X: Any, n_rounds: int) -> Array:
        scores: Array = booster.predict(
            xgb.DMatrix(X, **options), output_margin=True, iteration_range=(0, n_rounds)
        )
        return scores

    return Model(booster, raw_scores)


def _no_metric(raw: Any, data: Any) -> tuple[str, float]:
    """Replace the metric of each round, which takes time and is not used."""
    return "none", 0.0


def _xgboost_callback(loss: Loss | None, valid: Any, stopping: EarlyStopping) -> Any:
    callback: Any = require("xgboost.callback", "xgboost").TrainingCallback

    class StopEarly(callback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if (epoch + 1) % CHECK_EVERY:
                return False
            raw = model.predict(valid, output_margin=True)
            return stopping.should_stop(posterior(loss, stopping.rows, raw, raw, offset=False))

    return StopEarly()


def _lightgbm(
    loss: Loss | None, params: dict[str, Any], rows: Rows, rounds: int,
    stopping: EarlyStopping | None,
) -> Model:  # fmt: skip
    lgb, bg = require("lightgbm", "lightgbm"), require("boostloss.lightgbm", "lightgbm")
    params = params_of.with_defaults("lightgbm", {"verbosity": -1}, {**params, "metric": "None"})
    if rows.n_classes > 2:
        params["num_class"] = rows.n_classes
    of_data = {name: value for name, value in params.items() if name not in ("metric", "num_class")}
    data = lgb.Dataset(rows.X, rows.y, weight=rows.weight, params=of_data)
    keywords: dict[str, Any] = {}
    if stopping is not None:
        X, y, weight, *_ = stopping.rows
        valid = lgb.Dataset(X, y, weight=weight, reference=data, params=of_data)
        keywords = {"valid_sets": [valid], "callbacks": [_lightgbm_callback(loss, stopping)]}
    if loss is None:
        native = "multiclass" if rows.n_classes > 2 else "binary"
        booster = lgb.train({**params, "objective": native}, data, rounds, **keywords)
    else:
        booster = bg.train(params, data, rounds, loss=loss, **keywords)

    def raw_scores(X: Any, n_rounds: int) -> Array:
        return np.asarray(booster.predict(X, raw_score=True, num_iteration=n_rounds))

    return Model(booster, raw_scores)


def _lightgbm_callback(loss: Loss | None, stopping: EarlyStopping) -> Callable[[Any], None]:
    lgb = require("lightgbm", "lightgbm")

    def callback(env: Any) -> None:
        if (env.iteration + 1) % CHECK_EVERY:
            return
        collected: list[Array] = []

        def collect(scores: Array, data: Any) -> tuple[str, float, bool]:
            collected.append(scores)
            return "none", 0.0, False

        env.model.eval_valid(collect)
        scores = collected[0]
        # LightGBM passes probabilities with its built-in objective, also for cross-entropy
        if env.params["objective"] != "none":
            scores = raw_of_probability(scores)
        if stopping.should_stop(posterior(loss, stopping.rows, scores, scores, offset=False)):
            raise lgb.callback.EarlyStopException(env.iteration, [])

    return callback


def _hist(
    loss: Loss | None, params: dict[str, Any], rows: Rows, rounds: int,
    stopping: EarlyStopping | None,
) -> Model:  # fmt: skip
    given = {"early_stopping": False, **params, "max_iter": rounds}
    if stopping is None or not FIT_TAKES_VALIDATION:
        own = "log_loss" if loss is None else hist_loss(loss)
        engine = HistGradientBoostingClassifier(**given, loss=own)
        engine.fit(rows.X, rows.y, rows.weight)
    else:
        follow = _hist_callback(loss, stopping)
        given |= {"loss": watched(loss, rows.n_classes, follow), **STOPPED_FROM_OUTSIDE}
        engine = HistGradientBoostingClassifier(**given)
        X, y, weight = stopping.rows[:3]
        validation = {"X_val": X, "y_val": y, "sample_weight_val": weight}
        engine.fit(rows.X, rows.y, rows.weight, **validation)
    if stopping is not None and not FIT_TAKES_VALIDATION:
        follow = _hist_callback(loss, stopping)
        for raw in engine.staged_decision_function(stopping.rows.X):
            if follow(raw):
                break

    def raw_scores(X: Any, n_rounds: int) -> Array:
        staged = engine.staged_decision_function(X)
        scores: Array = next(itertools.islice(staged, n_rounds - 1, None))
        return scores

    return Model(engine, raw_scores)


def _hist_callback(loss: Loss | None, stopping: EarlyStopping) -> Callable[[Array], bool]:
    rounds = itertools.count(1)

    def callback(raw: Array) -> bool:
        if next(rounds) % CHECK_EVERY:
            return False
        return stopping.should_stop(posterior(loss, stopping.rows, raw, raw, offset=False))

    return callback
