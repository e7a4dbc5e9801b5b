"""XGBoost: ``train`` and ``cv`` with ``loss=``, the loss's ``base_score``, and the classifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from boostloss import engine_call
from boostloss.classifier import check_misplaced, fit_to_scores
from boostloss.losses import ALONE, Loss, LossName, Workers, constant_weights, named
from boostloss.losses.validation import (
    LABEL_LIMIT,
    Array,
    check_labels,
    check_no_gaps,
    check_sample_weight,
    class_counts,
    with_floor,
)
from boostloss.metrics import Metric, posterior_metric
from boostloss.model_file import calibrated_loss, calibrated_shift
from boostloss.objectives import training_objective
from boostloss.optional import import_when_used, refuse_distributed, require
from boostloss.recorder import Recorder
from boostloss.xgboost.metrics import of_posterior
from boostloss.xgboost.model import carry, predict_proba, raw_scores, shifted
from boostloss.xgboost.parameters import ENGINE_NAMES, check_params, moves_shares, take_class_factor

if TYPE_CHECKING:
    from boostloss.xgboost.classifier import ImbalancedXGBClassifier as ImbalancedXGBClassifier
    from boostloss.xgboost.dask import DaskImbalancedXGBClassifier as DaskImbalancedXGBClassifier
    from boostloss.xgboost.dask import dask_train as dask_train
    from boostloss.xgboost.spark import spark_train as spark_train

xgb = require("xgboost", "xgboost")

__all__ = ["ImbalancedXGBClassifier", "base_score", "cv", "predict_proba", "train"]

# The classifier imports this module. Names that need Dask are imported when they are used.
_LATE = {
    "DaskImbalancedXGBClassifier": "boostloss.xgboost.dask",
    "ImbalancedXGBClassifier": "boostloss.xgboost.classifier",
    "dask_train": "boostloss.xgboost.dask",
    "spark_train": "boostloss.xgboost.spark",
}
__getattr__, __dir__ = import_when_used(__name__, _LATE)

Params = dict[str, Any]
ParamsLike = Mapping[str, Any] | Sequence[tuple[str, Any]]
"""Parameters as in XGBoost: a dict, or pairs, of which several may name a metric."""

LEAST_SHARE = 1e-6
"""Smallest class share at the start of training, used for absent classes. It is XGBoost's."""


def train(
    params: ParamsLike,
    dtrain: Any,
    num_boost_round: int = 10,
    *,
    loss: Loss | LossName,
    custom_metric: Callable[..., Any] | None = None,
    recorder: Recorder | None = None,
    xgb_model: Any = None,
    calibrated: bool = False,
    **keywords: Any,
) -> Any:
    """Train a booster with a loss, as ``xgboost.train``.

    The booster is native. Its objective is "binary:logistic" or "multi:softprob", its ``predict``
    returns the sigmoid or softmax of the raw score, and XGBoost alone reads the saved file.
    Training starts at the loss's intercept, unless ``params`` has a ``base_score`` or training
    continues from ``xgb_model``. The booster and its saved file contain the fitted loss, so
    :func:`predict_proba` returns probabilities of the classes.

    XGBoost's own objective trains cross-entropy with constant class weights (for two classes, or
    the same for all classes), unless a recorder or a custom metric needs the callable.

    Parameters
    ----------
    params : dict, or list of pairs
        XGBoost's parameters. ``objective`` is not needed, and ``num_class`` is found from the
        labels. ``scale_pos_weight`` multiplies the loss's weight of class 1. ``eval_metric``
        names metrics, which XGBoost computes from the posterior.
    dtrain : xgboost.DMatrix
        Training data with labels 0..K-1.
    num_boost_round : int
        Number of rounds.
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}
        For example ``FocalLoss(gamma=2)``, or the name of a loss with default parameters.
    custom_metric : callable, optional
        A custom metric. The default is :func:`boostloss.posterior_log_loss`, unless ``params`` has
        an ``eval_metric``.
    recorder : Recorder, optional
        Records the gradient norms of each round.
    xgb_model : xgboost.Booster, str or path, optional
        A model from which training continues, as in ``xgboost.train``.
    calibrated : bool, default=False
        Whether to add the constant between raw score and posterior to the model's intercept, so
        that XGBoost's own ``predict`` returns the posterior. For cross-entropy only, with any class
        weights.
    **keywords
        Further arguments of ``xgboost.train``: ``evals``, ``early_stopping_rounds`` and so on.

    Returns
    -------
    xgboost.Booster
        A native booster. Its fitted loss is an attribute.

    Raises
    ------
    ValueError
        If labels, weights or the objective do not fit the loss, or with ``calibrated`` if the
        loss is not cross-entropy.

    See Also
    --------
    boostloss.xgboost.predict_proba : Predicts probabilities with the booster.
    boostloss.xgboost.cv : Cross-validates a loss.
    """
    _check_call(dtrain, keywords)
    workers = engine_call.xgboost_workers()
    counts = _class_counts(dtrain, workers)
    arguments, resolved = training_arguments(params, loss, counts, custom_metric, recorder)
    if xgb_model is None:
        set_base_score(arguments["params"], resolved, counts)
    n_classes = arguments["params"].get("num_class")
    fitted = resolved.fit(np.arange(len(counts)), None, counts, n_classes=n_classes)
    if calibrated:
        calibrated_shift(fitted)
    booster = xgb.train(
        dtrain=dtrain,
        num_boost_round=num_boost_round,
        xgb_model=xgb_model,
        **arguments,
        **keywords,
    )
    if not fitted.keeps_shares or moves_shares(arguments["params"]):
        y, weight = workers.together(_target, dtrain)
        raw = raw_scores(booster, dtrain)
        if not raw.size:  # XGBoost returns another shape if there are no rows
            raw = np.empty((0, n_classes) if n_classes else 0, np.float32)
        fitted = fit_to_scores(resolved, y, raw, weight, workers)
    if calibrated:
        booster, fitted = shifted(booster, calibrated_shift(fitted)), calibrated_loss(fitted)
    return carry(booster, fitted)


