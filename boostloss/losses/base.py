"""Define the base class of all losses: cross-entropy with a weight on each row.

With s = 2y - 1, margin m = s z, p = sigma(m), q = 1 - p and u = -log p, a loss defines the
magnitude of its slope, ``w q``, in one row. Then

    d loss / dz = -s w q,        curvature = w p q.

For softmax with true class t, d loss / dz_k = w (p_k - [k = t]) and the curvature is
w c p_k (1 - p_k), where c is a constant of the engine.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import log_expit, logsumexp

from boostloss.kernels import Row, RowFunctions, scalar
from boostloss.losses import class_weight as weights_of_classes
from boostloss.losses import registry
from boostloss.losses.class_weight import ClassWeight
from boostloss.losses.fitted import FittedLoss, row_of
from boostloss.losses.run import ALONE, TrainingRun, Workers
from boostloss.losses.validation import (
    LABEL_LIMIT,
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

if TYPE_CHECKING:

    class BaseEstimator:
        """Declare the methods for type checkers, because scikit-learn has no type hints."""

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...  # noqa: D102
        def set_params(self, **params: Any) -> Self: ...  # noqa: D102

else:
    from sklearn.base import BaseEstimator


FARTHEST = 512.0
"""Largest raw score of an intercept. At this score a class share is about 1e-222."""

FARTHEST_MARGIN = 80.0
"""Margins are clipped here, where q = 1.8e-35. Beyond it, q times a small weight would be a
subnormal float32, and subnormal numbers make the kernels several times slower."""


class Loss(BaseEstimator):
    r"""Base class of the losses. Parameters behave as in any scikit-learn estimator.

    Let s = 2y - 1, p = sigma(s z) the probability that the raw score z gives to the true class, and
    q = 1 - p. Every loss is cross-entropy with a weight w on each row:

    .. math::
        \frac{\partial\ell}{\partial z} = {-s}\,w\,q, \qquad \text{curvature} = w\,p\,q.

    A custom loss is a subclass in one file. It has a ``name``, parameters in ``__init__``
    (including ``class_weight`` and ``beta``), and two functions of one
    :class:`~boostloss.kernels.Row` with the decorator :func:`scalar`: ``value`` and ``slope``
    (w q). They take the row, then the parameters of :meth:`shape_params`. ``curvature`` and
    ``log_weight`` have defaults.

    Parameters
    ----------
    class_weight : None, "balanced", "effective", float, dict or sequence, default=None
        Weight of each class, as in :class:`~boostloss.CrossEntropy`.
    beta : float in [0, 1), default=0.9999
        Overlap of samples, used by "effective" only.

    See Also
    --------
    FittedLoss : Returned by :meth:`fit`; computes the posterior.
    scalar : Marks a loss's functions for compilation.
    register : Registers a loss under its name.
    boostloss.testing.check_loss : Checks a loss.
    """

    name: ClassVar[str]
    binary_only: ClassVar[bool] = False
    """Whether the loss is defined for two classes only."""
    weight_may_be_zero: ClassVar[bool] = False
    """Whether some rows have weight 0, such as easy negatives in the asymmetric loss."""
    depends_on_all_scores: ClassVar[bool] = False
    """Whether the weights depend on the scores of the whole data set, as GHM's do."""
    functions: ClassVar[RowFunctions]

    def __init__(self, *, class_weight: ClassWeight = None, beta: float = 0.9999) -> None:
        self.class_weight = class_weight
        self.beta = beta
        self.check_params()

    # -- defined by each loss -----------------------------------------------------------

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Move the scalar functions to ``functions``, because ``value`` is also a method."""
        super().__init_subclass__(**keywords)
        found = {n: f for n, f in vars(cls).items() if getattr(f, "is_scalar", False)}
        if not found:
            return
        inherited = getattr(cls, "functions", None)
        functions = RowFunctions(**{**(inherited._asdict() if inherited else {}), **found})
        names = {
            f"{cls.__name__}.{n}": _shape_names(f) for n, f in functions._asdict().items() if f
        }
        if len(set(names.values())) > 1:
            raise TypeError(f"scalar functions must take the same parameters, got {names}")
        cls.functions = functions
        for name, function in found.items():
            # pickle and the compile cache need the function's new place
            function.__qualname__ = f"{cls.__qualname__}.functions.{name}"
            delattr(cls, name)

    def row_functions(self) -> RowFunctions:
        """Return the scalar functions. Override it if they depend on a parameter.

        Returns
        -------
        RowFunctions
            Functions ``value``, ``slope``, ``curvature`` and ``log_weight``.
        """
        return self.functions

    def shape_params(self, n_classes: int) -> dict[str, Any]:
        """Return the shape parameters by name: one number each, or one for each class.

        Parameters
        ----------
        n_classes : int
            Number of classes K, at least 2.

        Returns
        -------
        dict
            Parameters that the scalar functions take after the row.
        """
        return {}

    def check_params(self) -> None:
        """Raise an error if a parameter is out of range. Subclasses extend this method."""
        weights_of_classes.check_class_weight(self.class_weight)
        check_number("beta", self.beta, 0.0, 1.0, open_end=True)

    @property
    def has_constant_weight(self) -> bool:
        """Whether a row's weight depends on its class only, as in cross-entropy."""
        return False

    def tail_power(self, n_classes: int) -> Any:
        """Return the power of q with which the slope falls on easy examples.

        Beyond a margin of 80 divided by this power the score is clipped, so that the slope does not
        underflow.

        Parameters
        ----------
        n_classes : int
            Number of classes K, at least 2.

        Returns
        -------
        float or array of shape (K,)
            The power.
        """
        return 1.0

    def needs_float64(self, softmax: bool, of_value: bool = False) -> bool:
        """Return whether kernels compute float32 scores in float64.

        Parameters
        ----------
        softmax : bool
            Whether the scores belong to softmax, with shape (n, K).
        of_value : bool, default=False
            Whether the value is computed, instead of gradient and Hessian.

        Returns
        -------
        bool
            True by default, which is always accurate.
        """
        return True

    def class_weights(self, counts: Array | None, n_classes: int) -> Array:
        """Return the weight of each class.

        Parameters
        ----------
        counts : array of shape (K,) or None
            Number of rows of each class, or the sum of their weights. Needed for "balanced" and
            "effective" only.
        n_classes : int
            Number of classes K, at least 2.

        Returns
        -------
        array of shape (K,)
            Positive weights.
        """
        return weights_of_classes.resolve(self.class_weight, self.beta, n_classes, counts)

    def of_the_positive(self) -> dict[str, Any]:
        """Return the parameters that belong to the positive one of two classes.

        The classifiers raise an error for them if the labels do not show which class is positive.
        A custom loss adds its own.

        Returns
        -------
        dict
            Parameters and their values.
        """
        number = isinstance(self.class_weight, int | float | np.number)
        return {"class_weight": self.class_weight} if number and self.class_weight != 1 else {}

    def with_class_weight(self, class_weight: Array) -> Self:
        """Return an equal loss with the given class weights.

        Parameters
        ----------
        class_weight : array of shape (K,)
            Positive weights.

        Returns
        -------
        Loss
            A new object of the same class.
        """
        return self._changed({"class_weight": class_weight.tolist()})

    # -- called by users ----------------------------------------------------------------

    def value(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        workers: Workers = ALONE,
    ) -> Array:
        """Compute the loss of each row, in nats.

        Parameters
        ----------
        y : array of shape (n,)
            Labels, 0 or 1 for binary, 0..K-1 for multiclass.
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite. (n, K) means softmax over K classes.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero; multiplies each row's loss.
        workers : Workers, optional
            The processes that share the rows. Class weights and GHM's density are then computed
            from all rows.

        Returns
        -------
        array of shape (n,)
            Losses in the float type of ``raw``.

        Raises
        ------
        ValueError, TypeError
            If labels, scores, weights, shapes or parameters are invalid.
        """
        y, raw, weight = workers.together(self._check, y, raw, sample_weight, workers)
        class_weight = self._counted_class_weight(y, raw, weight, workers)
        return self._value(y, raw, weight, class_weight, workers)

    def gradient_hessian(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        factor: float = 1.0,
        run: TrainingRun | None = None,
        gradient_out: Array | None = None,
        hessian_out: Array | None = None,
    ) -> tuple[Array, Array]:
        """Compute the first and second derivative with respect to the raw score.

        Parameters
        ----------
        y : array of shape (n,)
            Labels, 0 or 1 for binary, 0..K-1 for multiclass.
        raw : array of shape (n,) or (n, K)
            Raw scores (log-odds), finite. (n, K) means softmax over K classes.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero; multiplies each row's gradient and Hessian.
        factor : float, default=1.0
            The engine's constant c in the softmax Hessian ``c w p_k (1 - p_k)``: 2 in
            XGBoost, K/(K-1) in LightGBM. 1 is the derivative itself. Not used for two classes.
        run : TrainingRun, optional
            State (class weights, GHM's moving average) that is kept between the rounds of one
            training. Labels, weights and parameters are read in its first round.
        gradient_out, hessian_out : float32 arrays of raw's shape and memory order, optional
            Output arrays, as in scikit-learn.

        Returns
        -------
        gradient : float32 array of raw's shape
            First derivative.
        hessian : float32 array of raw's shape
            Second derivative, or its diagonal. It is never negative.

        Raises
        ------
        ValueError, TypeError
            If labels, scores, weights, shapes or parameters are invalid.
        """
        run = TrainingRun() if run is None else run
        factor = check_number("factor", factor, 0.0)
        scores = as_raw(raw)
        if not run.has_read(y, sample_weight, scores):
            self._read(run, y, scores, sample_weight)
            run.inputs = (y, sample_weight, scores.shape, scores.dtype)
        gradient = _output("gradient_out", gradient_out, scores)
        hessian = _output("hessian_out", hessian_out, scores)
        bad = self._gradient_hessian(run, scores, factor, gradient, hessian)
        if run.workers.any(bad):
            self._refuse(run, scores)
        return gradient, hessian

    def init_score(
        self,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        n_classes: int | None = None,
    ) -> float | Array:
        """Find the constant raw score that minimises the loss of the rows.

        The posterior of this score equals the class shares. The score is between -512 and 512.

        Parameters
        ----------
        y : array of shape (n,)
            Labels 0..K-1. Each class must have a row.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero.
        n_classes : int, optional
            Number of classes. By default it is counted in y: two classes give a float (the raw
            score of the sigmoid), more an array of shape (K,) (log-probabilities for softmax).
            ``n_classes=2`` gives an array too.

        Returns
        -------
        float or array of shape (K,)
            The raw score.

        Raises
        ------
        ValueError, TypeError
            If labels, weights or parameters are invalid.
        """
        counts = self._counts(y, sample_weight, n_classes)
        check_present(counts)
        class_weight = self.class_weights(counts, len(counts))
        if len(counts) == 2 and n_classes is None:
            return self._binary_init_score(counts, class_weight)
        return self._softmax_init_score(counts, class_weight)

    def fit(
        self,
        y: ArrayLike,
        raw: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        n_classes: int | None = None,
        workers: Workers = ALONE,
        offset: bool = True,
    ) -> FittedLoss:
        """Compute what the posterior needs from the training rows.

        That is the class weights, and with ``raw`` GHM's density and a log-odds offset for each
        class, which makes the mean posterior over these rows equal to the (weighted) class
        shares. Plain cross-entropy needs no offset. If a class has no rows, no offset is computed.

        Parameters
        ----------
        y : array of shape (n,)
            Labels 0..K-1. Without scores, one row for each class with the counts as weights
            suffices.
        raw : array of shape (n,) or (n, K), optional
            Raw scores of these rows after training. Default: the intercept.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero.
        n_classes : int, optional
            Number of classes. By default it is found from ``raw`` or ``y``.
        workers : Workers, optional
            The processes that share the rows, as in :meth:`value`.
        offset : bool, default=True
            Whether to compute the offset, if there are scores.

        Returns
        -------
        FittedLoss
            Contains only numbers. It computes the posterior, and converts to and from a dict.

        Raises
        ------
        ValueError, TypeError
            If labels, scores, weights or parameters are invalid.

        Examples
        --------
        >>> from boostloss import CrossEntropy
        >>> fitted = CrossEntropy(class_weight="balanced").fit([0, 0, 0, 1])
        >>> print(fitted.posterior([0.0]))
        [0.25]
        """
        if raw is not None:
            y, raw, weight = workers.together(self._check, y, raw, sample_weight, workers)
            class_weight = self._counted_class_weight(y, raw, weight, workers)
            fitted = self._fit(y, raw, weight, class_weight, workers)
            return self._with_offset(fitted, y, raw, weight, workers) if offset else fitted
        counts = self._counts(y, sample_weight, n_classes)
        return self._fit_counts(counts, self.class_weights(counts, len(counts)))

    def __eq__(self, other: object) -> bool:
        """Return whether both losses have the same type and parameters."""
        if type(self) is not type(other):
            return NotImplemented
        mine, others = self.get_params(), other.get_params()  # type: ignore[attr-defined]
        return all(_equal(mine[name], others[name]) for name in mine)

    def __hash__(self) -> int:
        """Return the hash of the type: parameters may change, and a loss may be a key of a dict."""
        return hash(type(self))

    # -- former names -------------------------------------------------------------------

    def base_score(self, *arguments: Any, **keywords: Any) -> float | Array:
        """Deprecated: the former name of :meth:`init_score`."""
        warn_of_former_name("base_score", "init_score")
        return self.init_score(*arguments, **keywords)

    def resolve(
        self, y: ArrayLike, sample_weight: ArrayLike | None = None, *, n_classes: int | None = None
    ) -> Self:
        """Deprecated: ``fit(y, sample_weight=sample_weight).loss``."""
        warn_of_former_name("resolve", "fit")
        loss: Self = self.fit(y, None, sample_weight, n_classes=n_classes).loss  # type: ignore[assignment]
        return loss

    def frozen(self, *arguments: Any, **keywords: Any) -> FittedLoss:
        """Deprecated: the former name of :meth:`fit`."""
        warn_of_former_name("frozen", "fit")
        return self.fit(*arguments, **keywords)

    def posterior(self, raw: ArrayLike) -> Array:
        """Deprecated: ``fit(y_train, raw_train).posterior(raw)``."""
        warn_of_former_name("posterior", "fit(...).posterior")
        n_classes = n_classes_of(check_raw(raw))
        return FittedLoss(self.with_class_weight(self.class_weights(None, n_classes))).posterior(
            raw
        )

    # -- internal -----------------------------------------------------------------------

    def _changed(self, params: dict[str, Any]) -> Self:
        """Return a copy of the loss with other values of these parameters."""
        names = _constructor_parameters(type(self).__init__)
        return type(self)(**{**{name: getattr(self, name) for name in names}, **params})

    def _read(self, run: TrainingRun, y: Any, scores: Array, sample_weight: Any) -> None:
        """Read labels, weights and parameters into a run."""
        self._check_supported(n_classes_of(scores))
        run.y = as_labels(y, len(scores))
        zero_allowed = not run.workers.alone
        run.sample_weight = as_sample_weight(sample_weight, len(scores), zero_allowed=zero_allowed)
        if run.class_weight is None:
            arguments = (run.y, scores, run.sample_weight, run.workers)
            if weights_of_classes.needs_counts(self.class_weight):
                run.workers.together(self._check, *arguments)
            run.class_weight = self._counted_class_weight(*arguments)
        dtype = np.float64 if self.needs_float64(scores.ndim == 2) else scores.dtype
        if run.sample_weight is not None:
            run.sample_weight = np.asarray(run.sample_weight, dtype)
        run.functions = self.row_functions()
        run.class_numbers = self._class_numbers(run.class_weight, dtype, scores.ndim == 2)

    def _counted_class_weight(
        self, y: Array, raw: Array, weight: Array | None, workers: Workers
    ) -> Array:
        counts, n_classes = None, n_classes_of(raw)
        if weights_of_classes.needs_counts(self.class_weight):
            counts = workers.sum(class_counts(y, weight, n_classes))
        return self.class_weights(counts, n_classes)

    def _fit(
        self, y: Array, raw: Array, weight: Array | None, class_weight: Array, workers: Workers
    ) -> FittedLoss:
        return FittedLoss(self.with_class_weight(class_weight))

    def _fit_counts(self, counts: Array, class_weight: Array) -> FittedLoss:
        return FittedLoss(self.with_class_weight(class_weight))

    def _with_offset(
        self, fitted: FittedLoss, y: Array, raw: Array, weight: Array | None, workers: Workers
    ) -> FittedLoss:
        if fitted.keeps_shares:
            return fitted
        return fitted.with_shares_of(y, raw, weight, workers)

    def _check_supported(self, n_classes: int) -> None:
        taken = _constructor_parameters(type(self).__init__)
        if not all(name in taken and hasattr(self, name) for name in ("class_weight", "beta")):
            raise TypeError(
                f"{type(self).__name__}.__init__ must take class_weight and beta, as each loss "
                f"does, and keep them as attributes; it takes {', '.join(taken) or 'nothing'}"
            )
        self.check_params()
        if self.binary_only and n_classes > 2:
            raise ValueError(f"{type(self).__name__} is for two classes, got {n_classes}")

    def _check(
        self,
        y: ArrayLike,
        raw: ArrayLike,
        sample_weight: ArrayLike | None,
        workers: Workers = ALONE,
    ) -> tuple[Array, Array, Array | None]:
        raw = check_raw(raw)
        n_classes = n_classes_of(raw)
        self._check_supported(n_classes)
        y = check_labels(y, n_classes, len(raw))
        return y, raw, check_sample_weight(sample_weight, len(raw), zero_allowed=not workers.alone)

    def _refuse(self, run: TrainingRun, raw: Array) -> NoReturn:
        """Raise the error for invalid input that a kernel has noticed."""
        run.workers.together(self._check, run.y, raw, run.sample_weight, run.workers)
        raise AssertionError("a kernel reported invalid input, but no check found it")

    def _counts(
        self, y: ArrayLike, sample_weight: ArrayLike | None, n_classes: int | None
    ) -> Array:
        """Return the number of rows, or the sum of their weights, of each class."""
        if n_classes is not None:
            n_classes = check_integer("n_classes", n_classes, 2)
        labels = check_labels(y, LABEL_LIMIT)
        if not len(labels):
            raise ValueError("y must contain at least one row of each class, got no rows")
        found = max(2, int(labels.max()) + 1) if n_classes is None else n_classes
        labels = check_labels(labels, found)
        self._check_supported(found)
        return class_counts(labels, check_sample_weight(sample_weight, len(labels)), found)

    def shape_arrays(self, n_classes: int) -> tuple[Array, ...]:
        """Return the shape parameters of each class, in the order of the scalar functions.

        Parameters
        ----------
        n_classes : int
            Number of classes K, at least 2.

        Returns
        -------
        tuple of arrays of shape (K,)
            One array for each parameter.
        """
        params = self.shape_params(n_classes)
        arrays = []
        for name in _shape_names(self.functions.slope):
            array = np.asarray(params[name], dtype=np.float64)
            if array.ndim and array.shape != (n_classes,):
                raise ValueError(
                    f"{name} must be one number or one for each of {n_classes} classes, "
                    f"got {len(array)}"
                )
            arrays.append(np.array(np.broadcast_to(array, n_classes)))
        return tuple(arrays)

    def _class_numbers(self, class_weight: Array, dtype: Any, softmax: bool) -> Any:
        """Return weight, limit and shape parameters of each class in the kernels' float type."""
        n_classes = len(class_weight)
        shape = np.array(self.shape_arrays(n_classes)).reshape(-1, n_classes).astype(dtype)
        power = np.broadcast_to(np.asarray(self.tail_power(n_classes), dtype=np.float64), n_classes)
        limit, weight = (FARTHEST_MARGIN / power).astype(dtype), class_weight.astype(dtype)
        if not softmax:
            return tuple((weight[k], limit[k], tuple(shape[:, k])) for k in (0, 1))
        if not any(np.ptp(array) for array in (weight, limit, *shape)):
            # one number serves all classes, so that the kernel need not look it up
            return weight[:1], limit[:1], np.ascontiguousarray(shape[:, :1])
        return weight, limit, shape

    def _value(
        self, y: Array, raw: Array, weight: Array | None, class_weight: Array, workers: Workers
    ) -> Array:
        softmax = raw.ndim == 2
        dtype = np.float64 if self.needs_float64(softmax, of_value=True) else raw.dtype
        numbers = self._class_numbers(class_weight, dtype, softmax)
        out = np.empty(len(raw), raw.dtype)
        weight = None if weight is None else np.asarray(weight, dtype)
        _kernels(raw.ndim).value(self.row_functions(), raw, y, weight, numbers, out)
        return out

    def _gradient_hessian(
        self, run: TrainingRun, raw: Array, factor: float, gradient: Array, hessian: Array
    ) -> bool:
        """Fill gradient and Hessian. Return True if a label, score or weight is invalid."""
        return self._run_kernel(run, raw, run.sample_weight, factor, gradient, hessian)

    def _run_kernel(
        self, run: TrainingRun, raw: Array, weight: Array | None, factor: float, *out: Array
    ) -> bool:
        done: bool = _kernels(raw.ndim).gradient_hessian(
            run.functions, raw, run.y, weight, run.class_numbers, factor, *out, run.n_threads
        )
        return done

    def _binary_init_score(self, counts: Array, class_weight: Array) -> float:
        start = log_odds_of_shares(counts, class_weight)
        if self._starts_as_cross_entropy:
            return start
        if self.weight_may_be_zero:
            return self._root_of_gradients(counts * class_weight)
        fitted = FittedLoss(self.with_class_weight(class_weight))
        target = np.log(counts[1]) - np.log(counts[0])
        return increasing_root(
            lambda z: float(fitted.log_posterior(np.array([z]))[0]) - target, start
        )

    @property
    def _starts_as_cross_entropy(self) -> bool:
        """Whether the total weight of each class equals cross-entropy's at any constant score."""
        return registry.is_type_of("cross_entropy", self)

    def _root_of_gradients(self, weight: Array) -> float:
        """Return the score at which the gradients of both classes cancel.

        The posterior cannot be used if some rows have weight 0.
        """
        shape = self.shape_arrays(2)

        def gradient_sum(z: float) -> float:
            slopes = [
                self.functions.slope(row_of(log_expit(m), log_expit(-m)), *(s[k] for s in shape))
                for k, m in enumerate((-z, z))
            ]
            return float(weight[0] * slopes[0] - weight[1] * slopes[1])

        return increasing_root(gradient_sum)

    def _softmax_init_score(self, counts: Array, class_weight: Array) -> Array:
        """Solve ``log p_k - log w_k(p_k) = log_target_k + c`` for p_k, where c makes their sum 1.

        Each p_k increases with c, and so does their sum. Both are found as roots.
        """
        if self.binary_only:
            z = self._binary_init_score(counts, class_weight)
            return np.array([log_expit(-z), log_expit(z)])
        log_target = log_shares(counts, class_weight)
        if self._starts_as_cross_entropy:
            return log_target
        fitted = FittedLoss(self.with_class_weight(class_weight))
        # fixed guesses: the result must not depend on previous calls by rounding
        guess = log_target - np.log1p(-np.exp(np.minimum(log_target, -1e-9)))

        def excess(a: float, k: int, c: float) -> float:
            log_p, log_q = np.array(log_expit(a)), np.array(log_expit(-a))
            return float(log_p - fitted.log_weight(k, row_of(log_p, log_q)) - log_target[k] - c)

        def logits(c: float) -> Array:
            roots = [
                increasing_root(lambda a, k=k: excess(a, k, c), guess[k])
                for k in range(len(log_target))
            ]
            return np.array(roots)

        c = increasing_root(lambda c: float(logsumexp(log_expit(logits(c)))))
        score: Array = log_expit(logits(c))
        return score


