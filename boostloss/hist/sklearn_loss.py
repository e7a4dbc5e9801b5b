"""Make a loss usable in scikit-learn. This is the only file that uses its private classes.

``HistGradientBoostingClassifier`` accepts an object of ``sklearn._loss.BaseLoss`` for its parameter
``loss``. It calls, in one ``fit``: ``fit_intercept_only``, then in each round ``gradient_hessian``
and, with early stopping, the object itself; afterwards ``predict_proba``.
"""

from __future__ import annotations

import copy
import inspect
import weakref
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn._loss.link import Interval, LogitLink, MultinomialLogit
from sklearn._loss.loss import BaseLoss, HalfBinomialLoss, HalfMultinomialLoss
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import LabelEncoder

from boostloss.classifier import from_engine, needs_training_scores, probabilities
from boostloss.losses import FittedLoss, Loss, TrainingRun, named
from boostloss.losses.validation import Array
from boostloss.metrics import posterior_metric
from boostloss.recorder import Recorder, Recording

FIT_TAKES_VALIDATION = "X_val" in inspect.signature(HistGradientBoostingClassifier.fit).parameters
"""Whether ``fit`` accepts validation rows, as it does from scikit-learn 1.7 on."""


class HistLoss(BaseLoss):  # type: ignore[misc]
    """A boostloss loss for scikit-learn's histogram trees; see :func:`boostloss.hist.hist_loss`.

    It keeps the fitted loss of one model, also in pickles and deep copies. ``sklearn.base.clone``
    makes a new object without it.

    Parameters
    ----------
    loss : Loss or str
        The loss, or its name.

    Attributes
    ----------
    fitted_loss : FittedLoss or None
        The loss fitted to the training rows.

    See Also
    --------
    boostloss.hist.hist_loss : Makes one for a model.
    """

    n_classes: int
    _run: TrainingRun | None
    _rows: tuple[Array, Array, Array | None] | None
    _recording: Recording | None
    _owner: weakref.ref[Any] | None
    _is_set: bool

    def __init__(self, loss: Loss | str) -> None:
        self.given: Loss = named(loss)
        self.fitted_loss: FittedLoss | None = None
        self.probability = "posterior"
        self.recorder: Recorder | None = None
        self.class_weight_in_rows: Array | None = None
        self.in_use: tuple[Array, Array] | None = None
        self._forget_training()
        self._set_classes(2)

    # -- start of a training ------------------------------------------------------------

    @classmethod
    def of_training(
        cls,
        loss: Loss,
        fitted_loss: FittedLoss,
        *,
        probability: str = "posterior",
        recorder: Recorder | None = None,
        class_weight_in_rows: Array | None = None,
        in_use: tuple[Array, Array] | None = None,
    ) -> Self:
        """Make the loss for one training, whose labels and class weights are known.

        Parameters
        ----------
        loss : Loss
            The loss to minimise.
        fitted_loss : FittedLoss
            The loss before training, for the posterior.
        probability : {"posterior", "link"}, default="posterior"
            What :meth:`predict_proba` returns.
        recorder : Recorder, optional
            Records the gradient norms of each round.
        class_weight_in_rows : array of shape (K,), optional
            Class weights by which the weights of the rows have been multiplied. ``loss`` then has
            no class weights, and metrics divide by them.
        in_use : tuple of two arrays of shape (K,), optional
            Class shares of the training rows, and where the model is used. Metrics are computed
            for the latter.

        Returns
        -------
        HistLoss
            For one training.
        """
        made = cls(loss)
        made._set_classes(fitted_loss.n_classes)
        made.fitted_loss = fitted_loss
        made.probability, made.recorder = probability, recorder
        made.class_weight_in_rows, made.in_use = class_weight_in_rows, in_use
        made._is_set = True
        return made

    def finish(self, fitted_loss: FittedLoss) -> None:
        """Keep the final fitted loss, and drop the training rows.

        Parameters
        ----------
        fitted_loss : FittedLoss
            The loss fitted to the training rows and their last scores.
        """
        self.fitted_loss = fitted_loss
        self._forget_training()
        self.recorder = self.in_use = None

    # -- called by scikit-learn ---------------------------------------------------------

    def fit_intercept_only(self, y_true: Array, sample_weight: Array | None = None) -> Array:
        """Return the raw score, or scores of shape (K,), at which training starts."""
        if not self._is_set:
            n_classes = max(2, int(y_true.max()) + 1)
            fitted = self.given.fit(y_true, None, sample_weight, n_classes=n_classes)
            self._take_over(fitted)
        self._run = TrainingRun()
        softmax = self.n_classes if self.is_multiclass else None
        raw = self._minimised.init_score(y_true, sample_weight, n_classes=softmax)
        raw = np.asarray(raw, dtype=np.float64)
        return raw - raw.mean() if self.is_multiclass else raw

    def gradient_hessian(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        gradient_out: Array | None = None,
        hessian_out: Array | None = None,
        n_threads: int = 1,
    ) -> tuple[Array, Array]:
        """Compute the first and second derivative in float32, in the given arrays."""
        if self._run is None:  # training continues, possibly in another process
            self._run = TrainingRun()
        run, raw, loss = self._run, self._scores(raw_prediction), self._minimised
        run.n_threads = n_threads
        if needs_training_scores(loss):
            # scikit-learn adds each tree to this same array
            self._rows = (y_true, raw, sample_weight)
        gradient, hessian = loss.gradient_hessian(
            y_true, raw, sample_weight,
            run=run,
            gradient_out=_flat(gradient_out), hessian_out=_flat(hessian_out),
        )  # fmt: skip
        if self.recorder is not None:
            self._recording = self.recorder.record(self._recording, run, raw, gradient)
        return gradient, hessian

    def gradient(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        gradient_out: Array | None = None,
        n_threads: int = 1,
    ) -> Array:
        """Compute the first derivative only."""
        return self.gradient_hessian(
            y_true, raw_prediction, sample_weight, gradient_out, n_threads=n_threads
        )[0]

    def loss(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        loss_out: Array | None = None,
        n_threads: int = 1,
    ) -> Array:
        """Compute the loss of each row, in nats."""
        value = self._minimised.value(y_true, self._scores(raw_prediction), sample_weight)
        if loss_out is None:
            return value
        loss_out[:] = value
        return loss_out

    def __call__(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        n_threads: int = 1,
    ) -> float:
        """Compute the mean log loss of the posterior without its offset, for early stopping."""
        if self.class_weight_in_rows is not None and sample_weight is not None:
            sample_weight = sample_weight / self.class_weight_in_rows[y_true.astype(np.intp)]
        metric = posterior_metric(self._fitted.loss, in_use=self.in_use)
        return float(metric(y_true, self._scores(raw_prediction), sample_weight))

    def predict_proba(self, raw_prediction: Array) -> Array:
        """Compute probabilities: the loss's posterior, or the link of the raw scores.

        Parameters
        ----------
        raw_prediction : array of shape (n, 1), (n,) or (n, K)
            Raw scores, one column for two classes.

        Returns
        -------
        array of shape (n, K)
            Probability of each class; rows sum to 1.
        """
        self._settle()
        fitted = self._fitted
        if self.in_use is not None:
            trained_on, used_in = self.in_use
            fitted = fitted.with_offset(fitted.offset + np.log(used_in) - np.log(trained_on))
        return probabilities(self._scores(raw_prediction), fitted, self.probability)

    # -- as a parameter of an estimator -------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the loss.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of nested objects are among them.

        Returns
        -------
        dict
            Values by name.
        """
        return self.given.get_params(deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the loss.

        Parameters
        ----------
        **params : Any
            Values by name, for example ``gamma=1``.

        Returns
        -------
        self
            The same object.
        """
        self.given.set_params(**params)
        return self

    def __sklearn_clone__(self) -> HistLoss:
        return HistLoss(clone(self.given))

    def __repr__(self) -> str:
        return f"hist_loss({self.given!r})"

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return {
            **self.__dict__,
            **dict.fromkeys(("_run", "_rows", "_recording", "_owner", "recorder")),
        }

    # -- internal -----------------------------------------------------------------------

    def _forget_training(self) -> None:
        self._run = self._rows = self._recording = self._owner = None
        self._is_set = False

    def _set_classes(self, n_classes: int) -> None:
        several = n_classes > 2
        link = MultinomialLogit() if several else LogitLink()
        super().__init__(closs=None, link=link, n_classes=n_classes)
        self.is_multiclass = several
        self.interval_y_true = Interval(0, n_classes - 1, True, True)
        self.interval_y_pred = Interval(0, 1, False, False)

    def _take_over(self, fitted: FittedLoss) -> None:
        """Start another training, unless that would change the probabilities of another model."""
        owner, estimator = self._owner and self._owner(), _calling_estimator()
        shared = owner is not None and owner is not estimator
        if shared and (fitted.loss.depends_on_all_scores or fitted != self.fitted_loss):
            raise ValueError(
                "loss must be another hist_loss object for each model: this one belongs to a "
                f"fitted model, whose probabilities would change; got {self!r} again"
            )
        self._forget_training()
        self._owner = None if estimator is None else weakref.ref(estimator)
        self._set_classes(fitted.n_classes)
        self.fitted_loss = fitted

    @property
    def _fitted(self) -> FittedLoss:
        if self.fitted_loss is None:
            raise ValueError(f"{self!r} is not fitted: fit the model that it belongs to")
        return self.fitted_loss

    @property
    def _minimised(self) -> Loss:
        """The loss with its class weights as numbers."""
        loss: Loss = self.given if self._is_set else self._fitted.loss
        return loss

    def _settle(self) -> None:
        """Fit offset and density to the current scores of the training rows."""
        if self._rows is not None:
            y, raw, weight = self._rows
            self.fitted_loss, self._rows = self._minimised.fit(y, raw, weight), None

    def _scores(self, raw_prediction: Array) -> Array:
        """Return the scores with shape (n, K), or (n,) for two classes."""
        raw = np.asarray(raw_prediction)
        return raw if self.is_multiclass else raw.reshape(-1)


