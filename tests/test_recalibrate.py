"""What the classifiers' fitted state says of probabilities: offset, recalibration, files."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from boostloss import (
    AsymmetricLoss,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)
from boostloss.hist import ImbalancedHistGradientBoostingClassifier

QUIET = {"n_jobs": 1, "verbose": -1, "min_child_weight": 1.0}
KINDS = {
    "xgboost": lambda **given: ImbalancedXGBClassifier(
        **{"n_jobs": 1, "n_estimators": 12, **given}
    ),
    "lightgbm": lambda **given: ImbalancedLGBMClassifier(**QUIET, **{"n_estimators": 12, **given}),
    "hist": lambda **given: ImbalancedHistGradientBoostingClassifier(
        **{"max_iter": 12, "early_stopping": False, **given}
    ),
}
WEIGHTED = [
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2),
    GHMLoss(),
    AsymmetricLoss(),
]


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def data(n_classes=2, n=3000, seed=0):
    share = [0.96, 0.04] if n_classes == 2 else [0.85, 0.1, 0.05]
    X, codes = make_classification(
        n, 8, n_informative=5, n_classes=n_classes, weights=share, flip_y=0.02, random_state=seed
    )
    return X, np.array(["a", "b", "c"])[codes]


def mean_over_share(model, X, y, weight=None):
    share = [np.average(y == label, weights=weight) for label in model.classes_]
    return np.average(model.predict_proba(X), axis=0, weights=weight) / share


@pytest.mark.parametrize("loss", WEIGHTED, ids=repr)
def test_mean_probability_over_the_training_rows_is_the_share(make, loss):
    weight = np.random.default_rng(0).exponential(size=3000)
    for n_classes in (2,) if loss.binary_only else (2, 3):
        X, y = data(n_classes)
        y = (y == "b").astype(int) if n_classes == 2 else y  # of which 1 is the positive class
        for sample_weight in (None, weight):
            model = make(loss=loss).fit(X, y, sample_weight=sample_weight)
            assert mean_over_share(model, X, y, sample_weight) == pytest.approx(1.0, rel=1e-6)


def test_cross_entropy_has_no_offset(make):
    X, y = data()
    model = make(loss="cross_entropy").fit(X, y)
    assert not model.loss_.offset.any()


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_at_the_best_iteration(engine):
    X, y = data()
    kept, stop = slice(0, 2000), slice(2000, 3000)
    model = KINDS[engine](loss="balanced", n_estimators=300, learning_rate=0.3)
    if engine == "xgboost":
        model.set_params(early_stopping_rounds=5)
        model.fit(X[kept], y[kept], eval_set=[(X[stop], y[stop])], verbose=False)
        assert model.best_iteration < 280
    else:
        import lightgbm as lgb

        stopping = {"eval_X": X[stop], "eval_y": y[stop]}
        model.fit(X[kept], y[kept], callbacks=[lgb.early_stopping(5, verbose=False)], **stopping)
        assert model.best_iteration_ < 280
    assert mean_over_share(model, X[kept], y[kept]) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_start_of_the_users(engine):
    X, y = data()
    start = np.random.default_rng(0).normal(-2, 1, len(y))
    name = "base_margin" if engine == "xgboost" else "init_score"
    model = KINDS[engine](loss="focal").fit(X, y, **{name: start})
    if engine == "xgboost":
        p = model.predict_proba(X, base_margin=start)
    else:
        p = model.loss_.posterior(model.raw_score(X) + start)[:, None]
    assert p[:, -1].mean() == pytest.approx((y == "b").mean(), rel=1e-6)


# -- recalibration ----------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_recalibrate(make, n_classes, loss, tmp_path):
    X, y = data(n_classes, 6000)
    model = make(loss=loss, learning_rate=0.5).fit(X[:2000], y[:2000])  # overfitted: too steep
    held, rest = slice(2000, 4000), slice(4000, 6000)
    before, decisions = model.predict_proba(X[rest]), model.predict(X[rest])
    assert model.recalibrate(X[held], y[held]) is model
    after = model.predict_proba(X[rest])
    assert log_loss(y[rest], after) < log_loss(y[rest], before)
    assert model.loss_.slope < 0.95
    assert mean_over_share(model, X[held], y[held]) == pytest.approx(1.0, rel=1e-6)
    if loss != "balanced":  # whose raw scores decide
        decisions = model.classes_[after.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(X[rest]), decisions)
    if not isinstance(model, ImbalancedHistGradientBoostingClassifier):
        path = tmp_path / ("m.json" if isinstance(model, ImbalancedXGBClassifier) else "m.txt")
        model.save_model(path)
        again = make()
        again.load_model(path)
        np.testing.assert_array_equal(again.predict_proba(X[rest]), after)
        assert again.loss_ == model.loss_
    refitted = model.fit(X[:2000], y[:2000])
    assert refitted.loss_.slope == 1.0


def test_recalibrate_with_weights(make):
    X, y = data()
    weight = np.where(y == "b", 10.0, 1.0)
    model = make().fit(X[:1500], y[:1500]).recalibrate(X[1500:], y[1500:], weight[1500:])
    assert mean_over_share(model, X[1500:], y[1500:], weight[1500:]) == pytest.approx(1.0, rel=1e-6)
    repeated = np.repeat(np.arange(1500, 3000), weight[1500:].astype(int))
    other = make().fit(X[:1500], y[:1500]).recalibrate(X[repeated], y[repeated])
    np.testing.assert_allclose(other.predict_proba(X), model.predict_proba(X), atol=1e-7)


def test_rows_that_do_not_recalibrate(make):
    X, y = data()
    model = make().fit(X, y)
    with pytest.raises(ValueError, match="never seen"):
        model.recalibrate(X[:2], ["a", "z"])
    with pytest.raises(ValueError, match=r"rows of each class, \['a', 'b'\].* got none of \['b'\]"):
        model.recalibrate(X[:2], ["a", "a"])
    with pytest.raises(ValueError, match="as many rows"):
        model.recalibrate(X[:9], y[:8])
    with pytest.raises(ValueError, match="sample_weight"):
        model.recalibrate(X, y, -np.ones(len(y)))
    before = model.loss_
    with pytest.raises(ValueError, match="chance"):
        model.recalibrate(X, np.where(y == "a", "b", "a"))
    assert model.loss_ is before
    with pytest.raises(ValueError, match="probability"):
        model.set_params(probability="link").recalibrate(X, y)


def test_anything_freer_is_scikit_learns(make):
    X, y = data()
    model = make(loss="focal").fit(X[:1500], y[:1500])
    free = CalibratedClassifierCV(FrozenEstimator(model), method="isotonic", ensemble=False)
    p = free.fit(X[1500:], y[1500:]).predict_proba(X)
    assert p.shape == (3000, 2)
