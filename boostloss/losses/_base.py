"""What all losses share: cross-entropy with a weight on each row.

With s = 2y - 1, margin m = s z, p = sigma(m), q = 1 - p and u = -log p, a loss is given by
its slope magnitude ``w q`` in one row; then

    d loss / dz = -s w q,        curvature = w p q.

For softmax with true class t, d loss / dz_k = w (p_k - [k = t]) and the curvature is
w c p_k (1 - p_k), c being the engine's own factor.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import log_expit, log_softmax, logsumexp

from boostloss.losses import _class_weight, _softmax
from boostloss.losses._elementary import SMALLEST_LOG
from boostloss.losses._kernels import Kernels
from boostloss.losses._threads import in_parts
from boostloss.losses._validation import (
    Array,
    as_labels,
    as_raw,
    as_sample_weight,
    check_integer,
    check_labels,
    check_number,
    check_present,
    check_raw,
    check_sample_weight,
    class_counts,
    n_classes_of,
)
from boostloss.losses._workers import ALONE, Workers

if TYPE_CHECKING:

    class BaseEstimator:
        """What type checkers should know of it: scikit-learn comes without types."""

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...

else:
    from sklearn.base import BaseEstimator

MOST_CLASSES = 2**24
"""Labels are float32: the next number is none."""

FARTHEST = 512.0
"""Raw score of a base_score, at most: beyond, a share is less than 1e-222."""

Memory = dict[str, Any]
"""What one training run remembers between rounds: resolved class weights, GHM's density."""


