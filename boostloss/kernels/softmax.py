"""Compile the softmax kernels: blocks of rows, class after class, in SIMD code.

A chunk of rows goes through three steps, which share scratch that stays in the cache.
:meth:`Matrix.prepare` computes what a loss needs of each row: p and q of the true class, -log p,
and -log q in two parts. The kernel of the loss computes slope and curvature from them.
:func:`write` distributes these over the classes. Only the second step is compiled for each loss.

LightGBM stores scores class after class. XGBoost stores them row after row, so that each chunk is
transposed first (:func:`to_classes`, :func:`to_rows`). The complement of the largest class is the
sum of the others; it is never computed by subtraction. In float32, differences of scores keep their
rounding errors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boostloss.kernels import Row, RowFunctions, ScalarFunction
from boostloss.kernels.binary import is_finite
from boostloss.kernels.jit import WORTHWHILE, in_parts, inlined, inlined_early, kernel, part_of
from boostloss.kernels.simd_math import SMALLEST_LOG, exp_nonpositive, log_parts

Array = NDArray[Any]


def gradient_hessian(
    functions: RowFunctions, raw: Array, y: Array, weight: Array | None, class_numbers: Any,
    factor: float, gradient: Array, hessian: Array, n_threads: int = 1,
) -> bool:  # fmt: skip
    """Fill gradient and Hessian (n, K). Return True if a label, score or weight is invalid."""
    loop = _slope_loop(functions.slope, functions.curvature, len(class_numbers[2]))
    out = [array.ravel(order="K") for array in (gradient, hessian)]

    def work(start: int, stop: int) -> bool:
        matrix, bad = Matrix(raw, y, class_numbers), False
        for first, last in matrix.chunks(start, stop):
            bad |= matrix.prepare(first, last)
            weights = part_of(weight, slice(first, last))
            bad |= loop(last - first, weights, matrix.scratch)
            matrix.write(first, last, factor, *out)
        return bad

    return any(in_parts(work, len(raw), raw.size, n_threads))


def value(
    functions: RowFunctions, raw: Array, y: Array, weight: Array | None, class_numbers: Any,
    out: Array, n_threads: int = 1,
) -> bool:  # fmt: skip
    """Fill the value of each row. Return True if a label or score is invalid."""
    loop = _value_loop(functions.value, len(class_numbers[2]))

    def work(start: int, stop: int) -> bool:
        matrix, bad = Matrix(raw, y, class_numbers), False
        for first, last in matrix.chunks(start, stop):
            bad |= matrix.prepare(first, last)
            weights = part_of(weight, slice(first, last))
            loop(last - first, weights, matrix.scratch, out[first:last])
        return bad

    return any(in_parts(work, len(raw), raw.size, n_threads))


BLOCK = 128
"""Number of rows of a block, and of each class's numbers in a block of the scratch."""

CHUNK, LONG_CHUNK = 32 * BLOCK, 256 * BLOCK
"""Number of rows that go through the scratch together. More rows mean fewer calls, between which
threads wait for the interpreter, but the scratch must stay small compared with the matrix."""

# The scratch of numbers contains these, block after block, for the rows of each block. Indices are
# unsigned, because numba guards signed ones against negative values. There is one flat array,
# because LLVM then knows which parts do not overlap.
_STEP = np.uint64(BLOCK)
_NUMBERS = tuple(np.uint64(k * BLOCK) for k in range(13))
_TOP, _REST, _WEIGHT, _LIMIT, _P, _Q, _LOSS, _LARGE, _SMALL, _TOTAL, _SHARE, _BEHIND, _SHAPE = (
    _NUMBERS  # the loss's shape parameters come last, because their number varies
)
_SLOPE, _CURVE = _P, _Q  # they replace numbers that are no longer needed
# The scratch of classes contains these.
_TARGET, _LARGEST = np.uint64(0), np.uint64(BLOCK)
_CLASSES_STEP = np.uint64(2 * BLOCK)

_SMALLEST = np.float32(SMALLEST_LOG)
_LEAST = float(np.exp(SMALLEST_LOG))


