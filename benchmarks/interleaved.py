"""Time functions in turn, so that a slow machine affects both sides of a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def seconds(function: Callable[[], Any]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratios(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median of each function's time divided by the first one's in the same repeat.

    The first entry of the result is the median of the first function in seconds.
    """
    for function in functions.values():  # compile and fill caches
        function()
    times = np.array([[seconds(f) for f in functions.values()] for _ in range(repeats)])
    medians = np.median(times / times[:, :1], axis=0)
    medians[0] = np.median(times[:, 0])
    return dict(zip(functions, medians.tolist(), strict=True))


def table(header: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *[[_cell(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