class Loss(BaseEstimator):
    """Base of the losses; parameters behave as in any scikit-learn estimator.

    A new loss subclasses this, sets ``_kernels`` (its scalar slope, curvature and value,
    compiled by :func:`boostloss.losses._kernels.compile_loss`) and defines ``_log_weight``.
    """

    _kernels: ClassVar[Kernels]
    name: ClassVar[str]
    weights_move: ClassVar[bool] = False
    """Whether the weights depend on the scores of the whole data set, as GHM's do."""
    class_weight: Any
    beta: float

    # -- what a loss defines ------------------------------------------------------------

    def _check_params(self) -> None:
        """Raise if a parameter is out of its range; subclasses extend it."""
        _class_weight.check_class_weight(self.class_weight)
        check_number("beta", self.beta, 0.0, 1.0, open_end=True)

    def _shape(self, n_classes: int) -> Array:
        """One shape parameter for each class (focal's gamma); zeros where there is none."""
        return np.zeros(n_classes)

    @abstractmethod
    def _log_weight(self, log_p: Array, log_q: Array, label: Any) -> Array:
        """``log w`` at probability p = exp(log_p) of class ``label``, class weight left out.

        float64; ``label`` is one class, or one for each column.
        """

    def _class_weight(
        self, y: Array, sample_weight: Array | None, n_classes: int, workers: Workers = ALONE
    ) -> Array:
        counts = None
        if _class_weight.needs_counts(self.class_weight):
            counts = workers.sum(class_counts(y, sample_weight, n_classes))
        return _class_weight.resolve(self.class_weight, self.beta, n_classes, counts)

    def _static_class_weight(self, n_classes: int) -> Array:
        if _class_weight.needs_counts(self.class_weight):
            raise ValueError(
                f"class_weight={self.class_weight!r} depends on the training labels: "
                "call resolve(y, sample_weight) first and use the loss it returns"
            )
        return self._class_weight(np.array(()), None, n_classes)

    # -- what a user calls --------------------------------------------------------------

    def value(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        workers: Workers = ALONE,
    ) -> Array:
        """Loss of each row, in nats.

        Parameters
        ----------
        y : array of shape (n,)
            Labels, 0 or 1 for binary, 0..K-1 for multiclass.
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite. (n, K) means softmax over K classes.
        sample_weight : array of shape (n,), optional
            Not negative, not all zero; multiplies each row's loss.
        workers : Workers, optional
            The processes among which the rows are spread, if this one does not hold them all:
            class weights that are counted and GHM's density are then those of all rows.

        Returns
        -------
        array of shape (n,), of raw's float type

        Raises
        ------
        ValueError, TypeError
            For labels, scores, weights, shapes or parameters that are not allowed.
        """
        y, raw, weight = workers.together(self._check, y, raw, sample_weight, workers)
        return self._value(y, raw, weight, workers)

    def gradient_hessian(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        factor: float = 1.0,
        memory: Memory | None = None,
        n_threads: int = 1,
        workers: Workers = ALONE,
    ) -> tuple[Array, Array]:
        """First and second derivative with respect to the raw score.

        Parameters
        ----------
        y, raw, sample_weight, workers
            As in :meth:`value`.
        factor : float, default=1.0
            The engine's constant c in the softmax Hessian ``c w p_k (1 - p_k)``: 2 in
            XGBoost, K/(K-1) in LightGBM. 1 is the derivative itself. Unused for binary.
        memory : dict, optional
            Carries state (resolved class weights, GHM's moving average) between the rounds
            of one training run. Give the same dict in each round, a new one to each run.
            The result's arrays are used again for a later round, once nobody holds them.
        n_threads : int, default=1
            Threads that share the rows, if they are many; the result does not depend on it.

        Returns
        -------
        gradient, hessian : float32 arrays of raw's shape
        """
        self._check_params()
        factor = check_number("factor", factor, 0.0)
        n_threads = check_integer("n_threads", n_threads, 1)
        scores = as_raw(raw)
        labels = as_labels(y, len(scores))
        weight = as_sample_weight(sample_weight, len(scores), zero_allowed=not workers.alone)
        memory = {} if memory is None else memory
        if "class_weight" not in memory:
            if _class_weight.needs_counts(self.class_weight):
                workers.together(self._check, labels, scores, weight, workers)
            n_classes = n_classes_of(scores)
            memory["class_weight"] = self._class_weight(labels, weight, n_classes, workers)
        gradient, hessian, bad = self._gradient_hessian(
            labels, scores, weight, factor, memory, n_threads, workers
        )
        if workers.any(bad):
            self._refuse(labels, scores, weight, workers)
        return gradient, hessian

    def posterior(self, raw: ArrayLike) -> Array:
        """Calibrated class probabilities; undoes the weights.

        At the minimiser of the conditional risk sum_k P_k w_k l_k the gradient
        ``sum_j P_j w_j (p_k - [j = k])`` is zero, so p_k is proportional to P_k w_k(p_k),
        hence ``P_k = p_k / w_k(p_k)`` up to normalisation.

        Parameters
        ----------
        raw : array of shape (n,) or (n, K)

        Returns
        -------
        array of shape (n,): probability of class 1; or (n, K), rows summing to 1
        """
        self._check_params()
        raw = check_raw(raw)
        n_classes = n_classes_of(raw)
        return self._posterior(raw, self._static_class_weight(n_classes))

    def base_score(
        self,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        n_classes: int | None = None,
    ) -> float | Array:
        """Constant raw score, within -512 and 512, at which the loss over the rows is smallest.

        It is the score whose :meth:`posterior` equals the class shares.

        Parameters
        ----------
        y : array of shape (n,)
        sample_weight : array of shape (n,), optional
        n_classes : int, optional
            Found from y if left out: two labels give a float (the sigmoid's raw score), more
            an array of shape (K,) (softmax: log-probabilities). ``n_classes=2`` asks for the array.

        Returns
        -------
        float or array of shape (K,)
        """
        self._check_params()
        y, weight, found = self._check_target(y, sample_weight, n_classes)
        counts = class_counts(y, weight, found)
        check_present(counts)
        binary = found == 2 and n_classes is None
        return self._base_score(y, weight, counts, binary)

    def resolve(self, y: ArrayLike, sample_weight: ArrayLike | None = None, *,
                n_classes: int | None = None) -> Self:  # fmt: skip
        """Equal loss with class weights as numbers, counted on ``y`` once for all.

        Use it where a loss must not depend on the rows at hand: metrics on a validation set,
        :meth:`posterior`. Losses with fixed class weights come back unchanged.
        """
        self._check_params()
        y, weight, n_classes = self._check_target(y, sample_weight, n_classes)
        if not _class_weight.needs_counts(self.class_weight):
            return self
        return self._with_class_weight(self._class_weight(y, weight, n_classes))

    def frozen(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        workers: Workers = ALONE,
    ) -> Loss:
        """Loss as these rows leave it: its :meth:`posterior` needs no data any more.

        Parameters and errors are those of :meth:`value`. Class weights are numbers then, and
        GHM's density, taken at these scores, is a table.
        """
        y, raw, weight = workers.together(self._check, y, raw, sample_weight, workers)
        return self._frozen(y, raw, weight, workers)

    def __eq__(self, other: object) -> bool:
        """Same type and same parameters."""
        if type(self) is not type(other):
            return NotImplemented
        mine, others = self.get_params(), other.get_params()  # type: ignore[attr-defined]
        return all(_same(mine[name], others[name]) for name in mine)

    __hash__ = None  # type: ignore[assignment]

    # -- inside -------------------------------------------------------------------------

    def _with_class_weight(self, class_weight: Array) -> Self:
        """Equal loss with one given weight for each class."""
        params = {**self.get_params(), "class_weight": class_weight.tolist()}
        return type(self)(**params)

    def _frozen(self, y: Array, raw: Array, weight: Array | None, workers: Workers) -> Loss:
        if not _class_weight.needs_counts(self.class_weight):
            return self
        n_classes = n_classes_of(raw)
        return self._with_class_weight(self._class_weight(y, weight, n_classes, workers))

    def _check(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None,
        workers: Workers = ALONE,
    ) -> tuple[Array, Array, Array | None]:
        self._check_params()
        raw = check_raw(raw)
        n_classes = n_classes_of(raw)
        y = check_labels(y, n_classes, len(raw))
        return y, raw, check_sample_weight(sample_weight, len(raw), zero_allowed=not workers.alone)

    def _refuse(self, y: Array, raw: Array, weight: Array | None, workers: Workers) -> NoReturn:
        """Say what a loop only noticed on its way."""
        workers.together(self._check, y, raw, weight, workers)
        raise AssertionError("a loop met bad input that no check finds")

    def _check_target(
        self, y: ArrayLike, sample_weight: ArrayLike | None, n_classes: int | None
    ) -> tuple[Array, Array | None, int]:
        if n_classes is not None:
            n_classes = check_integer("n_classes", n_classes, 2)
        labels = check_labels(y, MOST_CLASSES)
        if not len(labels):
            raise ValueError("y must hold at least one row of each class, got no rows")
        found = max(2, int(labels.max()) + 1) if n_classes is None else n_classes
        labels = check_labels(labels, found)
        return labels, check_sample_weight(sample_weight, len(labels)), found

    def _class_numbers(self, class_weight: Array, dtype: Any) -> tuple[Array, ...]:
        """What the loops know of each class, in the type in which they compute."""
        shape = self._shape(len(class_weight))
        # w q falls as q**(1 + shape): beyond this margin it underflows float32
        limit = -SMALLEST_LOG / (1.0 + shape)
        numbers = (class_weight.astype(dtype), shape.astype(dtype), limit.astype(dtype))
        if len(class_weight) > 2 and not any(map(np.ptp, numbers)):
            # the same for all classes: the loop need not look them up
            return tuple(array[:1] for array in numbers)
        return numbers

    def _in_double(self, n_dimensions: int) -> bool:
        """Whether float32 scores (n,) or (n, K) too must be computed in float64."""
        return False

    def _value(self, y: Array, raw: Array, weight: Array | None, workers: Workers = ALONE) -> Array:
        n_classes = n_classes_of(raw)
        class_weight = self._class_weight(y, weight, n_classes, workers)
        numbers = self._class_numbers(class_weight, raw.dtype)
        out = np.empty(len(raw), dtype=raw.dtype)
        weight = None if weight is None else np.asarray(weight, raw.dtype)
        if raw.ndim == 1:
            self._kernels.binary_value(raw, y, weight, numbers, out)
        else:
            matrix = _softmax.Matrix(raw, y, numbers)
            for start, stop in matrix.chunks(0, len(raw)):
                matrix.prepare(start, stop)
                some = None if weight is None else weight[start:stop]
                self._kernels.softmax_value(stop - start, some, matrix.scratch, out[start:stop])
        return out

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
        """Gradient, Hessian, and whether a loop met a label, score or weight not allowed."""
        dtype = np.float64 if self._in_double(raw.ndim) else raw.dtype
        weight = None if weight is None else np.asarray(weight, dtype)
        if "class_numbers" not in memory:
            memory["class_numbers"] = self._class_numbers(memory["class_weight"], dtype)
        numbers = memory["class_numbers"]
        gradient, hessian = _outputs(raw, memory)
        if raw.ndim == 1:
            work = self._binary_work(raw, y, weight, numbers, gradient, hessian)
        else:
            work = self._softmax_work(raw, y, weight, numbers, factor, gradient, hessian)
        done = in_parts(work, len(raw), raw.size, n_threads)
        return gradient, hessian, any(done)

    def _binary_work(
        self, raw: Array, y: Array, weight: Array | None, numbers: Any, *out: Array
    ) -> Callable[[int, int], bool]:
        def work(start: int, stop: int) -> bool:
            rows = slice(start, stop)
            some = None if weight is None else weight[rows]
            return self._kernels.binary_gradient(
                raw[rows], y[rows], some, numbers, *(array[rows] for array in out)
            )

        return work

    def _softmax_work(
        self, raw: Array, y: Array, weight: Array | None, numbers: Any, factor: float, *out: Array
    ) -> Callable[[int, int], bool]:
        flat_out = [array.ravel(order="K") for array in out]

        def work(start: int, stop: int) -> bool:
            matrix, bad = _softmax.Matrix(raw, y, numbers), False
            for first, last in matrix.chunks(start, stop):
                bad |= matrix.prepare(first, last)
                some = None if weight is None else weight[first:last]
                bad |= self._kernels.softmax_slope(last - first, some, matrix.scratch)
                matrix.write(first, last, factor, *flat_out)
            return bad

        return work

    def _posterior(self, raw: Array, class_weight: Array) -> Array:
        log_odds = self._log_posterior(raw, np.log(class_weight))
        if raw.ndim == 2:
            return np.exp(log_softmax(log_odds, axis=1))
        return np.exp(log_expit(log_odds))

    def _log_posterior(self, raw: Array, log_class_weight: Array) -> Array:
        """Log-odds (n,) or unnormalised log-probabilities (n, K) of the posterior."""
        raw = raw.astype(np.float64)
        if raw.ndim == 1:
            log_p, log_q = log_expit(raw), log_expit(-raw)
            weight_1 = self._log_weight(log_p, log_q, 1) + log_class_weight[1]
            weight_0 = self._log_weight(log_q, log_p, 0) + log_class_weight[0]
            log_odds: Array = raw - weight_1 + weight_0
            return log_odds
        self._shape(raw.shape[1])  # raises where there is not one for each class
        log_p, labels = log_softmax(raw, axis=1), np.arange(raw.shape[1])
        return log_p - self._log_weight(log_p, _log_complement(log_p), labels) - log_class_weight

    def _base_score(
        self, y: Array, weight: Array | None, counts: Array, binary: bool
    ) -> float | Array:
        log_class_weight = np.log(self._class_weight(y, weight, len(counts)))
        log_counts = np.log(counts)  # shares up to a constant, which cancels
        if binary:
            target = log_counts[1] - log_counts[0]
            return _increasing_root(
                lambda z: float(self._log_posterior(np.array([z]), log_class_weight)[0]) - target
            )
        return self._softmax_base_score(log_counts + log_class_weight)

    def _softmax_base_score(self, log_target: Array) -> Array:
        """Probabilities with ``log p_k - log w_k(p_k) = log_target_k + c``, c so that they add up.

        Both steps are monotone: p_k in c, and the sum of the p_k in c.
        """
        self._shape(len(log_target))  # raises where there is not one for each class

        def logits(c: float) -> list[float]:
            return [
                _increasing_root(
                    lambda a, k=k: float(
                        log_expit(a)
                        - self._log_weight(np.array(log_expit(a)), np.array(log_expit(-a)), k)
                        - log_target[k]
                        - c
                    )
                )
                for k in range(len(log_target))
            ]

        c = _increasing_root(lambda c: float(logsumexp(log_expit(np.array(logits(c))))))
        score: Array = log_expit(np.array(logits(c)))
        return score


