"""The comparison of losses: folds, results of known losses, every bad argument."""

import inspect

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from boostloss import CrossEntropy, FocalLoss, compare
from boostloss.report import compare as module
from boostloss.report import table, training
from boostloss.report.columns import Reading
from boostloss.report.costs import parse
from boostloss.report.leaks import perfect_columns
from boostloss.report.table import from_data
from boostloss.report.training import Rows, Settings


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """OpenMP's threads wait for each other where others use the processors too."""
    with threadpool_limits(1, user_api="openmp"):
        yield


SHORT = {"rounds": 40, "folds": 3, "progress": False, "learning_rate": 0.1}


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm", "hist"])
def test_cross_entropy_through_us_is_the_built_in(engine, claims):
    X, y = claims[list("abcdef")], claims["target"]
    found = compare(X, y, losses={"ours": CrossEntropy(), "focal": "focal"}, engine=engine, **SHORT)
    assert list(found.index) == ["built-in", "ours", "focal"]
    for metric in ("average_precision", "roc_auc", "log_loss", "brier", "f1"):
        assert found.loc["ours", metric] == pytest.approx(found.loc["built-in", metric], abs=2e-3)
        assert found.loc["built-in", f"{metric}_difference"] == 0.0
    assert found["average_precision"].min() > 0.5
    assert found["log_loss"].max() < 0.3
    assert found.attrs["sentences"][0] == "Positive class: fraud."
    assert len(found.attrs["sentences"]) == 4


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm", "hist"])
@pytest.mark.parametrize(
    "loss", [None, CrossEntropy(), CrossEntropy(class_weight=3.0), FocalLoss()]
)
def test_training_is_stopped_by_the_posterior_of_the_rows_that_stop_it(engine, loss, claims):
    X, y = claims[list("abcdef")], (claims["target"] == "fraud").astype(int).to_numpy()
    rows = Rows(X, y, None, 2)
    learn, stop = rows.part(np.arange(600)), rows.part(np.arange(600, 900))
    settings = Settings(engine, "log_loss", 20, 0.1, {}, 0)
    loss = training.resolved(loss, learn, settings)[0]
    stopping = training.EarlyStopping(stop, ("log_loss",), 10)
    model = training.train(engine, loss, settings.engine_params, learn, 20, stopping)
    for check, value in enumerate(stopping.curves["log_loss"], 1):
        raw = model.raw(stop.X, check * training.CHECK_EVERY)
        p = training.posterior(loss, stop, raw, raw, offset=False)
        assert -value == pytest.approx(log_loss(y[600:], p), abs=2e-6)


def test_the_same_call_twice_gives_the_same(claims):
    X, y = claims[list("abcdef")], claims["target"]
    one, two = (compare(X, y, losses=["ghm"], **SHORT) for _ in range(2))
    timed = [name for name in one.columns if name.startswith("seconds")]
    pd.testing.assert_frame_equal(one.drop(columns=timed), two.drop(columns=timed))


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm", "hist"])
def test_three_classes_and_arrays(engine):
    X, y = make_classification(
        900, 8, n_informative=5, n_classes=3, weights=[0.8, 0.15], random_state=1
    )
    found = compare(X, y, losses=[FocalLoss(1)], engine=engine, metric="log_loss", **SHORT)
    assert found["log_loss"].max() < 0.7
    assert list(found.index) == ["built-in", "FocalLoss(gamma=1)"]


def test_time_order_counts_its_smaller_training_sets(claims):
    X, y = claims[list("abcdef")], claims["target"]
    settings = Settings("xgboost", "average_precision", 40, 0.1, {}, 0)
    found, random = (
        module.cross_validate(
            from_data(X, y), settings, losses=["focal"], folds=3, time_order=ordered, progress=False
        )
        for ordered in (True, False)
    )
    # three tests of a quarter, after one, two and three quarters
    assert found.test_over_train == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert random.test_over_train == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("engine", "catboost", ValueError),
        ("metric", "accuracy", ValueError),
        ("folds", 1, ValueError),
        ("rounds", 3, ValueError),
        ("learning_rate", 0.0, ValueError),
        ("losses", [3], TypeError),
        ("groups", [1, 2], ValueError),
        ("sample_weight", [-1.0] * 900, ValueError),
    ],
)
def test_bad_arguments_are_named(argument, value, error, claims):
    X, y = claims[list("abcdef")], claims["target"]
    with pytest.raises(error, match="loss" if argument == "losses" else argument):
        compare(X, y, progress=False, **{argument: value})


