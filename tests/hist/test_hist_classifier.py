"""scikit-learn's classifier with a loss: what the other engines' classifiers do, it does too."""

import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring, log_loss
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_predict
from threadpoolctl import threadpool_limits

from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedHistGradientBoostingClassifier,
    Recorder,
)
from boostloss.hist.sklearn_loss import FIT_TAKES_VALIDATION
from boostloss.losses import named

LOSSES = [
    "cross_entropy",
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2.0, class_weight="effective"),
    GHMLoss(),
    GHMLoss(density="bins"),
    GHMLoss(density="window", strength=0.5),
]
needs_validation = pytest.mark.skipif(
    not FIT_TAKES_VALIDATION, reason="scikit-learn's fit takes X_val from 1.7 on"
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield


def make(loss="focal", **params):
    return ImbalancedHistGradientBoostingClassifier(
        loss=loss, **{"max_iter": 20, "random_state": 0, **params}
    )


def parent(**params):
    return HistGradientBoostingClassifier(**{"max_iter": 20, "random_state": 0, **params})


# -- parity -----------------------------------------------------------------------------


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("recorder", [None, Recorder()], ids=["built-in", "callable"])
@pytest.mark.parametrize(
    ("class_weight", "early_stopping"), [(None, True), ("balanced", False), ("balanced", "auto")]
)
def test_cross_entropy_equals_the_parent(load, weighted, recorder, class_weight, early_stopping):
    X, y = load(return_X_y=True)
    X = X[:, :6]
    weight = np.random.default_rng(0).exponential(size=len(y)) if weighted else None
    params = {"early_stopping": early_stopping, "n_iter_no_change": 3}
    theirs = parent(class_weight=class_weight, **params)
    if (
        class_weight is not None and weighted
    ):  # the loss counts weighted rows, the parent counts rows
        counts = np.bincount(y, weights=weight)
        theirs.set_params(class_weight=dict(enumerate(weight.sum() / len(counts) / counts)))
    theirs.fit(X, y, sample_weight=weight)
    ours = make(CrossEntropy(class_weight=class_weight), **params)
    ours.fit(X, y, sample_weight=weight, recorder=recorder)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.raw_score(X), theirs.decision_function(X), rtol=0, atol=5e-14)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    if class_weight is None:
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=2e-15)
        np.testing.assert_allclose(ours.validation_score_, theirs.validation_score_, rtol=1e-12)


def test_class_weight_of_the_engine(binary):
    """It multiplies the loss's own, and the posterior undoes it."""
    X, y = binary.X, binary.y
    by_engine = make("cross_entropy", class_weight={0: 1.0, 1: 5.0}).fit(X, y)
    by_loss = make(CrossEntropy(class_weight=5.0)).fit(X, y)
    np.testing.assert_array_equal(by_engine.predict_proba(X), by_loss.predict_proba(X))
    assert by_engine.loss_ == by_loss.loss_
    alpha = make(FocalLoss(2.0, alpha=0.25), class_weight={0: 1.0, 1: 2.0}).fit(X, y).loss_.loss
    assert alpha == FocalLoss(2.0, class_weight=[0.75, 0.5])
    counted = make("cross_entropy", class_weight="balanced").fit(X, y).loss_.class_weight
    np.testing.assert_allclose(counted, len(y) / 2 / np.bincount(y))


