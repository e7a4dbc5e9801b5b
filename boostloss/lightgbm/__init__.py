"""LightGBM: ``train`` and ``cv`` with ``loss=``, and the classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from boostloss.classifier import check_misplaced
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
from boostloss.lightgbm.metrics import as_names, of_posterior
from boostloss.lightgbm.model import carry, make_constant, make_native, shifted
from boostloss.lightgbm.parameters import (
    ENGINE_NAMES,
    NAMES,
    check_bagging_by_class,
    check_callable,
    check_link,
    starts_from_average,
    take_class_factor,
    value_of,
    without,
)
from boostloss.lightgbm.prediction import (
    fit_to_training_rows,
    needs_scores,
    predict_proba,
    with_drop_alike,
)
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
    check_no_gaps,
    check_sample_weight,
    class_counts,
    with_floor,
)
from boostloss.metrics import Metric, check_names_differ, posterior_metric
from boostloss.model_file import calibrated_loss, calibrated_shift
from boostloss.objectives import training_objective
from boostloss.optional import import_when_used, refuse_distributed, require
from boostloss.recorder import Recorder

if TYPE_CHECKING:
    from boostloss.lightgbm.classifier import ImbalancedLGBMClassifier as ImbalancedLGBMClassifier
    from boostloss.lightgbm.dask import dask_train as dask_train

lgb = require("lightgbm", "lightgbm")

__all__ = ["ImbalancedLGBMClassifier", "cv", "predict_proba", "train"]

# The classifier imports this module. Names that need Dask are imported when they are used.
_LATE = {
    "ImbalancedLGBMClassifier": "boostloss.lightgbm.classifier",
    "dask_train": "boostloss.lightgbm.dask",
}
__getattr__, __dir__ = import_when_used(__name__, _LATE)

Params = dict[str, Any]

OBJECTIVE_ALIASES, METRIC_ALIASES = NAMES["objective"], NAMES["metric"]
CLASS_ALIASES = NAMES["num_class"]
LEAST_SHARE = 1e-15
"""Smallest class share at the start of training, used for absent classes. It is LightGBM's."""


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
    """Train a booster with a loss, as ``lightgbm.train``.

    Training starts at the loss's intercept, unless ``train_set`` has an ``init_score``. The
    finished booster is native. It contains intercept and link, so ``predict`` returns the sigmoid
    or softmax of the raw score, SHAP values add up to the raw score, and LightGBM alone reads the
    saved file. The booster and its saved file contain the fitted loss, so :func:`predict_proba`
    returns probabilities of the classes.

    LightGBM's own objective trains cross-entropy with constant class weights, unless a recorder or
    a custom metric needs the callable. All parameters of LightGBM then work, for example
    ``linear_tree``, ``boosting="rf"`` and bagging fractions by class.

    Parameters
    ----------
    params : dict
        LightGBM's parameters, without an objective. ``num_class`` is found from the labels.
        ``scale_pos_weight`` and ``is_unbalance`` multiply the loss's class weights, and
        ``boost_from_average=False`` starts at 0. ``metric`` names metrics, which LightGBM computes
        from the posterior.
    train_set : lightgbm.Dataset
        Training data with labels 0..K-1. Training sets its init score or weights for a time, so use
        a data set in one training at a time.
    num_boost_round : int
        Number of rounds.
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}
        For example ``FocalLoss(gamma=2)``, or the name of a loss with default parameters.
    valid_sets : list of lightgbm.Dataset, optional
        Evaluation sets, or one set.
    feval : callable or list of callables, optional
        Custom metrics, evaluated after those of ``params`` with raw scores. The default is
        :func:`boostloss.posterior_log_loss`, unless ``params`` has a ``metric``.
    recorder : Recorder, optional
        Records the gradient norms of each round.
    init_model : lightgbm.Booster, str or path, optional
        A model from which training continues, as in ``lightgbm.train``.
    calibrated : bool, default=False
        Whether to add the constant between raw score and posterior to the leaves, so that
        LightGBM's own ``predict`` returns the posterior. For cross-entropy only, with any class
        weights.
    **keywords
        Further arguments of ``lightgbm.train``, such as ``callbacks``. With
        ``keep_training_booster`` the booster does not contain the loss.

    Returns
    -------
    lightgbm.Booster
        A native booster that contains its fitted loss.

    Raises
    ------
    ValueError
        If labels, weights, metrics or parameters do not fit the loss. ``linear_tree``,
        ``boosting="rf"`` and bagging fractions by class work with cross-entropy only, and so does
        ``calibrated``.

    See Also
    --------
    boostloss.lightgbm.predict_proba : Predicts probabilities with the booster.
    boostloss.lightgbm.cv : Cross-validates a loss.

    Notes
    -----
    Data sets can be of any type that LightGBM accepts: files, binary files, subsets, Sequences,
    Arrow tables. If LightGBM needs ``free_raw_data=False`` to continue from a model, so does this
    function.

    ``booster.refit`` works for plain cross-entropy. For other losses it raises LightGBM's error
    "No objective function provided", because LightGBM refits to its own objective only.

    With few rows of a class the default ``min_sum_hessian_in_leaf`` of 0.001 makes leaves unstable.
    A warning then names the parameter.
    """
    refuse_distributed("train_set", train_set)
    y, weight = target(train_set, _of_data_set(params), init_model)
    counts = _class_counts(y, weight)
    native, resolved, n_classes = native_params(params, loss, counts, class_counts(y, None, 2))
    if init_model is None:
        warn_of_few_rows(native, resolved, counts, len(y), n_classes)
    valid_sets = as_list(valid_sets)
    sets = list(dict.fromkeys([train_set, *valid_sets]))
    forget_starts(sets, init_model)
    loss_by_class = resolved.fit(np.arange(len(counts)), None, counts, n_classes=n_classes)
    if calibrated:
        _check_calibrated(loss_by_class, keywords)
    own = built_in_weights(resolved, recorder, feval, judged=train_set in valid_sets)
    native, feval = _metrics(native, resolved, feval, n_classes, linked=own is not None)
    if own is not None:
        kept = bool(keywords.get("keep_training_booster"))
        by_scores = needs_scores(loss_by_class, native)
        making = _of_data_set(params) if init_model is None else None
        with weight_in_training(own, sets, (y, weight), making):
            booster = lgb.train(
                {**native, "objective": built_in_objective(n_classes)},
                train_set,
                num_boost_round,
                valid_sets=valid_sets or None,
                feval=feval,
                init_model=init_model,
                **{**keywords, "keep_training_booster": kept or by_scores},
            )
        if kept:
            return booster
        fitted = loss_by_class
        if by_scores:
            fitted = fit_to_training_rows(resolved, booster, y, weight, fitted, linked=True)
        if not is_plain_cross_entropy(resolved):
            booster = make_native(booster, None, n_classes)
        if by_scores:
            booster.free_dataset()
        return _finished(booster, fitted, calibrated)
    if keywords.get("keep_training_booster"):
        raise ValueError(
            "keep_training_booster must be False with loss=: link and intercept are written into "
            "the finished model; continue with init_model= instead, got True"
        )
    check_callable(params)
    native["objective"] = callable_objective(native, resolved, recorder)
    intercept = None
    if init_model is None and start_of(train_set) is None:
        intercept = intercept_of(resolved, y, weight, n_classes, native)
    try:
        with init_score_in_training(intercept, sets, _of_data_set(params)):
            booster = lgb.train(
                native,
                train_set,
                num_boost_round,
                valid_sets=valid_sets or None,
                feval=feval,
                init_model=init_model,
                **{
                    **keywords,
                    "callbacks": with_drop_alike(keywords.get("callbacks")),
                    "keep_training_booster": True,  # it is finished below
                },
            )
            fitted = fit_to_training_rows(resolved, booster, y, weight, loss_by_class)
    except lgb.basic.LightGBMError as error:
        if intercept is None or not no_feature_splits(error):
            raise
        constant = lgb.train(built_in_params(native, n_classes), train_set, 1)
        made = make_constant(constant, intercept, n_classes, refit=is_plain_cross_entropy(resolved))
        raw = (
            np.full(len(y), intercept[0]) if n_classes is None else np.tile(intercept, (len(y), 1))
        )
        return _finished(made, resolved.fit(y, raw, weight), calibrated)
    plain = is_plain_cross_entropy(resolved)
    made = make_native(booster, intercept, n_classes, num_iteration=None, loss=fitted, refit=plain)
    return _finished(made, fitted, calibrated) if calibrated else made


