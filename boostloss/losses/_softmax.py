"""The softmax loops: blocks of rows, class after class, so that every inner loop is SIMD code.

LightGBM's scores come class after class; a block of XGBoost's, row after row, is turned first (see
:mod:`boostloss.losses._turning`). Per row the loss then needs what a binary row needs: p and q of
the true class, -log p, and -log q in two parts. The largest class's complement is summed from
the others, never subtracted. float32 scores are computed in float32, their differences carried
with their rounding errors; float64 scores in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from boostloss.losses._binary import is_finite
from boostloss.losses._elementary import SMALLEST_LOG, exp_nonpositive, log_parts
from boostloss.losses._jit import SOURCE_STAMP, inlined_early, kernel
from boostloss.losses._turning import BLOCK, to_classes, to_rows

ScalarFunction = Callable[..., Any]

# unsigned, because numba guards signed indices against negative values
_STEP = np.uint64(BLOCK)

_SMALLEST = np.float32(SMALLEST_LOG)
_LEAST = float(np.exp(SMALLEST_LOG))

# rows of the scratch that holds numbers of each row of a block
_TOP, _REST, _WEIGHT, _SHAPE, _LIMIT, _P, _Q, _LOSS, _LARGE, _SMALL, _SLOPE, _CURVE = range(12)
_TOTAL, _SHARE, _BEHIND = 12, 13, 14
_N_NUMBERS = 15
# and rows of the one that holds classes
_TARGET, _LARGEST = range(2)


@inlined_early
def _targets(
    raw: Any, y: Any, n_classes: Any, class_step: Any, first_row: Any, start: Any, n_rows: Any,
    class_numbers: Any, numbers: Any, places: Any,
) -> Any:  # fmt: skip
    """True class of each row and what belongs to it. True if a label is not a class."""
    class_weight, shape, limit = class_numbers
    bad = False
    last = np.float32(n_classes) - np.float32(1)
    for i in range(n_rows):
        label = y[start + i]
        inside = (label >= np.float32(0)) & (label <= last)  # also False for NaN
        held = np.floor(label) if inside else last - last
        bad |= held != label
        places[_TARGET, i] = np.uint32(held)
    for i in range(n_rows):
        numbers[_LOSS, i] = raw[np.uint64(places[_TARGET, i]) * class_step + first_row + i]
    if class_weight.shape[0] == 1:
        for i in range(n_rows):
            numbers[_WEIGHT, i] = class_weight[0]
            numbers[_SHAPE, i] = shape[0]
            numbers[_LIMIT, i] = limit[0]
    else:
        for i in range(n_rows):
            t = np.uint64(places[_TARGET, i])
            numbers[_WEIGHT, i] = class_weight[t]
            numbers[_SHAPE, i] = shape[t]
            numbers[_LIMIT, i] = limit[t]
    return bad


@inlined_early
def _exponentials(
    raw: Any, n_classes: Any, class_step: Any, first_row: Any, n_rows: Any,
    scores: Any, numbers: Any, places: Any,
) -> Any:  # fmt: skip
    """``exp(z_k - max z)`` and which class is the largest. True if a score is not finite."""
    for i in range(n_rows):
        numbers[_TOP, i] = raw[first_row + i]
        places[_LARGEST, i] = np.uint32(0)
    for k in range(np.uint64(1), n_classes):
        source, here = k * class_step + first_row, np.uint32(k)
        for i in range(n_rows):
            z = raw[source + i]
            places[_LARGEST, i] = here if z > numbers[_TOP, i] else places[_LARGEST, i]
            numbers[_TOP, i] = max(z, numbers[_TOP, i])
    bad = False
    for k in range(n_classes):
        source, first = k * class_step + first_row, k * _STEP
        for i in range(n_rows):
            highest = numbers[_TOP, i]
            z = highest - highest + raw[source + i]  # in the type of the computation
            difference = z - highest
            bad |= not is_finite(difference)
            back = difference - z
            error = (z - (difference - back)) - (highest + back)
            e = exp_nonpositive(difference, error)
            # what is smaller would become subnormal on its way, which is slow
            scores[first + i] = e if difference > _SMALLEST else e - e
    return bad


@inlined_early
def _sums(n_classes: Any, n_rows: Any, scores: Any, numbers: Any, places: Any, rest: Any) -> Any:
    """The true class's exponential, and the sum (in float64) of all but the largest, which is 1."""
    for i in range(n_rows):
        rest[i] = 0.0
    for k in range(n_classes):
        first, here = k * _STEP, np.uint32(k)
        for i in range(n_rows):
            e = scores[first + i]
            rest[i] += np.float64(e - e if places[_LARGEST, i] == here else e)
            numbers[_P, i] = e if places[_TARGET, i] == here else numbers[_P, i]
    for i in range(n_rows):
        numbers[_REST, i] = max(rest[i], _LEAST)


