"""Which class is the positive one: one rule, in classifiers, ``compare``, files, continuations."""

import json
import pickle
import runpy

import dask.array as da
import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost as xgb

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss, compare
from boostloss.dask import class_counts
from boostloss.labels import OF_THE_POSITIVE, as_column
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.losses import named, names
from boostloss.report import page
from boostloss.report.compare import cross_validate
from boostloss.report.table import from_data
from boostloss.report.training import Settings
from boostloss.xgboost import ImbalancedXGBClassifier

N = 120
CODES = (np.arange(N) % 4 == 0).astype(int)
TEXTS = np.array(["fraud", "ok"])[CODES]
X = np.random.default_rng(0).normal(size=(N, 3))
X[:, 0] += 2 * CODES

ENGINES = {
    "xgboost": (ImbalancedXGBClassifier, {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}),
    "lightgbm": (
        ImbalancedLGBMClassifier,
        {"n_estimators": 3, "num_leaves": 4, "n_jobs": 1, "verbose": -1, "min_child_samples": 5},
    ),
}
SAYS = [[0, 1], [False, True], [-1, 1], [0.0, 1.0], [-1.0, 1.0]]
SAYS_NOT = [["fraud", "ok"], [1, 2], [0, 2], [1.0, 2.0], [0.0, 2.0], ["0", "1"], ["False", "True"]]


@pytest.fixture(params=ENGINES)
def make(request):
    kind, params = ENGINES[request.param]

    def maker(**more):
        return kind(**{**params, **more})

    maker.engine = request.param
    return maker


# -- a number for the positive class ------------------------------------------------------

NUMBERS = [
    CrossEntropy(class_weight=50.0),
    CrossEntropy(class_weight=np.float32(2)),
    FocalLoss(class_weight=3),
    FocalLoss(alpha=0.25),
    GHMLoss(class_weight=5.0),
    AsymmetricLoss(),
    AsymmetricLoss(0.0, 0.0, 0.1),
    AsymmetricLoss(1.0, 1.0, 0.0, class_weight=4.0),
]
NO_NUMBERS = [
    *(named(name) for name in names() if name != "asymmetric"),
    CrossEntropy(class_weight=1.0),
    CrossEntropy(class_weight=[1.0, 2.0]),
    FocalLoss(alpha=0.5),
    AsymmetricLoss(1.0, 1.0, 0.0),
]


@pytest.mark.parametrize("labels", SAYS + SAYS_NOT, ids=str)
def test_a_number_needs_labels_that_say_which_class(make, labels):
    y = np.array(labels)[CODES]
    for loss in NUMBERS:
        if labels in SAYS:
            assert make(loss=loss).fit(X, y).classes_.tolist() == labels
        else:
            with pytest.raises(
                ValueError, match=r"to show which one that is.*(class_weight=|encode)"
            ):
                make(loss=loss).fit(X, y)
    for loss in NO_NUMBERS:
        make(loss=loss).fit(X, y)


def test_by_label_it_is_that_label(make):
    by_label = CrossEntropy(class_weight={"fraud": 50.0, "ok": 1.0})
    model = make(loss=by_label).fit(X, TEXTS)
    assert model.loss_.class_weight.tolist() == [50.0, 1.0]
    swapped = make(loss=CrossEntropy(class_weight=50.0)).fit(X, 1 - CODES)
    np.testing.assert_allclose(model.raw_score(X), -swapped.raw_score(X), atol=1e-5)


@pytest.mark.parametrize("name", OF_THE_POSITIVE)
def test_engines_own_parameters_of_a_class(name, make):
    if make.engine == "xgboost" and name != "scale_pos_weight":
        pytest.skip("LightGBM's")
    value = 3.0 if name == "scale_pos_weight" else 0.5
    with pytest.raises(ValueError, match=f"{name} is for the positive class"):
        make(loss="cross_entropy", **{name: value}).fit(X, TEXTS)
    make(loss="cross_entropy", **{name: 1.0}).fit(X, TEXTS)
    with pytest.raises(ValueError, match=f"{name} is for the positive class"):
        compare(X, TEXTS, params={name: value}, engine=make.engine, folds=2, progress=False)


def test_scale_pos_weight_of_several_classes(make):
    with pytest.raises(ValueError, match="scale_pos_weight is for two classes, got 3"):
        make(scale_pos_weight=3).fit(X, np.arange(N) % 3)


# -- compare and files ----------------------------------------------------------------------

