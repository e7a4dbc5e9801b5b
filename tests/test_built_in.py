"""Cross-entropy with constant class weights is left to the engines' own objectives."""

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb

import boostloss.lightgbm
import boostloss.xgboost
from boostloss import (
    CrossEntropy,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
    Recorder,
    posterior_log_loss,
)
from boostloss.classifier import probabilities

XGB = {"max_depth": 3, "nthread": 1}
LGB = {"num_leaves": 7, "num_threads": 1, "verbose": -1}
WEIGHTS = [None, "balanced", "effective", 3.0, [0.3, 0.3], [2.0, 0.7]]


@pytest.fixture(scope="module", params=[2, 3])
def data(request):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4)).astype(np.float32)
    score = X[:, 0] + rng.normal(0, 0.7, 600)
    y = np.searchsorted(np.quantile(score, [0.6, 0.9] if request.param == 3 else [0.9]), score)
    return X, y, rng.exponential(size=600).astype(np.float32)


def loss_for(class_weight, y):
    if y.max() == 2 and not (class_weight is None or isinstance(class_weight, str)):
        class_weight = [1.0, 1.0, 4.0] if class_weight == 3.0 else [0.3] * 3
    return CrossEntropy(class_weight=class_weight)


def raw_of(engine, booster, X):
    if engine == "xgboost":
        return booster.predict(xgb.DMatrix(X), output_margin=True)
    return booster.predict(X, raw_score=True)


def trained(engine, X, y, weight, loss, rounds=8, **keywords):
    if engine == "xgboost":
        return boostloss.xgboost.train(
            XGB, xgb.DMatrix(X, y, weight=weight), rounds, loss=loss, **keywords
        )
    return boostloss.lightgbm.train(
        LGB, lgb.Dataset(X, y, weight=weight), rounds, loss=loss, **keywords
    )


