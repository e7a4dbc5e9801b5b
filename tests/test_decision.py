"""The parameter ``decision`` of the classifiers, on both engines and scikit-learn's trees."""

import json
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.special import expit, log_softmax, logit
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV

from boostloss import (
    AsymmetricLoss,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedHistGradientBoostingClassifier,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)
from boostloss.decide import decide, observed_cost
from boostloss.model_file import read_state

MAKERS = {
    "xgboost": lambda **p: ImbalancedXGBClassifier(n_jobs=1, n_estimators=8, max_depth=3, **p),
    "lightgbm": lambda **p: ImbalancedLGBMClassifier(
        n_jobs=1, n_estimators=8, num_leaves=8, verbose=-1, **p
    ),
    "hist": lambda **p: ImbalancedHistGradientBoostingClassifier(max_iter=8, max_depth=3, **p),
}
SUFFIX = {"xgboost": "json", "lightgbm": "txt"}
COSTS = {2: np.array([[0, 1], [30, -1.0]]), 3: np.array([[0, 1, 2], [5, 0, 1], [40, 9, 0.0]])}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture(params=sorted(MAKERS.keys() & SUFFIX.keys()))
def saving(request):
    return MAKERS[request.param], SUFFIX[request.param]


def rows(n_classes, n=1200):
    rng = np.random.default_rng(0)
    y = rng.choice(n_classes, n, p=[0.9, 0.1] if n_classes == 2 else [0.8, 0.15, 0.05])
    X = rng.normal(size=(n, 4))
    X[:, 0] += y
    return X, np.array(["no", "some", "much"])[y] if n_classes == 3 else y


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_decision_is_what_it_says(make, n_classes, loss):
    X, y = rows(n_classes)
    model = make(loss=loss).fit(X, y)
    p, raw, labels = model.predict_proba(X), model.raw_score(X), model.classes_
    by_raw = (raw > 0).astype(int) if n_classes == 2 else raw.argmax(axis=1)
    by_loss = by_raw if loss == "balanced" else p.argmax(axis=1)
    share = np.array([(y == label).mean() for label in labels])
    thresholds = np.array([0.7, 0.2, 0.1])[:n_classes]
    costs = COSTS[n_classes]
    by_label = {
        true: {label: costs[i, j] for j, label in enumerate(labels)}
        for i, true in enumerate(labels)
    }
    reordered = pd.DataFrame(costs, labels, labels).iloc[::-1, ::-1]
    cases = [
        ("loss", by_loss),
        ("raw", by_raw),
        ("probability", p.argmax(axis=1)),
        ("balanced", (p / share).argmax(axis=1)),
        (thresholds, (p / thresholds).argmax(axis=1)),
        (dict(zip(labels, thresholds, strict=True)), (p / thresholds).argmax(axis=1)),
        (costs, decide(p, costs)),
        (costs.tolist(), decide(p, costs)),
        (by_label, decide(p, costs)),
        (reordered, decide(p, costs)),
    ]
    if n_classes == 2:
        cases += [(0.07, p[:, 1] >= 0.07), (0, np.ones(len(y), int)), (1.0, p[:, 1] >= 1)]
    for decision, codes in cases:
        model.set_params(decision=decision)  # without another fit
        np.testing.assert_array_equal(model.predict(X), labels[np.asarray(codes, int)])
        scores = model.decision_function(X)
        by_scores = scores > 0 if n_classes == 2 else scores.argmax(axis=1)
        np.testing.assert_array_equal(model.predict(X), labels[by_scores.astype(int)])
    again = make(loss=loss, decision=by_label).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), labels[decide(p, costs)])


