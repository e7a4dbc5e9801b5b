"""Fit offsets and a slope of log-odds so that probabilities agree with the given rows.

The log-odds of the classes 1..K-1 against class 0 have shape (n, K-1). Both problems are convex.
They are solved by Newton's method, which halves a step that goes too far.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from boostloss.losses.run import ALONE, Workers
from boostloss.losses.validation import Array

FARTHEST_LOG_ODDS = 1e6
"""Log-odds, also infinite ones, are clipped here. The probability is then 0 or 1 at any offset."""

TOLERANCE = 1e-12
"""Allowed relative difference between a mean probability and its class share."""

STEPS = 200
MOST_CONDITION = 1e13
"""Condition number of the matrix of second derivatives above which it is not used."""

STEEPEST = 100.0
"""Largest slope of a recalibration. If the model separates the rows, the best slope is infinite."""


def relative_log_odds(log_posterior: Array) -> Array:
    """Return log-odds (n, K-1) against class 0 from log-odds (n,) or log-probabilities (n, K)."""
    several = log_posterior.ndim == 2
    with np.errstate(invalid="ignore"):
        odds = log_posterior[:, 1:] - log_posterior[:, :1] if several else log_posterior[:, None]
    held: Array = np.clip(np.nan_to_num(odds), -FARTHEST_LOG_ODDS, FARTHEST_LOG_ODDS)
    return held


def moment_sums(odds: Array, weight: Array | None, offset: Array) -> Array:
    """Return the sums over some rows that :func:`offset_for_shares` needs over all rows."""
    p, log_total = _softmax(odds + offset)
    weighted = p if weight is None else p * weight[:, None]
    total = log_total.sum() if weight is None else (log_total * weight).sum()
    # Two classes do not need BLAS. Its threads would keep spinning for some 60 ms beside the
    # engine's, and the next fit of 20,000 rows on two processors took 1.7 times as long.
    products = (p * weighted).sum() if p.shape[1] == 1 else p.T @ weighted
    return np.concatenate([[total], weighted.sum(axis=0), np.ravel(products)])


def offset_for_shares(moments: Callable[[Array], Array], counts: Array) -> Array:
    """Return offsets (K,), the first one 0, with which mean probabilities equal class shares.

    Parameters
    ----------
    moments : callable
        ``moments(offset)``, offset (K-1,): :func:`moment_sums` over all rows.
    counts : array of shape (K,)
        Rows, or their summed weights, of each class, all above 0.
    """
    share, size = counts[1:] / counts.sum(), len(counts) - 1
    offset, step = np.zeros(size), np.zeros(size)
    lowest, length = np.inf, 1.0
    for i in range(STEPS):
        sums = moments(offset + length * step) / counts.sum()
        value = sums[0] - share @ (offset + length * step)
        # rounding alone decides where the function is flat
        if not value <= lowest + 1e-14 * (1.0 + abs(lowest)) and length > 1e-3:
            length /= 2.0
            continue
        offset, lowest, length = offset + length * step, value, 1.0
        mean, products = sums[1 : 1 + size], sums[1 + size :].reshape(size, size)
        if (np.abs(mean - share) <= TOLERANCE * share).all():
            break
        newton = _newton_step(np.diag(mean) - products, share - mean, mean, 10.0 * 2.0**i)
        if newton is not None:
            step = newton
        elif size > 1:
            step = _scaling_step(share, mean)
        else:
            step = np.sign(share - mean) * 10.0 * 2.0**i
        if (np.abs(step) <= 1e-15 * (1.0 + np.abs(offset))).all():
            break
    return np.concatenate([[0.0], offset])


def offset_of_rows(
    log_posterior: Array, counts: Array, weight: Array | None, workers: Workers = ALONE
) -> Array:
    """Call :func:`offset_for_shares` with the rows of this process and of all other workers."""
    odds = relative_log_odds(log_posterior)
    return offset_for_shares(lambda offset: workers.sum(moment_sums(odds, weight, offset)), counts)


def slope_and_offset(log_posterior: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
    """Return the slope and the offsets (K,) with the smallest log loss; the first offset is 0.

    Raises
    ------
    ValueError
        If the best slope is not positive, or is infinite.
    """
    odds = relative_log_odds(log_posterior)
    weight = np.ones(len(odds)) if weight is None else weight
    weight = weight / weight.sum()
    of_class = np.eye(odds.shape[1] + 1)[y.astype(np.intp)][:, 1:]
    # start where no probability is 0 or 1, since the function is flat there
    number = np.concatenate([[min(1.0, 3.0 / float(odds.std() + 1e-300))], np.zeros(odds.shape[1])])
    step, length, lowest = np.zeros_like(number), 1.0, np.inf
    for _ in range(STEPS):
        trial = number + length * step
        p, log_total = _softmax(trial[0] * odds + trial[1:])
        value = weight @ (log_total - (of_class * (trial[0] * odds + trial[1:])).sum(axis=1))
        if not value <= lowest + 1e-14 * (1.0 + abs(lowest)) and length > 1e-6:
            length /= 2.0
            continue
        number, lowest, length = trial, value, 1.0
        gradient, curvature = _derivatives(odds, p, of_class, weight)
        newton = _newton_step(curvature, -gradient, np.maximum(np.diag(curvature), 1e-300), 10.0)
        if newton is None:  # the rows are separated, or all have the same score
            number[0] = np.inf
            break
        step = newton
        if number[0] > STEEPEST or (np.abs(step) <= 1e-12 * (1.0 + np.abs(number))).all():
            break
    if not 0.0 < number[0] <= STEEPEST:
        raise ValueError(
            f"X and y must be rows that the model ranks better than chance but not perfectly, got "
            f"rows for which the best slope of the log-odds is {number[0]:.3g}"
        )
    return float(number[0]), np.concatenate([[0.0], number[1:]])


def _derivatives(odds: Array, p: Array, of_class: Array, weight: Array) -> tuple[Array, Array]:
    """Return the first and second derivatives of the log loss by slope and offsets."""
    slopes = (p * odds).sum(axis=1)
    excess = (p - of_class) * weight[:, None]
    gradient = np.concatenate([[(excess * odds).sum()], excess.sum(axis=0)])
    weighted = p * weight[:, None]
    curvature = np.empty((len(gradient),) * 2)
    curvature[0, 0] = (weighted * odds * odds).sum() - weight @ (slopes * slopes)
    curvature[0, 1:] = curvature[1:, 0] = (weighted * (odds - slopes[:, None])).sum(axis=0)
    curvature[1:, 1:] = np.diag(weighted.sum(axis=0)) - p.T @ weighted
    return gradient, curvature


def _newton_step(curvature: Array, descent: Array, scale: Array, longest: float) -> Array | None:
    """Return Newton's step, scaled because class shares may differ by orders of magnitude.

    It is None where the function is flat, because all probabilities are 0 or 1.
    """
    root = np.sqrt(np.maximum(scale, 1e-300))
    scaled = curvature / np.outer(root, root)
    if not np.isfinite(scaled).all() or np.linalg.cond(scaled) > MOST_CONDITION:
        return None
    with np.errstate(over="ignore"):  # if a class has no probability; checked below
        step = np.linalg.solve(scaled, descent / root) / root
    if not np.isfinite(step).all() or step @ descent < 0:
        return None
    limited: Array = step * min(1.0, longest / max(float(np.abs(step).max()), 1e-300))
    return limited


def _scaling_step(share: Array, mean: Array) -> Array:
    """Return a step that moves each mean probability towards its share without passing it."""
    least = 1e-300
    first = np.log(max(1.0 - share.sum(), least)) - np.log(max(1.0 - mean.sum(), 1e-17))
    step: Array = np.log(share) - np.log(np.maximum(mean, least)) - first
    return step


def _softmax(odds: Array) -> tuple[Array, Array]:
    """Return probabilities (n, K-1) of all classes but the first, and the log of the sum (n,)."""
    top = np.maximum(odds.max(axis=1), 0.0)
    e = np.exp(odds - top[:, None])
    total = e.sum(axis=1) + np.exp(-top)
    return e / total[:, None], top + np.log(total)
