"""One training on either engine, watched on validation rows, as functions of raw scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from scipy.special import expit, softmax

import boostloss.lightgbm as bg
import boostloss.xgboost as bx
from benchmarks.quality.sets import Set

See = Callable[[Any], bool]
"""Takes the validation rows' raw scores, or under a built-in objective of LightGBM their
probabilities, every ``EVERY`` rounds, and says whether to stop."""
EVERY = 5


class Model(NamedTuple):
    """Raw scores of any rows after the first ``rounds`` rounds."""

    raw: Callable[[Any, int], Any]


def posterior(loss: Any, train: Set, raw_train: Any, raw: Any) -> Any:
    """Calibrated probabilities; the link where the engine's own objective was used."""
    if loss is None:
        return link(raw)
    return loss.frozen(train.y, raw_train, None).posterior(raw)


def link(raw: Any) -> Any:
    """Sigma or softmax."""
    return expit(raw) if np.ndim(raw) == 1 else softmax(raw, axis=1)


def row_weight(y: Any, balanced: bool) -> Any:
    """None, or the weight that gives each class the same total."""
    if not balanced:
        return None
    counts = np.bincount(y)
    return (len(y) / (len(counts) * counts))[y]


def train_xgboost(
    loss: Any, weight: Any, trial: dict[str, Any], data: Set, rounds: int,
    valid: Set | None, see: See | None, seed: int,
) -> Model:  # fmt: skip
    softmax_classes = data.n_classes if data.n_classes > 2 else None
    params = {
        "tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0, "nthread": 1,
        "max_leaves": trial["leaves"], "min_child_weight": trial["min_child_weight"],
        "eta": trial["learning_rate"], "colsample_bytree": trial["columns"],
        "lambda": trial["l2"], "seed": seed, "disable_default_eval_metric": 1,
        "objective": "multi:softprob" if softmax_classes else "binary:logistic",
    }  # fmt: skip
    if softmax_classes:
        params["num_class"] = softmax_classes
    options = {"enable_categorical": True, "nthread": 1}
    matrix = xgb.QuantileDMatrix(data.X, data.y, weight=weight, **options)
    keywords: dict[str, Any] = {}
    if valid is not None:
        held_out = xgb.DMatrix(valid.X, valid.y, **options)
        keywords = {"evals": [(held_out, "valid")], "verbose_eval": False,
                    "callbacks": [_StopXGBoost(held_out, see)]}  # fmt: skip
    if loss is None:
        booster = xgb.train(params, matrix, rounds, **keywords)
    else:
        # a metric is asked for so that the default one, dearer, is not computed each round
        nothing = lambda raw, d: ("none", 0.0)  # noqa: E731
        booster = bx.train(params, matrix, rounds, loss=loss, custom_metric=nothing, **keywords)

    def raw(X: Any, n_rounds: int) -> Any:
        d = xgb.DMatrix(X, **options)
        return booster.predict(d, output_margin=True, iteration_range=(0, n_rounds))

    return Model(raw)


class _StopXGBoost(xgb.callback.TrainingCallback):
    def __init__(self, held_out: Any, see: See | None) -> None:
        self.held_out, self.see = held_out, see

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if (epoch + 1) % EVERY:
            return False
        return self.see(model.predict(self.held_out, output_margin=True))


def train_lightgbm(
    loss: Any, weight: Any, trial: dict[str, Any], data: Set, rounds: int,
    valid: Set | None, see: See | None, seed: int,
) -> Model:  # fmt: skip
    softmax_classes = data.n_classes if data.n_classes > 2 else None
    params = {
        "num_leaves": trial["leaves"], "min_sum_hessian_in_leaf": trial["min_child_weight"],
        "min_data_in_leaf": 1, "learning_rate": trial["learning_rate"],
        "feature_fraction": trial["columns"], "lambda_l2": trial["l2"], "seed": seed,
        "verbose": -1, "num_threads": 1, "metric": "None",
    }  # fmt: skip
    if softmax_classes:
        params["num_class"] = softmax_classes
    dataset_params = {"verbose": -1, "num_threads": 1}
    dataset = lgb.Dataset(data.X, data.y, weight=weight, params=dataset_params)
    keywords: dict[str, Any] = {}
    if valid is not None:
        held_out = lgb.Dataset(valid.X, valid.y, reference=dataset, params=dataset_params)
        keywords = {"valid_sets": [held_out], "callbacks": [_stop_lightgbm(see, loss is None)]}
    if loss is None:
        native = "multiclass" if softmax_classes else "binary"
        booster = lgb.train({**params, "objective": native}, dataset, rounds, **keywords)
    else:
        booster = bg.train(params, dataset, rounds, loss=loss, **keywords)

    def raw(X: Any, n_rounds: int) -> Any:
        return booster.predict(X, raw_score=True, num_iteration=n_rounds)

    return Model(raw)


def _stop_lightgbm(see: See | None, built_in: bool) -> Callable[[Any], None]:
    def callback(env: Any) -> None:
        if (env.iteration + 1) % EVERY:
            return
        scores: list[Any] = []
        env.model.eval_valid(lambda raw, d: scores.append(raw) or ("none", 0.0, False))
        if see(scores[0]):
            raise lgb.callback.EarlyStopException(env.iteration, [])

    return callback


ENGINES = {"xgboost": train_xgboost, "lightgbm": train_lightgbm}
