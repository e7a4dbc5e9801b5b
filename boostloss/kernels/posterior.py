"""Compute the posterior: ``P_k`` is proportional to ``p_k / w_k(p_k)``, in logarithms.

A loss provides ``log w`` as a scalar function of a row, or as a table over p. The first kernel
computes the rows of each class from the raw scores, the second their ``log w``, and the last ones
probabilities or log loss. Everything is computed in float64, class after class, so that every loop
is SIMD code. :class:`~boostloss.losses.FittedLoss` has the same formulas in NumPy, for processes
that do not load the compiler.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import NumbaError
from numpy.typing import NDArray

from boostloss.kernels import Row, ScalarFunction, log1p
from boostloss.kernels.binary import binary_row
from boostloss.kernels.jit import inlined, kernel
from boostloss.kernels.simd_math import exp_nonpositive, log1p_unit, log_parts

Array = NDArray[Any]
Weigh = Callable[[Array, Array], None]
"""``weigh(rows, out)`` computes ``log w`` (K, n) from the classes' rows (K, 4, n)."""

CHUNK = 1 << 14
"""Number of rows times classes computed together, so that their scratch stays in the cache."""

FARTHEST = 80.0
"""Margin beyond which a weight that is derived from the slope is constant."""

_SMALLEST = -700.0  # exp of it is still a normal number
_FAR, _FAR_FACTOR = 100.0, float(np.exp(-100.0))


# -- log-odds, or log-probabilities up to a constant -------------------------------------------