@kernel
def targets(
    raw: Any, y: Any, place: Any, class_numbers: Any, scratch: Any, n_classes: Any
) -> bool:  # fmt: skip
    """Fill the true class of each row and its parameters. Return True if a label is not a class."""
    class_weight, limit, shape = class_numbers
    _, numbers, classes, numbers_step = scratch
    origin, block_step, class_step = place
    bad = False
    last = np.float32(n_classes) - np.float32(1)
    for block in range(0, y.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, y.shape[0] - block))
        number = start // _STEP
        at, true = number * numbers_step, number * _CLASSES_STEP + _TARGET
        first = origin + number * block_step
        for i in range(n_rows):
            label = y[start + i]
            inside = (label >= np.float32(0)) & (label <= last)  # also False for NaN
            held = np.floor(label) if inside else last - last
            bad |= held != label
            classes[true + i] = np.uint32(held)
        for i in range(n_rows):
            t = np.uint64(classes[true + i])
            numbers[at + _LOSS + i] = raw[t * class_step + first + i]
        # a single number is used for all classes
        several = np.uint64(class_weight.shape[0] > 1)
        for i in range(n_rows):
            t = np.uint64(classes[true + i]) * several
            numbers[at + _WEIGHT + i] = class_weight[t]
            numbers[at + _LIMIT + i] = limit[t]
        for j in range(shape.shape[0]):
            slot = at + _SHAPE + np.uint64(j) * _STEP
            for i in range(n_rows):
                numbers[slot + i] = shape[j, np.uint64(classes[true + i]) * several]
    return bad


@kernel
def exponentials(raw: Any, n_rows_in_all: int, place: Any, scratch: Any, n_classes: Any) -> bool:
    """Fill ``exp(z_k - max z)`` and the largest class. Return True if a score is not finite."""
    scores, numbers, classes, numbers_step = scratch
    origin, block_step, class_step = place
    bad = False
    for block in range(0, n_rows_in_all, BLOCK):
        n_rows, number = np.uint64(min(BLOCK, n_rows_in_all - block)), np.uint64(block) // _STEP
        top = number * numbers_step + _TOP
        largest = number * _CLASSES_STEP + _LARGEST
        first = origin + number * block_step
        for i in range(n_rows):
            numbers[top + i] = raw[first + i]
            classes[largest + i] = np.uint32(0)
        for k in range(np.uint64(1), n_classes):
            source, here = first + k * class_step, np.uint32(k)
            for i in range(n_rows):
                z = raw[source + i]
                classes[largest + i] = here if z > numbers[top + i] else classes[largest + i]
                numbers[top + i] = max(z, numbers[top + i])
        for k in range(n_classes):
            source, out = first + k * class_step, (number * n_classes + k) * _STEP
            for i in range(n_rows):
                highest = numbers[top + i]
                z = highest - highest + raw[source + i]  # in the type of the computation
                difference = z - highest
                bad |= not is_finite(difference)
                back = difference - z
                error = (z - (difference - back)) - (highest + back)
                e = exp_nonpositive(difference, error)
                # Smaller results are set to 0, since they would become subnormal, which is slow. e
                # is NaN if the rounding error is large, as that of 1e10 - 1e30.
                scores[out + i] = e if difference > _SMALLEST else difference - difference
    return bad


@kernel
def row_terms(n_rows_in_all: int, scratch: Any, n_classes: Any) -> None:
    """Compute p, q, -log p and -log q (in two parts) of the true class from the exponentials."""
    scores, numbers, classes, numbers_step = scratch
    rest = np.empty(BLOCK)
    for block in range(0, n_rows_in_all, BLOCK):
        n_rows, number = np.uint64(min(BLOCK, n_rows_in_all - block)), np.uint64(block) // _STEP
        at, true = number * numbers_step, number * _CLASSES_STEP + _TARGET
        largest = number * _CLASSES_STEP + _LARGEST
        for i in range(n_rows):
            rest[i] = 0.0
        for k in range(n_classes):
            source, here = (number * n_classes + k) * _STEP, np.uint32(k)
            for i in range(n_rows):
                # without the largest class, whose exponential is 1; float64, for many classes
                e = scores[source + i]
                rest[i] += np.float64(e - e if classes[largest + i] == here else e)
                numbers[at + _P + i] = e if classes[true + i] == here else numbers[at + _P + i]
        for i in range(n_rows):
            numbers[at + _REST + i] = max(rest[i], _LEAST)
        for i in range(n_rows):
            others, e = numbers[at + _REST + i], numbers[at + _P + i]
            one = others - others + np.float32(1)
            total = one + others
            share = one / total
            behind = others if classes[true + i] == classes[largest + i] else total - e
            q = behind * share
            large, small = log_parts(total)
            # add what 1 + others lost by rounding, so that the digits of a small sum are kept
            log_total = large + (small + (others - (total - one)) * share)
            loss = (numbers[at + _TOP + i] - numbers[at + _LOSS + i]) + log_total
            numbers[at + _LOSS + i] = loss
            large, small = log_parts(q)
            numbers[at + _LARGE + i] = min(-large, numbers[at + _LIMIT + i])
            numbers[at + _SMALL + i] = -small
            numbers[at + _P + i] = e * share
            numbers[at + _Q + i] = q
            numbers[at + _TOTAL + i] = total
            numbers[at + _SHARE + i] = share
            numbers[at + _BEHIND + i] = one / behind