def _check_calibrated(loss: FittedLoss, keywords: dict[str, Any]) -> None:
    calibrated_shift(loss)
    if keywords.get("keep_training_booster"):
        raise ValueError("keep_training_booster must be False with calibrated=True, got True")


def _finished(booster: Any, fitted: FittedLoss, calibrated: bool) -> Any:
    """Return the booster with its fitted loss and, if calibrated, the posterior in its leaves."""
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
    metrics: str | list[str] | None = None,
    **keywords: Any,
) -> dict[str, Any]:
    """Cross-validate a loss, as ``lightgbm.cv``.

    Each fold starts at the intercept of its own rows. Class weights that depend on the labels are
    computed from all of ``train_set``.

    Parameters
    ----------
    params : dict
        LightGBM's parameters, as in :func:`train`.
    train_set : lightgbm.Dataset
        Training data with labels 0..K-1.
    num_boost_round : int
        Number of rounds.
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}
        For example ``FocalLoss(gamma=2)``, or the name of a loss with default parameters.
    feval : callable or list of callables, optional
        Custom metrics, evaluated after those of ``params`` with raw scores. The default is
        :func:`boostloss.posterior_log_loss`, unless ``params`` or ``metrics`` name a metric.
    recorder : Recorder, optional
        Records the gradient norms of each round, with one run for each fold.
    fpreproc : callable, optional
        Changes the data and parameters of a fold, as in ``lightgbm.cv``.
    metrics : str or list of str, optional
        LightGBM's metrics. They replace those in ``params``.
    **keywords
        Further arguments of ``lightgbm.cv``: ``nfold``, ``stratified``, ``callbacks`` and so on.

    Returns
    -------
    dict
        Mean and standard deviation of each metric over the folds, round by round, as
        ``lightgbm.cv`` returns them. Boosters returned with ``return_cvbooster=True`` are native
        too.

    Raises
    ------
    ValueError
        If labels, weights, metrics or parameters do not fit the loss, as in :func:`train`.

    See Also
    --------
    boostloss.lightgbm.train : Trains on all rows.
    boostloss.compare : Compares losses on the same folds.
    """
    init_model = keywords.get("init_model")
    if metrics is not None:  # as in LightGBM, they replace those in params
        params = {**without(params, "metric"), "metric": metrics}
    y, weight = target(train_set, _of_data_set(params), init_model)
    counts = _class_counts(y, weight)
    forget_starts([train_set], init_model)
    native, resolved, n_classes = native_params(params, loss, counts, class_counts(y, None, 2))
    if init_model is None:
        warn_of_few_rows(native, resolved, counts, len(y), n_classes)
    judged = bool(keywords.get("eval_train_metric"))
    own = built_in_weights(resolved, recorder, feval, judged)
    native, feval = _metrics(native, resolved, feval, n_classes, linked=own is not None)
    if own is None:
        check_callable(params)
        native["objective"] = callable_objective(native, resolved, recorder)
        keywords["callbacks"] = with_drop_alike(keywords.get("callbacks"))
    else:
        native = {**native, "objective": built_in_objective(n_classes)}
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
            intercept = intercept_of(resolved, *target(fold_train), n_classes, native)
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
    """Return the parameters for constructing a data set, which do not name the problem."""
    return without(params, "objective", "metric", "num_class")


