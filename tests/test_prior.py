"""Other class shares: probabilities, decisions, early stopping, files, and what they rest on."""

import lightgbm as lgb
import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.metrics import log_loss

from boostloss import FocalLoss, ImbalancedLGBMClassifier, ImbalancedXGBClassifier
from boostloss.hist import ImbalancedHistGradientBoostingClassifier
from boostloss.hist.sklearn_loss import FIT_TAKES_VALIDATION
from boostloss.prior import add_unfound, estimate_prior, shift_prior

KINDS = {
    "xgboost": lambda **given: ImbalancedXGBClassifier(
        **{"n_jobs": 1, "n_estimators": 20, **given}
    ),
    "lightgbm": lambda **given: ImbalancedLGBMClassifier(
        **{"n_jobs": 1, "verbose": -1, "min_child_weight": 1.0, "n_estimators": 20, **given}
    ),
    "hist": lambda **given: ImbalancedHistGradientBoostingClassifier(
        **{"max_iter": 20, "early_stopping": False, **given}
    ),
}

needs_validation = pytest.mark.skipif(
    not FIT_TAKES_VALIDATION, reason="scikit-learn's fit takes X_val from 1.7 on"
)


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def rows(n, share, seed=0, n_classes=2):
    """Classes that look alike whatever their shares."""
    rng = np.random.default_rng(seed)
    share = [1 - share, share] if n_classes == 2 else share
    y = rng.choice(n_classes, n, p=share)
    centres = np.array([[0, 0, 0], [1.5, 1, 0], [0, 1, 2]])[:n_classes]
    return rng.normal(size=(n, 3)) + centres[y], y


def of_known_densities(X, share):
    """The true probability of class 1 of :func:`rows`."""
    return expit(logit(share) + X[:, 0] * 1.5 + X[:, 1] - (1.5**2 + 1) / 2)


# -- probabilities at hand --------------------------------------------------------------


def test_shift_is_exact_where_classes_look_alike():
    X, _ = rows(1000, 0.3)
    for old, new in ((0.3, 0.01), (0.01, 0.3), (0.5, 1e-6)):
        np.testing.assert_allclose(
            shift_prior(of_known_densities(X, old), old, new), of_known_densities(X, new), rtol=1e-9
        )
    rng = np.random.default_rng(0)
    likelihood, old, new = rng.random((50, 4)), rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
    before, after = (likelihood * s / (likelihood * s).sum(1, keepdims=True) for s in (old, new))
    np.testing.assert_allclose(shift_prior(before, old, new), after, rtol=1e-9)
    np.testing.assert_allclose(shift_prior(before, old, old), before, rtol=1e-12)
    np.testing.assert_array_equal(shift_prior([0.0, 1.0], 0.5, 0.01), [0.0, 1.0])
    two = shift_prior(np.column_stack([1 - before[:, 0], before[:, 0]]), [0.6, 0.4], [0.9, 0.1])
    np.testing.assert_allclose(two[:, 1], shift_prior(before[:, 0], 0.4, 0.1))


@pytest.mark.parametrize("new", [0.001, 0.02, 0.2, 0.5, 0.9])
def test_estimate_finds_the_share_of_a_simulated_shift(new):
    found = []
    for seed in range(20):
        X, y = rows(20_000, new, seed)
        found.append(estimate_prior(of_known_densities(X, 0.2), 0.2) - y.mean())
    counting = np.sqrt(new * (1 - new) / 20_000)
    assert abs(np.mean(found)) < 4 * counting  # no bias to speak of
    assert np.std(found) < 6 * counting


def test_estimate_of_several_classes():
    new, old = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    X, y = rows(30_000, new, n_classes=3)
    centres = np.array([[0, 0, 0], [1.5, 1, 0], [0, 1, 2]])
    p = softmax(X @ centres.T - (centres**2).sum(1) / 2 + np.log(old), axis=1)
    np.testing.assert_allclose(estimate_prior(p, old), new, atol=0.02)
    half = estimate_prior(p, old, sample_weight=np.where(y == 0, 0.5, 1.0))
    np.testing.assert_allclose(half, [3 / 7, 3 / 7, 1 / 7], atol=0.02)