LOSSES = {
    "cross-entropy": CrossEntropy(),
    "equal weights": CrossEntropy(class_weight=[3.0, 3.0]),
    "focal": FocalLoss(2.0),
    "GHM": GHMLoss(),
    "GHM, published": GHMLoss(density="bins"),
    "symmetric": AsymmetricLoss(2.0, 2.0, 0.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_by_default_the_largest_probability_is_decided_for(make, name, tmp_path):
    X, y = rows(2)
    X[:, 0] += 2 * y
    model = make(loss=LOSSES[name]).fit(X, y)
    by_raw = model.raw_score(X) > 0

    def check(model):
        p = model.predict_proba(X)
        likeliest = p.argmax(axis=1)
        np.testing.assert_array_equal(model.predict(X), likeliest)
        np.testing.assert_allclose(expit(model.decision_function(X)), p[:, 1], rtol=1e-12)
        assert len(set(likeliest)) == 2
        return likeliest

    check(model)
    assert (check(model.set_params(prior=0.4)) != by_raw).any()
    check(pickle.loads(pickle.dumps(model)))
    model.set_params(prior=None).recalibrate(X, y, sample_weight=np.where(y == 1, 4.0, 1.0))
    assert (check(model) != by_raw).any()
    if not isinstance(model, ImbalancedHistGradientBoostingClassifier):
        model.save_model(tmp_path / "model.json")
        read = make()
        read.load_model(tmp_path / "model.json")
        assert read.decision == "loss"
        check(read)
    check(model.set_params(probability="link"))


@pytest.mark.parametrize(
    "loss",
    [CrossEntropy(class_weight="balanced"), FocalLoss(2.0, class_weight=[1.0, 4.0]),
     GHMLoss(class_weight="balanced"), AsymmetricLoss()],
    ids=repr,
)  # fmt: skip
def test_a_loss_that_favours_a_class_decides_by_its_scores(make, loss):
    X, y = rows(2)
    model = make(loss=loss).fit(X, y)
    by_raw = (model.raw_score(X) > 0).astype(int)
    np.testing.assert_array_equal(model.predict(X), by_raw)
    assert model.decision_ == "raw"
    assert (model.predict_proba(X).argmax(axis=1) != by_raw).any()
    np.testing.assert_array_equal(model.set_params(decision="raw").predict(X), by_raw)


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_decision_function_is_in_logarithms(make, n_classes, loss):
    X, y = rows(n_classes)
    model = make(loss=loss, decision="probability").fit(X, y)
    scores, p = model.decision_function(X), model.predict_proba(X)
    if n_classes == 2:
        np.testing.assert_allclose(scores, logit(p[:, 1]), rtol=1e-9)
    else:
        np.testing.assert_allclose(scores, np.log(p), rtol=1e-9)
        for k in range(3):  # columns order the rows as probabilities do
            np.testing.assert_array_equal(np.argsort(scores[:, k]), np.argsort(p[:, k]))
    raw = model.raw_score(X)
    if loss == "cross_entropy":
        np.testing.assert_array_equal(scores, raw if n_classes == 2 else log_softmax(raw.astype(float), axis=1))
    share, old = np.full(n_classes, 1 / n_classes), model.class_share_
    model.set_params(prior=dict(zip(model.classes_, share, strict=True)))
    moved = np.log(share / old)
    shifted = scores + (moved if n_classes == 3 else moved[1] - moved[0])
    shifted = shifted if n_classes == 2 else log_softmax(shifted, axis=1)
    np.testing.assert_allclose(model.decision_function(X), shifted, rtol=1e-7)
    costs = COSTS[n_classes]
    cost = model.predict_proba(X) @ costs
    scores = model.set_params(decision=costs).decision_function(X)
    want = cost[:, 0] - cost[:, 1] if n_classes == 2 else -cost
    np.testing.assert_allclose(scores, want, rtol=1e-12)
    model.set_params(prior=None, decision="raw", probability="link")
    np.testing.assert_array_equal(model.decision_function(X), raw)
    scores = model.set_params(decision="probability").decision_function(X)
    np.testing.assert_array_equal(scores, raw if n_classes == 2 else log_softmax(raw.astype(float), axis=1))


@pytest.mark.parametrize("threshold", [0, 1])
def test_scores_of_extreme_thresholds_are_finite_and_keep_the_order(make, threshold):
    X, y = rows(2)
    model = make(decision=threshold).fit(X, y)
    scores = model.decision_function(X)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores > 0, np.full(len(X), threshold == 0))
    np.testing.assert_array_equal(model.predict(X), np.full(len(X), 1 - threshold))
    assert roc_auc_score(y, scores) == pytest.approx(roc_auc_score(y, model.predict_proba(X)[:, 1]))


def test_pandas_is_read_by_label(make):
    X, codes = rows(2)
    y = np.array(["ok", "fraud"])[codes]
    thresholds = pd.Series({"ok": 0.9, "fraud": 0.1})
    costs = pd.DataFrame({"ok": [0.0, 5.0], "fraud": [1.0, 0.0]}, index=["ok", "fraud"])
    model = make().fit(X, y)
    for by_pandas, plain in ((thresholds, thresholds.to_dict()), (costs, costs.T.to_dict())):
        want = model.set_params(decision=plain).predict(X)
        assert 0 < (want == "fraud").sum() < len(X)
        for frame in (by_pandas, by_pandas.iloc[::-1]):
            np.testing.assert_array_equal(model.set_params(decision=frame).predict(X), want)
    shares = pd.Series({"ok": 0.99, "fraud": 0.01})
    want = model.set_params(prior=shares.to_dict(), decision="loss").predict_proba(X)
    for series in (shares, shares.iloc[::-1]):
        found = model.set_params(prior=series).predict_proba(X)
        np.testing.assert_array_equal(found, want)
    with pytest.raises(ValueError, match=r"a dict must have the keys \['fraud', 'ok'\], got"):
        model.set_params(decision=pd.Series([0.3, 0.7])).predict(X)
    with pytest.raises(ValueError, match=r"prior must have the keys \['fraud', 'ok'\], got"):
        model.set_params(decision="loss", prior=pd.Series([0.3, 0.7])).predict(X)
    twice = pd.Series([0.5, 0.4, 0.1], index=["ok", "fraud", "fraud"])
    doubled = pd.DataFrame(np.eye(2), index=["ok", "fraud"], columns=["ok", "ok"])
    for wrong in (twice, doubled):
        with pytest.raises(ValueError, match="decision must contain each label once, got"):
            model.set_params(prior=None, decision=wrong).predict(X)
    with pytest.raises(ValueError, match="prior must contain each label once, got"):
        model.set_params(decision="loss", prior=twice).predict(X)
    by_position = pl.DataFrame({"fraud": [0.0, 30.0], "ok": [1.0, 0.0]})
    with pytest.raises(ValueError, match="decision is for the positive class"):
        model.set_params(prior=None, decision=by_position).predict(X)


@pytest.mark.parametrize("decision", [0.03, np.array([0.3, 0.7]), COSTS[2], COSTS[2].tolist()])
def test_numbers_by_position_need_labels_that_say_the_positive(make, decision, tmp_path):
    X, codes = rows(2)
    by_text = np.array(["ok", "fraud"])[codes]
    want = make(decision=decision).fit(X, codes).predict(X)
    for y in (codes == 1, 2 * codes - 1):
        found = make(decision=decision).fit(X, y).predict(X)
        np.testing.assert_array_equal(found == y.max(), want == 1)
    words = r"(?s)decision is for the positive class.* by label, {'fraud'"
    with pytest.raises(ValueError, match=words):
        make(decision=decision).fit(X, by_text)
    model = make().fit(X, by_text).set_params(decision=decision)
    with pytest.raises(ValueError, match=words):
        model.predict(X)
    model.set_params(decision={"fraud": {"ok": 30}, "ok": {"fraud": 1}})
    found = model.predict(X)
    assert (found == "fraud").mean() > 2 * (by_text == "fraud").mean()
    if not isinstance(model, ImbalancedHistGradientBoostingClassifier):
        model.save_model(tmp_path / "model")
        read = make()
        read.load_model(tmp_path / "model")
        np.testing.assert_array_equal(read.predict(X), found)


def test_decisions_do_what_they_are_for(make):
    X, y = rows(2, 6000)
    train, test = slice(0, 3000), slice(3000, None)
    model = make().fit(X[train], y[train])
    accuracy, cost = {}, {}
    for name, decision in {"loss": "loss", "balanced": "balanced", "costs": COSTS[2]}.items():
        called = model.set_params(decision=decision).predict(X[test])
        accuracy[name] = balanced_accuracy_score(y[test], called)
        cost[name] = observed_cost(y[test], called, COSTS[2]).sum()
    assert accuracy["balanced"] > accuracy["loss"] + 0.1
    assert cost["costs"] < min(cost["loss"], cost["balanced"])


def test_weights_count_in_the_shares(make):
    X, y = rows(2)
    weight = np.where(y == 1, 5.0, 1.0)
    model = make(decision="balanced").fit(X, y, sample_weight=weight)
    p = model.predict_proba(X)
    share = weight[y == 1].sum() / weight.sum()
    np.testing.assert_array_equal(model.predict(X), (p / [1 - share, share]).argmax(axis=1))


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced"])
def test_decisions_follow_the_prior(make, loss):
    X, y = rows(2)
    model = make(loss=loss, decision=0.07).fit(X, y)
    before = model.set_params(decision="balanced").predict(X)
    for decision in (0.07, "probability", COSTS[2], "balanced"):
        model.set_params(decision=decision, prior=None)
        trained = model.predict(X).sum()
        model.set_params(prior=0.01)
        p = model.predict_proba(X)
        want = {"probability": p.argmax(axis=1), "balanced": (p / [0.99, 0.01]).argmax(axis=1)}
        if isinstance(decision, str):
            codes = want[decision]
        else:
            codes = p[:, 1] >= 0.07 if decision is not COSTS[2] else decide(p, COSTS[2])
        np.testing.assert_array_equal(model.predict(X), codes)
        if not isinstance(decision, str):
            assert codes.sum() < trained
    np.testing.assert_array_equal(model.predict(X), before)  # shares cancel


@pytest.mark.parametrize(
    "decision", ["probability", "balanced", "raw", 0.2, [0.3, 0.7], COSTS[2]], ids=str
)
def test_clones_pickles_and_files_keep_it(saving, decision, tmp_path):
    make, suffix = saving
    X, y = rows(2)
    model = make(decision=decision).fit(X, y)
    want = model.predict(X)
    assert model.get_params()["decision"] is decision
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), want)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), want)
    model.save_model(tmp_path / f"m.{suffix}")
    read = make()
    read.load_model(tmp_path / f"m.{suffix}")
    np.testing.assert_array_equal(read.predict(X), want)
    np.testing.assert_array_equal(read.decision, decision)
    read.save_model(tmp_path / f"again.{suffix}")
    assert (tmp_path / f"m.{suffix}").read_bytes() == (tmp_path / f"again.{suffix}").read_bytes()