@inlined_early
def _row_terms(n_rows: Any, numbers: Any, places: Any) -> Any:
    """p, q, -log p and -log q (in two parts) of the true class, from the exponentials."""
    for i in range(n_rows):
        others = numbers[_REST, i]
        one = others - others + np.float32(1)
        total = one + others
        share = one / total
        e = numbers[_P, i]
        behind = others if places[_TARGET, i] == places[_LARGEST, i] else total - e
        q = behind * share
        large, small = log_parts(total)
        # what 1 + others lost by rounding: log1p of a small sum keeps its digits
        log_total = large + (small + (others - (total - one)) * share)
        numbers[_LOSS, i] = (numbers[_TOP, i] - numbers[_LOSS, i]) + log_total
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
    raw: Any, y: Any, n_classes: Any, class_step: Any, first_row: Any, start: Any, n_rows: Any,
    class_numbers: Any, scores: Any, numbers: Any, places: Any, rest: Any,
) -> Any:  # fmt: skip
    """All of a block that does not depend on the loss. True if a label or score is not one.

    ``raw`` has the block's rows from ``first_row`` on, ``y`` from ``start`` on.
    """
    bad = _targets(
        raw, y, n_classes, class_step, first_row, start, n_rows, class_numbers, numbers, places
    )
    bad |= _exponentials(raw, n_classes, class_step, first_row, n_rows, scores, numbers, places)
    _sums(n_classes, n_rows, scores, numbers, places, rest)
    _row_terms(n_rows, numbers, places)
    return bad


# The loops below take whole arrays and the rows ``begin`` to ``end`` to work on.


def gradient_kernel(slope: ScalarFunction, curvature: ScalarFunction) -> Callable[..., bool]:
    """Compile the gradient loop for a loss's ``slope`` (w*q) and ``curvature``."""
    stamp = SOURCE_STAMP

    @kernel
    def softmax_gradient(
        raw: Any, y: Any, weight: Any, n_classes: Any, by_rows: bool, class_numbers: Any,
        begin: int, end: int, factor: Any, gradient: Any, hessian: Any,
    ) -> bool:  # fmt: skip
        bad = stamp < 0
        size = n_classes * _STEP
        scores = np.zeros(size, class_numbers[0].dtype)
        turned, first, second = (
            (np.zeros(size, raw.dtype), np.zeros(size, np.float32), np.zeros(size, np.float32))
            if by_rows
            else (raw, gradient, hessian)
        )
        class_step = _STEP if by_rows else np.uint64(y.shape[0])
        numbers = np.empty((_N_NUMBERS, BLOCK), class_numbers[0].dtype)
        places = np.empty((2, BLOCK), np.uint32)
        rest = np.empty(BLOCK)
        for block in range(begin, end, BLOCK):
            start, n_rows = np.uint64(block), np.uint64(min(BLOCK, end - block))
            first_row = np.uint64(0) if by_rows else start
            if by_rows:
                to_classes(raw, n_classes, start, n_rows, turned)
            bad |= _block(
                turned, y, n_classes, class_step, first_row, start, n_rows,
                class_numbers, scores, numbers, places, rest,
            )  # fmt: skip
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
                numbers[_REST, i] *= numbers[_SHARE, i]
            for k in range(n_classes):
                at, out, here = k * _STEP, k * class_step + first_row, np.uint32(k)
                for i in range(n_rows):
                    e, share = scores[at + i], numbers[_SHARE, i]
                    # the largest class's complement is the others' sum
                    largest = places[_LARGEST, i] == here
                    complement = numbers[_REST, i] if largest else (numbers[_TOTAL, i] - e) * share
                    g = numbers[_SLOPE, i] * (e * numbers[_BEHIND, i])
                    true = places[_TARGET, i] == here
                    first[out + i] = -numbers[_SLOPE, i] if true else g
                    second[out + i] = numbers[_CURVE, i] if true else g * complement
            if by_rows:
                to_rows(first, n_classes, start, n_rows, gradient)
                to_rows(second, n_classes, start, n_rows, hessian)
        return bad

    return softmax_gradient


def value_kernel(value: ScalarFunction) -> Callable[..., bool]:
    """Compile the loop of a loss's ``value``."""
    stamp = SOURCE_STAMP

    @kernel
    def softmax_value(
        raw: Any, y: Any, weight: Any, n_classes: Any, by_rows: bool, class_numbers: Any,
        begin: int, end: int, out: Any,
    ) -> bool:  # fmt: skip
        bad = stamp < 0
        size = n_classes * _STEP
        scores = np.zeros(size, class_numbers[0].dtype)
        turned = np.zeros(size, raw.dtype) if by_rows else raw
        class_step = _STEP if by_rows else np.uint64(y.shape[0])
        numbers = np.empty((_N_NUMBERS, BLOCK), class_numbers[0].dtype)
        places = np.empty((2, BLOCK), np.uint32)
        rest = np.empty(BLOCK)
        for block in range(begin, end, BLOCK):
            start, n_rows = np.uint64(block), np.uint64(min(BLOCK, end - block))
            first_row = np.uint64(0) if by_rows else start
            if by_rows:
                to_classes(raw, n_classes, start, n_rows, turned)
            bad |= _block(
                turned, y, n_classes, class_step, first_row, start, n_rows,
                class_numbers, scores, numbers, places, rest,
            )  # fmt: skip
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


def flat_arguments(matrix: Any) -> tuple[Any, np.uint64, bool]:
    """A matrix as the loops take it: flat, its number of classes, and whether row after row."""
    return matrix.ravel(order="K"), np.uint64(matrix.shape[1]), matrix.flags.c_contiguous
