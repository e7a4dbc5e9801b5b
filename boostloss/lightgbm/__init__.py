"""LightGBM: train and cv with ``loss=``, and the classifier."""

from typing import TYPE_CHECKING, Any

from boostloss.lightgbm._classifier import ImbalancedLGBMClassifier
from boostloss.lightgbm._training import cv, train

if TYPE_CHECKING:
    from boostloss.lightgbm._dask import dask_train as dask_train

__all__ = ["ImbalancedLGBMClassifier", "cv", "train"]


def __getattr__(name: str) -> Any:
    if name == "dask_train":
        from boostloss.lightgbm._dask import dask_train  # needs Dask, which few have

        return dask_train
    raise AttributeError(f"module 'boostloss.lightgbm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "dask_train"])
