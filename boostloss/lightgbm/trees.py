"""Read LightGBM's trees as plain numbers from ``Booster.dump_model``."""

from __future__ import annotations

from typing import Any

from boostloss.lightgbm.model import has_default_names, is_forest, rounds_used
from boostloss.trees import Split, Trees


def read_trees(booster: Any) -> Trees:
    """Return the trees in use: those up to the best round, if training was stopped early.

    Raises
    ------
    ValueError
        If leaves contain a linear model.
    """
    model = booster.dump_model()
    trees = Trees(
        n_targets=model["num_tree_per_iteration"],
        dtype="float64",
        n_features=booster.num_feature(),
        feature_names=None if has_default_names(booster) else booster.feature_name(),
    )
    factor = 1.0 / rounds_used(booster) if is_forest(booster) else 1.0
    zero_is_missing, categorical = set(), set()

    def read(node: dict[str, Any]) -> Any:
        if "leaf_value" in node:
            if "leaf_coeff" in node:
                raise ValueError("linear_tree must be False to read the trees, got True")
            return float(node["leaf_value"]) * factor
        feature, missing_type = node["split_feature"], node["missing_type"]
        if node["decision_type"] == "==":
            categorical.add(feature)
            members = [int(member) for member in node["threshold"].split("||")]
            # a missing category does not belong to any set
            return (
                Split(feature, "in", 0.0, members, False),
                node["left_child"],
                node["right_child"],
            )
        threshold, missing_left = float(node["threshold"]), node["default_left"]
        if missing_type == "Zero":
            zero_is_missing.add(feature)
        elif missing_type == "None":  # a missing value is treated as 0
            missing_left = threshold >= 0.0
        split = Split(feature, "<=", threshold, (), missing_left)
        return split, node["left_child"], node["right_child"]

    for index, tree in enumerate(model["tree_info"]):
        trees.add_tree(index % trees.n_targets, tree["tree_structure"], read)
    trees.zero_is_missing = sorted(zero_is_missing)
    trees.categories = dict.fromkeys(sorted(categorical))
    return trees
