"""Read LightGBM's data sets, and change their init scores and weights during training.

The labels of a file, a binary file or a subset are known only after LightGBM has constructed the
set. It does so once, with the parameters given then. Afterwards the raw data are gone unless the
owner keeps them, and neither other bins nor an initial model can be chosen. A set is therefore
constructed here only if its labels are not known otherwise, and as :func:`lightgbm.train` would.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from boostloss.losses.validation import Array
from boostloss.optional import require

lgb = require("lightgbm", "lightgbm")

_FIELDS = ("label", "weight", "init_score")

_with_our_init_score: weakref.WeakSet[Any] = weakref.WeakSet()
"""Data sets with boostloss's init score, also if its removal was interrupted."""


def target(
    data: Any, params: dict[str, Any] | None = None, init_model: Any = None
) -> tuple[Array, Array | None]:
    """Return labels and weights of a training set.

    Parameters
    ----------
    data : lightgbm.Dataset
    params : dict, optional
        Of the training, with which the set is constructed where it must be.
    init_model : optional
        The model to continue from. It needs the raw data, which a constructed set of a file
        has no more.
    """
    if not isinstance(data, lgb.Dataset):
        raise TypeError(f"train_set must be a lightgbm.Dataset, got {type(data).__name__}")
    in_memory = data.data is not None and not isinstance(data.data, str | Path)
    if data.label is None and in_memory and not _is_constructed(data):
        raise ValueError("train_set must have labels, got none")
    if not _is_constructed(data) and (data.label is None or data.used_indices is not None):
        if init_model is not None and isinstance(data.data, str | Path):
            read = lgb.Dataset(data.data, weight=data.weight, params={**(data.params or {})})
            return target(read, params)
        construct(data, params)
    label = data.get_label()
    if label is None:
        raise ValueError("train_set must have labels, got none")
    weight = field(data, "weight")
    y = np.asarray(label, dtype=np.float32).ravel()
    return y, None if weight is None else np.asarray(weight, dtype=np.float64).ravel()


def construct(data: Any, params: dict[str, Any] | None = None) -> Any:
    """Construct a set with a training's parameters, as :func:`lightgbm.train` does."""
    if not _is_constructed(data):
        data.params = {**(data.params or {}), **(params or {})}
        # for a subset LightGBM would replace these fields by those of the whole set
        own = _FIELDS if data.used_indices is not None else ()
        stated = {name: getattr(data, name) for name in own if getattr(data, name) is not None}
        data.construct()
        for name, value in stated.items():
            data.set_field(name, value)
    return data


def field(data: Any, name: str) -> Any:
    """Return a field of a data set: before construction, only what the user has set."""
    value = getattr(data, name)
    return data.get_field(name) if value is None and _is_constructed(data) else value


def start_of(data: Any) -> Any:
    """Return the init score that the user has set."""
    return None if _has_scores_of_a_model(data) else field(data, "init_score")


def as_list(valid_sets: Any) -> list[Any]:
    """Return the evaluation sets as a list; a single set need not be in a list."""
    if valid_sets is None:
        return []
    return [valid_sets] if isinstance(valid_sets, lgb.Dataset) else list(valid_sets)


def _is_constructed(data: Any) -> bool:
    return bool(data._handle)  # after a failed construction this is a null pointer


def _has_scores_of_a_model(data: Any) -> bool:
    """Return whether the init score comes from a model with which training continued."""
    return getattr(data, "_predictor", None) is not None


# -- init scores ------------------------------------------------------------------------


def for_each_row(intercept: Array, n_rows: int) -> Array:
    """Return the init score of every row, class after class as LightGBM expects."""
    return np.repeat(intercept, n_rows)


def forget_starts(sets: list[Any], init_model: Any = None) -> None:
    """Remove init scores that are left from an interrupted or continued training."""
    remove_init_score([data for data in sets if data in _with_our_init_score])
    if init_model is None:
        went_on = [data for data in sets if _has_scores_of_a_model(data)]
        for data in went_on:
            data._set_predictor(None)  # lightgbm.train would do it later and reset our score
        remove_init_score(went_on)


@contextmanager
def init_score_in_training(
    intercept: Array | None, sets: list[Any], params: dict[str, Any]
) -> Iterator[None]:
    """Set an init score on data sets, the training set first, during one training."""
    if intercept is None:
        yield
        return
    try:
        for data in sets:
            n_rows = _n_rows(data, sets[0], params)
            _with_our_init_score.add(data)
            data.set_init_score(for_each_row(intercept, n_rows))
        yield
    finally:
        remove_init_score(sets)


def remove_init_score(sets: list[Any]) -> None:
    """Remove the init score from the sets."""
    for data in sets:
        data.set_init_score(None)
        if _is_constructed(data):
            data.set_field("init_score", None)  # set_init_score(None) does not reset the field
        _with_our_init_score.discard(data)


def _n_rows(data: Any, train_set: Any, params: dict[str, Any]) -> int:
    if data.label is not None:
        return len(data.label)
    if data is train_set:
        construct(data, params)
    else:
        _construct_with_bins_of(train_set, data, params)
    return int(data.num_data())


def _construct_with_bins_of(train_set: Any, data: Any, params: dict[str, Any]) -> None:
    """Construct an evaluation set with the bins of the training set."""
    if not _is_constructed(data):
        construct(train_set, params)
        data.set_reference(train_set)
        construct(data, params)


# -- weights ----------------------------------------------------------------------------


def row_weight(class_weight: Array, y: Array, weight: Array | None) -> Array:
    """Return each row's weight times the weight of its class."""
    rows: Array = class_weight[y.astype(np.intp)]
    return rows if weight is None else rows * weight


@contextmanager
def weight_in_training(
    class_weight: Array,
    sets: list[Any],
    target: tuple[Array, Array | None],
    params: dict[str, Any] | None,
) -> Iterator[None]:
    """Multiply the weights of the training set by class weights during one training.

    Evaluation sets are constructed before, unless ``params`` is None. If the training set had
    weights, LightGBM would construct a Sequence with weights that are all 0.
    """
    if (class_weight == 1.0).all():
        yield
        return
    data, (y, weight) = sets[0], target
    if params is not None:
        for other in sets[1:]:
            _construct_with_bins_of(data, other, params)
    try:
        set_weight(data, row_weight(class_weight, y, weight))
        yield
    finally:
        set_weight(data, weight)


def set_weight(data: Any, weight: Array | None) -> None:
    """Set or remove the weights of the rows."""
    data.set_weight(weight)
    if _is_constructed(data):
        data.set_field("weight", weight)  # set_weight ignores None and ones
