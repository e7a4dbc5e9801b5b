"""Read a data file into a frame, and describe how: encoding, separator, decimal mark, omissions.

Only empty cells are missing here. What else means missing is decided for each column later.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from boostloss.optional import require
from boostloss.report.new_rows import (
    PARQUET,
    BadInput,
    WrongEncoding,
    after_separator_line,
    check_shape,
    first_line,
    frame_of_text,
    records,
    text_of_file,
)
from boostloss.report.numbers import has_decimal_commas

SEPARATORS = (",", ";", "\t", "|")
"""Separators to look for in the header, in this order."""

NAMED_SEPARATORS = {"tab": "\t", "space": " ", "\\t": "\t"}
SAMPLE = 1000
"""Number of records used to find the separator."""

UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)?")
"""What pandas calls a column without a name, usually an index that was saved."""


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
    form: Format | None = None
    """Format of a CSV file with nothing left to detect; None for Parquet."""

    lines: Any = None
    """Line number of each row in the file, or None for Parquet."""

    row_numbers: list[str] = field(default_factory=list)
    """Columns without a name that were left out because they number the rows."""

    unnamed: dict[str, str] = field(default_factory=dict)
    """Other columns without a name, and what they contain, in words."""

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


def _text(path: Path, encoding: str | None) -> tuple[str, str]:
    """Return the text of a file, and its encoding in words; messages name options."""
    try:
        text, encoding = text_of_file(path, encoding)
    except LookupError as error:
        raise BadInput(f"--encoding must be one that Python knows, got {encoding!r}") from error
    except WrongEncoding as error:
        raise BadInput(
            f"{error}; use --encoding cp1252 if the file comes from Excel on Windows, or name "
            "another encoding"
        ) from error
    if "\0" in text:
        raise BadInput(f"{path} must be text, got zero bytes; is it --encoding utf-16-le?")
    return text, encoding.removesuffix("-sig").upper().replace("CP", "cp")


def _parquet(path: Path, form: Format) -> Source:
    pd = require("pandas", "report")
    given = [name for name in ("separator", "encoding") if getattr(form, name)]
    if given:
        raise BadInput(f"--{given[0]} must not be given for a Parquet file, got {path}")
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        raise BadInput(f"{path} cannot be read as Parquet: {first_line(error)}") from error
    notes = []
    named = [str(name) for name in frame.index.names if name is not None]
    if named:
        notes.append(f"left out: {', '.join(named)} (the frame's index)")
    frame = frame.reset_index(drop=True)
    names = [str(name).strip() for name in frame.columns]
    _check_different(names)
    frame.columns = names
    decimal = form.decimal or ("," if _has_decimal_commas(frame) else ".")
    how = "Parquet" + (', decimal mark "," in strings' if decimal == "," else "")
    return Source(frame, how, notes, decimal)


@dataclass
class _Csv:
    path: Path
    text: str
    encoding: str
    form: Format
    as_text: tuple[str, ...]

    def source(self) -> Source:
        separator = self._separator()
        shape = check_shape(self.path, self.text, separator)
        header = [name.strip() for name in shape.header]
        notes = _notes_on_shape(shape.header, shape.n_trailing)
        _check_different(header)
        header += [""] * (shape.width - len(header))
        decimal = self.form.decimal or "."
        frame = self._frame(separator, shape.names, decimal)
        if self.form.decimal is None and _has_decimal_commas(frame):
            decimal = ","
            frame = self._frame(separator, shape.names, decimal)
        found = Source(frame, self._how(separator, decimal), notes, decimal, lines=shape.lines,
                       form=Format(separator, decimal, self.form.encoding))  # fmt: skip
        return _without_empty_rows(_without_unnamed(found, header))

    def _how(self, separator: str, decimal: str) -> str:
        shown = {"\t": "tab", " ": "spaces"}.get(separator, f'"{separator}"')
        how = f"CSV, {self.encoding}, separator {shown}"
        return how + (', decimal mark ","' if decimal == "," else "")

    def _frame(self, separator: str, names: list[str], decimal: str) -> Any:
        return frame_of_text(self.path, self.text, separator, names, decimal, self.as_text)

    def _separator(self) -> str:
        """Return the given separator, or the one that splits the header into the most fields."""
        self.text, first = after_separator_line(self.text)
        given = self.form.separator
        if given is not None:
            given = NAMED_SEPARATORS.get(given, given)
            if len(given) != 1 or given in '"\n\r':
                raise BadInput(f"--separator must be one character, tab or space, got {given!r}")
            return given
        if first:
            return first

        def fields_in_header(separator: str) -> int:
            sample = list(itertools.islice(records(self.path, self.text, separator), SAMPLE))
            return len(sample[0].fields) if sample else 0

        counts = {separator: fields_in_header(separator) for separator in SEPARATORS}
        best = max(SEPARATORS, key=lambda separator: counts[separator])
        if counts[best] == 0:
            raise BadInput(f"{self.path} must have a line of column names, got an empty file")
        if counts[best] == 1:
            raise BadInput(
                f"{self.path} must have several columns, got one, "
                f"{next(records(self.path, self.text, best)).fields[0][:80]!r}; use --separator if "
                "it is not one of , ; | or tab"
            )
        return best


def _notes_on_shape(header: list[str], n_trailing: int) -> list[str]:
    notes = []
    if n_trailing:
        notes.append(f"left out: empty fields after the last column, on {n_trailing:,} lines")
    padded = [name.strip() for name in header if name != name.strip()]
    if padded:
        notes.append(f"spaces around names removed: {', '.join(padded)}")
    return notes


def _has_decimal_commas(frame: Any) -> bool:
    kinds = require("pandas", "report").api.types
    text = [name for name in frame if kinds.infer_dtype(frame[name]) == "string"]
    return any(has_decimal_commas(frame[name].dropna().unique()) for name in text)


def _check_different(names: list[str]) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise BadInput(f"columns must have different names, got more than one {', '.join(twice)}")


def _without_unnamed(source: Source, header: list[str]) -> Source:
    """Leave out columns without a name that are empty or number the rows; note the others."""
    notes, kept, numbering, unnamed = list(source.notes), [], [], {}
    empty = "left out: empty columns without a name"
    for i, (name, given) in enumerate(zip(source.frame.columns, header, strict=True)):
        column = source.frame[name]
        if given and not UNNAMED.fullmatch(given):
            kept.append(name)
        elif _numbers_the_rows(column):
            numbering.append(name)
            notes.append(f"left out: column {i + 1}, which has no name and numbers the rows")
        elif given or not column.isna().all():
            kept.append(name)
            values = ", ".join(map(str, column.dropna().unique()[:3]))
            unnamed[name] = f"column {i + 1} has none and contains {values or 'nothing'}"
        elif empty not in notes:
            notes.append(empty)
    frame = source.frame[kept]
    return replace(source, frame=frame, notes=notes, row_numbers=numbering, unnamed=unnamed)


def _without_empty_rows(source: Source) -> Source:
    named = [name for name in source.frame.columns if name not in source.unnamed]
    empty = source.frame[named].isna().all(axis=1)
    if not empty.any():
        return source
    notes = [*source.notes, f"left out: {int(empty.sum()):,} rows without any value"]
    return replace(source.rows((~empty).to_numpy().nonzero()[0]), notes=notes)


def _numbers_the_rows(column: Any) -> bool:
    """Return whether a column counts up from 0 or 1, like a saved index."""
    column = column.dropna()
    kinds = require("pandas", "report").api.types
    if not len(column) or not kinds.is_numeric_dtype(column) or kinds.is_bool_dtype(column):
        return False
    return column.iloc[0] in (0, 1) and bool((column.diff().iloc[1:] == 1).all())