# -- what fit takes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [False, True], [-3, 7], [1.0, 2.0], ["a", "b", "c"], [10, 20, 40]],
    ids=str,
)
def test_any_labels(labels):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, len(labels), 300)
    X = codes[:, None] + rng.normal(0, 0.5, (300, 3))
    y = np.array(labels)[codes]
    seen = []

    def accuracy(model, X, y):
        seen.extend(np.unique(y).tolist())
        return (model.predict(X) == y).mean()

    model = make(early_stopping=True, scoring=accuracy).fit(X, y)
    assert set(seen) == set(labels)
    assert model.classes_.tolist() == labels
    assert model.n_classes_ == len(labels)
    assert model.predict(X).dtype == y.dtype
    assert (model.predict(X) == y).mean() > 0.6
    assert make().fit(X, pd.Series(y.astype(object))).classes_.tolist() == labels
    assert model.raw_score(X).shape == ((300,) if len(labels) == 2 else (300, 3))
    likeliest = model.predict_proba(X).argmax(axis=1)
    np.testing.assert_array_equal(model.predict(X), np.array(labels)[likeliest])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_with_categories_and_missing_values(library):
    rng = np.random.default_rng(0)
    number, colour = rng.normal(size=400), rng.choice(["red", "green", "blue"], 400)
    y = np.where((number > 0.5) & (colour == "red"), "rare", "usual")
    number[::7] = np.nan
    if library == "pandas":
        frame = pd.DataFrame({"number": number, "colour": pd.Categorical(colour)})
    else:
        pl = pytest.importorskip("polars")
        frame = pl.DataFrame(
            {"number": number, "colour": colour}, schema_overrides={"colour": pl.Categorical}
        )
    try:
        HistGradientBoostingClassifier(max_iter=1, categorical_features="from_dtype").fit(frame, y)
    except ValueError:
        pytest.skip("this scikit-learn does not take the frame")
    model = make().fit(frame, y)
    assert model.feature_names_in_.tolist() == ["number", "colour"]
    assert model.is_categorical_.tolist() == [False, True]
    assert (model.predict(frame) == y).mean() > 0.9
    assert model.predict_proba(frame[:5]).shape == (5, 2)


def test_monotone_and_interaction_constraints(binary):
    model = make(monotonic_cst={0: 1}, interaction_cst="no_interactions")
    X, y = pd.DataFrame(binary.X), binary.y
    model.set_params(monotonic_cst=[1] + [0] * 9).fit(X.to_numpy(), y)
    rows = np.repeat(binary.X_valid[:20], 50, axis=0)
    rows[:, 0] = np.tile(np.linspace(-5, 5, 50), 20)
    assert (np.diff(model.predict_proba(rows)[:, 1].reshape(20, 50)) >= 0).all()


def test_sample_weights_are_repeated_rows(problem):
    times = np.random.default_rng(0).integers(1, 4, len(problem.y))
    params = {"min_samples_leaf": 1, "max_leaf_nodes": 8, "max_bins": 255, "max_iter": 5}
    X = problem.X.round(1)  # bins as exact as without weights
    loss = FocalLoss(2.0, class_weight="balanced")
    weighted = make(loss, **params).fit(X, problem.y, sample_weight=times)
    repeated = make(loss, **params).fit(np.repeat(X, times, axis=0), np.repeat(problem.y, times))
    assert weighted.loss_.loss == repeated.loss_.loss  # the class weights, counted
    np.testing.assert_allclose(
        weighted.raw_score(X), repeated.raw_score(X), atol=0.05
    )


def test_class_weight_by_label():
    rng = np.random.default_rng(0)
    y = rng.choice(["usual", "rare"], 200, p=[0.8, 0.2])
    loss = FocalLoss(1.0, class_weight={"usual": 1.0, "rare": 3.0})
    model = make(loss).fit(rng.normal(size=(200, 2)), y)
    assert model.loss_.loss == FocalLoss(1.0, class_weight=[3.0, 1.0])
    assert model.loss.class_weight == {"usual": 1.0, "rare": 3.0}
    with pytest.raises(ValueError, match="class_weight"):
        make(FocalLoss(class_weight={"usual": 1.0})).fit(rng.normal(size=(200, 2)), y)


@pytest.mark.parametrize("loss", ["focal", "ghm", "cross_entropy"])
def test_recorder(loss, problem):
    recorder = Recorder(bins=10)
    seen = make(loss).fit(problem.X, problem.y, recorder=recorder)
    assert recorder.run.rounds.tolist() == list(range(20))
    assert recorder.run.counts.sum(axis=(1, 2)).tolist() == [2000.0] * 20
    unseen = make(loss).fit(problem.X, problem.y)
    np.testing.assert_allclose(seen.predict_proba(problem.X), unseen.predict_proba(problem.X))
    assert b"Recorder" not in pickle.dumps(seen)
    with pytest.raises(TypeError, match="recorder must be"):
        make().fit(problem.X, problem.y, recorder=3)


