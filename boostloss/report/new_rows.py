"""Read the rows of a file, and make features of new rows as a comparison did of its own.

``use_model.py`` contains a copy of this file and of ``numbers.py``, from the mark on. It runs
without boostloss, so that below the mark only the imports of its head and pandas are used.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import lzma
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boostloss.report.numbers import Ambiguous, has_decimal_commas, parse

# use_model.py contains a copy of what follows

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress,
}  # fmt: skip
PARQUET = (".parquet", ".pq")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class BadInput(ValueError):
    """A problem in the file or the options that the user can fix."""


class WrongEncoding(BadInput):
    """The bytes of a file are not text in the encoding."""


def text_of_file(path: Path, encoding: str | None) -> tuple[str, str]:
    """Return the text of a file with plain line ends, and its encoding."""
    data = _unpacked(path)
    if data[:4] in (b"PAR1", b"ARE1") or data[:2] == b"PK" or data[:4] == b"\xd0\xcf\x11\xe0":
        kind = "Parquet: name it .parquet" if data[:1] in b"PA" and data[:2] != b"PK" else "Excel"
        raise BadInput(
            f"{path} must be a CSV or Parquet file, got {kind}"
            + (": save the sheet as CSV" if kind == "Excel" else "")
        )
    if encoding is None:
        encoding = "utf-16" if data[:2] in UTF_16 else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        raise WrongEncoding(
            f"{path} must be {encoding.removesuffix('-sig')}, got other bytes on line "
            f"{data[:place].count(10) + 1}"
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), encoding


def _unpacked(path: Path) -> bytes:
    data, suffix = path.read_bytes(), path.suffix.lower()
    try:
        if suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = archive.namelist()
                if len(names) != 1:
                    raise BadInput(f"{path} must contain one file, got {len(names)}")
                return archive.read(names[0])
        return COMPRESSED.get(suffix, bytes)(data)
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} cannot be unpacked: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Record(NamedTuple):
    """Fields of a record, and the number of its first line."""

    line: int
    fields: list[str]


def records(
    path: Path, text: str, separator: str, blank: list[int] | None = None
) -> Iterator[Record]:
    """Yield the records that are not blank, from the header on; list the lines of the others."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    begins = 1
    try:
        for fields in reader:
            is_blank = not any(fields) and len(fields) < 2
            if not is_blank and not (len(fields) == 1 and not fields[0].strip()):
                yield Record(begins, fields)
            elif blank is not None:
                blank.append(begins)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(
            f"{path} cannot be read as CSV from line {begins} on, where a quote may be open: "
            f"{error}"
        ) from error


class Shape(NamedTuple):
    """Fields of the header and of the longest record, and the first line of each row."""

    header: list[str]
    width: int
    lines: list[int]
    n_trailing: int
    """Rows with empty fields after the last column."""

    n_blank: int
    """Blank lines between rows, which are no rows."""

    @property
    def names(self) -> list[str]:
        """Names of all columns; those without a name are called as pandas calls them."""
        names = [name.strip() for name in self.header] + [""] * (self.width - len(self.header))
        unnamed = [f"Unnamed: {i}" for i in range(len(names))]
        unnamed = [f"{name}.1" if name in names else name for name in unnamed]
        return [name or other for name, other in zip(names, unnamed, strict=True)]


def check_shape(path: Path, text: str, separator: str) -> Shape:
    """Raise if a record has too few or too many fields."""
    blank: list[int] = []
    all_records = records(path, text, separator, blank)
    header = next(all_records, Record(0, [])).fields
    named = max((i + 1 for i, name in enumerate(header) if name.strip()), default=0)
    width, lines, trailing = len(header), [], 0
    for line, fields in all_records:
        n = len(fields)
        if n > len(header) and not any(cell.strip() for cell in fields[len(header) :]):
            trailing += 1
        elif not named <= n <= len(header):
            first = itertools.islice(records(path, text, separator), 1, 99)
            raise BadInput(_misshapen(path, line, n, header, {len(one.fields) for one in first}))
        width = max(width, n)
        lines.append(line)
    between = [line for line in blank if lines and lines[0] < line < lines[-1]]
    return Shape(header, width, lines, trailing, len(between))


def _misshapen(path: Path, line: int, n: int, header: list[str], widths: set[int]) -> str:
    text = f"{path} must have {len(header)} fields on every line, got {n} on line {line}"
    if widths == {len(header) + 1}:
        return (
            f"{text}: the first column has no name in the header; name it, or write the file "
            "without it, in R with row.names=FALSE"
        )
    if n > len(header):
        return f"{text}: a cell that contains the separator must be in quotes"
    return f"{text}: is the line cut off, or no row of the table?"


