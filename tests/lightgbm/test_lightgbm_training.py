import pickle
import subprocess
import sys

import lightgbm as lgb
import numpy as np
import pytest

import boostloss as bl
import boostloss.lightgbm as bg

PARAMS = {"num_leaves": 15, "verbose": -1, "num_threads": 2, "learning_rate": 0.1}
LOSSES = [
    bl.CrossEntropy(class_weight="balanced"),
    bl.FocalLoss(2.0),
    bl.GHMLoss(momentum=0.9),
    bl.GHMLoss(density="bins", momentum=0.9),
    bl.GHMLoss(density="window", strength=0.5),
]


def native(problem):
    if problem.n_classes == 2:
        return {"objective": "binary"}
    return {"objective": "multiclass", "num_class": problem.n_classes}


def data(problem):
    train = lgb.Dataset(problem.X, problem.y)
    return train, lgb.Dataset(problem.X_valid, problem.y_valid, reference=train)


@pytest.mark.parametrize("loss", [bl.CrossEntropy(), bl.FocalLoss(0.0)], ids=repr)
def test_equals_the_built_in(problem, loss):
    params = PARAMS
    train, _ = data(problem)
    theirs = lgb.train({**params, **native(problem)}, data(problem)[0], 50)
    for _ in range(2):  # the data set is left as it was
        ours = bg.train(params, train, 50, loss=loss)
        np.testing.assert_allclose(
            ours.predict(problem.X_valid), theirs.predict(problem.X_valid), rtol=0, atol=1e-9
        )


def test_classifier_uses_the_engines_hessian(problem):
    """The wrapper hands over bare arrays; the softmax factor must still be LightGBM's."""
    arguments = {"n_estimators": 20, "verbose": -1}
    objective = bl.objective(bl.CrossEntropy())
    ours = lgb.LGBMClassifier(objective=objective, **arguments).fit(problem.X, problem.y)
    zero = np.zeros((len(problem.y), problem.n_classes)[: 1 if problem.n_classes == 2 else 2])
    theirs = lgb.LGBMClassifier(**arguments).fit(problem.X, problem.y, init_score=zero)
    np.testing.assert_allclose(
        ours.booster_.predict(problem.X, raw_score=True),
        theirs.booster_.predict(problem.X, raw_score=True),
        atol=1e-9,
    )


def test_intercept_survives_dart(problem):
    """Built-in dart drops its intercept with the first tree; ours is added when all is done."""
    train, valid = data(problem)
    log, loss = {}, bl.FocalLoss(2.0)
    params = {**PARAMS, "boosting": "dart", "drop_rate": 0.5}
    booster = bg.train(params, train, 30, loss=loss, valid_sets=[valid],
                       callbacks=[lgb.record_evaluation(log)])  # fmt: skip
    raw = booster.predict(problem.X_valid, raw_score=True)
    value = bl.posterior_log_loss(loss)(problem.y_valid, raw)
    assert value == pytest.approx(log["valid_0"]["posterior_log_loss"][-1], rel=1e-9)


DART = {**PARAMS, "boosting": "dart", "drop_rate": 0.3, "num_threads": 1, "force_row_wise": True}


def test_dart_drops_the_same_trees_each_time(binary):
    """LightGBM itself reads a variable that nobody set: its own callables give two models."""

    def trained(loss):
        return bg.train(DART, data(binary)[0], 20, loss=loss)

    def raw(booster):
        return booster.predict(binary.X_valid, raw_score=True)

    first = raw(trained(bl.FocalLoss(2.0)))
    for i in range(8):
        other = [bl.CrossEntropy(), bl.GHMLoss(), bl.CrossEntropy(class_weight="balanced")][i % 3]
        trained(other)  # leaves other memory behind
        np.testing.assert_array_equal(raw(trained(bl.FocalLoss(2.0))), first)
    kept = {name: value for name, value in DART.items() if name not in ("boosting", "verbose")}
    model = bg.ImbalancedLGBMClassifier(
        loss="focal", boosting_type="dart", n_estimators=20, verbose=-1, **kept
    )
    model.fit(binary.X, binary.y)
    np.testing.assert_array_equal(model.raw_score(binary.X_valid), first)


