"""Where the models of earlier versions are stored, and how a loss is described there."""

from pathlib import Path

from boostloss.losses import FittedLoss, registry

FIXTURES = Path(__file__).parent / "fixtures"


def without_table(loss):
    """A loss's plain form but for GHM's long table, which its predictions show."""
    plain = loss.to_dict() if isinstance(loss, FittedLoss) else registry.to_dict(loss)
    return {key: value for key, value in plain.items() if key != "log_weight_table"}


def described(stored, n_classes):
    """What :func:`without_table` says of a loss that this or an earlier version described."""
    if stored["type"] == "FrozenGHM":
        stored = {**stored, "params": {**stored["params"], "log_weight": [0.0]}}
    elif stored["type"] == "ghm":
        stored = {**stored, "log_weight_table": [0.0]}
    return without_table(FittedLoss.from_dict(stored, n_classes=n_classes))
