"""ONNX files answer as the classifiers do, in a process that has neither them nor the engines."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError

from boostloss import (
    AsymmetricLoss,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedHistGradientBoostingClassifier,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)
from boostloss.hist.trees import read_trees
from boostloss.losses import Loss, register, scalar

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from boostloss.onnx import to_onnx  # noqa: E402

LOSSES = {
    "cross_entropy": CrossEntropy(),
    "balanced": CrossEntropy(class_weight="balanced"),
    "focal": FocalLoss(2.0),
    "focal, weights": FocalLoss(0.5, class_weight="effective"),
    "ghm": GHMLoss(),
    "ghm bins": GHMLoss(density="bins"),
    "ghm window": GHMLoss(density="window"),
    "asymmetric": AsymmetricLoss(),
    "asymmetric, no margin": AsymmetricLoss(margin=0.0),
}
MODELS = {
    "xgboost": lambda **params: ImbalancedXGBClassifier(n_jobs=1, **params),
    "lightgbm": lambda **params: ImbalancedLGBMClassifier(n_jobs=1, verbose=-1, **params),
    "hist": lambda n_estimators, **params: ImbalancedHistGradientBoostingClassifier(
        max_iter=n_estimators, early_stopping=False, **params
    ),
}
WITH_CATEGORIES = ["xgboost", "lightgbm"]
DTYPES = {"xgboost": np.float32, "lightgbm": np.float64, "hist": np.float64}
SHORT = {"n_estimators": 15, "learning_rate": 0.3}


@register
class Confident(Loss):
    """A loss with a condition in its slope, and no log_weight."""

    name = "confident"

    @scalar
    def value(row):
        return row.neg_log_p

    @scalar
    def slope(row):
        weight = 0.5 + row.p
        return row.q * weight if row.q < 0.5 else row.q


def rows(n_classes=2, n=600, missing=0.1):
    shares = [0.85] if n_classes == 2 else [0.7, 0.2, 0.1]
    X, y = make_classification(
        n, 6, n_informative=5, n_redundant=0, n_classes=n_classes, weights=shares, flip_y=0.03,
        random_state=0,
    )  # fmt: skip
    X[np.random.default_rng(0).random(X.shape) < missing] = np.nan
    return X, y


def session(model, **options):
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1  # adds XGBoost's trees in XGBoost's order
    one_thread.log_severity_level = 3
    made = to_onnx(model, **options)
    return onnxruntime.InferenceSession(made.SerializeToString(), one_thread)


def run(model, X, **options):
    started = session(model, **options)
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    X = np.asarray(X, dtype[started.get_inputs()[0].type])
    return dict(zip(("label", "probabilities", "raw"), started.run(None, {"X": X}), strict=True))


def assert_same(model, features, X, **options):
    """``features`` are what the model takes, ``X`` what ONNX Runtime does."""
    out = run(model, X, **options)
    raw = model.raw_score(features)
    np.testing.assert_allclose(out["raw"].reshape(raw.shape), raw, rtol=2e-7, atol=2e-7)
    np.testing.assert_allclose(out["probabilities"], model.predict_proba(features), atol=2e-7)
    np.testing.assert_array_equal(out["label"], model.predict(features))


@pytest.mark.parametrize("engine", MODELS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name, n_classes, engine):
    loss = LOSSES[name]
    if loss.binary_only and n_classes > 2:
        pytest.skip("a loss for two classes")
    X, y = rows(n_classes)
    # text does not say which class is positive, as this loss must know
    labels = y if loss.binary_only else np.array(["low", "high", "middle"])[y]
    model = MODELS[engine](loss=loss, **SHORT).fit(X, labels)
    assert_same(model, X, X)
    model.probability = "link"
    assert_same(model, X, X)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_custom_loss_with_conditions_is_tabulated(n_classes):
    X, y = rows(n_classes)
    model = MODELS["lightgbm"](loss=Confident(), **SHORT).fit(X, y)
    assert_same(model, X, X)


def test_a_custom_loss_without_weight_somewhere_is_refused():
    class Hinge(Loss):
        name = "hinge"

        @scalar
        def value(row):
            return row.neg_log_p

        @scalar
        def slope(row):
            return row.q if row.q > 0.1 else 0.0

    X, y = rows()
    model = MODELS["lightgbm"](loss=CrossEntropy(), **SHORT).fit(X, y)
    fitted = Hinge(class_weight=[1.0, 1.0]).fit(y)
    model._fitted = model._fitted._replace(loss=fitted)
    with pytest.raises(ValueError, match="weight above 0"):
        to_onnx(model)


@pytest.mark.parametrize("engine", MODELS)
@pytest.mark.parametrize("labels", [[0, 1], [3, 7], [False, True], [1.0, 2.0]], ids=str)
def test_labels_of_all_kinds(engine, labels):
    X, y = rows()
    model = MODELS[engine](loss="focal", **SHORT).fit(X, np.array(labels)[y])
    assert_same(model, X, X)


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_best_iteration_only(engine):
    X, y = rows(3, 900)
    stop = {"xgboost": {"early_stopping_rounds": 5}, "lightgbm": {"early_stopping_round": 5}}
    model = MODELS[engine](loss="focal", n_estimators=300, learning_rate=0.5, **stop[engine])
    model.fit(X[:600], y[:600], eval_set=[(X[600:], y[600:])],
              **({"verbose": False} if engine == "xgboost" else {}))  # fmt: skip
    assert_same(model, X, X)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "params",
    [
        {"booster": "dart", "rate_drop": 0.5},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"missing": 0.25},
        {"max_depth": 0, "grow_policy": "lossguide", "max_leaves": 40},
        {"gamma": 1e9},
        {"base_score": 1e-8},
        {"base_score": 1.0 - 1e-7},
    ],
    ids=str,
)
def test_xgboost_trees_of_all_kinds(params, n_classes):
    X, y = rows(n_classes)
    X[::7, 2] = 0.25
    if "base_score" in params and n_classes > 2:
        pytest.skip("a probability is for two classes")
    model = MODELS["xgboost"](loss="balanced", **SHORT, **params).fit(X, y)
    assert_same(model, X, X)


@pytest.mark.parametrize("trained_with_missing", [True, False])
@pytest.mark.parametrize(
    "params",
    [
        {"zero_as_missing": True},
        {"use_missing": False},
        {"boosting_type": "dart"},
        {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1},
        {"min_split_gain": 1e9},
        {"num_leaves": 200, "min_child_samples": 1},
    ],
    ids=str,
)
def test_lightgbm_trees_of_all_kinds(params, trained_with_missing):
    X, y = rows(missing=0.1 if trained_with_missing else 0.0)
    X[::5, 1:3] = 0.0
    model = MODELS["lightgbm"](loss="balanced", **{**SHORT, **params}).fit(X, y)
    X[::3, 4], X[::4, 1] = np.nan, 1e-40
    assert_same(model, X, X)


@pytest.mark.parametrize("engine", MODELS)
def test_features_on_thresholds(engine):
    """Values at a threshold, and the nearest on its two sides, go the engine's way."""
    X, y = rows(missing=0.0)
    model = MODELS[engine](loss="focal", **SHORT).fit(X, y)
    if engine == "xgboost":
        frame = model.get_booster().trees_to_dataframe()
        at = frame.loc[frame.Feature != "Leaf", "Split"].to_numpy(np.float32)
    elif engine == "hist":
        at = np.array([split.threshold for split in read_trees(model.engine_model()).splits])
        assert len(at) > 100
    else:
        at = model.booster_.trees_to_dataframe()["threshold"].dropna().to_numpy(np.float64)
    at = np.concatenate([at, np.nextafter(at, at.dtype.type(9)), np.nextafter(at, -at)])
    rows_on = np.repeat(at[:, None], X.shape[1], axis=1)
    assert_same(model, rows_on, rows_on)
    if engine != "xgboost":
        rounded = rows_on.astype(np.float32)
        assert_same(model, rounded, rounded, dtype="float32")