def test_limits_of_the_estimate():
    """What its page says: errors of the probabilities are taken for another share."""
    X, _ = rows(20_000, 0.05)
    too_high = expit(logit(of_known_densities(X, 0.2)) + 1.0)
    assert estimate_prior(too_high, 0.2) > 0.1
    moved = X + np.array([0.7, 0, 0])  # the classes do not look as they did
    assert abs(estimate_prior(of_known_densities(moved, 0.2), 0.2) - 0.05) > 0.03


def test_unfound():
    rng = np.random.default_rng(0)
    p = rng.random(200_000) * 0.5
    found = (rng.random(len(p)) < p) & (rng.random(len(p)) < 0.7)
    assert add_unfound(p * 0.7, 0.3) == pytest.approx(p)
    assert add_unfound(np.full(5, found.mean()), 0.3).mean() == pytest.approx(p.mean(), rel=0.02)
    np.testing.assert_array_equal(add_unfound([0.9], 0.5), [1.0])


def test_bad_shares_and_probabilities():
    for old in (0.0, 1.0, 1.5, np.nan, [0.5, 0.6], [0.2, 0.3, 0.5], [[0.5, 0.5]], [1.0, 0.0]):
        with pytest.raises(ValueError, match="old must be"):
            shift_prior([0.5], old, 0.1)
        with pytest.raises(ValueError, match="new must be"):
            shift_prior([0.5], 0.1, old)
        with pytest.raises(ValueError, match="old must be"):
            estimate_prior([0.5], old)
    with pytest.raises(TypeError, match="old must be"):
        shift_prior([0.5], "a", 0.1)
    for p in ([1.1], [-0.1], [np.nan], [[0.5, 0.6]], [[1.0]], 0.5):
        for call in (lambda p=p: shift_prior(p, 0.5, 0.1), lambda p=p: estimate_prior(p, 0.5)):
            with pytest.raises(ValueError, match="probability must"):
                call()
    with pytest.raises(ValueError, match="row"):
        estimate_prior([], 0.5)
    with pytest.raises(ValueError, match="max_iter"):
        estimate_prior([0.4, 0.5, 0.8], 0.5, max_iter=1)
    for unfound in (1.0, -0.1, 2):
        with pytest.raises(ValueError, match="unfound"):
            add_unfound([0.5], unfound)


# -- the classifiers --------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm"])
def test_probabilities_and_decisions_of_the_population(make, loss, tmp_path):
    X, y = rows(3000, 0.3)
    plain = make(loss=loss).fit(X, y)
    model = make(loss=loss, prior=0.1).fit(X, y)
    share = y.mean()
    want = shift_prior(plain.predict_proba(X), [1 - share, share], [0.9, 0.1])
    np.testing.assert_allclose(model.predict_proba(X), want, rtol=1e-6)
    np.testing.assert_allclose(
        model.loss_.posterior(model.raw_score(X)), want[:, 1], rtol=1e-6
    )
    assert 0 < model.predict(X).sum() < plain.predict(X).sum()
    if loss == "cross_entropy":
        np.testing.assert_array_equal(model.predict(X), want[:, 1] > 0.5)
    # set later, by label, and the shares of training itself
    later = plain.set_params(prior={0: 0.9, 1: 0.1})
    np.testing.assert_allclose(later.predict_proba(X), want, rtol=1e-6)
    same = make(loss=loss).fit(X, y)
    decisions = same.predict(X)
    same.set_params(prior=share)
    assert (same.predict(X) == decisions).mean() > 0.999
    if not isinstance(model, ImbalancedHistGradientBoostingClassifier):
        path = tmp_path / ("m.json" if isinstance(model, ImbalancedXGBClassifier) else "m.txt")
        model.save_model(path)
        again = make()
        again.load_model(path)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        again.set_params(prior=None)
        np.testing.assert_allclose(
            again.predict_proba(X), same.set_params(prior=None).predict_proba(X)
        )


def test_several_classes(make):
    old, new = [0.4, 0.3, 0.3], {"a": 0.9, "b": 0.08, "c": 0.02}
    X, codes = rows(2000, old, n_classes=3)
    y = np.array(["a", "b", "c"])[codes]
    model = make().fit(X, y)
    share = np.bincount(codes) / len(y)
    want = shift_prior(model.predict_proba(X), share, list(new.values()))
    model.set_params(prior=new)
    np.testing.assert_allclose(model.predict_proba(X), want, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(X), model.classes_[want.argmax(axis=1)])


