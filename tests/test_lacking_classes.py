"""A training set, a fold or a set to evaluate that lacks a class; parameters in other forms."""

import warnings

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from scipy.special import expit

import boostloss
import boostloss.lightgbm as bg
import boostloss.xgboost as bx
from boostloss import (
    AsymmetricLoss,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    Recorder,
    balanced_ce_metric,
    focal_metric,
    ghm_metric,
    posterior_log_loss,
)
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.losses import LossName, names
from boostloss.xgboost import ImbalancedXGBClassifier

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
SIDE = (X[:, 0] > 0).astype(int)
QUIET = {"verbose": -1, "num_threads": 1}
XGBOOST = tuple(int(part) for part in xgb.__version__.split(".")[:2])
LACKING = {
    "no positives": (np.zeros(N), None),
    "no negatives": (np.ones(N), None),
    "no 1 of 3": (2 * SIDE, 3),
    "no 2 of 3": (SIDE, 3),
    "only 1 of 3": (np.ones(N), 3),
}
LOSSES = {
    "cross-entropy": CrossEntropy(),
    "balanced": CrossEntropy(class_weight="balanced"),
    "effective": FocalLoss(class_weight="effective"),
    "focal": FocalLoss(2.0),
    "GHM": GHMLoss(),
    "GHM by bins": GHMLoss(density="bins"),
    "asymmetric": AsymmetricLoss(),
}


def scores(engine, y, n_classes, loss, own=False):
    params = {} if n_classes is None else {"num_class": n_classes}
    if engine == "xgboost":
        data = xgb.DMatrix(X, y)
        name = "binary:logistic" if n_classes is None else "multi:softprob"
        booster = (
            xgb.train({**params, "objective": name}, data, 3)
            if own
            else bx.train(params, data, 3, loss=loss)
        )
        return booster.predict(data, output_margin=True)
    name = "binary" if n_classes is None else "multiclass"
    data, params = lgb.Dataset(X, y), {**params, **QUIET}
    booster = (
        lgb.train({**params, "objective": name}, data, 3)
        if own
        else bg.train(params, data, 3, loss=loss)
    )
    return booster.predict(X, raw_score=True)


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("lack", LACKING)
@pytest.mark.parametrize("name", LOSSES)
def test_a_training_set_trains_where_the_engine_does(engine, lack, name):
    y, n_classes = LACKING[lack]
    if name == "asymmetric" and n_classes:
        pytest.skip("of two classes")
    raw = scores(engine, y, n_classes, LOSSES[name])
    assert np.isfinite(raw).all()
    # before 3.2 XGBoost started elsewhere, from a half or from the shares themselves
    if name == "cross-entropy" and (engine == "lightgbm" or XGBOOST >= (3, 2)):
        own = scores(engine, y, n_classes, None, own=True)
        np.testing.assert_allclose(raw, own, atol=1e-5)
    if raw.ndim == 2:  # who has no rows is nobody's class
        absent = sorted(set(range(n_classes)) - set(y.astype(int)))
        assert not np.isin(raw.argmax(axis=1), absent).any()
    else:
        assert ((raw > 0) == y).all() or name.startswith("GHM by")


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("codes", [(1, 2), (0, 2), (2, 3), (0, 50)])
def test_classes_that_only_labels_count_have_rows(engine, codes):
    y = np.array(codes)[SIDE]
    with pytest.raises(ValueError, match=r"0 to K-1, each with rows .*num_class.*got \d"):
        scores(engine, y, None, FocalLoss())
    assert scores(engine, y, 51, FocalLoss()).shape == (N, 51)


def test_a_call_that_cannot_be_right():
    data = xgb.DMatrix(X, SIDE)
    with pytest.raises(TypeError, match=r"dtrain must be an xgboost\.DMatrix, got ndarray"):
        bx.train({}, X, 3, loss="focal")
    with pytest.raises(TypeError, match="obj must be left out: loss takes its place"):
        bx.cv({}, data, 3, loss="focal", obj=boostloss.focal_obj())
    for call in (lambda: bx.train({}, data, 3, loss=FocalLoss),
                 lambda: ImbalancedXGBClassifier(loss=FocalLoss).fit(X, SIDE),
                 lambda: bg.train(QUIET, lgb.Dataset(X, SIDE), 3, loss=FocalLoss),
                 lambda: boostloss.metric(FocalLoss)):  # fmt: skip
        with pytest.raises(TypeError, match=r"loss must be .* got the class FocalLoss"):
            call()
    several = {"objective": "multi:softprob", "num_class": 3}
    for call in (lambda: boostloss.focal_obj()(np.array([0, 1, 2]), np.zeros(3)),
                 lambda: FocalLoss().value(np.array([0, 1, 2]), np.zeros(3))):  # fmt: skip
        with pytest.raises(ValueError, match=r"y must contain 0 or 1, got 2; more classes need .*num_c"):
            call()
    y = np.arange(N) % 3
    assert xgb.train(several, xgb.DMatrix(X, y), 2, obj=boostloss.focal_obj()) is not None
    with pytest.raises(TypeError, match=r"y must contain numbers.*makes codes"):
        FocalLoss().value(np.array(["a", "b"]), np.zeros(2))