@functools.cache
def _kernels(n_dimensions: int) -> Any:
    """Return the module with the kernels for scores (n,) or (n, K)."""
    # imported late, since reading a model and computing its posterior need no compiler
    name = "softmax" if n_dimensions == 2 else "binary"
    return importlib.import_module(f"boostloss.kernels.{name}")


def gradient_norms(
    y: Array, raw: Array, n_threads: int = 1, out: Array | None = None
) -> tuple[Array, bool]:
    """Return each row's gradient norm 1 - p, and whether a softmax label or score is invalid."""
    out = np.empty(len(raw), dtype=raw.dtype) if out is None else out
    one, limit = raw.dtype.type(1), raw.dtype.type(FARTHEST_MARGIN)
    numbers: Any = ((one, limit, ()), (one, limit, ()))
    if raw.ndim == 2:
        numbers = np.array([one]), np.array([limit]), np.empty((0, 1), raw.dtype)
    bad = _kernels(raw.ndim).value(_NORM, raw, y, None, numbers, out, n_threads)
    return out, bad


@scalar
def _norm(row: Row) -> Any:
    return row.q


_NORM = RowFunctions(value=_norm, slope=_norm)


def _output(name: str, array: Array | None, raw: Array) -> Array:
    """Return an output array in the memory order of the scores, which is the engine's."""
    if array is None:
        return np.empty_like(raw, dtype=np.float32)
    same_order = array.flags.c_contiguous == raw.flags.c_contiguous
    if array.shape != raw.shape or array.dtype != np.float32 or not same_order:
        raise ValueError(
            f"{name} must be a float32 array of shape {raw.shape} in the memory order of raw, "
            f"got {array.dtype} of shape {array.shape}"
        )
    return array


