"""Reading a model and giving posteriors needs no compiled code: numba is not there at all."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import make_classification

from boostloss import (
    AsymmetricLoss,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)

LOSSES = [
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2.0),
    GHMLoss(),
    GHMLoss(density="window"),
    AsymmetricLoss(),
]
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, *others):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
"""
OWN_LOSS = """
from boostloss.losses import Loss, register, scalar

@register
class Truncated(Loss):
    name = "truncated"

    @scalar
    def value(row):
        return row.neg_log_p if row.p > 0.25 else 1.0 - row.p

    @scalar
    def slope(row):
        return row.q if row.p > 0.25 else 4.0 * row.p * row.q
"""


def in_blocked_process(code, folder):
    """Run code where numba cannot be imported; it may save ``out.npz`` in the folder."""
    run = [sys.executable, "-c", BLOCKED + code]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("n_classes", [2, 3])
def test_posteriors(n_classes, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, 300)
    raw = rng.normal(0.0, 4.0, 300 if n_classes == 2 else (300, n_classes))
    raw[:3] = np.array([-70.0, 70.0, 0.0]).reshape(3, *[1] * (raw.ndim - 1))
    own = {}
    exec(OWN_LOSS, own)
    losses = [
        loss for loss in [*LOSSES, own["Truncated"]()] if not loss.binary_only or raw.ndim == 1
    ]
    fitted = [loss.fit(y, raw) for loss in losses]
    (tmp_path / "losses.json").write_text(json.dumps([one.to_dict() for one in fitted]))
    np.save(tmp_path / "raw.npy", raw)
    code = """
import json, numpy as np
from boostloss.losses import FittedLoss
raw = np.load("raw.npy")
losses = [FittedLoss.from_dict(one) for one in json.load(open("losses.json"))]
np.savez("out.npz", *[loss.posterior(raw) for loss in losses])
"""
    in_blocked_process(OWN_LOSS + code, tmp_path)
    with np.load(tmp_path / "out.npz") as out:
        for one, name in zip(fitted, out.files, strict=True):
            np.testing.assert_allclose(out[name], one.posterior(raw), rtol=1e-9, err_msg=repr(one))


@pytest.mark.parametrize("name", ["XGB", "LGBM"])
def test_classifiers_load_and_predict(name, tmp_path):
    X, y = make_classification(300, 6, n_classes=3, n_informative=4, random_state=0)
    kind = {"XGB": ImbalancedXGBClassifier, "LGBM": ImbalancedLGBMClassifier}[name]
    model = kind(loss="ghm", n_estimators=5, n_jobs=1).fit(X, np.array(["a", "b", "c"])[y])
    model.save_model(tmp_path / "model.json")
    np.save(tmp_path / "X.npy", X)
    code = f"""
import numpy as np
from boostloss import Imbalanced{name}Classifier
model = Imbalanced{name}Classifier(n_jobs=1)
model.load_model("model.json")
X = np.load("X.npy")
np.savez("out.npz", p=model.predict_proba(X), label=model.predict(X))
"""
    in_blocked_process(code, tmp_path)
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_allclose(out["p"], model.predict_proba(X), rtol=1e-9)
        np.testing.assert_array_equal(out["label"], model.predict(X))


def test_numba_is_not_imported_where_it_is_installed():
    code = """
import sys
import boostloss.losses, boostloss.xgboost.model, boostloss.lightgbm.model
boostloss.losses.FocalLoss().fit([0, 1]).posterior([0.5])
assert "numba" not in sys.modules and "llvmlite" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
