"""Compute statistics of labels in Dask collections on the workers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite

from boostloss.labels import as_column, check_classes, codes_of, unique_labels
from boostloss.losses import FittedLoss, calibration, validation
from boostloss.losses.validation import Array, check_raw, check_sample_weight
from boostloss.optional import require

__all__ = ["class_counts"]


def class_counts(y: Any, sample_weight: Any = None, *, client: Any = None) -> tuple[Array, Array]:
    """Count the rows of each label, or sum their weights, over all partitions.

    A loss needs only these counts: a data set with one row for each class and the counts as weights
    has the same class weights and the same intercept.

    Parameters
    ----------
    y : dask Array, Series or DataFrame of one column
        Labels of any type.
    sample_weight : dask Array, Series or DataFrame of one column, optional
        Weights, at least 0, with as many partitions as ``y``.
    client : distributed.Client, optional
        The client that computes. By default Dask chooses.

    Returns
    -------
    labels : array of shape (K,)
        Sorted labels.
    counts : array of shape (K,)
        Number of rows of each label, or the sum of their weights.

    Raises
    ------
    ValueError, TypeError
        If labels are missing, of several types or of fewer than two classes, weights are invalid,
        partitions do not match, or an argument is not a Dask collection.

    See Also
    --------
    boostloss.xgboost.dask_train : Trains XGBoost on Dask with a loss.
    boostloss.lightgbm.dask_train : Trains LightGBM on Dask with a loss.

    Examples
    --------
    >>> import dask.array as da
    >>> from boostloss import CrossEntropy
    >>> from boostloss.dask import class_counts
    >>> labels, counts = class_counts(da.from_array([0, 0, 0, 1], chunks=2))
    >>> print(CrossEntropy(class_weight="balanced").fit(labels, None, counts).class_weight.round(3))
    [0.667 2.   ]
    """
    parts = partitions("y", y)
    tasks = for_each_part(
        part_counts, parts, partitions_like("sample_weight", sample_weight, parts)
    )
    labels, counts = merged_counts(computed(tasks, client))
    check_classes(labels)
    return labels, counts


# -- used by the engines' modules ---------------------------------------------------------


def partitions(name: str, collection: Any, *, one_column: bool = True) -> list[Any]:
    """Return the parts of a collection as delayed objects."""
    if not hasattr(collection, "to_delayed"):
        raise TypeError(
            f"{name} must be a Dask array, series or data frame, got {type(collection).__name__}"
        )
    if one_column and len(collection.shape) == 2 and collection.shape[1] != 1:
        raise ValueError(f"{name} must have one column, got shape {collection.shape}")
    parts = collection.to_delayed()
    return list(parts.ravel()) if isinstance(parts, np.ndarray) else list(parts)


def partitions_like(
    name: str, collection: Any, others: list[Any], *, one_column: bool = True
) -> list[Any]:
    """Return the delayed parts that match those of ``y``, or Nones without a collection."""
    if collection is None:
        return [None] * len(others)
    parts = partitions(name, collection, one_column=one_column)
    if len(parts) != len(others):
        raise ValueError(
            f"{name} must have as many partitions as y, {len(others)}, got {len(parts)}"
        )
    return parts


def for_each_part(function: Any, *arguments: list[Any]) -> list[Any]:
    """Return delayed calls: one with the first element of each list, and so on."""
    delayed = require("dask", "dask").delayed(function, pure=False)
    return [delayed(*of_part) for of_part in zip(*arguments, strict=True)]


def computed(tasks: list[Any], client: Any) -> list[Any]:
    """Compute the results of delayed tasks."""
    if client is not None:
        return list(client.gather(client.compute(tasks)))
    return list(require("dask", "dask").compute(*tasks))


def part_counts(y: Any, sample_weight: Any) -> tuple[Array, Array]:
    """Return the labels of one part, and the number of rows, or sum of weights, of each."""
    y = as_column(y)
    assert_all_finite(y, input_name="y")
    weight = _part_weight(sample_weight, len(y))
    labels, codes = unique_labels(y, "y")
    return labels, validation.class_counts(codes, weight, len(labels))


def merged_counts(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Merge the results of :func:`part_counts`. There must be at least two labels."""
    found = [(labels, counts) for labels, counts in parts if len(labels)]
    if not found:
        raise ValueError("y must contain at least two classes, got no rows")
    labels, codes = unique_labels(np.concatenate([labels for labels, _ in found]), "y")
    if len(labels) < 2:
        raise ValueError(f"y must contain at least two classes, got one class, {labels.tolist()}")
    return labels, np.bincount(codes, weights=np.concatenate([counts for _, counts in found]))


