"""A loss in scikit-learn's own class, and in the form in which scikit-learn calls it."""

import copy
import pickle

import numpy as np
import pytest
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.hist import HistLoss, hist_loss

LOSSES = [
    CrossEntropy(),
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2.0, class_weight="effective"),
    GHMLoss(),
    GHMLoss(momentum=0.5),
    GHMLoss(density="window"),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield


def engine(loss="log_loss", **params):
    given = loss if isinstance(loss, str) else hist_loss(loss)
    return HistGradientBoostingClassifier(
        loss=given, **{"max_iter": 20, "random_state": 0, **params}
    )


# -- parity with the built-in ---------------------------------------------------------------


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("loss", [CrossEntropy(), FocalLoss(gamma=0)], ids=repr)
def test_gamma_0_equals_the_built_in(loss, load, weighted, stopped):
    X, y = load(return_X_y=True)
    weight = np.random.default_rng(0).exponential(size=len(y)) if weighted else None
    params = {"early_stopping": True, "n_iter_no_change": 3} if stopped else {}
    built_in = engine(**params).fit(X, y, sample_weight=weight)
    ours = engine(FocalLoss(gamma=0), **params).fit(X, y, sample_weight=weight)
    assert ours.n_iter_ == built_in.n_iter_
    np.testing.assert_allclose(ours.predict_proba(X), built_in.predict_proba(X), rtol=0, atol=2e-15)
    np.testing.assert_allclose(ours.train_score_, built_in.train_score_, rtol=1e-12)
    np.testing.assert_allclose(ours.validation_score_, built_in.validation_score_, rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_scikit_learn_asks_of_a_loss(n_classes, weighted):
    """Every method of scikit-learn's own loss, called in its own way."""
    rng = np.random.default_rng(0)
    y = np.arange(60.0) % n_classes
    raw = np.asfortranarray(rng.normal(size=(60, n_classes if n_classes > 2 else 1)))
    weight = rng.exponential(size=60) if weighted else None
    theirs = HalfMultinomialLoss(n_classes=3) if n_classes > 2 else HalfBinomialLoss()
    ours = hist_loss(CrossEntropy())
    np.testing.assert_allclose(
        ours.fit_intercept_only(y, weight), theirs.fit_intercept_only(y, weight), atol=1e-14
    )
    for loss in (ours, theirs):
        loss.out = loss.init_gradient_and_hessian(n_samples=60, dtype=np.float32, order="F")
        loss.gradient_hessian(y, raw, weight, *loss.out, n_threads=2)
    for mine, other in zip(ours.out, theirs.out, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=3e-7)
    flat = raw if n_classes > 2 else raw.ravel()
    np.testing.assert_allclose(
        ours.gradient(y, flat, weight), theirs.gradient(y, flat, weight), rtol=1e-6
    )
    np.testing.assert_allclose(
        ours.loss(y, flat, weight, np.empty(60)), theirs.loss(y, flat, weight), rtol=1e-12
    )
    assert ours(y, flat, weight) == pytest.approx(theirs(y, flat, weight), rel=1e-12)
    np.testing.assert_allclose(ours.predict_proba(raw), theirs.predict_proba(raw), rtol=1e-12)
    assert (ours.constant_hessian, ours.differentiable) == (False, True)
    assert ours.in_y_true_range(y)
    assert not ours.in_y_true_range(y + n_classes)


# -- a loss of one's own --------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_probabilities_are_the_posterior(loss, problem):
    model = engine(loss, early_stopping=False).fit(problem.X, problem.y)
    raw_train, raw = (model.decision_function(X) for X in (problem.X, problem.X_valid))
    want = loss.fit(problem.y, raw_train).posterior(raw)
    got = model.predict_proba(problem.X_valid)
    # the engine adds trees to scores in another order than it predicts
    np.testing.assert_allclose(got if raw.ndim == 2 else got[:, 1], want, rtol=1e-9)
    assert model.loss.fitted_loss.n_classes == problem.n_classes
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(copied.predict_proba(problem.X_valid), got)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_early_stopping_follows_the_posterior(loss, problem):
    params = {"early_stopping": True, "validation_fraction": None}
    model = engine(loss, **params).fit(problem.X, problem.y)
    assert len(model.train_score_) == 21
    fitted = loss.fit(problem.y, model.decision_function(problem.X), offset=False)
    p = fitted.posterior(model.decision_function(problem.X))
    assert -model.train_score_[-1] == pytest.approx(log_loss(problem.y, p), rel=1e-9)
    scored = engine(loss, scoring="neg_log_loss", **params).fit(problem.X, problem.y)
    p = scored.predict_proba(problem.X)
    assert -scored.train_score_[-1] == pytest.approx(log_loss(problem.y, p), rel=1e-6)


@pytest.mark.parametrize("loss", [FocalLoss(2.0, class_weight="balanced"), GHMLoss()], ids=repr)
def test_warm_start(loss, problem):
    whole = engine(loss, max_iter=16).fit(problem.X, problem.y)
    half = engine(loss, max_iter=8, warm_start=True).fit(problem.X, problem.y)
    for model in (copy.deepcopy(half), half):  # in another process, and here
        model.set_params(max_iter=16).fit(problem.X, problem.y)
        np.testing.assert_allclose(
            model.predict_proba(problem.X_valid), whole.predict_proba(problem.X_valid), rtol=1e-9
        )


def test_clone_and_search(binary):
    model = engine(FocalLoss(2.0)).fit(binary.X, binary.y)
    copied = clone(model)
    assert copied.loss is not model.loss
    assert copied.loss.fitted_loss is None
    assert repr(copied.loss) == "hist_loss(FocalLoss())"
    search = GridSearchCV(engine(FocalLoss()), {"loss__gamma": [0, 1, 3]}, cv=2)
    search.set_params(scoring="neg_log_loss").fit(binary.X, binary.y)
    assert len(set(search.cv_results_["mean_test_score"])) == 3
    best = search.best_estimator_
    assert best.loss.get_params()["gamma"] == search.best_params_["loss__gamma"]


def test_one_object_for_two_models(binary):
    """What would change the first model's probabilities is refused."""
    other = np.arange(len(binary.y)) % 3 == 0
    for loss, refused in ((CrossEntropy(), False), (FocalLoss(gamma=0), False), (GHMLoss(), True),
                          (FocalLoss(), True), (CrossEntropy(class_weight="balanced"), True)):  # fmt: skip
        first = engine(loss).fit(binary.X, binary.y)
        before = first.predict_proba(binary.X)
        second = HistGradientBoostingClassifier(loss=first.loss, max_iter=2)
        if refused:
            with pytest.raises(ValueError, match="another hist_loss object for each model"):
                second.fit(binary.X, other)
        else:
            second.fit(binary.X, other)
        np.testing.assert_array_equal(first.predict_proba(binary.X), before)
        first.fit(binary.X, other)  # its own again
    del first
    second.fit(binary.X, other)


def test_what_is_refused(problem):
    with pytest.raises(TypeError, match="loss must be a boostloss loss"):
        hist_loss(3)
    with pytest.raises(ValueError, match="loss must be a boostloss loss"):
        hist_loss("focus")
    with pytest.raises(ValueError, match="is not fitted"):
        hist_loss("focal").predict_proba(np.zeros((3, 1)))
    if problem.n_classes > 2:
        with pytest.raises(ValueError, match="AsymmetricLoss is for two classes, got 3"):
            engine(AsymmetricLoss()).fit(problem.X, problem.y)
    weight = np.where(problem.y == 0, -1.0, 1.0)
    with pytest.raises(ValueError, match="sample_weight"):
        engine(FocalLoss()).fit(problem.X, problem.y, sample_weight=weight)


def test_the_training_rows_are_let_go(binary):
    model = engine(GHMLoss()).fit(binary.X, binary.y)
    model.predict_proba(binary.X)
    size = len(pickle.dumps(model.loss))
    assert isinstance(model.loss, HistLoss)
    assert size < 8000  # the rows would take 32,000
