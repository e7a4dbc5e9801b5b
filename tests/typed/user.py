"""What a user's type checker knows of the package; checked, not run (``make types``).

Each ``type: ignore`` stands on a mistake. Checkers that report needless ones complain here unless
they find every mistake, and nothing else.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any

import numpy as np
from numpy.typing import NDArray

import boostloss
import boostloss.lightgbm
import boostloss.xgboost
from boostloss import (
    AsymmetricLoss,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    Recorder,
    balanced_ce_metric,
    balanced_ce_obj,
    focal_metric,
    focal_obj,
    ghm_metric,
    ghm_obj,
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
score = balanced_ce_metric({"rare": 5.0, "usual": 1})(y, raw)
score = ghm_metric(density="bins", momentum=0.5)(y, raw)
pair: tuple[NDArray[Any], NDArray[Any]] = focal_obj(gamma=2)(y, raw)
pair = focal_obj(gamma=2, hessian="exact", class_weight="effective", beta=0.99)(y, raw)
pair = ghm_obj(density="window", class_weight=[1.0, 2.0])(y, raw)
pair = balanced_ce_obj(5)(y, raw)
weighted = FocalLoss(class_weight=np.array([1.0, 2.0]))
runs: int = len(Recorder(bins=20).runs)

model = boostloss.xgboost.ImbalancedXGBClassifier(loss="focal", n_estimators=3)
model = model.fit(np.zeros((2, 1)), y)
other = boostloss.lightgbm.ImbalancedLGBMClassifier(loss=GHMLoss(), probability="link")
predicted: Any = other.fit(np.zeros((2, 1)), y).predict_proba(np.zeros((2, 1)))

booster: Any = boostloss.xgboost.train([("eta", 0.1)], None, loss="focal")
booster = boostloss.lightgbm.train({}, None, loss="balanced")
table: Any = boostloss.compare([[0.0]], y, losses=["focal", GHMLoss()], engine="lightgbm")

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
FocalLoss(hessian="exat")  # type: ignore
FocalLoss(class_weight="balancd")  # type: ignore
CrossEntropy(class_weight="balancd")  # type: ignore
AsymmetricLoss(class_weight="balancd")  # type: ignore
GHMLoss(density="clas")  # type: ignore
focal_obj(hessian="exat")  # type: ignore
focal_obj(gama=2)  # type: ignore
focal_metric(hessian="exat")  # type: ignore
focal_metric(scores="raws")  # type: ignore
balanced_ce_obj("balancd")  # type: ignore
ghm_obj(density="clas")  # type: ignore
ghm_metric(density="clas")  # type: ignore
ghm_metric(momentun=0.5)  # type: ignore
metric(loss, scores="raws")  # type: ignore
posterior_log_loss(loss, scores="raws")  # type: ignore
boostloss.xgboost.train({}, None, loss="focall")  # type: ignore
boostloss.xgboost.cv({}, None, loss="focall")  # type: ignore
boostloss.lightgbm.train({}, None, loss="focall")  # type: ignore
boostloss.lightgbm.cv({}, None, loss="focall")  # type: ignore
boostloss.xgboost.ImbalancedXGBClassifier(loss="focall")  # type: ignore
boostloss.xgboost.ImbalancedXGBClassifier(probability="posteriour")  # type: ignore
boostloss.lightgbm.ImbalancedLGBMClassifier(loss="focall")  # type: ignore
boostloss.lightgbm.ImbalancedLGBMClassifier(probability="posteriour")  # type: ignore
boostloss.DaskImbalancedXGBClassifier(loss="focall")  # type: ignore
boostloss.compare([[0.0]], y, losses=["focall"])  # type: ignore
boostloss.compare([[0.0]], y, engine="xgbost")  # type: ignore
boostloss.compare([[0.0]], y, metric="auc")  # type: ignore
