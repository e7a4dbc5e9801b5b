"""Data that are spread over machines, handed to what trains on one: said at once, with the way."""

from __future__ import annotations

from typing import Any

_WAYS = {
    "dask": (
        "on Dask use boostloss.DaskImbalancedXGBClassifier, boostloss.xgboost.dask_train or "
        "boostloss.lightgbm.dask_train, or bring the rows here with compute()"
    ),
    "pyspark": (
        "XGBoost on Spark takes no objective but its own by name, so no loss of boostloss: train "
        "on Dask, or bring the rows here with toPandas()"
    ),
}


def check_here(name: str, data: Any) -> None:
    """Raise for Dask and Spark collections, which would be pulled into this process silently."""
    for base in type(data).__mro__:
        package = base.__module__.partition(".")[0]
        package = "dask" if base.__module__.startswith("xgboost.dask") else package
        if package in _WAYS:
            raise TypeError(
                f"{name} must be in the memory of this process, got a {base.__module__}."
                f"{type(data).__name__}; {_WAYS[package]}"
            )