@pytest.mark.parametrize("one_hot", [100, 1])
@pytest.mark.parametrize("engine", WITH_CATEGORIES)
def test_categories(engine, one_hot):
    rng = np.random.default_rng(1)
    X, y = rows()
    codes = rng.integers(0, 40, len(y))
    y = np.where(np.isin(codes, [0, 3, 31, 32, 33, 39]), 1 - y, y)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    values = np.array([f"k{i:02d}" for i in range(40)])[codes]
    frame["kind"] = pd.Categorical(np.where(rng.random(len(y)) < 0.1, None, values))
    params = {
        "xgboost": {"enable_categorical": True, "max_cat_to_onehot": one_hot},
        "lightgbm": {"max_cat_to_onehot": one_hot, "min_data_per_group": 5, "cat_smooth": 1.0},
    }[engine]
    model = MODELS[engine](loss="focal", **SHORT, **params).fit(frame, y)
    numbers = frame.assign(kind=frame["kind"].cat.codes.replace(-1, np.nan)).to_numpy(float)
    assert_same(model, frame, numbers)


def test_categories_that_are_numbers_unseen_and_broken():
    rng = np.random.default_rng(1)
    X, y = rows()
    X[:, 0] = rng.integers(0, 70, len(y))
    y = np.where(np.isin(X[:, 0], [0, 3, 31, 32, 33, 64, 69]), 1 - y, y)
    new = X.copy()
    new[:, 0] = rng.choice([0, 1, 3, 64, 69, 70, 500, 1e6, -1, -7, np.nan, 3.5], len(y))
    light = MODELS["lightgbm"](loss="focal", min_data_per_group=5, cat_smooth=1.0, **SHORT)
    light.fit(X, y, categorical_feature=[0])
    assert_same(light, new, new)
    types = ["c", *["q"] * 5]
    boost = MODELS["xgboost"](loss="focal", feature_types=types, enable_categorical=True, **SHORT)
    boost.fit(X, y)
    new = np.where(new == 1e6, 400, new)
    assert_same(boost, new, new)


