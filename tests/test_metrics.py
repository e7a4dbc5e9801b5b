"""Metrics: means of losses and of calibrated log losses, as each engine wants them."""

import copy
import pickle

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_expit, log_softmax, logsumexp
from strategies import any_losses, extreme, gradients, problems, same, static_losses

import boostloss as bl
from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.metrics import MOST_NATS

Y, RAW = np.array([0, 0, 0, 1]), np.array([-1.0, 0.5, 2.0, -0.5])


@pytest.mark.filterwarnings("ignore:no training was found")
@given(st.data())
def test_callables_say_what_the_loss_says(data):
    problem = data.draw(problems(extreme, zeros=False))
    loss = data.draw(any_losses(problem.n_classes))
    same(bl.objective(loss)(*problem[:3]), gradients(loss, problem, factor=2.0), 0)
    rows = loss.value(*problem[:3]).astype(float)
    weight = np.ones(len(rows)) if problem.weight is None else problem.weight.astype(float)
    mean = bl.metric(loss)(*problem[:3])
    assert mean == pytest.approx(rows.sum() / weight.sum(), rel=1e-9)
    log_odds = loss.fit(*problem[:3], offset=False).log_posterior(problem.raw)
    if problem.binary:
        log_odds = np.column_stack([np.zeros(len(rows)), np.clip(log_odds, -MOST_NATS, MOST_NATS)])
    else:
        log_odds = np.maximum(log_odds - log_odds.max(axis=1, keepdims=True), -MOST_NATS)
    true = log_odds[np.arange(len(rows)), problem.y]
    mean = bl.posterior_log_loss(loss)(*problem[:3])
    want = np.average(logsumexp(log_odds, axis=1) - true, weights=weight)
    assert mean == pytest.approx(want, rel=1e-9, abs=1e-12)


@given(st.data())
def test_metrics_see_probabilities_as_scores(data):
    problem = data.draw(problems(st.floats(-10, 10), dtypes=(np.float64,), rows=(2, 40)))
    loss = data.draw(static_losses(problem.n_classes))
    raw = log_expit(problem.raw) if problem.binary else log_softmax(problem.raw, axis=1)
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    probability = np.exp(raw).astype(dtype)
    # float16 has 1e-3 of it, float32 1e-7, and the loss is at most 100 (10 + log 6) steep
    metric = bl.metric(loss, scores="probability")
    mean = metric(problem.y, probability, problem.weight)
    assert np.isfinite(mean)
    if dtype == np.float64:
        want = bl.metric(loss)(problem.y, problem.raw, problem.weight)
        assert mean == pytest.approx(want, rel=1e-6)


# -- what engines see -------------------------------------------------------------------------


def test_one_value_as_each_engine_wants_it():
    metric = bl.focal_metric(gamma=2)
    want = FocalLoss(2).value(Y, RAW).mean()
    value = metric(Y, RAW)
    assert value == pytest.approx(want, rel=1e-12)
    name, number, higher_is_better = value
    assert (name, number, higher_is_better) == ("focal_loss", value, False)
    assert [value[k] for k in range(3)] == [name, number, False]
    again = pickle.loads(pickle.dumps(value))
    assert again == value
    assert tuple(again) == tuple(value)
    on_xgboost = metric(RAW, xgb.DMatrix(np.zeros((4, 1)), Y))
    assert on_xgboost == (name, pytest.approx(want, rel=1e-12))
    data = lgb.Dataset(np.zeros((4, 1)), Y, params={"verbose": -1}).construct()
    assert metric(RAW, data) == (name, pytest.approx(want, rel=1e-12), False)


def test_weights_of_the_data_set_count():
    weight = np.array([1.0, 2.0, 0.5, 3.0])
    want = np.average(FocalLoss(2).value(Y, RAW), weights=weight)
    metric = bl.focal_metric(gamma=2)
    assert metric(RAW, xgb.DMatrix(np.zeros((4, 1)), Y, weight=weight))[1] == pytest.approx(
        want, rel=1e-6
    )
    data = lgb.Dataset(np.zeros((4, 1)), Y, weight=weight, params={"verbose": -1}).construct()
    assert metric(RAW, data)[1] == pytest.approx(want, rel=1e-6)
    assert metric(Y, RAW, weight) == pytest.approx(want, rel=1e-9)
    assert metric(Y, RAW, list(weight)) == metric(Y, RAW, weight)


def test_names_and_losses():
    for metric, name, loss in (
        (bl.balanced_ce_metric(), "cross_entropy_loss", CrossEntropy(class_weight="balanced")),
        (bl.focal_metric(1.5, 0.25), "focal_loss", FocalLoss(1.5, 0.25)),
        (bl.ghm_metric(7, "bins"), "ghm_loss", GHMLoss(7, "bins")),
        (bl.metric(AsymmetricLoss()), "asymmetric_loss", AsymmetricLoss()),
        (bl.posterior_log_loss(FocalLoss()), "posterior_log_loss", FocalLoss()),
    ):
        assert metric.__name__ == name
        assert metric.loss == loss
        assert repr(loss) in repr(metric)
        assert pickle.loads(pickle.dumps(metric)).loss == copy.deepcopy(metric).loss == loss
        assert metric(Y, RAW).name == name


