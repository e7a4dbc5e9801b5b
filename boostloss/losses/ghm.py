"""Define the gradient harmonizing mechanism (GHM): weights by the density of gradient norms."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import bisect
from scipy.special import expit

from boostloss.losses.base import FARTHEST, Loss, gradient_norms, warn_of_former_name
from boostloss.losses.class_weight import ClassWeight, ClassWeightParameters
from boostloss.losses.cross_entropy import CrossEntropy
from boostloss.losses.fitted import FittedLoss, monotone_table
from boostloss.losses.registry import register
from boostloss.losses.run import ALONE, TrainingRun, Workers
from boostloss.losses.validation import (
    Array,
    check_choice,
    check_integer,
    check_number,
    n_classes_of,
    not_allowed,
)

if TYPE_CHECKING:
    from boostloss.kernels.histogram import Grid

EXACT_ROWS = 4096
"""Largest number of rows for which windows are counted exactly. With more, norms are rounded."""

FINE_CELLS = 1 << 15

Density = Literal["class", "bins", "window"]


class GHMParameters(ClassWeightParameters, total=False):
    """Keyword-only arguments of :class:`GHMLoss`, for type checkers."""

    momentum: float
    strength: float | None
    normalize: bool


FLOOR = 0.1
"""Added to the density of each class, whose mean is 1, so that weights in empty regions stay
bounded."""


@functools.cache
def _counting() -> Any:
    from boostloss.kernels import histogram  # imported late: reading a model needs no compiler

    return histogram


@functools.cache
def _grid_of(density: str, bins: int) -> Grid:
    of = _counting().Grid.of
    grid: Grid
    if density == "window":  # norms rounded to the nearest multiple of 2**-15
        grid = of(FINE_CELLS, 0.5, FINE_CELLS)
    elif density == "bins":
        grid = of(bins, 0.0, bins - 1)
    else:  # between the nodes (j + 1/2)/M; the outermost cells are half as wide
        grid = of(bins, 0.5, bins)
    return grid


# -- weights as a function of the gradient norm ------------------------------------------------


class NormWeights(NamedTuple):
    """GHM's weights in one round, as a function of label and gradient norm.

    Call it with norms and labels: ``weights(norms, y)``.

    Parameters
    ----------
    left : array of shape (K, cells) or (1, cells)
        Weight at the left end of each cell, for each label or for all labels.
    step : array of left's shape, or None
        Increase to the right end. None means that the weight is constant in each cell.
    grid : Grid
        The cells of the norm.

    See Also
    --------
    GHMLoss.weights : Returns them.
    WindowWeights : The weights for ``density="window"``.
    """

    left: Array
    step: Array | None
    grid: Grid

    def __call__(self, norms: ArrayLike, y: ArrayLike | None = None) -> Array:
        """Return the weight of rows with these gradient norms (in [0, 1]) and labels."""
        places = self.grid.places(np.asarray(norms, dtype=np.float64))
        cell = places.astype(np.intp)
        labels = 0 if len(self.left) == 1 else np.asarray(y, dtype=np.intp)
        weights: Array = self.left[labels, cell]
        if self.step is not None:
            weights = weights + self.step[labels, cell] * (places - cell)
        return weights

    def lines(self, factor: Array, dtype: Any = np.float32) -> tuple[Array, Array | None]:
        """Multiply both tables by a factor and flatten them for the kernels.

        Parameters
        ----------
        factor : array that broadcasts to (K, cells)
            Factor of the weights.
        dtype : type, default=float32
            Type in which weights without a step are multiplied.

        Returns
        -------
        tuple of two arrays
            Weights at the left ends, and their steps (or None).
        """
        if self.step is None:
            return (self.left.astype(dtype) * factor).ravel(), None
        left, step = self.left * factor, self.step * factor
        return left.astype(np.float32).ravel(), step.astype(np.float32).ravel()


class WindowWeights(NamedTuple):
    """GHM's weights in one round, by the definition of a window around each norm.

    Call it with norms: ``weights(norms)``.

    Parameters
    ----------
    norms : array of shape (n,)
        Gradient norms of the rows, sorted.
    cumulative : array of shape (n + 1,)
        ``cumulative[i]`` is the weight of the first i rows.
    width : float
        Width of the window, 1 / bins.
    least : float
        Minimum mass of a window.
    strength : float in [0, 1], default=1.0
        Exponent of ``N / GD``.
    scale : float, default=1.0
        Factor of all weights.

    See Also
    --------
    GHMLoss.weights : Returns them.
    NormWeights : The weights for the other densities.
    """

    norms: Array
    cumulative: Array
    width: float
    least: float
    strength: float = 1.0
    scale: float = 1.0

    def __call__(self, norms: ArrayLike, y: ArrayLike | None = None) -> Array:
        """Return the weight of rows with these gradient norms (in [0, 1]). Labels are ignored."""
        norms = np.asarray(norms, dtype=np.float64)
        weights: Array = self.scale * self.beta(norms.ravel()) ** self.strength
        return weights.reshape(norms.shape)

    def beta(self, norms: Array) -> Array:
        """Compute N / GD. A window without rows counts as one with the row of least weight.

        Parameters
        ----------
        norms : array of shape (n,)
            Gradient norms in [0, 1].

        Returns
        -------
        array of shape (n,)
            Number of rows (or sum of their weights) divided by the density, before strength and
            scale.
        """
        low, high = norms - self.width / 2, norms + self.width / 2
        upper = self.cumulative[np.searchsorted(self.norms, high, side="right")]
        lower = self.cumulative[np.searchsorted(self.norms, low, side="left")]
        # the length of the part of the window that lies in [0, 1]
        length = np.minimum(high, 1.0) - np.maximum(low, 0.0)
        beta: Array = self.cumulative[-1] * length / np.maximum(upper - lower, self.least)
        return beta


Weights = NormWeights | WindowWeights


@register
class GHMLoss(Loss):
    r"""Gradient harmonizing mechanism (GHM): less weight where many rows are equally hard.

    Let p be the probability that the raw score z gives to the true class. The gradient norm
    q = 1 - p of a row says how hard it is. The weight of a row is the inverse of the density of
    its norm, so neither the mass of easy examples (q near 0) nor outliers (q near 1) dominate the
    sum [1]_:

    .. math::
        \ell = {-w_y\,\beta(q) \log p}, \qquad
        \beta(g) = \frac{N}{\mathrm{GD}(g)}, \qquad
        \mathrm{GD}(g) = \frac{1}{l_\varepsilon(g)} \sum_{k=1}^{N} \delta_\varepsilon(q_k, g),

    where delta is 1 if q_k lies within epsilon/2 of g and 0 otherwise, epsilon = 1/bins, and
    l(g) = min(g + epsilon/2, 1) - max(g - epsilon/2, 0) is the valid length of that interval.
    beta is frozen within a round. The gradient is -(2y - 1) w_y beta q, and the curvature
    w_y beta p q. A sample weight counts like repeated rows, also in the density.

    This is ``density="window"``, and approximately ``"bins"``. In boosting the definition is
    fragile: a nearly empty region gives its few rows, often with wrong labels, the weight of a
    whole region. The default, ``density="class"``, therefore computes the density of each class,
    with a triangular window between M = ``bins`` nodes (j + 1/2)/M. The weight never increases
    with difficulty:

    .. math::
        \beta_y(g) = \min_{\text{nodes } g' \le g}
        \left(\frac{\mathrm{GD}_y(g')}{N_y} + \frac{1}{10}\right)^{-\text{strength}}

    Easy examples keep their weight, as in cross-entropy. Dense clusters of hard examples,
    typically wrong labels, are down-weighted. Each class keeps its total weight, so the intercept
    is that of cross-entropy.

    Parameters
    ----------
    bins : int >= 1, default=10
        Number M of unit regions. The width of the window is 1/M ("class": 2/M at the base of the
        triangle).
    density : {"class", "bins", "window"}, default="class"
        "window" is the definition above. With more than 4,096 rows the norms are first rounded
        to multiples of 2**-15, which makes it O(n). "bins" is the unit-region approximation:
        GD is M times the mass in the row's bin.
    momentum : float in [0, 1), default=0.0
        Weight of the past in a moving average of the mass R over rounds,
        ``S <- momentum * S + (1 - momentum) * R``, starting with the first round's R. It is not
        available for "window".
    strength : float in [0, 1], optional
        Tempers the weights to ``beta**strength``. 0 is cross-entropy. The default is 0.25 for
        "class", and 1, the definition, for "bins" and "window".
    normalize : bool, default=True
        Scale the weights to mean 1 in each round (for "class" also within each class), so that
        regularisation parameters keep their meaning. False keeps N / GD.
    class_weight : None, "balanced", "effective", float, dict or sequence, default=None
        Weight w_y of each class, as in :class:`~boostloss.CrossEntropy`.
    beta : float in [0, 1), default=0.9999
        Overlap of samples, used by "effective" only.

    See Also
    --------
    ghm_obj, ghm_metric : The loss as an objective and as a metric.

    Notes
    -----
    Which rows are hard changes during training, and so do the weights. Use a small learning rate.
    With "bins" and "window" the density jumps where a row enters a window, so the sum of gradients
    may not be 0 at any constant score. :meth:`init_score` then returns the score where its sign
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
    depends_on_all_scores = True
    functions = CrossEntropy.functions

    def __init__(
        self,
        bins: int = 10,
        density: Density = "class",
        momentum: float = 0.0,
        strength: float | None = None,
        *,
        normalize: bool = True,
        class_weight: ClassWeight = None,
        beta: float = 0.9999,
    ) -> None:
        self.bins = bins
        self.density = density
        self.momentum = momentum
        self.strength = strength
        self.normalize = normalize
        self.class_weight = class_weight
        self.beta = beta
        self.check_params()

    def check_params(self) -> None:
        """Raise an error if a parameter is out of range."""
        super().check_params()
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

    def needs_float64(self, softmax: bool, of_value: bool = False) -> bool:
        """Return False: the weights vary more than the rounding of float32."""
        return False

    def weights(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        workers: Workers = ALONE,
    ) -> Weights:
        """Return the weight as a function of the gradient norm, for these rows and scores.

        Parameters
        ----------
        y : array of shape (n,)
            Labels 0..K-1.
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero.
        workers : Workers, optional
            The processes that share the rows, as in :meth:`value`.

        Returns
        -------
        NormWeights or WindowWeights
            A callable ``weights(norms, y)``.

        Raises
        ------
        ValueError, TypeError
            If labels, scores, weights or parameters are invalid.
        """
        y, raw, weight = workers.together(self._check, y, raw, sample_weight, workers)
        return self._weights_at(y, raw, weight, workers)

    def posterior(self, raw: ArrayLike, weights: Weights) -> Array:  # type: ignore[override]
        """Deprecated: ``fit(y_train, raw_train).posterior(raw)``."""
        warn_of_former_name("posterior", "fit(...).posterior")
        n_classes = n_classes_of(np.asarray(raw))
        return self._fitted(weights, self.class_weights(None, n_classes)).posterior(raw)

    # -- rows in several partitions -----------------------------------------------------

    def density_mass(
        self, y: ArrayLike, raw: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Array:
        """Compute the mass of some rows; pass the sum over all parts to :meth:`fit_mass`.

        Parameters
        ----------
        y : array of shape (n,)
            Labels 0..K-1.
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.
        sample_weight : array of shape (n,), optional
            At least 0.

        Returns
        -------
        array of shape (K, bins), or (cells,) with "bins" and "window"
            Number of rows, or their weight, at each node or cell of the gradient norm.
        """
        y, raw, weight = self._check(y, raw, sample_weight, _PART)
        return self._mass(gradient_norms(y, raw)[0], y, weight, n_classes_of(raw))

    def fit_mass(self, mass: Array, class_weight: Array) -> FittedLoss:
        """Fit the loss from the mass of all rows.

        Parameters
        ----------
        mass : array
            Sum of :meth:`density_mass` over all parts.
        class_weight : array of shape (K,)
            Weight of each class.

        Returns
        -------
        FittedLoss
            The fitted loss, without an offset.
        """
        return self._fitted(self._weights_of_mass(mass), class_weight)

    # -- internal -----------------------------------------------------------------------

    def _fit(
        self, y: Array, raw: Array, weight: Array | None, class_weight: Array, workers: Workers
    ) -> FittedLoss:
        return self._fitted(self._weights_at(y, raw, weight, workers), class_weight)

    def _fit_counts(self, counts: Array, class_weight: Array) -> FittedLoss:
        """Fit the loss with each class at its share, where training starts."""
        p = counts * class_weight / (counts @ class_weight)
        norms, y = (1.0 - p).astype(np.float32), np.arange(len(p), dtype=np.float32)
        # the density of a class does not depend on its count, so that weights are not needed
        weight = None if self.density == "class" else counts
        weights = self._weights(norms, y, weight, len(p))
        return self._fitted(weights, class_weight)

    def _fitted(self, weights: Weights, class_weight: Array) -> FittedLoss:
        tables = np.array([monotone_table(weights, label) for label in range(len(class_weight))])
        same = bool((tables == tables[0]).all())
        return FittedLoss(self.with_class_weight(class_weight), tables[0] if same else tables)

    @property
    def _strength(self) -> float:
        if self.strength is not None:
            return self.strength
        return 0.25 if self.density == "class" else 1.0

    @property
    def _of_lines(self) -> tuple[float, float, bool]:
        """Strength, floor and whether to normalize, in the types that the kernels expect."""
        return float(self._strength), FLOOR, bool(self.normalize)

    @property
    def _grid(self) -> Grid:
        return _grid_of(self.density, self.bins)

    def _weights_at(
        self, y: Array, raw: Array, weight: Array | None, workers: Workers = ALONE
    ) -> Weights:
        if workers.alone and not len(y):
            raise ValueError("y must contain at least one row to compute a density, got none")
        run = TrainingRun(workers)
        return self._weights(gradient_norms(y, raw)[0], y, weight, n_classes_of(raw), run)

    def _weights(
        self, norms: Array, y: Array, weight: Array | None, n_classes: int,
        run: TrainingRun | None = None,
    ) -> Weights:  # fmt: skip
        """Return the weights of one round. The sign of ``norms`` is ignored."""
        run = TrainingRun() if run is None else run
        if self.density == "window" and run.workers.alone and len(norms) <= EXACT_ROWS:
            return self._weights_of_window(np.abs(norms), weight)
        return self._weights_of_mass(self._mass_of_run(norms, y, weight, n_classes, run))

    def _mass_of_run(
        self, norms: Array, y: Array, weight: Array | None, n_classes: int, run: TrainingRun
    ) -> Array:
        """Return the mass of all workers' rows, with the moving average over the rounds."""
        mass = run.workers.sum(self._mass(norms, y, weight, n_classes, run.n_threads))
        if self.momentum and run.density_mass is not None:
            mass = self.momentum * run.density_mass + (1.0 - self.momentum) * mass
        run.density_mass = mass
        return mass

    def _mass(
        self, norms: Array, y: Array, weight: Array | None, n_classes: int, n_threads: int = 1
    ) -> Array:
        """Return the mass of the rows at each class's nodes (K, M), or in the cells."""
        if self.density != "class":
            sums = _counting().histogram(
                norms, None, weight, self._grid, places=False, n_threads=n_threads
            )
            mass: Array = sums[0, :, 0]
            return mass
        norms = self._as_counted(norms)
        nodes: Array = _counting().node_mass(norms, y, weight, self._grid, n_classes, n_threads)
        return nodes

    def _weights_of_mass(self, mass: Array) -> NormWeights:
        if self.density == "class":
            # linear between the nodes: the mean over the rows equals the mean over the nodes' mass
            left, step = _counting().class_lines(mass, *self._of_lines)
            return NormWeights(left, step, self._grid)
        least = _least(mass)
        if self.density == "window":
            beta = _counting().window_beta(mass, 1.0 / self.bins, least)
        else:  # GD = M times the mass of the bin; an empty bin counts as the least filled one
            beta = mass.sum() / (np.maximum(mass, least) * len(mass))
        table = beta**self._strength
        if self.normalize and mass.any():
            table = table * (1.0 / np.average(table, weights=mass))
        return NormWeights(table[None, :], None, self._grid)

    def _weights_of_window(self, norms: Array, weight: Array | None) -> WindowWeights:
        order = np.argsort(norms)
        mass = np.ones(len(norms)) if weight is None else weight
        cumulative = np.concatenate([[0.0], np.cumsum(mass[order], dtype=np.float64)])
        made = WindowWeights(norms[order], cumulative, 1.0 / self.bins, _least(mass))
        scale = 1.0
        if self.normalize and mass.any():
            scale /= np.average(made.beta(norms) ** self._strength, weights=mass)
        return made._replace(strength=self._strength, scale=scale)

    def _value(
        self, y: Array, raw: Array, weight: Array | None, class_weight: Array, workers: Workers
    ) -> Array:
        norms, _ = gradient_norms(y, raw)
        weights = self._weights(norms, y, weight, n_classes_of(raw), TrainingRun(workers))
        row_weight = weights(norms, y)
        row_weight = row_weight if weight is None else row_weight * weight
        plain = CrossEntropy(class_weight=class_weight.tolist())
        return plain._value(y, raw, row_weight, class_weight, workers)

    def _class_numbers(self, class_weight: Array, dtype: Any, softmax: bool) -> Any:
        # with two classes _rescale applies the class weight together with the density's weight
        weight = class_weight if softmax else np.ones(2)
        return super()._class_numbers(weight, dtype, softmax)

    def _gradient_hessian(
        self, run: TrainingRun, raw: Array, factor: float, gradient: Array, hessian: Array
    ) -> bool:
        weight, y = run.sample_weight, run.y
        assert y is not None
        if raw.ndim == 2:
            norms, bad = gradient_norms(y, raw, run.n_threads)
        else:  # the gradient of cross-entropy is the norm with a sign
            norms, bad = gradient, self._run_kernel(run, raw, None, factor, gradient, hessian)
        if run.workers.any(bad or not_allowed(weight)):
            self._refuse(run, raw)
        if raw.ndim == 1 and self.density == "class":
            mass = self._mass_of_run(norms, y, weight, 2, run)
            lines = _counting().scaled_lines(mass, *self._of_lines, run.class_weight)
            self._apply(lines, y, run, gradient, hessian)
            return False
        weights = self._weights(norms, y, weight, n_classes_of(raw), run)
        if raw.ndim == 2:
            self._look_up(weights, norms, y, weight)
            return self._run_kernel(run, raw, norms, factor, gradient, hessian)
        self._rescale(weights, run, gradient, hessian)
        return False

    def _rescale(self, weights: Weights, run: TrainingRun, gradient: Array, hessian: Array) -> None:
        """Multiply cross-entropy's gradient and Hessian by each row's weights."""
        y, weight, class_weight = run.y, run.sample_weight, run.class_weight
        assert y is not None
        assert class_weight is not None
        if isinstance(weights, WindowWeights):
            row_weight = weights(np.abs(gradient)) * class_weight.astype(np.float32)[y.astype(int)]
            row_weight = (row_weight if weight is None else row_weight * weight).astype(np.float32)
            gradient *= row_weight
            hessian *= row_weight
            return
        # if both classes have the same weights, the kernel does not need the labels
        alike = len(weights.left) == 1 and class_weight[0] == class_weight[1]
        class_weight, labels = (class_weight[:1], None) if alike else (class_weight, y)
        lines = weights.lines(class_weight[:, None].astype(np.float32))
        self._apply(lines, labels, run, gradient, hessian)

    def _apply(
        self, lines: Any, y: Array | None, run: TrainingRun, gradient: Array, hessian: Array
    ) -> None:
        """Multiply gradient and Hessian by weights that are linear in each cell."""
        counting, grid = _counting(), tuple(self._grid)

        def work(start: int, stop: int) -> None:
            rows = slice(start, stop)
            parts = (counting.part_of(array, rows) for array in (gradient, y, run.sample_weight))
            counting.apply_weights(*parts, *lines, grid, gradient[rows], hessian[rows])

        if len(gradient) < counting.WORTHWHILE:
            counting.apply_weights(gradient, y, run.sample_weight, *lines, grid, gradient, hessian)
        else:
            counting.in_parts(work, len(gradient), len(gradient), run.n_threads)

    def _look_up(self, weights: Weights, norms: Array, y: Array, weight: Array | None) -> None:
        """Overwrite each norm with the row's weight, including its sample weight."""
        if isinstance(weights, WindowWeights):
            norms[:] = weights(norms) if weight is None else weights(norms) * weight
            return
        labels = None if len(weights.left) == 1 else y
        lines = weights.lines(np.ones(1, np.float32), norms.dtype)
        of_cells = self._as_counted(norms)
        _counting().apply_weights(
            of_cells, labels, weight, *lines, tuple(weights.grid), norms, None
        )

    def _as_counted(self, norms: Array) -> Array:
        """Return the norms in the float type in which their cells are computed."""
        return norms.astype(np.float32, copy=False) if self.density == "class" else norms

    def _harmonized_counts(self, p: Array, counts: Array, class_weight: Array) -> Array:
        """Return the total weight of each class if all its rows have probability p_k."""
        norms = (1.0 - p).astype(np.float32)  # as in training
        y = np.arange(len(p))
        weights = self._weights(norms, y, counts, len(p))
        harmonized: Array = counts * class_weight * weights(norms, y)
        return harmonized

    @property
    def _starts_as_cross_entropy(self) -> bool:
        return self.density == "class" and bool(self.normalize)

    def _binary_init_score(self, counts: Array, class_weight: Array) -> float:
        if self._starts_as_cross_entropy:
            return super()._binary_init_score(counts, class_weight)

        def gradient_sum(z: float) -> float:
            p = expit(np.array([-z, z]))
            weight = self._harmonized_counts(p, counts, class_weight)
            return float(weight[0] * p[1] - weight[1] * p[0])

        for end in (-FARTHEST, FARTHEST):
            if gradient_sum(end) * end <= 0:  # it increases: the root is not between the ends
                return end
        zero = bisect(gradient_sum, -FARTHEST, FARTHEST, xtol=1e-12)
        # The sum may jump there. Take the side on which it is nearer to zero, at a distance from
        # the jump that float32 can represent.
        near = [zero - 5e-7, zero, zero + 5e-7]
        return min(near, key=lambda z: abs(gradient_sum(z)))

    def _softmax_init_score(self, counts: Array, class_weight: Array) -> Array:
        """Iterate ``p_k = w_k n_k / sum`` with damping, and return the most balanced step."""
        if self._starts_as_cross_entropy:
            return super()._softmax_init_score(counts, class_weight)
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


class _Part(Workers):
    """The rows of one partition. They may have no weight, since other partitions follow."""

    alone = False


_PART = _Part()


def _least(mass: Array) -> float:
    """Return the smallest positive mass, or 1e-30 of the total, so that N / GD fits float32."""
    return max(float(mass[mass > 0].min(initial=np.inf)), 1e-30 * float(mass.sum()))
