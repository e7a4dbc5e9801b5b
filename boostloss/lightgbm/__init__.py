"""LightGBM: train and cv with ``loss=``, and the classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from boostloss.engine_call import stated_threads
from boostloss.lightgbm.data_set import (
    as_list,
    construct,
    for_each_row,
    forget_starts,
    init_score_in_training,
    row_weight,
    set_weight,
    start_of,
    target,
    weight_in_training,
)
from boostloss.lightgbm.few_rows import warn_of_few_rows
from boostloss.lightgbm.model import carry, make_constant, make_native, shifted
from boostloss.lightgbm.prediction import fit_to_training_rows, predict_proba
from boostloss.losses import (
    FittedLoss,
    Loss,
    LossName,
    constant_weights,
    is_plain_cross_entropy,
    named,
)
from boostloss.losses.validation import (
    LABEL_LIMIT,
    Array,
    check_labels,
    check_sample_weight,
    class_counts,
    with_floor,
)
from boostloss.metrics import Metric, posterior_metric
from boostloss.model_file import calibrated_loss, calibrated_shift
from boostloss.objectives import training_objective
from boostloss.optional import import_when_used, refuse_distributed, require
from boostloss.recorder import Recorder

if TYPE_CHECKING:
    from boostloss.lightgbm.classifier import ImbalancedLGBMClassifier as ImbalancedLGBMClassifier
    from boostloss.lightgbm.dask import dask_train as dask_train

lgb = require("lightgbm", "lightgbm")

__all__ = ["ImbalancedLGBMClassifier", "cv", "predict_proba", "train"]

# the classifier is built on this module; what needs Dask, which few have, comes when asked for
_LATE = {
    "ImbalancedLGBMClassifier": "boostloss.lightgbm.classifier",
    "dask_train": "boostloss.lightgbm.dask",
}
__getattr__, __dir__ = import_when_used(__name__, _LATE)

Params = dict[str, Any]

OBJECTIVE_ALIASES = ("objective", "objective_type", "app", "application", "loss")
METRIC_ALIASES = ("metric", "metrics", "metric_types")
_LINEAR_ALIASES = ("linear_tree", "linear_trees")
_BOOSTING_ALIASES = ("boosting", "boosting_type", "boost")
CLASS_ALIASES = ("num_class", "num_classes")
LEAST_SHARE = 1e-15
"""Of a class where LightGBM's own start is made: one that is absent starts there."""


