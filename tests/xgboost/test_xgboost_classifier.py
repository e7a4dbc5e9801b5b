"""What XGBoost's classifier alone has: its booster and what the fitted engine keeps."""

import pickle

import numpy as np
import pytest
import xgboost as xgb

import boostloss.xgboost
from boostloss import CrossEntropy, FocalLoss, GHMLoss, ImbalancedXGBClassifier, objective


def test_base_score(problem):
    """XGBoost's own train starts where ours does."""
    native = {"objective": "binary:logistic"}
    if problem.n_classes > 2:
        native = {"objective": "multi:softprob", "num_class": problem.n_classes}
    weight = np.random.default_rng(0).random(len(problem.y))
    data = xgb.DMatrix(problem.X, problem.y, weight=weight)
    for loss in (FocalLoss(2.0, class_weight="balanced"), GHMLoss()):
        start = boostloss.xgboost.base_score(loss, problem.y, weight)
        params = {"max_depth": 2, "base_score": start, **native}
        theirs = xgb.train(
            params, data, 3, obj=objective(loss.fit(problem.y, sample_weight=weight).loss)
        )
        ours = boostloss.xgboost.train({"max_depth": 2}, data, 3, loss=loss)
        np.testing.assert_array_equal(theirs.predict(data), ours.predict(data))


def test_base_score_says_what_xgboost_takes():
    base_score = boostloss.xgboost.base_score
    assert base_score(CrossEntropy(), [0, 1, 0, 0]) == pytest.approx(0.25)
    assert base_score(CrossEntropy(), [0, 1], [3.0, 1.0]) == pytest.approx(0.25)
    for y, n_classes in (([0, 1, 2], None), ([0, 1], 2)):
        scores = base_score(CrossEntropy(), y, n_classes=n_classes)
        np.testing.assert_allclose(eval(scores), 0.0, atol=1e-12)
        assert len(eval(scores)) == (n_classes or 3)
    with pytest.raises(ValueError, match="y must contain"):
        base_score(CrossEntropy(), [0.5, 1])


def test_the_fitted_engine_keeps_no_callable(binary):
    """A metric of the user need not pickle once it is no parameter any more."""
    metric = [lambda y, p: float(np.mean(p))]
    model = ImbalancedXGBClassifier(loss="ghm", n_estimators=3, eval_metric=metric)
    model.fit(binary.X, binary.y, eval_set=[(binary.X, binary.y)], verbose=False)
    model.set_params(eval_metric=None)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(binary.X), model.predict_proba(binary.X))
    assert copy.evals_result() == model.evals_result()


def test_parameters_that_are_read_after_fitting(binary):
    model = ImbalancedXGBClassifier(n_estimators=3, n_jobs=1)
    assert not hasattr(model, "_Booster")
    model.fit(binary.X, binary.y)
    assert model._Booster is model.get_booster()
    X = np.where(binary.X < 0, 0.0, binary.X)
    with_zero = model.raw_score(X)
    model.missing = 0.0
    assert (model.raw_score(X) != with_zero).any()
    model.importance_type = "weight"
    counts = model.get_booster().get_score(importance_type="weight")
    assert (model.feature_importances_ > 0).sum() == len(counts)
