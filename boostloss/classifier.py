"""What the classifiers of both engines share: labels, the loss, probabilities, decisions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from boostloss import _engine_call
from boostloss.losses import Loss
from boostloss.losses._catalogue import named
from boostloss.losses._validation import Array, check_choice
from boostloss.metrics import Metric
from boostloss.model_file import PROBABILITIES, State
from boostloss.optional import refuse_distributed

OWN_PARAMETERS = ("loss", "probability")


class LossClassifierMixin:
    """Parameters ``loss`` and ``probability`` on top of an engine's own classifier.

    Stands before the engine's class among the bases. Fitting sets ``loss_``, the loss as
    training left it, and ``_labels``, the class labels.
    """

    loss: Any
    probability: Any
    loss_: Loss
    _labels: Array

    def set_params(self, **params: Any) -> Any:
        """Set parameters; ``loss__gamma`` and its like reach into the loss."""
        inner = {name: params.pop(name) for name in list(params) if name.startswith("loss__")}
        for name in OWN_PARAMETERS:
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

    def _engine_params(self) -> dict[str, Any]:
        """The parameters that are the engine's own."""
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        return {name: value for name, value in params.items() if name not in OWN_PARAMETERS}

    def _resolved_loss(
        self, codes: Array, weight: Array | None, labels: Array, class_factor: Array | None
    ) -> Loss:
        """The loss with class weights as numbers, times the engine's own class weights."""
        check_choice("probability", self.probability, PROBABILITIES)
        # a copy: parameters set later must not reach into a fitted model
        loss = by_code(clone(named(self.loss)), labels)
        n_classes = len(labels)
        loss = loss.resolve(codes, weight, n_classes=n_classes)
        if class_factor is None:
            return loss
        return loss._with_class_weight(loss._static_class_weight(n_classes) * class_factor)

    def _probability(self, raw: Array) -> Array:
        """Probabilities (n, K) of raw scores, as the parameter ``probability`` says."""
        return probabilities(raw, self.loss_, self.probability)

    def _decide(self, raw: Array) -> Array:
        """Labels by the loss's own decision."""
        return decided(raw, self._labels)

    def _metric_on_probability(self, metric: Any, loss: Loss) -> Any:
        """A user's metric, which expects probabilities, for an engine that hands raw scores."""
        if isinstance(metric, Metric):
            return metric

        @functools.wraps(metric)
        def on_probability(y: Any, raw: Any, *weight: Any, **keywords: Any) -> Any:
            given = weight[0] if weight else keywords.get("sample_weight")
            workers = _engine_call.workers_of(_engine_call.calling_booster())
            frozen = loss.frozen(y, raw, given, workers=workers)
            p = _one_probability(raw, frozen, self.probability)
            return metric(y, p, *weight, **keywords)

        return on_probability

    def _state(self) -> State:
        """What a model file must hold beside the engine's model."""
        return State(self._labels, self.loss_, self.probability)


def probabilities(raw: Array, loss: Loss, probability: str) -> Array:
    """Probabilities (n, K): the loss's posterior, or the link of the raw scores."""
    p = _one_probability(raw, loss, probability)
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


def _one_probability(raw: Array, loss: Loss, probability: str) -> Array:
    check_choice("probability", probability, PROBABILITIES)
    if probability == "posterior":
        return loss.posterior(raw)
    raw = np.asarray(raw, dtype=np.float64)
    p: Array = expit(raw) if raw.ndim == 1 else softmax(raw, axis=1)
    return p


def decided(raw: Array, labels: Array) -> Array:
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
    """Labels as an array; numbers that stand in an object array get a type of their own."""
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
        X, given = pair
        coded.append((X, codes if given is y else codes_of(given, labels, f"eval_set[{i}]'s y")))
    return coded


def check_features(X: Any, y: Any = None) -> Any:
    """Array-likes as an array or sparse matrix; frames and device arrays as they are.

    With ``y`` the rows must be as many, and at least two.
    """
    refuse_distributed("X", X)
    # on the type: a lazy frame would have to look at its data to answer
    known = ("columns", "__arrow_c_stream__", "__cuda_array_interface__")
    if not any(hasattr(type(X), name) for name in known):
        least = 1 if y is None else 2
        X = check_array(X, accept_sparse=True, ensure_all_finite=False, ensure_min_samples=least)
    if y is not None and hasattr(X, "shape") and X.shape[0] != len(y):
        raise ValueError(f"X and y must have as many rows, got {X.shape[0]} and {len(y)}")
    return X


def by_code(loss: Loss, labels: Array) -> Loss:
    """Class weights given for each label, ordered as the codes are."""
    given = loss.class_weight
    if not isinstance(given, Mapping):
        return loss
    wanted = labels.tolist()
    if set(given) != set(wanted):
        raise ValueError(f"class_weight must have the keys {wanted}, got {list(given)}")
    ordered: Loss = loss.set_params(class_weight=[given[label] for label in wanted])
    return ordered
