"""XGBoost's collective, on which Dask, Ray and plain trackers train, as a loss's workers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from boostloss.losses._validation import Array
from boostloss.losses._workers import ALONE, Result, Workers


class CollectiveWorkers(Workers):
    """The processes of XGBoost's communicator; ``collective`` is its module."""

    alone = False

    def __init__(self, collective: Any) -> None:
        self._collective = collective

    def sum(self, array: Array) -> Array:
        """Element by element, the sum of what each worker gives."""
        return self._reduce(array, self._collective.Op.SUM)

    def largest(self, array: Array) -> Array:
        """Element by element, the largest of what any worker gives."""
        return self._reduce(array, self._collective.Op.MAX)

    def together(self, check: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """What ``check`` returns; if it raises on one worker, the same error on all of them."""
        error: Exception | None = None
        try:
            result = check(*arguments, **keywords)
        except (TypeError, ValueError) as raised:
            error = raised
        mine = self._collective.get_rank() + 1
        first = int(self.largest(np.array([0 if error is None else mine]))[0]) - 1
        if first < 0:
            return result
        given = (type(error).__name__, str(error)) if first == mine - 1 else None
        kind, message = self._collective.broadcast(given, first)
        n_workers = self._collective.get_world_size()
        kind = TypeError if kind == "TypeError" else ValueError
        raise kind(f"{message} (on worker {first} of {n_workers})") from error

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any worker."""
        return bool(self.largest(np.array([int(flag)]))[0])

    def _reduce(self, array: Array, operation: Any) -> Array:
        # one type for all: workers that sent different ones would read each other's bytes
        sent = np.ascontiguousarray(array, dtype=np.float64)
        received: Array = self._collective.allreduce(sent, operation)
        return received.reshape(sent.shape)


def current() -> Workers:
    """The processes that train together with this one; this one alone if there are none."""
    # without xgboost in memory there is nobody to train with
    collective = sys.modules.get("xgboost.collective")
    if collective is None or collective.get_world_size() == 1:
        return ALONE
    return CollectiveWorkers(collective)