@pytest.mark.parametrize("class_weight", WEIGHTS, ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_train_and_classifier_give_what_a_callable_gives(engine, weighted, class_weight, data):
    X, y, weight = data
    weight, loss = weight if weighted else None, loss_for(class_weight, y)
    built_in = raw_of(engine, trained(engine, X, y, weight, loss), X)
    # a recorder needs the callable
    callable_ = raw_of(engine, trained(engine, X, y, weight, loss, recorder=Recorder()), X)
    np.testing.assert_allclose(built_in, callable_, rtol=2e-5, atol=2e-5)
    if engine == "xgboost":
        model = ImbalancedXGBClassifier(loss=loss, n_estimators=8, max_depth=3, n_jobs=1)
    else:
        model = ImbalancedLGBMClassifier(
            loss=loss, n_estimators=8, num_leaves=7, n_jobs=1, verbose=-1
        )
    found = model.fit(X, y, sample_weight=weight).raw_score(X)
    seen = model.fit(X, y, sample_weight=weight, recorder=Recorder()).raw_score(X)
    np.testing.assert_allclose(found, seen, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("class_weight", ["balanced", 3.0])
@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_cv_gives_what_a_callable_gives(engine, class_weight, data):
    X, y, weight = data
    loss, results = loss_for(class_weight, y), []
    for recorder in (None, Recorder()):
        if engine == "xgboost":
            d = xgb.DMatrix(X, y, weight=weight)
            result = boostloss.xgboost.cv(
                XGB, d, 5, loss=loss, nfold=3, seed=0, recorder=recorder, as_pandas=False
            )
        else:
            d = lgb.Dataset(X, y, weight=weight)
            result = boostloss.lightgbm.cv(LGB, d, 5, loss=loss, nfold=3, seed=0, recorder=recorder)
        results.append(result)
    assert results[0].keys() == results[1].keys()
    for name in results[0]:
        np.testing.assert_allclose(results[0][name], results[1][name], rtol=1e-4, atol=2e-6)


def test_xgboost_uses_its_own_objective_and_leaves_the_data_alone(data):
    X, y, weight = data
    d = xgb.DMatrix(X, y, weight=weight)
    seen = {}
    loss = CrossEntropy(class_weight="balanced")
    params = {**XGB, "lambda": 2.0, "min_child_weight": 3}
    boostloss.xgboost.train(
        params, d, 3, loss=loss, evals=[(d, "train")], evals_result=seen, verbose_eval=False
    )
    np.testing.assert_array_equal(d.get_weight(), weight)
    assert params["lambda"] == 2.0
    raw = raw_of("xgboost", boostloss.xgboost.train(params, d, 3, loss=loss), X)
    judged = posterior_log_loss(loss.fit(y, None, weight).loss)(y, raw.astype(float), weight)
    assert seen["train"]["posterior_log_loss"][-1] == pytest.approx(judged, rel=1e-5)


def test_lightgbm_gets_its_weights_back(data):
    X, y, weight = data
    for given in (None, weight, 1 / np.bincount(y)[y]):
        train_set = lgb.Dataset(X, y, weight=given, free_raw_data=False).construct()
        before = train_set.get_field("weight")
        boostloss.lightgbm.train(LGB, train_set, 2, loss=CrossEntropy(class_weight="balanced"))
        after = train_set.get_field("weight")
        if given is None:
            assert after is None
        else:
            np.testing.assert_array_equal(after, before)


def test_what_a_callable_disables_works(data):
    X, y, _ = data
    rows = lgb.Dataset(X, y, free_raw_data=False)
    name = "multiclass" if y.max() == 2 else "binary"
    count = {"num_class": 3} if y.max() == 2 else {}
    for params in (
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"linear_tree": True},
        {"feature_fraction": 0.5},
        *([{"pos_bagging_fraction": 0.5, "bagging_freq": 1}] if y.max() == 1 else []),
    ):
        fresh = lgb.Dataset(X, y, params={**LGB, **params}, free_raw_data=False)
        ours = boostloss.lightgbm.train({**LGB, **params}, fresh, 5, loss=CrossEntropy())
        own = lgb.Dataset(X, y, params={**LGB, **params}, free_raw_data=False)
        theirs = lgb.train({**LGB, **params, **count, "objective": name}, own, 5)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        model = ImbalancedLGBMClassifier(
            loss="cross_entropy", n_estimators=5, num_leaves=7, n_jobs=1, verbose=-1, **params
        )
        np.testing.assert_allclose(
            model.fit(X, y).booster_.predict(X), theirs.predict(X), rtol=1e-12
        )
        p = model.predict_proba(X)
        if "bagging_freq" in params:  # there the mean of LightGBM's probabilities is off
            share = np.bincount(y.astype(int)) / len(y)
            np.testing.assert_allclose(p.mean(axis=0), share, rtol=1e-6)
            assert np.abs(theirs.predict(X).mean(axis=0) / share[-1] - 1).max() > 0.05
            model.set_params(probability="link")
            p = model.predict_proba(X)
        np.testing.assert_allclose(p if p.shape[1] > 2 else p[:, 1], theirs.predict(X), rtol=1e-9)
        p = model.predict_proba(X, num_iteration=2)
        own_p = theirs.predict(X, num_iteration=2)
        np.testing.assert_allclose(p if p.shape[1] > 2 else p[:, 1], own_p, rtol=1e-9)
    with pytest.raises(ValueError, match="linear_tree"):
        boostloss.lightgbm.train({**LGB, "linear_tree": True}, rows, 2, loss=boostloss.FocalLoss())


def test_a_users_metric_sees_what_it_did(data):
    X, y, _ = data
    seen = []

    def metric(raw, rows):
        seen.append(np.asarray(raw))
        return "mine", float(np.mean(raw))

    d = xgb.DMatrix(X, y)
    booster = boostloss.xgboost.train(
        XGB, d, 2, loss=CrossEntropy(), custom_metric=metric, evals=[(d, "d")], verbose_eval=False
    )
    np.testing.assert_allclose(seen[-1], raw_of("xgboost", booster, X), rtol=1e-6)
    given = []

    def on_probability(labels, p):
        given.append(np.asarray(p))
        return 0.0

    for class_weight in (None, "balanced"):
        loss = CrossEntropy(class_weight=class_weight)
        model = ImbalancedXGBClassifier(
            loss=loss, n_estimators=2, eval_metric=on_probability, n_jobs=1
        )
        model.fit(X, y, eval_set=[(X, y)], verbose=False)
        # before the offset, which is found once the training has ended
        loss = model.loss_.with_offset(np.zeros(len(model.classes_)))
        p = probabilities(model.raw_score(X), loss, "posterior")
        np.testing.assert_allclose(given[-1], p if y.max() == 2 else p[:, 1], rtol=1e-4, atol=1e-6)
