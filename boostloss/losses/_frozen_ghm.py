"""GHM's weights as one round left them, small enough to be saved beside a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from boostloss.losses._base import Loss
from boostloss.losses._validation import Array, check_number

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
    log_weight : sequence of float
        ``log w`` at p = 1/(n+1), ..., n/(n+1).
    class_weight : None or one number for each class
    """

    name = "frozen_ghm"

    beta = 0.0  # no class weight is counted here

    def __init__(self, log_weight: Sequence[float], *, class_weight: Any = None) -> None:
        self.log_weight = log_weight
        self.class_weight = class_weight
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        if np.ndim(self.log_weight) != 1 or not len(self.log_weight):
            raise ValueError(f"log_weight must hold numbers, got {self.log_weight!r}")
        for number in self.log_weight:
            check_number("log_weight", number, -np.inf)

    @classmethod
    def of(cls, weight_of_norm: Callable[[Array], Array], class_weight: Array) -> FrozenGHM:
        """Table of a weight function of the gradient norm q = 1 - p."""
        p = _nodes(NODES)
        log_odds = np.log(p) - np.log(weight_of_norm(1.0 - p))
        above = np.maximum.accumulate(log_odds)
        below = np.minimum.accumulate(log_odds[::-1])[::-1]
        log_weight = np.log(p) - (above + below) / 2.0
        return cls(log_weight.tolist(), class_weight=class_weight.tolist())

    def _log_weight(self, log_p: Array, log_q: Array, shape: Array) -> Array:
        log_weight = np.asarray(self.log_weight)
        nodes = np.log(_nodes(len(log_weight)))
        # outside the table the weight is that of its end
        inside = np.clip(log_p, nodes[0], nodes[-1])
        weight: Array = inside - np.interp(inside, nodes, nodes - log_weight)
        return weight

    def _value(self, y: Array, raw: Array, weight: Array | None) -> Array:
        raise TypeError("FrozenGHM has a posterior only: its value is GHMLoss's")

    def _gradient_hessian(self, *arguments: Any) -> tuple[Array, Array, bool]:
        raise TypeError("FrozenGHM has a posterior only: its gradient is GHMLoss's")


def _nodes(count: int) -> Array:
    nodes: Array = np.arange(1, count + 1) / (count + 1)
    return nodes
