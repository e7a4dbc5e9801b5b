"""Import optional packages and refuse distributed data, with errors that say what to do."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from typing import Any

OLDEST = {"xgboost": "3.1.1", "lightgbm": "4.6"}
"""Oldest supported version of each engine."""

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


class EngineTooOldError(ImportError):
    """The installed version of an engine is older than :data:`OLDEST`."""


def require(module: str, extra: str) -> Any:
    """Import ``module``, or raise an error that says how to install it.

    Raises
    ------
    ImportError
        If it is missing, or is an engine older than :data:`OLDEST`.
    """
    try:
        imported = importlib.import_module(module)
    except EngineTooOldError:
        raise
    except ImportError as error:
        raise ImportError(
            f"{module} is needed here but is not installed: pip install 'boostloss[{extra}]'"
        ) from error
    if module in OLDEST:
        _check_version(module, imported.__version__, extra)
    return imported


def _check_version(module: str, version: str, extra: str) -> None:
    if _numbers(version) < _numbers(OLDEST[module]):
        raise EngineTooOldError(
            f"boostloss.{module} and its classifiers need {module} {OLDEST[module]} or newer, but "
            f"{version} is installed: pip install --upgrade 'boostloss[{extra}]'. The objectives "
            "and metrics, such as boostloss.focal_obj, work with older versions too"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def is_installed(module: str) -> bool:
    """Return whether a package is installed, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def import_when_used(package: str, modules: dict[str, str]) -> Any:
    """Return ``__getattr__`` and ``__dir__`` for a package that imports modules when used."""

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
