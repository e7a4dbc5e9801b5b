"""Long arrays over a few threads, made for the call: nothing stays that a fork could break."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

WORTHWHILE = 1 << 22
"""Scores from which a second thread brings more than it takes: starting one takes 0.1 ms, and
cross-entropy's loop, 0.6 ns a row, waits for memory more than for the processor."""


def parts(n_rows: int, n_scores: int) -> list[tuple[int, int]]:
    """Ranges of rows of equal size: one, or from :data:`WORTHWHILE` scores on a multiple of four.

    They do not depend on the number of threads, nor do sums over them.
    """
    count = 4 * -(-n_scores // (4 * WORTHWHILE)) if n_scores >= WORTHWHILE else 1
    # multiples of a SIMD register's width
    bounds = [n_rows * k // count // 64 * 64 for k in range(count)] + [n_rows]
    return list(pairwise(bounds))


def in_parts(
    work: Callable[[int, int], Any], n_rows: int, n_scores: int, n_threads: int
) -> list[Any]:
    """``work(start, stop)`` for each of the :func:`parts`; the results in the rows' order.

    ``work`` must release the GIL. Where one fails, its error is raised here.
    """
    ranges = parts(n_rows, n_scores)
    n_threads = min(n_threads, len(ranges))
    results: list[Any] = [None] * len(ranges)
    errors: list[BaseException] = []

    def share(first: int) -> None:
        try:
            for k in range(first, len(ranges), n_threads):
                results[k] = work(*ranges[k])
        except BaseException as error:
            errors.append(error)

    helpers = [threading.Thread(target=share, args=(k,)) for k in range(1, n_threads)]
    try:
        for helper in helpers:
            helper.start()
        share(0)
    finally:
        errors += [error for helper in helpers for error in _waited_for(helper)]
    if errors:
        raise errors[0]
    return results


def _waited_for(helper: threading.Thread) -> list[BaseException]:
    """Interruptions on the way: its arrays must not be used again while a thread writes them."""
    interruptions: list[BaseException] = []
    while helper.is_alive():
        try:
            helper.join()
        except KeyboardInterrupt as error:
            interruptions.append(error)
    return interruptions
