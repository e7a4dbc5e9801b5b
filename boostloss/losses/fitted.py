"""Define the fitted loss, which keeps the numbers of the training rows that its posterior needs."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit

from boostloss.kernels import Row, RowFunctions, in_use
from boostloss.losses import calibration, registry
from boostloss.losses.run import ALONE, Workers
from boostloss.losses.validation import (
    Array,
    as_labels,
    check_labels,
    check_number,
    check_present,
    check_raw,
    check_sample_weight,
    class_counts,
    n_classes_of,
)

FEW_ROWS = 1000
"""Up to this number of slopes, Python takes less time than loading the compiler."""

FARTHEST_DERIVED = 80.0
"""Margin beyond which a weight that is derived from the slope is constant. The kernels clip q
there, and its share of a posterior is 1e-35."""

MANY_SCORES = 5_000
"""Number of scores from which compiling pays in the first fit of a process."""


class FittedLoss:
    r"""A loss with the numbers from its training rows; :meth:`Loss.fit` returns it.

    It computes the posterior, the probabilities of the classes. At the minimum of the expected
    loss :math:`p_k`, the sigmoid or softmax of the raw scores, is proportional to
    :math:`P_k\,w_k(p_k)`. Trees that are shrunken and stopped early do not reach that minimum, and
    the posterior of a weighted loss then predicts too few rows of a rare class. Therefore an
    offset :math:`b_k` for each class, and after :meth:`recalibrated` a slope a, correct it:

    .. math::
        P_k \propto \left(\frac{p_k}{w_k(p_k)}\,e^{b_k}\right)^a.

    Parameters
    ----------
    loss : Loss
        A loss whose class weights are a list of numbers.
    log_weight_table : sequence of float, or one such sequence for each class, optional
        GHM's ``log w`` at p = 1/(n+1), ..., n/(n+1), linear in log p between these points.
    offset : sequence of K floats, optional
        Offset of each class's log-probability. :meth:`Loss.fit` chooses it so that the mean
        posterior over the training rows equals the weighted class share. Default: 0.
    slope : float > 0, default=1.0
        Factor of all log-odds, from :meth:`recalibrated`.

    Attributes
    ----------
    n_classes : int
    class_weight : array of shape (K,)
    offset : array of shape (K,)
    slope : float

    See Also
    --------
    Loss.fit : Returns a fitted loss.
    """

    def __init__(
        self,
        loss: Any,
        log_weight_table: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        slope: float = 1.0,
    ) -> None:
        self.loss = loss
        self.log_weight_table = None if log_weight_table is None else _table(log_weight_table)
        weights = loss.class_weight
        if not isinstance(weights, Sequence) or isinstance(weights, str):
            raise ValueError(f"class_weight must be one number for each class, got {weights!r}")
        self.class_weight = np.asarray(weights, dtype=np.float64)
        self.n_classes = len(self.class_weight)
        loss.class_weights(None, self.n_classes)  # raises an error for invalid weights
        self.offset = _offset(offset, self.n_classes)
        self.slope = check_number("slope", slope, np.nextafter(0, 1))
        # a constant of the class, like its weight
        self._log_class_weight = np.log(self.class_weight) - self.offset
        self._shape = loss.shape_arrays(self.n_classes)
        self._shape_of_class = np.array(self._shape).reshape(-1, self.n_classes).T.copy()
        # most of the work can be skipped if the weight depends on the class only
        self._constant = log_weight_table is None and loss.has_constant_weight
        if self.log_weight_table is not None and self.log_weight_table.ndim == 2:
            self._check_n_classes("log_weight_table", len(self.log_weight_table))

    def posterior(self, raw: ArrayLike) -> Array:
        """Compute the class probabilities of raw scores.

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.

        Returns
        -------
        array of shape (n,) or (n, K)
            Probability of class 1, or of each class, with rows that sum to 1.

        Raises
        ------
        ValueError
            If scores are not finite, or have another number of classes.
        """
        if self._weigh() is None:
            return self.posterior_in_numpy(raw)
        p: Array = _kernels().probability(self.log_odds(raw))
        return p

    def log_odds(self, raw: ArrayLike) -> Array:
        """Compute the logarithms from which :meth:`posterior` computes probabilities.

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.

        Returns
        -------
        array of shape (n,) or (n, K)
            Log-odds of class 1, or a log-probability of each class up to a constant of the row,
            in nats.

        Raises
        ------
        ValueError
            If scores are not finite, or have another number of classes.
        """
        raw = check_raw(raw)
        self._check_n_classes("raw", n_classes_of(raw))
        weigh = self._weigh()
        if weigh is None:
            return self.log_posterior(raw)
        log_odds: Array = _kernels().log_posterior(raw, weigh)
        return log_odds

    def posterior_in_numpy(self, raw: ArrayLike) -> Array:
        """Compute :meth:`posterior` in NumPy, with the same digits in every process.

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.

        Returns
        -------
        array of shape (n,) or (n, K)
            Probability of class 1, or of each class, with rows that sum to 1.

        Raises
        ------
        ValueError
            If scores are not finite, or have another number of classes.
        """
        raw = check_raw(raw)
        log_odds = self.log_posterior(raw)
        # through logarithms, which can represent a probability of 1e-310
        return np.exp(log_expit(log_odds) if raw.ndim == 1 else _log_softmax(log_odds))

    def raw_shift(self) -> Array | None:
        """Return the constant that turns raw scores into the posterior's log-odds.

        Returns
        -------
        array of shape (1,) for two classes, (K,) for more, or None
            Add it to the raw scores; the sigmoid or softmax of the sum is the posterior. None if
            the posterior is another function, as for focal and GHM and after :meth:`recalibrated`.
        """
        if not self._constant or self.slope != 1.0:
            return None
        log_weight = self._log_class_weight
        if self.n_classes == 2:
            return np.array([log_weight[0] - log_weight[1]])
        shift: Array = log_weight.mean() - log_weight
        return shift

    def log_posterior(self, raw: Array) -> Array:
        """Compute the posterior's log-odds or unnormalised log-probabilities, in NumPy.

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.

        Returns
        -------
        array of shape (n,) or (n, K)
            Log-odds of class 1, or a log-probability of each class, in nats.

        Raises
        ------
        ValueError
            If scores have another number of classes.
        """
        log_odds = self._log_posterior(raw)
        return log_odds if self.slope == 1.0 else self.slope * log_odds

    def recalibrated(
        self, y: ArrayLike, raw: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> FittedLoss:
        """Return a copy with a slope and offsets of the log-odds fitted to held-out rows.

        They minimise the log loss: a slope and K-1 offsets (an offset for two classes). The slope
        is the inverse of a temperature. Earlier offsets and slopes are replaced.

        Parameters
        ----------
        y : array of shape (n,)
            Labels 0..K-1. Each class must have rows.
        raw : array of shape (n,) or (n, K)
            Raw scores of held-out rows.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero.

        Returns
        -------
        FittedLoss
            A new object.

        Raises
        ------
        ValueError
            If labels, scores or weights are invalid, a class has no rows, or the model ranks the
            rows no better than chance or separates them.
        """
        raw = check_raw(raw)
        y = check_labels(y, self.n_classes, len(raw))
        weight = check_sample_weight(sample_weight, len(raw))
        check_present(class_counts(y, weight, self.n_classes))
        bare = FittedLoss(self.loss, self.log_weight_table)
        slope, offset = calibration.slope_and_offset(bare.log_posterior(raw), y, weight)
        return FittedLoss(self.loss, self.log_weight_table, offset=offset / slope, slope=slope)

    def compiled_log_posterior(self, raw: Array) -> Array:
        """Compute :meth:`log_posterior`, by kernels if they are loaded and there are many scores.

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.

        Returns
        -------
        array of shape (n,) or (n, K)
            Log-odds of class 1, or a log-probability of each class, in nats.
        """
        # NumPy is as fast for few scores, and a first fit then need not wait for the compiler
        return self.log_odds(raw) if raw.size >= MANY_SCORES else self.log_posterior(raw)

    def with_offset(self, offset: ArrayLike) -> FittedLoss:
        """Return a copy with another ``offset``.

        Parameters
        ----------
        offset : sequence of K floats
            Offset of each class's log-probability.

        Returns
        -------
        FittedLoss
            A new object.
        """
        return FittedLoss(self.loss, self.log_weight_table, offset=offset, slope=self.slope)

    def with_shares_of(
        self, y: Array, raw: Array, weight: Array | None, workers: Workers = ALONE
    ) -> FittedLoss:
        """Return a copy whose mean posterior over these rows equals their class shares.

        Parameters
        ----------
        y : array of shape (n,)
            Labels 0..K-1. Where a class has no rows, the offset stays as it is.
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.
        weight : array of shape (n,), optional
            Not negative, not all zero.
        workers : Workers, optional
            The processes among which the rows are spread.

        Returns
        -------
        FittedLoss
            Another one; this one stays as it is.
        """
        counts = workers.sum(class_counts(y, weight, self.n_classes))
        if not (counts > 0).all():
            return self
        log_posterior = self.compiled_log_posterior(raw)
        return self.shifted(calibration.offset_of_rows(log_posterior, counts, weight, workers))

    def shifted(self, log_probability: Array) -> FittedLoss:
        """Return a copy that adds a constant to each class's log-probability.

        Parameters
        ----------
        log_probability : array of shape (K,)
            The constants. For other class shares, the logarithm of new share over old share.

        Returns
        -------
        FittedLoss
            A new object.
        """
        return self.with_offset(self.offset + log_probability / self.slope)

    @property
    def keeps_shares(self) -> bool:
        """Whether training itself keeps the mean posterior at the class shares.

        Plain cross-entropy does: its gradients, posterior minus label, sum to zero.
        """
        return self._constant and bool(np.ptp(self.class_weight) == 0.0)

    @property
    def treats_classes_alike(self) -> bool:
        """Whether classes have equal weights and equal shape parameters.

        The loss's own decision is then the class with the largest posterior. A loss that gives a
        class more weight decides in its favour.
        """
        return not any(np.ptp(numbers) for numbers in (self.class_weight, *self._shape))

    def _log_posterior(self, raw: Array) -> Array:
        self._check_n_classes("raw", n_classes_of(raw))
        raw = raw.astype(np.float64)
        if self._constant:
            return self._log_posterior_of_constant(raw)
        log_class_weight = self._log_class_weight
        if raw.ndim == 1:
            row = row_of(log_expit(raw), log_expit(-raw))
            # the same row, seen from the other class
            u, v = row.neg_log_p, row.neg_log_q
            other = Row(row.q, row.p, v, u, u, row.neg_log_q_low)
            weight_1 = self.log_weight(1, row) + log_class_weight[1]
            weight_0 = self.log_weight(0, other) + log_class_weight[0]
            log_odds: Array = raw - weight_1 + weight_0
            return log_odds
        log_p = _log_softmax(raw)
        log_q = _log_complement(log_p)
        for k in range(self.n_classes):
            # copies, since NumPy before 2 rounds exp of a column by where it lies in memory
            row = row_of(log_p[:, k].copy(), log_q[:, k].copy())
            log_p[:, k] -= self.log_weight(k, row)
        log_p -= log_class_weight
        return log_p

    def log_loss(self, y: ArrayLike, raw: ArrayLike, highest: float = np.inf) -> Array:
        """Compute the log loss of the posterior in each row, in nats.

        Parameters
        ----------
        y : array of shape (n,)
            Labels 0..K-1.
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite.
        highest : float, optional
            Log-odds are clipped to this and its negative. By default they are not clipped.

        Returns
        -------
        array of shape (n,)
            Log loss of each row.

        Raises
        ------
        ValueError
            If labels are invalid, or scores are not finite or have another number of classes.
        """
        raw = check_raw(raw)
        self._check_n_classes("raw", n_classes_of(raw))
        labels, kernels = as_labels(y, len(raw)), _kernels()
        weigh = self._weigh()
        if weigh is None:
            log_posterior = self.log_posterior(raw)
        else:
            log_posterior = kernels.log_posterior(raw, weigh)
        rows: Array
        rows, bad = kernels.log_loss(log_posterior, labels, highest)
        if bad:
            check_labels(labels, self.n_classes)
        return rows

    def _log_posterior_of_constant(self, raw: Array) -> Array:
        offset = self._log_class_weight
        shifted: Array = raw - (offset if raw.ndim == 2 else offset[1] - offset[0])
        return shifted

    def _weigh(self) -> Any:
        """Return the weights for the kernels, or None if NumPy computes the posterior.

        NumPy does so if kernels are not loaded or if ``log_weight`` does not compile. Both results
        agree to 1e-12.
        """
        if self._constant or self.slope != 1.0 or not in_use():
            return None
        if self.log_weight_table is not None:
            nodes = _log_nodes(self.log_weight_table.shape[-1])
            return _kernels().by_table(self.log_weight_table, nodes, self._log_class_weight)
        functions = self.loss.row_functions()
        of_slope = functions.log_weight, functions.slope
        return _kernels().by_function(*of_slope, self._log_class_weight, self._shape_of_class)

    def log_weight(self, label: int, row: Row) -> Array:
        """Compute ``log w`` of rows of one class, without the class weight.

        Parameters
        ----------
        label : int
            The class, 0..K-1.
        row : Row
            The rows: each of its fields is an array.

        Returns
        -------
        array
            Logarithms of the weights, in the shape of the row's fields.
        """
        if self.log_weight_table is not None:
            several = self.log_weight_table.ndim == 2
            table = self.log_weight_table[label] if several else self.log_weight_table
            return _read(table, -row.neg_log_p)
        functions, shape = self.loss.row_functions(), tuple(s[label] for s in self._shape)
        if functions.log_weight is None:
            return _derived_log_weight(functions, -row.neg_log_p, -row.neg_log_q, shape)
        log_weight: Array = functions.log_weight(row, *shape)
        return log_weight

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dict, which :meth:`from_dict` reads.

        Returns
        -------
        dict
            The loss and, if present, offset, slope and table. It can be written as JSON.

        Raises
        ------
        TypeError
            If the loss is not registered.
        """
        table = self.log_weight_table
        extra: dict[str, Any] = {} if table is None else {"log_weight_table": table.tolist()}
        if self.offset.any():
            extra["offset"] = self.offset.tolist()
        if self.slope != 1.0:
            extra["slope"] = self.slope
        return {**registry.to_dict(self.loss), **extra}

    @classmethod
    def from_dict(cls, plain: Any, *, n_classes: int | None = None) -> Self:
        """Make a fitted loss from the dict of :meth:`to_dict`.

        Parameters
        ----------
        plain : dict
            A dict that :meth:`to_dict` returned.
        n_classes : int, optional
            Expected number of classes. It is needed for losses without class weights that version
            0.1.0 wrote for more than two classes.

        Returns
        -------
        FittedLoss
            Equal to the original.

        Raises
        ------
        ValueError
            If the dict is invalid, or names a loss that is not registered in this process.
        """
        if isinstance(plain, Mapping) and plain.get("type") == "FrozenGHM":  # written by 0.1.0
            former = dict(plain.get("params") or {})
            plain = {"type": "ghm", "log_weight_table": former.pop("log_weight", []),
                     "params": former}  # fmt: skip
        loss = registry.from_dict(plain)
        if not isinstance(loss.class_weight, str | list):
            loss = loss.with_class_weight(loss.class_weights(None, n_classes or 2))
        table = plain.get("log_weight_table")
        if loss.depends_on_all_scores and table is None:
            raise ValueError(f"log_weight_table must be given with the loss {loss.name!r}")
        fitted = cls(loss, table, offset=plain.get("offset"), slope=plain.get("slope", 1.0))
        if n_classes is not None and fitted.n_classes != n_classes:
            raise ValueError(f"loss must be of {n_classes} classes, got {fitted.n_classes}")
        return fitted

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FittedLoss) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        table = "" if self.log_weight_table is None else ", log_weight_table=..."
        offset = f", offset={self.offset.tolist()}" if self.offset.any() else ""
        slope = f", slope={self.slope:g}" if self.slope != 1.0 else ""
        return f"FittedLoss({self.loss!r}{table}{offset}{slope})"

    def _check_n_classes(self, name: str, n_classes: int) -> None:
        if n_classes != self.n_classes:
            raise ValueError(
                f"{name} must be of {self.n_classes} classes, as in training, got {n_classes}"
            )


