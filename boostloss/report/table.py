"""Collect the features, labels, groups and weights of a comparison, from a file or Python."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from boostloss.labels import check_features
from boostloss.losses.validation import Array
from boostloss.optional import refuse_distributed, require
from boostloss.report.columns import Column, Reading, quoted, read_columns
from boostloss.report.labels import read_labels
from boostloss.report.new_rows import BadInput
from boostloss.report.source import Format, Source, read_file

DAY_OR_MONTH_FIRST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(.*)")
"""17/01/2024, 1/17/2024 or 17.1.2024 12:30."""


@dataclass
class Table:
    """The data of a comparison, and how they were read."""

    X: Any
    y: Any
    groups: Any = None
    weight: Any = None
    columns: list[Column] = field(default_factory=list)
    """How each feature was read."""

    roles: dict[str, str] = field(default_factory=dict)
    """Columns that are not features: target, weight, groups, time, dropped."""

    notes: list[str] = field(default_factory=list)
    """One sentence for each omission or assumption."""

    how: str = ""
    """Name and format of the file."""

    form: Format | None = None
    """Format of a CSV file."""

    reading: Reading = field(default_factory=Reading)
    """How columns were read where that is not certain."""

    sha256: str = ""
    """Hash of the file's bytes."""

    @property
    def from_file(self) -> bool:
        """Whether the command read it, so that messages name its options."""
        return bool(self.how)

    where: Callable[[int], str] = "row {}".format
    """Returns the place of a row in the source."""


