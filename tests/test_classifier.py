"""Both classifiers: labels, probabilities, decisions, parity with the parents, persistence."""

import pickle
import subprocess
import sys

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from fitting import OLD_WAY, best_iteration, best_round, fit_with_stopping, sets
from packaging.version import Version
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from boostloss import CrossEntropy, FocalLoss, GHMLoss
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.xgboost import ImbalancedXGBClassifier

QUIET = {
    ImbalancedXGBClassifier: {"n_jobs": 1, "n_estimators": 20},
    ImbalancedLGBMClassifier: {"n_jobs": 1, "n_estimators": 20, "verbose": -1},
}
PARENT = {
    ImbalancedXGBClassifier: xgb.XGBClassifier,
    ImbalancedLGBMClassifier: lgb.LGBMClassifier,
}
LOSSES = [
    "cross_entropy",
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2.0, class_weight="effective"),
    GHMLoss(),
    GHMLoss(density="bins"),
    GHMLoss(density="window", strength=0.5),
]


@pytest.fixture(params=QUIET, ids=["xgboost", "lightgbm"])
def make(request):
    def maker(loss="focal", **params):
        return request.param(loss=loss, **{**QUIET[request.param], **params})

    maker.kind = request.param
    return maker


def parent(make, **params):
    return PARENT[make.kind](**{**QUIET[make.kind], **params})


def raw_of_booster(model, X):
    if isinstance(model, xgb.XGBClassifier):
        last = getattr(model.get_booster(), "best_iteration", None)
        span = (0, 0 if last is None else last + 1)
        return model.get_booster().predict(xgb.DMatrix(X), output_margin=True, iteration_range=span)
    return model.booster_.predict(X, raw_score=True)


# -- what fit takes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [False, True], [-3, 7], [1.0, 2.0], ["a", "b", "c"], [10, 20, 40]],
    ids=str,
)
def test_any_labels(make, labels, problem):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, len(labels), 300)
    X = codes[:, None] + rng.normal(0, 0.5, (300, 3))
    y = np.array(labels)[codes]
    model = fit_with_stopping(make(), X[:200], y[:200], X[200:], y[200:])
    assert model.classes_.tolist() == labels
    assert model.predict(X).dtype == y.dtype
    assert (model.predict(X) == y).mean() > 0.6
    as_objects = make().fit(X, pd.Series(y.astype(object)))
    assert as_objects.classes_.tolist() == labels
    assert model.raw_score(X).shape == ((300,) if len(labels) == 2 else (300, 3))
    likeliest = model.predict_proba(X).argmax(axis=1)
    np.testing.assert_array_equal(model.predict(X), np.array(labels)[likeliest])


def test_frames_with_categories_and_missing_values(make):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=400),
            "colour": pd.Categorical(rng.choice(["red", "green", "blue"], 400)),
        }
    )
    y = np.where((frame["number"] > 0.5) & (frame["colour"] == "red"), "rare", "usual")
    frame.loc[::7, "number"] = np.nan
    extra = {"enable_categorical": True} if make.kind is ImbalancedXGBClassifier else {}
    model = fit_with_stopping(make(**extra), frame[:300], y[:300], frame[300:], y[300:])
    assert model.feature_names_in_.tolist() == ["number", "colour"]
    assert (model.predict(frame) == y).mean() > 0.9
    assert model.predict_proba(frame[:5]).shape == (5, 2)


def test_polars(make):
    pl = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = np.where(X[:, 0] > 0.8, "rare", "usual")
    frame = pl.DataFrame(X, schema=["a", "b", "c"])
    model = make().fit(frame, pl.Series(y))
    assert (model.predict(frame) == y).mean() > 0.95
    same = make().fit(pd.DataFrame(X, columns=["a", "b", "c"]), y)
    np.testing.assert_allclose(model.predict_proba(frame), same.predict_proba(X), atol=1e-6)


def test_sparse(make, binary):
    X = np.where(np.abs(binary.X) < 0.5, 0.0, binary.X)
    dense = make(**zero_is_missing(make)).fit(X, binary.y).predict_proba(X)
    for kind in (sparse.csr_matrix, sparse.csr_array):
        got = make(**zero_is_missing(make)).fit(kind(X), binary.y).predict_proba(kind(X))
        np.testing.assert_allclose(got, dense, atol=1e-6)


