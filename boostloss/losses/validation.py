"""Check arguments. Errors name the argument, what is allowed and what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

_LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in _FLOATS}

SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
"""The smallest number above 0."""


SOFT_LABELS = (
    "to fit soft labels, pass each row once for each class, with the class as its label and the "
    "probability as its weight"
)

LABEL_LIMIT = 2**24
"""Upper limit of labels. They are float32, which cannot represent all larger integers."""


def check_number(
    name: str, value: Any, low: float, high: float = np.inf, *, open_end: bool = False
) -> float:
    """Return a finite number if it is in [low, high], or in [low, high) with ``open_end``."""
    if type(value) is float and low <= value < high:
        return value
    allowed = _interval(low, high, open_end)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    if not np.isfinite(value) or value < low or value > high or (open_end and value >= high):
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return float(value)


def _interval(low: float, high: float, open_end: bool) -> str:
    """Describe the allowed interval, in words if 0 itself is not allowed."""
    above = low == SMALLEST
    if high == np.inf:
        return "a number greater than 0" if above else f"a number in [{low:g}, inf)"
    if above:
        return f"a number greater than 0 and {'less than' if open_end else 'at most'} {high:g}"
    return f"a number in [{low:g}, {high:g}{')' if open_end else ']'}"


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return the value if it is one of the allowed strings."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return str(value)


def with_labels(name: str, value: Any) -> Any:
    """Return a frame or series with an index, as pandas has, as a dict by label; all else as it is.

    Its order need not be that of the labels: ``y.value_counts()`` starts with the most frequent.
    """
    if not (hasattr(value, "to_dict") and hasattr(value, "index")):
        return value
    for axis in (value.index, value.columns) if value.ndim == 2 else (value.index,):
        if not axis.is_unique:
            raise ValueError(f"{name} must contain each label once, got {list(axis)}")
    return value.to_dict(orient="index") if value.ndim == 2 else value.to_dict()


def by_codes(name: str, value: Any, n_classes: int) -> Any:
    """Return a frame or series with an index as lists in the order of the codes 0..K-1."""
    labelled = with_labels(name, value)
    if not isinstance(labelled, Mapping):
        return value
    codes = range(n_classes)
    for keys in (labelled, *(row for row in labelled.values() if isinstance(row, Mapping))):
        if set(keys) != set(codes):
            raise ValueError(
                f"{name} must have the index 0 to {n_classes - 1}, which are the codes of the "
                f"classes, got {list(keys)}"
            )
    rows = [labelled[k] for k in codes]
    return [[row[k] for k in codes] if isinstance(row, Mapping) else row for row in rows]


def check_integer(name: str, value: Any, low: int) -> int:
    """Return the value if it is an integer of at least ``low``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, at least {low}, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be a whole number, at least {low}, got {value!r}")
    return int(value)


def _numeric(name: str, value: ArrayLike) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, got {error}") from error
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"{name} must contain numbers, got dtype {array.dtype}") from error
    # complex numbers and times would be converted to floats silently
    if array.dtype.kind not in "biuf":
        codes = "; np.searchsorted(classes, y) makes codes 0..K-1 of labels" if name == "y" else ""
        raise TypeError(f"{name} must contain numbers, got dtype {array.dtype}{codes}")
    return array


def as_raw(raw: ArrayLike) -> Array:
    """Return contiguous raw scores of shape (n,) or (n, K), K >= 2, as float32 or float64."""
    if type(raw) is np.ndarray and raw.ndim == 1 and raw.dtype in _FLOATS and raw.flags.forc:
        return raw  # the usual case: engines pass such arrays in every round
    array = _numeric("raw", raw)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] < 2):
        raise ValueError(
            f"raw must have shape (n,) for binary or (n, K) with K >= 2 classes, got {array.shape}"
        )
    array = np.asarray(array, np.float32 if array.dtype == np.float32 else np.float64)
    by_columns = array.ndim == 2 and array.flags.f_contiguous
    return array if by_columns else np.ascontiguousarray(array)


def check_raw(raw: ArrayLike) -> Array:
    """Return :func:`as_raw` of scores that are finite and whose differences are finite."""
    array = as_raw(raw)
    # one fast check of all scores, which is False for NaN and infinity
    if array.size and float(array.max()) - float(array.min()) <= _LARGEST[array.dtype]:
        return array
    if not np.isfinite(array).all():
        raise ValueError("raw must be finite, got NaN or infinity")
    if array.ndim == 2 and array.size:
        low, high = array.min(), array.max()
        with np.errstate(over="ignore"):
            spread = high - low
        if not np.isfinite(spread):
            raise ValueError(f"raw must have finite differences, got scores from {low} to {high}")
    return array


