import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xgboost as xgb
from sklearn.datasets import make_classification

import boostloss as bl
import boostloss.xgboost as bx

PARAMS = {"max_depth": 4, "nthread": 2, "eta": 0.1}
LOSSES = [
    bl.CrossEntropy(class_weight="balanced"),
    bl.FocalLoss(2.0),
    bl.GHMLoss(momentum=0.9),
    bl.GHMLoss(density="bins", momentum=0.9),
    bl.GHMLoss(density="window", strength=0.5),
]


def native(problem):
    if problem.n_classes == 2:
        return {"objective": "binary:logistic"}
    return {"objective": "multi:softprob", "num_class": problem.n_classes}


def data(problem):
    return xgb.DMatrix(problem.X, problem.y), xgb.DMatrix(problem.X_valid, problem.y_valid)


def intercept(booster):
    return json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]


@pytest.mark.parametrize("loss", [bl.CrossEntropy(), bl.FocalLoss(0.0)], ids=repr)
def test_equals_the_built_in(problem, loss):
    train, valid = data(problem)
    ours = bx.train(PARAMS, train, 50, loss=loss)
    # XGBoost's own softmax intercept is log(share + 1e-6), in 3.1.0 the share itself: give it ours
    params = {**PARAMS, **native(problem)}
    if problem.n_classes > 2:
        params["base_score"] = intercept(ours)
    theirs = xgb.train(params, train, 50)
    np.testing.assert_allclose(ours.predict(valid), theirs.predict(valid), rtol=0, atol=1e-6)


def test_intercept_of_several_classes_sums_to_zero(problem):
    scores = json.loads(intercept(bx.train(PARAMS, data(problem)[0], 1, loss=bl.FocalLoss())))
    if problem.n_classes > 2:
        assert len(scores) == problem.n_classes
        assert sum(scores) == pytest.approx(0, abs=1e-5)
        assert max(scores) - min(scores) > 1


def test_float_class_weight_is_scale_pos_weight(binary):
    train, valid = data(binary)
    start = {"base_score": 0.2, **native(binary)}
    theirs = xgb.train({**PARAMS, **start, "scale_pos_weight": 7.0}, train, 50).predict(valid)
    ours = bx.train({**PARAMS, **start}, train, 50, loss=bl.CrossEntropy(class_weight=7.0))
    np.testing.assert_allclose(ours.predict(valid), theirs, rtol=0, atol=1e-6)


