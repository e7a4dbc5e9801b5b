"""What LightGBM's classifier alone has: metrics and evaluation sets, parameters, constant models."""

import warnings

import lightgbm as lgb
import numpy as np
import pytest
from fitting import OLD_WAY, best_round, fit_with_stopping, sets
from sklearn.base import clone
from sklearn.metrics import log_loss

import boostloss.lightgbm
from boostloss import CrossEntropy, FocalLoss
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.losses import FittedLoss


def test_metrics_of_what_predict_proba_gives(problem):
    several = problem.n_classes > 2
    name = "multi_logloss" if several else "binary_logloss"
    model = ImbalancedLGBMClassifier(loss="focal", metric=["auc_mu" if several else "auc", "error"],
                                     n_estimators=10, verbose=-1)  # fmt: skip
    fit_with_stopping(model, *sets(problem), rounds=100, eval_metric="logloss")
    last, log = best_round(model), model.evals_result_["valid_0"]
    error = "multi_error" if several else "binary_error"
    assert set(log) == {name, error, "auc_mu" if several else "auc"}
    # what predict_proba gives, but for the offset that the training rows add at the end
    p = FittedLoss(model.loss_.loss).posterior(model.raw_score(problem.X_valid))
    p = p if several else np.column_stack([1 - p, p])
    assert log[name][last] == pytest.approx(log_loss(problem.y_valid, p), rel=1e-9)
    wrong = (p.argmax(axis=1) != problem.y_valid).mean()
    assert log[error][last] == pytest.approx(wrong)
    with pytest.raises(ValueError, match="eval_metric"):
        fit_with_stopping(model, *sets(problem), eval_metric="brier")


def test_bad_input(binary):
    X, y = binary.X, binary.y
    model = ImbalancedLGBMClassifier(loss="ghm", verbose=-1)
    for call, name in [
        (lambda: clone(model).set_params(linear_tree=True).fit(X, y), "linear_tree"),
        (lambda: clone(model).set_params(boosting_type="rf").fit(X, y), "boosting"),
        (lambda: clone(model).set_params(sigmoid=2.0).fit(X, y), "sigmoid"),
        (lambda: model.fit(X, y, eval_X=X), "eval_X and eval_y"),
        (lambda: model.fit(X, y, eval_X=X, eval_y=y, eval_set=[(X, y)]), "eval_set"),
        (lambda: model.fit(X, y, eval_X=(X,), eval_y=y), "eval_y"),
    ]:
        with pytest.raises(ValueError, match=name):
            call()


def test_without_a_feature_to_split(problem):
    """LightGBM itself stops here under a custom objective; a built-in one gives a constant."""
    X = np.ones((len(problem.y), 2))
    for loss in (
        CrossEntropy(),
        FocalLoss(2.0, class_weight=[3.0] + [1.0] * (problem.n_classes - 1)),
    ):
        model = ImbalancedLGBMClassifier(loss=loss, verbose=-1, early_stopping_round=3)
        fit_with_stopping(model, X, problem.y, X, problem.y)
        share = np.bincount(problem.y) / len(problem.y)
        np.testing.assert_allclose(model.predict_proba(X[:3]), np.tile(share, (3, 1)), atol=1e-7)
    booster = boostloss.lightgbm.train({"verbose": -1}, lgb.Dataset(X, problem.y), loss=loss)
    np.testing.assert_allclose(
        booster.predict(X[:3], raw_score=True), model.raw_score(X[:3])
    )


def test_parameters_by_their_other_names(binary):
    X, y = binary.X, binary.y
    quiet = {"verbose": -1, "n_estimators": 3}
    with pytest.raises(ValueError, match="application must be left out"):
        ImbalancedLGBMClassifier(application="binary", **quiet).fit(X, y)
    model = ImbalancedLGBMClassifier(loss="focal", is_unbalance="false", **quiet)
    assert model.fit(X, y).loss_.loss == FocalLoss(class_weight=[1.0, 1.0])
    model = ImbalancedLGBMClassifier(loss="ghm", metrics="auc", **quiet)
    fit_with_stopping(model, X, y, binary.X_valid, binary.y_valid)
    assert list(model.evals_result_["valid_0"]) == ["auc"]
    with pytest.raises(lgb.basic.LightGBMError):
        model.booster_.refit(X, y)  # the engine would refit another loss