@pytest.mark.parametrize("loss", [FocalLoss(2), GHMLoss(), AsymmetricLoss()], ids=repr)
def test_log_loss_is_that_of_the_fitted_posterior(loss):
    rng = np.random.default_rng(0)
    y, raw = rng.integers(0, 2, 200), rng.normal(-1, 2, 200)
    p = loss.fit(y, raw, offset=False).posterior(raw)
    want = -np.mean(np.log(np.where(y == 1, p, 1 - p)))
    assert bl.posterior_log_loss(loss)(y, raw) == pytest.approx(want, rel=1e-9)


def test_log_loss_where_the_posterior_is_0_or_1():
    metric = bl.posterior_log_loss(CrossEntropy())
    value = metric([0, 1], [-800.0, -800.0])
    assert value == pytest.approx(-np.log(np.finfo(float).tiny) / 2)


def test_bad_metrics_are_named():
    with pytest.raises(TypeError, match="loss must be"):
        bl.posterior_log_loss(2.0)
    with pytest.raises(ValueError, match="scores must be one of 'raw', 'probability'"):
        bl.metric(FocalLoss(), scores="margin")
    with pytest.raises(ValueError, match="y must be given: the data set has no labels"):
        bl.focal_metric()(RAW, xgb.DMatrix(np.zeros((4, 1))))
    with pytest.raises(ValueError, match="y must contain at least one row"):
        bl.focal_metric()(np.empty(0), np.empty(0))


def test_probabilities_of_0_and_1_are_held():
    for dtype, edge in ((np.float64, 1e-15), (np.float32, 1e-7)):
        metric = bl.metric(CrossEntropy(), scores="probability")
        value = metric([1, 0], np.array([0.0, 1.0], dtype))
        assert value == pytest.approx(-np.log(edge), rel=0.02)
    assert bl.metric(CrossEntropy(), scores="probability")([1], expit([2.0])) == pytest.approx(
        -log_expit(2.0)
    )


def test_predictions_that_are_not_what_scores_says():
    probability = bl.focal_metric(scores="probability")
    for wrong in (np.array([-0.1, 0.5, 0.5, 0.5]), np.array([0.5, 0.5, 1.1, 0.5]),
                  np.array([0.5, np.nan, 0.5, 0.5])):  # fmt: skip
        words = "must be finite, got NaN" if np.isnan(wrong).any() else "scores must be 'raw' .* out"
        with pytest.raises(ValueError, match=words):
            probability(Y, wrong)
    y = np.array([0, 1, 2, 2])
    p = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    for dtype in (np.float32, np.float64):
        with pytest.raises(ValueError, match=r"scores must be 'probability' .* add up to 1"):
            bl.focal_metric()(y, p.astype(dtype))
        assert np.isfinite(bl.focal_metric(scores="probability")(y, p.astype(dtype)))
    for raw in (np.log(p), np.full((4, 3), 1 / 3), p + 0.01, p[:1]):  # equal rows: an intercept
        assert np.isfinite(bl.focal_metric()(y[: len(raw)], raw))


@pytest.mark.parametrize(
    "make", [bl.metric, bl.posterior_log_loss, bl.focal_metric, bl.ghm_metric, bl.balanced_ce_metric]
)
def test_names(make):
    given = [FocalLoss()] if make in (bl.metric, bl.posterior_log_loss) else []
    X = np.random.default_rng(0).normal(size=(200, 2))
    data = lgb.Dataset(X, X[:, 0] > 0).construct()
    first, other = make(*given), make(*given, name="other")
    assert first(np.zeros(200), data)[0] == first.__name__ != "other"
    assert other(np.zeros(200), data)[0] == other.__name__ == "other"
    params = {"verbose": -1, "num_threads": 1}
    for feval in ([first, other], [first, first]):
        model = bl.ImbalancedLGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1)
        calls = [
            (lambda f=feval: bl.lightgbm.cv(params, lgb.Dataset(X, X[:, 0] > 0), 2, loss="focal",
                                            feval=f), "feval"),
            (lambda f=feval, m=model: m.fit(X, X[:, 0] > 0, eval_set=[(X, X[:, 0] > 0)],
                                            eval_metric=f), "eval_metric"),
        ]  # fmt: skip
        for call, argument in calls:
            if feval[1] is other:
                call()
                continue
            with pytest.raises(ValueError, match=f"{argument} must contain metrics of different na"):
                call()