def _shape_reader(n_shape: int) -> ScalarFunction:
    """Return a function that reads a row's shape parameters from the scratch, as a tuple."""
    if n_shape == 0:
        return inlined(lambda numbers, first: ())
    before, slot = _shape_reader(n_shape - 1), _SHAPE + np.uint64(n_shape - 1) * _STEP
    return inlined(lambda numbers, first: (*before(numbers, first), numbers[first + slot]))


@inlined
def _row(numbers: Any, first: Any) -> Any:
    high, low = numbers[first + _LARGE], numbers[first + _SMALL]
    return Row(
        numbers[first + _P], numbers[first + _Q], numbers[first + _LOSS], high + low, high, low
    )


@functools.cache
def _slope_loop(
    slope: ScalarFunction, curvature: ScalarFunction | None, n_shape: int
) -> Callable[..., bool]:
    """Compile the kernel of slope and curvature, which returns True if a weight is invalid."""
    shape_of = _shape_reader(n_shape)

    def softmax_slope(n_rows_in_all: int, weight: Any, scratch: Any) -> bool:
        bad = False
        _, numbers, _, numbers_step = scratch
        for block in range(0, n_rows_in_all, BLOCK):
            start, n_rows = np.uint64(block), np.uint64(min(BLOCK, n_rows_in_all - block))
            at = start // _STEP * numbers_step
            if weight is not None:
                for i in range(n_rows):
                    w = weight[start + i]
                    bad |= not (is_finite(w) & (w >= 0))
                    numbers[at + _WEIGHT + i] *= w
            for i in range(n_rows):
                row, shape = _row(numbers, at + i), shape_of(numbers, at + i)
                w = numbers[at + _WEIGHT + i]
                steepness = slope(row, *shape)
                curve = steepness * row.p if curvature is None else curvature(row, *shape)
                numbers[at + _SLOPE + i] = w * steepness
                numbers[at + _CURVE + i] = w * curve
        return bad

    return kernel(softmax_slope, tuple(filter(None, (slope, curvature))))


@kernel
def write(
    n_rows_in_all: int, factor: Any, place: Any, scratch: Any, n_classes: Any,
    gradient: Any, hessian: Any,
) -> None:  # fmt: skip
    """Write each class's gradient, slope times p_k/(1-p), and Hessian, that times c (1-p_k)."""
    scores, numbers, classes, numbers_step = scratch
    origin, block_step, class_step = place
    for block in range(0, n_rows_in_all, BLOCK):
        n_rows, number = np.uint64(min(BLOCK, n_rows_in_all - block)), np.uint64(block) // _STEP
        at, true = number * numbers_step, number * _CLASSES_STEP + _TARGET
        largest = number * _CLASSES_STEP + _LARGEST
        for i in range(n_rows):
            numbers[at + _SHARE + i] *= factor
            numbers[at + _CURVE + i] *= factor
            numbers[at + _REST + i] *= numbers[at + _SHARE + i]
        for k in range(n_classes):
            source, here = (number * n_classes + k) * _STEP, np.uint32(k)
            out = origin + number * block_step + k * class_step
            for i in range(n_rows):
                e, steepness = scores[source + i], numbers[at + _SLOPE + i]
                # the complement of the largest class is the sum of the others
                complement = (numbers[at + _TOTAL + i] - e) * numbers[at + _SHARE + i]
                rest = numbers[at + _REST + i]
                complement = rest if classes[largest + i] == here else complement
                g = steepness * (e * numbers[at + _BEHIND + i])
                is_true = classes[true + i] == here
                gradient[out + i] = -steepness if is_true else g
                hessian[out + i] = numbers[at + _CURVE + i] if is_true else g * complement


@functools.cache
def _value_loop(value: ScalarFunction, n_shape: int) -> Callable[..., None]:
    """Compile the kernel of the loss's value."""
    shape_of = _shape_reader(n_shape)

    def softmax_value(n_rows_in_all: int, weight: Any, scratch: Any, out: Any) -> None:
        _, numbers, _, numbers_step = scratch
        for block in range(0, n_rows_in_all, BLOCK):
            start, n_rows = np.uint64(block), np.uint64(min(BLOCK, n_rows_in_all - block))
            at = start // _STEP * numbers_step
            for i in range(n_rows):
                w = numbers[at + _WEIGHT + i]
                if weight is not None:
                    w = w * weight[start + i]
                shape = shape_of(numbers, at + i)
                out[start + i] = w * value(_row(numbers, at + i), *shape)

    return kernel(softmax_value, (value,))


# -- transposing chunks -------------------------------------------------------------------------

FEW_CLASSES = 8
"""A loop over a number of classes that is written in the code becomes SIMD shuffles. They are up to
three times as fast as a loop over an unknown number, and take 0.25 s to compile for each number."""


@inlined_early
def _to_class(rows: Any, row: Any, classes: Any, place: Any) -> Any:
    classes[place] = rows[row]