def _class_counts(y: Array, weight: Array | None) -> Array:
    y = check_labels(y, LABEL_LIMIT)
    return class_counts(y, check_sample_weight(weight, len(y)), 2)


def native_params(
    params: Params, loss: Loss | LossName, counts: Array, rows: Array
) -> tuple[Params, Loss, int | None]:
    """Return parameters without objective, the loss with numbers as weights, and K or None.

    ``counts`` are the summed weights of each class, ``rows`` its number of rows. K is None for two
    classes with the binary objective.
    """
    given: Loss = named(loss)
    num_class = value_of(params, "num_class")
    several = num_class is not None and int(num_class) > 1
    if not several:
        check_no_gaps(counts)
    n_classes = int(num_class) if several else len(counts)
    softmax = several or n_classes > 2
    objective_name = value_of(params, "objective")
    if objective_name not in (None, "multiclass" if softmax else "binary"):
        raise ValueError(f"params['objective'] must be left out with loss=, got {objective_name!r}")
    check_misplaced(params, given, ENGINE_NAMES)
    check_link(params)
    check_bagging_by_class(params, n_classes)
    native, factor = take_class_factor(
        without(params, "objective", "num_class"), np.pad(rows, (0, n_classes - len(rows)))
    )
    fitted = given.fit(np.arange(len(counts)), None, counts, n_classes=n_classes)
    resolved: Loss = fitted.loss
    if factor is not None:
        resolved = resolved.with_class_weight(fitted.class_weight * factor)
    if softmax:
        native["num_class"] = n_classes
    return native, resolved, n_classes if softmax else None


