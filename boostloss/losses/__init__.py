"""Define losses: values, derivatives, intercepts and posteriors. They need no engine.

Each loss has its own file. ``base`` contains what all losses share and passes their scalar
functions to :mod:`boostloss.kernels`. ``fitted`` keeps the numbers that a loss took from its
training rows, ``run`` keeps the state of one training, and ``registry`` finds losses by name.
"""

from typing import Any

from boostloss.kernels import Row, scalar
from boostloss.losses.asymmetric import AsymmetricLoss
from boostloss.losses.base import Loss, gradient_norms, warn_of_former_name
from boostloss.losses.cross_entropy import CrossEntropy, constant_weights, is_plain_cross_entropy
from boostloss.losses.fitted import FittedLoss, from_former_dict, to_former_dict
from boostloss.losses.focal import FocalLoss
from boostloss.losses.ghm import GHMLoss, NormWeights, WindowWeights
from boostloss.losses.registry import LossName, named, names, register
from boostloss.losses.run import ALONE, TrainingRun, Workers

__all__ = [
    "ALONE",
    "AsymmetricLoss",
    "CrossEntropy",
    "FittedLoss",
    "FocalLoss",
    "GHMLoss",
    "Loss",
    "LossName",
    "NormWeights",
    "Row",
    "TrainingRun",
    "WindowWeights",
    "Workers",
    "constant_weights",
    "gradient_norms",
    "is_plain_cross_entropy",
    "named",
    "names",
    "register",
    "scalar",
]

_FORMER_NAMES: dict[str, tuple[Any, str]] = {
    "ClassWeights": (NormWeights, "NormWeights"),
    "GradientWeights": (NormWeights, "NormWeights"),
    "from_plain": (from_former_dict, "FittedLoss.from_dict"),
    "to_plain": (to_former_dict, "FittedLoss.to_dict"),
}


def __getattr__(name: str) -> Any:
    if name in _FORMER_NAMES:
        successor, its_name = _FORMER_NAMES[name]
        warn_of_former_name(name, its_name)
        return successor
    raise AttributeError(f"module 'boostloss.losses' has no attribute {name!r}")