def zero_is_missing(make):
    """XGBoost takes what a sparse matrix leaves out for missing."""
    return {"missing": 0.0} if make.kind is ImbalancedXGBClassifier else {}


def test_sample_weights_are_repeated_rows(make, problem):
    times = np.random.default_rng(0).integers(1, 4, len(problem.y))
    # leaves as large as without weights: LightGBM counts rows, not weights
    params = {"min_child_samples": 1} if make.kind is ImbalancedLGBMClassifier else {}
    params |= {"learning_rate": 0.05, "n_estimators": 5}
    loss = FocalLoss(2.0, class_weight="balanced")
    weighted = make(loss, **params).fit(problem.X, problem.y, sample_weight=times)
    repeated = make(loss, **params).fit(
        np.repeat(problem.X, times, axis=0), np.repeat(problem.y, times)
    )
    start = [m.raw_score(problem.X).mean(axis=0) for m in (weighted, repeated)]
    np.testing.assert_allclose(*start, atol=0.05)
    assert weighted.loss_.loss == repeated.loss_.loss  # the class weights, counted
    np.testing.assert_allclose(weighted.loss_.offset, repeated.loss_.offset, atol=0.05)


def test_own_start(make, binary):
    start = np.random.default_rng(0).normal(size=len(binary.y))
    if make.kind is ImbalancedXGBClassifier:
        ours = make("cross_entropy").fit(binary.X, binary.y, base_margin=start)
        theirs = parent(make).fit(binary.X, binary.y, base_margin=start)
        got = [m.predict(binary.X, output_margin=True, base_margin=start) for m in (ours, theirs)]
    else:
        ours = make("cross_entropy").fit(binary.X, binary.y, init_score=start)
        theirs = parent(make).fit(binary.X, binary.y, init_score=start)
        got = [m.predict(binary.X, raw_score=True) for m in (ours, theirs)]
    np.testing.assert_allclose(*got, atol=1e-5)


def test_ghm_posterior_knows_the_own_start(make, problem):
    """The density is that of the scores the trees and the start give together."""
    shape = (len(problem.y), problem.n_classes)[: 1 if problem.n_classes == 2 else 2]
    start = np.random.default_rng(0).normal(0, 3, shape)
    if make.kind is ImbalancedXGBClassifier:
        model = make("ghm").fit(problem.X, problem.y, base_margin=start)
        raw = model.raw_score(problem.X, base_margin=start)
    else:
        model = make("ghm").fit(problem.X, problem.y, init_score=start)
        raw = model.raw_score(problem.X) + start
    wanted = GHMLoss().fit(problem.y, raw)
    np.testing.assert_allclose(model.loss_.posterior(raw), wanted.posterior(raw), rtol=1e-9)
    np.testing.assert_allclose(model.loss_.offset, wanted.offset, atol=1e-9)


def test_continuation(make, binary):
    keyword = "xgb_model" if make.kind is ImbalancedXGBClassifier else "init_model"
    first = make(n_estimators=8).fit(binary.X, binary.y)
    for given in (first, first.get_booster() if keyword == "xgb_model" else first.booster_):
        both = make(n_estimators=8).fit(binary.X, binary.y, **{keyword: given})
        whole = make(n_estimators=16).fit(binary.X, binary.y)
        np.testing.assert_allclose(
            both.raw_score(binary.X_valid),
            whole.raw_score(binary.X_valid),
            atol=1e-5,
        )


def test_callbacks(make, binary):
    seen = []
    if make.kind is ImbalancedXGBClassifier:

        class Count(xgb.callback.TrainingCallback):
            def after_iteration(self, model, epoch, evals_log):
                seen.append(epoch)
                return False

        make(n_estimators=4, callbacks=[Count()]).fit(binary.X, binary.y)
    else:
        make(n_estimators=4).fit(binary.X, binary.y, callbacks=[lambda e: seen.append(e.iteration)])
    assert seen == [0, 1, 2, 3]