def test_constant_without_an_average(binary):
    X = np.ones((len(binary.y), 2))
    model = ImbalancedLGBMClassifier(
        loss="ghm", boost_from_average=False, verbose=-1, n_iter_no_change=3
    )
    model.fit(X, binary.y, eval_X=X, eval_y=binary.y)
    np.testing.assert_array_equal(model.raw_score(X), 0.0)


@OLD_WAY
@pytest.mark.parametrize("as_lists", [False, True])
def test_knows_the_training_set(problem, as_lists):
    """It has LightGBM's name for it, and early stopping does not look at it."""
    X, y, kept = problem.X[:600], problem.y[:600], problem.X_valid
    X = X.tolist() if as_lists else X
    arguments = {"n_estimators": 150, "num_leaves": 31, "n_jobs": 1, "verbose": -1}
    fitting = {"eval_set": [(X, y), (kept, problem.y_valid)]}
    ours = ImbalancedLGBMClassifier(loss="cross_entropy", **arguments)
    theirs = lgb.LGBMClassifier(**arguments)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ours.fit(X, y, **fitting, callbacks=[lgb.early_stopping(5, verbose=False)])
    assert not [one for one in seen if "eval_set" in str(one.message)]
    if as_lists:  # LightGBM's own takes none
        X = np.array(X)
        fitting = {"eval_set": [(X, y), (kept, problem.y_valid)]}
    theirs.fit(X, y, **fitting, callbacks=[lgb.early_stopping(5, verbose=False)])
    assert list(ours.evals_result_) == list(theirs.evals_result_) == ["training", "valid_1"]
    assert ours.best_iteration_ == theirs.best_iteration_ < 150
    for name, curves in theirs.evals_result_.items():
        for metric, curve in curves.items():
            np.testing.assert_allclose(ours.evals_result_[name][metric], curve, atol=1e-6)


@OLD_WAY
def test_training_set_alone_or_beside_others(binary):
    X, y, other = binary.X, binary.y, (binary.X_valid, binary.y_valid)
    for eval_set in ([(X, y)], (X, y), [other, (X, y)], [other], [(X.copy(), y)]):
        ours = ImbalancedLGBMClassifier(loss="cross_entropy", n_estimators=3, verbose=-1)
        theirs = lgb.LGBMClassifier(n_estimators=3, verbose=-1)
        names = [list(model.fit(X, y, eval_set=eval_set).evals_result_) for model in (ours, theirs)]
        assert names[0] == names[1]


def test_number_of_classes(problem):
    """``num_class`` that fits the labels says what they say."""
    for name in ("num_class", "num_classes"):
        given = {name: problem.n_classes}
        model = ImbalancedLGBMClassifier(loss="cross_entropy", n_estimators=5, verbose=-1, **given)
        model.fit(problem.X, problem.y)
        theirs = lgb.LGBMClassifier(n_estimators=5, verbose=-1).fit(problem.X, problem.y)
        p = theirs.predict_proba(problem.X_valid)
        np.testing.assert_allclose(model.predict_proba(problem.X_valid), p, atol=1e-9)
        assert model.get_params()[name] == problem.n_classes
        with pytest.raises(ValueError, match=f"{name} must be left out: y contains"):
            model.set_params(**{name: 7}).fit(problem.X, problem.y)


@OLD_WAY
def test_none_among_metrics(binary):
    sets = {"eval_set": [(binary.X_valid, binary.y_valid)]}
    for metrics in ([None], [None, "auc"], ["auc", None]):
        ours = ImbalancedLGBMClassifier(loss="cross_entropy", n_estimators=3, verbose=-1)
        theirs = lgb.LGBMClassifier(n_estimators=3, verbose=-1)
        for model in (ours, theirs):
            model.fit(binary.X, binary.y, eval_metric=list(metrics), **sets)
        curves = [model.evals_result_["valid_0"] for model in (ours, theirs)]
        assert set(curves[0]) == set(curves[1])
        for name, curve in curves[1].items():
            np.testing.assert_allclose(curves[0][name], curve, atol=1e-9)