def check_labels_seen(y: Any, labels: Array, name: str, client: Any) -> None:
    """Raise an error for labels that were not seen in training."""
    parts = partitions(name, y)
    for found, _ in computed(for_each_part(part_counts, parts, [None] * len(parts)), client):
        codes_of(found, labels, name)


def encoded(y: Any, labels: Array, name: str) -> Any:
    """Return codes 0..K-1 as a lazy Dask array with the parts of ``y``."""
    array = y if hasattr(y, "map_blocks") else y.to_dask_array()
    drop = [1] if array.ndim == 2 else []
    meta = np.empty(0, dtype=np.intp)
    return array.map_blocks(codes_of, labels, name, drop_axis=drop, meta=meta)


def fit_parts(loss: Any, codes: Any, raw: Any, sample_weight: Any, client: Any) -> FittedLoss:
    """Fit a loss, whose class weights are numbers, to all rows by sums over the parts."""
    y = partitions("y", codes)
    raw_parts = partitions_like("raw", raw, y, one_column=False)
    parts = [y, raw_parts, partitions_like("sample_weight", sample_weight, y)]
    return fit_partitions(loss, parts, raw.shape[1] if raw.ndim == 2 else 2, client)


def fit_partitions(loss: Any, parts: list[list[Any]], n_classes: int, client: Any) -> FittedLoss:
    """Do as :func:`fit_parts`, with lists of labels, raw scores and weights of the parts."""
    class_weight = loss.class_weights(None, n_classes)
    if loss.depends_on_all_scores:
        tasks = for_each_part(_part_mass, *parts, [loss] * len(parts[0]))
        mass: Array = sum(computed(tasks, client))  # type: ignore[assignment]
        fitted: FittedLoss = loss.fit_mass(mass, class_weight)
    else:
        fitted = FittedLoss(loss.with_class_weight(class_weight))
    return fitted.with_offset(_offset(fitted, parts, client))


def _offset(fitted: FittedLoss, parts: list[list[Any]], client: Any) -> Array:
    """Return the offset at which the mean posterior over all parts equals the class share."""
    tasks = for_each_part(_part_odds, *parts, [fitted] * len(parts[0]))
    if client is not None:  # keep them, since each step sums over all parts
        tasks = list(client.persist(tasks))

    def summed(function: Any, *arguments: Any) -> Array:
        repeated = [[argument] * len(tasks) for argument in arguments]
        found: Array = sum(computed(for_each_part(function, tasks, *repeated), client))  # type: ignore[assignment]
        return found

    counts = summed(_counts_of_odds)
    if not (counts > 0).all():
        return np.zeros(len(counts))
    return calibration.offset_for_shares(lambda offset: summed(_moments_of_odds, offset), counts)


def _part_odds(y: Array, raw: Any, sample_weight: Any, fitted: FittedLoss) -> Any:
    """Return log-odds and weights of one part, and its number of rows or weight per class."""
    weight = _part_weight(sample_weight, len(y))
    counts = validation.class_counts(np.asarray(y), weight, fitted.n_classes)
    odds = calibration.relative_log_odds(fitted.compiled_log_posterior(check_raw(raw)))
    return odds, weight, counts


def _counts_of_odds(part: Any) -> Array:
    counts: Array = part[2]
    return counts


def _moments_of_odds(part: Any, offset: Array) -> Array:
    return calibration.moment_sums(part[0], part[1], offset)


def _part_weight(sample_weight: Any, n_rows: int) -> Array | None:
    weight = None if sample_weight is None else np.asarray(sample_weight).ravel()
    return check_sample_weight(weight, n_rows, zero_allowed=True)


def _part_mass(y: Array, raw: Any, sample_weight: Any, loss: Any) -> Array:
    mass: Array = loss.density_mass(y, raw, _part_weight(sample_weight, len(y)))
    return mass