def _flat(array: Array | None) -> Array | None:
    return array.reshape(-1) if array is not None and array.shape[1:] == (1,) else array


def _calling_estimator() -> Any:
    """Return the estimator whose ``fit`` is running, or None if Python has no stack frames.

    scikit-learn does not tell a loss its estimator, and has no public way to ask. The estimator is
    only compared with the previous one, so that two models cannot share a loss object.
    """
    frame = inspect.currentframe()
    for _ in range(3):  # over this function, the loss's methods, to what called them
        frame = None if frame is None else frame.f_back
    estimator = None if frame is None else frame.f_locals.get("self")
    return estimator if isinstance(estimator, HistGradientBoostingClassifier) else None


# -- stopping a training from outside ----------------------------------------------------------

Watch = Callable[[Array], bool]
"""Called with the raw scores of the validation rows after each round. True stops the training."""


class _Watched:
    """Return numbers instead of the mean loss, so that scikit-learn stops when ``watch`` says so.

    With ``n_iter_no_change=1`` and ``tol=0`` training continues as long as the loss of the
    validation rows decreases.
    """

    watch: Watch
    calls: int

    def __call__(self, y_true: Array, raw_prediction: Array, *_: Any, **__: Any) -> float:
        self.calls += 1
        if self.calls % 2:  # the training rows, which come first
            return 0.0
        rounds = self.calls // 2 - 1
        stop = rounds > 0 and self.watch(self._scores(raw_prediction))  # type: ignore[attr-defined]
        return 0.0 if stop else -float(self.calls)


