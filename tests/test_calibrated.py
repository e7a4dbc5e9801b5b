"""``calibrated=True``: the plain engine's own predictions are the posterior."""

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from test_carried import ENGINES, raw_of, rows

from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)

CLASSIFIERS = {"xgboost": ImbalancedXGBClassifier, "lightgbm": ImbalancedLGBMClassifier}
SHORT = {"n_estimators": 12, "learning_rate": 0.3, "n_jobs": 1}
WEIGHTS = {
    2: ["balanced", [1.0, 1e6], [1e6, 1.0], [3.0, 3.0]],
    3: ["balanced", [1.0, 1e6, 1e-3], [1e3, 1.0, 1.0]],
}
CASES = [(n, weight) for n, weights in WEIGHTS.items() for weight in weights]


def classifier(engine, **params):
    quiet = {"verbose": -1} if engine == "lightgbm" else {}
    return CLASSIFIERS[engine](**{**SHORT, **quiet, **params})


def plain_probabilities(engine, path, X):
    if engine == "xgboost":
        p = xgb.Booster(model_file=path).predict(xgb.DMatrix(X))
    else:
        p = lgb.Booster(model_file=path).predict(X)
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


@pytest.mark.parametrize("engine", CLASSIFIERS)
@pytest.mark.parametrize(("n_classes", "weight"), CASES)
def test_the_plain_engine_is_calibrated(n_classes, weight, engine, tmp_path):
    X, y = rows(n_classes)
    labels = np.array(["a", "b", "c"])[y]
    model = classifier(engine, loss=CrossEntropy(class_weight=weight)).fit(X, labels)
    path = tmp_path / "model.json"
    model.save_model(path, calibrated=True)
    np.testing.assert_allclose(
        plain_probabilities(engine, path, X), model.predict_proba(X), atol=1e-6
    )
    again = classifier(engine)
    again.load_model(path)
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-6)
    assert (again.predict(X) == again.classes_[again.predict_proba(X).argmax(axis=1)]).all()
    model.save_model(path)  # the default is as it was
    own = classifier(engine)
    own.load_model(path)
    np.testing.assert_array_equal(own.predict(X), model.predict(X))


@pytest.mark.parametrize("engine", CLASSIFIERS)
@pytest.mark.parametrize("loss", ["cross_entropy", "balanced"])
def test_prior_and_offset_are_shifts_and_a_slope_is_not(loss, engine, tmp_path):
    X, y = rows(2)
    model = classifier(engine, loss=loss, prior=0.6).fit(X[:500], y[:500])
    path = tmp_path / "model.json"
    model.save_model(path, calibrated=True)
    np.testing.assert_allclose(plain_probabilities(engine, path, X), model.predict_proba(X), atol=1e-6)
    again = classifier(engine)
    again.load_model(path)
    again.set_params(prior={0: 0.9, 1: 0.1})
    model.set_params(prior={0: 0.9, 1: 0.1})
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-6)
    model.recalibrate(X[500:], y[500:])
    with pytest.raises(ValueError, match="to_onnx"):
        model.save_model(path, calibrated=True)


@pytest.mark.parametrize("engine", CLASSIFIERS)
def test_shap_values_sum_to_the_posterior(engine, tmp_path):
    X, y = rows(2)
    model = classifier(engine, loss="balanced").fit(X, y)
    model.save_model(tmp_path / "m.json", calibrated=True)
    path = tmp_path / "m.json"
    if engine == "xgboost":
        values = xgb.Booster(model_file=path).predict(xgb.DMatrix(X[:20]), pred_contribs=True)
    else:
        values = lgb.Booster(model_file=path).predict(X[:20], pred_contrib=True)
    log_odds = values.sum(axis=1)
    p = model.predict_proba(X[:20])[:, 1]
    np.testing.assert_allclose(log_odds, np.log(p / (1.0 - p)), atol=2e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_train(n_classes, stop, engine):
    X, y = rows(n_classes)
    module, train = ENGINES[engine]
    loss = CrossEntropy(class_weight="balanced")
    p = module.predict_proba(train(loss, X, y, stop=stop), X)
    booster = train(loss, X, y, stop=stop, calibrated=True)
    np.testing.assert_allclose(module.predict_proba(booster, X), p, atol=1e-6)
    raw = raw_of(booster, X)
    if n_classes == 2:
        np.testing.assert_allclose(1.0 / (1.0 + np.exp(-raw)), p[:, 1], atol=1e-6)


@pytest.mark.parametrize("engine", CLASSIFIERS)
@pytest.mark.parametrize("loss", [FocalLoss(), GHMLoss()], ids=repr)
def test_other_posteriors_are_refused_and_name_onnx(loss, engine, tmp_path):
    X, y = rows(2)
    model = classifier(engine, loss=loss).fit(X, y)
    with pytest.raises(ValueError, match="to_onnx"):
        model.save_model(tmp_path / "m.json", calibrated=True)
    assert not (tmp_path / "m.json").exists()
    with pytest.raises(ValueError, match="to_onnx"):
        ENGINES[engine][1](loss, X, y, calibrated=True)


@pytest.mark.parametrize("booster", ["dart", "gblinear"])
def test_other_boosters_of_xgboost(booster, tmp_path):
    X, y = rows(2)
    loss = CrossEntropy(class_weight=[1e5, 1.0])
    if booster == "gblinear":
        loss = CrossEntropy(class_weight="balanced")
    dropped = {"rate_drop": 0.5} if booster == "dart" else {}
    model = classifier("xgboost", loss=loss, booster=booster, **dropped).fit(X, y)
    model.save_model(tmp_path / "m.json", calibrated=True)
    p = plain_probabilities("xgboost", tmp_path / "m.json", X)
    np.testing.assert_allclose(p, model.predict_proba(X), atol=2e-6)


def test_linear_trees_are_refused(tmp_path):
    X, y = rows(2)
    model = classifier("lightgbm", loss="balanced", linear_tree=True).fit(X, y)
    with pytest.raises(ValueError, match="linear_tree"):
        model.save_model(tmp_path / "m.txt", calibrated=True)


def test_random_forest(tmp_path):
    X, y = rows(2)
    forest = {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}
    model = classifier("lightgbm", loss="balanced", **forest).fit(X, y)
    model.save_model(tmp_path / "m.txt", calibrated=True)
    p = plain_probabilities("lightgbm", tmp_path / "m.txt", X)
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-9)
