"""Choose the rows of each fold to learn from, to stop by and to test on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import (
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from boostloss.losses.validation import Array
from boostloss.optional import require

STOPPING_PART = 5
"""One in this many training rows of a fold is used for early stopping instead of learning."""

USES = ("learn from", "stop by", "test on")


class Split(NamedTuple):
    """Indices of the rows that a fold learns from, stops by and tests on."""

    learn: Array
    stop: Array
    test: Array


class Folds(NamedTuple):
    """Splits, and one sentence for each assumption."""

    splits: list[Split]
    notes: list[str]


def group_codes(groups: Any, n_rows: int) -> tuple[Array, list[str]]:
    """Return a number for each row's group. A row without a group is a separate group.

    Raises
    ------
    ValueError
        If there is not one entry for each row.
    """
    column = np.asarray(groups, dtype=object)  # NumPy would convert None and NaN in a list to text
    if column.ndim != 1 or len(column) != n_rows:
        raise ValueError(
            f"groups must have one entry for each of {n_rows} rows, got {column.shape}"
        )
    missing = np.asarray(require("pandas", "report").isna(column), bool)
    places: dict[Any, int] = {}
    known = column[~missing].tolist()
    codes = np.empty(n_rows, np.intp)
    codes[~missing] = [places.setdefault(value, len(places)) for value in known]
    codes[missing] = len(places) + np.arange(missing.sum())
    if not missing.any():
        return codes, []
    return codes, [f"{missing.sum():,} rows without a group are each a separate group"]


def make_folds(
    y: Array, n_classes: int, folds: int, groups: ArrayLike | None, time_order: bool, seed: int
) -> Folds:
    """Split rows into folds, and each fold's training rows into those to learn from and to stop by.

    Parameters
    ----------
    y : array of shape (n,)
        Codes 0..K-1.
    n_classes : int
    folds : int
    groups : array of shape (n,), optional
        Equal values are never in two of the three parts, where there are enough of them.
    time_order : bool
        Train on the past, test on what follows.
    seed : int

    Raises
    ------
    ValueError
        If a class would be missing from a part.
    """
    if time_order and groups is not None:
        raise ValueError("groups must be None with time_order=True, got both")
    known, notes = (None, []) if groups is None else group_codes(groups, len(y))
    if time_order:
        outer = TimeSeriesSplit(folds).split(y)
    else:
        _check_folds(y, known, folds)
        outer = _stratified(y, known, folds, seed)
    splits, shared = [], 0
    for train, test in outer:
        if time_order:
            learn, stop = _last_rows(train)
        elif known is None:
            learn, stop = _stratified_part(train, y, seed)
        else:
            learn, stop, apart = _part_of_groups(train, y, known, seed)
            shared += not apart
        splits.append(Split(learn, stop, test))
        _check_classes(y, n_classes, splits[-1], folds)
    if shared:
        notes.append(
            f"in {shared} of {folds} folds the training rows have too few groups: rows that stop "
            "the training are of groups that are learned from, rows that test are not"
        )
    return Folds(splits, notes)


def _check_folds(y: Array, groups: Array | None, folds: int) -> None:
    rarest = int(np.bincount(y).min())
    if rarest < folds:
        raise ValueError(f"folds must be at most the rarest class's {rarest} rows, got {folds}")
    if groups is not None and len(np.unique(groups)) < folds:
        raise ValueError(
            f"folds must be at most the number of groups, {len(np.unique(groups))}, got {folds}"
        )


def _check_classes(y: Array, n_classes: int, split: Split, folds: int) -> None:
    for part, use in zip(split, USES, strict=True):
        if len(np.unique(y[part])) < (n_classes if part is split.learn else 2):
            raise ValueError(
                f"folds must leave each class some rows to {use}, got folds={folds} with "
                f"{np.bincount(y).tolist()} rows of the classes"
            )


def _last_rows(train: Array) -> tuple[Array, Array]:
    """Return rows to learn from, and the rows after them to stop by."""
    cut = len(train) - max(1, len(train) // STOPPING_PART)
    return train[:cut], train[cut:]


def _stratified_part(train: Array, y: Array, seed: int) -> tuple[Array, Array]:
    """Return rows to learn from, and rows to stop by with the same share of each class."""
    rarest = int(np.bincount(y[train]).min())
    if rarest < STOPPING_PART:
        raise ValueError(
            f"y must contain at least {2 * STOPPING_PART} rows of each class, got {rarest} in "
            "the training rows of a fold"
        )
    learn, stop = next(_stratified(y[train], None, STOPPING_PART, seed))
    return train[learn], train[stop]


def _part_of_groups(train: Array, y: Array, groups: Array, seed: int) -> tuple[Array, Array, bool]:
    """Return rows to learn from and to stop by, in different groups if both keep all classes."""
    parts = min(STOPPING_PART, len(np.unique(groups[train])))
    everything = len(np.unique(y[train]))
    if parts > 1 and int(np.bincount(y[train]).min()) >= parts:
        for learn, stop in _stratified(y[train], groups[train], parts, seed):
            if all(len(np.unique(y[train[part]])) == everything for part in (learn, stop)):
                return train[learn], train[stop], True
    return *_stratified_part(train, y, seed), False


def _stratified(y: Array, groups: Array | None, folds: int, seed: int) -> Any:
    if groups is None:
        return StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y)
    if len(np.unique(groups)) == folds:  # StratifiedGroupKFold may leave a fold empty
        return LeaveOneGroupOut().split(y, y, groups)
    return StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, groups)
