"""Read a data file into a frame, and describe how: encoding, separator, decimal mark, omissions.

Only empty cells are missing here. What else means missing is decided for each column later.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from boostloss.optional import require
from boostloss.report.numbers import has_decimal_commas

SEPARATORS = (",", ";", "\t", "|")
"""Separators to look for in the header, in this order."""

NAMED_SEPARATORS = {"tab": "\t", "space": " ", "\\t": "\t"}
SAMPLE = 1000
"""Number of records used to find the separator."""

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress,
}  # fmt: skip
PARQUET = (".parquet", ".pq")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class BadInput(ValueError):
    """A problem in the file or the options that the user can fix."""


@dataclass(frozen=True)
class Format:
    """Format of a text file. None means that it is detected."""

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None


@dataclass
class Source:
    """A file as a frame. All columns of a CSV file are text, with NaN for empty cells only."""

    frame: Any
    how: str
    """Format, encoding, separator and decimal mark, in words."""

    notes: list[str] = field(default_factory=list)
    """One sentence for each omission or assumption."""

    decimal: str = "."
    lines: Any = None
    """Line number of each row in the file, or None for Parquet."""

    def rows(self, index: Any) -> Source:
        """Return some of the rows, in this order."""
        lines = None if self.lines is None else [self.lines[i] for i in index]
        frame = self.frame.iloc[index].reset_index(drop=True)
        return replace(self, frame=frame, lines=lines)


def read_file(path: Path, form: Format, as_text: tuple[str, ...] = ()) -> Source:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path : path
    form : Format
    as_text : tuple of str
        Columns whose cells stay as they are written.

    Raises
    ------
    BadInput
        Naming the file, and the line where one is at fault.
    """
    if path.is_dir():
        raise BadInput(f"{path} must be a CSV or Parquet file, got a directory")
    if not path.is_file():
        raise BadInput(f"{path} must be a CSV or Parquet file, got no such file")
    if path.suffix.lower() in PARQUET:
        return _parquet(path, form)
    text, encoding = _text(path, form.encoding)
    return _Csv(path, text, encoding, form, as_text).source()


def _parquet(path: Path, form: Format) -> Source:
    pd = require("pandas", "report")
    given = [name for name in ("separator", "decimal", "encoding") if getattr(form, name)]
    if given:
        raise BadInput(f"--{given[0]} must not be given for a Parquet file, got {path}")
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        raise BadInput(f"{path} cannot be read as Parquet: {_first_line(error)}") from error
    notes = []
    named = [str(name) for name in frame.index.names if name is not None]
    if named:
        notes.append(f"left out: {', '.join(named)} (the frame's index)")
    frame = frame.reset_index(drop=True)
    frame.columns = [str(name).strip() for name in frame.columns]
    return Source(frame, "Parquet", notes)


def _text(path: Path, encoding: str | None) -> tuple[str, str]:
    """Return the text of a file with plain line ends, and its encoding."""
    data = _bytes(path)
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
    except LookupError as error:
        raise BadInput(f"--encoding must be one that Python knows, got {encoding!r}") from error
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        raise BadInput(
            f"{path} must be {encoding.removesuffix('-sig')}, got other bytes on line "
            f"{data[:place].count(10) + 1}; use --encoding cp1252 if the file comes from "
            "Excel on Windows, or name another encoding"
        ) from error
    if "\0" in text:
        raise BadInput(f"{path} must be text, got zero bytes; is it --encoding utf-16-le?")
    shown = encoding.removesuffix("-sig").upper().replace("CP", "cp")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), shown


def _bytes(path: Path) -> bytes:
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
        raise BadInput(f"{path} cannot be unpacked: {_first_line(error)}") from error


class _Record(NamedTuple):
    """Fields of a record, and the number of its first line."""

    line: int
    fields: list[str]


