"""What the classifiers of both engines share: labels, the loss, probabilities, decisions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from boostloss.losses import FittedLoss, Loss, constant_weights, named
from boostloss.losses.validation import Array, check_choice
from boostloss.metrics import Metric, raw_of_probability, workers_now
from boostloss.model_file import PROBABILITIES, State
from boostloss.optional import refuse_distributed

LOSS_PARAMETERS = ("loss", "probability")
"""Parameters of the classifiers that the engine's own classifier does not have."""


class Fitted(NamedTuple):
    """What training leaves in a classifier.

    One attribute contains all of it: an interrupted ``fit`` leaves the old model or the new one.
    """

    engine: Any
    """The engine's own classifier, fitted to the codes 0..K-1."""
    labels: Array
    loss: FittedLoss


class LossClassifierMixin:
    """Parameters ``loss`` and ``probability`` on top of an engine's own classifier.

    Stands before the engine's class among the bases. Fitting sets ``_fitted`` and nothing else;
    what the engine's class knows of a fitted model is read from there (:func:`from_engine`).
    """

    loss: Any
    probability: Any
    objective: Any
    _fitted: Fitted | None = None

    @property
    def classes_(self) -> Array:
        """Labels, sorted."""
        return self._fitted_or_raise().labels

    @property
    def n_classes_(self) -> int:
        """Number of classes."""
        return len(self._fitted_or_raise().labels)

    @property
    def loss_(self) -> FittedLoss:
        """The loss as training left it; its ``posterior(raw)`` is ``predict_proba``."""
        return self._fitted_or_raise().loss

    def set_params(self, **params: Any) -> Any:
        """Set parameters; ``loss__gamma`` and its like reach into the loss."""
        inner = {name: params.pop(name) for name in list(params) if name.startswith("loss__")}
        for name in LOSS_PARAMETERS:
            if name in params:
                setattr(self, name, params.pop(name))
        if inner:
            if not isinstance(self.loss, Loss):
                raise ValueError(
                    f"loss must be a loss object such as FocalLoss() to set {', '.join(inner)}, "
                    f"got loss={self.loss!r}"
                )
            self.loss.set_params(**{name[len("loss__") :]: inner[name] for name in inner})
        super().set_params(**params)  # type: ignore[misc]
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def _fitted_or_raise(self) -> Fitted:
        if self._fitted is None:
            raise NotFittedError(f"{type(self).__name__} is not fitted: call fit or load_model")
        return self._fitted

    def _engine_params(self) -> dict[str, Any]:
        """Parameters of the engine's own classifier."""
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        return {name: value for name, value in params.items() if name not in LOSS_PARAMETERS}

    def _check_objective(self, allowed: tuple[str | None, ...], default: str | None) -> None:
        if self.objective not in allowed:
            raise ValueError(
                f"objective must be left as it is, {default!r}, since loss takes its place, "
                f"got {self.objective!r}"
            )

    def _resolved_loss(
        self, codes: Array, weight: Array | None, labels: Array, class_factor: Array | None
    ) -> Loss:
        """The loss with class weights as numbers, times the engine's own class weights."""
        check_choice("probability", self.probability, PROBABILITIES)
        # a copy: parameters set later must not reach into a fitted model
        loss = class_weight_by_code(clone(named(self.loss)), labels)
        fitted = loss.fit(codes, None, weight, n_classes=len(labels))
        resolved: Loss = fitted.loss
        if class_factor is None:
            return resolved
        return resolved.with_class_weight(fitted.class_weight * class_factor)

    def _decide(self, raw: Any) -> Any:
        """Labels by the loss's own decision."""
        return decide(raw, self.classes_)

    def _probability(self, raw: Any) -> Any:
        """Probabilities (n, K) of raw scores, as the parameter ``probability`` says."""
        return probabilities(raw, self.loss_, self.probability)

    def _metric_on_probability(self, metric: Any, loss: Loss, linked: bool) -> Any:
        """A user's metric, which expects probabilities, for what the engine passes.

        That are raw scores or, ``linked``, their sigma or softmax.
        """
        if isinstance(metric, Metric):
            return metric.on_probabilities() if linked else metric
        if linked and (self.probability == "link" or is_plain_cross_entropy(loss)):
            return metric

        @functools.wraps(metric)
        def on_probability(y: Any, raw: Any, *weight: Any, **keywords: Any) -> Any:
            raw = raw_of_probability(np.asarray(raw)) if linked else raw
            sample_weight = weight[0] if weight else keywords.get("sample_weight")
            fitted = loss.fit(y, raw, sample_weight, workers=workers_now())
            p = _one_probability(raw, fitted, self.probability)
            return metric(y, p, *weight, **keywords)

        return on_probability

    def _state(self) -> State:
        """What a model file must contain beside the engine's model."""
        return State(self.classes_, self.loss_, self.probability)


def from_engine(name: str, unfitted: Any = NotFittedError) -> Any:
    """An attribute of the engine's class, read from the fitted engine.

    ``unfitted`` is its value before fitting; by default there is none. Assigning it does nothing:
    only the engine's own constructor would.
    """

    def read(classifier: LossClassifierMixin) -> Any:
        if classifier._fitted is None and unfitted is not NotFittedError:
            return unfitted
        return getattr(classifier._fitted_or_raise().engine, name)

    return property(read, lambda classifier, value: None)


