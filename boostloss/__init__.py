"""Losses for gradient-boosted trees on class-imbalanced data: exact, fast, calibrated."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from boostloss.losses import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.metrics import (
    balanced_ce_metric,
    focal_metric,
    ghm_metric,
    metric,
    posterior_log_loss,
)
from boostloss.objectives import balanced_ce_obj, focal_obj, ghm_obj, objective
from boostloss.optional import is_installed
from boostloss.recorder import Recorder

if TYPE_CHECKING:
    from boostloss.hist import (
        ImbalancedHistGradientBoostingClassifier as ImbalancedHistGradientBoostingClassifier,
    )
    from boostloss.lightgbm import ImbalancedLGBMClassifier as ImbalancedLGBMClassifier
    from boostloss.report.compare import compare as compare
    from boostloss.xgboost import DaskImbalancedXGBClassifier as DaskImbalancedXGBClassifier
    from boostloss.xgboost import ImbalancedXGBClassifier as ImbalancedXGBClassifier

__version__ = "0.2.0.dev0"

__all__ = [
    "AsymmetricLoss",
    "CrossEntropy",
    "DaskImbalancedXGBClassifier",
    "FocalLoss",
    "GHMLoss",
    "ImbalancedHistGradientBoostingClassifier",
    "ImbalancedLGBMClassifier",
    "ImbalancedXGBClassifier",
    "Recorder",
    "balanced_ce_metric",
    "balanced_ce_obj",
    "compare",
    "focal_metric",
    "focal_obj",
    "ghm_metric",
    "ghm_obj",
    "metric",
    "objective",
    "posterior_log_loss",
]
# "from boostloss import *" must work if an engine is not installed
if not is_installed("xgboost"):
    __all__.remove("ImbalancedXGBClassifier")
if not (is_installed("xgboost") and is_installed("distributed")):
    __all__.remove("DaskImbalancedXGBClassifier")
if not is_installed("lightgbm"):
    __all__.remove("ImbalancedLGBMClassifier")

# engines, and the packages that reports need, are imported when they are first used
_LAZY = {
    "DaskImbalancedXGBClassifier": "xgboost",
    "ImbalancedHistGradientBoostingClassifier": "hist",
    "ImbalancedLGBMClassifier": "lightgbm",
    "ImbalancedXGBClassifier": "xgboost",
    "compare": "report.compare",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"boostloss.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'boostloss' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
