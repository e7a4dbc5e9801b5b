"""Read and check a data file and its target; every error is one line that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boostloss.optional import require

MAX_CLASSES, MAX_CATEGORIES = 30, 1000


class BadInput(ValueError):
    """Something in the user's file or options that the user can fix."""


class Table(NamedTuple):
    """Features, target, and groups (or None)."""

    X: Any
    y: Any
    groups: Any


def read(
    path: Path,
    target: str,
    *,
    groups: str | None = None,
    time: str | None = None,
    drop: list[str] | None = None,
) -> Table:
    """Features and target from a CSV or Parquet file.

    Parameters
    ----------
    path : path
    target : str
        Column of the labels.
    groups : str, optional
        Column whose equal values must not be in both training and test; not a feature.
    time : str, optional
        Column by which rows are sorted; not a feature.
    drop : list of str, optional
        Columns to leave out.

    Raises
    ------
    BadInput
        Naming the file or column, and what is allowed.
    """
    frame = _frame(path)
    names = list(frame.columns)
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"columns must have different names, got more than one {', '.join(twice)}")
    options = [("target", target), ("groups", groups), ("time-order", time)]
    options += [("drop", column) for column in drop or []]
    others = {column for _, column in options if column is not None}
    for option, column in options:
        if column is not None and column not in names:
            raise BadInput(
                f"--{option} must be a column of {path}, got {column!r}; it has "
                f"{', '.join(map(str, names[:20]))}{', ...' if len(names) > 20 else ''}"
            )
    if time is not None:
        frame = _in_order(frame, time)
    y = _target(frame[target], target)
    codes = None
    if groups is not None:
        codes = require("pandas", "report").factorize(frame[groups])[0]
    X = frame.drop(columns=list(others))
    if X.shape[1] == 0:
        raise BadInput(f"{path} must have features besides {', '.join(sorted(others))}, got none")
    return Table(_features(X), y, codes)


def _frame(path: Path) -> Any:
    pd = require("pandas", "report")
    if not path.is_file():
        raise BadInput(f"{path} must be a CSV or Parquet file, got no such file")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        # pandas would rename columns of equal names
        options = {"header": None, "nrows": 1, "dtype": str, "keep_default_na": False}
        header = pd.read_csv(path, **options).iloc[0].tolist()
        frame = pd.read_csv(path)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(f"{path} cannot be read as CSV or Parquet: {reason[0]}") from error
    if "" in header:
        raise BadInput(
            f"columns of {path} must have names, column {header.index('') + 1} has none; "
            "if it is a saved index, write the file without it"
        )
    if len(header) == frame.shape[1]:
        frame.columns = [str(name) for name in header]
    return frame


def _in_order(frame: Any, time: str) -> Any:
    """Rows sorted by a column of numbers, times or ISO dates."""
    pd = require("pandas", "report")
    when = frame[time]
    if when.isna().any():
        raise BadInput(f"--time-order {time!r} must have a time in every row, some have none")
    if not (pd.api.types.is_numeric_dtype(when) or pd.api.types.is_datetime64_any_dtype(when)):
        try:
            when = pd.to_datetime(when, format="ISO8601", utc=True)
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"--time-order {time!r} must contain numbers, times or dates such as 2024-01-31, "
                f"got {frame[time].iloc[0]!r}"
            ) from error
    return frame.loc[when.sort_values(kind="stable").index].reset_index(drop=True)


def _target(column: Any, name: str) -> Any:
    if column.isna().any():
        rows = int(column.isna().sum())
        raise BadInput(f"target {name!r} must have a label in every row, {rows} have none")
    values = column.nunique()
    if values < 2:
        given = f"only {column.iloc[0]!r}" if len(column) else "no rows"
        raise BadInput(f"target {name!r} must have at least two classes, got {given}")
    if values > MAX_CLASSES:
        raise BadInput(
            f"target {name!r} must have at most {MAX_CLASSES} classes; it has {values:,} "
            "different values"
        )
    return column.to_numpy()


def _features(X: Any) -> Any:
    pd = require("pandas", "report")
    X = X.copy()
    for name in X.columns:
        column = X[name]
        kinds = pd.api.types
        if kinds.is_bool_dtype(column) or kinds.is_numeric_dtype(column):
            if kinds.is_extension_array_dtype(column) or kinds.is_complex_dtype(column):
                X[name] = column.astype(np.float64)
            continue
        if kinds.is_datetime64_any_dtype(column) or kinds.is_timedelta64_dtype(column):
            raise BadInput(
                f"column {name!r} contains times: use --time-order {name} or --drop {name}, or "
                "convert them to numbers"
            )
        values = column.nunique()
        if values > MAX_CATEGORIES or values > max(20, len(column) // 2):
            raise BadInput(
                f"column {name!r} contains {values:,} different strings, too many for a "
                f"category: use --drop {name}"
            )
        X[name] = column.astype("category")
    return X
