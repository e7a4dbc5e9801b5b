"""The softmax loops: blocks of rows, class after class, so that every inner loop is SIMD code.

A block's scores are copied class by class into scratch that stays in the cache, whatever the
order of the matrix (XGBoost hands out rows, LightGBM columns). Per row the loss then needs what
a binary row needs: p and q of the true class, -log p, and -log q in two parts. The largest
class's complement is summed from the others, never subtracted. float32 scores are computed in
float32, their differences carried with their rounding errors; float64 scores in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from boostloss.losses._binary import is_finite
from boostloss.losses._elementary import exp_nonpositive, log_parts
from boostloss.losses._jit import SOURCE_STAMP, inlined_early, kernel

ScalarFunction = Callable[..., Any]

BLOCK = 128
# unsigned, because numba guards signed indices against negative values
_STEP = np.uint64(BLOCK)

# rows of the scratch that holds numbers of each row of a block
_TOP, _REST, _WEIGHT, _SHAPE, _LIMIT, _P, _Q, _LOSS, _LARGE, _SMALL, _SLOPE, _CURVE = range(12)
_TOTAL, _SHARE, _BEHIND = 12, 13, 14
_N_NUMBERS = 15


@inlined_early
def _load(raw: Any, layout: Any, start: Any, n_rows: Any, scores: Any) -> Any:
    """Copy a block of scores, class after class."""
    n_classes, row_step, class_step = layout
    for k in range(n_classes):
        source, target = start * row_step + k * class_step, k * _STEP
        for i in range(n_rows):
            scores[target + i] = raw[source + i * row_step]


@inlined_early
def _store(scores: Any, layout: Any, start: Any, n_rows: Any, out: Any) -> Any:
    """Undo :func:`_load`."""
    n_classes, row_step, class_step = layout
    for k in range(n_classes):
        source, target = k * _STEP, start * row_step + k * class_step
        for i in range(n_rows):
            out[target + i * row_step] = scores[source + i]


@inlined_early
def _exponentials(n_classes: Any, n_rows: Any, scores: Any, numbers: Any, top: Any) -> Any:
    """``exp(z_k - max z)`` in place, which class is the largest, and the sum of the others."""
    for i in range(n_rows):
        numbers[_TOP, i] = scores[i]
        top[i] = i
    for k in range(np.uint64(1), n_classes):
        first = k * _STEP
        for i in range(n_rows):
            z = scores[first + i]
            top[i] = np.uint32(first) + np.uint32(i) if z > numbers[_TOP, i] else top[i]
            numbers[_TOP, i] = max(z, numbers[_TOP, i])
    for k in range(n_classes):
        first = k * _STEP
        for i in range(n_rows):
            z, highest = scores[first + i], numbers[_TOP, i]
            difference = z - highest
            back = difference - z
            error = (z - (difference - back)) - (highest + back)
            scores[first + i] = exp_nonpositive(difference, error)


@inlined_early
def _sum_of_others(n_classes: Any, n_rows: Any, scores: Any, top: Any, rest: Any) -> Any:
    """Sum of the exponentials but the largest class's, which is 1; in float64."""
    for i in range(n_rows):
        scores[np.uint64(top[i])] = 0
        rest[i] = 0.0
    for k in range(n_classes):
        first = k * _STEP
        for i in range(n_rows):
            rest[i] += np.float64(scores[first + i])
    for i in range(n_rows):
        scores[np.uint64(top[i])] = 1


@inlined_early
def _row_terms(n_rows: Any, scores: Any, numbers: Any, top: Any, target: Any, rest: Any) -> Any:
    """p, q, -log p and -log q (in two parts) of the true class, from the exponentials."""
    for i in range(n_rows):
        numbers[_P, i] = scores[np.uint64(target[i])]
        numbers[_REST, i] = rest[i]
    for i in range(n_rows):
        others = numbers[_REST, i]
        one = others - others + np.float32(1)
        total = one + others
        share = one / total
        e = numbers[_P, i]
        behind = others if target[i] == top[i] else total - e
        q = behind * share
        large, small = log_parts(total)
        # what 1 + others lost by rounding: log1p of a small sum keeps its digits
        numbers[_LOSS, i] += large + (small + (others - (total - one)) * share)
        large, small = log_parts(q)
        numbers[_LARGE, i] = min(-large, numbers[_LIMIT, i])
        numbers[_SMALL, i] = -small
        numbers[_P, i] = e * share
        numbers[_Q, i] = q
        numbers[_TOTAL, i] = total
        numbers[_SHARE, i] = share
        numbers[_BEHIND, i] = one / behind