@pytest.mark.parametrize("name", LOSSES)
def test_a_fold_that_lacks_a_class(name):
    folds = [(np.arange(100, N), np.arange(100)), (np.arange(100), np.arange(100, N))]
    for first, n_classes in ((1, None), (2, 3)):
        if name == "asymmetric" and n_classes:
            continue
        y = np.zeros(N) if n_classes is None else np.arange(N) % 2
        y[:20] = first  # the second fold's training rows alone have it
        params = {} if n_classes is None else {"num_class": n_classes}
        table = bx.cv(params, xgb.DMatrix(X, y), 2, loss=LOSSES[name], folds=folds)
        assert len(table) == 2
        assert np.isfinite(table).to_numpy().all()
        curves = bg.cv({**params, **QUIET}, lgb.Dataset(X, y), 2, loss=LOSSES[name], folds=folds)
        assert all(np.isfinite(curve).all() for curve in curves.values())


@pytest.mark.parametrize(
    "metric",
    [
        balanced_ce_metric(),
        focal_metric(class_weight="effective"),
        ghm_metric(class_weight="balanced"),
        posterior_log_loss(CrossEntropy(class_weight="balanced")),
    ],
    ids=str,
)
def test_metrics_of_a_set_without_a_class(metric):
    raw = np.linspace(-1, 1, 20)
    without = [metric(np.full(20, label), raw) for label in (0, 1)]
    assert without[0] == pytest.approx(without[1])  # the scores are symmetric
    assert np.isfinite(metric(np.zeros(20), RNG.normal(size=(20, 3))))
    if metric.loss == CrossEntropy(class_weight="balanced"):
        # the classes that are there have the same total weight, here the only one has 1
        assert without[0] == pytest.approx(np.logaddexp(0, raw).mean())


def test_metrics_of_the_engines_own_training_without_a_class():
    log = {}
    valid = xgb.DMatrix(X, np.zeros(N))
    xgb.train({"objective": "binary:logistic"}, xgb.DMatrix(X, SIDE), 2, custom_metric=balanced_ce_metric(),
              evals=[(valid, "v")], evals_result=log, verbose_eval=False, obj=boostloss.balanced_ce_obj())  # fmt: skip
    assert np.isfinite(log["v"]["cross_entropy_loss"]).all()


# -- parameters in other forms --------------------------------------------------------------


def test_xgboosts_parameters_as_pairs():
    data = xgb.DMatrix(X, SIDE)
    pairs = [("eta", 0.1), ("max_depth", 2), ("eval_metric", "auc"), ("eval_metric", "error")]
    mapping = {"eta": 0.1, "max_depth": 2, "eval_metric": ["auc", "error"]}
    logs, boosters = [], []
    for params in (pairs, mapping):
        log = {}
        keywords = {"evals": [(data, "train")], "evals_result": log, "verbose_eval": False}
        before = list(params) if params is pairs else dict(params)
        boosters.append(bx.train(params, data, 3, loss=CrossEntropy(), **keywords))
        assert params == before
        logs.append(log)
    assert logs[0] == logs[1]
    assert list(logs[0]["train"]) == ["auc", "error"]
    np.testing.assert_array_equal(*(b.predict(data) for b in boosters))
    tables = [bx.cv(params, data, 3, loss=CrossEntropy(), seed=0) for params in (pairs, mapping)]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("name", names())
def test_a_loss_by_name(name):
    data = xgb.DMatrix(X, SIDE)
    loss = boostloss.losses.named(name)
    np.testing.assert_array_equal(
        bx.train({}, data, 2, loss=name).predict(data),
        bx.train({}, data, 2, loss=loss).predict(data),
    )
    boosters = [bg.train(QUIET, lgb.Dataset(X, SIDE), 2, loss=one) for one in (name, loss)]
    np.testing.assert_array_equal(*(b.predict(X) for b in boosters))
    assert len(bx.cv({}, data, 2, loss=name)) == 2
    assert bg.cv(QUIET, lgb.Dataset(X, SIDE), 2, loss=name)


def test_type_checkers_know_the_names():
    assert set(LossName.__args__) == {*names()} & set(LossName.__args__)
    shipped = {"asymmetric", "balanced", "cross_entropy", "focal", "ghm"}
    assert set(LossName.__args__) == shipped
    assert shipped <= set(names())


# -- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ImbalancedXGBClassifier, ImbalancedLGBMClassifier])
def test_repr_shows_the_loss(kind):
    assert repr(kind()) == f"{kind.__name__}(loss='cross_entropy')"
    model = kind(loss=FocalLoss(3.0), n_estimators=7, probability="link")
    assert repr(model).startswith(f"{kind.__name__}(loss=FocalLoss(gamma=3.0), ")
    assert "n_estimators=7" in repr(model)
    assert "probability='link'" in repr(model)
    assert len(repr(kind(loss=GHMLoss(), feature_names=["a" * 999]))) <= 700