MOVING = {
    "dart": {"boosting": "dart", "drop_rate": 0.5},
    "forest": {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
    "bagging by class": {"neg_bagging_fraction": 0.2, "bagging_freq": 1},
}


@pytest.mark.parametrize("balanced", [None, "balanced"])
@pytest.mark.parametrize("kind", MOVING)
def test_cross_entropy_has_an_offset_where_training_moves_the_shares(binary, kind, balanced):
    loss, params = bl.CrossEntropy(class_weight=balanced), {**PARAMS, **MOVING[kind]}
    booster = bg.train(params, data(binary)[0], 15, loss=loss)
    share = binary.y.mean()
    assert abs(booster.predict(binary.X).mean() / share - 1) > 0.05
    p = bg.predict_proba(booster, binary.X)[:, 1]
    assert p.mean() == pytest.approx(share, rel=1e-6)
    model = bg.ImbalancedLGBMClassifier(loss=loss, n_estimators=15, **params)
    found = model.fit(binary.X, binary.y).predict_proba(binary.X)[:, 1]
    np.testing.assert_allclose(found, p, rtol=1e-6)
    calibrated = bg.train(params, data(binary)[0], 15, loss=loss, calibrated=True)
    np.testing.assert_allclose(calibrated.predict(binary.X), p, rtol=1e-6)


def test_a_forest_that_stops_early_is_fitted_to_the_mean_of_its_trees(binary):
    params = {**PARAMS, **MOVING["forest"]}
    model = bg.ImbalancedLGBMClassifier(
        loss="balanced", n_estimators=60, early_stopping_round=3, **params
    )
    model.fit(binary.X, binary.y, eval_set=[(binary.X_valid, binary.y_valid)])
    assert model.best_iteration_ < 60
    p = model.predict_proba(binary.X)[:, 1]
    assert p.mean() == pytest.approx(binary.y.mean(), rel=1e-6)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("loss", [*LOSSES[:3], bl.AsymmetricLoss()], ids=repr)
def test_dart_ends_with_the_class_shares(problem, loss, start):
    if problem.n_classes > 2 and loss.binary_only:
        pytest.skip("a loss for two classes")
    rng = np.random.default_rng(0)
    wide = 1 if problem.n_classes == 2 else problem.n_classes
    init = rng.normal(size=(len(problem.y), wide)) if start else np.zeros((len(problem.y), wide))
    train = lgb.Dataset(problem.X, problem.y, init_score=init.ravel(order="F") if start else None)
    booster = bg.train(DART, train, 15, loss=loss)
    raw = booster.predict(problem.X, raw_score=True)
    raw = raw + (init[:, 0] if wide == 1 else init)
    fitted = bg.model.carried(booster).loss
    p = fitted.posterior(raw)
    mean = np.array([1 - p.mean(), p.mean()]) if p.ndim == 1 else p.mean(axis=0)
    share = np.bincount(problem.y.astype(int)) / len(problem.y)
    np.testing.assert_allclose(mean, share, rtol=1e-6)
    again = fitted.loss.fit(problem.y, raw)
    np.testing.assert_allclose(again.posterior(raw), p, rtol=1e-6)


def test_float_class_weight_is_scale_pos_weight(binary):
    params = {**PARAMS, "boost_from_average": False}
    theirs = lgb.train({**params, **native(binary), "scale_pos_weight": 7.0}, data(binary)[0], 50)
    start = lgb.Dataset(binary.X, binary.y, init_score=np.zeros(len(binary.y)))
    ours = bg.train(params, start, 50, loss=bl.CrossEntropy(class_weight=7.0))
    np.testing.assert_allclose(ours.predict(binary.X), theirs.predict(binary.X), atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_model_is_native(problem, loss, tmp_path):
    train, valid = data(problem)
    stop = lgb.early_stopping(10, verbose=False)
    booster = bg.train(PARAMS, train, 200, loss=loss, valid_sets=[valid], callbacks=[stop])
    again = bg.train(PARAMS, train, 200, loss=loss, valid_sets=[valid], callbacks=[stop])
    p = booster.predict(problem.X_valid)
    np.testing.assert_array_equal(p, again.predict(problem.X_valid))
    assert 1 < booster.best_iteration < 199
    raw = booster.predict(problem.X_valid, raw_score=True)
    want = 1 / (1 + np.exp(-raw)) if raw.ndim == 1 else np.exp(raw) / np.exp(raw).sum(1)[:, None]
    np.testing.assert_allclose(p, want, atol=1e-12)
    metric = bl.posterior_log_loss(loss.fit(problem.y).loss)(problem.y_valid, raw)
    best = booster.best_score["valid_0"]["posterior_log_loss"]
    assert metric == pytest.approx(best, rel=1e-6)  # early stopping saw what predict gives
    contributions = booster.predict(problem.X_valid, pred_contrib=True)
    contributions = contributions.reshape(*raw.shape, -1).sum(-1)
    np.testing.assert_allclose(contributions, raw, atol=1e-9)
    booster.save_model(tmp_path / "m.txt")
    np.save(tmp_path / "x.npy", problem.X_valid)
    code = (
        "import sys, numpy as np, lightgbm as lgb;"
        "b = lgb.Booster(model_file='m.txt');"
        "np.save('p.npy', b.predict(np.load('x.npy')));"
        "assert 'boostloss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), p, rtol=0, atol=1e-12)


# LightGBM's own class, called in the way of its old versions too
@pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
@pytest.mark.parametrize("objective", [bl.balanced_ce_obj(), bl.focal_obj(2), bl.ghm_obj(momentum=0.9)],
                         ids=repr)  # fmt: skip
def test_one_callable_in_three_places(problem, objective):
    train, valid = data(problem)
    assert pickle.loads(pickle.dumps(objective)) == objective
    metric = bl.posterior_log_loss(bl.FocalLoss(2))
    params = {**PARAMS, **native(problem), "objective": objective, "metric": "None"}
    models = []
    for _ in range(2):
        log = {}
        calls = [lgb.early_stopping(5, verbose=False), lgb.record_evaluation(log)]
        models.append(
            lgb.train(params, train, 30, valid_sets=[valid], feval=metric, callbacks=calls)
        )
        values = log["valid_0"]["posterior_log_loss"]
        assert np.argmin(values) == models[-1].best_iteration - 1
    np.testing.assert_array_equal(*[m.predict(problem.X) for m in models])
    histories = [lgb.cv(params, data(problem)[0], 5, nfold=3, feval=metric) for _ in range(2)]
    assert histories[0] == histories[1]
    for weight in (None, np.random.default_rng(0).random(len(problem.y))):
        classifier = lgb.LGBMClassifier(n_estimators=20, objective=objective, verbose=-1).fit(
            problem.X, problem.y, sample_weight=weight, eval_metric=metric,
            eval_set=[(problem.X_valid, problem.y_valid)],
            callbacks=[lgb.early_stopping(5, verbose=False, first_metric_only=False)],
        )  # fmt: skip
        assert "posterior_log_loss" in classifier.best_score_["valid_0"]


@pytest.mark.parametrize("loss", LOSSES[:3], ids=repr)
def test_cv(problem, loss):
    history = bg.cv(PARAMS, data(problem)[0], 20, loss=loss, nfold=3, return_cvbooster=True)
    values = history["valid posterior_log_loss-mean"]
    assert len(values) == 20
    assert values[-1] < values[0]
    for booster in history["cvbooster"].boosters:
        p = booster.predict(problem.X_valid)
        assert p.min() >= 0
        assert p.max() <= 1


def test_bad_input(binary):
    train, _ = data(binary)
    with pytest.raises(ValueError, match="linear_tree"):
        bg.train({**PARAMS, "linear_tree": True}, train, loss=bl.FocalLoss())
    with pytest.raises(ValueError, match="keep_training_booster"):
        bg.train(PARAMS, train, loss=bl.FocalLoss(), keep_training_booster=True)
    with pytest.raises(ValueError, match="objective"):
        bg.train({"objective": "regression"}, train, loss=bl.FocalLoss())
    with pytest.raises(TypeError, match="loss"):
        bg.train({}, train, loss=3)
    with pytest.raises(ValueError, match="loss must be a boostloss loss such as"):
        bg.train({}, train, loss="focall")
