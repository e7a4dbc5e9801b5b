"""Labels of the ONNX file are those of ``predict``, whatever decides."""

import numpy as np
import pytest
from sklearn.datasets import make_classification

from boostloss import ImbalancedLGBMClassifier, ImbalancedXGBClassifier
from boostloss.onnx import to_onnx

onnxruntime = pytest.importorskip("onnxruntime")

MODELS = {
    "xgboost": lambda **k: ImbalancedXGBClassifier(n_estimators=10, max_depth=3, **k),
    "lightgbm": lambda **k: ImbalancedLGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1, **k),
}
RULES = {
    2: ["loss", "probability", "balanced", 0.93, [0.2, 0.8], [[0.0, 30.0], [1.0, 0.0]]],
    3: ["loss", "probability", "balanced", [5, 2, 1], [[0, 1, 1], [5, 0, 2], [40, 9, 0]]],
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
    X, names = X.astype(np.float32), np.array(["fraud", "ok", "other"][:n_classes])
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
