"""Gradient harmonizing: rows weighted by how rare their gradient norm is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from boostloss.losses._base import Loss, Memory
from boostloss.losses._density import BinnedDensity, Density, WindowDensity
from boostloss.losses._frozen_ghm import FrozenGHM
from boostloss.losses._kernels import binary_norms, softmax_norms
from boostloss.losses._validation import (
    Array,
    check_choice,
    check_integer,
    check_number,
    check_raw,
)
from boostloss.losses.cross_entropy import CrossEntropy


@dataclass(frozen=True)
class GradientWeights:
    """GHM's weight as a function of the gradient norm, frozen as a round left it."""

    density: Density
    strength: float
    scale: float

    def __call__(self, norms: ArrayLike) -> Array:
        """Weight of rows with these gradient norms (in [0, 1])."""
        norms = np.asarray(norms, dtype=np.float64)
        weights: Array = self.scale * self.density.beta(norms.ravel()) ** self.strength
        return weights.reshape(norms.shape)


class GHMLoss(Loss):
    r"""Gradient harmonizing mechanism ``w_y beta(q) u`` with ``u = -log p``, ``q = 1 - p``.

    q is the norm of cross-entropy's gradient, |sigma(z) - y|. Rows are weighted by one over
    the density of their norm, so that neither the mass of easy rows (q near 0) nor the
    outliers (q near 1) dominate the sum [1]_:

        GD(g) = sum_k delta_eps(g_k, g) / l_eps(g),    beta_i = N / GD(q_i)

    with delta = 1 inside [g - eps/2, g + eps/2], valid length
    ``l_eps(g) = min(g + eps/2, 1) - max(g - eps/2, 0)`` and eps = 1/bins. beta is frozen
    within a round, hence slope = -(2y-1) w_y beta q and curvature = w_y beta p q. Sample
    weights count as repeated rows do, in the density too.

    Parameters
    ----------
    bins : int >= 1, default=10
        Number M of unit regions; the window's width is 1/M.
    density : {"bins", "window"}, default="bins"
        "window" is the definition above, exact, in O(n log n); "bins" its unit-region
        approximation, ``GD = M`` times the mass in the row's bin, in O(n).
    momentum : float in [0, 1), default=0.0
        Moving average of the bins' mass over rounds, ``S <- momentum S + (1-momentum) R``,
        starting at the first round's R (bins only).
    strength : float in [0, 1], default=1.0
        Tempers the weights: ``beta**strength``. 0 is cross-entropy.
    normalize : bool, default=True
        Scale the weights to mean 1 in each round, so that regularisation parameters keep
        their meaning; False is the literal N/GD.
    class_weight, beta
        As in :class:`~boostloss.CrossEntropy`.

    Notes
    -----
    What is hard changes as training moves, and the weights with it: use a small learning rate.
    The density jumps where a row enters a window, so the gradient sum need not vanish at any
    constant score; :meth:`base_score` then gives the place where its sign changes.

    References
    ----------
    .. [1] Li, Liu, Wang, "Gradient Harmonized Single-stage Detector", AAAI 2019,
       equations 2 to 10.

    Examples
    --------
    >>> from boostloss import GHMLoss
    >>> weights = GHMLoss(bins=2).weights([0, 0, 0, 1], [-2.0, -2.0, -2.0, -2.0])
    >>> print(weights([0.1, 0.9]).round(3))  # three easy rows share what the hard one has
    [0.667 2.   ]
    """

    name = "ghm"
    weights_move = True
    _kernels = CrossEntropy._kernels

    def __init__(
        self,
        bins: int = 10,
        density: str = "bins",
        momentum: float = 0.0,
        strength: float = 1.0,
        *,
        normalize: bool = True,
        class_weight: Any = None,
        beta: float = 0.9999,
    ) -> None:
        self.bins = bins
        self.density = density
        self.momentum = momentum
        self.strength = strength
        self.normalize = normalize
        self.class_weight = class_weight
        self.beta = beta
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_integer("bins", self.bins, 1)
        check_choice("density", self.density, ("bins", "window"))
        check_number("momentum", self.momentum, 0.0, 1.0, open_end=True)
        check_number("strength", self.strength, 0.0, 1.0)
        if not isinstance(self.normalize, bool | np.bool_):
            raise TypeError(f"normalize must be True or False, got {self.normalize!r}")
        if self.momentum > 0 and self.density == "window":
            raise ValueError(
                f"momentum must be 0 with density='window' (there are no bins to average), "
                f"got {self.momentum!r}"
            )

    def weights(
        self, y: ArrayLike, raw: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> GradientWeights:
        """Weight as a function of the gradient norm, for these rows and scores.

        Parameters and errors are those of :meth:`value`. The result is callable on norms and
        serves :meth:`posterior`.
        """
        y, raw, weight = self._check(y, raw, sample_weight)
        return self._weights(_norms(y, raw), weight, {})

    def posterior(self, raw: ArrayLike, weights: GradientWeights | None = None) -> Array:
        """Calibrated class probabilities, P_k proportional to p_k / (w_k beta(1 - p_k)).

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)
        weights : GradientWeights
            What :meth:`weights` gives for the training rows: the density is a property of a
            data set, not of this object.

        Notes
        -----
        This is the definition, which jumps where the density does. :meth:`frozen` gives a loss
        whose posterior needs no ``weights`` and never falls where the raw score rises.
        """
        if weights is None:
            raise ValueError(
                "weights must be given to GHMLoss.posterior: loss.weights(y_train, raw_train)"
            )
        self._check_params()
        raw = check_raw(raw)
        n_classes = raw.shape[1] if raw.ndim == 2 else 2
        return _AsDefined(weights)._posterior(raw, self._static_class_weight(n_classes))

    def _frozen(self, y: Array, raw: Array, weight: Array | None) -> Loss:
        class_weight = self._class_weight(y, weight, raw.shape[1] if raw.ndim == 2 else 2)
        return FrozenGHM.of(self._weights(_norms(y, raw), weight, {}), class_weight)

    def _weights(
        self, norms: Array, sample_weight: Array | None, memory: Memory
    ) -> GradientWeights:
        density: Density
        if self.density == "window":
            density = WindowDensity.of(norms, sample_weight, self.bins)
        else:
            density = BinnedDensity.of(norms, sample_weight, self.bins)
            if self.momentum > 0:
                if "density" in memory:
                    density = density.mixed_into(memory["density"], self.momentum)
                memory["density"] = density
        weights = GradientWeights(density, self.strength, 1.0)
        if not self.normalize or not len(norms):
            return weights
        mean = float(np.average(weights(norms), weights=sample_weight))
        return GradientWeights(density, self.strength, 1.0 / mean)

    def _row_weight(self, y: Array, raw: Array, weight: Array | None, memory: Memory) -> Array:
        norms = _norms(y, raw)
        row_weight = self._weights(norms, weight, memory)(norms)
        return row_weight if weight is None else row_weight * weight

    def _value(self, y: Array, raw: Array, weight: Array | None) -> Array:
        static = self._class_weight(y, weight, raw.shape[1] if raw.ndim == 2 else 2)
        row_weight = self._row_weight(y, raw, weight, {})
        return CrossEntropy(class_weight=static)._value(y, raw, row_weight)

    def _gradient_hessian(
        self, y: Array, raw: Array, weight: Array | None, factor: float, memory: Memory
    ) -> tuple[Array, Array]:
        if "class_weight" not in memory:
            n_classes = raw.shape[1] if raw.ndim == 2 else 2
            memory["class_weight"] = self._class_weight(y, weight, n_classes)
        row_weight = self._row_weight(y, raw, weight, memory)
        return super()._gradient_hessian(y, raw, row_weight, factor, memory)

    def _log_weight(self, log_p: Array, log_q: Array, shape: Array) -> Array:
        raise TypeError("GHM's weight needs the density of a data set")

    def _base_score(
        self, y: Array, weight: Array | None, counts: Array, binary: bool
    ) -> float | Array:
        class_weight = self._class_weight(y, weight, len(counts))
        if binary:
            return self._binary_base_score(counts, class_weight)
        return self._softmax_base_score_of(counts, class_weight)

    def _harmonized_counts(self, p: Array, counts: Array, class_weight: Array) -> Array:
        """Each class's total weight when all its rows have probability p_k."""
        harmonized: Array = counts * class_weight * self._weights(1.0 - p, counts, {})(1.0 - p)
        return harmonized

    def _binary_base_score(self, counts: Array, class_weight: Array) -> float:
        def gradient_sum(z: float) -> float:
            p = expit(np.array([-z, z]))
            weight = self._harmonized_counts(p, counts, class_weight)
            return float(weight[0] * p[1] - weight[1] * p[0])

        low, high = -60.0, 60.0
        while high - low > 1e-12:
            middle = (low + high) / 2
            if gradient_sum(middle) < 0:
                low = middle
            else:
                high = middle
        # the sum may jump at the place found: take the side on which it is nearer to zero
        return min(low, high, key=lambda z: abs(gradient_sum(z)))

    def _softmax_base_score_of(self, counts: Array, class_weight: Array) -> Array:
        """Damped iteration of ``p_k = w_k n_k / sum``; the step with the least imbalance."""
        p = counts / counts.sum()
        best, least = p, np.inf
        for _ in range(400):
            weight = self._harmonized_counts(p, counts, class_weight)
            wanted = weight / weight.sum()
            imbalance = float(np.abs(wanted - p).sum())
            if imbalance < least:
                best, least = p, imbalance
            p = 0.9 * p + 0.1 * wanted
        score: Array = np.log(best)
        return score


class _AsDefined(Loss):
    """Cross-entropy with a round's weights as they are: has the posterior all losses have."""

    def __init__(self, weights: GradientWeights) -> None:
        self.weights = weights

    def _log_weight(self, log_p: Array, log_q: Array, shape: Array) -> Array:
        log_weight: Array = np.log(self.weights(np.exp(log_q)))
        return log_weight


def _norms(y: Array, raw: Array) -> Array:
    norms = np.empty(len(raw), dtype=raw.dtype if raw.ndim == 1 else np.float64)
    (binary_norms if raw.ndim == 1 else softmax_norms)(raw, y, norms)
    return norms.astype(np.float64, copy=False)
