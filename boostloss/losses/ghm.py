"""Gradient harmonizing: rows weighted by how rare their gradient norm is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import bisect
from scipy.special import expit

from boostloss.losses import _class_density, _harmonize
from boostloss.losses._base import FARTHEST, Loss, Memory
from boostloss.losses._class_density import ClassWeights, class_mass
from boostloss.losses._density import (
    EXACT_ROWS,
    CellDensity,
    Density,
    Grid,
    WindowDensity,
    region_beta,
    window_beta,
)
from boostloss.losses._frozen_ghm import FrozenGHM
from boostloss.losses._norms import gradient_norms
from boostloss.losses._threads import in_parts
from boostloss.losses._validation import (
    Array,
    check_choice,
    check_integer,
    check_number,
    check_raw,
    n_classes_of,
    not_allowed,
)
from boostloss.losses._workers import ALONE, Workers
from boostloss.losses.cross_entropy import CrossEntropy


class GradientWeights(NamedTuple):
    """GHM's weight as a function of the gradient norm, frozen as a round left it."""

    density: Density
    strength: float
    scale: float

    def __call__(self, norms: ArrayLike, y: ArrayLike | None = None) -> Array:
        """Weight of rows with these gradient norms (in [0, 1]), whatever their label."""
        norms = np.asarray(norms, dtype=np.float64)
        weights: Array = self.scale * self.density.beta(norms.ravel()) ** self.strength
        return weights.reshape(norms.shape)

    def of_cells(self) -> Array:
        """Weight of each of the density's cells."""
        assert isinstance(self.density, CellDensity)
        table: Array = self.density.cell_beta**self.strength
        table *= self.scale
        return table


Weights = GradientWeights | ClassWeights