# -- the fitted engine ------------------------------------------------------------------


def test_parameters_that_are_read_after_fitting(binary):
    """Set or assigned, they count as in LightGBM's own class."""
    model = ImbalancedLGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(binary.X, binary.y)
    splits = model.feature_importances_
    model.importance_type = "gain"
    gains = model.booster_.feature_importance(importance_type="gain")
    np.testing.assert_array_equal(model.feature_importances_, gains)
    assert splits.sum() == model.booster_.feature_importance().sum()
    assert threads_in_prediction(model, binary.X) == 1
    model.n_jobs = 2
    assert threads_in_prediction(model, binary.X) == 2
    assert threads_in_prediction(model, binary.X, num_threads=3) == 3
    model.set_params(n_jobs=4, loss="focal", metric="auc", num_class=7)
    assert threads_in_prediction(model, binary.X) == 4
    raw = model.raw_score(binary.X)
    model.set_params(pred_early_stop=True, pred_early_stop_freq=1, pred_early_stop_margin=0.0)
    assert (model.raw_score(binary.X) != raw).any()


def threads_in_prediction(model, X, **keywords):
    booster, seen = model.booster_, {}
    predict = booster.predict
    booster.predict = lambda *a, **k: seen.update(k) or predict(*a, **k)
    try:
        model.predict(X, **keywords)
    finally:
        del booster.predict
    return seen["num_threads"]


def test_what_tools_read(problem):
    """Converters take the trees and the sizes from LightGBM's own attributes."""
    model = ImbalancedLGBMClassifier(n_estimators=3, verbose=-1)
    assert model._Booster is None
    assert not model.fitted_
    model.fit(problem.X, problem.y)
    assert model._Booster is model.booster_
    assert (model._n_classes, model._n_features) == (problem.n_classes, problem.X.shape[1])
    assert model.objective_ == ("binary" if problem.n_classes == 2 else "multiclass")
    assert model.fitted_


BOOSTINGS = {
    "plain": {},
    "goss": {"boosting_type": "goss"},
    "dart": {"boosting_type": "dart"},
    "bagging": {"subsample": 0.5, "subsample_freq": 1},
    "quantized": {"use_quantized_grad": True},
    "extra trees": {"extra_trees": True},
    "smoothed": {"path_smooth": 1.0},
    "limited": {"max_delta_step": 0.05},
}


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("loss", ["balanced", "focal", "ghm"])
@pytest.mark.parametrize("boosting", BOOSTINGS)
def test_loss_is_fitted_to_the_scores_of_the_last_round(boosting, loss, start):
    """Those that LightGBM holds while it trains; a prediction of the training rows is no other."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    X[::7, 1] = np.nan
    y = (X[:, 0] + rng.normal(0, 1, 600) > 1).astype(int)
    init = rng.normal(size=600) if start else None
    model = ImbalancedLGBMClassifier(loss=loss, n_estimators=12, verbose=-1, n_jobs=1, **BOOSTINGS[boosting])
    raw = model.fit(X, y, init_score=init).raw_score(X)
    raw = raw if init is None else raw + init
    wanted = model.loss_.loss.fit(y, raw)
    np.testing.assert_allclose(model.loss_.posterior(raw), wanted.posterior(raw), rtol=1e-9)


@pytest.mark.parametrize("loss", ["balanced", "focal", "ghm"])
def test_loss_is_fitted_at_the_best_round(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y = (X[:, 0] + rng.normal(0, 1, 600) > 1).astype(int)
    model = ImbalancedLGBMClassifier(loss=loss, n_estimators=200, verbose=-1, n_jobs=1, early_stopping_round=5)
    model.fit(X[:400], y[:400], eval_set=[(X[400:], y[400:])])
    assert model.best_iteration_ < 200
    raw = model.raw_score(X[:400])
    wanted = model.loss_.loss.fit(y[:400], raw)
    np.testing.assert_allclose(model.loss_.posterior(raw), wanted.posterior(raw), rtol=1e-9)
