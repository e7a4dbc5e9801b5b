"""List numbers in a benchmark's tables that differ from an earlier run.

    python tools/compare_tables.py BEFORE.md AFTER.md [--least 0.2]

Both files are Markdown as ``python -m benchmarks`` prints it. A row is identified by the title of its
table and its cells that are not numbers. The tool prints a Markdown table of the cells that changed
by at least the given share. A missing file counts as empty, as before the first run.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+")


def number(cell: str) -> float | None:
    """Return the leading number of a cell, without its unit, or None."""
    match = NUMBER.match(cell)
    return float(match[0].replace(",", "")) if match else None


def cells(line: str) -> list[str]:
    return [cell.strip(" *`") for cell in line.strip().strip("|").split("|")]


def is_rule(line: str) -> bool:
    return set(line) <= set("|:- ")


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Iterate over the tables: title and rows of cells, starting with the column names."""
    title = ""
    for is_table, lines in groupby(text.splitlines(), lambda line: line.startswith("|")):
        if is_table:
            yield title, [cells(line) for line in lines if not is_rule(line)]
        else:
            title = next((s.strip("# ") for s in reversed(list(lines)) if s[:1] == "#"), title)


def measured(text: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """Iterate over measured cells: their key (title, row, column) and number.

    Sizes and names come first in a row. The measured columns start with the first that has decimals.
    """
    for title, (columns, *rows) in tables(text):
        decimal = [any(re.match(r"\d*\.\d", row[i]) for row in rows) for i in range(len(columns))]
        first = decimal.index(True) if True in decimal else len(columns)
        for row in rows:
            for column, cell in zip(columns[first:], row[first:], strict=True):
                if (value := number(cell)) is not None:
                    yield (title, *row[:first], column), value


def changes(before: str, after: str, least: float) -> list[str]:
    """Return the rows of a Markdown table, sorted by the size of the change."""
    old = dict(measured(before))
    found = [
        (value / old[key] - 1, key, old[key], value)
        for key, value in measured(after)
        if old.get(key) and abs(value / old[key] - 1) >= least
    ]
    found.sort(key=lambda row: -abs(row[0]))
    return [f"| {', '.join(key)} | {a:g} | {b:g} | {change:+.0%} |" for change, key, a, b in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--least", type=float, default=0.2, help="share of change to report (0.2)")
    given = parser.parse_args()
    before = given.before.read_text() if given.before.exists() else ""
    rows = changes(before, given.after.read_text(), given.least)
    print("\n".join(["| measured | before | after | change |", "| --- | --- | --- | --- |", *rows]))
    if not rows:
        print(f"\nNo number changed by {given.least:.0%} or more.")


if __name__ == "__main__":
    main()
