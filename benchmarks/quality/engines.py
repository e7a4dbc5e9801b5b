"""Convert the parameters of a trial to each engine's names."""

from __future__ import annotations

from typing import Any


def xgboost_params(trial: dict[str, Any], seed: int) -> dict[str, Any]:
    return {
        "tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0, "nthread": 1,
        "max_leaves": trial["leaves"], "min_child_weight": trial["min_child_weight"],
        "eta": trial["learning_rate"], "colsample_bytree": trial["columns"],
        "lambda": trial["l2"], "seed": seed,
    }  # fmt: skip


def lightgbm_params(trial: dict[str, Any], seed: int) -> dict[str, Any]:
    return {
        "num_leaves": trial["leaves"], "min_sum_hessian_in_leaf": trial["min_child_weight"],
        "min_data_in_leaf": 1, "learning_rate": trial["learning_rate"],
        "feature_fraction": trial["columns"], "lambda_l2": trial["l2"], "seed": seed,
        "num_threads": 1,
    }  # fmt: skip


ENGINES = {"xgboost": xgboost_params, "lightgbm": lightgbm_params}
