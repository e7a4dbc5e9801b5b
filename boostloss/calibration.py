"""Compare predicted probabilities with observed shares in groups of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from boostloss.losses.validation import (
    SMALLEST,
    Array,
    check_integer,
    check_labels,
    check_number,
    check_present,
    class_counts,
)

ATOMS = 200
"""Number of parts with equally many rows from which groups are formed."""

LEAST_INFORMATION = 5.0
"""Smallest predicted variance of the number of positives in a group. For rare positives this means
about five expected positives. With less, the interval of the group says nothing."""


class CalibrationGroups(NamedTuple):
    """Predicted and observed share of positives in each group, sorted by prediction.

    Parameters
    ----------
    predicted : array of shape (g,)
        Mean predicted probability of the group's rows.
    observed : array of shape (g,)
        Share of positives among them.
    low, high : array of shape (g,)
        Confidence interval of the share.
    rows : array of shape (g,)
        Number of rows.
    positives : array of shape (g,)
        Number of positives among them.

    See Also
    --------
    calibration_groups : Computes them.
    """

    predicted: Array
    observed: Array
    low: Array
    high: Array
    rows: Array
    positives: Array


def calibration_groups(
    y: ArrayLike, probability: ArrayLike, *, groups: int = 12, confidence: float = 0.95
) -> CalibrationGroups:
    """Compare the predicted with the observed share of positives in groups of rows.

    Rows are sorted by their probability and split into parts of equal size. Neighbouring parts are
    merged until each group is informative: until the variance of its number of positives,
    ``sum p (1 - p)``, is at least 5 and a fair part of the total. Groups therefore depend on the
    predictions only, and a group without positives is kept.

    Parameters
    ----------
    y : array of shape (n,)
        Labels 0 and 1. Both must occur.
    probability : array of shape (n,)
        Predicted probability of class 1, within [0, 1].
    groups : int, default=12
        Maximum number of groups, at least 1.
    confidence : float in (0, 1), default=0.95
        Confidence level of the intervals (Clopper and Pearson).

    Returns
    -------
    CalibrationGroups
        Arrays with one element for each group.

    Raises
    ------
    ValueError, TypeError
        If labels are not 0 and 1, or probabilities are outside [0, 1].

    See Also
    --------
    boostloss.plot.reliability : Plots them.

    References
    ----------
    C. J. Clopper, E. S. Pearson, The use of confidence or fiducial limits illustrated in the case
    of the binomial, Biometrika 1934.

    Examples
    --------
    >>> import numpy as np
    >>> from boostloss.calibration import calibration_groups
    >>> rng = np.random.default_rng(0)
    >>> p = rng.beta(0.5, 20, 10_000)
    >>> found = calibration_groups(rng.random(10_000) < p, p, groups=4)
    >>> print(found.rows, found.positives)
    [7100 1550  900  450] [62 65 72 60]
    >>> print(((found.low < found.predicted) & (found.predicted < found.high)).all())
    True
    """
    check_integer("groups", groups, 1)
    check_number("confidence", confidence, SMALLEST, 1.0, open_end=True)
    labels, p = _checked(y, probability)
    order = np.argsort(p, kind="stable")
    labels, p = labels[order], p[order]
    starts = _starts(p, groups)
    rows = np.diff(np.append(starts, len(p)))
    positives = np.add.reduceat(labels, starts)
    low, high = _clopper_pearson(positives, rows, (1.0 - confidence) / 2.0)
    predicted = np.add.reduceat(p, starts) / rows
    return CalibrationGroups(predicted, positives / rows, low, high, rows, positives)


def _checked(y: ArrayLike, probability: ArrayLike) -> tuple[Array, Array]:
    labels = check_labels(y, 2)
    check_present(class_counts(labels, None, 2))
    p = np.asarray(probability, dtype=np.float64)
    if p.shape != labels.shape:
        raise ValueError(f"probability must have shape {labels.shape} as y, got {p.shape}")
    outside = ~((p >= 0) & (p <= 1))
    if outside.any():
        raise ValueError(f"probability must be within [0, 1], got {p[outside][0]:g}")
    return labels.astype(np.intp), p


def _starts(p: Array, groups: int) -> Array:
    """Return the first row of each group of sorted probabilities. Equal ones stay together."""
    parts = np.searchsorted(p, p[np.linspace(0, len(p), ATOMS, endpoint=False).astype(np.intp)])
    parts = np.unique(parts)
    information = np.add.reduceat(p * (1.0 - p), parts)
    # slightly less, since a rounding error of the sum must not cost a group
    wanted = max(LEAST_INFORMATION, information.sum() / groups * (1 - 1e-9))
    starts, held = [0], 0.0
    for part, of_part in zip(parts, information, strict=True):
        if held >= wanted:
            starts.append(part)
            held = 0.0
        held += of_part
    if len(starts) > 1 and held < LEAST_INFORMATION:
        starts.pop()
    return np.array(starts)


def _clopper_pearson(positives: Array, rows: Array, tail: float) -> tuple[Array, Array]:
    negatives = rows - positives
    low = np.where(positives > 0, betaincinv(np.maximum(positives, 1), negatives + 1, tail), 0.0)
    high = np.where(
        negatives > 0, betaincinv(positives + 1, np.maximum(negatives, 1), 1.0 - tail), 1.0
    )
    return low, high