# -- probabilities and stopping ---------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_probabilities(problem, loss):
    model = make(loss, max_iter=40).fit(problem.X, problem.y)
    raw, X = model.raw_score(problem.X_valid), problem.X_valid
    posterior = model.predict_proba(X)
    want = model.loss_.posterior(raw)
    np.testing.assert_array_equal(posterior if raw.ndim == 2 else posterior[:, 1], want)
    staged = list(model.staged_predict_proba(X))
    np.testing.assert_allclose(staged[-1], posterior, rtol=1e-9)
    np.testing.assert_array_equal(list(model.staged_predict(X))[-1], model.predict(X))
    assert len(staged) == model.n_iter_ == 40
    link = model.set_params(probability="link").predict_proba(X)
    built_in = HistGradientBoostingClassifier(max_iter=1).fit(problem.X, problem.y)
    scores = raw if raw.ndim == 2 else raw[:, None]
    np.testing.assert_allclose(link, built_in._loss.predict_proba(scores), rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_early_stopping_follows_the_posterior(problem, loss):
    params = {"early_stopping": True, "max_iter": 100, "n_iter_no_change": 5}
    model = make(loss, validation_fraction=None, **params).fit(problem.X, problem.y)
    raw = model.raw_score(problem.X)
    p = named(loss).fit(problem.y, raw, offset=False).posterior(raw)
    assert -model.train_score_[-1] == pytest.approx(log_loss(problem.y, p), rel=1e-9)
    held_out = make(loss, **params).fit(problem.X, problem.y)
    assert held_out.do_early_stopping_
    assert len(held_out.validation_score_) == held_out.n_iter_ + 1


@needs_validation
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_rows_that_stop_the_training(problem, loss):
    names = np.array(["a", "b", "c"])
    y, y_valid = names[problem.y], names[problem.y_valid]
    model = make(loss, learning_rate=0.3, max_iter=200, n_iter_no_change=3)
    weight = np.random.default_rng(0).exponential(size=len(y_valid))
    model.fit(problem.X, y, X_val=problem.X_valid, y_val=y_valid, sample_weight_val=weight)
    assert model.n_iter_ < 200
    raw = model.raw_score(problem.X_valid)
    # class weights are those of the training rows, the density that of these
    p = model.loss_.loss.fit(problem.y_valid, raw, weight, offset=False).posterior(raw)
    assert -model.validation_score_[-1] == pytest.approx(
        log_loss(problem.y_valid, p, sample_weight=weight), rel=1e-9
    )
    with pytest.raises(ValueError, match="y_val must contain labels seen in y"):
        model.fit(problem.X, y, X_val=problem.X_valid, y_val=problem.y_valid)
    with pytest.raises(ValueError, match="X_val and y_val must be given together, got X_val"):
        model.fit(problem.X, y, X_val=problem.X_valid)


def test_scorers_see_probabilities_as_the_parameter_says(problem):
    scores = {}
    for probability in ("posterior", "link"):
        model = make(
            "focal", probability=probability, scoring="neg_log_loss", early_stopping=True,
            validation_fraction=None, n_iter_no_change=30,
        ).fit(problem.X, problem.y)  # fmt: skip
        p = model.predict_proba(problem.X)
        assert -model.train_score_[-1] == pytest.approx(log_loss(problem.y, p), rel=1e-6)
        scores[probability] = model.train_score_[-1]
    assert scores["posterior"] > scores["link"]


# -- going on ---------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm"])
def test_warm_start(problem, loss):
    whole = make(loss, max_iter=16).fit(problem.X, problem.y)
    model = make(loss, max_iter=8, warm_start=True).fit(problem.X, problem.y)
    old = model._fitted
    model.set_params(max_iter=16).fit(problem.X, problem.y)
    assert (old.engine.n_iter_, model.n_iter_) == (8, 16)
    np.testing.assert_allclose(
        model.predict_proba(problem.X_valid), whole.predict_proba(problem.X_valid), rtol=1e-9
    )
    with pytest.raises(
        ValueError, match="must contain labels of the model that training continues from"
    ):
        model.fit(problem.X, problem.y + 1)


def test_an_interrupted_training_leaves_the_old_model(binary):
    class Stop(Recorder):
        def record(self, recording, *arguments):
            if recording is not None:
                raise KeyboardInterrupt
            return super().record(recording, *arguments)

    for warm in (False, True):
        model = make("focal", warm_start=warm).fit(binary.X, binary.y)
        before = model.predict_proba(binary.X)
        model.set_params(max_iter=40)
        with pytest.raises(KeyboardInterrupt):
            model.fit(binary.X, binary.y, recorder=Stop())
        np.testing.assert_array_equal(model.predict_proba(binary.X), before)
        assert model.n_iter_ == 20


# -- keeping ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_pickle_and_skops(problem, loss):
    model = make(loss).fit(problem.X, problem.y)
    copies = [pickle.loads(pickle.dumps(model))]
    try:
        import skops.io as skops
    except ImportError:
        pass
    else:
        data = skops.dumps(model)
        copies.append(skops.loads(data, trusted=skops.get_untrusted_types(data=data)))
    for copied in copies:
        np.testing.assert_array_equal(
            copied.predict_proba(problem.X), model.predict_proba(problem.X)
        )
        assert copied.loss_ == model.loss_


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "ghm"])
def test_the_engines_own_model(problem, loss):
    model = make(loss).fit(problem.X, np.array(["a", "b", "c"])[problem.y])
    engine = model.engine_model()
    assert type(engine) is HistGradientBoostingClassifier
    assert b"boostloss" not in pickle.dumps(engine)
    np.testing.assert_array_equal(
        engine.decision_function(problem.X), model.raw_score(problem.X)
    )
    link = model.set_params(probability="link").predict_proba(problem.X)
    np.testing.assert_allclose(engine.predict_proba(problem.X), link, rtol=1e-12)
    np.testing.assert_array_equal(
        model.classes_[engine.predict(problem.X)], model.predict(problem.X)
    )
    assert engine.classes_.tolist() == list(range(problem.n_classes))