def test_against_weights_that_say_the_same(make):
    """Training rows weighted to the population have its shares: nothing is left to shift."""
    X, y = rows(3000, 0.3)
    weight = np.where(y == 1, 0.02 / y.mean(), 0.98 / (1 - y.mean()))
    model = make().fit(X, y, sample_weight=weight)
    before = model.predict_proba(X)
    np.testing.assert_allclose(model.set_params(prior=0.02).predict_proba(X), before, rtol=1e-6)


def test_undersampled_training_is_as_good_as_all_rows(make):
    X, y = rows(20_000, 0.02)
    kept = (y == 1) | (np.random.default_rng(0).random(len(y)) < 0.1)
    X_test, y_test = rows(20_000, 0.02, seed=1)
    losses = {
        name: log_loss(y_test, make(**given).fit(X[some], y[some]).predict_proba(X_test))
        for name, some, given in (
            ("all", np.ones(len(y), bool), {}),
            ("kept", kept, {}),
            ("shifted", kept, {"prior": y.mean()}),
        )
    }
    assert losses["shifted"] < 1.05 * losses["all"] < 0.8 * losses["kept"]


@pytest.mark.parametrize(
    "engine", ["xgboost", "lightgbm", pytest.param("hist", marks=needs_validation)]
)
@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "ghm"])
def test_early_stopping_is_judged_where_the_model_is_used(engine, loss):
    X, y = rows(3000, 0.3)
    model = KINDS[engine](loss=loss, prior=0.02)
    values = []
    for share in (0.02, 0.3):  # whether the rows that judge were undersampled or not
        X_valid, y_valid = rows(60_000, share, seed=2)
        if engine == "xgboost":
            model.fit(X, y, eval_set=[(X_valid, y_valid)], verbose=False)
            curve = next(iter(model.evals_result()["validation_0"].values()))
        elif engine == "hist":
            model.set_params(early_stopping=True, n_iter_no_change=20)
            model.fit(X, y, X_val=X_valid, y_val=y_valid)
            curve = -model.validation_score_
        else:
            model.fit(X, y, eval_X=X_valid, eval_y=y_valid, callbacks=[lgb.log_evaluation(0)])
            curve = next(iter(model.evals_result_["valid_0"].values()))
        values.append(curve[-1])
        weight = np.where(y_valid == 1, 0.02 / y_valid.mean(), 0.98 / (1 - y_valid.mean()))
        p = model.predict_proba(X_valid)[:, 1]
        if loss == "cross_entropy":  # others have an offset of the training rows too
            assert curve[-1] == pytest.approx(log_loss(y_valid, p, sample_weight=weight), rel=1e-4)
    assert values[0] == pytest.approx(values[1], rel=0.1)


def posterior_by_hand(loss, y_train):
    """P(1) in proportion to p / w(p), the loss's weight of a row taken out."""

    def weight(p):
        q = 1.0 - p
        return q**2 - 2.0 * p * q * np.log(p) if loss == "focal" else np.ones_like(p)

    counts = np.bincount(y_train) if loss == "balanced" else np.ones(2)

    def posterior(raw):
        p = np.column_stack([expit(-raw), expit(raw)])
        odds = p / weight(p) * counts
        return odds[:, 1] / odds.sum(axis=1)

    return posterior


def round_of_the_stop(scores, patience, tol=1e-7):
    """scikit-learn's rule: no score of the last ones is above the one before them."""
    for last in range(patience, len(scores)):
        before, *recent = scores[last - patience : last + 1]
        if max(recent) <= before + tol:
            return last
    raise AssertionError("it does not stop")


