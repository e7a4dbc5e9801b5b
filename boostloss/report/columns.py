"""Decide how to read each column of a frame as a feature, and describe it in words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from boostloss.optional import require
from boostloss.report import numbers
from boostloss.report.new_rows import BadInput, category_name

MAX_CATEGORIES = 1000
MANY_NUMBERS = 20
"""A text column with more distinct numbers than this contains numbers. Other strings are errors."""

MISSING = (
    "?", ".", "-", "--", "NA", "N/A", "n/a", "na", "nan", "NaN", "-nan", "-NaN", "NULL", "Null",
    "null", "None", "<NA>", "NaT", "#N/A", "#NA", "#N/A N/A", "#DIV/0!", "#VALUE!", "#REF!",
    "#NUM!", "#NAME?", "#NULL!", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
"""Strings that mean missing in a feature, unless the user names others."""

DATE = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3\d{4}|\d\d?/\d\d?/\d\d)([ T]\d{1,2}:.*)?"
)
ISO_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:.*)?")
REFUSED_BY_ENGINES = re.compile(r'[\[\]{}<>,":\x00-\x1f]')
"""XGBoost refuses brackets and <, and LightGBM refuses the special characters of JSON."""


@dataclass(frozen=True)
class Reading:
    """The user's options for reading columns."""

    missing: tuple[str, ...] | None = None
    """Strings that mean missing, instead of the usual ones."""

    categories: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    decimal: str = "."
    decimal_given: bool = False
    from_command: bool = True
    """Whether messages name options of the command line instead of changes to a frame."""

    @property
    def means_missing(self) -> frozenset[str]:
        """Strings that mean missing in a feature."""
        return frozenset({"", *(MISSING if self.missing is None else self.missing)})

    def fix(self, *, command: str, python: str) -> str:
        """Return what to do, for a user of the command line or of Python."""
        return f"use {command}" if self.from_command else python


class Column(NamedTuple):
    """How one column was read."""

    name: str
    kind: str
    """numbers, true/false, categories or left out."""

    remark: str
    """What was missing, removed or assumed."""

    inside: str
    """Its name in the model, which differs if an engine refuses the name in the file."""

    how: dict[str, Any]
    """How ``new_rows.features`` reads it in the same way; empty if it is left out."""


class Features(NamedTuple):
    """The columns that are features, and how all of them were read."""

    X: Any
    columns: list[Column]

    @property
    def renamed(self) -> dict[str, str]:
        """Map names in the file to names in the model, for columns whose names differ."""
        return {c.name: c.inside for c in self.columns if c.inside and c.name != c.inside}


@dataclass
class _Read:
    """A column's values and its description. ``values`` is None if the column is left out."""

    values: Any
    kind: str
    remarks: list[str] = field(default_factory=list)
    how: dict[str, Any] = field(default_factory=dict)
    """How new rows are read; by default as numbers or true/false, without a sign."""


class _Problem(Exception):
    """The user must decide how to read a column."""


def read_columns(frame: Any, reading: Reading) -> Features:
    """Read every column as numbers, true/false or categories.

    Parameters
    ----------
    frame : pandas.DataFrame
    reading : Reading

    Raises
    ------
    BadInput
        Naming all columns that can be read in several ways, and what to do.
    """
    pd = require("pandas", "report")
    read: dict[str, _Read] = {}
    problems = []
    for position, name in enumerate(frame.columns):
        try:
            read[str(name)] = _read(frame.iloc[:, position], str(name), reading)
        except _Problem as problem:
            problems.append(str(problem))
    if problems:
        raise BadInput("; ".join(problems))
    kept = {name: column for name, column in read.items() if column.values is not None}
    inside = dict(zip(kept, names_for_engines(kept), strict=True))
    X = pd.DataFrame({inside[name]: column.values for name, column in kept.items()})
    columns = [
        Column(
            name, column.kind, "; ".join(_with_name(column.remarks, name, inside.get(name, name))),
            inside.get(name, ""), _how(column, inside[name]) if name in inside else {},
        )
        for name, column in read.items()
    ]  # fmt: skip
    return Features(X, columns)


def _how(column: _Read, inside: str) -> dict[str, Any]:
    """Return how new rows are read."""
    sign = {"sign": ""} if column.kind == "numbers" else {}
    return {"inside": inside, **sign, **(column.how or {"kind": column.kind})}