def callable_objective(native: Params, loss: Loss, recorder: Recorder | None = None) -> Any:
    """Return the objective to pass in LightGBM's parameters."""
    n_threads = stated_threads(native)
    return training_objective(loss, "lightgbm", n_threads=n_threads, recorder=recorder)


# -- cross-entropy with constant class weights: LightGBM's built-in objective -------------------


def built_in_weights(
    loss: Loss, recorder: Recorder | None, metrics: Any, judged: bool
) -> Array | None:
    """Return class weights for the built-in objective, or None if a callable is needed.

    It is needed for class weights if the training set is ``judged``, because its metrics would be
    weighted too, and for metrics of the user, which expect raw scores.
    """
    weights = constant_weights(loss)
    if weights is None or recorder is not None or (judged and (weights != 1.0).any()):
        return None
    listed = metrics if isinstance(metrics, list) else [metrics]
    return weights if all(isinstance(one, Metric | None) for one in listed) else None


def built_in_objective(n_classes: int | None) -> str:
    """Return LightGBM's name for cross-entropy. ``n_classes=None`` means binary."""
    return "binary" if n_classes is None else "multiclass"


def on_probabilities(metrics: list[Any]) -> list[Any]:
    """Return boostloss's metrics for probabilities, which a built-in objective passes."""
    return [metric.on_probabilities() for metric in metrics]


def _metrics(
    native: Params, loss: Loss, feval: Any, n_classes: int | None, linked: bool
) -> tuple[Params, Any]:
    """Return parameters with LightGBM's metrics that are right, and callables for the others."""
    users = list(feval) if isinstance(feval, list) else [feval] * (feval is not None)
    check_names_differ("feval", users)
    params = without(native, "metric")
    given = value_of(native, "metric")
    listed = [given] if isinstance(given, str) else list(given or ())
    names = as_names([str(name) for name in listed], n_classes or 2) if listed else None
    if names is None:
        users = users or [posterior_metric(loss)]
    chosen = of_posterior(names or [], loss, params, n_classes=n_classes or 2, linked=linked)
    users = on_probabilities(users) if linked else users
    return {**params, "metric": chosen.names or "None"}, [*chosen.callables, *users] or None


def intercept_of(
    loss: Loss, y: Array, weight: Array | None, n_classes: int | None, params: Params
) -> Array:
    """Return the intercept: one raw score (``n_classes=None``), or one for each class.

    It is 0 with ``boost_from_average=False``.
    """
    if not starts_from_average(params):
        return np.zeros(n_classes or 1)
    counts = with_floor(class_counts(y, weight, 2), LEAST_SHARE, n_classes or 2)
    return np.atleast_1d(loss.init_score(np.arange(len(counts)), counts, n_classes=n_classes))


def no_feature_splits(error: Exception) -> bool:
    """Return whether LightGBM found no feature that can be split.

    A custom objective then raises an error. A built-in objective returns a constant model.
    """
    return "num_features()) > (0)" in str(error)


def built_in_params(params: Params, n_classes: int | None) -> Params:
    """Return the parameters with LightGBM's built-in objective and without early stopping."""
    kept = without(params, "early_stopping_round")
    return {**kept, "objective": built_in_objective(n_classes)}