@needs_validation
@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal"])
def test_round_of_the_stop_is_that_of_the_population(loss):
    """Training rows were undersampled, those that judge were not."""
    X_all, y_all = rows(20_000, 0.03)
    kept = (y_all == 1) | (np.random.default_rng(0).random(len(y_all)) < 0.05)
    X, y = X_all[kept], y_all[kept]
    X_valid, y_valid = rows(4000, 0.03, seed=1)
    trees = {"max_iter": 120, "learning_rate": 0.05, "max_leaf_nodes": 8}
    rounds = {}
    for prior in (None, 0.03):
        model = KINDS["hist"](loss=loss, prior=prior, **trees)
        model.set_params(early_stopping=True, n_iter_no_change=4)
        rounds[prior] = model.fit(X, y, X_val=X_valid, y_val=y_valid).n_iter_
    start = model.engine_model()._baseline_prediction.item()
    longer = KINDS["hist"](loss=loss, **trees).fit(X, y)
    raws = [np.full(len(X_valid), start), *longer.staged_raw_score(X_valid)]
    in_use = np.where(y_valid == 1, 0.03 / y_valid.mean(), 0.97 / (1 - y_valid.mean()))
    posterior = posterior_by_hand(loss, y)
    scores = [
        -log_loss(y_valid, shift_prior(posterior(raw), y.mean(), 0.03), sample_weight=in_use)
        for raw in raws
    ]
    np.testing.assert_allclose(model.validation_score_, scores[: rounds[0.03] + 1], rtol=1e-6)
    assert rounds[0.03] == round_of_the_stop(scores, 4) != rounds[None]


def test_scorers_of_the_users_see_the_population():
    X, y = rows(2000, 0.3)
    seen = []

    def mean_probability(model, X, y):
        seen.append(float(model.predict_proba(X)[:, 1].mean()))
        return len(seen)

    model = KINDS["hist"](prior=0.02, early_stopping=True, validation_fraction=None)
    model.set_params(scoring=mean_probability).fit(X, y)
    assert seen[-1] == pytest.approx(model.predict_proba(X)[:, 1].mean(), rel=1e-9)
    assert seen[-1] < 0.05


def test_metrics_of_the_users_see_the_population():
    X, y = rows(2000, 0.3)
    seen = []

    def mean_probability(y_true, p, *_):
        seen.append(float(np.mean(p)))
        return "mean", seen[-1], False

    for engine in ("xgboost", "lightgbm"):
        model = KINDS[engine](prior=0.02)
        if engine == "xgboost":
            model.set_params(eval_metric=lambda y_true, p: mean_probability(y_true, p)[1])
            model.fit(X, y, eval_set=[(X, y)], verbose=False)
        else:
            model.fit(X, y, eval_X=X, eval_y=y, eval_metric=mean_probability)
        assert seen[-1] == pytest.approx(model.predict_proba(X)[:, 1].mean(), rel=1e-4)


def test_recalibrated_where_it_is_used(make):
    X, y = rows(3000, 0.3)
    model = make(prior=0.02, learning_rate=0.5).fit(X, y)
    X_held, y_held = rows(20_000, 0.02, seed=3)
    model.recalibrate(X_held, y_held)
    assert model.predict_proba(X_held)[:, 1].mean() == pytest.approx(y_held.mean(), rel=1e-6)


def test_priors_that_are_none(make):
    X, codes = rows(300, 0.3)
    y = np.array(["a", "b"])[codes]
    for prior, words in [
        (0.1, "prior is for the positive class"),
        ({"a": 0.5}, "keys"),
        ({"a": 0.5, "b": 0.6}, "add up"),
        ({"a": 1.0, "b": 0.0}, "above 0"),
        ([0.5, 0.5], "prior must be"),
        (True, "prior must be"),
        ("0.1", "prior must be"),
        (2.0, "prior must be"),
        (0.0, "prior must be"),
    ]:
        error = TypeError if isinstance(prior, list | bool | str) else ValueError
        with pytest.raises(error, match=words):
            make(prior=prior).fit(X, y)
        model = make().fit(X, y).set_params(prior=prior)
        with pytest.raises(error, match=words):
            model.predict_proba(X)
    with pytest.raises(ValueError, match="probability must be 'posterior'"):
        make(prior=0.1, probability="link").fit(X, codes)


def test_a_file_without_shares(tmp_path):
    X, y = rows(300, 0.3)
    model = KINDS["xgboost"](loss=FocalLoss(1)).fit(X, y)
    model._fitted = model._fitted._replace(class_share=None)  # as an older version wrote it
    model.save_model(tmp_path / "m.json")
    again = ImbalancedXGBClassifier()
    again.load_model(tmp_path / "m.json")
    again.predict_proba(X)
    with pytest.raises(ValueError, match="older versions"):
        again.set_params(prior=0.1).predict_proba(X)
