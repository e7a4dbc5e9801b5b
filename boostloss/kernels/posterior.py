"""The posterior's loops: ``P_k`` is proportional to ``p_k / w_k(p_k)``, in logarithms.

A loss gives ``log w`` as a scalar function of a row, or as a table over p. The first loop makes the
rows of a class of the raw scores, the second subtracts their ``log w``; the last ones turn the
result into probabilities or log loss. Everything is computed in float64, class after class, so that
every loop is SIMD code. :class:`~boostloss.losses.FittedLoss` has the same formulae in NumPy, for
processes that compile nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from boostloss.kernels import Row, ScalarFunction, log1p
from boostloss.kernels.binary import binary_row
from boostloss.kernels.jit import inlined, kernel
from boostloss.kernels.simd_math import exp_nonpositive, log1p_unit, log_parts

Array = NDArray[Any]
Weigh = Callable[[Array, int, int, float, Array], None]
"""``weigh(rows, label, flip, sign, out)`` adds ``sign * log w`` of the rows of a class."""

CHUNK = 8192
"""Rows that are computed at once: their scratch stays in the cache."""

FARTHEST = 80.0
"""Margin beyond which a weight that is derived from the slope stays as it is."""

_SMALLEST = -700.0  # where exp is just a normal number
_FAR, _FAR_FACTOR = 100.0, float(np.exp(-100.0))


# -- log-odds, or log-probabilities up to a constant -------------------------------------------


def log_posterior(raw: Array, weigh: Weigh) -> Array:
    """Log-odds (n,) or unnormalised log-probabilities (n, K) of finite scores."""
    raw = np.asarray(raw.T, dtype=np.float64, order="C")  # class after class
    out = np.empty(raw.shape)
    fill = _fill_binary if raw.ndim == 1 else _fill_softmax
    if raw.shape[-1] <= CHUNK:
        fill(raw, weigh, out)
    else:
        for start in range(0, raw.shape[-1], CHUNK):
            part = raw[..., start : start + CHUNK]
            fill(np.ascontiguousarray(part), weigh, out[..., start : start + CHUNK])
    return out.T


def _fill_binary(raw: Array, weigh: Weigh, out: Array) -> None:
    rows = np.empty((4, len(raw)))
    binary_rows(raw, rows, out)
    weigh(rows, 1, 0, -1.0, out)
    weigh(rows, 0, 1, 1.0, out)


def _fill_softmax(raw: Array, weigh: Weigh, out: Array) -> None:
    n_classes, n_rows = raw.shape
    rows, shared, largest = np.empty((4, n_rows)), np.empty((4, n_rows)), np.empty(n_rows, np.intp)
    largest_classes(raw, shared, largest)
    for k in range(n_classes):
        softmax_rows(raw[k], k, shared, largest, rows, out[k])
        weigh(rows, k, 0, -1.0, out[k])


@kernel
def binary_rows(raw: Any, rows: Any, out: Any) -> None:
    """p, q, -log p and -log q of class 1 and, in ``out``, the scores."""
    for i in range(raw.shape[0]):
        row = binary_row(raw[i])
        rows[0, i], rows[1, i] = row.p, row.q
        rows[2, i], rows[3, i] = row.neg_log_p, row.neg_log_q
        out[i] = raw[i]


@kernel
def largest_classes(raw: Any, shared: Any, largest: Any) -> None:
    """The largest score, the sum of the others' exponentials, its logarithm, and that of all."""
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
            # relative to the second largest: the sum is at least 1, however far the largest is
            e = exp_nonpositive(min(raw[k, i] - second[i], 0.0), 0.0)
            rest[i] += 0.0 if largest[i] == k else e
    for i in range(n_rows):
        large, small = log_parts(rest[i])
        gap = second[i] - top[i]
        log_rest[i] = gap + (large + small)
        rest[i] *= exp_nonpositive(gap, 0.0)
        log_total[i] = log1p(rest[i])


@kernel
def softmax_rows(raw: Any, k: int, shared: Any, largest: Any, rows: Any, out: Any) -> None:
    """p, q, -log p and -log q of class k and, in ``out``, log p."""
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
    """Weights by a loss's function or, without, by its slope; None where it does not compile.

    ``offset`` (K,) is added to the logarithm; ``shape`` (K, number of parameters).
    """
    loop = _weight_loop(log_weight, slope, shape.shape[1])
    if loop is None:
        return None

    def weigh(rows: Array, label: int, flip: int, sign: float, out: Array) -> None:
        loop(rows, flip, shape[label], offset[label], sign, out)

    return weigh


def by_table(table: Array, log_nodes: Array, offset: Array) -> Weigh:
    """Weights by a table of ``log w``, (n,) or (K, n), linear in log p between its nodes."""

    def weigh(rows: Array, label: int, flip: int, sign: float, out: Array) -> None:
        of_class = table if table.ndim == 1 else table[label]
        add_table(rows, flip, of_class, log_nodes, offset[label], sign, out)

    return weigh