def test_class_weights_of_the_engine(make, binary):
    """They multiply the loss's own, and the posterior undoes them."""
    X, y = binary.X, binary.y
    params = {"probability": "link", "n_estimators": 100}
    plain = make("cross_entropy", scale_pos_weight=5.0, **params).fit(X, y)
    ours = make(CrossEntropy(class_weight=5.0), **params).fit(X, y)
    np.testing.assert_allclose(plain.predict_proba(X), ours.predict_proba(X), atol=1e-6)
    assert plain.set_params(probability="posterior").predict_proba(X)[:, 1].mean() == pytest.approx(
        y.mean(), abs=0.02
    )
    assert plain.loss_.loss == CrossEntropy(class_weight=[1.0, 5.0])
    alpha = make(FocalLoss(2.0, alpha=0.25), scale_pos_weight=2.0).fit(X, y).loss_.loss
    assert alpha == FocalLoss(2.0, class_weight=[0.75, 0.5])
    if make.kind is ImbalancedLGBMClassifier:
        share = (y == 0).sum() / (y == 1).sum()
        for params in ({"is_unbalance": True}, {"class_weight": {0: 1.0, 1: share}}):
            model = make("cross_entropy", **params).fit(X, y)
            np.testing.assert_allclose(model.loss_.class_weight, [1.0, share])


def test_class_weight_by_label(make):
    rng = np.random.default_rng(0)
    y = rng.choice(["usual", "rare"], 200, p=[0.8, 0.2])
    loss = FocalLoss(1.0, class_weight={"usual": 1.0, "rare": 3.0})
    model = make(loss).fit(rng.normal(size=(200, 2)), y)
    assert model.classes_.tolist() == ["rare", "usual"]
    assert model.loss_.loss == FocalLoss(1.0, class_weight=[3.0, 1.0])
    assert model.loss.class_weight == {"usual": 1.0, "rare": 3.0}
    with pytest.raises(ValueError, match="class_weight"):
        make(FocalLoss(class_weight={"usual": 1.0})).fit(rng.normal(size=(200, 2)), y)


# -- parity -----------------------------------------------------------------------------


@OLD_WAY
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
def test_cross_entropy_equals_the_parent(make, load):
    X, y = load(return_X_y=True)
    X, X_valid, y, y_valid = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    params = {"n_estimators": 300, "n_jobs": 2}
    if make.kind is ImbalancedXGBClassifier and not softmax_start_is_right():
        params["base_score"] = 0.5
    ours = fit_with_stopping(make("cross_entropy", **params), X, y, X_valid, y_valid, 10)
    theirs = fit_with_stopping(parent(make, **params), X, y, X_valid, y_valid, 10)
    assert best_iteration(ours) == best_iteration(theirs) < 299
    np.testing.assert_allclose(
        ours.predict_proba(X_valid), theirs.predict_proba(X_valid), rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(ours.predict(X_valid), theirs.predict(X_valid))
    assert metric_names(ours) == metric_names(theirs)


def metric_names(model):
    log = model.evals_result() if hasattr(model, "evals_result") else model.evals_result_
    return list(next(iter(log.values())))


def softmax_start_is_right():
    """XGBoost 3.1 starts softmax from the shares, not from their logarithms."""
    return Version(xgb.__version__) >= Version("3.2")


# -- probabilities ----------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_probabilities(make, problem, loss):
    model = fit_with_stopping(
        make(loss, n_estimators=100), problem.X, problem.y, problem.X_valid, problem.y_valid
    )
    raw = model.raw_score(problem.X_valid)
    np.testing.assert_allclose(raw, raw_of_booster(model, problem.X_valid), atol=1e-5)
    posterior = model.predict_proba(problem.X_valid)
    want = model.loss_.posterior(raw)
    np.testing.assert_array_equal(posterior if raw.ndim == 2 else posterior[:, 1], want)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, atol=1e-12)
    link = model.set_params(probability="link").predict_proba(problem.X_valid)
    built_in = PARENT[make.kind].predict_proba
    if make.kind is ImbalancedXGBClassifier:
        # the booster's own output, through the parent's code
        np.testing.assert_allclose(
            link, built_in(model_of_parent(model), problem.X_valid), atol=1e-6
        )
    else:
        p = model.booster_.predict(problem.X_valid)
        p = p if p.ndim == 2 else np.column_stack([1 - p, p])
        np.testing.assert_allclose(link, p, atol=1e-12)