SHORT = {"folds": 2, "progress": False}


def compared(y, tmp_path, engine="xgboost", losses=("focal",), **keywords):
    settings = Settings(engine, "average_precision", 10, 0.3, {}, 0)
    data = from_data(pd.DataFrame(X, columns=list("abc")), y)
    found = cross_validate(data, settings, losses=list(losses), **SHORT, **keywords)
    page.write(found, "a title", tmp_path)
    return found, json.loads((tmp_path / "model_loss.json").read_text())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("labels", [["ok", "yes"], ["yes", "ok"], [0, 1], [1, 0]], ids=str)
def test_compare_writes_the_classifiers_rule(engine, labels, tmp_path):
    y = np.array(labels)[CODES]  # a quarter has the second label, which need not sort last
    found, state = compared(y, tmp_path, engine)
    assert state["labels"] == sorted(labels)
    assert state["positive"] == sorted(labels)[1]
    assert found.positive == labels[1]  # metrics are about the rarer
    suffix = "json" if engine == "xgboost" else "txt"
    if engine == "xgboost":
        raw = xgb.Booster(model_file=tmp_path / f"model.{suffix}").predict(
            xgb.DMatrix(pd.DataFrame(X, columns=list("abc"))), output_margin=True
        )
    else:
        raw = lgb.Booster(model_file=tmp_path / f"model.{suffix}").predict(X, raw_score=True)
    last = y == state["positive"]
    assert raw[last].mean() > raw[~last].mean()
    # what the script returns is the probability of the class that was to be found
    script = runpy.run_path(str(tmp_path / "use_model.py"))
    assert script["PREDICTED"] == [f"probability_{labels[1]}"]
    p = script["predict"](pd.DataFrame(X, columns=list("abc")))
    rare = y == labels[1]
    assert p[rare].mean() > p[~rare].mean()


def test_compare_takes_a_number_for_the_class_that_is_named(tmp_path):
    loss = CrossEntropy(class_weight=50.0)
    with pytest.raises(ValueError, match="use positive='fraud' or positive='ok'"):
        compared(TEXTS, tmp_path, losses=[loss])
    with pytest.raises(ValueError, match=r"contain asymmetric, whose gamma_neg=4.*use positive='ok'"):
        compared(TEXTS, tmp_path, losses=["asymmetric"])
    for positive, weights in (("fraud", [50.0, 1.0]), ("ok", [1.0, 50.0])):
        found, _ = compared(TEXTS, tmp_path, losses=[loss], positive=positive)
        assert list(found.losses.values())[1].class_weights(None, 2).tolist() == weights
    compared(TEXTS, tmp_path, losses=["asymmetric"], positive="ok")
    with pytest.raises(ValueError, match="positive must be the last"):
        compared(TEXTS, tmp_path, losses=["asymmetric"], positive="fraud")


def test_a_classifiers_file_names_the_positive_class(make, tmp_path):
    path = tmp_path / f"model.{'json' if make.engine == 'xgboost' else 'txt'}"
    for y, positive in ((TEXTS, "ok"), (CODES, 1), (np.arange(N) % 3, None)):
        model = make(loss="focal").fit(X, y)
        model.save_model(path)
        assert json.loads(model._state().text())["positive"] == positive
        make().load_model(path)


# -- labels of every kind ---------------------------------------------------------------------