def _shape_reader(n_shape: int) -> ScalarFunction:
    """Function that turns an array of shape parameters into a tuple."""
    if n_shape == 0:
        return inlined(lambda shape: ())
    before = _shape_reader(n_shape - 1)
    return inlined(lambda shape: (*before(shape), shape[n_shape - 1]))


def _derived(slope: ScalarFunction) -> ScalarFunction:
    """``log(slope / q)``, for a loss that does not say its weight."""

    def log_weight(row: Any, *shape: Any) -> Any:
        held = binary_row(min(row.neg_log_q - row.neg_log_p, FARTHEST))
        return np.log(slope(held, *shape)) + held.neg_log_q

    return inlined(log_weight)


def _is_for_arrays(function: ScalarFunction) -> bool:
    """Whether it calls ``np.where``, which makes an array of each row when it is compiled."""
    names = function.__code__.co_names
    return "where" in names and "where" not in function.__globals__


@functools.cache
def _weight_loop(
    log_weight: ScalarFunction | None, slope: ScalarFunction, n_shape: int
) -> Callable[..., None] | None:
    """Compile the loop over a class's rows; of two classes ``flip`` exchanges them."""
    scalar = log_weight or slope
    if _is_for_arrays(scalar):
        return None
    of_row, shape_of = log_weight or _derived(slope), _shape_reader(n_shape)

    def add_weight(rows: Any, flip: int, shape: Any, offset: float, sign: float, out: Any) -> None:
        p, q = rows[flip], rows[1 - flip]
        neg_log_p, neg_log_q = rows[2 + flip], rows[3 - flip]
        numbers = shape_of(shape)
        for i in range(out.shape[0]):
            v = neg_log_q[i]
            row = Row(p[i], q[i], neg_log_p[i], v, v, v - v)
            out[i] += sign * (of_row(row, *numbers) + offset)

    loop = kernel(add_weight, (scalar,))
    try:
        loop(np.empty((4, 0)), 0, np.zeros(n_shape), 0.0, 1.0, np.empty(0))
    except NumbaError:  # a function that was written for NumPy, which has more than the compiler
        return None
    return loop


@kernel
def add_table(
    rows: Any, flip: int, table: Any, log_nodes: Any, offset: float, sign: float, out: Any
) -> None:
    """As the loop of a loss's function, with ``log w`` from a table."""
    n_nodes, first, last = log_nodes.shape[0], log_nodes[0], log_nodes[-1]
    # log w = log p - g(log p), g linear between the nodes: a line in each cell
    n_cells = max(n_nodes - 1, 1)
    start, step = np.empty(n_cells), np.empty(n_cells)
    start[0], step[0] = table[0], 0.0
    for k in range(n_nodes - 1):
        rise = (table[k + 1] - table[k]) / (log_nodes[k + 1] - log_nodes[k])
        start[k], step[k] = table[k] - rise * log_nodes[k], rise
    p, neg_log_p = rows[flip], rows[2 + flip]
    cell, inside = np.empty(out.shape[0], np.uint32), np.empty(out.shape[0])
    highest = n_cells - 1.0
    for i in range(out.shape[0]):
        cell[i] = np.uint32(min(max(p[i] * (n_nodes + 1.0) - 1.0, 0.0), highest))
        inside[i] = min(max(-neg_log_p[i], first), last)
    for i in range(out.shape[0]):
        j = np.uint64(cell[i])
        out[i] += sign * (start[j] + step[j] * inside[i] + offset)


# -- probabilities and log loss ----------------------------------------------------------------


@inlined
def far_exp(x: Any) -> Any:
    """``exp(x)`` for x <= 0, down to the smallest subnormal number."""
    far = x < _SMALLEST + 10.0
    e = exp_nonpositive(x + _FAR if far else x, 0.0)
    return e * _FAR_FACTOR if far else e


def probability(log_posterior: Array) -> Array:
    """Probabilities (n,) or (n, K) of what :func:`log_posterior` returns."""
    out = np.empty(log_posterior.shape)
    (expit if out.ndim == 1 else softmax)(log_posterior.T, out)
    return out


@kernel
def expit(log_odds: Any, out: Any) -> None:
    """Probability of class 1."""
    for i in range(out.shape[0]):
        e = far_exp(-abs(log_odds[i]))
        out[i] = (1.0 if log_odds[i] >= 0 else e) / (1.0 + e)


@kernel
def softmax(log_posterior: Any, out: Any) -> None:
    """Probabilities (n, K) of logarithms (K, n)."""
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
    """``-log P(y)`` of each row, and whether a label is not a class.

    Log-odds, or logarithms below the largest one, are held at ``most``.
    """
    out = np.empty(len(y))
    loop = binary_log_loss if log_posterior.ndim == 1 else softmax_log_loss
    by_class = np.ascontiguousarray(log_posterior.T)
    return out, bool(loop(by_class, y, most, out))


@kernel
def binary_log_loss(log_odds: Any, y: Any, most: float, out: Any) -> bool:
    """Of log-odds (n,)."""
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
    """Of logarithms (K, n)."""
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
