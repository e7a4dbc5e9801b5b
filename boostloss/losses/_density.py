"""How dense the gradient norms of a data set are, and the weights that follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from boostloss.losses import _harmonize
from boostloss.losses._validation import Array

EXACT_ROWS = 4096
"""A window's mass is counted exactly up to so many rows; beyond, norms are rounded first."""

FINE_CELLS = 1 << 15


class Grid(NamedTuple):
    """Cells on [0, 1]: that of a norm g is ``floor(g*cells + shift)``, at most ``last``."""

    cells: np.float32
    shift: np.float32
    last: np.float32

    @classmethod
    def regions(cls, bins: int) -> Grid:
        """M equal bins."""
        return cls(np.float32(bins), np.float32(0), np.float32(bins - 1))

    @classmethod
    def rounding(cls) -> Grid:
        """Norms rounded to the nearest multiple of 2**-15."""
        return cls(np.float32(FINE_CELLS), np.float32(0.5), np.float32(FINE_CELLS))

    def of(self, norms: Array) -> Array:
        """Cell of each norm."""
        cells: Array = np.minimum(norms * self.cells + self.shift, self.last).astype(np.int32)
        return cells

    def mass(self, norms: Array, row_weight: Array | None) -> Array:
        """Rows in each cell, or their summed weights; norms may have a sign."""
        mass: Array
        if row_weight is None:
            mass = _harmonize.count(norms, tuple(self)).sum(axis=0, dtype=np.float64)
        else:
            mass = _harmonize.add_up(norms, row_weight, tuple(self))
        return mass


class CellDensity(NamedTuple):
    """``beta = N / GD`` for each cell of a grid."""

    grid: Grid
    cell_beta: Array

    def beta(self, norms: Array) -> Array:
        """``N / GD`` of each norm."""
        weights: Array = self.cell_beta[self.grid.of(norms)]
        return weights


def region_beta(mass: Array) -> Array:
    """Unit-region approximation: ``GD = M`` times the mass of the row's bin.

    A bin without rows counts as the least filled one with rows.
    """
    weights: Array = mass.sum() / (np.maximum(mass, _least(mass)) * len(mass))
    return weights


def window_beta(mass: Array, width: float) -> Array:
    """The definition, on rounded norms."""
    beta: Array = _harmonize.window_beta(mass, width, _least(mass))
    return beta


class WindowDensity(NamedTuple):
    """The definition itself.

    ``norms`` are sorted and ``cumulative[i]`` is the weight of the first i of them, so that
    a window's mass is the difference of two look-ups.
    """

    norms: Array
    cumulative: Array
    width: float
    least: float

    @classmethod
    def of(cls, norms: Array, row_weight: Array | None, width: float) -> WindowDensity:
        """Density of the norms of one round."""
        order = np.argsort(norms)
        weight = np.ones(len(norms)) if row_weight is None else row_weight[order]
        cumulative = np.concatenate([[0.0], np.cumsum(weight, dtype=np.float64)])
        return cls(norms[order], cumulative, width, _least(weight))

    def beta(self, norms: Array) -> Array:
        """``N / GD``. A window without rows counts as if the lightest row stood there."""
        low, high = norms - self.width / 2, norms + self.width / 2
        upper = self.cumulative[np.searchsorted(self.norms, high, side="right")]
        lower = self.cumulative[np.searchsorted(self.norms, low, side="left")]
        length = _length(norms, self.width)
        weights: Array = self.cumulative[-1] * length / np.maximum(upper - lower, self.least)
        return weights


Density = CellDensity | WindowDensity


def _length(norms: Array, width: float) -> Array:
    """Valid length of the window around each norm."""
    length: Array = np.minimum(norms + width / 2, 1.0) - np.maximum(norms - width / 2, 0.0)
    return length


def _least(mass: Array) -> float:
    """Smallest mass where there is any, at least 1e-30 of all: N / GD must fit float32."""
    return max(float(mass[mass > 0].min(initial=np.inf)), 1e-30 * float(mass.sum()))