@inlined_early
def _to_row(rows: Any, row: Any, classes: Any, place: Any) -> Any:
    rows[row] = classes[place]


@functools.cache
def _turned(copy: ScalarFunction, n_classes: int) -> Callable[..., None]:
    """Compile the kernel that copies rows ``start`` to ``stop`` to or from the scratch.

    ``n_classes`` is 0 for more than :data:`FEW_CLASSES`.
    """
    known = np.uint64(n_classes)

    def turn_few(rows: Any, n_classes: Any, start: int, stop: int, classes: Any) -> None:
        for block in range(start, stop, BLOCK):
            first, n_rows = np.uint64(block), np.uint64(min(BLOCK, stop - block))
            at = (first - np.uint64(start)) * known
            for i in range(n_rows):
                for k in range(known):
                    copy(rows, (first + i) * known + k, classes, at + k * _STEP + i)

    def turn_many(rows: Any, n_classes: Any, start: int, stop: int, classes: Any) -> None:
        for block in range(start, stop, BLOCK):
            first, n_rows = np.uint64(block), np.uint64(min(BLOCK, stop - block))
            at = (first - np.uint64(start)) * n_classes
            for k in range(n_classes):
                for i in range(n_rows):
                    copy(rows, (first + i) * n_classes + k, classes, at + k * _STEP + i)

    turn = turn_few if n_classes else turn_many
    turn.__name__ = f"turn{copy.__name__}"
    return kernel(turn)


def to_classes(n_classes: int) -> Callable[..., None]:
    """Return the kernel that copies chunks of rows to the scratch, class after class."""
    return _turned(_to_class, n_classes if n_classes <= FEW_CLASSES else 0)


def to_rows(n_classes: int) -> Callable[..., None]:
    """Return the kernel that copies from the scratch back to the rows."""
    return _turned(_to_row, n_classes if n_classes <= FEW_CLASSES else 0)


class Matrix:
    """A matrix of raw scores, and the scratch for chunks of its rows."""

    def __init__(self, raw: Array, y: Array, class_numbers: tuple[Array, ...]) -> None:
        self.flat, self.y, self.class_numbers = raw.ravel(order="K"), y, class_numbers
        self.by_rows = raw.flags.c_contiguous
        self.n_rows, self.n_classes = len(raw), np.uint64(raw.shape[1])
        dtype = class_numbers[0].dtype
        n_numbers = len(_NUMBERS) - 1 + len(class_numbers[2])
        self.chunk = LONG_CHUNK if raw.size >= WORTHWHILE else CHUNK
        n_blocks = -(-min(self.chunk, self.n_rows) // BLOCK)
        size = int(self.n_classes) * BLOCK * n_blocks
        self.scratch = (
            np.empty(size, dtype),
            np.empty(n_numbers * BLOCK * n_blocks, dtype),
            np.empty(2 * BLOCK * n_blocks, np.uint32),
            np.uint64(n_numbers * BLOCK),
        )
        self.turned = np.empty(size, raw.dtype) if self.by_rows else None
        self.out = np.empty((2, size), np.float32) if self.by_rows else None

    def _place(self, start: int) -> tuple[np.uint64, np.uint64, np.uint64]:
        """Return where a chunk begins, and the steps from block to block and class to class."""
        if self.by_rows:
            return np.uint64(0), self.n_classes * _STEP, _STEP
        return np.uint64(start), _STEP, np.uint64(self.n_rows)

    def chunks(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return ranges of rows that fit the scratch."""
        return [(row, min(row + self.chunk, stop)) for row in range(start, stop, self.chunk)]

    def prepare(self, start: int, stop: int) -> bool:
        """Fill the scratch for a chunk of rows. Return True if a label or score is invalid."""
        source = self.flat
        if self.turned is not None:
            source = self.turned
            to_classes(int(self.n_classes))(self.flat, self.n_classes, start, stop, source)
        place = self._place(start)
        shared = place, self.class_numbers, self.scratch, self.n_classes
        bad = targets(source, self.y[start:stop], *shared)
        bad |= exponentials(source, stop - start, place, self.scratch, self.n_classes)
        row_terms(stop - start, self.scratch, self.n_classes)
        return bool(bad)

    def write(self, start: int, stop: int, factor: float, *out: Array) -> None:
        """Write gradient and Hessian of a chunk of rows from the scratch."""
        first, second = out if self.out is None else self.out
        typed = self.scratch[0].dtype.type(factor)
        place, n_rows = self._place(start), stop - start
        write(n_rows, typed, place, self.scratch, self.n_classes, first, second)
        if self.out is not None:
            turn = to_rows(int(self.n_classes))
            for classes, rows in zip(self.out, out, strict=True):
                turn(rows, self.n_classes, start, stop, classes)
