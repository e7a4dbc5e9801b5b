"""Fetch UCI data sets from OpenML to a directory: ``python -m benchmarks.quality.fetch D``.

Needs a network connection. Files and columns get the names that ``sets.FOLDER`` expects.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.quality.sets import FOLDER

# name and version in OpenML, and the target column
OPENML = {
    "bank": ("bank-marketing", 1, "Class"),
    "bankruptcy": ("polish-companies-bankruptcy-1year", 1, "class"),
    "diabetes": ("Diabetes130US", 1, "readmitted"),
    "htru2": ("HTRU2", 1, "Class"),
    "kdd99": ("KDDCup99", 1, "label"),
    "ozone": ("ozone-level-8hr", 1, "Class"),
    "shuttle": ("shuttle", 1, "class"),
    "thyroid": ("thyroid-ann", 1, "Class"),
}


def fetch(name: str, folder: Path) -> Path:
    """Download one data set and write it as Parquet."""
    from sklearn.datasets import fetch_openml

    title, version, target = OPENML[name]
    frame = fetch_openml(title, version=version, as_frame=True, parser="auto").frame
    source = FOLDER[name]
    if name == "diabetes":
        frame[target] = frame[target].astype(str).isin(["<30"])
    path = folder / f"{source.file}.parquet"
    frame.rename(columns={target: source.target}).to_parquet(path)
    return path


def main() -> None:
    """Fetch all data sets, or the named ones. Report failures and continue."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.fetch", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", choices=OPENML, default=list(OPENML))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        try:
            print(fetch(name, options.folder))
        except Exception as error:
            print(f"{name} could not be fetched: {error}")


if __name__ == "__main__":
    main()
