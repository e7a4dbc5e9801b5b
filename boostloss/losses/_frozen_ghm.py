"""GHM's weights as one round left them, small enough to be saved beside a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from boostloss.losses._base import Loss
from boostloss.losses._validation import Array

NODES = 255


class FrozenGHM(Loss):
    """Cross-entropy weighted by a fixed function of p, made so that the posterior is monotone.

    GHM's weight beta(1 - p) jumps with the density, so that ``p / beta(1 - p)``, to which a
    class's posterior is proportional, can fall where p rises. This loss takes for its logarithm
    the mean of the nearest increasing functions above and below, given at ``NODES`` equidistant
    p and linear in log p between them: a higher score never means a lower probability.

    It serves :meth:`posterior` alone and is made by :meth:`boostloss.GHMLoss.frozen`.

    Parameters
    ----------
    log_weight : sequence of float, or one such sequence for each class
        ``log w`` at p = 1/(n+1), ..., n/(n+1).
    class_weight : None or one number for each class
    """

    name = "frozen_ghm"

    beta = 0.0  # no class weight is counted here

    def __init__(self, log_weight: Sequence[Any], *, class_weight: Any = None) -> None:
        self.log_weight = log_weight
        self.class_weight = class_weight
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        try:
            table = np.asarray(self.log_weight, dtype=np.float64)
        except (TypeError, ValueError):
            table = np.empty(0)  # of lists of different lengths, or not of numbers
        if table.ndim not in (1, 2) or not table.size or not np.isfinite(table).all():
            raise ValueError(f"log_weight must hold finite numbers, got {self.log_weight!r}")

    @classmethod
    def of(cls, weights: Callable[[Any, Any], Array], class_weight: Array) -> FrozenGHM:
        """Table of weights as a function of the gradient norm q = 1 - p and the label."""
        tables = [_table(weights, label) for label in range(len(class_weight))]
        same = all(table == tables[0] for table in tables)
        return cls(tables[0] if same else tables, class_weight=class_weight.tolist())

    def _shape(self, n_classes: int) -> Array:
        table = np.asarray(self.log_weight)
        if table.ndim == 2 and len(table) != n_classes:
            raise ValueError(
                f"raw must be scores of {len(table)} classes, as in training, got {n_classes}"
            )
        return super()._shape(n_classes)

    def _log_weight(self, log_p: Array, log_q: Array, label: Any) -> Array:
        table = np.asarray(self.log_weight)
        if table.ndim == 1:
            return _read(table, log_p)
        if np.ndim(label) == 0:
            return _read(table[label], log_p)
        return np.stack([_read(table[k], log_p[:, k]) for k in label], axis=1)

    def _value(self, *arguments: Any) -> Array:
        raise TypeError("FrozenGHM has a posterior only: its value is GHMLoss's")

    def _gradient_hessian(self, *arguments: Any) -> tuple[Array, Array, bool]:
        raise TypeError("FrozenGHM has a posterior only: its gradient is GHMLoss's")


def _table(weights: Callable[[Any, Any], Array], label: int) -> list[float]:
    p = _nodes(NODES)
    log_odds = np.log(p) - np.log(weights(1.0 - p, label))
    above = np.maximum.accumulate(log_odds)
    below = np.minimum.accumulate(log_odds[::-1])[::-1]
    table: list[float] = (np.log(p) - (above + below) / 2.0).tolist()
    return table


def _read(table: Array, log_p: Array) -> Array:
    nodes = np.log(_nodes(len(table)))
    # outside the table the weight is that of its end
    inside = np.clip(log_p, nodes[0], nodes[-1])
    log_weight: Array = inside - np.interp(inside, nodes, nodes - table)
    return log_weight


def _nodes(count: int) -> Array:
    nodes: Array = np.arange(1, count + 1) / (count + 1)
    return nodes