def model_of_parent(model):
    """The parent's classifier on the same booster."""
    engine = xgb.XGBClassifier(n_jobs=1)
    engine.load_model(bytearray(model.get_booster().save_raw("json")))
    return engine


def test_posterior_is_calibrated(make, problem):
    """The focal posterior's log loss is near cross-entropy's, sigma's is far."""
    scores = {}
    for loss, probability in [("cross_entropy", "link"), ("focal", "posterior"), ("focal", "link")]:
        model = make(loss, probability=probability, n_estimators=300, learning_rate=0.05)
        fit_with_stopping(model, problem.X, problem.y, problem.X_valid, problem.y_valid, 20)
        scores[loss, probability] = log_loss(problem.y_valid, model.predict_proba(problem.X_valid))
    assert scores["focal", "posterior"] < 1.1 * scores["cross_entropy", "link"]
    assert scores["focal", "link"] > 1.2 * scores["cross_entropy", "link"]


@pytest.mark.parametrize("density", ["class", "bins", "window"])
def test_fitted_ghm_posterior_is_monotone(density):
    rng = np.random.default_rng(0)
    y = rng.random(3000) < 0.1
    fitted = GHMLoss(20, density).fit(y, rng.normal(-2, 2, 3000) + 3 * y)
    z = np.linspace(-30, 30, 5001)
    p = fitted.posterior(z)
    assert np.diff(p).min() > -1e-15  # rounding
    assert 0 < p[0] < 1e-6
    assert 1 - 1e-6 < p[-1] <= 1


def test_early_stopping_sees_the_posterior(make, problem):
    """That of ``predict_proba``, before the offset that is found once the training has ended."""
    model = fit_with_stopping(
        make(FocalLoss(2.0), n_estimators=100),
        problem.X,
        problem.y,
        problem.X_valid,
        problem.y_valid,
    )
    log = model.evals_result() if hasattr(model, "evals_result") else model.evals_result_
    values = next(iter(log.values()))["posterior_log_loss"]
    loss = model.loss_.with_offset(np.zeros(problem.n_classes))
    posterior = loss.posterior(model.raw_score(problem.X_valid))
    assert min(values) == pytest.approx(log_loss(problem.y_valid, posterior), rel=1e-5)


def test_users_metrics(make, problem):
    def seen_on_probability(y, p, weight=None):
        assert p.shape == ((len(y),) if problem.n_classes == 2 else (len(y), problem.n_classes))
        assert p.min() >= 0
        assert p.max() <= 1
        value = log_loss(y, p)
        return ("users", value, False) if make.kind is ImbalancedLGBMClassifier else value

    for probability in ("posterior", "link"):
        model = make("ghm", probability=probability, n_estimators=10)
        if make.kind is ImbalancedXGBClassifier:
            model.set_params(eval_metric=["mlogloss" if problem.n_classes > 2 else "auc",
                                          seen_on_probability])  # fmt: skip
            log = fit_with_stopping(model, *sets(problem)).evals_result()
            values = log["validation_0"]["seen_on_probability"]
        else:
            fit_with_stopping(model, *sets(problem), eval_metric=["auc_mu", seen_on_probability]
                              if problem.n_classes > 2 else ["auc", seen_on_probability])  # fmt: skip
            values = model.evals_result_["valid_0"]["users"]
        raw = model.raw_score(problem.X_valid)
        fitted = GHMLoss().fit(problem.y_valid, raw, offset=False)
        if probability == "posterior":
            p = fitted.posterior(model.raw_score(problem.X_valid))
            assert log_loss(problem.y_valid, p) == pytest.approx(
                values[best_round(model)], rel=1e-5
            )
        else:
            p = model.predict_proba(problem.X_valid)
            assert log_loss(problem.y_valid, p) == pytest.approx(
                values[best_round(model)], rel=1e-5
            )


