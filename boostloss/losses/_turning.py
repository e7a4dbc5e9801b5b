"""Chunks of a matrix, block by block, from row after row to class after class and back.

A loop over classes whose number is written in the code becomes SIMD shuffles: three times as fast
as one whose number the compiler does not know, and 0.15 s longer to compile for each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses._jit import kernel

BLOCK = 128
"""Rows of a block; in a block of the scratch each class takes so many numbers."""

_STEP = np.uint64(BLOCK)
# unsigned, because numba guards signed indices against negative values
_3, _4, _5 = (np.uint64(k) for k in range(3, 6))


@kernel
def to_classes(rows: Any, n_classes: Any, start: int, stop: int, classes: Any) -> None:
    """Copy the rows ``start`` to ``stop`` into the scratch ``classes``."""
    for block in range(start, stop, BLOCK):
        row, n_rows = np.uint64(block), np.uint64(min(BLOCK, stop - block))
        at = (row - np.uint64(start)) * n_classes
        if n_classes == 3:
            for i in range(n_rows):
                for k in range(_3):
                    classes[at + k * _STEP + i] = rows[(row + i) * _3 + k]
        elif n_classes == 4:
            for i in range(n_rows):
                for k in range(_4):
                    classes[at + k * _STEP + i] = rows[(row + i) * _4 + k]
        elif n_classes == 5:
            for i in range(n_rows):
                for k in range(_5):
                    classes[at + k * _STEP + i] = rows[(row + i) * _5 + k]
        else:
            for k in range(n_classes):
                for i in range(n_rows):
                    classes[at + k * _STEP + i] = rows[(row + i) * n_classes + k]


@kernel
def to_rows(classes: Any, n_classes: Any, start: int, stop: int, rows: Any) -> None:
    """Undo :func:`to_classes`."""
    for block in range(start, stop, BLOCK):
        row, n_rows = np.uint64(block), np.uint64(min(BLOCK, stop - block))
        at = (row - np.uint64(start)) * n_classes
        if n_classes == 3:
            for i in range(n_rows):
                for k in range(_3):
                    rows[(row + i) * _3 + k] = classes[at + k * _STEP + i]
        elif n_classes == 4:
            for i in range(n_rows):
                for k in range(_4):
                    rows[(row + i) * _4 + k] = classes[at + k * _STEP + i]
        elif n_classes == 5:
            for i in range(n_rows):
                for k in range(_5):
                    rows[(row + i) * _5 + k] = classes[at + k * _STEP + i]
        else:
            for k in range(n_classes):
                for i in range(n_rows):
                    rows[(row + i) * n_classes + k] = classes[at + k * _STEP + i]