@inlined_early
def _block(
    raw: Any, y: Any, layout: Any, start: Any, n_rows: Any, class_numbers: Any,
    scores: Any, numbers: Any, top: Any, target: Any, rest: Any,
) -> Any:  # fmt: skip
    """All of a block that does not depend on the loss. True if a label or score is not one."""
    class_weight, shape, limit = class_numbers
    n_classes = layout[0]
    _load(raw, layout, start, n_rows, scores)
    bad = False
    for i in range(n_classes * _STEP):
        bad |= not is_finite(scores[i])
    for i in range(n_rows):
        label = y[start + i]
        known = (label >= 0) & (label < n_classes) & (label == np.floor(label))
        bad |= not known
        t = np.uint64(np.uint32(label)) if known else np.uint64(0)
        target[i] = t * _STEP + i
        numbers[_WEIGHT, i] = class_weight[t]
        numbers[_SHAPE, i] = shape[t]
        numbers[_LIMIT, i] = limit[t]
        numbers[_LOSS, i] = -scores[t * _STEP + i]
    _exponentials(n_classes, n_rows, scores, numbers, top)
    for i in range(n_rows):
        numbers[_LOSS, i] += numbers[_TOP, i]
    _sum_of_others(n_classes, n_rows, scores, top, rest)
    _row_terms(n_rows, scores, numbers, top, target, rest)
    return bad


def gradient_kernel(slope: ScalarFunction, curvature: ScalarFunction) -> Callable[..., bool]:
    """Compile the gradient loop for a loss's ``slope`` (w*q) and ``curvature``."""
    stamp = SOURCE_STAMP

    @kernel
    def softmax_gradient(
        raw: Any, y: Any, weight: Any, layout: Any, class_numbers: Any, factor: Any,
        first_row: int, last_row: int, gradient: Any, hessian: Any,
    ) -> bool:  # fmt: skip
        bad = stamp < 0
        n_classes = layout[0]
        scores = np.zeros(n_classes * _STEP, raw.dtype)
        first_order = np.empty(n_classes * _STEP, np.float32)
        second_order = np.empty(n_classes * _STEP, np.float32)
        numbers = np.empty((_N_NUMBERS, BLOCK), raw.dtype)
        top, target = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
        rest = np.empty(BLOCK)
        for block in range(first_row, last_row, BLOCK):
            start, n_rows = np.uint64(block), np.uint64(min(BLOCK, last_row - block))
            bad |= _block(
                raw, y, layout, start, n_rows, class_numbers, scores, numbers, top, target, rest
            )
            if weight is not None:
                for i in range(n_rows):
                    w = weight[start + i]
                    bad |= not (is_finite(w) & (w >= 0))
                    numbers[_WEIGHT, i] *= w
            for i in range(n_rows):
                theta, p, q = numbers[_SHAPE, i], numbers[_P, i], numbers[_Q, i]
                loss_p, large, small = numbers[_LOSS, i], numbers[_LARGE, i], numbers[_SMALL, i]
                steepness = slope(theta, p, q, loss_p, large, small)
                curve = curvature(theta, p, q, loss_p, large, small, steepness)
                numbers[_SLOPE, i] = numbers[_WEIGHT, i] * steepness
                numbers[_CURVE, i] = factor * (numbers[_WEIGHT, i] * curve)
                numbers[_SHARE, i] *= factor
            for k in range(n_classes):
                first = k * _STEP
                for i in range(n_rows):
                    e = scores[first + i]
                    g = numbers[_SLOPE, i] * (e * numbers[_BEHIND, i])
                    first_order[first + i] = g
                    second_order[first + i] = g * (numbers[_TOTAL, i] - e) * numbers[_SHARE, i]
            for i in range(n_rows):
                # the largest class's complement is the others' sum; the true class has its own
                place = np.uint64(top[i])
                complement = numbers[_REST, i] * numbers[_SHARE, i]
                g = numbers[_SLOPE, i] * (scores[place] * numbers[_BEHIND, i])
                second_order[place] = g * complement
                place = np.uint64(target[i])
                first_order[place] = -numbers[_SLOPE, i]
                second_order[place] = numbers[_CURVE, i]
            _store(first_order, layout, start, n_rows, gradient)
            _store(second_order, layout, start, n_rows, hessian)
        return bad

    return softmax_gradient


def value_kernel(value: ScalarFunction) -> Callable[..., bool]:
    """Compile the loop of a loss's ``value``."""
    stamp = SOURCE_STAMP

    @kernel
    def softmax_value(
        raw: Any, y: Any, weight: Any, layout: Any, class_numbers: Any,
        first_row: int, last_row: int, out: Any,
    ) -> bool:  # fmt: skip
        bad = stamp < 0
        scores = np.zeros(layout[0] * _STEP, raw.dtype)
        numbers = np.empty((_N_NUMBERS, BLOCK), raw.dtype)
        top, target = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
        rest = np.empty(BLOCK)
        for block in range(first_row, last_row, BLOCK):
            start, n_rows = np.uint64(block), np.uint64(min(BLOCK, last_row - block))
            bad |= _block(
                raw, y, layout, start, n_rows, class_numbers, scores, numbers, top, target, rest
            )
            for i in range(n_rows):
                w = numbers[_WEIGHT, i]
                if weight is not None:
                    w = w * weight[start + i]
                out[start + i] = w * value(
                    numbers[_SHAPE, i], numbers[_P, i], numbers[_Q, i], numbers[_LOSS, i],
                    numbers[_LARGE, i], numbers[_SMALL, i],
                )  # fmt: skip
        return bad

    return softmax_value


def layout_of(matrix: Any) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Number of classes, and steps from row to row and from class to class, in elements."""
    row_step, class_step = (step // matrix.itemsize for step in matrix.strides)
    return np.uint64(matrix.shape[1]), np.uint64(row_step), np.uint64(class_step)