def n_classes_of(raw: Array) -> int:
    """Return the number of classes: 2 for scores of shape (n,), K for (n, K)."""
    return raw.shape[1] if raw.ndim == 2 else 2


def as_labels(y: ArrayLike, n_rows: int | None = None) -> Array:
    """Return labels as contiguous float32, the type that both engines pass."""
    array = _numeric("y", y)
    if array.ndim != 1:
        one_hot = "; convert one-hot columns by argmax(axis=1)" if array.ndim == 2 else ""
        raise ValueError(f"y must have shape (n,), got {array.shape}{one_hot}")
    if n_rows is not None and len(array) != n_rows:
        raise ValueError(f"y must have one label for each of raw's {n_rows} rows, got {len(array)}")
    with np.errstate(over="ignore"):  # an overflow gives infinity, which is refused later
        return np.ascontiguousarray(array, dtype=np.float32)


def check_labels(y: ArrayLike, n_classes: int, n_rows: int | None = None) -> Array:
    """Return :func:`as_labels` of labels that are all classes 0..n_classes-1."""
    labels = as_labels(y, n_rows)
    # also False for NaN
    inside = not len(labels) or (labels.min() >= 0 and labels.max() <= n_classes - 1)
    if inside and bool((labels == np.floor(labels)).all()):
        return labels
    allowed = "0 or 1" if n_classes == 2 else f"whole numbers from 0 to {n_classes - 1}"
    if np.isnan(labels).any():
        raise ValueError(f"y must contain {allowed}, got NaN")
    wrong = (labels < 0) | (labels > n_classes - 1) | (labels != np.floor(labels))
    found = labels[wrong][0]
    hint = f"; {SOFT_LABELS}" if 0 < found < 1 else ""
    if n_classes == 2 and found >= 2 and found == np.floor(found):
        hint = "; more classes need scores of shape (n, K), which engines have with num_class=K"
    raise ValueError(f"y must contain {allowed}, got {found:g}{hint}")


def as_sample_weight(
    sample_weight: ArrayLike | None, n_rows: int, *, zero_allowed: bool = False
) -> Array | None:
    """Return row weights as contiguous float32 or float64; all zero only if allowed."""
    if sample_weight is None:
        return None
    array = _numeric("sample_weight", sample_weight)
    if array.shape != (n_rows,):
        raise ValueError(f"sample_weight must have shape ({n_rows},), got {array.shape}")
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    array = np.ascontiguousarray(array, dtype=dtype)
    if n_rows and not zero_allowed and not array[0] and not array.any():
        raise ValueError("sample_weight must not be all zero")
    return array


def check_sample_weight(
    sample_weight: ArrayLike | None, n_rows: int, *, zero_allowed: bool = False
) -> Array | None:
    """Return :func:`as_sample_weight` of weights that are finite and not negative."""
    array = as_sample_weight(sample_weight, n_rows, zero_allowed=zero_allowed)
    if array is None:
        return None
    if not np.isfinite(array).all():
        raise ValueError("sample_weight must be finite, got NaN or infinity")
    if (array < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {array.min()}")
    return array


def not_allowed(weight: Array | None) -> bool:
    """Return whether a sample weight is negative, NaN or infinite."""
    if weight is None or not len(weight):
        return False
    return not (weight.min() >= 0 and weight.max() < np.inf)


def class_counts(y: Array, sample_weight: Array | None, n_classes: int) -> Array:
    """Return the sum of the sample weights, or the number of rows, of each class."""
    return np.bincount(y.astype(np.intp), weights=sample_weight, minlength=n_classes).astype(
        np.float64
    )


def with_floor(counts: Array, share: float, n_classes: int) -> Array:
    """Return counts of ``n_classes``, raised to this share of their sum where they are lower."""
    counts = np.pad(counts, (0, max(0, n_classes - len(counts))))
    floored: Array = np.maximum(counts, share * counts.sum())
    return floored


def check_no_gaps(counts: Array) -> None:
    """Raise an error if labels, which alone say how many classes there are, leave one out."""
    if len(counts) > 2 and not (counts > 0).all():
        found = np.flatnonzero(counts > 0)
        shown = ", ".join(map(str, found[:9])) + (", ..." if len(found) > 9 else "")
        raise ValueError(
            "labels must be 0 to K-1, each with rows (of a weight above 0), unless "
            f"params['num_class'] says how many classes there are, got {shown}"
        )


def check_present(counts: Array) -> None:
    """Raise an error unless every class has rows with a positive weight."""
    absent = np.flatnonzero(counts <= 0)
    if len(absent):
        named = ", ".join(map(str, absent[:9])) + (", ..." if len(absent) > 9 else "")
        raise ValueError(
            f"y must contain every class from 0 to {len(counts) - 1}, "
            f"got no row (with weight) of class {named}"
        )