def _outputs(raw: Array, memory: Memory) -> tuple[Array, Array]:
    """Arrays for gradient and Hessian, in the engine's own memory order.

    Where nobody holds last round's any more, they are used again: from 4 million rows on the
    system's making of fresh pages takes longer than the loss, and does not share out to threads.
    """
    kept = memory.get("outputs")
    # a reference each from the pair, from the loop's variable and from the call
    if kept is None or any(
        a.shape != raw.shape or a.flags.c_contiguous != raw.flags.c_contiguous
        or sys.getrefcount(a) > 3
        for a in kept
    ):  # fmt: skip
        gradient = np.empty_like(raw, dtype=np.float32)
        kept = memory["outputs"] = (gradient, np.empty_like(gradient))
    return kept


def _increasing_root(function: Any) -> float:
    """Root of an increasing function; the nearer end of -512 to 512 where it has none there."""
    if function(-FARTHEST) > 0:
        return -FARTHEST
    if function(FARTHEST) < 0:
        return FARTHEST
    return float(brentq(function, -FARTHEST, FARTHEST, xtol=1e-14, rtol=1e-15))


def _log_complement(log_p: Array) -> Array:
    """``log(1 - p_k)`` along rows; for the largest class summed from the others."""
    with np.errstate(divide="ignore"):
        log_q = np.log(-np.expm1(log_p))
    rows, top = np.arange(len(log_p)), log_p.argmax(axis=1)
    others = log_p.copy()
    others[rows, top] = -np.inf
    log_q[rows, top] = logsumexp(others, axis=1)
    return log_q


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


__all__ = ["Loss", "Memory"]
