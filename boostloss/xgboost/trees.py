"""Read XGBoost's trees as plain numbers from its JSON model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from boostloss.losses.validation import Array
from boostloss.optional import require
from boostloss.trees import Split, Trees

xgb = require("xgboost", "xgboost")

EPSILON = np.float32(1e-6)
"""XGBoost from 3.2 on clips ``base_score``, as a probability, to this distance from 0 and 1."""

_HELD = tuple(int(part) for part in xgb.__version__.split(".")[:2]) >= (3, 2)


def factors_of(gradient_booster: dict[str, Any]) -> list[float]:
    """Return the factor of each tree, which differs from 1 if trees were dropped in training."""
    model = gradient_booster.get("gbtree", gradient_booster)["model"]
    # XGBoost 3.4 moved them into the model, and drops trees with any booster
    dropped = gradient_booster.get("weight_drop") or model.get("weight_drop")
    return dropped or [1.0] * len(model["trees"])


def read_trees(booster: Any, missing: float = float("nan")) -> Trees:
    """Return the trees in use: those up to the best round, if training was stopped early.

    Raises
    ------
    ValueError
        If ``booster="gblinear"``, or if leaves are vectors.
    """
    learner = json.loads(bytes(up_to_best(booster).save_raw("json")))["learner"]
    start = start_of(learner)
    trees = Trees(
        n_targets=len(start),
        dtype="float32",
        n_features=booster.num_features(),
        feature_names=booster.feature_names,
        missing=float(missing),
        categories={
            index: None
            for index, kind in enumerate(booster.feature_types or ())
            if kind in ("c", "categorical")
        },
    )
    gradient_booster = learner["gradient_booster"]
    if gradient_booster["name"] == "gblinear":
        raise ValueError("booster must be 'gbtree' or 'dart' to read its trees, got 'gblinear'")
    for target, value in enumerate(start.tolist()):
        trees.add_constant(target, value)
    model = gradient_booster.get("gbtree", gradient_booster)["model"]
    factors = factors_of(gradient_booster)
    for tree, target, factor in zip(model["trees"], model["tree_info"], factors, strict=True):
        if int(tree["tree_param"]["size_leaf_vector"]) > 1:
            raise ValueError(
                "multi_strategy must be 'one_output_per_tree' to read the trees, "
                "got 'multi_output_tree'"
            )
        trees.add_tree(target, 0, _reader(tree, np.float32(factor)))
    return trees


def up_to_best(booster: Any) -> Any:
    """Return the booster without the rounds after the best, if training was stopped early."""
    best = booster.attr("best_iteration")
    rounds = booster.num_boosted_rounds()
    return booster if best is None or int(best) + 1 >= rounds else booster[: int(best) + 1]


def start_of(learner: dict[str, Any]) -> Array:
    """Return the initial raw score, (1,) or (K,), with the float32 steps of XGBoost."""
    stated = learner["learner_model_param"]["base_score"]
    base = np.atleast_1d(np.asarray(json.loads(stated), dtype=np.float32))
    if learner["objective"]["name"] == "binary:logistic":
        base = np.clip(base, EPSILON, np.float32(1.0) - EPSILON) if _HELD else base
        base = -np.log(np.float32(1.0) / base - np.float32(1.0))
    n_classes = int(learner["learner_model_param"]["num_class"])
    start: Array = np.broadcast_to(base, max(n_classes, 1)).astype(np.float64)
    return start


def _reader(tree: dict[str, Any], factor: Any) -> Any:
    """Return a function from a node's number to its leaf value, or to its split and child nodes."""
    left, right, default_left = tree["left_children"], tree["right_children"], tree["default_left"]
    condition = np.asarray(tree["split_conditions"], dtype=np.float32)
    starts = dict(zip(tree["categories_nodes"], tree["categories_segments"], strict=True))
    sizes = dict(zip(tree["categories_nodes"], tree["categories_sizes"], strict=True))

    def read(node: int) -> Any:
        if left[node] == -1:
            return float(condition[node] * factor)
        feature, missing_left = tree["split_indices"][node], bool(default_left[node])
        if tree["split_type"][node]:  # the listed categories go right
            members = tree["categories"][starts[node] : starts[node] + sizes[node]]
            return Split(feature, "in", 0.0, members, not missing_left), right[node], left[node]
        split = Split(feature, "<", float(condition[node]), (), missing_left)
        return split, left[node], right[node]

    return read
