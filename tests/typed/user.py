"""What a user's type checker knows of the package; checked, not run (``make types``).

Each ``type: ignore`` stands on a mistake. Checkers that report needless ones complain here unless
they find every mistake, and nothing else.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any

import numpy as np
from numpy.typing import NDArray

import boostloss.lightgbm
import boostloss.xgboost
from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    Recorder,
    focal_metric,
    focal_obj,
    metric,
    objective,
    posterior_log_loss,
)
from boostloss.losses import FittedLoss

y: NDArray[np.int64] = np.array([0, 1])
raw: NDArray[np.float32] = np.zeros(2, np.float32)

loss = FocalLoss(gamma=2.0, class_weight="balanced", hessian="exact")
value: NDArray[Any] = loss.value(y, raw)
gradient, hessian = loss.gradient_hessian([0, 1], [0.0, 0.5], sample_weight=[1, 2])
total: float = float(gradient.sum() + hessian.sum())
start: float | NDArray[Any] = loss.init_score(y)
fitted: FittedLoss = loss.fit(y)
probability: NDArray[Any] = fitted.posterior(raw)
same: bool = CrossEntropy() == GHMLoss(bins=10, density="bins")
parameters: dict[str, Any] = loss.get_params()

obj = objective(GHMLoss())
first, second = obj(y, raw)
score: float = metric(loss)(y, raw)
score = posterior_log_loss(loss)(y, raw)
score = focal_metric(gamma=2)(y, raw)
pair: tuple[NDArray[Any], NDArray[Any]] = focal_obj(gamma=2)(y, raw)
runs: int = len(Recorder(bins=20).runs)

model = boostloss.xgboost.ImbalancedXGBClassifier(loss="focal", n_estimators=3)
model = model.fit(np.zeros((2, 1)), y)
other = boostloss.lightgbm.ImbalancedLGBMClassifier(loss=GHMLoss(), probability="link")
predicted: Any = other.fit(np.zeros((2, 1)), y).predict_proba(np.zeros((2, 1)))

# mistakes
FocalLoss(gama=2.0)  # type: ignore
FocalLoss(2.0, hessian=True)  # type: ignore
GHMLoss(bins="ten")  # type: ignore
GHMLoss(density=3)  # type: ignore
loss.value(y)  # type: ignore
loss.gradient_hessian(y, raw, factor="2")  # type: ignore
wrong: str = loss.value(y, raw)  # type: ignore
loss.gradients(y, raw)  # type: ignore
objective(loss=3)  # type: ignore
metric(loss, scores=1)  # type: ignore
print(score.base_score)  # type: ignore
