"""One training run: what it remembers between rounds, and the processes that share its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from boostloss.kernels import RowFunctions
from boostloss.losses.validation import Array, check_integer

Result = TypeVar("Result")


class Workers:
    """The processes among which the rows are spread; here one, which holds them all.

    A subclass joins several. All of them must call the same methods in the same order, also
    those that hold no rows.
    """

    alone = True

    def sum(self, array: Array) -> Array:
        """Element by element, the sum of what each worker gives."""
        return array

    def largest(self, array: Array) -> Array:
        """Element by element, the largest of what any worker gives."""
        return array

    def together(self, check: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """What ``check`` returns; if it raises on one worker, the same error on all of them."""
        return check(*arguments, **keywords)

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any worker."""
        return flag


ALONE = Workers()


@dataclass
class TrainingRun:
    """What one training run knows, and remembers between its rounds.

    Hand the same one to :meth:`Loss.gradient_hessian` in each round, and a new one to each
    training. Parameters of the loss, labels and sample weights are read in the first round, and
    again only where other labels or weights are given: what is changed in place is not seen.

    Parameters
    ----------
    workers : Workers
        The processes that train together, each with rows of its own.
    n_threads : int
        Threads that share the rows, if they are many; the result does not depend on it.
    inputs : tuple or None
        The label and weight objects, and the shape and type of the scores, that were checked.
    y, sample_weight : array or None
        The same as contiguous arrays.
    class_weight : array of shape (K,) or None
        Weight of each class, counted in the first round.
    functions : RowFunctions or None
        The loss's scalar functions.
    class_numbers : Any
        What the kernels know of each class.
    density_mass : array or None
        GHM's moving average of the rows in each cell.

    See Also
    --------
    Loss.gradient_hessian : Takes one in each round.
    """

    workers: Workers = ALONE
    n_threads: int = 1
    inputs: tuple[Any, ...] | None = None
    y: Array | None = None
    sample_weight: Array | None = None
    class_weight: Array | None = None
    functions: RowFunctions | None = None
    class_numbers: Any = None
    density_mass: Array | None = None

    def __post_init__(self) -> None:
        self.n_threads = check_integer("n_threads", self.n_threads, 1)

    def has_read(self, y: Any, sample_weight: Any, scores: Array) -> bool:
        """Whether these labels and weights, for scores like these, are those of the last round.

        Parameters
        ----------
        y : array of shape (n,)
            Labels, the same object or an equal array: XGBoost's classifier copies them each round.
        sample_weight : array of shape (n,) or None
            Weights, compared in the same way.
        scores : array of shape (n,) or (n, K)
            Scores, of which shape and type count.

        Returns
        -------
        bool
            True if they need not be checked again.
        """
        if self.inputs is None:
            return False
        own_y, own_weight, shape, dtype = self.inputs
        if shape != scores.shape or dtype != scores.dtype:
            return False
        if not self.workers.alone:  # all workers must find the same
            return own_y is y and own_weight is sample_weight
        return _same(own_y, y) and _same(own_weight, sample_weight)


def _same(own: Any, given: Any) -> bool:
    """Whether two arrays are one, or plain ones of one type and equal: 1 us for 2,000 labels."""
    if own is given:
        return True
    if type(own) is not np.ndarray or type(given) is not np.ndarray:
        return False
    return own.dtype == given.dtype and np.array_equal(own, given)
