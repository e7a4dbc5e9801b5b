"""The mathematics: losses with values, derivatives, intercepts and posteriors. No engine."""

from boostloss.losses._base import Loss
from boostloss.losses._catalogue import from_plain, to_plain
from boostloss.losses._class_density import ClassWeights
from boostloss.losses.cross_entropy import CrossEntropy
from boostloss.losses.focal import FocalLoss
from boostloss.losses.ghm import GHMLoss, GradientWeights

__all__ = [
    "ClassWeights",
    "CrossEntropy",
    "FocalLoss",
    "GHMLoss",
    "GradientWeights",
    "Loss",
    "from_plain",
    "to_plain",
]
