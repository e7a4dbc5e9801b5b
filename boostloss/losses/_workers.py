"""Rows that are spread over several processes: what must be summed over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from boostloss.losses._validation import Array

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