def train(
    params: Params,
    train_set: Any,
    num_boost_round: int = 100,
    *,
    loss: Loss | LossName,
    valid_sets: Any = None,
    feval: Any = None,
    recorder: Recorder | None = None,
    init_model: Any = None,
    calibrated: bool = False,
    **keywords: Any,
) -> Any:
    """``lightgbm.train`` with a loss.

    Training starts from the loss's exact intercept (an ``init_score`` of your own is kept
    instead). Afterwards the intercept is added to the first tree's leaves and the link is
    written into the model: ``predict`` gives sigma or softmax of the raw score, SHAP values
    add up to it, and the saved file needs LightGBM alone. The booster carries its fitted loss:
    :func:`predict_proba` gives calibrated probabilities, from a saved file too.

    Cross-entropy with constant class weights is LightGBM's own objective, given these weights:
    unless a recorder or a custom metric needs the callable, that one trains. All of LightGBM then
    works, ``linear_tree``, ``boosting="rf"`` and bagging fractions by class included.

    Parameters
    ----------
    params : dict
        LightGBM's parameters, without an objective. ``num_class`` is found from the labels.
    train_set : lightgbm.Dataset
        With labels 0..K-1. For the length of a training it holds the init score, or the class
        weights: one training at a time.
    num_boost_round : int
        Number of rounds.
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}
        For example ``FocalLoss(gamma=2)``; a name stands for a loss with its defaults.
    valid_sets : list of lightgbm.Dataset, optional
        Sets to evaluate; one may be given without a list.
    feval : callable or list of callables, optional
        Default, where ``params`` has no ``metric``: :func:`boostloss.posterior_log_loss`.
        LightGBM's own log losses see raw scores during training and are wrong there.
    recorder : Recorder, optional
        Keeps what was hard in each round.
    calibrated : bool, default=False
        Write the way from raw score to posterior into the leaves: LightGBM's own ``predict`` then
        gives calibrated probabilities. For cross-entropy, with any class weights.
    init_model, **keywords
        As in ``lightgbm.train``. With ``keep_training_booster`` the booster carries no loss.

    Returns
    -------
    lightgbm.Booster

    Raises
    ------
    ValueError
        For labels, weights or parameters that do not fit; for ``linear_tree``, whose leaves
        hold a linear model into which no intercept can be written; with ``calibrated`` for a loss
        whose posterior is not a shift of the raw score.


    Notes
    -----
    Sets may be of any kind that LightGBM takes: files, binary files, subsets, Sequences, Arrow
    tables. Where it goes on from a model only with ``free_raw_data=False``, so does this.

    ``booster.refit`` is LightGBM's own for plain cross-entropy. It fits leaves to that and nothing
    else, so for other losses it raises ("No objective function provided").

    With few rows of a class the default ``min_sum_hessian_in_leaf`` of 0.001 makes leaves unstable;
    a warning then names it.
    """
    refuse_distributed("train_set", train_set)
    y, weight = target(train_set, _of_data_set(params), init_model)
    counts = _class_counts(y, weight)
    native, resolved, n_classes = native_params(params, loss, counts)
    if init_model is None:
        warn_of_few_rows(native, resolved, counts, len(y), n_classes)
    valid_sets = as_list(valid_sets)
    sets = list(dict.fromkeys([train_set, *valid_sets]))
    forget_starts(sets, init_model)
    feval = _default_metric(native, resolved, feval)
    loss_by_class = resolved.fit(np.arange(len(counts)), None, counts, n_classes=n_classes)
    if calibrated:
        _check_calibrated(loss_by_class, keywords)
    own = built_in_weights(resolved, recorder, feval, judged=train_set in valid_sets)
    if own is not None:
        kept = bool(keywords.get("keep_training_booster"))
        making = _of_data_set(params) if init_model is None else None
        with weight_in_training(own, sets, (y, weight), making):
            booster = lgb.train(
                {"metric": "None", **native, "objective": built_in_objective(n_classes)},
                train_set,
                num_boost_round,
                valid_sets=valid_sets or None,
                feval=on_probabilities(feval),
                init_model=init_model,
                **{**keywords, "keep_training_booster": kept or not loss_by_class.keeps_shares},
            )
        if kept:
            return booster
        fitted = loss_by_class
        if not fitted.keeps_shares:
            fitted = fit_to_training_rows(resolved, booster, y, weight, fitted, linked=True)
        if not is_plain_cross_entropy(resolved):
            booster = make_native(booster, None, n_classes)
        if not fitted.keeps_shares:
            booster.free_dataset()
        return _finished(booster, fitted, calibrated)
    if keywords.get("keep_training_booster"):
        raise ValueError(
            "keep_training_booster must be False with loss=: link and intercept are written into "
            "the finished model; go on with init_model= instead, got True"
        )
    check_tree_params(params)
    native["objective"] = callable_objective(native, resolved, recorder)
    intercept = None
    if init_model is None and start_of(train_set) is None:
        intercept = intercept_of(resolved, y, weight, n_classes)
    try:
        with init_score_in_training(intercept, sets, _of_data_set(params)):
            booster = lgb.train(
                native,
                train_set,
                num_boost_round,
                valid_sets=valid_sets or None,
                feval=feval,
                init_model=init_model,
                **{**keywords, "keep_training_booster": True},  # finished once, below
            )
    except lgb.basic.LightGBMError as error:
        if intercept is None or not no_feature_splits(error):
            raise
        constant = lgb.train(built_in_params(native, n_classes), train_set, 1)
        made = make_constant(constant, intercept, n_classes, refit=is_plain_cross_entropy(resolved))
        raw = (
            np.full(len(y), intercept[0]) if n_classes is None else np.tile(intercept, (len(y), 1))
        )
        return _finished(made, resolved.fit(y, raw, weight), calibrated)
    fitted = fit_to_training_rows(resolved, booster, y, weight, loss_by_class)
    plain = is_plain_cross_entropy(resolved)
    made = make_native(booster, intercept, n_classes, num_iteration=None, loss=fitted, refit=plain)
    return _finished(made, fitted, calibrated) if calibrated else made


