"""The loops of GHM: mass of gradient norms in cells, and row weights looked up by cell.

Cross-entropy's gradient is the norm with a sign, so the gradient array itself holds the norms
between the two passes and no other array of the data's length is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses._jit import inlined_early, kernel

BLOCK = 512
"""Rows whose cells are found at once: that is SIMD code, which a look-up by cell is not."""

_TURN = np.uint64(3)


@inlined_early
def _cells_of(norms: Any, start: Any, n_rows: Any, grid: Any, found: Any) -> Any:
    """Cells of a block of norms, which may have a sign: ``floor(min(g*cells + shift, last))``."""
    cells, shift, last = grid
    for i in range(n_rows):
        # the smaller is taken before rounding: of integers it would be a branch
        found[i] = np.uint32(min(abs(norms[start + i]) * cells + shift, last))


@kernel
def count(norms: Any, grid: Any) -> Any:
    """Rows in each cell, in four tables to be summed.

    Rows take turns: one need not wait until the row before it, in the same cell, is written.
    """
    tables = np.zeros((4, int(grid[2]) + 1), np.uint32)
    found = np.zeros(BLOCK, np.uint32)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        _cells_of(norms, start, n_rows, grid, found)
        for i in range(n_rows):
            tables[i & _TURN, np.uint64(found[i])] += np.uint32(1)
    return tables


@kernel
def add_up(norms: Any, weight: Any, grid: Any) -> Any:
    """Summed row weights in each cell."""
    mass = np.zeros(int(grid[2]) + 1)
    found = np.zeros(BLOCK, np.uint32)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        _cells_of(norms, start, n_rows, grid, found)
        for i in range(n_rows):
            mass[np.uint64(found[i])] += np.float64(weight[start + i])
    return mass


@kernel
def rescale(
    gradient: Any, hessian: Any, y: Any, weight: Any, class_weight: Any, table: Any, grid: Any
) -> None:
    """Multiply each row by its cell's entry in ``table``, its class's weight and its own."""
    weight_0, weight_1 = class_weight[0], class_weight[1]
    found, factor = np.zeros(BLOCK, np.uint32), np.empty(BLOCK, np.float32)
    for block in range(0, gradient.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, gradient.shape[0] - block))
        _cells_of(gradient, start, n_rows, grid, found)
        for i in range(n_rows):
            factor[i] = table[np.uint64(found[i])]
        for i in range(n_rows):
            factor[i] *= weight_1 if y[start + i] > 0 else weight_0
        if weight is not None:
            for i in range(n_rows):
                factor[i] *= weight[start + i]
        for i in range(n_rows):
            gradient[start + i] *= factor[i]
            hessian[start + i] *= factor[i]


@kernel
def look_up(norms: Any, weight: Any, table: Any, grid: Any) -> None:
    """Each norm's entry in ``table``, times the row's weight, in place of the norm."""
    found = np.zeros(BLOCK, np.uint32)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        _cells_of(norms, start, n_rows, grid, found)
        for i in range(n_rows):
            norms[start + i] = table[np.uint64(found[i])]
        if weight is not None:
            for i in range(n_rows):
                norms[start + i] *= weight[start + i]


@kernel
def window_beta(mass: Any, width: float, least: float) -> Any:
    """``N / GD`` on rounded norms: mass within half a width of each, over its valid length.

    ``mass`` stands on the multiples k/(n-1) of a fine grid. A window without rows counts as if
    the lightest row stood there.
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
