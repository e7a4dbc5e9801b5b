"""The norm ``q = 1 - p`` of cross-entropy's gradient: how hard each row is just now."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses import _binary, _softmax
from boostloss.losses._elementary import SMALLEST_LOG
from boostloss.losses._jit import inlined
from boostloss.losses._threads import in_parts
from boostloss.losses._validation import Array


def gradient_norms(
    y: Array, raw: Array, n_threads: int = 1, out: Array | None = None
) -> tuple[Array, bool]:
    """Gradient norm q = 1 - p of each row, and whether a softmax label or score is not allowed."""
    norms = np.empty(len(raw), dtype=raw.dtype) if out is None else out
    zeros = np.zeros(2 if raw.ndim == 1 else 1, dtype=raw.dtype)
    numbers = (zeros + 1, zeros, zeros - SMALLEST_LOG)

    def work(start: int, stop: int) -> bool | None:
        if raw.ndim == 1:
            rows = slice(start, stop)
            return binary_norms(raw[rows], y[rows], None, numbers, norms[rows])
        matrix, bad = _softmax.Matrix(raw, y, numbers), False
        for first, last in matrix.chunks(start, stop):
            bad |= matrix.prepare(first, last)
            softmax_norms(last - first, None, matrix.scratch, norms[first:last])
        return bad

    return norms, any(in_parts(work, len(raw), raw.size, n_threads))


@inlined
def _q(theta: Any, p: Any, q: Any, loss_p: Any, large: Any, small: Any) -> Any:
    return q


binary_norms = _binary.value_kernel(_q)
softmax_norms = _softmax.value_kernel(_q)
