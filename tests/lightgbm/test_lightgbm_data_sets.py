"""Data sets of every kind, used once, again, to go on and in ``cv``; what becomes of the model."""

import copy
import pickle
import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.datasets import make_classification

import boostloss.lightgbm as bl
from boostloss import CrossEntropy, FocalLoss, GHMLoss, Recorder
from boostloss.lightgbm import ImbalancedLGBMClassifier

PARAMS = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "max_bin": 31}
N = 300
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)).round(2)
Y = (X[:, 0] + RNG.normal(size=N) > 1.2).astype(int)
LOSSES = {
    "cross-entropy": CrossEntropy(),
    "balanced": CrossEntropy(class_weight="balanced"),
    "focal": FocalLoss(2.0),
}


class Rows(lgb.Sequence):
    batch_size = 100

    def __init__(self, rows):
        self.rows = rows

    def __getitem__(self, index):
        return self.rows[index]

    def __len__(self):
        return len(self.rows)


def twice(**keywords):
    """A set whose first half is the rows, and whose second half has other labels."""
    return lgb.Dataset(np.r_[X, X], np.r_[Y, 1 - Y], params=PARAMS, **keywords)


FIRST = np.arange(N)
KINDS = {
    "array": lambda folder: lgb.Dataset(X, Y),
    "constructed": lambda folder: lgb.Dataset(X, Y, params=PARAMS).construct(),
    "raw data kept": lambda folder: lgb.Dataset(X, Y, free_raw_data=False),
    "frame": lambda folder: lgb.Dataset(pd.DataFrame(X), pd.Series(Y)),
    "list of labels": lambda folder: lgb.Dataset(X, Y.tolist()),
    "CSR": lambda folder: lgb.Dataset(sparse.csr_matrix(X), Y),
    "CSC": lambda folder: lgb.Dataset(sparse.csc_matrix(X), Y),
    "file": lambda folder: lgb.Dataset(folder / "rows.csv"),
    "path as text": lambda folder: lgb.Dataset(str(folder / "rows.csv")),
    "file, kept": lambda folder: lgb.Dataset(folder / "rows.csv", free_raw_data=False),
    "file with names": lambda folder: lgb.Dataset(
        folder / "names.csv", params={"header": True, "label_column": "name:target"}
    ),
    "binary file": lambda folder: lgb.Dataset(folder / "rows.bin"),
    "subset": lambda folder: twice().subset(FIRST),
    "subset of a constructed set": lambda folder: twice().construct().subset(FIRST),
    "constructed subset": lambda folder: twice().subset(FIRST).construct(),
    "subset, raw data kept": lambda folder: twice(free_raw_data=False).subset(FIRST),
    "subset of a file": lambda folder: lgb.Dataset(folder / "rows.csv", params=PARAMS).subset(
        FIRST
    ),
    "subset of a binary file": lambda folder: lgb.Dataset(
        folder / "rows.bin", params=PARAMS
    ).subset(FIRST),
    "Sequence": lambda folder: lgb.Dataset(Rows(X), Y),
    "list of Sequences": lambda folder: lgb.Dataset([Rows(X[:100]), Rows(X[100:])], Y),
    "list of arrays": lambda folder: lgb.Dataset([X[:100], X[100:]], Y),
    "Arrow table": lambda folder: lgb.Dataset(
        pa.table(list(X.T), names=list("abcd")), pa.chunked_array([Y[:100], Y[100:]])
    ),
    "with a reference": lambda folder: lgb.Dataset(
        X, Y, reference=lgb.Dataset(X, Y, params=PARAMS)
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    np.savetxt(folder / "rows.csv", np.c_[Y, X], delimiter=",", fmt="%.2f")
    named = np.c_[X[:, :2], Y, X[:, 2:]]
    np.savetxt(
        folder / "names.csv", named, delimiter=",", fmt="%.2f", header="a,b,target,c,d", comments=""
    )
    lgb.Dataset(X, Y, params=PARAMS).save_binary(folder / "rows.bin")
    return folder


def raw(booster, rows=X):
    return booster.predict(rows, raw_score=True)


def train(data, loss, rounds=3, **keywords):
    return bl.train(PARAMS, data, rounds, loss=loss, **keywords)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_the_same_model(kind, loss, folder):
    wanted = train(lgb.Dataset(X, Y), loss)
    data = KINDS[kind](folder)
    for _ in range(2):  # the set is as it was
        np.testing.assert_array_equal(raw(train(data, loss)), raw(wanted))
        assert data.get_field("init_score") is None
        assert data.get_field("weight") is None
    curves = [
        bl.cv(PARAMS, one, 2, loss=loss, nfold=2, seed=0)
        for one in (lgb.Dataset(X, Y), KINDS[kind](folder))
    ]
    assert curves[0].keys() == curves[1].keys()
    for name in curves[0]:
        np.testing.assert_array_equal(curves[0][name], curves[1][name])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_set_to_evaluate(kind, loss, folder):
    """Where LightGBM takes it; some kinds have bins of their own, or no raw data any more."""

    def evaluated(train, **keywords):
        log = {}
        try:
            train(
                valid_sets=KINDS[kind](folder),
                valid_names="v",
                callbacks=[lgb.record_evaluation(log)],
                **keywords,
            )
        except (lgb.basic.LightGBMError, ValueError) as error:
            return type(error).__name__
        return next(iter(log["v"].values()))

    rows = slice(0, 200)
    theirs = evaluated(
        lambda **k: lgb.train(
            {**PARAMS, "objective": "binary"}, lgb.Dataset(X[rows], Y[rows]), 3, **k
        )
    )
    ours = evaluated(lambda **k: train(lgb.Dataset(X[rows], Y[rows]), loss, **k))
    if isinstance(theirs, str):
        assert ours == theirs
        return
    log = {}
    data = lgb.Dataset(X[rows], Y[rows])
    plain = lgb.Dataset(X, Y, reference=data)
    train(data, loss, valid_sets=[plain], callbacks=[lgb.record_evaluation(log)])
    np.testing.assert_allclose(ours, log["valid_0"]["posterior_log_loss"], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_on_where_lightgbm_does(kind, folder):
    first = lgb.train({**PARAMS, "objective": "binary"}, lgb.Dataset(X, Y), 3)
    theirs = outcome(
        lambda data: lgb.train({**PARAMS, "objective": "binary"}, data, 3, init_model=first),
        KINDS[kind](folder),
    )
    ours = outcome(lambda data: train(data, CrossEntropy(), init_model=first), KINDS[kind](folder))
    if isinstance(theirs, str):
        assert ours == theirs
    else:
        np.testing.assert_array_equal(ours, theirs)


def outcome(do, data):
    try:
        return raw(do(data))
    except (lgb.basic.LightGBMError, ValueError) as error:
        return type(error).__name__


@pytest.mark.parametrize("go_on", [bl.train, lgb.train], ids=["ours", "LightGBM's"])
@pytest.mark.parametrize("loss", [*LOSSES.values(), GHMLoss()], ids=[*LOSSES, "GHM"])
def test_a_set_that_a_training_went_on_with(loss, go_on):
    data, valid = (lgb.Dataset(X, Y, free_raw_data=False) for _ in range(2))
    keywords = {"valid_sets": [valid]}
    first = train(data, loss, **keywords)
    if go_on is bl.train:
        train(data, loss, init_model=first, **keywords)
    else:
        lgb.train({**PARAMS, "objective": "binary"}, data, 2, init_model=first, **keywords)
    again = train(data, loss, **keywords)
    np.testing.assert_array_equal(raw(again), raw(first))
    curves = [bl.cv(PARAMS, one, 2, loss=loss, nfold=2) for one in (data, lgb.Dataset(X, Y))]
    for name in curves[0]:
        np.testing.assert_array_equal(curves[0][name], curves[1][name])


def test_an_own_init_score_stays(folder):
    start = np.random.default_rng(1).normal(size=N)
    for kind in ("array", "file", "Sequence"):
        data = KINDS[kind](folder)
        data.set_init_score(start)
        train(data, FocalLoss(2.0))
        np.testing.assert_allclose(data.get_field("init_score"), start)


def test_what_is_no_set():
    with pytest.raises(TypeError, match=r"train_set must be a lightgbm\.Dataset, got ndarray"):
        train(X, FocalLoss(2.0))
    with pytest.raises(ValueError, match=r"must have labels|Label should not be None"):
        train(lgb.Dataset(X), FocalLoss(2.0))


# -- the model afterwards -----------------------------------------------------------------

REFITTED = {
    "built-in": (CrossEntropy(), {}),
    "with a recorder": (CrossEntropy(), {"recorder": Recorder()}),
    "with a metric": (CrossEntropy(), {"feval": lambda raw, data: ("zero", 0.0, False)}),
}
WEIGHTED = {
    "balanced": CrossEntropy(class_weight="balanced"),
    "focal": FocalLoss(2.0),
    "focal of 0": FocalLoss(0.0),
    "GHM": GHMLoss(),
}


def problem(n_classes):
    rows, labels = make_classification(
        800, 6, n_informative=4, n_redundant=0, n_classes=n_classes, flip_y=0.05, random_state=0
    )
    return rows[:400], labels[:400], rows[400:], labels[400:]


def forms(booster):
    """The same model in memory, copied, pickled and from text."""
    return {
        "in memory": booster,
        "copied": copy.deepcopy(booster),
        "pickled": pickle.loads(pickle.dumps(booster)),
        "from text": lgb.Booster(model_str=booster.model_to_string()),
    }


def refitted_forms(booster):
    """Before 4.7 LightGBM forgot a text's parameters, and refitted any model to squared errors."""
    rows, labels, *_ = problem(2)
    kept = "objective" in copy.deepcopy(engines_own(2, rows, labels)).params
    return forms(booster) if kept else {"in memory": booster}


def engines_own(n_classes, rows, labels):
    objective = {"objective": "binary"}
    if n_classes > 2:
        objective = {"objective": "multiclass", "num_class": n_classes}
    return lgb.train({**PARAMS, **objective}, lgb.Dataset(rows, labels), 5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("way", REFITTED)
def test_refit_of_cross_entropy_is_lightgbms(way, n_classes):
    rows, labels, new_rows, new_labels = problem(n_classes)
    loss, keywords = REFITTED[way]
    theirs = engines_own(n_classes, rows, labels)
    ours = bl.train(PARAMS, lgb.Dataset(rows, labels), 5, loss=loss, **keywords)
    for form, booster in refitted_forms(ours).items():
        for decay in (0.9, 0.5, 0.0):
            wanted, got = (
                b.refit(new_rows, new_labels, decay_rate=decay) for b in (theirs, booster)
            )
            np.testing.assert_allclose(raw(got, rows), raw(wanted, rows), atol=1e-12, err_msg=form)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", WEIGHTED)
def test_refit_of_other_losses_is_refused(name, n_classes):
    """LightGBM would fit the leaves to cross-entropy."""
    rows, labels, new_rows, new_labels = problem(n_classes)
    loss = WEIGHTED[name]
    in_cv = bl.cv(PARAMS, lgb.Dataset(rows, labels), 2, loss=loss, nfold=2, return_cvbooster=True)[
        "cvbooster"
    ].boosters
    classifier = ImbalancedLGBMClassifier(loss=loss, n_estimators=3, n_jobs=1, verbose=-1)
    boosters = [
        bl.train(PARAMS, lgb.Dataset(rows, labels), 3, loss=loss),
        classifier.fit(rows, labels).booster_,
        *in_cv,
    ]
    for booster in boosters:
        for form, one in refitted_forms(booster).items():
            with pytest.raises(lgb.basic.LightGBMError, match="objective function"):
                one.refit(new_rows, new_labels)
            assert np.isfinite(one.predict(rows)).all(), form  # the link is there


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("way", REFITTED)
def test_trees_and_contributions_of_cross_entropy_are_lightgbms(way, n_classes):
    rows, labels, _, _ = problem(n_classes)
    loss, keywords = REFITTED[way]
    theirs = engines_own(n_classes, rows, labels)
    ours = bl.train(PARAMS, lgb.Dataset(rows, labels), 5, loss=loss, **keywords)
    one, two = theirs.trees_to_dataframe(), ours.trees_to_dataframe()
    columns = ["node_index", "split_feature", "threshold", "count"]
    pd.testing.assert_frame_equal(one[columns], two[columns])
    np.testing.assert_allclose(one["value"], two["value"], atol=2e-6)  # nodes have six digits
    shrinkages = [[t["shrinkage"] for t in b.dump_model()["tree_info"]] for b in (theirs, ours)]
    assert shrinkages[0] == shrinkages[1]
    contributions = [b.predict(rows, pred_contrib=True) for b in (theirs, ours)]
    np.testing.assert_allclose(*contributions, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", WEIGHTED)
def test_the_intercept_is_everywhere_in_the_model(name, n_classes):
    """Nodes are above their leaves, and contributions and SHAP values add up."""
    rows, labels, _, _ = problem(n_classes)
    booster = bl.train(PARAMS, lgb.Dataset(rows, labels), 3, loss=WEIGHTED[name])
    scores = raw(booster, rows)
    parts = booster.predict(rows, pred_contrib=True).reshape(len(rows), -1, rows.shape[1] + 1)
    np.testing.assert_allclose(parts.sum(axis=2).squeeze(), scores, atol=1e-12)
    for tree in booster.dump_model()["tree_info"]:
        low, high = extent(tree["tree_structure"])
        assert low - 1e-5 <= tree["tree_structure"]["internal_value"] <= high + 1e-5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's, when shap is imported
        shap = pytest.importorskip("shap")
    explained = shap.TreeExplainer(booster)(rows)
    np.testing.assert_allclose(
        explained.values.sum(axis=1) + explained.base_values, scores, atol=1e-6
    )


def extent(node):
    """Least and largest leaf below a node."""
    if "leaf_value" in node:
        return node["leaf_value"], node["leaf_value"]
    ends = [extent(node[side]) for side in ("left_child", "right_child")]
    return min(low for low, _ in ends), max(high for _, high in ends)
