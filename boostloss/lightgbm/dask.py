"""LightGBM on Dask: train with ``loss=``."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.dask import (
    class_counts,
    encoded,
    fit_partitions,
    for_each_part,
    partitions,
    partitions_like,
)
from boostloss.lightgbm import (
    CLASS_ALIASES,
    Params,
    callable_objective,
    intercept_of,
    native_params,
)
from boostloss.lightgbm.few_rows import warn_of_few_rows
from boostloss.lightgbm.model import carry, make_native
from boostloss.lightgbm.parameters import check_callable, value_of, without
from boostloss.lightgbm.prediction import needs_scores
from boostloss.losses import Loss, LossName, is_plain_cross_entropy, named
from boostloss.losses.validation import LABEL_LIMIT, Array, check_labels
from boostloss.objectives import check_sums_needed
from boostloss.optional import require

require("distributed", "dask")
lgb = require("lightgbm", "lightgbm")


def dask_train(
    client: Any,
    params: Params,
    X: Any,
    y: Any,
    num_boost_round: int = 100,
    *,
    loss: Loss | LossName,
    sample_weight: Any = None,
) -> Any:
    """Train LightGBM on Dask with a loss.

    Class weights and the intercept are computed from all rows before training. The trees
    are those of one machine if the features have few distinct values, ``min_data_in_leaf`` is 1
    and ``min_sum_hessian_in_leaf`` 0. Otherwise they differ, as with LightGBM's built-in
    objectives, because LightGBM estimates the rows of a leaf in another way on several machines.

    Parameters
    ----------
    client : distributed.Client
        The client of the workers.
    params : dict
        LightGBM's parameters, as in :func:`boostloss.lightgbm.train`, without ``metric`` and
        ``early_stopping_round``, because nothing is evaluated.
    X : dask Array or DataFrame of shape (n, d)
        Features.
    y : dask Array or Series
        Labels 0..K-1, with as many partitions as X.
    num_boost_round : int
        Number of rounds.
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}
        Any loss except GHM, for example ``FocalLoss(gamma=2)``.
    sample_weight : dask Array or Series, optional
        Weights, at least 0.

    Returns
    -------
    lightgbm.Booster
        A native booster that contains intercept, link and its fitted loss, as that of
        :func:`.train`.

    Raises
    ------
    ValueError, TypeError
        For GHM, whose density needs sums over the workers in every round, which LightGBM does not
        offer to Python, or if labels, weights or parameters do not fit the loss.

    See Also
    --------
    boostloss.lightgbm.train : Trains on one machine.
    boostloss.dask.class_counts : Counts the labels, as this function does.
    """
    given: Loss = named(loss)
    check_sums_needed(given)
    labels, counts = class_counts(y, sample_weight, client=client)
    stated = any(params.get(name) is not None for name in CLASS_ALIASES)
    if not stated and not np.array_equal(labels, np.arange(len(labels))):
        raise ValueError(
            "y must contain every class from 0 to K-1 if params has no num_class, got "
            f"{labels.tolist()}"
        )
    codes_found = check_labels(labels, LABEL_LIMIT).astype(np.intp)
    counts = np.bincount(codes_found, weights=counts)
    labels = np.arange(len(counts))
    check_callable(params)
    _check_no_evaluation(params)
    rows = counts if sample_weight is None else _rows(y, client, len(counts))
    native, resolved, n_classes = native_params(params, given, counts, rows)
    warn_of_few_rows(native, resolved, counts, int(rows.sum()), n_classes)
    native["objective"] = callable_objective(native, resolved)
    intercept = intercept_of(resolved, labels, counts, n_classes, native)
    codes = client.persist(encoded(y, labels, "y"))
    # Use the regressor: LightGBM's classifier numbers the labels on each worker separately, which
    # is wrong if a worker has only one class.
    native = without(native, "metric", "early_stopping_round")
    arguments = {**native, "n_estimators": num_boost_round, "metric": "None"}  # not evaluated
    model = lgb.DaskLGBMRegressor(client=client, **arguments)
    init_score = _for_each_row(codes, intercept, n_classes)
    model.fit(X, codes, sample_weight=sample_weight, init_score=init_score)
    plain = is_plain_cross_entropy(resolved)
    made = make_native(model.booster_, intercept, n_classes, num_iteration=None, refit=plain)
    fitted = resolved.fit(labels, None, counts, n_classes=n_classes)
    if needs_scores(fitted, native):
        y_parts = partitions("y", codes)
        X_parts = partitions_like("X", X, y_parts, one_column=False)
        raw = for_each_part(_scores_of_part, [made.model_to_string()] * len(X_parts), X_parts)
        parts = [y_parts, raw, partitions_like("sample_weight", sample_weight, y_parts)]
        fitted = fit_partitions(resolved, parts, n_classes or 2, client)
    return carry(made, fitted)


def _scores_of_part(text: str, X: Any) -> Array:
    """Return the raw scores of one part of the rows."""
    booster = lgb.Booster(model_str=text)
    if X.shape[0]:
        return np.asarray(booster.predict(X, raw_score=True))
    n_classes = booster.num_model_per_iteration()
    return np.empty((0, n_classes) if n_classes > 1 else 0)


def _rows(y: Any, client: Any, n_classes: int) -> Array:
    """Count the rows of each class, without weights."""
    labels, counts = class_counts(y, client=client)
    return np.bincount(labels.astype(np.intp), weights=counts, minlength=n_classes)


def _check_no_evaluation(params: Params) -> None:
    """Raise an error for parameters of evaluation sets, which are not supported on Dask."""
    metric, stopping = value_of(params, "metric"), value_of(params, "early_stopping_round")
    if metric not in (None, "", "None", "na", "null", "custom"):
        raise ValueError(f"metric must be left out: nothing is evaluated on Dask, got {metric!r}")
    if stopping is not None and int(stopping) > 0:
        raise ValueError(
            "early_stopping_round must be left out: nothing is evaluated on Dask, choose "
            f"num_boost_round with boostloss.lightgbm.cv on some of the rows, got {stopping!r}"
        )


def _for_each_row(codes: Any, intercept: Array, n_classes: int | None) -> Any:
    """Return the init score of every row as a Dask array with the parts of ``codes``."""
    if n_classes is None:
        return codes.map_blocks(_start_of_part, intercept[0], meta=np.empty(0))
    return codes.map_blocks(
        _start_of_part,
        intercept,
        new_axis=[1],
        chunks=(codes.chunks[0], (n_classes,)),
        meta=np.empty((0, 0)),
    )


def _start_of_part(codes: Array, intercept: Any) -> Array:
    return np.broadcast_to(intercept, (len(codes), *np.shape(intercept))).copy()
