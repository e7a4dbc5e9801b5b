"""Check the classifiers' parameter ``decision``, and decide by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from boostloss.losses import FittedLoss
from boostloss.losses.validation import Array, with_labels

NAMES = ("loss", "probability", "balanced", "raw")
Rule = str | float | Array
"""A name, a threshold, thresholds (K,) or costs (K, K). Classes are in the order of codes."""

_ALLOWED = (
    "decision must be 'loss', 'probability', 'balanced', 'raw', a threshold in [0, 1] for two "
    "classes, thresholds above 0 for each class, or a cost matrix (K, K), the last two also as "
    "dicts or in pandas by label"
)


def check_decision(decision: Any, labels: Array) -> Rule:
    """Convert the parameter ``decision`` to a rule.

    Raises
    ------
    ValueError, TypeError
        If it is not a rule for these labels.
    """
    if isinstance(decision, str):
        if decision not in NAMES:
            raise ValueError(f"{_ALLOWED}; got {decision!r}")
        return decision
    if decision is None or isinstance(decision, bool | np.bool_):
        raise TypeError(f"{_ALLOWED}; got {decision!r}")
    if isinstance(decision, int | float | np.number):
        return _threshold(decision, len(labels))
    decision = with_labels("decision", decision)
    if isinstance(decision, Mapping):
        decision = _by_code(decision, labels.tolist())
    return _array(decision, len(labels))


def is_by_label(decision: Any) -> bool:
    """Whether numbers or costs name the label that each is for."""
    return isinstance(with_labels("decision", decision), Mapping)


def _threshold(number: Any, n_classes: int) -> float:
    if n_classes > 2:
        raise ValueError(f"{_ALLOWED}; got the number {number!r} for {n_classes} classes")
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{_ALLOWED}; got {number!r}")
    return float(number)


def _array(values: Any, n_classes: int) -> Array:
    try:
        array = np.asarray(values)
        array = array.astype(np.float64) if array.dtype.kind in "iufO" else array
    except (TypeError, ValueError) as error:
        raise TypeError(f"{_ALLOWED}; got {values!r}") from error
    if array.dtype != np.float64:
        raise TypeError(f"{_ALLOWED}; got {values!r}")
    if array.shape not in ((n_classes,), (n_classes, n_classes)):
        hint = ""
        if array.ndim == 3:
            hint = "; costs of each row are for boostloss.decide.decide(predict_proba(X), costs)"
        raise ValueError(
            f"{_ALLOWED}; got an array of shape {array.shape} for {n_classes} classes{hint}"
        )
    if not np.isfinite(array).all() or (array.ndim == 1 and not (array > 0).all()):
        raise ValueError(f"{_ALLOWED}; got {array.tolist()}")
    numbers: Array = array
    return numbers


def _by_code(by_label: Mapping[Any, Any], labels: list[Any]) -> list[Any]:
    """Return thresholds or costs in the order of codes. Right decisions cost 0 by default."""
    _check_keys(by_label, labels, set(labels), "")
    rows = [by_label[label] for label in labels]
    if not any(isinstance(row, Mapping) for row in rows):
        return rows
    ordered = []
    for label, row in zip(labels, rows, strict=True):
        if not isinstance(row, Mapping):
            raise TypeError(f"{_ALLOWED}; got {row!r} for {label!r} beside dicts")
        _check_keys(row, labels, set(labels) - {label}, f" for {label!r}")
        ordered.append([row.get(other, 0.0) for other in labels])
    return ordered


def _check_keys(given: Mapping[Any, Any], labels: list[Any], needed: set[Any], of: str) -> None:
    if not needed <= set(given) <= set(labels):
        raise ValueError(f"{_ALLOWED}; a dict must have the keys {labels}{of}, got {list(given)}")


def in_numbers(rule: Rule, loss: FittedLoss, share: Array | None) -> Rule:
    """Convert the name of a rule to numbers, or to "raw".

    "loss" means "raw" for a loss that favours classes, and "probability" for all others. Raw scores
    of the latter decide in the same way, apart from offset and slope, which are fitted after
    training. With them, ``predict`` could contradict ``predict_proba``.

    Parameters
    ----------
    rule : Rule
        What :func:`check_decision` returned.
    loss : FittedLoss
        The loss that trained.
    share : array of shape (K,), optional
        Class shares where the model is used.

    Raises
    ------
    ValueError
        If it is "balanced" and class shares are not known.
    """
    if not isinstance(rule, str):
        return rule
    if rule == "probability" or (rule == "loss" and loss.treats_classes_alike):
        return np.ones(loss.n_classes)
    if rule in ("loss", "raw"):
        return "raw"
    if share is None:
        raise ValueError(
            "decision must not be 'balanced' for a model that version 0.1.0 saved: its file has no "
            "class shares"
        )
    return share


def codes_by_rule(probability: Array, rule: float | Array) -> Array:
    """Return codes by a rule on probabilities (n, K)."""
    if isinstance(rule, float):
        return (probability[:, 1] >= rule).astype(np.intp)
    if rule.ndim == 1:
        code: Array = (probability / rule).argmax(axis=1)
        return code
    code = (probability @ rule).argmin(axis=1)
    return code


def codes_by_raw(raw: Array) -> Array:
    """Return codes by raw scores: above 0, or the largest."""
    code: Array = np.argmax(raw, axis=1) if raw.ndim == 2 else (raw > 0).astype(np.intp)
    return code
