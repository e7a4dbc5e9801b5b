"""The loop of the recorder: rows, norms and slopes summed by class and norm, and who crossed."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses._jit import kernel

BLOCK = 512
"""Rows whose cells are found at once: that is SIMD code, which adding to them is not."""

TABLES = 4
"""Rows take turns: one need not wait until the row before it, in the same cell, is added."""

FIELDS = 4
"""Rows, norms, slopes, and one unused: a cell's numbers share a cache line."""

_FIELDS, _TURN, _1, _2 = (np.uint64(k) for k in (FIELDS, TABLES - 1, 1, 2))


@kernel
def tally(
    norms: Any, y: Any, slopes: Any, bins: int, hard: float, was_hard: Any, sums: Any, moved: Any
) -> None:
    """Add each row to its cell of ``sums`` and its crossing to ``moved``.

    ``sums`` is flat, (TABLES, K, bins, FIELDS). ``moved`` is (K, 2): rows of each class that
    became hard, and easy, since ``was_hard``, which is brought up to date.
    """
    cells, last, width = np.float32(bins), np.float32(bins - 1), np.uint32(bins)
    table, limit = np.uint64(sums.shape[0] // TABLES), np.float32(hard)
    at = np.empty(BLOCK, np.uint64)
    for block in range(0, norms.shape[0], BLOCK):
        start, n_rows = np.uint64(block), np.uint64(min(BLOCK, norms.shape[0] - block))
        crossed = np.uint32(0)
        for i in range(n_rows):
            cell = np.uint32(min(np.float32(norms[start + i]) * cells, last))
            at[i] = np.uint64(np.uint32(y[start + i]) * width + cell) * _FIELDS
            is_hard = np.uint8(np.float32(norms[start + i]) > limit)
            crossed += np.uint32(is_hard ^ was_hard[start + i])
        if crossed:
            for i in range(n_rows):
                is_hard = np.uint8(np.float32(norms[start + i]) > limit)
                if is_hard != was_hard[start + i]:
                    moved[int(y[start + i]), 0 if is_hard else 1] += 1
                    was_hard[start + i] = is_hard
        for i in range(n_rows):
            cell_at = at[i] + (i & _TURN) * table
            sums[cell_at] += 1.0
            sums[cell_at + _1] += np.float64(norms[start + i])
            sums[cell_at + _2] += np.float64(abs(slopes[start + i]))