def read(
    path: Path,
    target: str,
    *,
    groups: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    drop: list[str] | None = None,
    drop_unlabelled: bool = False,
    form: Format | None = None,
    reading: Reading | None = None,
) -> Table:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path : path
    target : str
        Column of the labels.
    groups : str, optional
        Column whose equal values must not be in both training and test; not a feature.
    time : str, optional
        Column by which rows are sorted; not a feature.
    weight : str, optional
        Column of the rows' weights in training, early stopping and metrics; not a feature.
    drop : list of str, optional
        Columns to leave out.
    drop_unlabelled : bool, default=False
        Leave out rows without a label.
    form : Format, optional
        Separator, decimal mark and encoding of a CSV file.
    reading : Reading, optional
        How columns are read where that is not certain.

    Raises
    ------
    BadInput
        Naming the file or column, and what is allowed.
    """
    form, reading = form or Format(), reading or Reading()
    as_text = (target, *reading.categories, *([groups] if groups else []))
    source = read_file(path, form, as_text)
    if form.decimal or source.decimal != ".":
        reading = replace(reading, decimal=source.decimal, decimal_given=True)
    roles = _roles(source, path, reading, target=target, groups=groups, time=time, weight=weight,
                   drop=drop or [])  # fmt: skip
    if time is not None:
        source = _in_order(source, time, reading)
    labels = read_labels(
        source.frame[target], target, missing=frozenset(reading.missing or ()),
        drop_unlabelled=drop_unlabelled, decimal=reading.decimal, where=_where(source.lines),
    )  # fmt: skip
    source = source.rows(np.flatnonzero(labels.has_label))
    frame, where = source.frame, _where(source.lines)
    X = frame.drop(columns=list(roles))
    if X.shape[1] == 0:
        raise BadInput(f"{path} must have features besides {', '.join(sorted(roles))}, got none")
    features = read_columns(X, reading)
    if features.X.shape[1] == 0:
        raise BadInput(f"{path} must have features, got empty columns only")
    return Table(
        features.X, labels.y,
        None if groups is None else _groups(frame[groups], reading),
        None if weight is None else _weights(frame[weight], weight, where),
        features.columns, roles, source.notes + labels.notes,
        f"{path.name}: {source.how}", source.form, reading, _sha256(path), where,
    )  # fmt: skip


def from_data(X: Any, y: Any, groups: Any = None, weight: Any = None) -> Table:
    """Create a table from the arguments of :func:`boostloss.compare`.

    Raises
    ------
    ValueError, TypeError
        If a column cannot be used. The message names it and says what to do.
    """
    refuse_distributed("X", X)
    X = _as_frame(X)
    if not hasattr(X, "iloc"):
        X = check_features(X)
        X, notes = _without_infinity(X)
        return Table(X, y, groups, weight, notes=notes)
    names = [str(name) for name in X.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"columns of X must have different names, got twice: {', '.join(twice)}")
    check_features(X)
    features = read_columns(X, Reading(from_command=False))
    if features.X.shape[1] == 0:
        raise ValueError("X must have columns that are not empty, got none")
    notes = [
        f"left out: column {column.name!r} ({column.remark})"
        if column.kind == "left out"
        else f"column {column.name!r}: {column.remark}"
        for column in features.columns
        if column.kind == "left out" or "infinite" in column.remark
    ]
    return Table(features.X, y, groups, weight, features.columns, notes=notes)


def _as_frame(X: Any) -> Any:
    """Convert frames of other packages and arrays of objects to pandas; return others unchanged."""
    if hasattr(type(X), "to_pandas"):
        return X.to_pandas()
    if isinstance(X, list | tuple):
        X = np.asarray(X, dtype=_common_type(X))
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUS":
        return require("pandas", "report").DataFrame(X).infer_objects()
    return X


def _common_type(rows: Any) -> Any:
    """Return object if a list contains text, since NumPy would convert its numbers to text."""
    has_text = any(isinstance(row, list | tuple) and any(isinstance(c, str) for c in row)
                   for row in rows)  # fmt: skip
    return object if has_text else None


def _without_infinity(X: Any) -> tuple[Any, list[str]]:
    """Replace infinite values by NaN, since XGBoost refuses them."""
    if not isinstance(X, np.ndarray) or X.dtype.kind != "f":
        return X, []
    infinite = np.isinf(X)
    if not infinite.any():
        return X, []
    columns = np.flatnonzero(infinite.any(axis=0)).tolist()
    note = f"{infinite.sum():,} infinite values read as missing, in columns {columns[:10]} of X"
    return np.where(infinite, np.nan, X), [note]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _where(lines: Any) -> Callable[[int], str]:
    return "row {}".format if lines is None else lambda row: f"line {lines[row]}"


def _roles(
    source: Source, path: Path, reading: Reading, *, target: str, groups: str | None,
    time: str | None, weight: str | None, drop: list[str],
) -> dict[str, str]:  # fmt: skip
    """Return the columns that are not features, and why. All named columns must exist."""
    names = [str(name) for name in source.frame.columns]
    single = {"target": target, "groups": groups, "time-order": time, "weight": weight}
    options = [(option, name) for option, name in single.items() if name is not None]
    drop = [name for name in drop if name not in source.row_numbers]
    options += [("drop", name) for name in drop]
    others = [("categories", name) for name in sorted(reading.categories)]
    others += [("numbers", name) for name in sorted(reading.numbers)]
    for option, name in options + others:
        if name not in names:
            raise BadInput(
                f"--{option} must be a column of {path}, got {name!r}; it has "
                f"{', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
            )
    _check_once(options + others)
    said = {name for _, name in options + others}
    for name, what in source.unnamed.items():
        if name not in said:
            raise BadInput(
                f"columns of {path} must have names, {what}: use --drop {quoted(name)} to leave it "
                f"out, or --numbers or --categories {quoted(name)} to keep it"
            )
    return {name: option for option, name in options}


def _check_once(options: list[tuple[str, str]]) -> None:
    """Raise an error for a column that several options name."""
    jobs: dict[str, str] = {}
    for option, name in options:
        if name in jobs and jobs[name] != option:
            raise BadInput(f"--{option} must be another column than --{jobs[name]}, got {name!r}")
        jobs[name] = option


def _in_order(source: Source, time: str, reading: Reading) -> Source:
    """Sort the rows by a column of numbers, times or dates."""
    pd = require("pandas", "report")
    when, where = source.frame[time], _where(source.lines)
    if when.isna().any():
        row = int(np.flatnonzero(when.isna())[0])
        raise BadInput(
            f"--time-order {time!r} must have a time in every row, {where(row)} has none"
        )
    if not (pd.api.types.is_numeric_dtype(when) or pd.api.types.is_datetime64_any_dtype(when)):
        dates, notes = _iso_dates(when.astype(str).str.strip(), time)
        source = replace(source, notes=source.notes + notes)
        when = pd.to_datetime(dates, format="ISO8601", utc=True, errors="coerce")
    if when.isna().any():
        row = int(np.flatnonzero(when.isna())[0])
        raise BadInput(
            f"--time-order {time!r} must contain numbers, times or dates, got "
            f"{source.frame[time].iloc[row]!r} on {where(row)}: write dates as 2024-01-31"
        )
    order = np.argsort(when.to_numpy(), kind="stable")
    return source.rows(order)


def _iso_dates(texts: Any, time: str) -> tuple[Any, list[str]]:
    """Write dates with the year first if all rows together show which number is the day."""
    parts = [DAY_OR_MONTH_FIRST.fullmatch(text) for text in texts]
    found = [part for part in parts if part is not None]
    if not found:
        return texts, []
    is_day = [max(int(part[place]) for part in found) > 12 for place in (1, 3)]
    example = found[0][0]
    if is_day[0] == is_day[1]:
        raise BadInput(
            f"--time-order {time!r} contains dates such as {example!r}, whose day and month are "
            "not certain: write them as 2024-01-31"
        )
    day, month = (1, 3) if is_day[0] else (3, 1)
    dates = [
        text if part is None else f"{part[4]}-{part[month]:0>2}-{part[day]:0>2}{part[5]}"
        for text, part in zip(texts, parts, strict=True)
    ]
    first = "day" if is_day[0] else "month"
    note = f"{time}: the {first} comes first in dates such as {example}"
    return require("pandas", "report").Series(dates), [note]


def _groups(column: Any, reading: Reading) -> Any:
    """Return groups without spaces around their names, and None for rows without one."""
    text = column.astype(object).map(lambda g: g.strip() if isinstance(g, str) else g)
    return text.where(text.notna() & ~text.isin(list(reading.means_missing)), None)


def _weights(column: Any, name: str, where: Callable[[int], str]) -> Array:
    values: Array = (
        require("pandas", "report").to_numeric(column, errors="coerce").to_numpy(np.float64)
    )
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(bad):
        raise BadInput(
            f"--weight {name!r} must contain numbers >= 0 in every row, got "
            f"{column.iloc[bad[0]]!r} on {where(int(bad[0]))}"
        )
    return values


def describe(table: Table, shape: tuple[int, ...], classes: Mapping[str, int]) -> list[str]:
    """Describe in lines the rows, the classes, how columns were read, and what was left out."""
    n_rows = sum(classes.values())
    counts = ", ".join(
        f"{name} {count:,} ({count / n_rows:.2%})" for name, count in classes.items()
    )
    lines = [f"{table.how or 'data'}; {n_rows:,} rows, {shape[1]:,} features", f"classes: {counts}"]
    by_kind: dict[str, list[str]] = {}
    for column in table.columns:
        remark = f" ({column.remark})" if column.remark else ""
        by_kind.setdefault(column.kind, []).append(column.name + remark)
    for kind, names in by_kind.items():
        lines.append(f"{kind}: {_shortened(names)}")
    if table.roles:
        said = [f"{name} (--{option})" for name, option in table.roles.items()]
        lines.append(f"not features: {_shortened(said)}")
    return lines + table.notes


def _shortened(names: list[str], most: int = 20) -> str:
    """Join the first names, and always those with a remark."""
    if len(names) <= most:
        return ", ".join(names)
    shown = [name for i, name in enumerate(names) if i < most or name.endswith(")")]
    hidden = len(names) - len(shown)
    return ", ".join(shown) + (f" and {hidden:,} more" if hidden else "")
