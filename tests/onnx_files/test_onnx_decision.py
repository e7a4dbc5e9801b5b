"""Labels of the ONNX file are those of ``predict``, whatever decides."""

import numpy as np
import pytest
import xgboost as xgb
from sklearn.datasets import make_classification

from boostloss import (
    ImbalancedHistGradientBoostingClassifier,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)
from boostloss.onnx import to_onnx
from boostloss.xgboost import predict_proba

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

MODELS = {
    "xgboost": lambda **k: ImbalancedXGBClassifier(n_estimators=10, max_depth=3, **k),
    "lightgbm": lambda **k: ImbalancedLGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1, **k),
    "hist": lambda **k: ImbalancedHistGradientBoostingClassifier(max_iter=10, **k),
}
RULES = {
    2: ["loss", "raw", "probability", "balanced", 0.93, [0.2, 0.8], [[0.0, 30.0], [1.0, 0.0]]],
    3: ["loss", "raw", "probability", "balanced", [5, 2, 1], [[0, 1, 1], [5, 0, 2], [40, 9, 0]]],
}
SHARES = {2: [0.7, 0.3], 3: [0.2, 0.3, 0.5]}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["balanced", "focal"])
@pytest.mark.parametrize("engine", MODELS)
def test_onnx_decides_alike(engine, loss, n_classes):
    weights = [0.1, 0.9] if n_classes == 2 else [0.85, 0.1, 0.05]
    X, y = make_classification(
        1500, 8, n_informative=5, n_classes=n_classes, weights=weights, random_state=0
    )
    X, names = X.astype(np.float32), np.array([0, 1] if n_classes == 2 else ["fraud", "ok", "other"])
    model = MODELS[engine](loss=loss).fit(X, names[y])
    found = set()
    for prior in (None, dict(zip(names.tolist(), SHARES[n_classes], strict=True))):
        for rule in RULES[n_classes]:
            model.set_params(decision=rule, prior=prior)
            session = onnxruntime.InferenceSession(
                to_onnx(model, dtype="float32").SerializeToString()
            )
            label, p = session.run(["label", "probabilities"], {"X": X})
            assert np.mean(label == model.predict(X)) > 0.998  # ties of rounding
            np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-6)
            found.add(tuple(label))
    assert len(found) > 3


@pytest.mark.parametrize("loss", ["balanced", "focal", "ghm"])
def test_a_booster_read_from_a_classifiers_file_knows_prior_and_decision(loss, tmp_path):
    X, y = make_classification(1500, 8, n_informative=5, weights=[0.9], random_state=0)
    X = X.astype(np.float32)
    model = MODELS["xgboost"](loss=loss).fit(X, y)
    for settings in ({}, {"prior": 0.4}, {"decision": "balanced", "prior": None}):
        model.set_params(**settings)
        model.save_model(tmp_path / "model.json")
        booster = xgb.Booster(model_file=tmp_path / "model.json")
        probability, decided = model.predict_proba(X), model.predict(X)
        np.testing.assert_array_equal(predict_proba(booster, X), probability)
        session = onnxruntime.InferenceSession(to_onnx(booster).SerializeToString())
        label, p = session.run(["label", "probabilities"], {"X": X})
        np.testing.assert_allclose(p, probability, atol=1e-6)
        assert np.mean(label == decided) > 0.998


@pytest.mark.parametrize("engine", MODELS)
def test_by_default_onnx_decides_for_the_largest_probability(engine):
    """Of a loss that treats classes alike, offset included."""
    X, y = make_classification(20_000, 8, n_informative=5, weights=[0.9], flip_y=0.1, random_state=0)
    X = X.astype(np.float32)
    model = MODELS[engine](loss="ghm").fit(X, y)
    raw, p = model.raw_score(X), model.predict_proba(X)
    between = (raw > 0) != (p[:, 1] > 0.5)
    assert between.any()
    session = onnxruntime.InferenceSession(to_onnx(model, dtype="float32").SerializeToString())
    label, p = session.run(["label", "probabilities"], {"X": X[between]})
    np.testing.assert_array_equal(label, p.argmax(axis=1))