def test_trees_that_onnx_cannot_express():
    X, y = rows(missing=0.0)
    with pytest.raises(ValueError, match="linear_tree must be False"):
        to_onnx(MODELS["lightgbm"](loss="cross_entropy", linear_tree=True, **SHORT).fit(X, y))
    with pytest.raises(ValueError, match="'gblinear'"):
        to_onnx(MODELS["xgboost"](loss="cross_entropy", booster="gblinear", **SHORT).fit(X, y))
    X[:, 0] = np.arange(len(y)) % 5
    model = MODELS["hist"](loss="focal", categorical_features=[0], **SHORT).fit(X, y)
    with pytest.raises(ValueError, match="categorical_features must be None"):
        to_onnx(model)


def test_what_is_refused_by_name():
    X, y = rows()
    with pytest.raises(TypeError, match="model must be a fitted classifier"):
        to_onnx(object())
    with pytest.raises(TypeError, match="got HistGradientBoostingClassifier"):
        to_onnx(HistGradientBoostingClassifier().fit(X, y))
    with pytest.raises(NotFittedError):
        to_onnx(ImbalancedHistGradientBoostingClassifier())
    model = MODELS["xgboost"](loss="focal", **SHORT).fit(X, y)
    with pytest.raises(ValueError, match="dtype"):
        to_onnx(model, dtype="int8")
    odd = np.array([b"a", b"b"], dtype=object)[y]
    model._fitted = model._fitted._replace(labels=np.unique(odd))
    with pytest.raises(TypeError, match="labels"):
        to_onnx(model)


def test_metadata_name_the_loss_and_the_features():
    X, y = rows()
    model = MODELS["xgboost"](loss="focal", **SHORT).fit(pd.DataFrame(X, columns=list("abcdef")), y)
    metadata = {one.key: one.value for one in to_onnx(model).metadata_props}
    assert json.loads(metadata["feature_names"]) == list("abcdef")
    assert json.loads(metadata["boostloss"])["loss"]["type"] == "focal"


@pytest.mark.parametrize("engine", MODELS)
def test_served_without_boostloss_and_engines(engine, tmp_path):
    X, y = rows(3)
    model = MODELS[engine](loss="ghm", **SHORT).fit(X, np.array(["a", "b", "c"])[y])
    onnx.save(to_onnx(model), tmp_path / "model.onnx")
    np.save(tmp_path / "X.npy", X.astype(DTYPES[engine]))
    code = f"""
import sys
for name in ("boostloss", "xgboost", "lightgbm", "onnx", "numba", "sklearn"):
    sys.modules[name] = None  # import raises
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(r"{tmp_path / "model.onnx"}")
out = session.run(None, {{"X": np.load(r"{tmp_path / "X.npy"}")}})
np.savez(r"{tmp_path / "out.npz"}", label=out[0].astype(str), probabilities=out[1])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_allclose(out["probabilities"], model.predict_proba(X), atol=1e-6)
        np.testing.assert_array_equal(out["label"], model.predict(X))