def test_the_rarer_class_is_the_positive_one(claims):
    X = claims[list("abcdef")]
    swapped = claims["target"].map({"fraud": "a", "fine": "b"})  # now it sorts first
    one, two = (compare(X, y, losses=["focal"], **SHORT) for y in (claims["target"], swapped))
    assert one.attrs["sentences"][0] == "Positive class: fraud."
    in_file = "(the model's raw scores are for b, the last of the sorted labels)"
    assert two.attrs["sentences"][0] == f"Positive class: a {in_file}."
    metrics = ["average_precision", "log_loss", "f1"]
    pd.testing.assert_frame_equal(one[metrics], two[metrics], check_names=False)
    other = compare(X, claims["target"], losses=["focal"], positive="fine", **SHORT)
    assert other["average_precision"].min() > 0.9
    with pytest.raises(ValueError, match="positive must be one of"):
        compare(X, swapped, positive="c", **SHORT)


def test_names_and_arguments_that_are_refused(claims):
    X = claims[list("abcdef")]
    with pytest.raises(ValueError, match="twice: a"):
        compare(X.set_axis(["a", "a", *"cdef"], axis=1), claims["target"], progress=False)
    with pytest.raises(ValueError, match="must not give another loss the name"):
        compare(X, claims["target"], losses={"built-in": "focal"}, progress=False)
    with pytest.raises(TypeError, match="time_order must be"):
        compare(X, claims["target"], time_order="day", progress=False)
    weighted = CrossEntropy(class_weight={"fraud": 5, "fine": 1})
    assert len(compare(X, claims["target"], losses={"weighted": weighted}, **SHORT)) == 2


@pytest.mark.parametrize("from_file", [True, False])
def test_more_categories_than_hist_has_bins(from_file, claims, tmp_path):
    rng = np.random.default_rng(0)
    for n, max_bins in ((255, 255), (256, 255), (40, 32)):
        codes = rng.permutation(np.arange(900) % n)
        frame = claims[["a", "b", "target"]].assign(**{"zip code": [f"z{c}" for c in codes]})
        frame.to_csv(tmp_path / "d.csv", index=False)
        data = from_data(frame.drop(columns="target"), frame["target"])
        if from_file:
            categories = Reading(categories=frozenset({"zip code"}))
            data = table.read(tmp_path / "d.csv", "target", reading=categories)
        params = {"max_bins": max_bins}
        settings = Settings("hist", "log_loss", 5, 0.1, params, 0)
        keywords = {"losses": ["focal"], "folds": 2, "progress": False}
        if n <= max_bins:
            assert module.cross_validate(data, settings, **keywords).n_folds == 2
            continue
        words = "--engine xgboost.*--drop 'zip code'" if from_file else "engine='xgboost'"
        with pytest.raises(ValueError, match=f"at most {max_bins} .*'zip code' has {n}: .*{words}"):
            module.cross_validate(data, settings, **keywords)


def test_sentences_name_an_option_or_an_action(claims, tmp_path):
    frame = claims[["a", "b", "target"]].assign(copy=claims["target"] == "fraud", empty=np.nan)
    with pytest.warns(UserWarning, match="leak|left out") as warned:
        compare(frame.drop(columns="target"), frame["target"], losses=["focal"], **SHORT)
    said = sorted(str(w.message) for w in warned)
    assert said[-1] == "left out: column 'empty' (empty)"
    assert "without a mistake; leave it out of X if it is not known" in said[0]
    frame.to_csv(tmp_path / "d.csv", index=False)
    settings = Settings("hist", "log_loss", 5, 0.1, {}, 0)
    data = table.read(tmp_path / "d.csv", "target")
    module.cross_validate(data, settings, losses=["focal"], folds=2, progress=False)
    assert "without a mistake; --drop copy if it is not known" in data.notes[-1]
    with pytest.raises(ValueError, match="at least two classes, got no rows"):
        compare(claims[["a"]], [], progress=False)


def test_leaks_rare_labels_and_positive_are_named(claims):
    X, y = claims[list("abcdef")], claims["target"]
    leaky = X.assign(flag=(y == "fraud") * 3.0, kind=np.where(y == "fraud", "x", "y"), when=np.nan)
    leaky.loc[y == "fraud", "when"] = 5.0
    with pytest.warns(UserWarning, match="leak") as warned:
        found = compare(leaky, y, losses=["focal"], **SHORT)
    named = [str(w.message) for w in warned if str(w.message).startswith("leak: column")]
    assert [text.split("'")[1] for text in named] == ["flag", "kind", "when"]
    assert set(named) < set(found.attrs["data"])
    assert perfect_columns(X, (y == "fraud").astype(int).to_numpy()) == []
    stray = y.where(claims.index != claims.index[17], "frued")
    with pytest.raises(ValueError, match=r"label 'frued' has 1 \(row 17\): is it a typing error"):
        compare(X, stray, progress=False)
    numbers = (y == "fraud").astype(float)
    for positive in (1, 1.0, "1", np.int64(1)):
        settings = Settings("xgboost", "roc_auc", 5, 0.1, {}, 0)
        one = module.cross_validate(
            from_data(X, numbers), settings, losses=[], folds=2, positive=positive, progress=False
        )
        assert one.labels.tolist() == [0.0, 1.0]


