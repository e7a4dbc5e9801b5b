"""Count gradient norms by cell, and look up row weights by cell.

The gradient of cross-entropy is the norm with a sign. The gradient array therefore stores the norms
between the two passes, and no other array of this length is needed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boostloss.kernels.jit import WORTHWHILE, in_parts, inlined_early, kernel, part_of

Array = NDArray[Any]

BLOCK = 512
"""Number of rows whose cells are computed together, in SIMD code, before they are added."""

FEW_CELLS = 4096
"""With at most this many cells, rows are added to four tables in turn, so that a row need not wait
for the row before it in the same cell. With more cells that is rare, and four tables would not fit
the cache."""

# Kernels fill arrays in loops: np.zeros and sum take 0.1 s more to compile for each type of array.

FLUSH = 4096
"""Number of rows counted in integers, which pack count and place (to 2**-19), before summing."""

_1, _2 = np.uint64(1), np.uint64(2)
_ONE, _LOW, _HIGH = np.uint64(1 << 32), np.uint64((1 << 32) - 1), np.uint64(32)
_UNIT, _HALF = np.float32(1 << 19), np.float32(0.5)


class Grid(NamedTuple):
    """Cells on [0, 1]. Norm g has place ``min(g*cells + shift, last)``, in cell floor(place)."""

    cells: np.float32
    shift: np.float32
    last: np.float32

    @classmethod
    def of(cls, cells: float, shift: float, last: float) -> Grid:
        """Return a grid with its numbers in the type in which the kernels compute."""
        return cls(np.float32(cells), np.float32(shift), np.float32(last))

    @property
    def n_cells(self) -> int:
        """Number of cells of one class."""
        return int(self.last) + 1

    def places(self, norms: Array) -> Array:
        """Return the place of each norm, in the type of the norms."""
        places: Array = np.minimum(norms * self.cells + self.shift, self.last)
        return places


def histogram(
    norms: Array,
    y: Array | None,
    weight: Array | None,
    grid: Grid,
    n_classes: int = 1,
    *,
    slopes: Array | None = None,
    places: bool = True,
    n_threads: int = 1,
    cost: int = 1,
) -> Array:
    """Return sums over the rows in each cell, of shape (n_classes, cells, 2 or 3).

    They are the sum of weights (or the number of rows), of weights times the place within the cell
    (0 to 1), and with ``slopes`` of their magnitudes.

    Parameters
    ----------
    norms : array of shape (n,)
        They may have a sign.
    y : array of shape (n,), optional
        Classes; without it all rows are of one.
    places : bool
        False leaves the second sum at 0, which is needed with many cells.
    cost : int
        What a row takes, in scores of cross-entropy: from how many rows on threads pay.
    """
    tables, fields = _tables(grid, n_classes), 2 if slopes is None else 3
    size = n_classes * grid.n_cells
    unit, flush = (_UNIT, FLUSH) if places else (np.float32(0), max(len(norms), 1))

    def work(start: int, stop: int) -> Array:
        rows = slice(start, stop)
        sums = np.zeros(tables * size * fields)
        add_rows(
            norms[rows], part_of(y, rows), part_of(weight, rows), part_of(slopes, rows),
            tuple(grid), np.uint64(tables), unit, flush, sums,
        )  # fmt: skip
        total: Array = sums.reshape(tables, n_classes, grid.n_cells, fields).sum(axis=0)
        return total

    done = in_parts(work, len(norms), len(norms) * cost, n_threads)
    summed: Array = done[0] if len(done) == 1 else np.sum(done, axis=0)
    return summed


def _tables(grid: Grid, n_classes: int) -> int:
    return 4 if grid.n_cells * n_classes <= FEW_CELLS else 1


@inlined_early
def _cells(norms: Any, start: Any, n_rows: Any, grid: Any, cell: Any, share: Any) -> Any:
    """Fill the cell of each row of a block, and the place within the cell."""
    cells, shift, last = grid
    for i in range(n_rows):
        # take the minimum before rounding, since of integers it would compile to a branch
        place = min(abs(norms[start + i]) * cells + shift, last)
        inside = np.uint32(place)
        share[i] = place - np.float32(inside)
        cell[i] = inside


@inlined_early
def _cells_of_classes(y: Any, start: Any, n_rows: Any, grid: Any, cell: Any) -> Any:
    """Offset the cells by class: the cells of the classes follow one another."""
    per_class = np.uint32(grid[2]) + np.uint32(1)
    for i in range(n_rows):
        cell[i] += np.uint32(y[start + i]) * per_class


@kernel
def add_rows(
    norms: Any, y: Any, weight: Any, slopes: Any, grid: Any, tables: Any, unit: Any, flush: int,
    sums: Any,
) -> None:  # fmt: skip
    """Add each row to its cell of ``sums``, a flat array (tables, classes, cells, 2 or 3)."""
    fields = _2 if slopes is None else _2 + _1
    n_cells, turn = np.uint64(sums.shape[0]) // (fields * tables), tables - _1
    cell, share = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.float32)
    counted, packed = np.empty(tables * n_cells, np.uint64), np.empty(BLOCK, np.uint64)
    for k in range(counted.shape[0]):
        counted[k] = 0
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        _cells(norms, start, n_rows, grid, cell, share)
        if y is not None:
            _cells_of_classes(y, start, n_rows, grid, cell)
        if weight is None:
            for i in range(n_rows):
                packed[i] = np.uint64(np.uint32(share[i] * unit + _HALF)) + _ONE
            for i in range(n_rows):
                counted[np.uint64(cell[i]) + (i & turn) * n_cells] += packed[i]
            if (block + BLOCK) % flush == 0 or block + BLOCK >= norms.shape[0]:
                for k in range(counted.shape[0]):
                    at = np.uint64(k) * fields
                    sums[at] += np.float64(counted[k] >> _HIGH)
                    sums[at + _1] += np.float64(counted[k] & _LOW) / np.float64(_UNIT)
                    counted[k] = 0
        else:
            for i in range(n_rows):
                at = (np.uint64(cell[i]) + (i & turn) * n_cells) * fields
                sums[at] += np.float64(weight[start + i])
                # rounded as in counting, so that a weight of 2 equals two copies of the row
                part = np.float64(np.uint32(share[i] * unit + _HALF)) / np.float64(_UNIT)
                sums[at + _1] += np.float64(weight[start + i]) * part
        if slopes is not None:
            for i in range(n_rows):
                at = (np.uint64(cell[i]) + (i & turn) * n_cells) * fields
                sums[at + _2] += np.float64(abs(slopes[start + i]))


@kernel
def apply_weights(
    norms: Any, y: Any, weight: Any, left: Any, step: Any, grid: Any, out: Any, hessian: Any
) -> None:
    """Multiply ``out`` and ``hessian`` by each row's weight, or write it to ``out`` alone.

    ``left`` is the weight at the left end of each cell, class after class, with class weights.
    ``step`` is its increase to the right end, or None if the weight is constant in each cell.
    ``hessian`` is None if ``out`` is to contain the weights themselves.
    """
    cell, factor = np.empty(BLOCK, np.uint32), np.empty(BLOCK, left.dtype)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        _cells(norms, start, n_rows, grid, cell, factor)
        if y is not None:
            _cells_of_classes(y, start, n_rows, grid, cell)
        if step is None:
            for i in range(n_rows):
                factor[i] = left[np.uint64(cell[i])]
        else:
            for i in range(n_rows):
                at = np.uint64(cell[i])
                factor[i] = left[at] + step[at] * factor[i]
        if hessian is None:
            for i in range(n_rows):
                out[start + i] = factor[i]
            if weight is not None:
                for i in range(n_rows):
                    out[start + i] *= weight[start + i]
        else:
            if weight is not None:
                for i in range(n_rows):
                    factor[i] *= weight[start + i]
            for i in range(n_rows):
                out[start + i] *= factor[i]
                hessian[start + i] *= factor[i]


@kernel
def window_beta(mass: Any, width: float, least: float) -> Any:
    """Compute ``N / GD`` on rounded norms: the mass in each window over its length in [0, 1].

    ``mass`` belongs to the multiples k/(n-1) of a fine grid. A window without rows counts as one
    with the row of least weight.
    """
    last = mass.shape[0] - 1
    half = int(np.floor(width / 2 * last))
    upto = np.cumsum(mass)
    beta = np.empty(last + 1)
    for k in range(last + 1):
        inside = upto[min(k + half, last)]
        if k > half:
            inside -= upto[k - half - 1]
        norm = k / last
        length = min(norm + width / 2, 1.0) - max(norm - width / 2, 0.0)
        beta[k] = upto[last] * length / max(inside, least)
    return beta


def node_mass(
    norms: Array, y: Array, weight: Array | None, grid: Grid, n_classes: int, n_threads: int = 1
) -> Array:
    """Return the mass of the rows at each class's nodes (K, M), which are the borders of the cells.

    A row counts for the two nearest nodes, more for the nearer. The outermost cells have one node.
    """
    mass: Array
    if len(norms) < WORTHWHILE:
        tables = np.uint64(_tables(grid, n_classes))
        mass = mass_of_rows(norms, y, weight, tuple(grid), tables, n_classes, grid.n_cells)
    else:
        sums = histogram(norms, y, weight, grid, n_classes, n_threads=n_threads)
        mass = mass_of_cells(sums.ravel(), 1, n_classes, grid.n_cells)
    return mass


@kernel
def mass_of_rows(
    norms: Any, y: Any, weight: Any, grid: Any, tables: Any, n_classes: int, n_cells: int
) -> Any:
    """Compute :func:`node_mass` in compiled code, which is faster than NumPy for small tables."""
    sums = np.empty(int(tables) * n_classes * n_cells * 2)
    for i in range(sums.shape[0]):
        sums[i] = 0.0
    add_rows(norms, y, weight, None, grid, tables, _UNIT, FLUSH, sums)
    return mass_of_cells(sums, int(tables), n_classes, n_cells)


@kernel
def mass_of_cells(sums: Any, tables: int, n_classes: int, n_cells: int) -> Any:
    """Return the mass at the nodes (K, M) from flat sums in tables of cells (tables, K, M+1, 2)."""
    size = n_classes * n_cells
    mass = np.empty((n_classes, n_cells - 1))
    for k in range(n_classes):
        for j in range(n_cells):
            at = 2 * (k * n_cells + j)
            whole, right = sums[at], sums[at + 1]
            for t in range(1, tables):
                whole += sums[at + 2 * t * size]
                right += sums[at + 2 * t * size + 1]
            if j > 0:
                mass[k, j - 1] += whole if j == n_cells - 1 else whole - right
            if j < n_cells - 1:
                mass[k, j] = whole if j == 0 else right
    return mass


@kernel
def class_lines(mass: Any, strength: float, floor: float, normalize: bool) -> Any:
    """Return weights, linear over the cells (K, M + 1), from the mass at the nodes (K, M).

    They are ``(density + floor)**-strength``, but never increase with the norm. With
    ``normalize`` their mean is 1 in each class. A class without rows has weight 1. NumPy takes
    ten times as long for tables of this size.
    """
    n_classes, n_nodes = mass.shape
    left, step = np.empty((n_classes, n_nodes + 1)), np.empty((n_classes, n_nodes + 1))
    table = np.empty(n_nodes)
    for k in range(n_classes):
        total, summed, least = 0.0, 0.0, np.inf
        for j in range(n_nodes):
            total += mass[k, j]
        for j in range(n_nodes):
            density = n_nodes * mass[k, j] / total if total > 0 else 1.0
            least = min(least, (density + floor) ** -strength)
            table[j] = least
            summed += mass[k, j] * least
        mean = summed / total if total > 0 else table[0]
        if normalize:
            for j in range(n_nodes):
                table[j] /= mean
        for j in range(n_nodes + 1):
            left[k, j] = table[max(j - 1, 0)]
            step[k, j] = table[min(j, n_nodes - 1)] - left[k, j]
    return left, step


@kernel
def scaled_lines(mass: Any, strength: float, floor: float, normalize: bool, factor: Any) -> Any:
    """Return :func:`class_lines` times a factor per class, as flat float32 arrays for kernels."""
    lines, steps = class_lines(mass, strength, floor, normalize)
    left, step = np.empty(lines.size, np.float32), np.empty(lines.size, np.float32)
    for k in range(lines.shape[0]):
        times, first = np.float64(np.float32(factor[k])), k * lines.shape[1]
        for j in range(lines.shape[1]):
            left[first + j] = np.float32(lines[k, j] * times)
            step[first + j] = np.float32(steps[k, j] * times)
    return left, step


@kernel
def count_crossings(norms: Any, y: Any, hard: float, was_hard: Any, moved: Any) -> None:
    """Add to ``moved`` (K, 2) the number of rows of each class that became hard, and easy.

    ``was_hard`` says which rows were hard before, and is updated.
    """
    limit = np.float32(hard)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        crossed = np.uint32(0)
        for i in range(n_rows):
            is_hard = np.uint8(np.float32(norms[start + i]) > limit)
            crossed += np.uint32(is_hard ^ was_hard[start + i])
        if crossed:
            for i in range(n_rows):
                is_hard = np.uint8(np.float32(norms[start + i]) > limit)
                if is_hard != was_hard[start + i]:
                    moved[int(y[start + i]), 0 if is_hard else 1] += 1
                    was_hard[start + i] = is_hard


@kernel
def of_true_class(gradient: Any, y: Any, out: Any) -> None:
    """Copy each row's entry in the column of its class to ``out``."""
    for i in range(out.shape[0]):
        out[i] = gradient[i, int(y[i])]
