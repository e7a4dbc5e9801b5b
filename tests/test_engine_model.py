"""``engine_model()`` is the engine's own class, and shares the model."""

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError

from boostloss import ImbalancedLGBMClassifier, ImbalancedXGBClassifier

X, Y = make_classification(300, 6, n_informative=4, n_classes=3, random_state=0)
LABELS = np.array(["a", "b", "c"])[Y]
CASES = [
    (ImbalancedXGBClassifier(loss="focal", n_estimators=5, n_jobs=1), xgb.XGBClassifier),
    (
        ImbalancedLGBMClassifier(loss="ghm", n_estimators=5, n_jobs=1, verbose=-1),
        lgb.LGBMClassifier,
    ),
]


@pytest.mark.parametrize(("model", "kind"), CASES)
@pytest.mark.parametrize("loaded", [False, True])
def test_exact_type_and_same_model(model, kind, loaded, tmp_path):
    model = clone(model).set_params(decision="raw").fit(X, LABELS)  # as the engine decides
    if loaded:
        model.save_model(tmp_path / "model.json")
        again = type(model)()
        again.load_model(tmp_path / "model.json")
        model = again
    engine = model.engine_model()
    assert type(engine) is kind
    assert engine.classes_.tolist() == [0, 1, 2]
    assert model.classes_[engine.predict(X)].tolist() == model.predict(X).tolist()
    model.probability = "link"
    np.testing.assert_allclose(engine.predict_proba(X), model.predict_proba(X), atol=1e-6)
    engine.set_params(n_estimators=77)  # another object than the one that predicts
    assert model.engine_model().n_estimators != 77


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_not_fitted(model, kind):
    with pytest.raises(NotFittedError):
        type(model)().engine_model()
