"""Blocks of a matrix, from row after row to class after class and back.

A loop over classes whose number is written in the code becomes SIMD shuffles: three times as fast
as one whose number the compiler does not know (measured for 3 to 8 classes; LLVM goes no
further).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses._jit import kernel

BLOCK = 128
"""Rows of a block; each class takes so many numbers of the scratch."""

_STEP = np.uint64(BLOCK)
# unsigned, because numba guards signed indices against negative values
_3, _4, _5, _6, _7, _8 = (np.uint64(k) for k in range(3, 9))


@kernel
def to_classes(rows: Any, n_classes: Any, start: Any, n_rows: Any, classes: Any) -> None:
    """Copy rows ``start`` to ``start + n_rows`` into the scratch ``classes``."""
    if n_classes == 3:
        for i in range(n_rows):
            for k in range(_3):
                classes[k * _STEP + i] = rows[(start + i) * _3 + k]
    elif n_classes == 4:
        for i in range(n_rows):
            for k in range(_4):
                classes[k * _STEP + i] = rows[(start + i) * _4 + k]
    elif n_classes == 5:
        for i in range(n_rows):
            for k in range(_5):
                classes[k * _STEP + i] = rows[(start + i) * _5 + k]
    elif n_classes == 6:
        for i in range(n_rows):
            for k in range(_6):
                classes[k * _STEP + i] = rows[(start + i) * _6 + k]
    elif n_classes == 7:
        for i in range(n_rows):
            for k in range(_7):
                classes[k * _STEP + i] = rows[(start + i) * _7 + k]
    elif n_classes == 8:
        for i in range(n_rows):
            for k in range(_8):
                classes[k * _STEP + i] = rows[(start + i) * _8 + k]
    else:
        for k in range(n_classes):
            for i in range(n_rows):
                classes[k * _STEP + i] = rows[(start + i) * n_classes + k]


@kernel
def to_rows(classes: Any, n_classes: Any, start: Any, n_rows: Any, rows: Any) -> None:
    """Undo :func:`to_classes`."""
    if n_classes == 3:
        for i in range(n_rows):
            for k in range(_3):
                rows[(start + i) * _3 + k] = classes[k * _STEP + i]
    elif n_classes == 4:
        for i in range(n_rows):
            for k in range(_4):
                rows[(start + i) * _4 + k] = classes[k * _STEP + i]
    elif n_classes == 5:
        for i in range(n_rows):
            for k in range(_5):
                rows[(start + i) * _5 + k] = classes[k * _STEP + i]
    elif n_classes == 6:
        for i in range(n_rows):
            for k in range(_6):
                rows[(start + i) * _6 + k] = classes[k * _STEP + i]
    elif n_classes == 7:
        for i in range(n_rows):
            for k in range(_7):
                rows[(start + i) * _7 + k] = classes[k * _STEP + i]
    elif n_classes == 8:
        for i in range(n_rows):
            for k in range(_8):
                rows[(start + i) * _8 + k] = classes[k * _STEP + i]
    else:
        for k in range(n_classes):
            for i in range(n_rows):
                rows[(start + i) * n_classes + k] = classes[k * _STEP + i]
