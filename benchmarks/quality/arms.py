"""Define the methods to compare: built-in cross-entropy, class weights, and the losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from boostloss import CrossEntropy, FocalLoss, GHMLoss

GAMMAS = (2.0, 1.0, 0.5, 3.0)


class Arm(NamedTuple):
    """A function from a trial to a loss (None: built-in), and whether rows are balanced."""

    make_loss: Callable[[dict[str, Any]], Any]
    balanced_rows: bool = False


ARMS: dict[str, Arm] = {
    "built-in": Arm(lambda trial: None),
    "scale_pos_weight": Arm(lambda trial: None, balanced_rows=True),
    "balanced CE": Arm(lambda trial: CrossEntropy(class_weight="balanced")),
    "effective CE": Arm(lambda trial: CrossEntropy(class_weight="effective", beta=0.999)),
    "focal": Arm(lambda trial: FocalLoss(gamma=trial["gamma"])),
    "GHM": Arm(lambda trial: GHMLoss()),
}
CLEAN_AND_FLIPPED = ("built-in", "focal", "GHM")
"""Methods that are also trained on flipped labels."""

BASELINE = "built-in"


def trials(count: int, seed: int) -> list[dict[str, Any]]:
    """Return parameters to try, the same for all methods: usual ones first, then random ones."""
    rng = np.random.default_rng(seed)
    drawn: list[dict[str, Any]] = [
        {"leaves": 31, "min_child_weight": 1.0, "learning_rate": 0.1, "columns": 1.0, "l2": 1.0}
    ]
    for _ in range(count - 1):
        drawn.append(
            {
                "leaves": int(np.exp(rng.uniform(np.log(4), np.log(64)))),
                "min_child_weight": float(np.exp(rng.uniform(np.log(0.03), np.log(30)))),
                "learning_rate": float(np.exp(rng.uniform(np.log(0.03), np.log(0.2)))),
                "columns": float(rng.uniform(0.4, 1.0)),
                "l2": float(np.exp(rng.uniform(np.log(0.1), np.log(10)))),
            }
        )
    return [{**trial, "gamma": GAMMAS[i % len(GAMMAS)]} for i, trial in enumerate(drawn)]
