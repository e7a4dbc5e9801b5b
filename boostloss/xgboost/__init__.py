"""XGBoost: train and cv with ``loss=``, and the classifier."""

from typing import TYPE_CHECKING, Any

from boostloss.xgboost._classifier import ImbalancedXGBClassifier
from boostloss.xgboost._training import cv, train

if TYPE_CHECKING:
    from boostloss.xgboost._dask import (
        DaskImbalancedXGBClassifier as DaskImbalancedXGBClassifier,
    )
    from boostloss.xgboost._dask import dask_train as dask_train

__all__ = ["ImbalancedXGBClassifier", "cv", "train"]

_ON_DASK = ("DaskImbalancedXGBClassifier", "dask_train")


def __getattr__(name: str) -> Any:
    if name in _ON_DASK:
        from boostloss.xgboost import _dask  # needs Dask, which few have

        return getattr(_dask, name)
    raise AttributeError(f"module 'boostloss.xgboost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ON_DASK])