def cv(
    params: ParamsLike,
    dtrain: Any,
    num_boost_round: int = 10,
    *,
    loss: Loss | LossName,
    custom_metric: Callable[..., Any] | None = None,
    recorder: Recorder | None = None,
    fpreproc: Callable[..., Any] | None = None,
    metrics: str | Sequence[str] = (),
    **keywords: Any,
) -> Any:
    """Cross-validate a loss, as ``xgboost.cv``.

    Each fold starts at the intercept of its own rows. Class weights that depend on the labels are
    computed from all of ``dtrain``.

    Parameters
    ----------
    params : dict, or list of pairs
        XGBoost's parameters, as in :func:`train`.
    dtrain : xgboost.DMatrix
        Training data with labels 0..K-1.
    num_boost_round : int
        Number of rounds.
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}
        For example ``FocalLoss(gamma=2)``, or the name of a loss with default parameters.
    custom_metric : callable, optional
        A custom metric. The default is :func:`boostloss.posterior_log_loss`, unless ``params`` or
        ``metrics`` name a metric.
    recorder : Recorder, optional
        Records the gradient norms of each round, with one run for each fold.
    fpreproc : callable, optional
        Changes the data and parameters of a fold, as in ``xgboost.cv``, before the fold's
        intercept is computed.
    metrics : str or list of str, optional
        XGBoost's metrics. They replace those in ``params``.
    **keywords
        Further arguments of ``xgboost.cv``: ``nfold``, ``stratified``, ``early_stopping_rounds``
        and so on.

    Returns
    -------
    pandas.DataFrame or dict
        Mean and standard deviation of each metric over the folds, round by round, as
        ``xgboost.cv`` returns them.

    Raises
    ------
    ValueError
        If labels, weights or the objective do not fit the loss.

    See Also
    --------
    boostloss.xgboost.train : Trains on all rows.
    boostloss.compare : Compares losses on the same folds.
    """
    _check_call(dtrain, keywords)
    params = as_params(params)
    if metrics:  # as in XGBoost, they replace those in params
        params["eval_metric"] = metrics
    arguments, resolved = training_arguments(
        params, loss, _class_counts(dtrain), custom_metric, recorder
    )

    def with_intercept(fold_train: Any, fold_test: Any, fold_params: Params) -> Any:
        if fpreproc is not None:
            fold_train, fold_test, fold_params = fpreproc(fold_train, fold_test, fold_params)
        fold_params = dict(fold_params)
        set_base_score(fold_params, resolved, _class_counts(fold_train))
        return fold_train, fold_test, fold_params

    return xgb.cv(
        dtrain=dtrain,
        num_boost_round=num_boost_round,
        fpreproc=with_intercept,
        **arguments,
        **keywords,
    )