def _check_calibrated(loss: FittedLoss, keywords: dict[str, Any]) -> None:
    calibrated_shift(loss)
    if keywords.get("keep_training_booster"):
        raise ValueError("keep_training_booster must be False with calibrated=True, got True")


def _finished(booster: Any, fitted: FittedLoss, calibrated: bool) -> Any:
    """The booster with its fitted loss and, ``calibrated``, with the posterior in its leaves."""
    if calibrated:
        booster, fitted = shifted(booster, calibrated_shift(fitted)), calibrated_loss(fitted)
    return carry(booster, fitted)


def cv(
    params: Params,
    train_set: Any,
    num_boost_round: int = 100,
    *,
    loss: Loss | LossName,
    feval: Any = None,
    recorder: Recorder | None = None,
    fpreproc: Callable[..., Any] | None = None,
    **keywords: Any,
) -> dict[str, Any]:
    """``lightgbm.cv`` with a loss; each fold starts from the intercept of its own rows.

    Parameters are those of :func:`train` and ``lightgbm.cv``; boosters returned with
    ``return_cvbooster=True`` are native too. Class weights that depend on the labels are
    counted on all of ``train_set``.
    """
    init_model = keywords.get("init_model")
    y, weight = target(train_set, _of_data_set(params), init_model)
    counts = _class_counts(y, weight)
    forget_starts([train_set], init_model)
    native, resolved, n_classes = native_params(params, loss, counts)
    if init_model is None:
        warn_of_few_rows(native, resolved, counts, len(y), n_classes)
    feval = _default_metric(native, resolved, feval)
    judged = bool(keywords.get("eval_train_metric"))
    own = built_in_weights(resolved, recorder, feval, judged)
    if own is None:
        check_tree_params(params)
        native["objective"] = callable_objective(native, resolved, recorder)
    else:
        native = {"metric": "None", **native, "objective": built_in_objective(n_classes)}
        feval = on_probabilities(feval)
    intercepts: list[Array | None] = []

    def with_intercept(fold_train: Any, fold_test: Any, fold_params: Params) -> Any:
        if fpreproc is not None:
            fold_train, fold_test, fold_params = fpreproc(fold_train, fold_test, fold_params)
        construct(fold_train)
        if own is not None:
            if (own != 1.0).any():
                y, weight = target(fold_train)
                set_weight(fold_train, row_weight(own, y, weight))
            intercepts.append(None)
            return fold_train, fold_test, fold_params
        intercept = None
        if init_model is None and start_of(fold_train) is None:
            intercept = intercept_of(resolved, *target(fold_train), n_classes)
            for data in (fold_train, fold_test.construct()):
                data.set_init_score(for_each_row(intercept, data.num_data()))
        intercepts.append(intercept)
        return fold_train, fold_test, fold_params

    keywords.setdefault("stratified", True)
    result: dict[str, Any] = lgb.cv(
        native,
        train_set,
        num_boost_round,
        feval=feval,
        fpreproc=with_intercept,
        **keywords,
    )
    plain = is_plain_cross_entropy(resolved)
    if "cvbooster" in result and not (own is not None and plain):
        boosters = result["cvbooster"].boosters
        boosters[:] = [
            make_native(booster, intercept, n_classes, refit=plain)
            for booster, intercept in zip(boosters, intercepts, strict=True)
        ]
    return result


def _of_data_set(params: Params) -> Params:
    """Parameters with which a data set may be constructed: all but the objective."""
    return {name: value for name, value in params.items() if name not in OBJECTIVE_ALIASES}


def _class_counts(y: Array, weight: Array | None) -> Array:
    y = check_labels(y, LABEL_LIMIT)
    return class_counts(y, check_sample_weight(weight, len(y)), 2)


def _first_of(params: Params, aliases: tuple[str, ...]) -> Any:
    """A parameter's value, by whichever of its names it was given."""
    return next((params[name] for name in aliases if params.get(name) is not None), None)


