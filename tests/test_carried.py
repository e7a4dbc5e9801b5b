"""A booster of ``train`` carries its fitted loss: through files, pickles and copies."""

import copy
import pickle

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from scipy.special import logit
from sklearn.datasets import make_classification

import boostloss.lightgbm
import boostloss.xgboost
from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import Loss, scalar

LOSSES = [
    CrossEntropy(),
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2.0, class_weight="effective"),
    GHMLoss(),
    GHMLoss(density="bins", class_weight="balanced"),
    AsymmetricLoss(),
]


def rows(n_classes):
    shares = [0.85] if n_classes == 2 else [0.7, 0.2, 0.1]
    return make_classification(
        800, 6, n_informative=5, n_redundant=0, n_classes=n_classes, weights=shares, flip_y=0.05,
        random_state=0,
    )  # fmt: skip


def xgboost_booster(loss, X, y, weight=None, stop=False, **params):
    d = xgb.DMatrix(X[:600], y[:600], weight=None if weight is None else weight[:600])
    evals = {"evals": [(xgb.DMatrix(X[600:], y[600:]), "v")], "early_stopping_rounds": 4}
    own = {"calibrated": params.pop("calibrated", False)}
    stated = {"eta": 0.5 if stop else 0.2, "nthread": 1, **params}
    options = {**evals, "verbose_eval": False} if stop else {}
    return boostloss.xgboost.train(stated, d, 200 if stop else 12, loss=loss, **options, **own)


def lightgbm_booster(loss, X, y, weight=None, stop=False, **params):
    data = lgb.Dataset(X[:600], y[:600], weight=None if weight is None else weight[:600])
    own = {"calibrated": params.pop("calibrated", False)}
    stated = {"learning_rate": 0.5 if stop else 0.2, "num_threads": 1, "verbose": -1, **params}
    options = {}
    if stop:
        options["valid_sets"] = [lgb.Dataset(X[600:], y[600:], reference=data)]
        stated["early_stopping_round"] = 4
    return boostloss.lightgbm.train(stated, data, 200 if stop else 12, loss=loss, **options, **own)


ENGINES = {
    "xgboost": (boostloss.xgboost, xgboost_booster),
    "lightgbm": (boostloss.lightgbm, lightgbm_booster),
}


def raw_of(booster, X):
    if isinstance(booster, lgb.Booster):
        return booster.predict(X, raw_score=True)
    best = booster.attr("best_iteration")
    end = 0 if best is None else int(best) + 1
    return booster.predict(xgb.DMatrix(X), output_margin=True, iteration_range=(0, end))


