"""XGBoost's metrics by name are those of what predict_proba gives."""

import numpy as np
import pytest
import xgboost as xgb
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import boostloss.xgboost as bx
from boostloss import CrossEntropy, FocalLoss, GHMLoss, ImbalancedXGBClassifier
from boostloss.losses import FittedLoss

QUIET = {"nthread": 1, "max_depth": 3}
BINARY = [
    "auc", "aucpr", "error", "error@0.3", "logloss", "mae", "map", "mape", "mphe", "ndcg",
    "poisson-nloglik", "pre", "rmse", "rmsle", "gamma-nloglik", "gamma-deviance", "tweedie-nloglik@1.5",
]  # fmt: skip
SEVERAL = ["auc", "merror", "mlogloss"]
LOSSES = [FocalLoss(2), CrossEntropy(class_weight=[1.0, 5.0]), GHMLoss()]


@pytest.fixture(scope="module", params=[2, 3])
def rows(request):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    score = X[:, 0] + rng.normal(0, 0.7, 600)
    y = np.digitize(score, [1.0] if request.param == 2 else [0.3, 1.2])
    return X, y, rng.exponential(size=600).astype(np.float32)


def log_odds_of(loss, raw, y, weight):
    fitted = loss.fit(y, raw, weight)
    return FittedLoss(fitted.loss, fitted.log_weight_table).log_posterior(raw)  # without an offset


def by_xgboost(name, log_odds, y, weight):
    """The metric of a model that XGBoost starts from these log-odds."""
    several = {"objective": "multi:softprob", "num_class": 3} if log_odds.ndim == 2 else {}
    data = xgb.DMatrix(np.zeros((len(y), 1)), y, weight=weight, base_margin=log_odds)
    params = {"objective": "binary:logistic", **several, "base_score": 0.5, "eval_metric": name}
    return float(xgb.Booster(params, [data]).eval(data).rpartition(":")[2])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_all_names_judge_the_posterior(rows, loss, weighted):
    X, y, weight = rows
    if y.max() == 2 and isinstance(loss, CrossEntropy):
        loss = CrossEntropy(class_weight=[1.0, 2.0, 5.0])
    weight = weight if weighted else None
    data, seen = xgb.DMatrix(X, y, weight=weight), {}
    names = BINARY if y.max() == 1 else SEVERAL
    names = [name for name in names if name not in ("map", "ndcg", "pre") or not weighted]
    booster = bx.train(
        {**QUIET, "eval_metric": names}, data, 4, loss=loss, evals=[(data, "rows")],
        evals_result=seen, verbose_eval=False,
    )  # fmt: skip
    assert list(seen["rows"]) == names
    log_odds = log_odds_of(loss, booster.predict(data, output_margin=True), y, weight)
    for name in names:
        found = seen["rows"][name][-1]
        assert found == pytest.approx(by_xgboost(name, log_odds, y, weight), rel=2e-5, abs=2e-6), name
    p = 1 / (1 + np.exp(-log_odds)) if y.max() == 1 else np.exp(log_odds) / np.exp(log_odds).sum(1, keepdims=True)
    last = {name: curve[-1] for name, curve in seen["rows"].items()}
    name = "logloss" if y.max() == 1 else "mlogloss"
    assert last[name] == pytest.approx(log_loss(y, p, sample_weight=weight), abs=2e-6)
    if y.max() == 1:
        assert last["rmse"] ** 2 == pytest.approx(brier_score_loss(y, p, sample_weight=weight), abs=4e-6)
        assert last["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=weight), abs=2e-6)
        assert last["error"] == pytest.approx(np.average((p > 0.5) != y, weights=weight), abs=2e-6)


@pytest.mark.parametrize("names", ["logloss", ["logloss", "auc"], ["auc", "error", "logloss"], "auc"])
def test_classifier_train_and_cv_stop_alike(rows, names):
    """By the last metric, as in XGBoost, and at the round where the posterior's is best."""
    X, y, _ = rows
    if y.max() == 2:
        pytest.skip("binary names")
    train, stop = slice(0, 400), slice(400, 600)
    loss = FocalLoss(2)
    model = ImbalancedXGBClassifier(
        loss=loss, n_estimators=60, max_depth=3, n_jobs=1, eval_metric=names, early_stopping_rounds=5
    ).fit(X[train], y[train], eval_set=[(X[stop], y[stop])], verbose=False)
    valid = xgb.DMatrix(X[stop], y[stop])
    booster = bx.train(
        {**QUIET, "eval_metric": names}, xgb.DMatrix(X[train], y[train]), 60, loss=loss,
        evals=[(valid, "v")], early_stopping_rounds=5, verbose_eval=False,
    )  # fmt: skip
    assert model.best_iteration == booster.best_iteration
    curves = model.evals_result()["validation_0"]
    listed = [names] if isinstance(names, str) else names
    assert list(curves) == listed
    curve = np.array(curves[listed[-1]])
    best = curve.argmin() if listed[-1] == "logloss" else curve.argmax()
    assert model.best_iteration == best
    assert type(model.engine_model()) is xgb.XGBClassifier
    history = bx.cv(
        QUIET, xgb.DMatrix(X, y), 40, loss=loss, metrics=names, nfold=3, early_stopping_rounds=5,
        seed=0, as_pandas=False,
    )  # fmt: skip
    assert [column for column in history if column.endswith("mean")][-1] == f"test-{listed[-1]}-mean"


def test_cv_stops_by_the_metric_that_is_named(rows):
    X, y, _ = rows
    keywords = {"nfold": 4, "seed": 0, "early_stopping_rounds": 5, "metrics": "auc", "as_pandas": False}
    ours = bx.cv(QUIET, xgb.DMatrix(X, y), 60, loss=CrossEntropy(), **keywords)
    several = {"objective": "multi:softprob", "num_class": 3} if y.max() == 2 else {"objective": "binary:logistic"}
    theirs = xgb.cv({**QUIET, **several}, xgb.DMatrix(X, y), 60, **keywords)
    assert set(ours) == set(theirs)
    # before 3.2 XGBoost's softmax started from the shares where their logarithms belong
    if y.max() == 1 or tuple(map(int, xgb.__version__.split(".")[:2])) >= (3, 2):
        assert len(ours["test-auc-mean"]) == len(theirs["test-auc-mean"])


@pytest.mark.parametrize("name", ["brier", "binary_logloss", "aft-nloglik"])
def test_other_names_are_refused(rows, name):
    X, y, _ = rows
    data = xgb.DMatrix(X, y)
    model = ImbalancedXGBClassifier(loss="focal", n_estimators=2, n_jobs=1, eval_metric=name)
    for call in (
        lambda: bx.train({**QUIET, "eval_metric": name}, data, 2, loss="focal"),
        lambda: bx.cv(QUIET, data, 2, loss="focal", metrics=name),
        lambda: model.fit(X, y),
    ):
        with pytest.raises(ValueError, match=f"eval_metric must be .* got '{name}'"):
            call()
