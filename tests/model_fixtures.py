"""Where the models of earlier versions are stored, and how a loss is described there."""

from pathlib import Path

from boostloss.losses import to_plain

FIXTURES = Path(__file__).parent / "fixtures"


def without_table(loss):
    """The loss's plain form but for GHM's long table, which its predictions show."""
    params = {k: v for k, v in to_plain(loss)["params"].items() if k != "log_weight"}
    return {"type": type(loss).__name__, "params": params}