def increasing_root(function: Any, guess: float = 0.0) -> float:
    """Find the root of an increasing function in [-512, 512], or the end nearest to it."""
    near, step = min(max(guess, -FARTHEST), FARTHEST), 0.5
    side = 1.0 if function(near) < 0 else -1.0
    while True:
        far = min(max(near + side * step, -FARTHEST), FARTHEST)
        if side * function(far) >= 0:
            low, high = min(near, far), max(near, far)
            return float(brentq(function, low, high, xtol=1e-14, rtol=1e-15))
        if abs(far) == FARTHEST:
            return far
        near, step = far, 4.0 * step


def log_odds_of_shares(counts: Array, class_weight: Array) -> float:
    """Return the log-odds at the minimum of weighted cross-entropy, clipped to [-512, 512]."""
    log_total = np.log(counts) + np.log(class_weight)
    return float(np.clip(log_total[1] - log_total[0], -FARTHEST, FARTHEST))


def log_shares(counts: Array, class_weight: Array) -> Array:
    """Return the log-probabilities at the minimum of weighted softmax cross-entropy."""
    log_total = np.log(counts) + np.log(class_weight)
    shares: Array = log_total - logsumexp(log_total)
    return shares


# Both are called in every round, and reading a signature takes as long as 10,000 gradients.
@functools.lru_cache(maxsize=256)
def _shape_names(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)[1:]


@functools.lru_cache(maxsize=256)
def _constructor_parameters(init: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(init).parameters)[1:]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def warn_of_former_name(former: str, name: str) -> None:
    """Warn that a name is deprecated, and name its replacement."""
    warnings.warn(
        f"{former} is deprecated and will be removed in 0.3: use {name}",
        FutureWarning,
        stacklevel=3,
    )
