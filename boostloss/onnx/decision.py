"""Add the decision of a classifier to a graph with raw scores and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.decision import Rule
from boostloss.losses import FittedLoss
from boostloss.losses.validation import Array
from boostloss.onnx.graph import Value
from boostloss.onnx.posterior import log_odds


def codes(raw: Value, p: Value, rule: Rule, loss: FittedLoss, shift: Array | None) -> Value:
    """Return the indices (n,) of the decided labels.

    ``shift`` is added to the log-probability of each class, if the class shares in use differ from
    those of training.
    """
    if isinstance(rule, str):
        return _by_raw(raw if shift is None else _in_use(raw, loss, shift), loss.n_classes)
    if isinstance(rule, float):
        return _is_true(p.columns([1]) >= rule)
    if rule.ndim == 1:
        gain: Value = p / rule[None, :]
        return gain.node("ArgMax", axis=1, keepdims=0)
    return p.node("MatMul", rule).node("ArgMin", axis=1, keepdims=0)


def _by_raw(values: Any, n_classes: int) -> Value:
    if n_classes > 2:
        code: Value = values.node("ArgMax", axis=1, keepdims=0)
        return code
    return _is_true(values > 0.0)


def _is_true(condition: Any) -> Value:
    code: Value = condition.node("Squeeze", condition.graph.constant([1], np.int64)).cast("int64")
    return code


def _in_use(raw: Value, loss: FittedLoss, shift: Array) -> Any:
    """Do as :func:`boostloss.classifier.raw_for_shares`."""
    bare = FittedLoss(loss.loss, loss.log_weight_table)
    if loss.n_classes == 2:
        at_zero = float(bare.log_posterior(np.zeros(1))[0])
        return log_odds(raw, bare) - (at_zero - (shift[1] - shift[0]))
    start = bare.log_posterior(np.zeros((1, loss.n_classes)))
    return log_odds(raw, bare) - (start - shift[None, :])