@pytest.mark.parametrize("name", ["save_model", "load_model"])
def test_there_is_no_file_of_the_engine(name):
    with pytest.raises(NotImplementedError, match=f"{name}.*skops, pickle.*ONNX"):
        getattr(make(), name)("model.json")


@pytest.mark.parametrize("loss", ["cross_entropy", FocalLoss(), "ghm"])
def test_shap_values_add_up(problem, loss):
    shap = pytest.importorskip("shap")
    model = make(loss).fit(problem.X, problem.y)
    raw = model.raw_score(problem.X_valid[:50])
    explainer = shap.TreeExplainer(model)
    values = np.asarray(explainer.shap_values(problem.X_valid[:50]))
    np.testing.assert_allclose(values.sum(axis=1) + explainer.expected_value, raw, atol=1e-6)


def test_partial_dependence(binary):
    model = make().fit(binary.X, binary.y)
    fast = partial_dependence(model, binary.X, [0], method="recursion", grid_resolution=5)
    assert fast["average"].shape == (1, 5)


# -- scikit-learn's tools ---------------------------------------------------------------


def test_parameters():
    names = set(HistGradientBoostingClassifier().get_params())
    assert set(make().get_params()) == names | {"probability", "prior", "decision"}
    model = make(FocalLoss(3.0))
    copied = clone(model)
    assert copied.loss == model.loss
    assert copied.loss is not model.loss
    model.set_params(loss=GHMLoss(), loss__bins=20, max_iter=3)
    assert (model.loss.bins, model.max_iter) == (20, 3)
    with pytest.raises(ValueError, match="loss__gamma"):
        make("focal").set_params(loss__gamma=1.0)
    with pytest.raises(TypeError, match="n_estimators"):
        make(n_estimators=3)


