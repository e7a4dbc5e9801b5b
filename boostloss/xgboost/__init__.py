"""XGBoost: train and cv with ``loss=``, and the classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from boostloss import _collective
from boostloss.losses import Loss
from boostloss.losses._validation import Array, check_labels, check_sample_weight, class_counts
from boostloss.losses._workers import ALONE, Workers
from boostloss.metrics import posterior_log_loss
from boostloss.objectives import check_two_classes, objective
from boostloss.optional import import_when_used, refuse_distributed, require
from boostloss.recorder import Recorder

if TYPE_CHECKING:
    from boostloss.xgboost.classifier import ImbalancedXGBClassifier as ImbalancedXGBClassifier
    from boostloss.xgboost.dask import DaskImbalancedXGBClassifier as DaskImbalancedXGBClassifier
    from boostloss.xgboost.dask import dask_train as dask_train

xgb = require("xgboost", "xgboost")

__all__ = ["ImbalancedXGBClassifier", "cv", "train"]

# the classifier is built on this module; what needs Dask, which few have, comes when asked for
_LATE = {
    "DaskImbalancedXGBClassifier": "boostloss.xgboost.dask",
    "ImbalancedXGBClassifier": "boostloss.xgboost.classifier",
    "dask_train": "boostloss.xgboost.dask",
}
__getattr__, __dir__ = import_when_used(__name__, _LATE, globals())

Params = dict[str, Any]


def train(
    params: Params,
    dtrain: Any,
    num_boost_round: int = 10,
    *,
    loss: Loss,
    custom_metric: Callable[..., Any] | None = None,
    recorder: Recorder | None = None,
    xgb_model: Any = None,
    **keywords: Any,
) -> Any:
    """``xgboost.train`` with a loss.

    The booster is native: its objective is "binary:logistic" or "multi:softprob", it starts
    from the loss's exact intercept (unless ``params`` has a ``base_score`` or training goes on
    from ``xgb_model``), ``predict`` gives sigma or softmax of the raw score, and the saved
    file needs XGBoost alone. Calibrated probabilities are
    ``loss.posterior(booster.predict(d, output_margin=True))``, with ``loss.resolve(y)`` for class
    weights that are counted and ``loss.frozen(y, raw_train)`` for GHM.

    Parameters
    ----------
    params : dict
        XGBoost's parameters; ``objective`` may be left out. ``num_class`` is found from the
        labels.
    dtrain : xgboost.DMatrix
        With labels 0..K-1.
    num_boost_round : int
        Number of rounds.
    loss : Loss
        For example ``FocalLoss(gamma=2)``.
    custom_metric : callable, optional
        Default, where ``params`` has no ``eval_metric``: :func:`boostloss.posterior_log_loss`.
    recorder : Recorder, optional
        Keeps what was hard in each round.
    xgb_model, **keywords
        As in ``xgboost.train``.

    Returns
    -------
    xgboost.Booster

    Raises
    ------
    ValueError
        For labels, weights or an objective that do not fit the loss.
    """
    refuse_distributed("dtrain", dtrain)
    counts = _class_counts(dtrain, _collective.current())
    native, resolved = native_params(params, loss, counts)
    if xgb_model is None and params.get("base_score") is None:
        native["base_score"] = starting_score(resolved, counts, native.get("num_class"))
    custom_metric = default_metric(native, resolved, custom_metric)
    return xgb.train(
        native,
        dtrain,
        num_boost_round,
        obj=objective(resolved, recorder=recorder),
        custom_metric=custom_metric,
        xgb_model=xgb_model,
        **keywords,
    )


def cv(
    params: Params,
    dtrain: Any,
    num_boost_round: int = 10,
    *,
    loss: Loss,
    custom_metric: Callable[..., Any] | None = None,
    recorder: Recorder | None = None,
    fpreproc: Callable[..., Any] | None = None,
    **keywords: Any,
) -> Any:
    """``xgboost.cv`` with a loss; each fold starts from the intercept of its own rows.

    Parameters are those of :func:`train` and ``xgboost.cv``. Class weights that depend on the
    labels are counted on all of ``dtrain``.
    """
    counts = _class_counts(dtrain)
    native, resolved = native_params(params, loss, counts)

    def with_intercept(fold_train: Any, fold_test: Any, fold_params: Params) -> Any:
        if fpreproc is not None:
            fold_train, fold_test, fold_params = fpreproc(fold_train, fold_test, fold_params)
        if params.get("base_score") is None:
            start = starting_score(resolved, _class_counts(fold_train), native.get("num_class"))
            fold_params = {**fold_params, "base_score": start}
        return fold_train, fold_test, fold_params

    return xgb.cv(
        native,
        dtrain,
        num_boost_round,
        obj=objective(resolved, recorder=recorder),
        custom_metric=default_metric(native, resolved, custom_metric),
        fpreproc=with_intercept,
        **keywords,
    )


def _class_counts(data: Any, workers: Workers = ALONE) -> Array:
    """Rows, or their summed weights, of each class on all workers: what a loss starts from."""
    y, weight = workers.together(_target, data)
    check_two_classes(y, workers)
    found = int(workers.largest(np.array([y.max(initial=1.0)]))[0]) + 1
    return workers.sum(class_counts(y, weight, found))


def _target(data: Any) -> tuple[Array, Array | None]:
    label, weight = data.get_label(), data.get_weight()
    if not label.size and data.num_row():
        raise ValueError("dtrain must have labels, got none")
    y = check_labels(label, 2**24)
    return y, check_sample_weight(weight, len(y), zero_allowed=True) if weight.size else None


def native_params(params: Params, loss: Loss, counts: Array) -> tuple[Params, Loss]:
    """Parameters with the native objective of the problem, and the loss with fixed weights."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a boostloss loss such as FocalLoss(), got {loss!r}")
    given = params.get("num_class")
    n_classes = int(given) if given else len(counts)
    softmax = bool(given) or n_classes > 2
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
    return native, loss.resolve(np.arange(len(counts)), counts, n_classes=n_classes)


def starting_score(
    loss: Loss, counts: Array, n_classes: int | None, softmax_floor: float = 0.0
) -> Any:
    """The intercept as XGBoost takes it: a probability, or a list of raw scores as text.

    Those sum to 0, as XGBoost's own do: softmax sees differences alone.
    """
    score = loss.base_score(np.arange(len(counts)), counts, n_classes=n_classes)
    if n_classes is None:
        return float(1.0 / (1.0 + np.exp(-np.float64(score))))
    scores = np.log(np.exp(score) + softmax_floor)
    return str((scores - scores.mean()).tolist())


def default_metric(
    native: Params, loss: Loss, custom_metric: Callable[..., Any] | None
) -> Callable[..., Any] | None:
    if custom_metric is None and "eval_metric" not in native:
        native["disable_default_eval_metric"] = 1
        return posterior_log_loss(loss)
    return custom_metric
