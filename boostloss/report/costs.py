"""Read the costs of errors that the user states, and sort them by class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from boostloss.decide import cost_matrix
from boostloss.decision import check_decision, is_by_label
from boostloss.labels import check_positive_known
from boostloss.losses.validation import Array, check_number

LEAST = np.nextafter(0.0, 1.0)


class AlarmCosts(NamedTuple):
    """Costs of false positives and false negatives, for whichever label is positive."""

    false_positive: float
    false_negative: float


def parse(text: str | None) -> AlarmCosts | None:
    """Parse costs in the form of the command line, ``FP:FN``.

    Raises
    ------
    ValueError
        If the text is not two numbers above 0.
    """
    if text is None:
        return None
    try:
        false_positive, false_negative = map(float, text.split(":"))
        check_number("", false_positive, LEAST)
        check_number("", false_negative, LEAST)
    except ValueError as error:
        raise ValueError(
            f"--costs must be FP:FN, two numbers above 0 such as 1:50, got {text!r}"
        ) from error
    return AlarmCosts(false_positive, false_negative)


def as_judged(costs: Any, labels: Array, positive: int) -> Array | None:
    """Return the cost matrix (K, K) with true classes in rows. A positive class is last.

    Parameters
    ----------
    costs : None, AlarmCosts, array of shape (K, K), data frame or dict of dicts
        An array is in the order of the sorted labels.
    labels : array of shape (K,)
        Sorted labels.
    positive : int
        Of two classes the place of the one to be found.

    Raises
    ------
    ValueError, TypeError
        If ``costs`` is something else, or does not say which class it means.
    """
    if costs is None:
        return None
    if isinstance(costs, AlarmCosts):
        if len(labels) > 2:
            raise ValueError(
                f"--costs must be left out with {len(labels)} classes, got "
                f"{costs.false_positive:g}:{costs.false_negative:g}"
            )
        return cost_matrix(**costs._asdict())
    matrix = _matrix(costs, labels)
    return matrix[::-1, ::-1] if len(labels) == 2 and positive == 0 else matrix


def _matrix(costs: Any, labels: Array) -> Array:
    """Return the cost matrix in the order of the sorted labels."""
    try:
        matrix = check_decision(costs, labels)
    except (TypeError, ValueError) as error:
        raise type(error)(_wanted(costs, labels)) from error
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
        raise ValueError(_wanted(costs, labels))
    by_label = is_by_label(costs)
    if not by_label:
        check_positive_known(labels, {"costs": matrix.tolist()}, f"give {_example(labels)}")
    return matrix


def _wanted(costs: Any, labels: Array) -> str:
    return (
        f"costs must be a cost matrix of shape ({len(labels)}, {len(labels)}) or a dict by label, "
        f"{_example(labels)}, got {costs!r}"
    )


def _example(labels: Array) -> str:
    names = labels.tolist()
    rows = (f"{true!r}: {{{names[i - 1]!r}: ...}}" for i, true in enumerate(names))
    return f"costs={{{', '.join(rows)}}}"