def log_posterior(raw: Array, weigh: Weigh) -> Array:
    """Compute log-odds (n,) or unnormalised log-probabilities (n, K) of finite scores."""
    raw = np.asarray(raw.T, dtype=np.float64, order="C")  # class after class
    out = np.empty(raw.shape)
    n_classes, n_rows = (2, len(raw)) if raw.ndim == 1 else raw.shape
    fill, chunk = (binary_rows if raw.ndim == 1 else softmax_rows), max(CHUNK // n_classes, 64)
    for start in range(0, n_rows, chunk):
        here = (..., slice(start, start + chunk)) if n_rows > chunk else ...
        part = np.ascontiguousarray(raw[here])
        rows, log_p = np.empty((n_classes, 4, part.shape[-1])), np.empty(part.shape)
        fill(part, rows, log_p)
        log_weight = np.empty((n_classes, part.shape[-1]))
        weigh(rows, log_weight)
        if raw.ndim == 1:
            out[here] = log_p - log_weight[1] + log_weight[0]
        else:
            np.subtract(log_p, log_weight, out=out[here])
    return out.T


@kernel
def binary_rows(raw: Any, rows: Any, out: Any) -> None:
    """Compute p, q, -log p and -log q of both classes, and copy the scores to ``out``."""
    for i in range(raw.shape[0]):
        row = binary_row(raw[i])
        rows[1, 0, i] = rows[0, 1, i] = row.p
        rows[1, 1, i] = rows[0, 0, i] = row.q
        rows[1, 2, i] = rows[0, 3, i] = row.neg_log_p
        rows[1, 3, i] = rows[0, 2, i] = row.neg_log_q
        out[i] = raw[i]


@kernel
def softmax_rows(raw: Any, rows: Any, out: Any) -> None:
    """Compute p, q, -log p and -log q of each class, and log p in ``out``."""
    n_classes, n_rows = raw.shape
    shared, largest = np.empty((4, n_rows)), np.empty(n_rows, np.int64)
    largest_classes(raw, shared, largest)
    for k in range(n_classes):
        rows_of_class(raw[k], k, shared, largest, rows[k], out[k])


@kernel
def largest_classes(raw: Any, shared: Any, largest: Any) -> None:
    """Find the largest score, the sum of the others' exponentials, its log, and the log of all."""
    n_classes, n_rows = raw.shape
    top, rest, log_rest, log_total = shared[0], shared[1], shared[2], shared[3]
    second = np.empty(n_rows)
    for i in range(n_rows):
        top[i], second[i], largest[i], rest[i] = raw[0, i], -np.inf, 0, 0.0
    for k in range(1, n_classes):
        for i in range(n_rows):
            z = raw[k, i]
            larger = z > top[i]
            second[i] = max(second[i], top[i] if larger else z)
            largest[i] = k if larger else largest[i]
            top[i] = z if larger else top[i]
    for k in range(n_classes):
        for i in range(n_rows):
            # relative to the second largest score, so that the sum is at least 1
            e = exp_nonpositive(min(raw[k, i] - second[i], 0.0), 0.0)
            rest[i] += 0.0 if largest[i] == k else e
    for i in range(n_rows):
        large, small = log_parts(rest[i])
        gap = second[i] - top[i]
        log_rest[i] = gap + (large + small)
        rest[i] *= exp_nonpositive(gap, 0.0)
        log_total[i] = log1p(rest[i])


@kernel
def rows_of_class(raw: Any, k: int, shared: Any, largest: Any, rows: Any, out: Any) -> None:
    """Compute the rows of class k."""
    top, rest, log_rest, log_total = shared[0], shared[1], shared[2], shared[3]
    for i in range(raw.shape[0]):
        log_p = raw[i] - top[i] - log_total[i]
        is_largest = largest[i] == k
        total = 1.0 + rest[i]
        e = exp_nonpositive(raw[i] - top[i], 0.0)
        q = (rest[i] if is_largest else total - e) / total
        large, small = log_parts(q)
        rows[0, i], rows[1, i] = e / total, q
        rows[2, i] = -log_p
        rows[3, i] = log_total[i] - log_rest[i] if is_largest else -large - small
        out[i] = log_p


# -- log w -------------------------------------------------------------------------------------


def by_function(
    log_weight: ScalarFunction | None, slope: ScalarFunction, offset: Array, shape: Array
) -> Weigh | None:
    """Return the weights by a loss's log weight or slope, or None if that does not compile.

    ``offset`` (K,) is added to the logarithm. ``shape`` is (K, number of parameters).
    """
    loop = _weight_loop(log_weight, slope, shape.shape[1])
    if loop is None:
        return None

    return lambda rows, out: loop(rows, shape, offset, out)


def by_table(table: Array, log_nodes: Array, offset: Array) -> Weigh:
    """Return the weights by a table of ``log w``, (n,) or (K, n), linear in log p between nodes."""
    tables = table.reshape(-1, table.shape[-1])
    return lambda rows, out: weight_of_table(rows, tables, log_nodes, offset, out)


def _shape_reader(n_shape: int) -> ScalarFunction:
    """Return a function that converts an array of shape parameters to a tuple."""
    if n_shape == 0:
        return inlined(lambda shape: ())
    before = _shape_reader(n_shape - 1)
    return inlined(lambda shape: (*before(shape), shape[n_shape - 1]))


def _derived(slope: ScalarFunction) -> ScalarFunction:
    """Return ``log(slope / q)`` as a scalar function, for a loss without ``log_weight``."""

    def log_weight(row: Any, *shape: Any) -> Any:
        held = binary_row(min(row.neg_log_q - row.neg_log_p, FARTHEST))
        return np.log(slope(held, *shape)) + held.neg_log_q

    return inlined(log_weight)


def _is_for_arrays(function: ScalarFunction) -> bool:
    """Return whether it calls ``np.where``, which creates an array for each row if compiled."""
    names = function.__code__.co_names
    return "where" in names and "where" not in function.__globals__


@functools.cache
def _weight_loop(
    log_weight: ScalarFunction | None, slope: ScalarFunction, n_shape: int
) -> Callable[..., None] | None:
    """Compile the kernel over the rows of each class."""
    scalar = log_weight or slope
    if _is_for_arrays(scalar):
        return None
    of_row, shape_of = log_weight or _derived(slope), _shape_reader(n_shape)

    def class_weights(rows: Any, shape: Any, offset: Any, out: Any) -> None:
        for k in range(out.shape[0]):
            # read before the loop, which is faster
            numbers, added = shape_of(shape[k]), offset[k]
            p, q, neg_log_p, neg_log_q = rows[k, 0], rows[k, 1], rows[k, 2], rows[k, 3]
            of_class = out[k]
            for i in range(of_class.shape[0]):
                v = neg_log_q[i]
                row = Row(p[i], q[i], neg_log_p[i], v, v, v - v)
                of_class[i] = of_row(row, *numbers) + added

    loop = kernel(class_weights, (scalar,))
    try:
        loop(np.empty((0, 4, 0)), np.empty((0, n_shape)), np.empty(0), np.empty((0, 0)))
    except NumbaError:  # it uses something of NumPy that the compiler does not support
        return None
    return loop


@kernel
def weight_of_table(rows: Any, tables: Any, log_nodes: Any, offset: Any, out: Any) -> None:
    """Look up ``log w`` of the rows in one table for each class, or one for all."""
    n_nodes, first, last = log_nodes.shape[0], log_nodes[0], log_nodes[-1]
    # log w is linear in log p in each cell
    n_cells, n_rows = max(n_nodes - 1, 1), out.shape[1]
    start, step = np.empty(n_cells), np.empty(n_cells)
    cell, inside = np.empty(n_rows, np.uint32), np.empty(n_rows)
    highest = n_cells - 1.0
    for k in range(out.shape[0]):
        table = tables[k if tables.shape[0] > 1 else 0]
        start[0], step[0] = table[0] + offset[k], 0.0
        for m in range(n_nodes - 1):
            rise = (table[m + 1] - table[m]) / (log_nodes[m + 1] - log_nodes[m])
            start[m], step[m] = table[m] - rise * log_nodes[m] + offset[k], rise
        p, neg_log_p, of_class = rows[k, 0], rows[k, 2], out[k]
        for i in range(n_rows):
            cell[i] = np.uint32(min(max(p[i] * (n_nodes + 1.0) - 1.0, 0.0), highest))
            inside[i] = min(max(-neg_log_p[i], first), last)
        for i in range(n_rows):
            j = np.uint64(cell[i])
            of_class[i] = start[j] + step[j] * inside[i]


# -- probabilities and log loss ----------------------------------------------------------------


@inlined
def far_exp(x: Any) -> Any:
    """Compute ``exp(x)`` for x <= 0, down to the smallest subnormal number."""
    far = x < _SMALLEST + 10.0
    e = exp_nonpositive(x + _FAR if far else x, 0.0)
    return e * _FAR_FACTOR if far else e


def probability(log_posterior: Array) -> Array:
    """Convert the result of :func:`log_posterior` to probabilities (n,) or (n, K)."""
    out = np.empty(log_posterior.shape)
    (expit if out.ndim == 1 else softmax)(log_posterior.T, out)
    return out


@kernel
def expit(log_odds: Any, out: Any) -> None:
    """Compute the probability of class 1."""
    for i in range(out.shape[0]):
        e = far_exp(-abs(log_odds[i]))
        out[i] = (1.0 if log_odds[i] >= 0 else e) / (1.0 + e)


@kernel
def softmax(log_posterior: Any, out: Any) -> None:
    """Compute probabilities (n, K) from logarithms (K, n)."""
    n_classes, n_rows = log_posterior.shape
    top, total = log_posterior[0].copy(), np.zeros(n_rows)
    for k in range(1, n_classes):
        for i in range(n_rows):
            top[i] = max(top[i], log_posterior[k, i])
    for k in range(n_classes):
        for i in range(n_rows):
            total[i] += far_exp(log_posterior[k, i] - top[i])
    for k in range(n_classes):
        for i in range(n_rows):
            out[i, k] = far_exp(log_posterior[k, i] - top[i]) / total[i]


def log_loss(log_posterior: Array, y: Array, most: float) -> tuple[Array, bool]:
    """Return ``-log P(y)`` of each row, and whether a label is not a class.

    Log-odds, or distances of logarithms from the largest one, are clipped to ``most``.
    """
    out = np.empty(len(y))
    loop = binary_log_loss if log_posterior.ndim == 1 else softmax_log_loss
    by_class = np.ascontiguousarray(log_posterior.T)
    return out, bool(loop(by_class, y, most, out))


@kernel
def binary_log_loss(log_odds: Any, y: Any, most: float, out: Any) -> bool:
    """Compute the log loss from log-odds (n,)."""
    bad = False
    for i in range(out.shape[0]):
        label = y[i]
        bad |= not ((label == 0) | (label == 1))
        margin = log_odds[i] if label > 0 else -log_odds[i]
        e = exp_nonpositive(max(-abs(margin), _SMALLEST), 0.0)
        out[i] = min(max(-margin, 0.0) + log1p_unit(e), most)
    return bad


@kernel
def softmax_log_loss(log_posterior: Any, y: Any, most: float, out: Any) -> bool:
    """Compute the log loss from logarithms (K, n)."""
    n_classes, n_rows = log_posterior.shape
    top, total = log_posterior[0].copy(), np.zeros(n_rows)
    for k in range(1, n_classes):
        for i in range(n_rows):
            top[i] = max(top[i], log_posterior[k, i])
    for k in range(n_classes):
        for i in range(n_rows):
            total[i] += exp_nonpositive(max(log_posterior[k, i] - top[i], _SMALLEST), 0.0)
    bad = False
    for i in range(n_rows):
        label = y[i]
        inside = (label >= 0) & (label < n_classes)
        true = np.intp(label) if inside else 0
        bad |= (not inside) | (true != label)
        large, small = log_parts(total[i])
        out[i] = min(top[i] - log_posterior[true, i], most) + (large + small)
    return bad