def frame_of_text(
    path: Path, text: str, separator: str, names: list[str], decimal: str, as_text: Sequence[str]
) -> Any:
    """Return the table; cells of the columns ``as_text`` stay as they are written."""
    import pandas as pd

    try:
        return pd.read_csv(
            io.StringIO(text), sep=separator, header=0, names=names, index_col=False,
            keep_default_na=False, na_values=[""], decimal=decimal, low_memory=False,
            skipinitialspace=True, dtype={name: str for name in as_text if name in names},
        )  # fmt: skip
    except Exception as error:
        reason = first_line(error)
        if "EOF inside string" in reason:
            *_, last = records(path, text, separator)
            reason = f"a quote that opens on line {last.line} is never closed"
        raise BadInput(f"{path} cannot be read as CSV: {reason}") from error


def after_separator_line(text: str) -> tuple[str, str | None]:
    """Return the text without the line "sep=;" that Excel may write first, and the separator."""
    first, _, rest = text.partition("\n")
    if len(first) == 5 and first.startswith("sep="):
        return "\n" + rest, first[4]
    return text, None


def read_new_rows(path: Path, form: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> Any:
    """Read a file as the file of the training rows was read.

    Parameters
    ----------
    path : path
    form : dict, optional
        Separator, decimal mark and encoding of a CSV file; None for Parquet.
    columns : dict by name
        How each feature is read.
    """
    import pandas as pd

    if not path.is_file():
        raise BadInput(f"{path} must be a CSV or Parquet file, got no such file")
    if path.suffix.lower() in PARQUET:
        try:
            frame = pd.read_parquet(path).reset_index(drop=True)
        except Exception as error:
            raise BadInput(f"{path} cannot be read as Parquet: {first_line(error)}") from error
        return frame.set_axis([str(name).strip() for name in frame.columns], axis=1)
    if form is None:
        raise BadInput(f"{path} must be a Parquet file, as that of the training rows was")
    text, _ = after_separator_line(text_of_file(path, form["encoding"])[0])
    shape = check_shape(path, text, form["separator"])
    names = shape.names
    if shape.n_blank:
        tell(f"left out: {shape.n_blank:,} blank lines, which have no prediction")
    twice = sorted({name for name in names if name in columns and names.count(name) > 1})
    if twice:
        raise BadInput(f"columns must have different names, got more than one {listed(twice)}")
    unique = [f"{name}\0{i}" if name not in columns else name for i, name in enumerate(names)]
    as_text = [name for name, how in columns.items() if how["kind"] != "numbers"]
    frame = frame_of_text(path, text, form["separator"], unique, form["decimal"], as_text)
    named = [key for key, name in zip(unique, names, strict=True) if name[:8] != "Unnamed:"]
    empty = frame[named].isna().all(axis=1).to_numpy()
    n_rows = len(empty) - int(np.argmin(empty[::-1])) if not empty.all() else 0
    if n_rows < len(empty):
        tell(f"left out: {len(empty) - n_rows:,} rows without any value at the end")
    if empty[:n_rows].any():
        tell(f"{int(empty[:n_rows].sum()):,} rows have no value, and get predictions all the same")
    return frame.iloc[:n_rows]


def features(
    frame: Any, columns: Mapping[str, Mapping[str, Any]], missing: Sequence[str], decimal: str
) -> Any:
    """Return the features as the model was trained on them.

    Cells that cannot be read, and categories that training has not seen, count as missing. A line
    on stderr names the column and the number of rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns may be strings as in the file, or numbers that are read already.
    columns : dict by name
        How each feature is read, and its name in the model.
    missing : sequence of str
        Strings that mean missing.
    decimal : {".", ","}
        Decimal mark of numbers in strings.
    """
    import pandas as pd

    names = [str(name).strip() for name in frame.columns]
    lacking = [name for name in columns if name not in names]
    if lacking:
        raise BadInput(f"rows must have the columns of the training rows, got no {listed(lacking)}")
    twice = sorted({name for name in columns if names.count(name) > 1})
    if twice:
        raise BadInput(f"columns must have different names, got more than one {listed(twice)}")
    if not len(frame):
        raise BadInput("rows must be at least one, got none")
    found = {}
    for name, how in columns.items():
        column = frame.iloc[:, names.index(name)].reset_index(drop=True)
        read = READERS[how["kind"]]
        found[how["inside"]] = read(column, name, how, frozenset({"", *missing}), decimal)
    return pd.DataFrame(found)


def _read_numbers(
    column: Any, name: str, how: Mapping[str, Any], missing: frozenset[str], decimal: str
) -> Any:
    """Return numbers; strings are parsed, and numbers are taken as they are."""
    kinds = _pandas_types()
    sign = ""
    if kinds.is_numeric_dtype(column) and not kinds.is_bool_dtype(column):
        values = column.to_numpy(np.float64, na_value=np.nan)
    else:
        cells = column.astype(object).dropna().unique()
        texts = list({cell.strip() for cell in cells if isinstance(cell, str)} - missing)
        try:
            parsed = parse(texts, decimal, decimal_given=how.get("thousands", False))
        except Ambiguous as error:
            fix = ": write it without the comma" if "thousands" in str(error) else ""
            raise BadInput(f"column {name!r}: {error}{fix}") from error
        if decimal == "." and has_decimal_commas(texts):
            comma = next(text for text in texts if "," in text)
            raise BadInput(f"column {name!r} must have decimal points, got {comma!r}")
        sign = parsed.sign
        numbers = {texts[i]: float(parsed.values[i]) for i in np.flatnonzero(parsed.is_number)}

        def number(cell: Any) -> float | None:
            if isinstance(cell, str):
                text = cell.strip()
                return np.nan if text in missing else numbers.get(text)
            is_number = isinstance(cell, int | float | np.number | Decimal)
            return float(cell) if is_number and not isinstance(cell, bool) else None

        values = _of_each_cell(column, number, f"column {name!r}", "cannot be read as numbers")
    values = np.where(np.isfinite(values), values, np.nan)
    if sign != how["sign"] and np.any(values[np.isfinite(values)]):
        tell(
            f"column {name!r}: the numbers have {sign or 'no sign'} here and "
            f"{how['sign'] or 'no sign'} in the training rows; the sign is not converted"
        )
    return values


def _read_truth(
    column: Any, name: str, how: Mapping[str, Any], missing: frozenset[str], decimal: str
) -> Any:
    """Return 1 for true and 0 for false."""
    known = {"true": 1.0, "false": 0.0, **dict.fromkeys(map(str.lower, missing), np.nan)}
    if _pandas_types().is_numeric_dtype(column):
        known |= {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    said = "are neither true nor false"
    return _of_each_cell(column, lambda cell: known.get(str(cell).strip().lower()),
                         f"column {name!r}", said)  # fmt: skip


def _read_days(
    column: Any, name: str, how: Mapping[str, Any], missing: frozenset[str], decimal: str
) -> Any:
    """Return days since 1970, or the length of durations in days."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and column.notna().any():
        raise BadInput(f"column {name!r} must contain {how['kind']}, got numbers")
    cells = column.astype(object)
    text = cells.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    given = text.where(column.notna() & ~text.isin(list(missing)), None)
    if how["kind"] == "durations":
        since = pd.to_timedelta(given, errors="coerce")
    else:
        when = pd.to_datetime(given, format="ISO8601", utc=True, errors="coerce")
        since = when - pd.Timestamp(0, tz="UTC")
    unread = given.notna() & since.isna()
    if unread.any():
        said = f"cannot be read as {how['kind']}"
        _tell_unread(f"column {name!r}", int(unread.sum()), said, list(given[unread].unique()))
    return (since / pd.Timedelta(days=1)).to_numpy(np.float64)


def _read_categories(
    column: Any, name: str, how: Mapping[str, Any], missing: frozenset[str], decimal: str
) -> Any:
    """Return the categories of training, in their order."""
    import pandas as pd

    known = how["categories"]
    codes = {category_name(category): float(code) for code, category in enumerate(known)}

    def code(cell: Any) -> float | None:
        text = category_name(cell)
        if text not in codes:
            text = text.strip()
        return codes.get(text, np.nan if text in missing else None)

    said = f"are not among the {len(known):,} categories of the training rows"
    if not pd.api.types.is_object_dtype(column) and pd.api.types.is_numeric_dtype(column):
        said += " (if they are codes such as 031, read them as strings)"
    values = _of_each_cell(column, code, f"column {name!r}", said)
    return pd.Categorical.from_codes(np.where(np.isnan(values), -1, values).astype(int), known)


def category_name(cell: Any) -> str:
    """Return a category as a string; 4.0 is "4", which pandas makes of a 4 beside blank cells."""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell)


READERS: dict[str, Callable[..., Any]] = {
    "numbers": _read_numbers,
    "true/false": _read_truth,
    "dates": _read_days,
    "durations": _read_days,
    "categories": _read_categories,
}


def _of_each_cell(
    column: Any, number_of: Callable[[Any], float | None], name: str, said: str
) -> Any:
    """Return the number of each row's cell. None means that a cell cannot be read."""
    import pandas as pd

    places, cells = pd.factorize(column.astype(object))
    found = [number_of(cell) for cell in cells]
    unread = [place for place, number in enumerate(found) if number is None]
    if unread:
        n_rows = int(np.isin(places, unread).sum())
        _tell_unread(name, n_rows, said, [cells[place] for place in unread])
    numbers = [np.nan if number is None else number for number in found]
    return np.array([*numbers, np.nan], dtype=np.float64)[places]


def _pandas_types() -> Any:
    import pandas as pd

    return pd.api.types


def _tell_unread(name: str, n_rows: int, said: str, cells: list[Any]) -> None:
    tell(f"{name}: the values of {n_rows:,} rows {said} and count as missing: {listed(cells)}")


def listed(values: Sequence[Any]) -> str:
    """Return the first values in words."""
    shown = ", ".join(repr(getattr(value, "item", lambda v=value: v)()) for value in values[:4])
    return shown + (f" and {len(values) - 4:,} more" if len(values) > 4 else "")


def tell(text: str) -> None:
    """Print to stderr."""
    print(text, file=sys.stderr)