def probabilities(raw: Array, loss: FittedLoss, probability: str) -> Array:
    """Probabilities (n, K): the loss's posterior, or the link of the raw scores."""
    p = _one_probability(raw, loss, probability)
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


def _one_probability(raw: Array, loss: FittedLoss, probability: str) -> Array:
    check_choice("probability", probability, PROBABILITIES)
    if probability == "posterior":
        return loss.posterior(raw)
    raw = np.asarray(raw, dtype=np.float64)
    p: Array = expit(raw) if raw.ndim == 1 else softmax(raw, axis=1)
    return p


def decide(raw: Array, labels: Array) -> Array:
    """Labels by a loss's own decision: raw score above 0, or the largest."""
    code = np.argmax(raw, axis=1) if raw.ndim == 2 else (raw > 0).astype(np.intp)
    decision: Array = labels[code]
    return decision


def encode_labels(y: Any) -> tuple[Array, Array]:
    """Sorted labels (K,) and each row's code 0..K-1 (n,); at least two classes."""
    refuse_distributed("y", y)
    y = as_column(y)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    labels, codes = unique_labels(y, "y")
    if len(labels) < 2:
        raise ValueError(
            f"y must hold at least two classes, got one class, {labels.tolist()}, "
            f"in n_samples = {len(y)}"
        )
    return labels, codes


def as_column(y: Any) -> Array:
    """Labels as an array; an object array of numbers gets a numeric type."""
    if hasattr(y, "isna") and np.any(y.isna()):
        raise ValueError("Input y contains NaN or another missing value")  # as scikit-learn says
    y = column_or_1d(y, warn=True)
    if y.dtype == object and {type(label) for label in y} <= {bool, int, float}:
        y = np.array(y.tolist())
    column: Array = y
    return column


def unique_labels(y: Array, name: str) -> tuple[Array, Array]:
    """Sorted labels and each row's code."""
    try:
        return np.unique(y, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y.tolist()})
        raise TypeError(f"{name} must hold labels of one kind, got {', '.join(kinds)}") from error


def codes_of(y: Any, labels: Array, name: str) -> Array:
    """Codes of labels that must all have been seen in training."""
    y = as_column(y)
    seen = set(labels.tolist())
    unseen = [label for label in unique_labels(y, name)[0].tolist() if label not in seen]
    if unseen:
        raise ValueError(
            f"{name} must hold labels seen in y, {labels.tolist()}; never seen: {unseen[:5]}"
        )
    codes: Array = np.searchsorted(labels, y)
    return codes


def eval_codes(eval_set: Any, y: Any, codes: Array, labels: Array) -> Any:
    """Evaluation sets with codes for labels; the training set stays the same object."""
    if eval_set is None:
        return None
    one_pair = isinstance(eval_set, tuple) and not isinstance(eval_set[0], tuple)
    coded = []
    for i, pair in enumerate([eval_set] if one_pair else eval_set):
        if len(pair) != 2:
            raise ValueError(f"eval_set[{i}] must be a pair (X, y), got {len(pair)} things")
        X, own_y = pair
        coded.append((X, codes if own_y is y else codes_of(own_y, labels, f"eval_set[{i}]'s y")))
    return coded


def check_features(X: Any, y: Any = None) -> Any:
    """Array-likes as an array or sparse matrix; frames and device arrays as they are.

    With ``y`` the rows must be as many, and at least two.
    """
    if y is None and type(X) is np.ndarray and X.ndim == 2 and X.size and X.dtype.kind == "f":
        return X  # as check_array would return it, in a third of the time that one row takes
    refuse_distributed("X", X)
    # on the type: a lazy frame would have to look at its data to answer
    known = ("columns", "__arrow_c_stream__", "__cuda_array_interface__")
    if not any(hasattr(type(X), name) for name in known):
        least = 1 if y is None else 2
        X = check_array(X, accept_sparse=True, ensure_all_finite=False, ensure_min_samples=least)
    if y is not None and hasattr(X, "shape") and X.shape[0] != len(y):
        raise ValueError(f"X and y must have as many rows, got {X.shape[0]} and {len(y)}")
    return X


def is_plain_cross_entropy(loss: Loss) -> bool:
    """Whether this is the engine's own loss: its posterior is the link of the raw score."""
    weights = constant_weights(loss)
    return weights is not None and bool((weights == 1.0).all())


def class_weight_by_code(loss: Loss, labels: Array) -> Loss:
    """The loss with a ``class_weight`` dict of labels as a list, in the order of the codes."""
    class_weight = loss.class_weight
    if not isinstance(class_weight, Mapping):
        return loss
    wanted = labels.tolist()
    if set(class_weight) != set(wanted):
        raise ValueError(f"class_weight must have the keys {wanted}, got {list(class_weight)}")
    ordered: Loss = loss.set_params(class_weight=[class_weight[label] for label in wanted])
    return ordered
