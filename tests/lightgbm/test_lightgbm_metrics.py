"""LightGBM's metrics by name are those of what predict_proba gives."""

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

import boostloss.lightgbm as bl
from boostloss import CrossEntropy, FocalLoss, GHMLoss, ImbalancedLGBMClassifier
from boostloss.losses import FittedLoss

QUIET = {"verbose": -1, "num_threads": 1, "num_leaves": 7}
BINARY = [
    "auc", "average_precision", "binary_error", "binary_logloss", "cross_entropy", "cross_entropy_lambda",
    "fair", "huber", "kullback_leibler", "l1", "l2", "mape", "poisson", "quantile", "rmse", "tweedie",
]  # fmt: skip
SEVERAL = ["auc_mu", "multi_error", "multi_logloss"]
LOSSES = [FocalLoss(2), CrossEntropy(class_weight=[1.0, 5.0]), GHMLoss()]


@pytest.fixture(scope="module", params=[2, 3])
def rows(request):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    score = X[:, 0] + rng.normal(0, 0.7, 500)
    y = np.digitize(score, [1.0] if request.param == 2 else [0.3, 1.2])
    return X, y, rng.exponential(size=500)


def by_lightgbm(name, log_odds, y, weight):
    """The metric of a model that LightGBM starts from these log-odds."""
    data = lgb.Dataset(np.zeros((len(y), 1)), y, weight=weight, init_score=log_odds, params=QUIET)
    several = {"objective": "multiclass", "num_class": 3} if log_odds.ndim == 2 else {"objective": "binary"}
    booster = lgb.Booster({**QUIET, **several, "metric": name}, data)
    return booster.eval_train()[0][2]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_all_names_judge_the_posterior(rows, loss, weighted):
    X, y, weight = rows
    if y.max() == 2 and isinstance(loss, CrossEntropy):
        loss = CrossEntropy(class_weight=[1.0, 2.0, 5.0])
    weight = weight if weighted else None
    names, seen = (BINARY if y.max() == 1 else SEVERAL), {}
    train, valid = (lgb.Dataset(X, y, weight=weight, params=QUIET) for _ in range(2))
    booster = bl.train(
        {**QUIET, "metric": names}, train, 3, loss=loss, valid_sets=[valid],
        callbacks=[lgb.record_evaluation(seen)],
    )  # fmt: skip
    last = {name: curve[-1] for name, curve in seen["valid_0"].items()}
    assert list(last) == names
    fitted = loss.fit(y, booster.predict(X, raw_score=True), weight)
    log_odds = FittedLoss(fitted.loss, fitted.log_weight_table).log_posterior(
        booster.predict(X, raw_score=True)
    )
    if y.max() == 2:
        log_odds = log_odds - np.log(np.exp(log_odds).sum(axis=1, keepdims=True))
    for name in names:
        # weights by class move no ranks, but their rounding and that of logarithms break ties
        constant = name == "auc_mu" and isinstance(loss, CrossEntropy)
        judged = booster.predict(X, raw_score=True) if constant else log_odds
        assert last[name] == pytest.approx(by_lightgbm(name, judged, y, weight), rel=1e-6), name
    p = 1 / (1 + np.exp(-log_odds)) if y.max() == 1 else np.exp(log_odds) / np.exp(log_odds).sum(1, keepdims=True)
    if y.max() == 1:
        assert last["binary_logloss"] == pytest.approx(log_loss(y, p, sample_weight=weight), rel=1e-6)
        assert last["l2"] == pytest.approx(brier_score_loss(y, p, sample_weight=weight), rel=1e-6)
        assert last["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=weight), rel=1e-6)
        ap = average_precision_score(y, p, sample_weight=weight)
        assert last["average_precision"] == pytest.approx(ap, rel=1e-6)
    else:
        assert last["multi_logloss"] == pytest.approx(log_loss(y, p, sample_weight=weight), rel=1e-6)
        wrong = np.average(p.argmax(axis=1) != y, weights=weight)
        assert last["multi_error"] == pytest.approx(wrong, rel=1e-6)


@pytest.mark.parametrize("names", [["auc", "binary_logloss"], ["binary_logloss", "auc"], ["logloss"]])
def test_first_metric_only_means_the_first_that_is_named(rows, names):
    X, y, _ = rows
    if y.max() == 2:
        pytest.skip("binary names")
    train, stop = slice(0, 350), slice(350, 500)
    callbacks = [lgb.early_stopping(5, first_metric_only=True, verbose=False)]
    model = ImbalancedLGBMClassifier(loss="focal", n_estimators=60, n_jobs=1, num_leaves=7, verbose=-1)
    model.fit(X[train], y[train], eval_X=X[stop], eval_y=y[stop], eval_metric=names, callbacks=callbacks)
    data = lgb.Dataset(X[train], y[train], params=QUIET)
    valid = lgb.Dataset(X[stop], y[stop], reference=data, params=QUIET)
    booster = bl.train(
        {**QUIET, "metric": names, "first_metric_only": True, "early_stopping_round": 5}, data, 60,
        loss="focal", valid_sets=[valid],
    )  # fmt: skip
    first = "auc" if names[0] == "auc" else "binary_logloss"
    curves = model.evals_result_["valid_0"]
    assert next(iter(curves)) == first
    best = np.argmax(curves[first]) if first == "auc" else np.argmin(curves[first])
    assert model.best_iteration_ == booster.best_iteration == best + 1


@pytest.mark.parametrize("name", ["brier", "mlogloss", "aucpr", "multi_logloss_"])
def test_other_names_are_refused(rows, name):
    X, y, _ = rows
    data = lgb.Dataset(X, y, params=QUIET, free_raw_data=False)
    model = ImbalancedLGBMClassifier(loss="focal", n_estimators=2, n_jobs=1, verbose=-1)
    for call in (
        lambda: bl.train({**QUIET, "metric": name}, data, 2, loss="focal"),
        lambda: bl.cv(QUIET, data, 2, loss="focal", metrics=name),
        lambda: model.fit(X, y, eval_X=X, eval_y=y, eval_metric=name),
    ):
        with pytest.raises(ValueError, match=f"metric and eval_metric must be .* got '{name}'"):
            call()


def test_the_log_of_a_training_does_not_fall_silent(rows, capfd):
    X, y, _ = rows
    kind = "binary_logloss" if y.max() == 1 else "multi_logloss"
    data = lgb.Dataset(X, y)
    params = {"num_threads": 1, "min_data_in_leaf": 240, "metric": kind, "verbosity": 1}
    bl.train(params, data, 3, loss=FocalLoss(2), valid_sets=[data])
    out = capfd.readouterr()
    assert (out.out + out.err).count("No further splits") >= 3