def _with_name(remarks: list[str], name: str, inside: str) -> list[str]:
    return remarks if inside == name else [*remarks, f"called {inside!r} in the model"]


def names_for_engines(names: Iterable[str]) -> list[str]:
    """Return distinct names that both engines accept. LightGBM replaces spaces by "_"."""
    given = list(names)
    kept = {_joined(name) for name in given if not REFUSED_BY_ENGINES.search(name)}
    found: list[str] = []
    used: set[str] = set()
    for i, name in enumerate(given):
        safe = REFUSED_BY_ENGINES.sub("_", name).strip() or f"column_{i + 1}"
        others = used if safe == name else used | kept
        if safe != name or _joined(safe) in used:
            safe = _joined(safe)
        first, k = safe, 1
        while _joined(safe) in others:
            k += 1
            safe = f"{first}_{k}"
        found.append(safe)
        used.add(_joined(safe))
    return found


def _joined(name: str) -> str:
    return re.sub(r"\s", "_", name)


def _read(column: Any, name: str, reading: Reading) -> _Read:
    pd = require("pandas", "report")
    kinds = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype) and name not in reading.numbers:
        return _categories(column, name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if not kinds.is_object_dtype(column) and not kinds.is_string_dtype(column):
        return _typed(column, name, reading)
    found = kinds.infer_dtype(column, skipna=True)
    if found in ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty"):
        return _typed(column.astype(np.float64), name, reading, kind=_KINDS.get(found, "numbers"))
    if found in ("date", "datetime", "datetime64", "timedelta", "timedelta64"):
        convert = pd.to_timedelta if found.startswith("timedelta") else pd.to_datetime
        return _typed(convert(column), name, reading)
    types = {type(value) for value in column.dropna()}
    if not all(issubclass(kind, str | bool | int | float | np.generic) for kind in types):
        given = ", ".join(sorted(kind.__name__ for kind in types))
        raise _Problem(
            f"column {name!r} contains cells of type {given}, which are neither numbers nor text: "
            + reading.fix(command=f"--drop {quoted(name)}", python="leave it out of X")
        )
    return _text(column, name, reading)


_KINDS = {"boolean": "true/false"}


def _typed(column: Any, name: str, reading: Reading, kind: str = "numbers") -> _Read:
    """Read a column of numbers, booleans, times or durations."""
    pd = require("pandas", "report")
    kinds = pd.api.types
    if kinds.is_datetime64_any_dtype(column):
        return _times(column, name, reading)
    remarks, how = [], {}
    if kinds.is_timedelta64_dtype(column):
        column, remarks = column / pd.Timedelta(days=1), ["durations in days"]
        how = {"kind": "durations"}
    if kinds.is_bool_dtype(column):
        kind = "true/false"
    if not (kinds.is_numeric_dtype(column) or kinds.is_bool_dtype(column)):
        raise _Problem(
            f"column {name!r} has the type {column.dtype}, which no engine accepts: "
            + reading.fix(command=f"--drop {quoted(name)}", python="leave it out of X")
        )
    if kinds.is_complex_dtype(column):
        raise _Problem(f"column {name!r} contains complex numbers, which no engine accepts")
    if name in reading.categories:
        return _categories(column.astype(object).map(category_name, na_action="ignore"), name)
    if kinds.is_extension_array_dtype(column):
        column = column.astype(np.float64)
    return _numbers(column, kind, remarks, how)


def _numbers(
    column: Any, kind: str, remarks: list[str], how: dict[str, Any] | None = None
) -> _Read:
    """Read numbers. Infinite ones are read as missing, since XGBoost refuses them."""
    values = column.to_numpy()
    if values.dtype.kind == "f":
        infinite = int(np.isinf(values).sum())
        if infinite:
            column = column.where(np.isfinite(values))
            remarks = [*remarks, f"{infinite:,} infinite read as missing"]
        missing = int(column.isna().sum())
        if missing == len(column):
            return _Read(None, "left out", [*remarks, "empty"])
        if missing - infinite:
            remarks = [f"{missing - infinite:,} missing", *remarks]
    if len(column) and column.nunique(dropna=False) == 1:
        remarks = [*remarks, "constant"]
    return _Read(column, kind, remarks, how or {})


def _times(column: Any, name: str, reading: Reading) -> _Read:
    pd = require("pandas", "report")
    if column.isna().all():
        return _Read(None, "left out", ["empty"])
    if name not in reading.numbers:
        raise _Problem(
            f"column {name!r} contains times: "
            + reading.fix(
                command=f"--time-order {quoted(name)}, --drop {quoted(name)} or "
                f"--numbers {quoted(name)} (days since 1970)",
                python="leave it out of X or convert it to numbers",
            )
        )
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert(None)
    days = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return _numbers(days.astype(np.float64), "numbers", ["days since 1970"], {"kind": "dates"})


class _Texts(NamedTuple):
    """Distinct strings of a column, their counts, and the index of each row's string or -1."""

    texts: list[str]
    counts: Any
    places: Any

    def spread(self, values: Any) -> Any:
        """Return a value for each row from one for each string; NaN for rows without a string."""
        return np.append(np.asarray(values, np.float64), np.nan)[self.places]


def _text(column: Any, name: str, reading: Reading) -> _Read:
    found, remarks = _stripped(column, reading)
    if not found.texts:
        return _Read(None, "left out", [*remarks, "empty"])
    as_category = name in reading.categories
    if not as_category and {text.lower() for text in found.texts} <= {"true", "false"}:
        values = found.spread([text.lower() == "true" for text in found.texts])
        return _Read(_series(values, column), "true/false", remarks)
    if not as_category:
        if all(map(DATE.fullmatch, found.texts)):
            return _text_of_dates(column, name, reading, remarks)
        read = _text_of_numbers(column, name, reading, found, remarks)
        if read is not None:
            return read
    pd = require("pandas", "report")
    texts = np.array([*found.texts, None], dtype=object)[found.places]
    return _categories(pd.Series(texts, index=column.index), name, remarks, reading)


def _series(values: Any, like: Any) -> Any:
    return require("pandas", "report").Series(values, index=like.index)


def _stripped(column: Any, reading: Reading) -> tuple[_Texts, list[str]]:
    """Return the strings without spaces around them, and without those that mean missing."""
    pd = require("pandas", "report")
    places, raw = pd.factorize(column)
    counts = np.bincount(places[places >= 0], minlength=len(raw))
    bare = [str(text).strip() for text in raw]
    padded = sum(int(n) for text, old, n in zip(bare, raw, counts, strict=True) if text != str(old))
    missing = {text: 0 for text in bare if text in reading.means_missing}
    new: dict[str, int] = {}
    move = [-1 if text in missing else new.setdefault(text, len(new)) for text in bare]
    for text, n in zip(bare, counts, strict=True):
        if text in missing:
            missing[text] += int(n)
    places = np.append(move, -1)[places].astype(np.intp)
    counts = np.bincount(places[places >= 0], minlength=len(new))
    remarks = []
    blank = int((places < 0).sum()) - sum(n for text, n in missing.items() if text)
    if blank:
        remarks.append(f"{blank:,} missing")
    remarks += [f"{n:,} {text!r} read as missing" for text, n in missing.items() if text]
    if padded:
        remarks.append(f"spaces removed in {padded:,}")
    return _Texts(list(new), counts, places), remarks


def _text_of_numbers(
    column: Any, name: str, reading: Reading, found: _Texts, remarks: list[str]
) -> _Read | None:
    """Read numbers; return None if the strings are not numbers."""
    try:
        parsed = numbers.parse(found.texts, reading.decimal, decimal_given=reading.decimal_given)
    except numbers.Ambiguous as error:
        fix = reading.fix(command="--decimal , or --decimal . (1,234 is 1234)",
                          python="convert it to numbers")  # fmt: skip
        if "unit" in str(error):
            fix = reading.fix(command=f"one unit, or --categories {quoted(name)}",
                              python="convert it to numbers")  # fmt: skip
        raise _Problem(f"column {name!r}: {error}: {fix}") from error
    if reading.decimal == "." and numbers.has_decimal_commas(found.texts):
        comma = next(text for text in found.texts if "," in text)
        fix = reading.fix(command="--decimal ,", python="convert it to numbers")
        raise _Problem(f"column {name!r} has decimal commas, such as {comma!r}: {fix}")
    strays = [i for i in np.argsort(-found.counts, kind="stable") if not parsed.is_number[i]]
    n_rows = int(found.counts[strays].sum())
    if strays and name not in reading.numbers:
        n_numbers = len(found.texts) - len(strays)
        if n_numbers <= MANY_NUMBERS or n_rows > 0.5 * found.counts.sum():
            return None
        shown = [found.texts[i] for i in strays]
        raise _Problem(
            f"column {name!r} contains numbers and, in {n_rows:,} rows, {_listed(shown, repr)}: "
            + reading.fix(
                command=f"--missing {' '.join(map(quoted, shown[:3]))} if that means missing, "
                f"--numbers {quoted(name)} if any other text is, or --categories {quoted(name)}",
                python="convert it to numbers or to a category",
            )
        )
    if 2 * n_rows > found.counts.sum():
        strings = _listed([found.texts[i] for i in strays], repr)
        raise _Problem(
            f"column {name!r} must contain numbers because of --numbers, got other strings in "
            f"{n_rows:,} of {found.counts.sum():,} rows, {strings}: use --decimal if these are "
            f"numbers, --categories {quoted(name)} or --drop {quoted(name)}"
        )
    if strays:
        remarks = [*remarks, f"{n_rows:,} other strings read as missing"]
    values = _series(found.spread(parsed.values), column)
    read = _numbers(values, "numbers", [])
    said = [remark for remark in read.remarks if not remark.endswith(" missing")]
    has_commas = any("," in found.texts[i] for i in np.flatnonzero(parsed.is_number))
    how: dict[str, Any] = {"kind": "numbers", "sign": parsed.sign}
    if reading.decimal == ".":
        how["thousands"] = reading.decimal_given or has_commas
    return _Read(read.values, read.kind, [*remarks, *parsed.remarks, *said], how)


def _text_of_dates(column: Any, name: str, reading: Reading, remarks: list[str]) -> _Read:
    pd = require("pandas", "report")
    missing = column.isna() | column.isin(list(reading.means_missing))
    text = column.astype(object).where(~missing, None)
    texts = [str(value).strip() for value in text.dropna().unique()]
    if name in reading.numbers and not all(map(ISO_DATE.fullmatch, texts)):
        raise _Problem(
            f"column {name!r} contains dates such as {texts[0]!r}, whose day and month are not "
            "certain: write them as 2024-01-31"
        )
    if name not in reading.numbers:
        return _times(pd.Series(pd.Timestamp(0), index=column.index), name, reading)
    read = _times(pd.to_datetime(text, format="ISO8601", utc=True), name, reading)
    said = [remark for remark in read.remarks if not remark.endswith(" missing")]
    return _Read(read.values, read.kind, [*remarks, *said], read.how)


def _categories(
    column: Any, name: str, remarks: list[str] | None = None, reading: Reading | None = None
) -> _Read:
    """Read categories. ``reading`` is given if the column could be something else."""
    n_rows = int(column.notna().sum())
    if not n_rows:
        return _Read(None, "left out", [*(remarks or []), "empty"])
    values = int(column.nunique())
    is_guess = reading is not None and name not in reading.categories
    if reading is not None and is_guess and values > min(MAX_CATEGORIES, max(20, n_rows // 2)):
        raise _Problem(
            f"column {name!r} contains {values:,} different strings, too many for a category: "
            + reading.fix(command=f"--drop {quoted(name)}", python="leave it out of X")
        )
    column = column.astype("category").cat.remove_unused_categories()
    if not all(isinstance(value, str | int | float) for value in column.cat.categories.tolist()):
        column = column.cat.rename_categories(column.cat.categories.map(str))
    names = column.cat.categories.map(category_name)
    if not names.is_unique:
        same = names[names.duplicated()][0]
        raise _Problem(f"column {name!r} contains different categories that read {same!r}")
    known = column.cat.categories.tolist()
    said = list(remarks or [])
    missing = len(column) - n_rows
    if missing and not remarks:
        said.append(f"{missing:,} missing")
    said.insert(0, f"{values}: {_listed(known, str)}")
    return _Read(column, "categories", said, {"kind": "categories", "categories": known})


def _listed(values: list[Any], show: Any, most: int = 4) -> str:
    shown = ", ".join(show(value) for value in values[:most])
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")


def quoted(text: str) -> str:
    """A text as a shell takes it for one word."""
    return shlex.quote(text)