class _WatchedLoss(_Watched, HistLoss):
    pass


class _WatchedBinomial(_Watched, HalfBinomialLoss):  # type: ignore[misc]
    def _scores(self, raw_prediction: Array) -> Array:
        return raw_prediction.reshape(-1)


class _WatchedMultinomial(_Watched, HalfMultinomialLoss):  # type: ignore[misc]
    def _scores(self, raw_prediction: Array) -> Array:
        return raw_prediction


STOPPED_FROM_OUTSIDE: dict[str, Any] = {
    "early_stopping": True, "scoring": "loss", "n_iter_no_change": 1, "tol": 0.0,
}  # fmt: skip
"""Parameters of the classifier that :func:`watched` requires."""


def watched(loss: Loss | None, n_classes: int, watch: Watch) -> Any:
    """Return a loss, or scikit-learn's log loss for None, for a training that ``watch`` stops."""
    if loss is not None:
        made: Any = _WatchedLoss(loss)
    elif n_classes > 2:
        made = _WatchedMultinomial(n_classes=n_classes)
    else:
        made = _WatchedBinomial()
    made.watch, made.calls = watch, 0
    return made


# -- read by other libraries -------------------------------------------------------------------


def plain(engine: Any) -> Any:
    """Return a copy of a fitted classifier with scikit-learn's log loss and labels 0..K-1."""
    made = copy.copy(engine)
    n_classes = len(engine.classes_)
    made.loss, made.classes_ = "log_loss", np.arange(n_classes)
    made._label_encoder = LabelEncoder().fit(made.classes_)
    several = n_classes > 2
    made._loss = HalfMultinomialLoss(n_classes=n_classes) if several else HalfBinomialLoss()
    return made


def nodes_of(engine: Any) -> tuple[Array, list[list[Array]]]:
    """Return the initial raw scores (K,), and the nodes of each tree by round and raw score."""
    rounds = [[tree.nodes for tree in of_round] for of_round in engine._predictors]
    return engine._baseline_prediction.ravel(), rounds


class EngineState:
    """Private attributes of the fitted scikit-learn classifier, which SHAP and converters read."""

    _baseline_prediction = from_engine("_baseline_prediction")
    _bin_mapper = from_engine("_bin_mapper")
    _is_categorical_remapped = from_engine("_is_categorical_remapped")
    _loss = from_engine("_loss")
    _n_features = from_engine("_n_features")
    _predictors = from_engine("_predictors")
    _preprocessor = from_engine("_preprocessor")