def test_text_columns_and_groups_with_gaps_in_python(claims, capsys):
    X, y = claims[[*"abc", "kind"]], claims["target"]
    groups = claims["patient"].astype(object).where(claims["patient"] % 7 != 0)
    with pytest.warns(UserWarning, match="rows without a group"):
        found = compare(X, y, losses=["focal"], groups=groups, **{**SHORT, "progress": True})
    assert "categories: kind (2: x, y)" in found.attrs["data"]
    assert "categories: kind (2: x, y)" in capsys.readouterr().err


def test_the_engine_is_one_that_is_installed(monkeypatch):
    assert training.installed_engine() == "xgboost"
    for missing, found in (("xgboost", "lightgbm"), ("lightgbm", "hist")):
        known = training.importlib.util.find_spec
        monkeypatch.setattr(
            training.importlib.util,
            "find_spec",
            lambda name, known=known, missing=missing: None if name == missing else known(name),
        )
        assert training.installed_engine() == found


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", [None, FocalLoss(), CrossEntropy(class_weight="balanced")])
def test_hist_stopped_while_it_trains_is_hist_stopped_afterwards(loss, n_classes, monkeypatch):
    """As before scikit-learn 1.7, whose fit takes no rows that stop it."""
    X, y = make_classification(600, 8, n_informative=5, n_classes=n_classes, random_state=1)
    learn, stop = (
        Rows(X, y, None, n_classes).part(np.arange(*ends)) for ends in ((400,), (400, 600))
    )
    settings = Settings("hist", "log_loss", 80, 0.5, {"max_leaf_nodes": 8}, 0)
    models, stoppings = [], []
    for takes in (training.FIT_TAKES_VALIDATION, False):
        monkeypatch.setattr(training, "FIT_TAKES_VALIDATION", takes)
        resolved = training.resolved(loss, learn, settings)[0]
        stoppings.append(training.EarlyStopping(stop, ("log_loss",), 3))
        models.append(
            training.train("hist", resolved, settings.engine_params, learn, 80, stoppings[-1])
        )
    while_training, afterwards = stoppings
    assert while_training.curves["log_loss"] == pytest.approx(
        afterwards.curves["log_loss"], rel=1e-9
    )
    checks = len(afterwards.curves["log_loss"])
    assert checks < 16
    while_it_trains = "X_val" in inspect.signature(HistGradientBoostingClassifier.fit).parameters
    rounds = checks * training.CHECK_EVERY if while_it_trains else 80
    assert models[0].booster.n_iter_ == rounds


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_weights_count_in_stopping_and_metrics(engine, claims):
    X, y = claims[list("abcdef")], (claims["target"] == "fraud").astype(int).to_numpy()
    weight = np.where(y == 1, 1.0, 9.0)
    rows = Rows(X, y, weight, 2)
    learn, stop = rows.part(np.arange(600)), rows.part(np.arange(600, 900))
    settings = Settings(engine, "log_loss", 20, 0.1, {}, 0)
    stopping = training.EarlyStopping(stop, ("log_loss", "roc_auc"), 10)
    model = training.train(engine, None, settings.engine_params, learn, 20, stopping)
    p = expit(model.raw(stop.X, training.CHECK_EVERY))
    want = log_loss(stop.y, p, sample_weight=stop.weight)
    assert -stopping.curves["log_loss"][0] == pytest.approx(want, abs=2e-6)
    # negatives that were undersampled: metrics are those of the rows that are not here
    options = {"losses": ["balanced"], "engine": engine, **SHORT}
    plain, weighted, double = (
        compare(X, y, sample_weight=w, **options) for w in (None, weight, np.full(len(y), 2.0))
    )
    share = y.mean() / (y.mean() + 9 * (1 - y.mean()))
    assert weighted["log_loss"].max() < -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert weighted["average_precision"].max() < plain["average_precision"].max()
    assert double["log_loss"].tolist() == pytest.approx(plain["log_loss"].tolist(), rel=0.1)


