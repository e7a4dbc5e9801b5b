"""How dense the gradient norms of each class are, and weights that only ever fall with the norm.

A row counts for the two nearest of the M nodes ``(j + 1/2)/M``, more for the nearer: a density
with a triangular window, which does not jump. Between the nodes weights are linear, so that
their mean over the rows is the mean over the nodes' mass, exactly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from boostloss.losses._jit import inlined_early, kernel
from boostloss.losses._threads import in_parts
from boostloss.losses._validation import Array

FLOOR = 0.1
"""Added to each density, of which 1 is the mean: an empty region is no reason for a weight."""

BLOCK = 512
_TABLES, _TURN = 4, np.uint64(3)
"""Rows take turns: one need not wait until the row before it, in the same cell, is added."""
_1, _2 = np.uint64(1), np.uint64(2)

FLUSH = 4096
"""Rows counted in whole numbers, count and share (to 2**-19) in one, before they are summed."""

_ONE, _LOW, _HIGH = np.uint64(1 << 32), np.uint64((1 << 32) - 1), np.uint64(32)
_UNIT, _HALF = np.float32(1 << 19), np.float32(0.5)


class ClassWeights(NamedTuple):
    """GHM's weight as a function of label and gradient norm, as a round left it."""

    table: Array
    """Weight at each node, (K, M)."""

    @classmethod
    def of(cls, mass: Array, strength: float, normalize: bool) -> ClassWeights:
        """Weights from the rows (or their summed weights) at each class's nodes, (K, M)."""
        total = mass.sum(axis=1, keepdims=True)
        there = total > 0  # a class without rows gets weight 1
        density = np.divide(mass.shape[1] * mass, total, out=np.ones_like(mass), where=there)
        table = np.minimum.accumulate((density + FLOOR) ** -strength, axis=1)
        if normalize:
            summed = (mass * table).sum(axis=1, keepdims=True)
            table /= np.divide(summed, total, out=table[:, :1].copy(), where=there)
        return cls(table)

    def __call__(self, norms: ArrayLike, y: ArrayLike) -> Array:
        """Weight of rows with these gradient norms (in [0, 1]) and labels."""
        norms, labels = np.asarray(norms, dtype=np.float64), np.asarray(y, dtype=np.intp)
        place = np.minimum(norms * self.table.shape[1] + 0.5, self.table.shape[1])
        cell = place.astype(np.intp)
        left, step = self.lines()
        weights: Array = left[labels, cell] + step[labels, cell] * (place - cell)
        return weights

    def lines(self) -> tuple[Array, Array]:
        """Weight at the left end of each cell between two nodes, and its rise to the right end."""
        padded = np.concatenate([self.table[:, :1], self.table, self.table[:, -1:]], axis=1)
        return padded[:, :-1], np.diff(padded, axis=1)


def class_mass(
    norms: Array, y: Array, weight: Array | None, n_classes: int, bins: int, n_threads: int = 1
) -> Array:
    """Rows, or their summed weights, at each class's nodes (K, M); norms may have a sign."""

    def work(start: int, stop: int) -> Array:
        rows = slice(start, stop)
        some = None if weight is None else weight[rows]
        sums = np.zeros(_TABLES * n_classes * (bins + 1) * 2)
        _spread(norms[rows], y[rows], some, bins, sums)
        total: Array = sums.reshape(_TABLES, n_classes, bins + 1, 2).sum(axis=0)
        return total

    sums: Array = sum(in_parts(work, len(norms), len(norms), n_threads))  # type: ignore[assignment]
    whole, right = sums[..., 0], sums[..., 1]
    # the outermost cells are half as wide and have one node
    from_left, from_right = right[:, :-1], (whole - right)[:, 1:]
    from_left[:, 0], from_right[:, -1] = whole[:, 0], whole[:, -1]
    mass: Array = from_left + from_right
    return mass


@inlined_early
def _places(norms: Any, y: Any, start: Any, n_rows: Any, bins: Any, cell: Any, share: Any) -> Any:
    """Cell of each row of a block, the classes one after another, and the right node's share."""
    nodes, per_class = np.float32(bins), np.uint32(bins + 1)
    for i in range(n_rows):
        place = min(np.float32(abs(norms[start + i])) * nodes + np.float32(0.5), nodes)
        inside = np.uint32(place)
        share[i] = place - np.float32(inside)
        cell[i] = np.uint32(y[start + i]) * per_class + inside


@kernel
def _spread(norms: Any, y: Any, weight: Any, bins: int, sums: Any) -> None:
    """Add each row to ``sums``, flat (tables, K, bins + 1, 2): its weight, and the right's."""
    cell, share = np.zeros(BLOCK, np.uint32), np.zeros(BLOCK, np.float32)
    n_cells = np.uint64(sums.shape[0] // (2 * _TABLES))
    counted, packed = np.zeros(_TABLES * n_cells, np.uint64), np.zeros(BLOCK, np.uint64)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        _places(norms, y, start, n_rows, bins, cell, share)
        if weight is None:
            for i in range(n_rows):
                packed[i] = np.uint64(np.uint32(share[i] * _UNIT + _HALF)) + _ONE
            for i in range(n_rows):
                counted[np.uint64(cell[i]) + (i & _TURN) * n_cells] += packed[i]
            if (block + BLOCK) % FLUSH == 0 or block + BLOCK >= norms.shape[0]:
                for k in range(counted.shape[0]):
                    at = np.uint64(k) * _2
                    sums[at] += np.float64(counted[k] >> _HIGH)
                    sums[at + _1] += np.float64(counted[k] & _LOW) / np.float64(_UNIT)
                    counted[k] = 0
        else:
            for i in range(n_rows):
                at = (np.uint64(cell[i]) + (i & _TURN) * n_cells) * _2
                sums[at] += np.float64(weight[start + i])
                # rounded as where rows are counted: a weight must be as good as repeating a row
                part = np.float64(np.uint32(share[i] * _UNIT + _HALF)) / np.float64(_UNIT)
                sums[at + _1] += np.float64(weight[start + i]) * part


@kernel
def rescale(gradient: Any, hessian: Any, y: Any, weight: Any, lines: Any, bins: int) -> None:
    """Multiply each row by its weight; the gradient is the norm with a sign.

    ``lines`` is the pair of :meth:`ClassWeights.lines`, flat, class weights included.
    """
    left, step = lines
    cell, share = np.zeros(BLOCK, np.uint32), np.zeros(BLOCK, np.float32)
    for block in range(0, gradient.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, gradient.shape[0] - block))
        _places(gradient, y, start, n_rows, bins, cell, share)
        for i in range(n_rows):
            at = np.uint64(cell[i])
            share[i] = left[at] + step[at] * share[i]
        if weight is not None:
            for i in range(n_rows):
                share[i] *= weight[start + i]
        for i in range(n_rows):
            gradient[start + i] *= share[i]
            hessian[start + i] *= share[i]


@kernel
def look_up(norms: Any, y: Any, weight: Any, lines: Any, bins: int) -> None:
    """Each row's weight, times its sample weight, in place of the norm."""
    left, step = lines
    cell, share = np.zeros(BLOCK, np.uint32), np.zeros(BLOCK, np.float32)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        _places(norms, y, start, n_rows, bins, cell, share)
        for i in range(n_rows):
            at = np.uint64(cell[i])
            norms[start + i] = left[at] + step[at] * share[i]
        if weight is not None:
            for i in range(n_rows):
                norms[start + i] *= weight[start + i]
