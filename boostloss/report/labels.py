"""Find the classes in a target column. Errors name the rows without a certain label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from boostloss.losses.validation import Array
from boostloss.optional import require
from boostloss.report import numbers
from boostloss.report.new_rows import BadInput

MAX_CLASSES = 30


class Labels(NamedTuple):
    """Labels of the rows that have one, these rows, and what was assumed."""

    y: Array
    has_label: Array
    notes: list[str]


def read_labels(
    column: Any, name: str, *, missing: frozenset[str] = frozenset(), drop_unlabelled: bool = False,
    decimal: str = ".", where: Callable[[int], str] = "row {}".format,
) -> Labels:  # fmt: skip
    """Read a target.

    Texts lose the spaces around them. If all are numbers (1 and 1.0 are the same), or all true or
    false, they are labels of that type. Only an empty cell, or a text in ``missing``, is no label.

    Parameters
    ----------
    column : pandas.Series
    name : str
    missing : frozenset of str
        Texts that mean that a row has no label. "None" and "NA" are labels otherwise.
    drop_unlabelled : bool, default=False
        Leave out rows without a label, where they raise otherwise.
    decimal : {".", ","}, default="."
    where : callable
        Says where a row is in the file.

    Raises
    ------
    BadInput
        It says which rows.
    """
    pd = require("pandas", "report")
    notes: list[str] = []
    kinds = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if kinds.is_object_dtype(column) or kinds.is_string_dtype(column):
        column, notes = _stripped(column, name)
        column = column.where(~column.isin(list(missing | {""})), None)
    has_label = column.notna().to_numpy()
    if not has_label.all():
        rows = np.flatnonzero(~has_label)
        if not drop_unlabelled:
            raise BadInput(
                f"target {name!r} must have a label in every row, {len(rows):,} have none "
                f"({_places(rows, where)}): use --drop-unlabelled to leave them out"
            )
        notes.append(f"left out: {len(rows):,} rows without a label")
    y = _typed(column[has_label], name, decimal, np.flatnonzero(has_label), where)
    _check_number_of_classes(y, name)
    return Labels(y, has_label, notes + _alike(y, name))


def check_enough(labels: Array, codes: Array, least: int, where: Callable[[int], str]) -> None:
    """Raise an error for classes with too few rows for every fold, which may be typing errors."""
    counts = np.bincount(codes, minlength=len(labels))
    rare = [k for k in np.argsort(counts, kind="stable") if counts[k] < least]
    if not rare:
        return
    said = [
        f"{labels[k : k + 1].tolist()[0]!r} has {counts[k]} "
        f"({_places(np.flatnonzero(codes == k), where)})"
        for k in rare[:5]
    ]
    raise ValueError(
        f"folds must be at most the number of rows of each class, got {least}; label "
        f"{', label '.join(said)}: is it a typing error?"
    )


def _places(rows: Array, where: Callable[[int], str]) -> str:
    shown = ", ".join(where(int(row)) for row in rows[:3])
    return shown + (", ..." if len(rows) > 3 else "")


def _stripped(column: Any, name: str) -> tuple[Any, list[str]]:
    """Return strings without spaces around them, and a note on how many had some."""
    text = column.map(lambda label: label.strip() if isinstance(label, str) else label)
    padded = int(((text != column) & column.notna()).sum())
    notes = [f"target {name}: spaces removed around {padded:,} labels"] if padded else []
    return text, notes


def _typed(column: Any, name: str, decimal: str, rows: Array, where: Callable[[int], str]) -> Array:
    """Return the labels as booleans, integers, floats or strings."""
    kinds = require("pandas", "report").api.types
    values: Array = column.to_numpy()
    of_types = {type(label) for label in values} if values.dtype == object else set()
    if kinds.is_bool_dtype(column) or (of_types and of_types <= {bool, np.bool_}):
        return values.astype(bool)
    if kinds.is_numeric_dtype(column):
        return _whole(values.astype(np.float64))
    if all(issubclass(kind, int | float | np.number) for kind in of_types) and of_types:
        return _whole(values.astype(np.float64))
    return _typed_texts(values.astype(str).astype(object), name, decimal, rows, where)


def _typed_texts(
    values: Array, name: str, decimal: str, rows: Array, where: Callable[[int], str]
) -> Array:
    texts, places = np.unique(values, return_inverse=True)
    if len(texts) and {text.lower() for text in texts} <= {"true", "false"}:
        are_true: Array = np.array([text.lower() == "true" for text in texts])[places]
        return are_true
    try:
        parsed = numbers.parse(texts.tolist(), decimal, decimal_given=True)
    except numbers.Ambiguous:
        return values
    if parsed.is_number.all() and not parsed.remarks and np.isfinite(parsed.values).all():
        return _whole(parsed.values[places])
    stray = ~parsed.is_number[places]
    if parsed.is_number.sum() >= 2 and 0 < stray.sum() < 0.1 * len(values):
        strays = texts[~parsed.is_number]
        raise BadInput(
            f"target {name!r} contains the numbers {_listed(texts[parsed.is_number])} and, in "
            f"{stray.sum():,} rows, {_listed(strays)} ({_places(rows[stray], where)}): use "
            f"--missing {strays[0]!r} if that means missing"
        )
    return values


def _listed(texts: Array) -> str:
    return ", ".join(map(str, texts[:5])) + (", ..." if len(texts) > 5 else "")


def _whole(values: Array) -> Array:
    """Return the values as integers if all are whole numbers."""
    whole = np.isfinite(values).all() and bool((values == np.trunc(values)).all())
    return values.astype(np.int64) if whole and np.abs(values).max(initial=0) < 2**53 else values


def _check_number_of_classes(y: Array, name: str) -> None:
    classes = np.unique(y)
    if len(classes) < 2:
        given = f"only {classes.tolist()[0]!r}" if len(classes) else "no rows"
        raise BadInput(f"target {name!r} must have at least two classes, got {given}")
    if len(classes) > MAX_CLASSES:
        raise BadInput(
            f"target {name!r} must have at most {MAX_CLASSES} classes; it has {len(classes):,} "
            f"different values such as {', '.join(map(str, classes[:3].tolist()))}"
        )


def _alike(y: Array, name: str) -> list[str]:
    """Return a note if labels differ in upper and lower case only."""
    texts = [label for label in np.unique(y).tolist() if isinstance(label, str)]
    lower = [text.casefold() for text in texts]
    alike = [text for text, low in zip(texts, lower, strict=True) if lower.count(low) > 1]
    if not alike:
        return []
    return [
        f"target {name}: {', '.join(alike)} are different classes, though they differ in case only"
    ]