@functools.cache
def _kernels() -> Any:
    return importlib.import_module("boostloss.kernels.posterior")


def _log_softmax(scores: Array) -> Array:
    """Compute log softmax: faster than SciPy for one row, and accurate near probability 1."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    e[np.arange(len(e)), scores.argmax(axis=1)] = 0.0
    log_p: Array = shifted - np.log1p(e.sum(axis=1, keepdims=True))
    return log_p


def row_of(log_p: Any, log_q: Any) -> Row:
    """Return the rows with these log-probabilities of the true class and of all others."""
    return Row(np.exp(log_p), np.exp(log_q), -log_p, -log_q, -log_q, np.zeros_like(log_q))


def _derived_log_weight(
    functions: RowFunctions, log_p: Array, log_q: Array, shape: tuple[float, ...]
) -> Array:
    """Compute ``log(slope / q)`` for a loss without ``log_weight``."""
    margin = np.atleast_1d(np.minimum(log_p - log_q, FARTHEST_DERIVED))
    slope = _slope(functions.slope, margin, shape)
    with np.errstate(divide="ignore"):
        log_weight: Array = np.log(slope) - log_expit(-margin)
    return log_weight.reshape(np.shape(log_p))


def _slope(function: Any, margin: Array, shape: tuple[float, ...]) -> Array:
    """Compute the slope at each margin.

    A few rows, or all if numba is missing, are computed one by one in Python. Otherwise the slope
    is compiled, like the value of a binary loss.
    """
    if not in_use() and (margin.size <= FEW_ROWS or importlib.util.find_spec("numba") is None):
        rows = [row_of(log_expit(m), log_expit(-m)) for m in margin.ravel()]
        with np.errstate(all="ignore"):
            slopes = np.array([function(row, *shape) for row in rows], dtype=np.float64)
        return slopes.reshape(margin.shape)
    from boostloss.kernels import binary

    of_class = (1.0, FARTHEST_DERIVED, shape)
    slope = np.empty(margin.shape)
    as_value = RowFunctions(value=function, slope=function)
    binary.value(as_value, margin, np.ones(margin.shape), None, (of_class, of_class), slope)
    return slope


def _log_complement(log_p: Array) -> Array:
    """Compute ``log(1 - p_k)`` in each row; for the largest class it is summed from the others."""
    with np.errstate(divide="ignore"):
        log_q = np.log(-np.expm1(log_p))
    rows, top = np.arange(len(log_p)), log_p.argmax(axis=1)
    others = log_p.copy()
    others[rows, top] = -np.inf
    most = others.max(axis=1, keepdims=True)
    log_q[rows, top] = most[:, 0] + np.log(np.exp(others - most).sum(axis=1))
    return log_q


def to_former_dict(loss: Any) -> dict[str, Any]:
    """Deprecated: :meth:`FittedLoss.to_dict`."""
    return loss.to_dict() if isinstance(loss, FittedLoss) else registry.to_dict(loss)


def from_former_dict(plain: Any) -> Any:
    """Deprecated: :meth:`FittedLoss.from_dict`."""
    fitted = isinstance(plain, Mapping) and (
        plain.get("type") == "FrozenGHM" or "log_weight_table" in plain
    )
    return FittedLoss.from_dict(plain) if fitted else registry.from_dict(plain)


# -- tables of log w over p --------------------------------------------------------------------

NODES = 255


def monotone_table(weights: Any, label: int) -> Array:
    """Tabulate ``log w`` at :data:`NODES` p so that the posterior never decreases with p.

    A class's posterior is proportional to ``p / beta(1 - p)``. GHM's weight beta jumps with the
    density, so that this can decrease. Its logarithm is therefore replaced by the mean of the
    nearest increasing functions above and below.
    """
    p = _nodes(NODES)
    log_odds = np.log(p) - np.log(weights(1.0 - p, label))
    above = np.maximum.accumulate(log_odds)
    below = np.minimum.accumulate(log_odds[::-1])[::-1]
    table: Array = np.log(p) - (above + below) / 2.0
    return table


def _read(table: Array, log_p: Array) -> Array:
    nodes = _log_nodes(len(table))
    # outside the table the weight is constant
    inside = np.clip(log_p, nodes[0], nodes[-1])
    log_weight: Array = inside - np.interp(inside, nodes, nodes - table)
    return log_weight


@functools.cache
def _log_nodes(count: int) -> Array:
    return np.log(_nodes(count))


def _nodes(count: int) -> Array:
    nodes: Array = np.arange(1, count + 1) / (count + 1)
    return nodes


def _offset(given: Any, n_classes: int) -> Array:
    if given is None:
        return np.zeros(n_classes)
    try:
        offset = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        offset = np.empty(0)
    if offset.shape != (n_classes,) or not np.isfinite(offset).all():
        raise ValueError(f"offset must contain a finite number for each of {n_classes} classes, "
                         f"got {given!r}")  # fmt: skip
    return offset


def _table(rows: Any) -> Array:
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)  # lists of different lengths, or not numbers
    if table.ndim not in (1, 2) or not table.size or not np.isfinite(table).all():
        raise ValueError(f"log_weight_table must contain finite numbers, got {rows!r}")
    return table
