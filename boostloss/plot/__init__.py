"""Plots of losses, of gradient norms during training, and of predicted probabilities.

Every function draws on ``ax``, or on the axes of a new figure, and returns the ``Axes``. The plots
need Matplotlib (extra "report").
"""

from boostloss.plot.drawing import COLOURS
from boostloss.plot.losses import loss_curves, weight_of_norm
from boostloss.plot.results import (
    alerts_over_threshold,
    cost_over_threshold,
    precision_recall,
    reliability,
)
from boostloss.plot.training import flips, flips_by_learning_rate, norms_over_rounds

__all__ = [
    "COLOURS",
    "alerts_over_threshold",
    "cost_over_threshold",
    "flips",
    "flips_by_learning_rate",
    "loss_curves",
    "norms_over_rounds",
    "precision_recall",
    "reliability",
    "weight_of_norm",
]
