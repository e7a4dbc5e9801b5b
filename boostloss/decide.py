"""Make decisions from probabilities: by costs, alert budgets, or a threshold tuned for a metric.

The functions take the probabilities of any model. These must be right on average in the population
in which the decisions are made. Classes are codes 0..K-1, in the order of the columns of
``predict_proba``. With two classes, 1 is the positive class. Costs, thresholds and shares in pandas
must have the codes as their index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from boostloss.losses.validation import (
    Array,
    by_codes,
    check_integer,
    check_labels,
    check_sample_weight,
)
from boostloss.prior import add_unfound, estimate_prior, shift_prior
from boostloss.thresholds import Rows, best_thresholds, check_metric

__all__ = [
    "add_unfound",
    "apply_threshold",
    "cost_matrix",
    "decide",
    "estimate_prior",
    "expected_cost",
    "observed_cost",
    "shift_prior",
    "top",
    "tune_threshold",
]

SUM_TOLERANCE = 1e-4
"""Largest allowed difference between a row's sum and 1. Rounding to float32 stays below it, and
scores that are not normalised exceed it."""


def cost_matrix(
    *,
    false_negative: ArrayLike,
    false_positive: ArrayLike,
    true_positive: ArrayLike = 0.0,
    true_negative: ArrayLike = 0.0,
) -> Array:
    """Make the cost matrix of two classes, or one matrix for each row.

    Parameters
    ----------
    false_negative, false_positive, true_positive, true_negative : float or array of shape (n,)
        Cost of a missed positive, of a false alarm, and of the right decisions, in any unit. A
        gain is a negative cost. An array has one cost for each row, for example the amount of a
        missed fraud.

    Returns
    -------
    array of shape (2, 2), or (n, 2, 2) if any of the costs is an array
        True classes in rows, decisions in columns.

    Raises
    ------
    ValueError
        If the costs are not finite numbers, or are arrays of different lengths.

    See Also
    --------
    decide : Decides by a cost matrix.

    Examples
    --------
    >>> from boostloss.decide import cost_matrix
    >>> cost_matrix(false_negative=50, false_positive=1)
    array([[ 0.,  1.],
           [50.,  0.]])
    >>> cost_matrix(false_negative=[120.0, 3.5], false_positive=5).shape
    (2, 2, 2)
    """
    given = {
        "true_negative": true_negative,
        "false_positive": false_positive,
        "false_negative": false_negative,
        "true_positive": true_positive,
    }
    costs = {name: _numbers(name, value) for name, value in given.items()}
    n_rows = {len(cost) for cost in costs.values() if cost.ndim == 1}
    for name, cost in costs.items():
        if cost.ndim > 1 or len(n_rows) > 1:
            shapes = ", ".join(f"{name}: {cost.shape}" for name, cost in costs.items())
            raise ValueError(
                f"{name} must be a number, or have one for each row as the others, got {shapes}"
            )
    return np.stack(np.broadcast_arrays(*costs.values()), axis=-1).reshape(*n_rows, 2, 2)


def expected_cost(probability: ArrayLike, costs: ArrayLike) -> Array:
    r"""Compute the expected cost of each decision.

    With the probabilities :math:`P_k` and the costs :math:`C_{kj}` of decision j if the true class
    is k, the expected cost of decision j is

    .. math::
        E_j = \sum_k P_k\,C_{kj}.

    Parameters
    ----------
    probability : array of shape (n,) or (n, K)
        Probabilities of the classes. Shape (n,) is the probability of class 1 of two.
    costs : array of shape (K, K) or (n, K, K)
        Costs with true classes in rows and decisions in columns: one matrix for all rows, or one
        for each row. :func:`cost_matrix` makes one for two classes.

    Returns
    -------
    array of shape (n, K)
        Expected cost of each decision, in the unit of the costs.

    Raises
    ------
    ValueError, TypeError
        If probabilities are outside [0, 1] or do not sum to 1, or costs are not finite or have
        another shape.

    See Also
    --------
    decide : Chooses the decision with the lowest expected cost.

    Examples
    --------
    >>> from boostloss.decide import cost_matrix, expected_cost
    >>> expected_cost([0.01, 0.2], cost_matrix(false_negative=50, false_positive=1))
    array([[ 0.5 ,  0.99],
           [10.  ,  0.8 ]])
    """
    p = _probabilities(probability)
    costs = as_costs(costs, len(p), p.shape[1])
    expected: Array = p @ costs if costs.ndim == 2 else np.einsum("nk,nkj->nj", p, costs)
    return expected


def decide(probability: ArrayLike, costs: ArrayLike) -> Array:
    r"""Choose the decision with the lowest expected cost in each row.

    For two classes without costs of right decisions, that is class 1 if

    .. math::
        P_1 > \frac{C_\text{FP}}{C_\text{FP} + C_\text{FN}}.

    Parameters
    ----------
    probability : array of shape (n,) or (n, K)
        Probabilities of the classes. Shape (n,) is the probability of class 1 of two.
    costs : array of shape (K, K) or (n, K, K)
        Costs with true classes in rows and decisions in columns: one matrix for all rows, or one
        for each row.

    Returns
    -------
    array of shape (n,)
        Codes 0..K-1. Of decisions with equal costs, the lower code. ``model.classes_[codes]``
        are the labels.

    Raises
    ------
    ValueError, TypeError
        As :func:`expected_cost`.

    See Also
    --------
    cost_matrix : Makes the cost matrix of two classes.
    tune_threshold : Finds a threshold on held-out rows.

    References
    ----------
    C. Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001.

    Examples
    --------
    A missed fraud costs its amount, and an investigation costs 5:

    >>> from boostloss.decide import cost_matrix, decide
    >>> decide([0.02, 0.02], cost_matrix(false_negative=[20.0, 4000.0], false_positive=5))
    array([0, 1])
    """
    decision: Array = expected_cost(probability, costs).argmin(axis=1)
    return decision


def observed_cost(y: ArrayLike, decision: ArrayLike, costs: ArrayLike) -> Array:
    """Compute what the decision in each row costs, if the true classes are known.

    Parameters
    ----------
    y : array of shape (n,)
        True classes, 0..K-1.
    decision : array of shape (n,)
        Decisions, 0..K-1.
    costs : array of shape (K, K) or (n, K, K)
        Costs with true classes in rows and decisions in columns.

    Returns
    -------
    array of shape (n,)
        Cost of each row, in the unit of the costs.

    Raises
    ------
    ValueError, TypeError
        If labels are not 0..K-1, or costs have another shape.

    See Also
    --------
    expected_cost : Computes the expected cost, without true classes.

    Examples
    --------
    >>> from boostloss.decide import cost_matrix, observed_cost
    >>> observed_cost([0, 1, 1], [1, 1, 0], cost_matrix(false_negative=50, false_positive=1))
    array([ 1.,  0., 50.])
    """
    matrix = _numbers("costs", costs)
    n_classes = matrix.shape[-1] if matrix.ndim in (2, 3) else 2
    true = check_labels(y, n_classes).astype(np.intp)
    matrix = as_costs(costs, len(true), n_classes)
    chosen = _decisions(decision, n_classes, len(true))
    observed: Array = (
        matrix[true, chosen] if matrix.ndim == 2 else matrix[np.arange(len(true)), true, chosen]
    )
    return observed


def top(probability: ArrayLike, k: int, groups: ArrayLike | None = None) -> Array:
    """Select the rows with the highest scores: at most k rows, or k in each group.

    Parameters
    ----------
    probability : array of shape (n,)
        Any finite score: for example the probability of class 1, or the loss that an alert
        is expected to prevent.
    k : int >= 0
        Maximum number of selected rows, in each group if there are groups. For example 200 alerts
        a day, with days as groups.
    groups : array of shape (n,), optional
        Group of each row, such as its day. Missing values are not allowed.

    Returns
    -------
    array of shape (n,), bool
        True for the selected rows: ``k`` of each group, or all rows of a smaller group. Of
        equal scores the earlier rows are selected.

    Raises
    ------
    ValueError, TypeError
        If scores are not finite numbers, ``k`` is negative, or groups have another length.

    See Also
    --------
    decide : Decides by costs.

    Examples
    --------
    >>> from boostloss.decide import top
    >>> top([0.1, 0.7, 0.4, 0.2], 1, groups=["Mo", "Mo", "Tu", "Tu"])
    array([False,  True,  True, False])
    """
    score = _numbers("probability", probability)
    if score.ndim != 1:
        raise ValueError(
            f"probability must have shape (n,), for example predict_proba(X)[:, 1], got "
            f"{score.shape}"
        )
    check_integer("k", k, 0)
    group = np.zeros(len(score), np.intp) if groups is None else _groups(groups, len(score))
    order = np.lexsort((-score, group))  # stable: earlier rows come first
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else order
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    chosen = np.zeros(len(score), dtype=bool)
    chosen[order[rank < k]] = True
    return chosen


def tune_threshold(
    y: ArrayLike,
    probability: ArrayLike,
    metric: str | ArrayLike | Callable[..., float] = "f1",
    *,
    sample_weight: ArrayLike | None = None,
) -> float | Array:
    """Find the threshold that maximises a metric, or one threshold for each class.

    Use rows that did not train the model. If the costs are known, :func:`decide` needs no such
    rows.

    Parameters
    ----------
    y : array of shape (n,)
        True classes 0..K-1. Each class must have a row.
    probability : array of shape (n,) or (n, K)
        Probabilities of the classes. Shape (n,) is the probability of class 1 of two.
    metric : str, array of shape (K, K), or callable, default="f1"
        The metric to maximise: "f1" (of class 1, for two classes), "f1_macro" (mean over the
        classes), "balanced_accuracy", "accuracy" or "matthews_corrcoef", as in scikit-learn, or a
        callable ``metric(y, decision)``, which also gets ``sample_weight`` if weights are given.
        An array is a cost matrix (true classes in rows), whose sum over the rows is minimised.
    sample_weight : array of shape (n,), optional
        Weight of each row, at least 0.

    Returns
    -------
    float or array of shape (K,)
        For probabilities of shape (n,) a number: choose class 1 if its probability is at least
        this. For (n, K) an array: choose the class with the largest ``P_k / threshold_k``. The
        thresholds sum to 1. With several classes they are found class by class, so the metric may
        have a better maximum elsewhere.

    Raises
    ------
    ValueError, TypeError
        If the metric is unknown or not defined for this number of classes, a class has no
        rows, or probabilities are outside [0, 1].

    See Also
    --------
    apply_threshold : Applies a threshold.

    Notes
    -----
    For named metrics and costs every value of the probability is tried, up to some hundred
    thousand. For a callable 200 quantiles are tried. The threshold lies halfway between two values.

    Examples
    --------
    >>> from boostloss.decide import apply_threshold, tune_threshold
    >>> y, p = [0, 0, 1, 0, 1, 1], [0.02, 0.05, 0.07, 0.1, 0.2, 0.4]
    >>> threshold = tune_threshold(y, p, "balanced_accuracy")
    >>> round(threshold, 3)
    0.06
    >>> apply_threshold(p, threshold)
    array([0, 0, 1, 1, 1, 1])
    """
    p = _probabilities(probability)
    labels = check_labels(y, p.shape[1]).astype(np.intp)
    if len(labels) != len(p):
        raise ValueError(f"y must have one label for each of {len(p)} rows, got {len(labels)}")
    weight = check_sample_weight(sample_weight, len(labels))
    absent = np.flatnonzero(np.bincount(labels, weight, minlength=p.shape[1]) == 0)
    if len(absent):
        raise ValueError(
            f"y must contain every class from 0 to {p.shape[1] - 1}, got no row (with weight) of "
            f"class {absent[0]}"
        )
    if callable(metric) or isinstance(metric, str):
        check_metric(metric, p.shape[1])
    else:
        metric = _costs_of_all(metric, p.shape[1])
    thresholds = best_thresholds(Rows(labels, p, weight), metric)
    return float(thresholds[1]) if np.ndim(probability) == 1 else thresholds


def apply_threshold(probability: ArrayLike, threshold: float | ArrayLike) -> Array:
    """Decide by a threshold, or by a threshold for each class.

    Parameters
    ----------
    probability : array of shape (n,) or (n, K)
        Probabilities of the classes. Shape (n,) is the probability of class 1 of two.
    threshold : float in [0, 1], or array of shape (K,)
        A number, for two classes, chooses class 1 if its probability is at least this. An array
        of numbers above 0 chooses the class with the largest ``P_k / threshold_k``; of equal
        ratios the lower class.

    Returns
    -------
    array of shape (n,)
        Codes 0..K-1.

    Raises
    ------
    ValueError, TypeError
        If a threshold is out of range, or their number is not that of the classes.

    See Also
    --------
    tune_threshold : Finds thresholds.

    Examples
    --------
    >>> from boostloss.decide import apply_threshold
    >>> apply_threshold([[0.8, 0.15, 0.05], [0.5, 0.3, 0.2]], [0.7, 0.2, 0.1])
    array([0, 2])
    """
    p = _probabilities(probability)
    t = _numbers("threshold", by_codes("threshold", threshold, p.shape[1]))
    if t.ndim == 0:
        if p.shape[1] != 2 or not 0.0 <= t <= 1.0:
            raise ValueError(
                "threshold must be a number in [0, 1] for two classes, or an array with one for "
                f"each class, got {threshold!r} for {p.shape[1]} classes"
            )
        return (p[:, 1] >= t).astype(np.intp)
    if t.shape != (p.shape[1],) or not (t > 0).all():
        raise ValueError(
            f"threshold must contain {p.shape[1]} numbers above 0, one for each class, got "
            f"{threshold!r}"
        )
    decision: Array = (p / t).argmax(axis=1)
    return decision


# -- checks -------------------------------------------------------------------------------


def _numbers(name: str, values: ArrayLike) -> Array:
    try:
        array = np.asarray(values)
        array = array.astype(np.float64) if array.dtype.kind in "iufO" else array
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must contain finite numbers, got {error}") from error
    if array.dtype != np.float64:
        raise TypeError(f"{name} must contain finite numbers, got dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must contain finite numbers, got NaN or infinity")
    return array


def _probabilities(probability: ArrayLike) -> Array:
    """Return checked probabilities with shape (n, K), K >= 2."""
    p = _numbers("probability", probability)
    if p.ndim not in (1, 2) or (p.ndim == 2 and p.shape[1] < 2):
        raise ValueError(
            f"probability must have shape (n,) of two classes or (n, K), K >= 2, got {p.shape}"
        )
    outside = (p < 0) | (p > 1)
    if outside.any():
        raise ValueError(f"probability must be within [0, 1], got {p[outside][0]:g}")
    if p.ndim == 1:
        return np.column_stack([1.0 - p, p])
    wrong = np.abs(p.sum(axis=1) - 1.0) > SUM_TOLERANCE
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"probability must sum to 1 in each row, got {p[row].sum():g} in row {row}"
        )
    return p


def as_costs(costs: ArrayLike, n_rows: int, n_classes: int) -> Array:
    """Return checked costs as an array (K, K) or (n, K, K)."""
    matrix = _numbers("costs", by_codes("costs", costs, n_classes))
    if matrix.shape not in ((n_classes, n_classes), (n_rows, n_classes, n_classes)):
        raise ValueError(
            f"costs must have shape ({n_classes}, {n_classes}), or ({n_rows}, {n_classes}, "
            f"{n_classes}) with one matrix for each row, got {matrix.shape}"
        )
    return matrix


def _costs_of_all(metric: Any, n_classes: int) -> Array:
    try:
        return as_costs(metric, -1, n_classes)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"metric must be a name, a callable or a cost matrix ({n_classes}, {n_classes}), got "
            f"{metric!r}"
        ) from error


def _decisions(decision: ArrayLike, n_classes: int, n_rows: int) -> Array:
    try:
        codes = check_labels(decision, n_classes)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("y must", "decision must", 1)) from error
    if len(codes) != n_rows:
        raise ValueError(f"decision must have an entry for each of {n_rows} rows, got {len(codes)}")
    return codes.astype(np.intp)


def _groups(groups: ArrayLike, n_rows: int) -> Array:
    values = np.asarray(groups)
    if values.shape != (n_rows,):
        raise ValueError(f"groups must have shape ({n_rows},), got {values.shape}")
    if (values != values).any() or (values.dtype == object and any(v is None for v in values)):
        raise ValueError("groups must not have missing values")
    codes: Array = np.unique(values, return_inverse=True)[1]
    return codes