def test_search_jobs_and_meta_estimators(binary):
    X, y = binary.X[:800], np.where(binary.y[:800], "yes", "no")
    search = GridSearchCV(make(FocalLoss()), {"loss__gamma": [0, 3]}, scoring="neg_log_loss", cv=2)
    assert len(set(search.fit(X, y).cv_results_["mean_test_score"])) == 2
    alone, together = (
        cross_val_predict(make("ghm"), X, y, cv=2, n_jobs=n, method="predict_proba") for n in (1, 2)
    )
    np.testing.assert_array_equal(alone, together)
    logistic = LogisticRegression()
    for meta in (
        CalibratedClassifierCV(make(), cv=2),
        TunedThresholdClassifierCV(make(), cv=2),
        VotingClassifier([("a", make()), ("b", logistic)], voting="soft"),
        StackingClassifier([("a", make()), ("b", logistic)], cv=2),
    ):
        assert set(meta.fit(X, y).predict(X)) == {"no", "yes"}
    weight = np.random.default_rng(0).random(len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = make().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"max_iter": [3]}, cv=2).fit(X, y, sample_weight=weight)
    direct = make(max_iter=3).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(search.predict_proba(X), direct.predict_proba(X))


def test_state_does_not_leak(problem):
    loss = GHMLoss(momentum=0.9)
    model = make(loss)
    first = model.fit(problem.X, problem.y).predict_proba(problem.X)
    model.fit(problem.X[:500], problem.y[:500])
    np.testing.assert_array_equal(model.fit(problem.X, problem.y).predict_proba(problem.X), first)
    assert model.loss is loss
    assert loss == GHMLoss(momentum=0.9)
    model.set_params(loss__bins=3)
    np.testing.assert_array_equal(model.predict_proba(problem.X), first)


def test_threads(binary):
    want = make("ghm").fit(binary.X, binary.y).predict_proba(binary.X)
    found = []

    def work():
        found.append(make("ghm").fit(binary.X, binary.y).predict_proba(binary.X))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got in found:
        np.testing.assert_array_equal(got, want)


# -- bad input --------------------------------------------------------------------------


def test_bad_input(binary):
    X, y = binary.X, binary.y
    for call, name in [
        (lambda: make("focus").fit(X, y), "loss"),
        (lambda: make(3).fit(X, y), "loss"),
        (lambda: make(probability="sigma").fit(X, y), "probability"),
        (lambda: make(max_iter=0).fit(X, y), "max_iter"),
        (lambda: make(class_weight="even").fit(X, y), "class_weight"),
        (lambda: make().fit(X, np.zeros(len(y))), "y must contain at least two classes"),
        (lambda: make().fit(X, np.where(y, np.nan, 0.0)), "y"),
        (lambda: make().fit(X, np.random.default_rng(0).random(len(y))), "continuous"),
        (lambda: make().fit(X, y[:-1]), "rows"),
        (lambda: make().fit(X, y, sample_weight=-np.ones(len(y))), "sample_weight"),
        (lambda: make().fit(X, y, sample_weight=np.zeros(len(y))), "sample_weight"),
        (lambda: make().fit(X, y, sample_weight=[1.0]), "sample_weight"),
        (lambda: make(FocalLoss().set_params(gamma=-1)).fit(X, y), "gamma"),
        (lambda: make().predict_proba(X), "not fitted"),
        (lambda: make().fit(X, y).predict(X[:, :3]), "features"),
    ]:
        with pytest.raises((ValueError, TypeError), match=name):
            call()
    if not FIT_TAKES_VALIDATION:
        with pytest.raises(ValueError, match=r"X_val, y_val must be left out.*1\.7"):
            make().fit(X, y, X_val=X, y_val=y)


@needs_validation
@pytest.mark.parametrize("scoring", ["neg_log_loss", "average_precision", None])
@pytest.mark.parametrize("loss", ["balanced", CrossEntropy(class_weight=30.0)])
def test_scorers_see_rows_without_class_weights(binary, loss, scoring):
    X, y = binary.X, binary.y
    half = len(y) // 2
    model = make(loss, early_stopping=True, scoring=scoring, n_iter_no_change=50)
    model.fit(X[:half], y[:half], X_val=X[half:], y_val=y[half:])
    score = check_scoring(model, scoring)(model, X[half:], y[half:])
    assert model.validation_score_[-1] == pytest.approx(score, rel=1e-6)