def test_everything_is_in_all():
    scope = {}
    exec("from boostloss import *", scope)
    wanted = {"ImbalancedXGBClassifier", "ImbalancedLGBMClassifier", "DaskImbalancedXGBClassifier"}
    assert wanted | {"compare", "FocalLoss"} <= set(scope)
    assert set(boostloss.__all__) <= set(dir(boostloss))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CrossEntropy(class_weight=-1), "class_weight must be a number greater than 0, got"),
        (lambda: CrossEntropy(class_weight=[1.0, 0.0]), "a number greater than 0, got 0"),
        (lambda: FocalLoss(alpha=0.0), "alpha must be a number greater than 0 and less than 1"),
        (lambda: Recorder(hard=0), "hard must be a number greater than 0 and less than 1"),
        (lambda: ImbalancedXGBClassifier(scale_pos_weight=0).fit(X, SIDE), "greater than 0, got 0"),
        (lambda: boostloss.compare(X, SIDE, learning_rate=0), "learning_rate must be a number greater than 0"),
    ],
)  # fmt: skip
def test_intervals_in_words(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_soft_labels_of_the_engines_sets():
    soft = np.where(SIDE, 0.9, 0.1)
    with pytest.raises(ValueError, match=r"got 0\.\d; to fit soft labels, pass"):
        bx.train({}, xgb.DMatrix(X, soft), loss="focal")
    with pytest.raises(ValueError, match=r"got 0\.\d; to fit soft labels, pass"):
        bg.train(QUIET, lgb.Dataset(X, soft), loss="focal")
    with pytest.raises(ValueError, match="convert one-hot columns by argmax"):
        FocalLoss().value(np.eye(2)[SIDE], X[:, 0])


# -- LightGBM's least Hessian ------------------------------------------------------------------


def rare(n, n_positive):
    y = np.zeros(n)
    y[:n_positive] = 1
    return np.random.default_rng(0).normal(size=(n, 3)), y


def warned(do):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        do()
    return [str(w.message) for w in caught if "LightGBM's default" in str(w.message)]


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm", "asymmetric"])
def test_few_rows_and_lightgbms_least_hessian(loss):
    rows, y = rare(4000, 10)
    for do, name in (
        (lambda **p: bg.train({**QUIET, **p}, lgb.Dataset(rows, y), 1, loss=loss), "min_sum_hessian_in_leaf"),
        (lambda **p: bg.cv({**QUIET, **p}, lgb.Dataset(rows, y), 1, loss=loss, nfold=2), "min_sum_hessian_in_leaf"),
        (
            lambda **p: ImbalancedLGBMClassifier(loss=loss, n_estimators=1, n_jobs=1, verbose=-1, **p).fit(rows, y),
            "min_child_weight",
        ),
    ):  # fmt: skip
        (message,) = warned(do)  # once
        assert message.startswith(f"{name} is LightGBM's default, 0.001")
        assert "10 rows of class 1 among 4000" in message
        assert not warned(lambda do=do, name=name: do(**{name: 1.0}))


@pytest.mark.parametrize(("n", "n_positive"), [(500, 30), (1000, 50), (2000, 200), (20_000, 200)])
@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm"])
def test_ordinary_data_are_no_reason_to_warn(n, n_positive, loss):
    rows, y = rare(n, n_positive)
    assert not warned(lambda: bg.train(QUIET, lgb.Dataset(rows, y), 1, loss=loss))
    tiny = lgb.Dataset(*rare(4000, 10), weight=np.full(4000, 1e-6))
    assert not warned(lambda: bg.train(QUIET, tiny, 1, loss=loss))


def test_what_is_warned_of():
    """The default ruins a ranking that a least Hessian of 1 keeps."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40_000, 4))
    y = np.zeros(40_000)
    y[np.argsort(-(rows[:, 0] + rng.logistic(size=40_000) * 0.5))[:40]] = 1
    order = rng.permutation(40_000)
    train, test = order[:20_000], order[20_000:]

    def auc(least):
        params = {**QUIET, "min_sum_hessian_in_leaf": least}
        booster = bg.train(params, lgb.Dataset(rows[train], y[train]), 40, loss="cross_entropy")
        p = booster.predict(rows[test])
        return np.mean(p[y[test] == 1][:, None] > p[y[test] == 0])

    assert auc(1.0) > auc(1e-3) + 0.1


# -- SHAP's probabilities ------------------------------------------------------------------------


def test_shap_explains_the_link_not_the_posterior():
    """``model_output="probability"`` is of sigma(raw), which is no probability of the class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's, when shap is imported
        shap = pytest.importorskip("shap")
    model = ImbalancedXGBClassifier(loss=FocalLoss(2.0), n_estimators=5, n_jobs=1).fit(X, SIDE)
    try:
        explainer = shap.TreeExplainer(model.get_booster(), X[:50], model_output="probability")
    except ValueError as error:
        pytest.skip(f"this SHAP does not read this XGBoost: {error}")
    total = explainer.shap_values(X[:10]).sum(axis=1) + explainer.expected_value
    np.testing.assert_allclose(total, expit(model.raw_score(X[:10])), atol=1e-4)
    assert np.abs(total - model.predict_proba(X[:10])[:, 1]).max() > 0.02
