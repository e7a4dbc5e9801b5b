"""The figures of one set of predictions, binary or multiclass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
)

from boostloss.losses._validation import Array

SMALLEST = 1e-15


def average_precision(y: Array, probability: Array) -> float:
    """Of the positives; of several classes the mean of each against the rest."""
    return _over_classes(average_precision_score, y, probability)


def roc_auc(y: Array, probability: Array) -> float:
    """Likewise."""
    return _over_classes(roc_auc_score, y, probability)


def _over_classes(score: Callable[..., Any], y: Array, probability: Array) -> float:
    if probability.ndim == 1:
        return float(score(y, probability))
    # a class that these rows lack has no score
    present = np.unique(y)
    return float(np.mean([score(y == k, probability[:, k]) for k in present]))


def log_loss(y: Array, probability: Array) -> float:
    """Mean in nats; probabilities are held 1e-15 from 0."""
    return float(-np.log(np.maximum(_of_true_class(y, probability), SMALLEST)).mean())


def brier(y: Array, probability: Array) -> float:
    """Mean squared error of the probabilities, (1/2) sum over the classes."""
    if probability.ndim == 1:
        return float(np.mean((probability - y) ** 2))
    return float(np.mean(((probability - np.eye(probability.shape[1])[y]) ** 2).sum(axis=1) / 2))


def _of_true_class(y: Array, probability: Array) -> Array:
    given: Array = (
        np.where(y == 1, probability, 1.0 - probability)
        if probability.ndim == 1
        else probability[np.arange(len(y)), y]
    )
    return given


def f1(y: Array, decided: Array, n_classes: int) -> float:
    """Of the positives; of several classes the mean."""
    average = "binary" if n_classes == 2 else "macro"
    return float(f1_score(y, decided, average=average, zero_division=0.0))


def balanced_accuracy(y: Array, decided: Array) -> float:
    """Mean recall of the classes."""
    return float(balanced_accuracy_score(y, decided))


def default_decision(raw: Array) -> Array:
    """The loss's own: raw score above 0, or the largest."""
    decided: Array = (raw > 0).astype(int) if raw.ndim == 1 else raw.argmax(axis=1)
    return decided


class Threshold:
    """A decision tuned for F1: a threshold; of several classes ``argmax P_k / share_k**power``."""

    def __init__(self, y: Array, probability: Array) -> None:
        self.shares = np.bincount(y) / len(y)
        if probability.ndim == 1:
            precision, recall, thresholds = precision_recall_curve(y, probability)
            f1s = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
            self.number = float(thresholds[np.argmax(f1s[:-1])])
            return
        powers = (0.0, 0.25, 0.5, 0.75, 1.0)
        gains = [f1(y, self._weighed(probability, power), probability.shape[1]) for power in powers]
        self.number = powers[int(np.argmax(gains))]

    def decide(self, probability: Array) -> Array:
        """Classes of other rows."""
        if probability.ndim == 2:
            return self._weighed(probability, self.number)
        decided: Array = (probability >= self.number).astype(int)
        return decided

    def _weighed(self, probability: Array, power: float) -> Array:
        decided: Array = (probability / self.shares**power).argmax(axis=1)
        return decided