def as_params(params: ParamsLike) -> Params:
    """Copy parameters to a dict, in which several metrics are a list."""
    if isinstance(params, Mapping):
        return dict(params)
    pairs = list(params)
    metrics = [value for name, value in pairs if name == "eval_metric"]
    return {**dict(pairs), **({"eval_metric": metrics} if len(metrics) > 1 else {})}


def base_score(
    loss: Loss | LossName, y: Any, sample_weight: Any = None, *, n_classes: int | None = None
) -> float | str:
    """Compute XGBoost's parameter ``base_score``, so that training starts at a loss's intercept.

    Use it with XGBoost's own functions. :func:`train`, :func:`cv` and the classifiers set it.

    Parameters
    ----------
    loss : Loss or str
        For example ``FocalLoss(gamma=2)``, or the name of a loss.
    y : array of shape (n,)
        Labels 0..K-1.
    sample_weight : array of shape (n,), optional
        At least 0, not all zero.
    n_classes : int, optional
        Number of classes. By default it is found from ``y``. Pass 2 for "multi:softprob" with two
        classes.

    Returns
    -------
    float or str
        For "binary:logistic" the sigmoid of the intercept, which is not the share of class 1 for
        a weighted loss. For "multi:softprob" a list of raw scores, as a string.

    Raises
    ------
    ValueError, TypeError
        If the loss, labels or weights are invalid.

    See Also
    --------
    boostloss.objective : Makes the objective.
    boostloss.xgboost.train : Trains with objective and ``base_score``.

    Examples
    --------
    >>> from boostloss import CrossEntropy
    >>> from boostloss.xgboost import base_score
    >>> round(base_score(CrossEntropy(), [0, 0, 0, 1]), 3)
    0.25
    >>> round(base_score(CrossEntropy(class_weight="balanced"), [0, 0, 0, 1]), 3)
    0.5
    """
    return as_base_score(named(loss).init_score(y, sample_weight, n_classes=n_classes))


def as_base_score(raw: Any, softmax_floor: float = 0.0) -> float | str:
    """Convert a raw score to ``base_score``: a probability, or a list of raw scores as a string.

    The raw scores sum to 0, as in XGBoost, since softmax depends on differences only.
    """
    if np.ndim(raw) == 0:
        return float(1.0 / (1.0 + np.exp(-np.float64(raw))))
    scores = np.log(np.exp(raw) + softmax_floor)
    return str((scores - scores.mean()).tolist())


def set_base_score(params: Params, loss: Loss, counts: Array) -> None:
    """Set ``base_score`` to the loss's intercept unless ``params`` contains it."""
    if params.get("base_score") is None:
        n_classes = params.get("num_class")
        counts = with_floor(counts, LEAST_SHARE, n_classes or len(counts))
        params["base_score"] = base_score(loss, np.arange(len(counts)), counts, n_classes=n_classes)


def _class_counts(data: Any, workers: Workers = ALONE) -> Array:
    """Count the rows of each class, or sum their weights, on all workers."""
    y, weight = workers.together(_target, data)
    found = int(workers.largest(np.array([y.max(initial=1.0)]))[0]) + 1
    counts = workers.sum(class_counts(y, weight, found))
    if not counts.any():
        raise ValueError("dtrain must contain rows with weight, got none")
    return counts


def _target(data: Any) -> tuple[Array, Array | None]:
    label, weight = data.get_label(), data.get_weight()
    if not label.size and data.num_row():
        raise ValueError("dtrain must have labels, got none")
    y = check_labels(label, LABEL_LIMIT)
    return y, check_sample_weight(weight, len(y), zero_allowed=True) if weight.size else None


def _check_call(dtrain: Any, keywords: dict[str, Any]) -> None:
    refuse_distributed("dtrain", dtrain)
    if not isinstance(dtrain, xgb.DMatrix):
        raise TypeError(f"dtrain must be an xgboost.DMatrix, got {type(dtrain).__name__}")
    if "obj" in keywords:
        raise TypeError(f"obj must be left out: loss takes its place, got {keywords['obj']!r}")


