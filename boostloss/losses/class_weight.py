"""Compute class weights: given, balanced, or by the effective number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np

from boostloss.losses.validation import SMALLEST, Array, check_number, check_present

ClassWeight = (
    None
    | Literal["balanced", "effective"]
    | float
    | np.number[Any]
    | Mapping[Any, float]
    | Sequence[float]
    | Array
)
"""Allowed types of ``class_weight``. The keys of a dict are labels."""


class ClassWeightParameters(TypedDict, total=False):
    """Keyword arguments of every loss, for type checkers."""

    class_weight: ClassWeight
    beta: float


ALLOWED = (
    "None, 'balanced', 'effective', a number (weight of the positives, binary only), "
    "or a dict or sequence with one positive number for each class"
)


def balanced(counts: Array) -> Array:
    """Return ``n / (K n_k)``, as in scikit-learn: all classes have the same total weight."""
    check_present(counts)
    weights: Array = counts.sum() / (len(counts) * counts)
    return weights


def effective(counts: Array, beta: float) -> Array:
    """Return ``1 / E_k``, scaled to mean row weight 1, with ``E_k = (1 - beta**n_k) / (1 - beta)``.

    E_k is the expected volume covered by n_k samples when each new one overlaps the earlier
    ones with probability beta [1]_. beta = 0 gives equal weights; beta -> 1 gives "balanced".

    References
    ----------
    .. [1] Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
       CVPR 2019, equations 2 and 3.
    """
    check_present(counts)
    with np.errstate(divide="ignore"):
        log_beta = np.log(beta)
    # the factor beta - 1 cancels in the normalisation; expm1 is accurate for beta near 1
    inverse = np.reciprocal(np.expm1(counts * log_beta))
    weights: Array = inverse * counts.sum() / (inverse @ counts)
    return weights


def check_class_weight(value: Any) -> None:
    """Raise an error unless ``value`` is a valid class weight for some number of classes."""
    if isinstance(value, str) and value not in ("balanced", "effective"):
        raise ValueError(f"class_weight must be {ALLOWED}, got {value!r}")
    kinds = (str, int, float, np.number, Mapping, Sequence, np.ndarray)
    refused = isinstance(value, bool | bytes) or (isinstance(value, np.ndarray) and value.ndim != 1)
    if refused or not (value is None or isinstance(value, kinds)):
        raise TypeError(f"class_weight must be {ALLOWED}, got {value!r}")
    if isinstance(value, int | float | np.number):
        check_number("class_weight", value, SMALLEST)
    elif isinstance(value, Mapping):
        _check_each(list(value.values()))
    elif value is not None and not isinstance(value, str):
        _check_each(list(value))


def _check_each(values: list[Any]) -> None:
    for value in values:
        check_number("class_weight of each class", value, SMALLEST)


def needs_counts(value: Any) -> bool:
    """Return whether the weights depend on the labels."""
    return isinstance(value, str)


def _counted(value: str, beta: float, counts: Array) -> Array:
    """Return weights counted from the rows. A class without rows has weight 1."""
    present = counts > 0
    weights = np.ones(len(counts))
    if present.any():
        found = counts[present]
        weights[present] = balanced(found) if value == "balanced" else effective(found, beta)
    return weights


def resolve(value: Any, beta: float, n_classes: int, counts: Array | None) -> Array:
    """Return the weight of each class as a float64 array of length ``n_classes``."""
    check_class_weight(value)
    if value is None:
        return np.ones(n_classes)
    if isinstance(value, str):
        assert counts is not None
        return _counted(value, beta, counts)
    if isinstance(value, int | float | np.number):
        if n_classes != 2:
            raise ValueError(
                f"class_weight as a number is the weight of the positives in a binary problem, "
                f"got {value!r} with {n_classes} classes; give one number for each class"
            )
        return np.array([1.0, float(value)])
    if isinstance(value, Mapping):
        if set(value) != set(range(n_classes)):
            raise ValueError(
                f"class_weight must have the keys 0 to {n_classes - 1}, got {list(value)}"
            )
        return np.array([float(value[k]) for k in range(n_classes)])
    if len(value) != n_classes:
        raise ValueError(
            f"class_weight must have one number for each of {n_classes} classes, got {len(value)}"
        )
    return np.asarray(value, dtype=np.float64)