# -- persistence ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_model_files(make, problem, loss, tmp_path):
    y = np.array(["lb=1", "m", "z"])[problem.y]
    path = tmp_path / ("m.json" if make.kind is ImbalancedXGBClassifier else "m.txt")
    model = fit_with_stopping(
        make(loss), problem.X, y, problem.X_valid, np.array(["lb=1", "m", "z"])[problem.y_valid]
    )
    model.save_model(path)
    read = make()
    read.load_model(path)
    for X in (problem.X, problem.X_valid):
        np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(read.raw_score(X), model.raw_score(X))
        np.testing.assert_array_equal(read.predict(X), model.predict(X))
    assert read.classes_.tolist() == model.classes_.tolist()
    assert best_iteration(read) == best_iteration(model) or make.kind is ImbalancedLGBMClassifier
    link = clone(make(loss)).set_params(probability="link").fit(problem.X, y)
    link.save_model(path)
    read.load_model(path)
    np.testing.assert_array_equal(read.predict_proba(problem.X), link.predict_proba(problem.X))
    np.save(tmp_path / "x.npy", problem.X_valid)
    load = {
        ImbalancedXGBClassifier: "import xgboost as e; p = e.Booster(model_file='m.json').predict("
        "e.DMatrix(x))",
        ImbalancedLGBMClassifier: "import lightgbm as e; p = e.Booster(model_file='m.txt').predict(x)",
    }[make.kind]
    code = (f"import sys, numpy as np; x = np.load('x.npy'); {load}; np.save('p.npy', p);"
            "assert 'boostloss' not in sys.modules")  # fmt: skip
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True,
                         capture_output=True, text=True)  # fmt: skip
    assert "arning" not in out.stdout + out.stderr
    p = np.load(tmp_path / "p.npy")
    want = link.predict_proba(problem.X_valid)
    np.testing.assert_allclose(p if p.ndim == 2 else np.column_stack([1 - p, p]), want, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_pickle_and_joblib(make, problem, loss, tmp_path):
    model = make(loss).fit(problem.X, problem.y)
    joblib.dump(model, tmp_path / "m")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "m")):
        np.testing.assert_array_equal(copy.predict_proba(problem.X), model.predict_proba(problem.X))
        assert copy.loss_ == model.loss_


@pytest.mark.parametrize("loss", LOSSES[1:4], ids=repr)
def test_skops(make, problem, loss):
    skops = pytest.importorskip("skops.io")
    model = make(loss).fit(problem.X, problem.y)
    data = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=data)
    copy = skops.loads(data, trusted=unknown)
    np.testing.assert_array_equal(copy.predict_proba(problem.X), model.predict_proba(problem.X))


def test_shap_values_add_up(make, problem):
    shap = pytest.importorskip("shap")
    if make.kind is ImbalancedXGBClassifier and Version(shap.__version__) < Version("0.50"):
        pytest.skip("shap before 0.50 cannot read the intercept of XGBoost 3.1 and newer")
    model = make().fit(problem.X, problem.y)
    raw = model.raw_score(problem.X_valid[:50])
    explainer = shap.TreeExplainer(model)
    values = np.asarray(explainer.shap_values(problem.X_valid[:50]))
    total = values.sum(axis=1) + explainer.expected_value
    np.testing.assert_allclose(total, raw, atol=1e-3)


def test_booster_outputs(make, problem):
    X, model = problem.X_valid, make().fit(problem.X, problem.y)
    raw = model.raw_score(X)
    if make.kind is ImbalancedXGBClassifier:
        np.testing.assert_array_equal(model.predict(X, output_margin=True), raw)
        contributions = model.get_booster().predict(xgb.DMatrix(X), pred_contribs=True)
    else:
        np.testing.assert_array_equal(model.predict(X, raw_score=True), raw)
        np.testing.assert_array_equal(model.predict_proba(X, raw_score=True), raw)
        assert model.predict(X, pred_leaf=True).shape == (len(X), 20 * (raw.size // len(X)))
        contributions = model.predict(X, pred_contrib=True).reshape(*raw.shape, -1)
    np.testing.assert_allclose(contributions.sum(-1), raw, atol=1e-4)
    assert model.feature_importances_.shape == (X.shape[1],)


# -- scikit-learn's tools ---------------------------------------------------------------


def test_grid_search(make, binary):
    assert make().get_params()["loss"] == "focal"
    with_loss = make(FocalLoss())
    assert with_loss.get_params()["loss__gamma"] == 2.0
    search = GridSearchCV(with_loss, {"loss__gamma": [0, 1, 3]}, scoring="average_precision", cv=3)
    search.fit(binary.X, binary.y)
    assert search.best_estimator_.loss.gamma == search.best_params_["loss__gamma"]
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 3
    assert with_loss.loss.gamma == 2.0
    losses = {"loss": ["balanced", GHMLoss(), CrossEntropy()], "n_estimators": [5]}
    for n_jobs in (1, 2):
        found = GridSearchCV(make(), losses, scoring="neg_log_loss", cv=3, n_jobs=n_jobs)
        found.fit(binary.X, binary.y)
        if n_jobs == 1:
            alone = found.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], alone)
    random = RandomizedSearchCV(with_loss, {"loss__gamma": [0.5, 2.5]}, n_iter=2, cv=2)
    assert random.fit(binary.X, binary.y).best_params_["loss__gamma"] in (0.5, 2.5)


