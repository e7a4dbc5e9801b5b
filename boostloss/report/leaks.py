"""Find columns that alone separate the classes perfectly, which suggests a leak."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.losses.validation import Array
from boostloss.optional import require

ENOUGH_ROWS = 10
"""Rows of the rarest class. With fewer, a column may be perfect by chance."""

ROWS_PER_CATEGORY = 5
"""Mean number of rows per category below which a category may have one class by chance."""


def perfect_columns(X: Any, y: Array) -> list[str]:
    """Return the names of columns that alone determine all labels.

    A column of numbers does so if one or two thresholds separate the classes, a column of
    categories if each category has rows of one class. Missing counts as a separate value.

    Parameters
    ----------
    X : pandas.DataFrame, array or sparse matrix
        Columns of a sparse matrix are not looked at.
    y : array of shape (n,)
        Codes 0..K-1.
    """
    if np.bincount(y).min() < ENOUGH_ROWS or not (isinstance(X, np.ndarray) or hasattr(X, "iloc")):
        return []
    if isinstance(X, np.ndarray):
        return [str(i) for i in range(X.shape[1]) if _are_perfect(X[:, i], y)]
    return [str(name) for name in X.columns if _is_perfect(X[name], y)]


def _is_perfect(column: Any, y: Array) -> bool:
    pd = require("pandas", "report")
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return _are_perfect(column.to_numpy(np.float64), y)
    codes = column.cat.codes.to_numpy(np.float64)
    return _are_perfect(codes, y, runs=len(y) / ROWS_PER_CATEGORY, are_ordered=False)


def _are_perfect(values: Array, y: Array, runs: float = 0, are_ordered: bool = True) -> bool:
    """Return whether equal values have one class, with few enough values or changes of class."""
    order = np.argsort(values, kind="stable")  # NaN comes last
    values, classes = values[order], y[order]
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    changes = classes[1:] != classes[:-1]
    if (same & changes).any():
        return False
    if are_ordered:
        return int(changes.sum()) <= int(y.max()) + 1
    return int((~same).sum()) + 1 <= runs