def kinds():
    text, number = TEXTS, CODES
    yes = CODES.astype(bool)
    return {
        "int8": number.astype("i1"),
        "uint64": number.astype("u8"),
        "float16": number.astype("f2"),
        "list": text.tolist(),
        "text objects": text.astype(object),
        "numpy texts as objects": np.array([np.str_(t) for t in text], dtype=object),
        "numpy numbers as objects": np.array([np.int64(t) for t in number], dtype=object),
        "truth values as objects": yes.astype(object),
        "int and float": np.array([[0, 1.0][i] for i in number], dtype=object),
        "StringDType": text.astype(np.dtypes.StringDType())
        if hasattr(np.dtypes, "StringDType")
        else text,
        "datetime64": np.array(["2024-01-01", "2024-02-01"], dtype="M8[s]")[number],
        "pandas string": pd.Series(text, dtype="string"),
        "category": pd.Series(pd.Categorical(text, categories=["none", "ok", "fraud"])),
        "ordered category": pd.Series(pd.Categorical(text, ["ok", "fraud"], ordered=True)),
        "category of truth values": pd.Series(pd.Categorical(yes)),
        "Int64": pd.Series(number, dtype="Int64"),
        "large Int64": pd.Series(2**60 + number, dtype="Int64"),
        "boolean": pd.Series(yes, dtype="boolean"),
        "arrow texts": pd.Series(text, dtype=pd.ArrowDtype(pa.string())),
        "arrow truth values": pd.Series(yes, dtype=pd.ArrowDtype(pa.bool_())),
        "arrow array": pa.array(text.tolist()),
        "arrow dictionary": pa.array(text.tolist()).dictionary_encode(),
        "arrow chunks": pa.chunked_array([pa.array(number)]),
        "one column": pd.DataFrame({"y": text}),
        "unmasked": np.ma.array(number),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_label(make, kind):
    y = kinds()[kind]
    if kind == "one column":
        with pytest.warns(Warning, match="column-vector"):
            model = make(loss="focal").fit(X, y)
        y = y["y"]
    else:
        model = make(loss="focal").fit(X, y)
    wanted = sorted(set(y.to_pylist() if hasattr(y, "to_pylist") else np.asarray(y).tolist()))
    assert model.classes_.tolist() == wanted
    plain_types = {
        "numpy texts as objects": str,
        "numpy numbers as objects": int,
        "int and float": float,
    }
    kind_of_label = plain_types.get(kind, type(wanted[0]))
    assert {type(label) for label in model.classes_.tolist()} == {kind_of_label}
    assert model.predict(X).dtype == model.classes_.dtype
    plain = make(loss="focal").fit(X, CODES)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))


MISSING = {
    "None": np.array(["a" if i else None for i in CODES], dtype=object),
    "NaN among texts": ["a" if i else np.nan for i in CODES],
    "NaN objects": np.array(["a" if i else np.nan for i in CODES], dtype=object),
    "NA objects": np.array(["a" if i else pd.NA for i in CODES], dtype=object),
    "NaN": np.where(CODES, 1.0, np.nan),
    "NaT": np.where(CODES, np.datetime64("2024-01-01"), np.datetime64("NaT", "D")),
    "masked": np.ma.array(CODES, mask=np.arange(N) == 3),
    "category": pd.Series(pd.Categorical(np.where(CODES, "a", None))),
    "Int64": pd.Series(np.where(CODES, 1, None), dtype="Int64"),
    "arrow": pa.array([None if i else 0 for i in CODES]),
}
REFUSED = {
    "bytes": (TEXTS.astype("S"), TypeError, r"got bytes: decode them by y\.astype"),
    "numbers and texts": ([["a", 1][i] for i in CODES], TypeError, "one kind, got int, str"),
    "tuples": (pd.Series([(int(i),) for i in CODES]), TypeError, "got tuple"),
    "complex": (CODES.astype(complex), TypeError, "omplex"),
    "records": (np.array([(i,) for i in CODES], dtype=[("a", "i4")]), TypeError, "dtype"),
    "soft labels": (0.1 + 0.8 * CODES, ValueError, "got 0.9; to fit soft labels, pass"),
    "one-hot": (np.eye(2)[CODES], ValueError, r"shape \(120, 2\); convert one-hot columns by argmax"),
    "several labels": (np.eye(3)[CODES], ValueError, "MultiOutputClassifier"),
    "infinite": (np.where(CODES, np.inf, 0.0), ValueError, "infinity"),
    "one class": (np.zeros(N), ValueError, "at least two classes"),
    "no rows": ([], ValueError, "at least two classes"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_labels_are_no_class(make, kind):
    with pytest.raises(ValueError, match="contains NaN"):
        make().fit(X, MISSING[kind])


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_label(make, kind):
    y, error, words = REFUSED[kind]
    with pytest.raises((error, ValueError), match=words):
        make().fit(X[: len(y)], y)


def test_soft_labels_the_way_the_message_says(make):
    """A row once for each class, weighted: the intercept is the mean probability."""
    p = 0.1 + 0.8 * CODES
    model = make(loss="cross_entropy", n_estimators=1, learning_rate=1e-9).fit(
        np.repeat(X, 2, axis=0), np.tile([0, 1], N), sample_weight=np.c_[1 - p, p].ravel()
    )
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], p.mean(), rtol=1e-5)