@pytest.mark.parametrize(
    ("engine", "params"),
    [
        ("xgboost", {"scale_pos_weight": 6.0}),
        ("lightgbm", {"scale_pos_weight": 6.0}),
        ("lightgbm", {"is_unbalance": True}),
        ("lightgbm", {"boost_from_average": False}),
    ],
    ids=str,
)
def test_parameters_mean_the_same_to_the_built_in_and_to_a_loss(engine, params, claims):
    X, y = claims[list("abcdef")], (claims["target"] == "fraud").astype(int)
    found = compare(X, y, losses=[CrossEntropy()], engine=engine, params=params, **SHORT)
    plain = compare(X, y, losses=[CrossEntropy()], engine=engine, **SHORT)
    for name in ("average_precision", "log_loss"):
        built_in, ours = found[name]
        assert ours == pytest.approx(built_in, rel=1e-3)
        assert built_in != pytest.approx(plain[name].iloc[0], rel=1e-9)


# -- costs --------------------------------------------------------------------------------------


def costs_of(claims, labels, **keywords):
    y = claims["target"].map(labels)
    return compare(claims[list("abc")], y, losses=["balanced"], engine="hist", **SHORT, **keywords)


@pytest.mark.parametrize("labels", [("fine", "fraud"), ("ok", "fraud"), (1, 0)])
def test_costs_mean_the_labels_that_they_name(labels, claims):
    """Whichever label is last in order, and whichever is the class to be found."""
    fine, fraud = labels
    by_label = {fine: {fraud: 1}, fraud: {fine: 50}}
    named = dict(zip(("fine", "fraud"), labels, strict=True))
    reference = costs_of(claims, {"fine": 0, "fraud": 1}, costs=[[0, 1], [50, 0]])
    found = costs_of(claims, named, costs=by_label)
    for column in ("cost", "cost_difference", "cost_interval"):
        assert found[column].to_numpy() == pytest.approx(reference[column].to_numpy(), rel=1e-6)
    other = costs_of(claims, named, costs=by_label, positive=fine)
    assert other["cost"].to_numpy() == pytest.approx(reference["cost"].to_numpy(), rel=1e-6)


def test_costs_are_those_of_the_decisions_of_least_expected_cost(claims):
    y = (claims["target"] == "fraud").astype(int)
    data = from_data(claims[list("abc")], y)
    settings = Settings("hist", "log_loss", 20, 0.1, {}, 0)
    found = module.cross_validate(
        data, settings, losses=["balanced"], folds=3, costs=[[0, 1], [50, 0]], progress=False
    )
    for name in ("built-in", "balanced"):
        of_folds = [
            (50 * ((y == 1) & (p <= 1 / 51)) + 1 * ((y == 0) & (p > 1 / 51))).mean()
            for y, p in found.held_out[name]
        ]
        assert found.values(name, "cost") == pytest.approx(of_folds)
        assert found.frame().loc[name, "cost"] == pytest.approx(np.mean(of_folds))


def test_costs_of_three_classes():
    X, y = make_classification(400, 6, n_informative=4, n_classes=3, random_state=0)
    costs = np.array([[0.0, 1, 2], [3, 0, 4], [50, 6, 0]])
    found = compare(X, y, losses=["balanced"], engine="hist", costs=costs, **SHORT)
    assert (found["cost"] < 20).all()
    with pytest.raises(ValueError, match=r"--costs must be left out with 3 classes, got 1:50"):
        module.cross_validate(
            from_data(X, y), Settings("hist", "log_loss", 20, 0.1, {}, 0), folds=2,
            costs=parse("1:50"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("costs", "kind", "words"),
    [
        ([[0, 1], [50, 0]], ValueError, "costs is for the positive class"),
        ([1, 50], ValueError, "costs must be a cost matrix"),
        (50, ValueError, "costs must be a cost matrix"),
        ("balanced", ValueError, "costs must be a cost matrix"),
        (np.ones((3, 3)), ValueError, r"costs must be a cost matrix of shape \(2, 2\)"),
        ([[0, np.nan], [50, 0]], ValueError, "costs must be a cost matrix"),
        ({"fraud": 1, "fine": 50}, ValueError, "costs must be a cost matrix"),
        ({"fraud": {"fine": 50}}, ValueError, "or a dict by label, costs="),
        ({"fraud": {"fine": 50}, "fin": {"fraud": 1}}, ValueError, "or a dict by label, costs="),
    ],
)
def test_other_costs_are_refused(costs, kind, words, claims):
    with pytest.raises(kind, match=words):
        costs_of(claims, {"fine": "fine", "fraud": "fraud"}, costs=costs)
