"""Print the files of the package that compute the gradient of a round, in the order of use.

    python tools/gradient_path.py [focal | ghm | cross_entropy]

Kernels run as Python here, so that they are visible. The first line shows the first round of a
training, in which labels and parameters are read. The second line shows any later round.
"""

import os
import sys
from pathlib import Path

os.environ["NUMBA_DISABLE_JIT"] = "1"

import numpy as np
import xgboost

import boostloss
import boostloss.xgboost
from boostloss.losses import named
from boostloss.objectives import Objective

PACKAGE = Path(boostloss.__file__).parent


def main() -> None:
    """Train three rounds and print the files of the first and the last."""
    loss = named(sys.argv[1] if len(sys.argv) > 1 else "focal")
    rounds: list[dict[str, None]] = []
    call = Objective.__call__

    def traced(self, *arguments):
        files: dict[str, None] = {}
        sys.setprofile(lambda frame, event, _: note(files, frame))
        try:
            return call(self, *arguments)
        finally:
            sys.setprofile(None)
            rounds.append(files)

    Objective.__call__ = traced
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    data = xgboost.DMatrix(X, (X[:, 0] > 0.5).astype(int))
    boostloss.xgboost.train({"max_depth": 1}, data, 3, loss=loss)
    for name, files in (("first round", rounds[0]), ("later rounds", rounds[-1])):
        # helpers of the scalar functions, whose compiled versions are in simd_math
        print(f"{name}: {len(files)} files: {', '.join(files)}")


def note(files, frame):
    """Record the file of a frame if it belongs to the package."""
    path = Path(frame.f_code.co_filename)
    if PACKAGE in path.parents:
        files[str(path.relative_to(PACKAGE))] = None


if __name__ == "__main__":
    main()