class GHMLoss(Loss):
    r"""Gradient harmonizing mechanism ``w_y beta(q) u`` with ``u = -log p``, ``q = 1 - p``.

    q is the norm of cross-entropy's gradient, ``|sigma(z) - y|``. Rows are weighted by one over
    the density of their norm, so that neither the mass of easy rows (q near 0) nor the
    outliers (q near 1) dominate the sum [1]_:

        GD(g) = sum_k delta_eps(g_k, g) / l_eps(g),    beta_i = N / GD(q_i)

    with delta = 1 inside [g - eps/2, g + eps/2], valid length
    ``l_eps(g) = min(g + eps/2, 1) - max(g - eps/2, 0)`` and eps = 1/bins. beta is frozen
    within a round, hence slope = -(2y-1) w_y beta q and curvature = w_y beta p q. Sample
    weights count as repeated rows do, in the density too.

    That definition is ``density="window"``, or ``"bins"``. In boosting it is fragile: a nearly
    empty region hands its few rows, often wrong labels, a whole region's weight. The default
    ``density="class"`` therefore counts each class by itself, with a triangular window (linear
    between M nodes ``(j + 1/2)/M``), and lets no row weigh more than an easier one of its class:

        beta_y(g) = min over nodes g' <= g of (GD_y(g')/N_y + 1/10)**-strength

    Easy rows keep their weight, as in cross-entropy, whose sum boosting can cope with; where a
    class's hard rows are dense, as wrong labels are, they lose theirs. Each class keeps its total
    weight, so that the intercept is cross-entropy's.

    Parameters
    ----------
    bins : int >= 1, default=10
        Number M of unit regions; the window's width is 1/M ("class": 2/M at its foot).
    density : {"class", "bins", "window"}, default="class"
        "window" is the definition above; with more than 4,096 rows the norms are first rounded
        to multiples of 2**-15, which makes it O(n). "bins" is its unit-region approximation,
        ``GD = M`` times the mass in the row's bin.
    momentum : float in [0, 1), default=0.0
        Moving average of the mass over rounds, ``S <- momentum S + (1-momentum) R``,
        starting at the first round's R (not for "window").
    strength : float in [0, 1], optional
        Tempers the weights: ``beta**strength``. 0 is cross-entropy. Default: 0.25 for "class", 1,
        the definition, for "bins" and "window".
    normalize : bool, default=True
        Scale the weights to mean 1 in each round ("class": and each class), so that
        regularisation parameters keep their meaning; False is the literal N/GD.
    class_weight, beta
        As in :class:`~boostloss.CrossEntropy`.

    Notes
    -----
    What is hard changes as training moves, and the weights with it: use a small learning rate.
    With "bins" and "window" the density jumps where a row enters a window, so the gradient sum
    need not vanish at any constant score; :meth:`base_score` then gives the place where its sign
    changes.

    References
    ----------
    .. [1] Li, Liu, Wang, "Gradient Harmonized Single-stage Detector", AAAI 2019,
       equations 2 to 10.

    Examples
    --------
    >>> from boostloss import GHMLoss
    >>> published = GHMLoss(bins=2, density="bins")
    >>> weights = published.weights([0, 0, 0, 1], [-2.0, -2.0, -2.0, -2.0])
    >>> print(weights([0.1, 0.9]).round(3))  # three easy rows share what the hard one has
    [0.667 2.   ]
    >>> weights = GHMLoss().weights([0, 1, 1, 1], [-2.0, -2.0, -2.0, 2.0])
    >>> print(weights([0.1, 0.9], y=1).round(3))  # most positives are hard: they lose weight
    [1.203 0.92 ]
    """

    name = "ghm"
    weights_move = True
    _kernels = CrossEntropy._kernels

    def __init__(
        self,
        bins: int = 10,
        density: str = "class",
        momentum: float = 0.0,
        strength: float | None = None,
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
        check_choice("density", self.density, ("class", "bins", "window"))
        check_number("momentum", self.momentum, 0.0, 1.0, open_end=True)
        if self.strength is not None:
            check_number("strength", self.strength, 0.0, 1.0)
        if not isinstance(self.normalize, bool | np.bool_):
            raise TypeError(f"normalize must be True or False, got {self.normalize!r}")
        if self.momentum > 0 and self.density == "window":
            raise ValueError(
                f"momentum must be 0 with density='window' (there are no bins to average), "
                f"got {self.momentum!r}"
            )

    def weights(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        workers: Workers = ALONE,
    ) -> Weights:
        """Weight as a function of the gradient norm, for these rows and scores.

        Parameters and errors are those of :meth:`value`. The result is callable on norms and
        labels, ``weights(norms, y)``, and serves :meth:`posterior`.
        """
        y, raw, weight = workers.together(self._check, y, raw, sample_weight, workers)
        return self._weights_at(y, raw, weight, workers)

    def posterior(self, raw: ArrayLike, weights: Weights | None = None) -> Array:
        """Calibrated class probabilities, P_k proportional to p_k / (w_k beta(1 - p_k)).

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)
        weights : Weights
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
        return _AsDefined(weights)._posterior(raw, self._static_class_weight(n_classes_of(raw)))

    def _frozen(self, y: Array, raw: Array, weight: Array | None, workers: Workers) -> Loss:
        class_weight = self._class_weight(y, weight, n_classes_of(raw), workers)
        return FrozenGHM.of(self._weights_at(y, raw, weight, workers).__call__, class_weight)

    def _frozen_of_mass(self, mass: Array, class_weight: Array) -> Loss:
        """As :meth:`frozen`, from the summed :meth:`_mass` of all rows."""
        return FrozenGHM.of(self._weights_of_mass(mass).__call__, class_weight)

    def _weights_at(
        self, y: Array, raw: Array, weight: Array | None, workers: Workers = ALONE
    ) -> Weights:
        if workers.alone and not len(y):
            raise ValueError("y must hold at least one row: there is no density without")
        norms, n_classes = gradient_norms(y, raw)[0], n_classes_of(raw)
        return self._weights(norms, y, weight, n_classes, {}, workers=workers)

    @property
    def _strength(self) -> float:
        if self.strength is not None:
            return self.strength
        return 0.25 if self.density == "class" else 1.0

    def _weights(
        self,
        norms: Array,
        y: Array,
        sample_weight: Array | None,
        n_classes: int,
        memory: Memory,
        n_threads: int = 1,
        workers: Workers = ALONE,
    ) -> Weights:
        """Weights of one round; ``norms`` may have a sign."""
        if self.density == "window" and workers.alone and len(norms) <= EXACT_ROWS:
            return self._weights_of_window(np.abs(norms), sample_weight)
        mass = workers.sum(self._mass(norms, y, sample_weight, n_classes, n_threads))
        return self._weights_of_mass(self._averaged(mass, memory))

    def _weights_of_window(self, norms: Array, sample_weight: Array | None) -> Weights:
        density = WindowDensity.of(norms, sample_weight, 1.0 / self.bins)
        mass = np.ones(len(norms)) if sample_weight is None else sample_weight
        return self._tempered(density, density.beta(norms), mass)

    @property
    def _grid(self) -> Grid:
        return Grid.rounding() if self.density == "window" else Grid.regions(self.bins)

    def _mass(
        self, norms: Array, y: Array, weight: Array | None, n_classes: int, n_threads: int = 1
    ) -> Array:
        """What the rows add to the density: the sum over their parts is that of all rows."""
        if self.density == "class":
            return class_mass(norms, y, weight, n_classes, self.bins, n_threads)
        grid = self._grid

        def work(start: int, stop: int) -> Array:
            some = None if weight is None else weight[start:stop]
            return grid.mass(norms[start:stop], some)

        total: Array = sum(in_parts(work, len(norms), len(norms), n_threads))  # type: ignore[assignment]
        return total

    def _weights_of_mass(self, mass: Array) -> Weights:
        if self.density == "class":
            return ClassWeights.of(mass, self._strength, self.normalize)
        window = self.density == "window"
        beta = window_beta(mass, 1.0 / self.bins) if window else region_beta(mass)
        return self._tempered(CellDensity(self._grid, beta), beta, mass)

    def _tempered(self, density: Density, beta: Array, mass: Array) -> Weights:
        """Weights ``beta**strength``, scaled so that their mean over ``mass`` is 1."""
        scale = 1.0
        if self.normalize and mass.any():
            scale /= np.average(beta**self._strength, weights=mass)
        return GradientWeights(density, self._strength, scale)

    def _averaged(self, mass: Array, memory: Memory) -> Array:
        if "mass" in memory:
            mass = self.momentum * memory["mass"] + (1.0 - self.momentum) * mass
        memory["mass"] = mass
        return mass

    def _value(self, y: Array, raw: Array, weight: Array | None, workers: Workers = ALONE) -> Array:
        static = self._class_weight(y, weight, n_classes_of(raw), workers)
        norms, _ = gradient_norms(y, raw)
        weights = self._weights(norms, y, weight, n_classes_of(raw), {}, workers=workers)
        row_weight = weights(norms, y)
        row_weight = row_weight if weight is None else row_weight * weight
        return CrossEntropy(class_weight=static)._value(y, raw, row_weight)

    def _gradient_hessian(
        self,
        y: Array,
        raw: Array,
        weight: Array | None,
        factor: float,
        memory: Memory,
        n_threads: int,
        workers: Workers,
    ) -> tuple[Array, Array, bool]:
        if raw.ndim == 2:
            row_weight = self._row_weight(y, raw, weight, memory, n_threads, workers)
            return super()._gradient_hessian(y, raw, row_weight, factor, memory, n_threads, workers)
        plain: Memory = {"class_weight": np.ones(2), "outputs": memory.pop("outputs", None)}
        gradient, hessian, bad = super()._gradient_hessian(
            y, raw, None, factor, plain, n_threads, workers
        )
        memory["outputs"] = plain.pop("outputs")
        if workers.any(bad or not_allowed(weight)):
            self._refuse(y, raw, weight, workers)
        weights = self._weights(gradient, y, weight, 2, memory, n_threads, workers)
        class_weight = memory["class_weight"].astype(np.float32)
        if isinstance(weights, ClassWeights):
            lines = _flat(weights, class_weight[:, None])

            def work_class(start: int, stop: int) -> None:
                rows = slice(start, stop)
                some = None if weight is None else weight[rows]
                _class_density.rescale(
                    gradient[rows], hessian[rows], y[rows], some, lines, self.bins
                )

            in_parts(work_class, len(raw), len(raw), n_threads)
        elif isinstance(weights.density, CellDensity):
            table, grid = weights.of_cells().astype(np.float32), tuple(weights.density.grid)

            def work(start: int, stop: int) -> None:
                rows = slice(start, stop)
                some = None if weight is None else weight[rows]
                _harmonize.rescale(
                    gradient[rows], hessian[rows], y[rows], some, class_weight, table, grid
                )

            in_parts(work, len(raw), len(raw), n_threads)
        else:
            row_weight = weights(np.abs(gradient), y) * class_weight[y.astype(np.intp)]
            row_weight = (row_weight if weight is None else row_weight * weight).astype(np.float32)
            gradient *= row_weight
            hessian *= row_weight
        return gradient, hessian, False

    def _row_weight(
        self,
        y: Array,
        raw: Array,
        weight: Array | None,
        memory: Memory,
        n_threads: int,
        workers: Workers,
    ) -> Array:
        """Each row's weight, its sample weight included."""
        norms, bad = gradient_norms(y, raw, n_threads)
        if workers.any(bad or not_allowed(weight)):
            self._refuse(y, raw, weight, workers)
        weights = self._weights(norms, y, weight, raw.shape[1], memory, n_threads, workers)
        if isinstance(weights, ClassWeights):
            _class_density.look_up(norms, y, weight, _flat(weights, 1.0), self.bins)
        elif isinstance(weights.density, CellDensity):
            table = weights.of_cells().astype(norms.dtype)
            _harmonize.look_up(norms, weight, table, tuple(weights.density.grid))
        else:
            norms = weights(norms, y)
            norms = norms if weight is None else norms * weight
        return norms

    def _log_weight(self, log_p: Array, log_q: Array, label: Any) -> Array:
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
        norms = (1.0 - p).astype(np.float32)  # as in training
        y = np.arange(len(p))
        weights = self._weights(norms, y, counts, len(p), {})
        harmonized: Array = counts * class_weight * weights(norms, y)
        return harmonized

    def _binary_base_score(self, counts: Array, class_weight: Array) -> float:
        def gradient_sum(z: float) -> float:
            p = expit(np.array([-z, z]))
            weight = self._harmonized_counts(p, counts, class_weight)
            return float(weight[0] * p[1] - weight[1] * p[0])

        zero = bisect(gradient_sum, -FARTHEST, FARTHEST, xtol=1e-12)
        # the sum may jump there: take the side on which it is nearer to zero, far enough from the
        # jump for float32 to tell
        near = [zero - 5e-7, zero, zero + 5e-7]
        return min(near, key=lambda z: abs(gradient_sum(z)))

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

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def _log_weight(self, log_p: Array, log_q: Array, label: Any) -> Array:
        y = np.broadcast_to(label, np.shape(log_q))
        log_weight: Array = np.log(self.weights(np.exp(log_q), y))
        return log_weight


def _flat(weights: ClassWeights, factor: Any) -> tuple[Array, Array]:
    """The weights' lines as the loops take them."""
    left, step = weights.lines()
    return (left * factor).astype(np.float32).ravel(), (step * factor).astype(np.float32).ravel()