@dataclass
class _Csv:
    path: Path
    text: str
    encoding: str
    form: Format
    as_text: tuple[str, ...]

    def source(self) -> Source:
        separator = self._separator()
        width, lines, notes = self._check_shape(separator)
        header = next(self._records(separator)).fields
        names = [name.strip() for name in header]
        if names != header:
            padded = [name.strip() for name in header if name != name.strip()]
            notes.append(f"spaces around names removed: {', '.join(padded)}")
        names += [""] * (width - len(names))
        _check_different(names)
        decimal = self.form.decimal or "."
        frame = self._frame(separator, names, decimal)
        if self.form.decimal is None and self._has_decimal_commas(frame):
            decimal = ","
            frame = self._frame(separator, names, decimal)
        frame, left_out = _without_unnamed(frame, names, self.path)
        notes += left_out
        empty = frame.isna().all(axis=1)
        if empty.any():
            notes.append(f"left out: {int(empty.sum())} rows without any value")
            frame = frame[~empty].reset_index(drop=True)
            lines = [line for line, out in zip(lines, empty, strict=True) if not out]
        shown = {"\t": "tab", " ": "spaces"}.get(separator, f'"{separator}"')
        how = f"CSV, {self.encoding}, separator {shown}"
        how += ', decimal mark ","' if decimal == "," else ""
        return Source(frame, how, notes, decimal, lines)

    def _records(self, separator: str) -> Iterator[_Record]:
        """Iterate over the records that are not blank, starting with the header."""
        reader = csv.reader(io.StringIO(self.text), delimiter=separator, skipinitialspace=True)
        begins = 1
        try:
            for fields in reader:
                is_blank = not any(fields) and len(fields) < 2
                if not is_blank and not (len(fields) == 1 and not fields[0].strip()):
                    yield _Record(begins, fields)
                begins = reader.line_num + 1
        except csv.Error as error:
            raise BadInput(
                f"{self.path} cannot be read as CSV from line {begins} on, where a quote may be "
                f"open: {error}"
            ) from error

    def _separator(self) -> str:
        """Return the given separator, or the one that splits the header into the most fields."""
        first = re.match(r"sep=(.)\n", self.text)
        if first:  # Excel writes such a line
            self.text = "\n" + self.text[first.end() :]
        given = self.form.separator
        if given is not None:
            given = NAMED_SEPARATORS.get(given, given)
            if len(given) != 1 or given in '"\n\r':
                raise BadInput(f"--separator must be one character, tab or space, got {given!r}")
            return given
        if first:
            return first[1]

        def fields_in_header(separator: str) -> int:
            records = list(itertools.islice(self._records(separator), SAMPLE))
            return len(records[0].fields) if records else 0

        counts = {separator: fields_in_header(separator) for separator in SEPARATORS}
        best = max(SEPARATORS, key=lambda separator: counts[separator])
        if counts[best] == 0:
            raise BadInput(f"{self.path} must have a line of column names, got an empty file")
        if counts[best] == 1:
            raise BadInput(
                f"{self.path} must have several columns, got one, "
                f"{next(self._records(best)).fields[0][:80]!r}; use --separator if it is not one "
                "of , ; | or tab"
            )
        return best

    def _check_shape(self, separator: str) -> tuple[int, list[int], list[str]]:
        """Return the most fields of a record, line numbers of the rows, and notes."""
        records = self._records(separator)
        header = next(records, _Record(0, [])).fields
        named = max((i + 1 for i, name in enumerate(header) if name.strip()), default=0)
        width, lines, trailing = len(header), [], 0
        for line, fields in records:
            n = len(fields)
            if n > len(header) and not any(cell.strip() for cell in fields[len(header) :]):
                trailing += 1
            elif not named <= n <= len(header):
                raise BadInput(self._misshapen(separator, line, n, header))
            width = max(width, n)
            lines.append(line)
        notes = []
        if trailing:
            notes.append(f"left out: empty fields after the last column, on {trailing:,} lines")
        return width, lines, notes

    def _misshapen(self, separator: str, line: int, n: int, header: list[str]) -> str:
        counts = [len(record.fields) for record in itertools.islice(self._records(separator), 99)]
        text = f"{self.path} must have {len(header)} fields on every line, got {n} on line {line}"
        if set(counts[1:]) == {len(header) + 1}:
            return f"{text}: the first column has no name in the header; name it"
        if n > len(header):
            return f"{text}: a cell that contains the separator must be in quotes"
        return f"{text}: is the line cut off, or no row of the table?"

    def _frame(self, separator: str, names: list[str], decimal: str) -> Any:
        pd = require("pandas", "report")
        keys = [name or f"\0{i}" for i, name in enumerate(names)]
        try:
            return pd.read_csv(
                io.StringIO(self.text), sep=separator, header=0, names=keys, index_col=False,
                keep_default_na=False, na_values=[""], decimal=decimal, low_memory=False,
                skipinitialspace=True, dtype={name: str for name in self.as_text if name in keys},
            )  # fmt: skip
        except Exception as error:
            reason = _first_line(error)
            if "EOF inside string" in reason:
                *_, last = self._records(separator)
                reason = f"a quote that opens on line {last.line} is never closed"
            raise BadInput(f"{self.path} cannot be read as CSV: {reason}") from error

    def _has_decimal_commas(self, frame: Any) -> bool:
        kinds = require("pandas", "report").api.types
        text = [name for name in frame if kinds.infer_dtype(frame[name]) == "string"]
        return any(has_decimal_commas(frame[name].dropna().unique()) for name in text)


def _check_different(names: list[str]) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise BadInput(f"columns must have different names, got more than one {', '.join(twice)}")


def _without_unnamed(frame: Any, names: list[str], path: Path) -> tuple[Any, list[str]]:
    """Leave out columns without a name that are empty or contain row numbers."""
    notes, kept = [], []
    for i, (key, name) in enumerate(zip(frame.columns, names, strict=True)):
        if name and not re.fullmatch(r"Unnamed: \d+", name):
            kept.append(key)
        elif _numbers_the_rows(frame[key]):
            notes.append(f"left out: column {i + 1}, which has no name and numbers the rows")
        elif name:
            kept.append(key)
        elif not frame[key].isna().all():
            raise BadInput(
                f"columns of {path} must have names, column {i + 1} has none and contains "
                f"{frame[key].dropna().iloc[0]}"
            )
        elif i < len(names) and not any(note.startswith("left out: empty") for note in notes):
            notes.append("left out: empty columns without a name")
    return frame[kept], notes


def _numbers_the_rows(column: Any) -> bool:
    """Return whether a column counts up from 0 or 1, like a saved index."""
    column = column.dropna()
    kinds = require("pandas", "report").api.types
    if not len(column) or not kinds.is_numeric_dtype(column) or kinds.is_bool_dtype(column):
        return False
    return column.iloc[0] in (0, 1) and bool((column.diff().iloc[1:] == 1).all())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
