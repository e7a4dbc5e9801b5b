"""Optional packages and distributed data: clear errors that name what to install or use instead."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

_INSTEAD = {
    "dask": (
        "on Dask use boostloss.DaskImbalancedXGBClassifier, boostloss.xgboost.dask_train or "
        "boostloss.lightgbm.dask_train, or load the rows into memory with compute()"
    ),
    "pyspark": (
        "on Spark use boostloss.spark.SparkImbalancedXGBClassifier or "
        "boostloss.xgboost.spark_train, or load the rows into memory with toPandas()"
    ),
}


def require(module: str, extra: str) -> Any:
    """Import ``module``, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} is needed here but is not installed: pip install 'boostloss[{extra}]'"
        ) from error


def is_installed(module: str) -> bool:
    """Whether a package could be imported, found without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def import_when_used(package: str, modules: dict[str, str]) -> Any:
    """``__getattr__`` and ``__dir__`` of a package that has names of modules imported late."""

    def get_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return get_attribute, lambda: sorted([*vars(sys.modules[package]), *modules])


def refuse_distributed(name: str, data: Any) -> None:
    """Reject Dask and Spark collections, and name the function to use instead.

    An engine would silently load all of their rows into this process.
    """
    for base in type(data).__mro__:
        package = base.__module__.partition(".")[0]
        package = "dask" if base.__module__.startswith("xgboost.dask") else package
        if package in _INSTEAD:
            raise TypeError(
                f"{name} must be in this process's memory, got a {base.__module__}."
                f"{type(data).__name__}; {_INSTEAD[package]}"
            )