def training_arguments(
    params: ParamsLike,
    loss: Loss | LossName,
    counts: Array,
    custom_metric: Callable[..., Any] | None,
    recorder: Recorder | None = None,
    in_use: tuple[Array, Array] | None = None,
) -> tuple[dict[str, Any], Loss]:
    """Return arguments for XGBoost's functions, and the loss with class weights as numbers.

    ``counts`` contains the number of rows, or the weight, of each class. ``in_use`` contains the
    class shares of training and those where the model is used, for metrics.
    """
    given: Loss = named(loss)
    params = as_params(params)
    check_params(params)
    check_misplaced(params, given, ENGINE_NAMES)
    num_class = params.get("num_class")
    if not num_class:
        check_no_gaps(counts)
    n_classes = int(num_class) if num_class else len(counts)
    softmax = bool(num_class) or n_classes > 2
    name = "multi:softprob" if softmax else "binary:logistic"
    allowed = {None, name, "multi:softmax"} if softmax else {None, name}
    if params.get("objective") not in allowed:
        raise ValueError(
            f"params['objective'] must be {name!r} or left out with loss=, "
            f"got {params['objective']!r}"
        )
    native = {**params, "objective": params.get("objective") or name}
    if softmax:
        native["num_class"] = n_classes
    native, factor = take_class_factor(native, n_classes)
    fitted = given.fit(np.arange(len(counts)), None, counts, n_classes=n_classes)
    resolved: Loss = fitted.loss
    if factor is not None:
        resolved = resolved.with_class_weight(fitted.class_weight * factor)
    disabled = str(native.get("disable_default_eval_metric", 0)).lower() in ("1", "true")
    if custom_metric is None and native.get("eval_metric") is None and not disabled:
        native = {**native, "eval_metric": [], "disable_default_eval_metric": 1}
        custom_metric = posterior_metric(resolved, in_use=in_use)
    n_outputs = n_classes if softmax else None
    native, custom_metric = of_posterior(
        native, resolved, custom_metric, n_classes=n_outputs, in_use=in_use
    )
    own = None
    # multi:softmax predicts labels only, and a metric of the user expects raw scores
    if native["objective"] == name and isinstance(custom_metric, Metric | None) and not recorder:
        own = built_in_params(native, resolved, softmax)
    if own is not None:
        metric = custom_metric.on_probabilities() if isinstance(custom_metric, Metric) else None
        return {"params": own, "obj": None, "custom_metric": metric}, resolved
    n_threads = engine_call.stated_threads(native)
    obj = training_objective(resolved, "xgboost", n_threads=n_threads, recorder=recorder)
    return {"params": native, "obj": obj, "custom_metric": custom_metric}, resolved


_REGULARISATION = {
    ("lambda", "reg_lambda"): 1.0,
    ("alpha", "reg_alpha"): 0.0,
    ("gamma", "min_split_loss"): 0.0,
    ("min_child_weight",): 1.0,
}
"""Parameters that XGBoost compares with sums of gradients or Hessians, and their defaults."""


def built_in_params(params: Params, loss: Loss, softmax: bool) -> Params | None:
    """Return parameters with which XGBoost's built-in objective equals the loss, or None.

    They exist for cross-entropy with equal class weights, or with two classes, whose ratio is
    ``scale_pos_weight``. A common weight w is not passed as row weights, since their rounding
    changes XGBoost's quantiles (raw scores differed by 0.05 with 1/3). Instead, parameters that
    are compared with sums of gradients are divided by w, which leads to the same trees.
    """
    weights = constant_weights(loss)
    if weights is None or (softmax and np.ptp(weights)):
        return None
    scale = float(weights[0])
    if scale != 1.0 and params.get("booster") == "gblinear":
        return None
    own = dict(params)
    if not softmax:
        own["scale_pos_weight"] = float(weights[1]) / scale
    for names, default in _REGULARISATION.items():
        stated = [name for name in names if own.get(name) is not None]
        own.update({name: float(own[name]) / scale for name in stated})
        if not stated and default and scale != 1.0:
            own[names[-1]] = default / scale
    return own