def native_params(
    params: Params, loss: Loss | LossName, counts: Array
) -> tuple[Params, Loss, int | None]:
    """Parameters without an objective, the loss with fixed weights, K (None for binary).

    ``counts`` are the rows of each class, or their summed weights.
    """
    given: Loss = named(loss)
    num_class = _first_of(params, CLASS_ALIASES)
    several = num_class is not None and int(num_class) > 1
    n_classes = int(num_class) if several else len(counts)
    softmax = several or n_classes > 2
    objective_name = _first_of(params, OBJECTIVE_ALIASES)
    if objective_name not in (None, "multiclass" if softmax else "binary"):
        raise ValueError(f"params['objective'] must be left out with loss=, got {objective_name!r}")
    check_sigmoid(params)
    skip = (*OBJECTIVE_ALIASES, *CLASS_ALIASES)
    native = {name: value for name, value in params.items() if name not in skip}
    resolved: Loss = given.fit(np.arange(len(counts)), None, counts, n_classes=n_classes).loss
    if softmax:
        native["num_class"] = n_classes
    return native, resolved, n_classes if softmax else None


def callable_objective(native: Params, loss: Loss, recorder: Recorder | None = None) -> Any:
    """The objective for LightGBM's parameters."""
    n_threads = stated_threads(native)
    return training_objective(loss, "lightgbm", n_threads=n_threads, recorder=recorder)


# -- cross-entropy with constant class weights: LightGBM's own objective ------------------------


def built_in_weights(
    loss: Loss, recorder: Recorder | None, metrics: Any, judged: bool
) -> Array | None:
    """Class weights for the rows where the built-in objective does the work; None for a callable.

    The rows' weights are also those of a metric on the training set, where that is ``judged``; and
    a metric of the user's expects raw scores.
    """
    weights = constant_weights(loss)
    if weights is None or recorder is not None or (judged and (weights != 1.0).any()):
        return None
    listed = metrics if isinstance(metrics, list) else [metrics]
    return weights if all(isinstance(one, Metric | None) for one in listed) else None


def built_in_objective(n_classes: int | None) -> str:
    """LightGBM's name for cross-entropy (``n_classes=None``: binary)."""
    return "binary" if n_classes is None else "multiclass"


def on_probabilities(metrics: Any) -> Any:
    """Metrics of boostloss for probabilities, which a built-in objective hands out."""
    if isinstance(metrics, list):
        return [metric.on_probabilities() for metric in metrics]
    return None if metrics is None else metrics.on_probabilities()


def is_true(value: Any) -> bool:
    """Truth of a parameter that may be written as LightGBM's own files do."""
    return str(value).lower() in ("true", "1", "+", "yes")


def check_tree_params(params: Params) -> None:
    """Raise for what an intercept and a link written into the model do not go with."""
    if is_true(_first_of(params, _LINEAR_ALIASES)):
        raise ValueError(
            "linear_tree must be False with a loss: the intercept cannot be written into leaves "
            "that hold a linear model, got True"
        )
    if _first_of(params, _BOOSTING_ALIASES) in ("rf", "random_forest"):
        raise ValueError(
            "boosting must not be 'rf' with a loss: LightGBM's random forest accepts "
            "built-in objectives only, got 'rf'"
        )


def check_sigmoid(params: Params) -> None:
    """Raise for another link than the posterior's."""
    if float(params.get("sigmoid", 1.0)) != 1.0:
        raise ValueError(f"sigmoid must be 1 with a loss, got {params['sigmoid']!r}")


def _default_metric(native: Params, loss: Loss, feval: Any) -> Any:
    if feval is None and _first_of(native, METRIC_ALIASES) is None:
        return posterior_metric(loss)
    return feval


def intercept_of(loss: Loss, y: Array, weight: Array | None, n_classes: int | None) -> Array:
    """The intercept: one raw score (``n_classes=None``), or one for each class."""
    counts = with_floor(class_counts(y, weight, 2), LEAST_SHARE, n_classes or 2)
    return np.atleast_1d(loss.init_score(np.arange(len(counts)), counts, n_classes=n_classes))


def no_feature_splits(error: Exception) -> bool:
    """Whether LightGBM found no feature that can be split.

    It then stops under a custom objective, where a built-in one gives the constant model.
    """
    return "num_features()) > (0)" in str(error)


def built_in_params(params: Params, n_classes: int | None) -> Params:
    """The same parameters with LightGBM's own objective and no early stopping."""
    stopping = (
        "early_stopping",
        "early_stopping_round",
        "early_stopping_rounds",
        "n_iter_no_change",
    )
    kept = {name: value for name, value in params.items() if name not in stopping}
    return {**kept, "objective": built_in_objective(n_classes)}