def test_parameters(make):
    model = make(FocalLoss(3.0))
    copy = clone(model)
    assert copy.loss == model.loss
    assert copy.loss is not model.loss
    assert "FocalLoss" in repr(model)
    model.set_params(loss=GHMLoss(), loss__bins=20, n_estimators=3)
    assert (model.loss.bins, model.n_estimators) == (20, 3)
    if make.kind is ImbalancedXGBClassifier:
        model.set_params(gamma=5.0)  # XGBoost's minimum split loss
        assert model.get_xgb_params()["gamma"] == 5.0
        assert not any(name.startswith(("loss", "prob")) for name in model.get_xgb_params())
    with pytest.raises(ValueError, match="loss__gamma"):
        make("focal").set_params(loss__gamma=1.0)


def test_parameters_set_after_fitting(make, problem):
    """XGBoost sends them to the booster, whose objective must stay."""
    model = make().fit(problem.X, problem.y)
    before = model.predict_proba(problem.X)
    model.set_params(n_jobs=2, loss="ghm")
    np.testing.assert_array_equal(model.predict_proba(problem.X), before)
    if make.kind is ImbalancedXGBClassifier:
        p = model.get_booster().predict(xgb.DMatrix(problem.X))
        raw = model.raw_score(problem.X)
        want = (
            1 / (1 + np.exp(-raw)) if raw.ndim == 1 else np.exp(raw) / np.exp(raw).sum(1)[:, None]
        )
        np.testing.assert_allclose(p, want, atol=1e-6)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_jobs(make, binary, backend):
    def predictions():
        return cross_val_predict(make("ghm"), binary.X, binary.y, cv=4, n_jobs=2,
                                 method="predict_proba")  # fmt: skip

    alone = cross_val_predict(make("ghm"), binary.X, binary.y, cv=4, method="predict_proba")
    with joblib.parallel_backend(backend):
        np.testing.assert_array_equal(predictions(), alone)


def test_meta_estimators(make, binary):
    X, y = pd.DataFrame(binary.X).add_prefix("x"), np.where(binary.y, "yes", "no")
    pipeline = make_pipeline(
        make_column_transformer((StandardScaler(), ["x0", "x1"]), (OrdinalEncoder(), ["x2"])),
        make(FocalLoss()),
    ).set_output(transform="pandas")
    assert pipeline.fit(X, y).predict_proba(X).shape == (len(y), 2)
    logistic = LogisticRegression()
    for meta in (
        CalibratedClassifierCV(make(), cv=2),
        TunedThresholdClassifierCV(make(), cv=2),
        FixedThresholdClassifier(make(), threshold=0.3, pos_label="yes"),
        VotingClassifier([("a", make()), ("b", logistic)], voting="soft"),
        StackingClassifier([("a", make()), ("b", logistic)], cv=2),
    ):
        assert set(meta.fit(X, y).predict(X)) == {"no", "yes"}
        np.testing.assert_allclose(meta.predict_proba(X).sum(axis=1), 1.0)


def test_a_balanced_loss_decides_for_the_rare_class(make, binary):
    rare = [make(loss).fit(binary.X, binary.y).predict(binary.X_valid).sum()
            for loss in ("cross_entropy", "balanced")]  # fmt: skip
    assert rare[1] > 1.3 * rare[0]


def test_metadata_routing(make, binary):
    import sklearn

    weight = np.random.default_rng(0).random(len(binary.y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = make().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"n_estimators": [3, 6]}, cv=2)
        search.fit(binary.X, binary.y, sample_weight=weight)
    direct = make(**search.best_params_).fit(binary.X, binary.y, sample_weight=weight)
    np.testing.assert_array_equal(search.predict_proba(binary.X), direct.predict_proba(binary.X))