def test_labels_that_no_file_can_hold_are_refused_when_saving(make, tmp_path):
    y = np.array(["2024-01-01", "2024-02-01"], dtype="M8[ns]")[CODES]
    with pytest.raises(TypeError, match="labels must all be strings, bools, ints or floats"):
        make(loss="focal").fit(X, y).save_model(tmp_path / "model.json")


def test_numbers_do_not_become_texts():
    assert as_column([1, 0.5]).tolist() == [1, 0.5]
    assert as_column(["1", "0"]).tolist() == ["1", "0"]
    with pytest.raises(TypeError, match="one kind"):
        as_column([1, "0"])


# -- training that goes on ----------------------------------------------------------------------

LETTERS = np.array(list("abcd"))[np.digitize(X[:, 1], np.quantile(X[:, 1], [0.25, 0.5, 0.75]))]
ABC, BCD, AB = LETTERS != "d", LETTERS != "a", np.isin(LETTERS, ["a", "b"])


def models(make, tmp_path):
    """A model of a, b, c in each way to hand it over; and those that do not hold their labels."""
    model = make(loss="focal").fit(X[ABC], LETTERS[ABC])
    is_xgboost = make.engine == "xgboost"
    path = tmp_path / ("model.json" if is_xgboost else "model.txt")
    model.save_model(path)
    booster = model.get_booster() if is_xgboost else model.booster_
    again = make()
    again.load_model(path)
    known = {
        "classifier": model,
        "pickled": pickle.loads(pickle.dumps(model)),
        "loaded": again,
        "booster": booster,
        "pickled booster": pickle.loads(pickle.dumps(booster)),
        "file": str(path),
    }
    bare = tmp_path / ("bare.json" if is_xgboost else "bare.txt")
    booster.save_model(bare)
    codes = np.unique(LETTERS[ABC], return_inverse=True)[1]
    parent = (xgb.XGBClassifier if is_xgboost else lgb.LGBMClassifier)(n_estimators=2, n_jobs=1)
    if not is_xgboost:
        parent.set_params(verbose=-1)
    return known, {"engine's own": parent.fit(X[ABC], codes), "engine's file": str(bare)}


def test_training_goes_on_with_known_labels_only(make, tmp_path):
    word = "xgb_model" if make.engine == "xgboost" else "init_model"
    known, bare = models(make, tmp_path)

    def go_on(rows, model, y=LETTERS):
        return make(loss="focal").fit(X[rows], y[rows], **{word: model})

    twice = make(loss="focal", n_estimators=6).fit(X[ABC], LETTERS[ABC])
    for way, model in known.items():
        same = go_on(ABC, model)
        assert same.classes_.tolist() == ["a", "b", "c"], way
        np.testing.assert_allclose(same.predict_proba(X), twice.predict_proba(X), atol=1e-5)
        with pytest.raises(ValueError, match=r"\['a', 'b', 'c'\], got \['d'\]"):
            go_on(BCD, model)
        with pytest.raises(ValueError, match=r"got no row of \['c'\]"):
            go_on(AB, model)
    numbers = np.unique(LETTERS, return_inverse=True)[1]
    for model in bare.values():  # they know codes only
        with pytest.raises(ValueError, match=r"\[0, 1, 2\], got \['a', 'b', 'c'\]"):
            go_on(ABC, model)
        with pytest.raises(ValueError, match=r"\[0, 1, 2\], got \[3\]"):
            go_on(BCD, model, numbers)
        assert go_on(ABC, model, numbers).classes_.tolist() == [0, 1, 2]


def test_the_order_of_rows_and_labels_is_no_matter(make):
    """b, c, d after b, c, d: the codes are those of the first model whatever comes first."""
    word = "xgb_model" if make.engine == "xgboost" else "init_model"
    first = make(loss="focal").fit(X[BCD], LETTERS[BCD])
    order = np.argsort(LETTERS[BCD])[::-1]
    model = make(loss="focal").fit(X[BCD][order], LETTERS[BCD][order], **{word: first})
    assert (model.predict(X[BCD]) == LETTERS[BCD]).mean() > 0.9


def test_dask_counts_labels_of_every_kind():
    for kind in ("int8", "text objects", "truth values as objects"):
        y = kinds()[kind]
        labels, counts = class_counts(da.from_array(y, chunks=50))
        assert labels.tolist() == sorted(set(y.tolist()))
        assert counts.tolist() == [90, 30]
    with pytest.raises(ValueError, match="soft labels"):
        class_counts(da.from_array(0.1 + 0.8 * CODES, chunks=50))