def expected(loss, booster, X, y, weight=None):
    raw = raw_of(booster, X[:600])
    fitted = loss.fit(y[:600], raw, None if weight is None else weight[:600])
    p = fitted.posterior(raw_of(booster, X))
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_as_fitted_to_the_training_rows(loss, stop, n_classes, engine):
    if loss.binary_only and n_classes > 2:
        pytest.skip("a loss for two classes")
    X, y = rows(n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    module, train = ENGINES[engine]
    booster = train(loss, X, y, weight, stop)
    p = module.predict_proba(booster, X)
    np.testing.assert_allclose(p, expected(loss, booster, X, y, weight), atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_files_pickles_and_copies(engine, tmp_path):
    X, y = rows(3)
    module, train = ENGINES[engine]
    booster = train(GHMLoss(), X, y, stop=True)
    p = module.predict_proba(booster, X)
    paths = {"xgboost": ["m.json", "m.ubj"], "lightgbm": ["m.txt"]}[engine]
    for name in paths:
        booster.save_model(tmp_path / name)
        read = {"xgboost": xgb.Booster, "lightgbm": lgb.Booster}[engine](model_file=tmp_path / name)
        np.testing.assert_array_equal(module.predict_proba(read, X), p)
    for same in (pickle.loads(pickle.dumps(booster)), copy.deepcopy(booster)):
        np.testing.assert_array_equal(module.predict_proba(same, X), p)


def test_a_classifiers_file_in_plain_xgboost(tmp_path):
    X, y = rows(2)
    model = boostloss.ImbalancedXGBClassifier(loss="focal", n_estimators=5, n_jobs=1).fit(X, y)
    model.save_model(tmp_path / "m.json")
    booster = xgb.Booster(model_file=tmp_path / "m.json")
    p = boostloss.xgboost.predict_proba(booster, X)
    np.testing.assert_array_equal(p, model.predict_proba(X))


def test_what_carries_no_loss_or_another(tmp_path):
    X, y = rows(2)
    d = xgb.DMatrix(X, y)
    plain = xgb.train({"objective": "binary:logistic"}, d, 2)
    with pytest.raises(ValueError, match="must carry a fitted loss"):
        boostloss.xgboost.predict_proba(plain, X)
    ours = xgboost_booster(FocalLoss(), X, y)
    further = xgb.train({"objective": "binary:logistic"}, d, 2, xgb_model=ours)
    with pytest.raises(ValueError, match="after 12 rounds, and it has 14"):
        boostloss.xgboost.predict_proba(further, X)
    with pytest.raises(TypeError, match=r"xgboost\.Booster"):
        boostloss.xgboost.predict_proba(y, X)

    data = lgb.Dataset(X, y, free_raw_data=False)
    light = lightgbm_booster(FocalLoss(), X, y)
    binary = {"objective": "binary", "verbose": -1, "num_threads": 1}
    for other in (
        lgb.train(binary, data, 2),
        lgb.train(binary, data, 2, init_model=light),
    ):
        with pytest.raises(ValueError, match="must carry a fitted loss"):
            boostloss.lightgbm.predict_proba(other, X)
    with pytest.raises(TypeError, match=r"lightgbm\.Booster"):
        boostloss.lightgbm.predict_proba(plain, X)


class Unregistered(Loss):
    name = "unregistered"

    @scalar
    def value(row):
        return row.neg_log_p

    @scalar
    def slope(row):
        return row.q


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unregistered_loss_trains_and_is_not_carried(engine):
    X, y = rows(2)
    module, train = ENGINES[engine]
    booster = train(Unregistered(), X, y)
    with pytest.raises(ValueError, match="registered"):
        module.predict_proba(booster, X)


@pytest.mark.parametrize("engine", ENGINES)
def test_training_that_goes_on_carries_its_own_loss(engine):
    X, y = rows(2)
    module, train = ENGINES[engine]
    booster = train(FocalLoss(), X, y)
    loss = GHMLoss()
    if engine == "xgboost":
        d = xgb.DMatrix(X[:600], y[:600])
        on = module.train({"nthread": 1}, d, 3, loss=loss, xgb_model=booster)
    else:
        params = {"num_threads": 1, "verbose": -1}
        on = module.train(params, lgb.Dataset(X[:600], y[:600]), 3, loss=loss, init_model=booster)
    np.testing.assert_allclose(
        module.predict_proba(on, X), expected(loss, on, X, y), atol=1e-6
    )  # fmt: skip


def test_random_forest_and_constant_models():
    X, y = rows(2)
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
    booster = lightgbm_booster(CrossEntropy(), X, y, **forest)
    p = boostloss.lightgbm.predict_proba(booster, X)
    odds = logit(p[:, 1]) - logit(booster.predict(X))
    np.testing.assert_allclose(odds, odds[0])  # but for the offset the mean of the trees
    assert p[:600, 1].mean() == pytest.approx(y[:600].mean(), rel=1e-6)
    flat = np.zeros((len(y), 2))
    booster = lightgbm_booster(GHMLoss(), flat, y)
    p = boostloss.lightgbm.predict_proba(booster, flat)
    np.testing.assert_allclose(p, expected(GHMLoss(), booster, flat, y), atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_to_onnx_takes_such_a_booster(engine):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from boostloss.onnx import to_onnx

    X, y = rows(3)
    module, train = ENGINES[engine]
    booster = train(GHMLoss(), X, y, stop=True)
    session = onnxruntime.InferenceSession(to_onnx(booster).SerializeToString())
    data = X.astype({"xgboost": np.float32, "lightgbm": np.float64}[engine])
    p = session.run(["probabilities"], {"X": data})[0]
    np.testing.assert_allclose(p, module.predict_proba(booster, X), atol=1e-6)
