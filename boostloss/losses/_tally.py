"""The loop of the recorder: rows, norms and slopes summed by class and norm, and who crossed."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses._jit import kernel

BLOCK = 512
"""Rows whose cells are found at once: that is SIMD code, which adding to them is not."""

TABLES = 4
"""Rows take turns: one need not wait until the row before it, in the same cell, is added."""

FIELDS = 3
"""Sums of a cell: rows, norms, slopes."""

FLUSH = 4096
"""Rows counted in whole numbers, count and norm (to 2**-19) in one, before they are summed."""

_TURN, _FIELDS, _1, _2 = (np.uint64(k) for k in (TABLES - 1, FIELDS, 1, 2))
_ONE, _LOW, _HIGH = np.uint64(1 << 32), np.uint64((1 << 32) - 1), np.uint64(32)
_UNIT, _HALF = np.float32(1 << 19), np.float32(0.5)


@kernel
def tally(
    norms: Any, y: Any, slopes: Any, bins: int, hard: float, was_hard: Any, sums: Any, moved: Any
) -> None:
    """Add each row to its cell of ``sums`` and its crossing to ``moved``.

    ``sums`` is flat, (K, bins, FIELDS). ``moved`` is (K, 2): rows of each class that became hard,
    and easy, since ``was_hard``, which is brought up to date.
    """
    cells, last, width = np.float32(bins), np.float32(bins - 1), np.uint32(bins)
    n_cells, limit = np.uint64(sums.shape[0] // FIELDS), np.float32(hard)
    counted = np.zeros(TABLES * n_cells, np.uint64)
    sloped = np.zeros(TABLES * n_cells)
    at, packed = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        crossed = np.uint32(0)
        for i in range(n_rows):
            norm = np.float32(norms[start + i])
            at[i] = np.uint64(np.uint32(y[start + i]) * width + np.uint32(min(norm * cells, last)))
            packed[i] = np.uint64(np.uint32(norm * _UNIT + _HALF)) + _ONE
            crossed += np.uint32(np.uint8(norm > limit) ^ was_hard[start + i])
        if crossed:
            for i in range(n_rows):
                is_hard = np.uint8(np.float32(norms[start + i]) > limit)
                if is_hard != was_hard[start + i]:
                    moved[int(y[start + i]), 0 if is_hard else 1] += 1
                    was_hard[start + i] = is_hard
        for i in range(n_rows):
            cell = at[i] + (i & _TURN) * n_cells
            counted[cell] += packed[i]
            sloped[cell] += np.float64(abs(slopes[start + i]))
        if (block + BLOCK) % FLUSH == 0 or block + BLOCK >= norms.shape[0]:
            for cell in range(counted.shape[0]):
                to = np.uint64(cell) % n_cells * _FIELDS
                sums[to] += np.float64(counted[cell] >> _HIGH)
                sums[to + _1] += np.float64(counted[cell] & _LOW) / np.float64(_UNIT)
                counted[cell] = 0
    for cell in range(sloped.shape[0]):
        sums[np.uint64(cell) % n_cells * _FIELDS + _2] += sloped[cell]


@kernel
def of_true_class(gradient: Any, y: Any, out: Any) -> None:
    """Each row's entry of the column of its class."""
    for i in range(out.shape[0]):
        out[i] = gradient[i, int(y[i])]
