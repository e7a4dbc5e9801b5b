"""Add trees to a graph as ``TreeEnsemble``, in the engine's type so that nothing is rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from boostloss.onnx.graph import Value, onnx
from boostloss.trees import Trees

_MODES = {"<=": 0, "<": 1, "in": 6}
"""ONNX's BRANCH_LEQ, BRANCH_LT and BRANCH_MEMBER."""

ZERO = 1e-35
"""LightGBM treats numbers up to this as 0."""


def raw_scores(features: Value, trees: Trees) -> Value:
    """Return raw scores (n, 1) or (n, K) of features (n, d)."""
    features = _as_engine_reads(features, trees)
    scores = features.node("TreeEnsemble", domain="ai.onnx.ml", **_attributes(trees))
    return scores.cast("float64")


def _as_engine_reads(features: Value, trees: Trees) -> Any:
    """Return features as the engine reads them, with NaN for missing values."""
    x: Any = features.cast(trees.dtype)

    def number(value: float) -> Any:
        return x.graph.constant(value, trees.dtype)

    if not np.isnan(trees.missing):
        x = np.where(x == number(trees.missing), number(np.nan), x)
    if trees.zero_is_missing:
        columns = np.isin(np.arange(trees.n_features), trees.zero_is_missing)
        is_zero: Any = np.abs(x) <= number(ZERO)
        x = np.where(is_zero.node("And", x.graph.constant(columns, bool)), number(np.nan), x)
    if trees.categories:  # the engines truncate codes to integers
        columns = np.isin(np.arange(trees.n_features), list(trees.categories))
        x = np.where(columns, x.node("Floor"), x)
    return x


def _attributes(trees: Trees) -> dict[str, Any]:
    splits = trees.splits
    targets, weights = zip(*trees.leaves, strict=True)
    members = [
        one for split in splits if split.mode == "in" for one in (*split.members, float("nan"))
    ]
    attributes = {
        "aggregate_function": 1,  # sum
        "post_transform": 0,  # none
        "n_targets": trees.n_targets,
        "tree_roots": trees.roots,
        "nodes_featureids": [split.feature for split in splits],
        "nodes_modes": _tensor([_MODES[split.mode] for split in splits], np.uint8),
        "nodes_splits": _tensor([split.threshold for split in splits], trees.dtype),
        "nodes_missing_value_tracks_true": [int(split.missing_is_true) for split in splits],
        "nodes_truenodeids": [yes.place for yes, _ in trees.children],
        "nodes_trueleafs": [int(yes.is_leaf) for yes, _ in trees.children],
        "nodes_falsenodeids": [no.place for _, no in trees.children],
        "nodes_falseleafs": [int(no.is_leaf) for _, no in trees.children],
        "leaf_targetids": list(targets),
        "leaf_weights": _tensor(weights, trees.dtype),
    }
    if members:
        attributes["membership_values"] = _tensor(members, trees.dtype)
    return attributes


def _tensor(values: Any, dtype: Any) -> Any:
    return onnx.numpy_helper.from_array(np.asarray(values, dtype=dtype))
