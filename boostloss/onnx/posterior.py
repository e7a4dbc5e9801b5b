"""Add the posterior of a fitted loss to a graph with raw scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import log_expit

from boostloss.kernels import Row
from boostloss.losses import FittedLoss
from boostloss.losses.fitted import row_of
from boostloss.losses.validation import Array
from boostloss.onnx import graph
from boostloss.onnx.graph import NotInGraph, Value

FARTHEST = 80.0
"""Margin beyond which a tabulated weight is constant."""

TOLERANCE = 5e-8
"""Largest error of a tabulated log weight halfway between two nodes."""

MOST_NODES = 20_000


def probabilities(raw: Value, loss: FittedLoss, probability: str) -> Any:
    """Return probabilities (n, K) of raw scores, (n, 1) for two classes or (n, K)."""
    odds = log_odds(raw, loss) if probability == "posterior" else raw
    if loss.n_classes > 2:
        return odds.node("Softmax", axis=1)
    return raw.graph.node("Concat", -odds, odds, axis=1).node("Sigmoid")


def log_odds(raw: Any, loss: FittedLoss) -> Any:
    """Return log-odds (n, 1), or log-probabilities (n, K) up to a constant of each row."""
    odds = _log_odds_before_slope(raw, loss)
    return odds if loss.slope == 1.0 else odds * loss.slope


def _log_odds_before_slope(raw: Any, loss: FittedLoss) -> Any:
    log_class_weight = np.log(loss.class_weight) - loss.offset
    if loss.n_classes == 2:
        log_p, log_q = graph.log_expit(raw), graph.log_expit(-raw)
        weight_1 = _log_weight(loss, 1, log_p, log_q) + log_class_weight[1]
        weight_0 = _log_weight(loss, 0, log_q, log_p) + log_class_weight[0]
        return raw - weight_1 + weight_0
    log_p = raw.node("LogSoftmax", axis=1)
    # sum the others, since 1 - p would lose the digits of a p near 1
    others = np.exp(log_p).node("MatMul", 1.0 - np.eye(loss.n_classes))
    log_q = np.log(np.maximum(others, np.finfo(np.float64).tiny))
    weights = [
        _log_weight(loss, k, log_p.columns([k]), log_q.columns([k])) for k in range(loss.n_classes)
    ]
    if any(isinstance(weight, Value) for weight in weights):
        zero = raw.columns([0]) * 0.0
        log_p = log_p - raw.graph.node("Concat", *(zero + one for one in weights), axis=1)
    return log_p - log_class_weight[None, :]


def _log_weight(loss: FittedLoss, label: int, log_p: Any, log_q: Any) -> Any:
    """Compute ``log w`` of rows (n, 1) of one class, without the class weight.

    The loss's formula in NumPy is evaluated on values of the graph. If that is not possible, as for
    a formula with conditions on one row, its result is tabulated.
    """
    row = Row(np.exp(log_p), np.exp(log_q), -log_p, -log_q, -log_q, 0.0)
    try:
        return loss.log_weight(label, row)
    except NotInGraph:
        nodes, values = _tabulated(loss, label)
        return np.interp(log_p - log_q, nodes, values)


def _tabulated(loss: FittedLoss, label: int) -> tuple[Array, Array]:
    """Tabulate ``log w`` at margins that are closer where its curvature is larger."""

    def log_weight(margin: Array) -> Array:
        with np.errstate(all="ignore"):
            values = loss.log_weight(label, row_of(log_expit(margin), log_expit(-margin)))
        return np.asarray(values, dtype=np.float64)

    nodes = np.linspace(-FARTHEST, FARTHEST, 641)
    values = log_weight(nodes)
    while True:
        middle = (nodes[1:] + nodes[:-1]) / 2.0
        at_middle = log_weight(middle)
        if not (np.isfinite(values).all() and np.isfinite(at_middle).all()):
            raise ValueError(
                f"loss must have a weight above 0 for each row to be converted, got {loss.loss!r} "
                f"with weight 0 in some rows of class {label}"
            )
        missed = np.abs(at_middle - (values[1:] + values[:-1]) / 2.0) > TOLERANCE
        missed &= np.diff(nodes) > 1e-9
        if not missed.any():
            return nodes, values
        nodes = np.concatenate([nodes, middle[missed]])
        order = np.argsort(nodes)
        nodes, values = nodes[order], np.concatenate([values, at_middle[missed]])[order]
        if len(nodes) > MOST_NODES:
            raise ValueError(
                f"loss must have a log_weight that uses NumPy's functions only, or is smoother, "
                f"to be converted, got {loss.loss!r}"
            )
