"""Losses for gradient-boosted trees on class-imbalanced data: exact, fast, calibrated."""

from boostloss.losses import CrossEntropy, FocalLoss, GHMLoss
from boostloss.metrics import (
    balanced_ce_metric,
    focal_metric,
    ghm_metric,
    metric,
    posterior_log_loss,
)
from boostloss.objectives import balanced_ce_obj, focal_obj, ghm_obj, objective

__version__ = "0.1.0"

__all__ = [
    "CrossEntropy",
    "FocalLoss",
    "GHMLoss",
    "balanced_ce_metric",
    "balanced_ce_obj",
    "focal_metric",
    "focal_obj",
    "ghm_metric",
    "ghm_obj",
    "metric",
    "objective",
    "posterior_log_loss",
]
