"""Read scikit-learn's trees as plain numbers from the arrays of its classifier."""

from __future__ import annotations

from typing import Any

from boostloss.hist.sklearn_loss import nodes_of
from boostloss.trees import Split, Trees


def read_trees(engine: Any) -> Trees:
    """Return the trees of a fitted ``HistGradientBoostingClassifier``, including its start.

    Raises
    ------
    ValueError
        If there are categorical features, which scikit-learn encodes and moves to other columns.
    """
    if engine.is_categorical_ is not None:
        raise ValueError(
            "categorical_features must be None, or the features without categories, to read "
            "scikit-learn's trees; encode them in a pipeline, or use the other engines"
        )
    start, rounds = nodes_of(engine)
    names = getattr(engine, "feature_names_in_", None)
    trees = Trees(
        dtype="float64",
        n_features=engine.n_features_in_,
        n_targets=len(start),
        feature_names=None if names is None else names.tolist(),
    )
    for target, value in enumerate(start.tolist()):
        trees.add_constant(target, value)
    for of_round in rounds:
        for target, nodes in enumerate(of_round):
            _add(trees, target, nodes)
    return trees


def _add(trees: Trees, target: int, nodes: Any) -> None:
    def read(index: int) -> Any:
        node = nodes[index]
        if node["is_leaf"]:
            return float(node["value"])
        missing_left = bool(node["missing_go_to_left"])
        split = Split(
            int(node["feature_idx"]), "<=", float(node["num_threshold"]), (), missing_left
        )
        return split, int(node["left"]), int(node["right"])

    trees.add_tree(target, 0, read)
