"""Search for thresholds by computing the confusion matrices of all cuts together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from boostloss.losses.validation import Array, check_choice

MAX_CELLS = 2**22
"""Largest number of cells of all confusion matrices. If there are more cuts, quantiles are used."""
MAX_CALLS = 200
"""Number of cuts that are tried with a callable, which is slow."""
MAX_PASSES = 20


# -- metrics of confusion matrices (..., K, K) with the true class in rows ------------------


def _f1_of_classes(confusion: Array) -> Array:
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    of_classes: Array = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
    return of_classes


def _f1(confusion: Array) -> Array:
    of_positives: Array = _f1_of_classes(confusion)[..., 1]
    return of_positives


def _f1_macro(confusion: Array) -> Array:
    mean: Array = _f1_of_classes(confusion).mean(axis=-1)
    return mean


def _balanced_accuracy(confusion: Array) -> Array:
    recall = np.diagonal(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=-1)
    mean: Array = recall.mean(axis=-1)
    return mean


def _accuracy(confusion: Array) -> Array:
    right: Array = np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))
    return right


def _matthews_corrcoef(confusion: Array) -> Array:
    total = confusion.sum(axis=(-2, -1))
    true, decided = confusion.sum(axis=-1), confusion.sum(axis=-2)
    covariance = np.trace(confusion, axis1=-2, axis2=-1) * total - (true * decided).sum(axis=-1)
    spread = (total**2 - (true**2).sum(-1)) * (total**2 - (decided**2).sum(-1))
    some = spread > 0
    correlation: Array = covariance / np.sqrt(np.where(some, spread, 1.0))
    return np.where(some, correlation, 0.0)


METRICS: dict[str, Callable[[Array], Array]] = {
    "f1": _f1,
    "f1_macro": _f1_macro,
    "balanced_accuracy": _balanced_accuracy,
    "accuracy": _accuracy,
    "matthews_corrcoef": _matthews_corrcoef,
}


# -- the search -----------------------------------------------------------------------------


class Rows(NamedTuple):
    """Classes, probabilities (n, K) and weights of the rows for tuning a threshold."""

    y: Array
    p: Array
    weight: Array | None


def best_thresholds(rows: Rows, metric: Any) -> Array:
    """Return thresholds (K,) that sum to 1, for deciding by the largest ``P_k / threshold_k``.

    For two classes this is the best cut. For more it is the better of two coordinate ascents: one
    starts from the largest probability, the other from the largest gain over the class share.
    """
    n_classes = rows.p.shape[1]
    if n_classes == 2:
        cut = _best_cut(rows, rows.p[:, 1], np.zeros(len(rows.y), np.intp), 1, metric)[1]
        return np.array([1.0 - cut, cut])
    shares = np.bincount(rows.y, rows.weight, minlength=n_classes)
    ascents = [_ascend(rows, start / start.sum(), metric) for start in (np.ones(n_classes), shares)]
    return max(ascents, key=lambda ascent: ascent[0])[1]


def _ascend(rows: Rows, thresholds: Array, metric: Any) -> tuple[float, Array]:
    best = -np.inf
    for _ in range(MAX_PASSES):
        before = best
        for k in range(len(thresholds)):
            ratio = rows.p / thresholds
            ratio[:, k] = -1.0
            other = ratio.argmax(axis=1)
            against = ratio[np.arange(len(other)), other]
            score, cut = _best_cut(rows, rows.p[:, k] / (rows.p[:, k] + against), other, k, metric)
            if score > best:
                best = score
                thresholds = thresholds.copy()
                thresholds[k] = cut / (1.0 - cut)
                thresholds /= thresholds.sum()
        if best <= before:
            break
    return best, thresholds


def _best_cut(rows: Rows, share: Array, other: Array, k: int, metric: Any) -> tuple[float, float]:
    """Return score and value of the best cut, from which on class k replaces ``other``."""
    n_classes = rows.p.shape[1]
    by_decision = callable(metric)
    most = MAX_CALLS if by_decision else MAX_CELLS // n_classes**2
    cuts = _cuts(share, most)
    if by_decision:
        weight = {} if rows.weight is None else {"sample_weight": rows.weight}
        decisions = (np.where(share >= cut, k, other) for cut in cuts)
        scores = np.array([float(metric(rows.y, decided, **weight)) for decided in decisions])
    else:
        confusion = _confusion_of_cuts(rows, share, other, k, cuts)
        of_confusion = METRICS[metric] if isinstance(metric, str) else _minus_cost(metric)
        scores = of_confusion(confusion)
    if np.isnan(scores).any():
        raise ValueError(f"metric must give a number for every threshold, got NaN from {metric!r}")
    best = int(scores.argmax())
    return float(scores[best]), float(cuts[best])


def _cuts(share: Array, most: int) -> Array:
    """Return cuts halfway between neighbouring values, below and above all: about ``most``.

    They are never 1, nor 0, since probabilities are divided by them.
    """
    values = np.unique(share)
    if len(values) > most:
        values = values[np.linspace(0, len(values) - 1, most).astype(np.intp)]
    ends = np.r_[0.0, values, 1.0]
    cuts = np.unique((ends[1:] + ends[:-1]) / 2)
    return cuts[(cuts > np.finfo(np.float64).tiny) & (cuts < 1.0)]


def _confusion_of_cuts(rows: Rows, share: Array, other: Array, k: int, cuts: Array) -> Array:
    n_classes, m = rows.p.shape[1], len(cuts)
    reached = np.searchsorted(cuts, share, side="right")  # number of cuts with class k
    cell = (reached * n_classes + rows.y) * n_classes
    shape = (m + 1, n_classes, n_classes)
    size = (m + 1) * n_classes**2

    def from_cut(cells: Array) -> Array:
        """Sum over the rows that reach each cut, and last over all rows."""
        counts = np.bincount(cells, rows.weight, minlength=size).reshape(shape)
        return counts[::-1].cumsum(axis=0)[::-1].astype(np.float64)

    decided_k, decided_other = from_cut(cell + k), from_cut(cell + other)
    # differences of sums of weights may miss 0 by rounding
    confusion: Array = np.maximum(decided_k[1:] + decided_other[:1] - decided_other[1:], 0.0)
    return confusion


def _minus_cost(costs: Array) -> Callable[[Array], Array]:
    def score(confusion: Array) -> Array:
        total: Array = -(confusion * costs).sum(axis=(-2, -1))
        return total

    return score


def check_metric(metric: Any, n_classes: int) -> None:
    """Raise an error for a name that is unknown, or is defined for two classes only."""
    if callable(metric):
        return
    check_choice("metric", metric, tuple(METRICS))
    if metric == "f1" and n_classes > 2:
        raise ValueError(
            f"metric must be 'f1_macro' for {n_classes} classes, the mean of their F1; got 'f1'"
        )