def test_sample_weights_reach_the_loss(problem):
    weight = np.random.default_rng(0).random(len(problem.y))
    train = xgb.DMatrix(problem.X, problem.y, weight=weight)
    params = {**PARAMS, **native(problem)}
    params["base_score"] = intercept(bx.train(PARAMS, train, 1, loss=bl.CrossEntropy()))
    ours = bx.train(params, train, 20, loss=bl.CrossEntropy()).predict(train)
    theirs = xgb.train(params, train, 20).predict(train)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_model_is_native(problem, loss, tmp_path):
    train, valid = data(problem)
    kept = {"evals": [(valid, "v")], "early_stopping_rounds": 10, "verbose_eval": False}
    booster = bx.train(PARAMS, train, 200, loss=loss, **kept)
    again = bx.train(PARAMS, train, 200, loss=loss, **kept)
    np.testing.assert_array_equal(booster.predict(valid), again.predict(valid))
    assert 0 < booster.best_iteration < 199
    raw = booster.predict(valid, output_margin=True)
    p = 1 / (1 + np.exp(-raw)) if raw.ndim == 1 else np.exp(raw) / np.exp(raw).sum(1)[:, None]
    np.testing.assert_allclose(booster.predict(valid), p, atol=1e-6)
    contributions = booster.predict(valid, pred_contribs=True)
    np.testing.assert_allclose(contributions.sum(-1), raw, atol=1e-4)
    booster.save_model(tmp_path / "m.json")
    np.save(tmp_path / "x.npy", problem.X_valid)
    code = (
        "import sys, numpy as np, xgboost as xgb;"
        "b = xgb.Booster(model_file='m.json');"
        "np.save('p.npy', b.predict(xgb.DMatrix(np.load('x.npy'))));"
        "assert 'boostloss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), p, atol=1e-6)


@pytest.mark.parametrize("objective", [bl.balanced_ce_obj(), bl.focal_obj(2), bl.ghm_obj(momentum=0.9)],
                         ids=repr)  # fmt: skip
def test_one_callable_in_three_places(problem, objective):
    train, valid = data(problem)
    assert pickle.loads(pickle.dumps(objective)) == objective
    metric = bl.posterior_log_loss(bl.FocalLoss(2))
    params = {**PARAMS, **native(problem)}
    models = []
    for _ in range(2):
        log = {}
        models.append(
            xgb.train(params, train, 30, obj=objective, custom_metric=metric, evals=[(valid, "v")],
                      evals_result=log, verbose_eval=False, early_stopping_rounds=5)
        )  # fmt: skip
        values = log["v"]["posterior_log_loss"]
        assert np.argmin(values) == models[-1].best_iteration
    np.testing.assert_array_equal(*[m.predict(valid) for m in models])
    history = xgb.cv(
        params, train, 5, nfold=3, obj=objective, custom_metric=metric, as_pandas=False
    )
    again = xgb.cv(params, train, 5, nfold=3, obj=objective, custom_metric=metric, as_pandas=False)
    assert history == again
    for weight in (None, np.random.default_rng(0).random(len(problem.y))):
        classifier = xgb.XGBClassifier(
            n_estimators=20, objective=objective, eval_metric=metric, early_stopping_rounds=5
        ).fit(problem.X, problem.y, sample_weight=weight, verbose=False,
              eval_set=[(problem.X_valid, problem.y_valid)])  # fmt: skip
        values = classifier.evals_result()["validation_0"]["posterior_log_loss"]
        assert np.argmin(values) == classifier.best_iteration


def test_folds_do_not_share_memory(binary):
    """A fold of cv is the training on that fold alone, GHM's moving average included."""
    train, _ = data(binary)
    rows = np.arange(len(binary.y))
    folds = [(rows[rows % 2 == k], rows[rows % 2 != k]) for k in range(2)]
    params = {**PARAMS, **native(binary), "base_score": 0.3, "eval_metric": "logloss"}
    together = xgb.cv(params, train, 8, folds=folds, obj=bl.ghm_obj(momentum=0.9), as_pandas=False)
    alone = []
    for inside, outside in folds:
        log = {}
        xgb.train(params, train.slice(inside), 8, obj=bl.ghm_obj(momentum=0.9), verbose_eval=False,
                  evals=[(train.slice(outside), "test")], evals_result=log)  # fmt: skip
        alone.append(log["test"]["logloss"])
    np.testing.assert_allclose(together["test-logloss-mean"], np.mean(alone, axis=0), rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES[:3], ids=repr)
def test_cv(problem, loss):
    history = bx.cv(PARAMS, data(problem)[0], 20, loss=loss, nfold=3, as_pandas=False, seed=1)
    values = history["test-posterior_log_loss-mean"]
    assert len(values) == 20
    assert values[-1] < values[0]


def test_continuation(binary):
    train, valid = data(binary)
    loss = bl.FocalLoss(2.0)
    first = bx.train(PARAMS, train, 10, loss=loss)
    both = bx.train(PARAMS, train, 10, loss=loss, xgb_model=first)
    whole = bx.train(PARAMS, train, 20, loss=loss)
    np.testing.assert_allclose(both.predict(valid), whole.predict(valid), atol=1e-6)


def test_bad_input(binary):
    train, _ = data(binary)
    with pytest.raises(ValueError, match="objective"):
        bx.train({"objective": "reg:squarederror"}, train, loss=bl.FocalLoss())
    with pytest.raises(TypeError, match="loss"):
        bx.train({}, train, loss=3)
    with pytest.raises(ValueError, match="loss must be a boostloss loss such as"):
        bx.train({}, train, loss="focall")
    with pytest.raises(ValueError, match="labels"):
        bx.train({}, xgb.DMatrix(binary.X), loss=bl.FocalLoss())


MOVED = {
    "dart": {"booster": "dart", "rate_drop": 0.5},
    "one_drop": {"booster": "dart", "one_drop": True},
    "forest": {"num_parallel_tree": 5, "subsample": 0.5, "eta": 1.0},
}


@pytest.mark.filterwarnings("ignore:.*booster=dart")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", MOVED)
def test_cross_entropy_of_trees_that_move_the_mean_ends_with_the_class_shares(kind, n_classes):
    X, y = make_classification(
        1500, 8, n_informative=5, n_classes=n_classes, flip_y=0.05, random_state=0
    )
    params = {"nthread": 1, "seed": 0, **MOVED[kind]}
    rounds = 1 if kind == "forest" else 20
    shares = np.bincount(y) / len(y)
    booster = bx.train(params, xgb.DMatrix(X, y), rounds, loss="cross_entropy")
    p = bx.predict_proba(booster, X)
    np.testing.assert_allclose(p.mean(axis=0), shares, rtol=1e-6)
    model = bl.ImbalancedXGBClassifier(
        n_estimators=rounds, n_jobs=1, random_state=0, **MOVED[kind]
    )
    np.testing.assert_allclose(model.fit(X, y).predict_proba(X), p, atol=2e-6)
