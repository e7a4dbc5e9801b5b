"""List the numbers of one benchmark's tables that differ from those of an earlier run.

    python tools/compare_tables.py BEFORE.md AFTER.md [--least 0.2]

Both files are Markdown as ``python -m benchmarks`` prints it. A row is known by its table's title and
its cells that are not numbers. Prints a Markdown table of the cells that changed by at least the given
share. A missing file is an empty one, so that a first run compares with nothing.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+")


def number(cell: str) -> float | None:
    """A cell's leading number, without its unit, or None."""
    match = NUMBER.match(cell)
    return float(match[0].replace(",", "")) if match else None


def cells(line: str) -> list[str]:
    return [cell.strip(" *`") for cell in line.strip().strip("|").split("|")]


def is_rule(line: str) -> bool:
    return set(line) <= set("|:- ")


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Title and rows of cells, the names of the columns first, of each table."""
    title = ""
    for is_table, lines in groupby(text.splitlines(), lambda line: line.startswith("|")):
        if is_table:
            yield title, [cells(line) for line in lines if not is_rule(line)]
        else:
            title = next((s.strip("# ") for s in reversed(list(lines)) if s[:1] == "#"), title)


def measured(text: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """Key (title, what the row is of, column) and number of each measured cell.

    Sizes and names come first in a row: measured are the columns from the first one with a decimal.
    """
    for title, (columns, *rows) in tables(text):
        decimal = [any(re.match(r"\d*\.\d", row[i]) for row in rows) for i in range(len(columns))]
        first = decimal.index(True) if True in decimal else len(columns)
        for row in rows:
            for column, cell in zip(columns[first:], row[first:], strict=True):
                if (value := number(cell)) is not None:
                    yield (title, *row[:first], column), value


def changes(before: str, after: str, least: float) -> list[str]:
    """Rows of a Markdown table, the largest change first."""
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
