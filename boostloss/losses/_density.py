"""How dense the gradient norms of a data set are, and the weights that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boostloss.losses._validation import Array


@dataclass(frozen=True)
class BinnedDensity:
    """Unit-region approximation: M equal bins on [0, 1], GD = (mass in the bin) * M.

    ``mass`` holds the bins' summed row weights, ``total`` the sum N over all rows.
    """

    mass: Array
    total: float
    least: float

    @classmethod
    def of(cls, norms: Array, row_weight: Array | None, bins: int) -> BinnedDensity:
        """Density of the norms of one round."""
        mass = np.bincount(_bin(norms, bins), weights=row_weight, minlength=bins)
        mass = mass.astype(np.float64)
        return cls(mass, _total(norms, row_weight), _least(mass))

    def mixed_into(self, earlier: BinnedDensity, momentum: float) -> BinnedDensity:
        """Moving average ``S <- momentum S + (1 - momentum) R`` with this round's R."""
        mass = momentum * earlier.mass + (1.0 - momentum) * self.mass
        return BinnedDensity(mass, self.total, _least(mass))

    def beta(self, norms: Array) -> Array:
        """``N / GD``. A bin without rows counts as the least filled one with rows."""
        bins = len(self.mass)
        table = self.total / (np.maximum(self.mass, self.least) * bins)
        weights: Array = table[_bin(norms, bins)]
        return weights


@dataclass(frozen=True)
class WindowDensity:
    """The definition: mass in [g - eps/2, g + eps/2] over the window's valid length.

    ``norms`` are sorted and ``cumulative[i]`` is the weight of the first i of them, so that
    a window's mass is the difference of two look-ups.
    """

    norms: Array
    cumulative: Array
    width: float
    total: float
    least: float

    @classmethod
    def of(cls, norms: Array, row_weight: Array | None, bins: int) -> WindowDensity:
        """Density of the norms of one round; window width 1 / bins."""
        order = np.argsort(norms)
        weight = np.ones(len(norms)) if row_weight is None else row_weight[order]
        cumulative = np.concatenate([[0.0], np.cumsum(weight, dtype=np.float64)])
        total = _total(norms, row_weight)
        return cls(norms[order], cumulative, 1.0 / bins, total, _least(weight))

    def beta(self, norms: Array) -> Array:
        """``N / GD``. A window without rows counts as if the lightest row stood there."""
        low, high = norms - self.width / 2, norms + self.width / 2
        # sorted queries walk the array in order: 5 times faster than random ones
        order = np.argsort(norms)
        mass = np.empty(len(norms))
        upper = np.searchsorted(self.norms, high[order], side="right")
        lower = np.searchsorted(self.norms, low[order], side="left")
        mass[order] = self.cumulative[upper] - self.cumulative[lower]
        length = np.minimum(high, 1.0) - np.maximum(low, 0.0)
        weights: Array = self.total * length / np.maximum(mass, self.least)
        return weights


Density = BinnedDensity | WindowDensity


def _bin(norms: Array, bins: int) -> Array:
    index: Array = np.minimum((norms * bins).astype(np.intp), bins - 1)
    return index


def _total(norms: Array, row_weight: Array | None) -> float:
    return float(len(norms)) if row_weight is None else float(row_weight.sum(dtype=np.float64))


def _least(mass: Array) -> float:
    return float(mass[mass > 0].min(initial=np.inf))