def test_state_does_not_leak(make, problem):
    loss = GHMLoss(momentum=0.9)
    model = make(loss)
    first = model.fit(problem.X, problem.y).predict_proba(problem.X)
    model.fit(problem.X[:500], problem.y[:500])
    np.testing.assert_array_equal(model.fit(problem.X, problem.y).predict_proba(problem.X), first)
    assert model.loss is loss
    assert loss == GHMLoss(momentum=0.9)


# -- bad input --------------------------------------------------------------------------


def test_bad_input(make, binary):
    X, y = binary.X, binary.y
    for call, name in [
        (lambda: make("focus").fit(X, y), "loss"),
        (lambda: make(3).fit(X, y), "loss"),
        (lambda: make(probability="sigma").fit(X, y), "probability"),
        (lambda: make(objective="reg:squarederror").fit(X, y), "objective"),
        (lambda: make().fit(X, np.zeros(len(y))), "y must contain at least two classes"),
        (lambda: make().fit(X, np.where(y, np.nan, 0.0)), "y"),
        (lambda: make().fit(X, np.random.default_rng(0).random(len(y))), "continuous"),
        (lambda: make().fit(X, y[:-1]), "rows"),
        (lambda: make().fit(X, y, sample_weight=-np.ones(len(y))), "sample_weight"),
        (lambda: make().fit(X, y, sample_weight=np.zeros(len(y))), "sample_weight"),
        (lambda: make().fit(X, y, sample_weight=[1.0]), "sample_weight"),
        (lambda: make(FocalLoss().set_params(gamma=-1)).fit(X, y), "gamma"),
        (lambda: make(scale_pos_weight=-1.0).fit(X, y), "scale_pos_weight"),
        (lambda: make().fit(X, np.where(y, "a", "b"), eval_set=[(X, np.where(y, "a", "c"))]),
         r"eval_set\[0\]'s y must contain labels seen.*'c'"),
    ]:  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=name):
            call()
    with pytest.raises((ValueError, AttributeError), match=r"fit"):
        make().predict_proba(X)


# -- found by review --------------------------------------------------------------------


def test_parameters_set_later_do_not_reach_into_a_fitted_model(make, binary):
    loss = FocalLoss(2.0)
    model, named = make(loss).fit(binary.X, binary.y), make("focal").fit(binary.X, binary.y)
    before = model.predict_proba(binary.X)
    model.set_params(loss__gamma=0.0)
    named.loss_.loss.set_params(gamma=0.0)
    np.testing.assert_array_equal(model.predict_proba(binary.X), before)
    np.testing.assert_array_equal(
        make("focal").fit(binary.X, binary.y).predict_proba(binary.X), before
    )


def test_eval_sets_in_a_tuple(make, binary):
    model = make(n_estimators=2)
    quiet = {"verbose": False} if make.kind is ImbalancedXGBClassifier else {}
    both = ((binary.X, binary.y), (binary.X_valid, binary.y_valid))
    model.fit(binary.X, binary.y, eval_set=both, **quiet)
    log = model.evals_result() if hasattr(model, "evals_result") else model.evals_result_
    assert len(log) == 2
    with pytest.raises(ValueError, match=r"eval_set\[0\] must be a pair"):
        model.fit(binary.X, binary.y, eval_set=[(binary.X, binary.y, binary.y)], **quiet)


def test_polars_categories(make):
    pl = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    number, kind = rng.normal(size=600), [["u", "v", None][i] for i in rng.integers(0, 3, 600)]
    y = (number > 0.5) & (np.array(kind) == "u")
    # XGBoost 3.4 refuses polars.Categorical by name and asks for Enum
    dtype = pl.Enum(["u", "v"]) if make.kind is ImbalancedXGBClassifier else pl.Categorical
    frame = pl.DataFrame({"number": number, "kind": kind}, schema_overrides={"kind": dtype})
    extra = {"enable_categorical": True} if make.kind is ImbalancedXGBClassifier else {}
    model = make(**extra).fit(frame, y)
    assert (model.predict(frame) == y).mean() > 0.98