def test_a_file_without_it_decides_as_it_did():
    X, y = rows(2)
    state = json.loads(MAKERS["xgboost"](decision=0.3).fit(X, y)._state().text())
    assert read_state(json.dumps(state), "it").decision == 0.3
    former = {name: value for name, value in state.items() if name != "decision"}
    assert read_state(json.dumps({**former, "format": 2}), "it").decision == "raw"
    for wrong in ({"0": 0.1}, "never", [0.5], [[0, 1]], True, None, 2.0, [0.5, "a"]):
        with pytest.raises(ValueError, match=r"it has a boostloss line .* decision must"):
            read_state(json.dumps({**state, "decision": wrong}), "it")


def test_searched_and_under_a_threshold_of_scikit_learn(make):
    X, y = rows(2)
    search = GridSearchCV(make(), {"decision": ["loss", "balanced"]}, scoring="balanced_accuracy")
    assert search.fit(X, y).best_params_ == {"decision": "balanced"}
    fixed = FixedThresholdClassifier(make(decision="balanced"), threshold=0.4,
                                     response_method="predict_proba").fit(X, y)  # fmt: skip
    p = fixed.estimator_.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(fixed.predict(X), p >= 0.4)


@pytest.mark.parametrize(
    ("decision", "n_classes", "message"),
    [
        ("Loss", 2, "got 'Loss'"),
        ("0.3", 2, "got '0.3'"),
        (None, 2, "got None"),
        (True, 2, "got True"),
        (1.5, 2, "got 1.5"),
        (np.nan, 2, "got nan"),
        (0.3, 3, "the number 0.3 for 3 classes"),
        ([0.3], 2, r"an array of shape \(1,\) for 2 classes"),
        ([0.3, 0.0], 2, r"got \[0.3, 0.0\]"),
        ([0.3, -1], 2, r"got \[0.3, -1.0\]"),
        ([[0, 1], [np.inf, 0]], 2, "got "),
        ([[0, 1], [1]], 2, "got "),
        (["a", "b"], 2, "got "),
        (np.eye(3), 2, r"an array of shape \(3, 3\) for 2 classes"),
        (np.zeros((9, 2, 2)), 2, r"costs of each row are for boostloss.decide.decide"),
        ({0: 0.3}, 2, r"have the keys \[0, 1\], got \[0\]"),
        ({0: 0.3, 1: 0.2, 2: 0.5}, 2, r"have the keys \[0, 1\], got \[0, 1, 2\]"),
        ({0: {1: 1}, 1: {}}, 2, r"have the keys \[0, 1\] for 1, got \[\]"),
        ({0: {1: 1}, 1: 5}, 2, "got 5 for 1 beside dicts"),
        (object(), 2, "got <object"),
    ],
)
def test_what_is_wrong_is_said_before_training(make, decision, n_classes, message):
    X, y = rows(n_classes, 200)
    with pytest.raises((ValueError, TypeError), match=f"(?s)decision must .*{message}"):
        make(decision=decision).fit(X, y)
    model = make().fit(X, y).set_params(decision=decision)
    with pytest.raises((ValueError, TypeError), match=f"(?s)decision must .*{message}"):
        model.predict(X)


@pytest.mark.parametrize("decision", ["balanced", COSTS[2]], ids=str)
def test_what_needs_the_posterior_says_so(make, decision):
    X, y = rows(2, 200)
    with pytest.raises(ValueError, match=r"(?s)decision must be .* needs probability='posterior'"):
        make(decision=decision, probability="link").fit(X, y)
    model = make(decision=0.3, probability="link", loss="balanced").fit(X, y)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X)[:, 1] >= 0.3)
