"""Long arrays over a few threads, made for the call: nothing stays that a fork could break."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

CHUNK = 1 << 18
"""Rows of a chunk. The chunks do not depend on the number of threads, nor do the results."""


def in_chunks(work: Callable[[int, int], Any], n_rows: int, n_threads: int) -> list[Any]:
    """``work(start, stop)`` for each chunk of the rows; the results in the rows' order.

    ``work`` must release the GIL. Where one fails, its error is raised here.
    """
    starts = range(0, max(n_rows, 1), CHUNK)
    results: list[Any] = [None] * len(starts)
    errors: list[BaseException] = []
    n_threads = min(n_threads, len(starts))

    def share(first: int) -> None:
        try:
            for k in range(first, len(starts), n_threads):
                results[k] = work(starts[k], min(starts[k] + CHUNK, n_rows))
        except BaseException as error:
            errors.append(error)

    helpers = [threading.Thread(target=share, args=(k,)) for k in range(1, n_threads)]
    for helper in helpers:
        helper.start()
    share(0)
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
    return results
