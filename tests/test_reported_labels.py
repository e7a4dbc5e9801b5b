"""What others reported of labels, data sets and models afterwards, in its smallest form."""

import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.model_selection import cross_val_predict

import boostloss.lightgbm as bg
from boostloss import CrossEntropy, FocalLoss, objective
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.xgboost import ImbalancedXGBClassifier

N = 300
X = np.random.default_rng(0).normal(size=(N, 4))
Y = (X[:, 0] > 0.7).astype(int)
QUIET = {"verbose": -1, "num_threads": 1}
MAKERS = [
    lambda **p: ImbalancedXGBClassifier(n_estimators=4, n_jobs=1, **p),
    lambda **p: ImbalancedLGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1, **p),
]


@pytest.fixture(params=MAKERS, ids=["xgboost", "lightgbm"])
def make(request):
    return request.param


def test_lightgbm_5609_refit_after_a_custom_objective():
    """It failed for every custom objective; cross-entropy's is LightGBM's own now."""
    booster = bg.train(QUIET, lgb.Dataset(X, Y), 5, loss=CrossEntropy())
    assert np.isfinite(booster.refit(X, 1 - Y, decay_rate=0.0).predict(X)).all()
    with pytest.raises(lgb.basic.LightGBMError, match="objective function"):
        bg.train(QUIET, lgb.Dataset(X, Y), 5, loss=FocalLoss(2.0)).refit(X, 1 - Y)


def test_lightgbm_6853_shrinkage_of_the_first_tree():
    """With a custom objective it was the learning rate, with a built-in one 1."""
    for loss in (CrossEntropy(), FocalLoss(2.0)):
        trees = bg.train(QUIET, lgb.Dataset(X, Y), 2, loss=loss).dump_model()["tree_info"]
        assert [tree["shrinkage"] for tree in trees] == [1, 0.1]


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm"])
def test_lightgbm_5067_what_is_set_on_a_subset(loss):
    """LightGBM trained on the labels and weights of the whole set."""
    weight = np.linspace(1, 2, 200)
    whole = lgb.Dataset(X, params=QUIET)
    part = whole.subset(np.arange(200)).set_label(Y[:200]).set_weight(weight)
    direct = lgb.Dataset(X[:200], Y[:200], weight=weight, reference=lgb.Dataset(X, params=QUIET))
    boosters = [bg.train(QUIET, data, 3, loss=loss) for data in (part, direct)]
    np.testing.assert_allclose(*(b.predict(X, raw_score=True) for b in boosters), rtol=1e-6)


def test_lightgbm_1173_labels_of_a_file(tmp_path):
    """ "Cannot get label before construct Dataset", also of a LibSVM file."""
    lines = [
        f"{label} " + " ".join(f"{i}:{value:.6f}" for i, value in enumerate(row))
        for label, row in zip(Y, X, strict=True)
    ]
    (tmp_path / "rows.svm").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for loss in ("cross_entropy", "focal"):
        booster = bg.train(QUIET, lgb.Dataset(tmp_path / "rows.svm"), 3, loss=loss)
        wanted = bg.train(QUIET, lgb.Dataset(X.round(6), Y), 3, loss=loss)
        np.testing.assert_allclose(booster.predict(X), wanted.predict(X), rtol=1e-6)


def test_xgboost_12541_fit_again_with_other_classes(make):
    """Three classes, then two, by the same estimator: the second fit failed with num_class=0."""
    model = make(loss="focal").fit(X, np.arange(N) % 3)
    model.fit(X, np.array(["no", "yes"])[Y])
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predict_proba(X).shape == (N, 2)
    assert model.fit(X, np.arange(N) % 4).predict_proba(X).shape == (N, 4)


def test_xgboost_10078_a_split_that_lacks_a_class(make):
    """ "Invalid classes inferred from unique values of y"."""
    letters = np.array(list("abc"))[np.arange(N) % 3]
    letters[letters == "b"] = "a"
    letters[0] = "b"  # in one fold's test rows only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn's, of so few rows
        assert set(cross_val_predict(make(loss="focal"), X, letters, cv=2)) <= {"a", "b", "c"}
    assert make(loss="focal").fit(X[1:], letters[1:]).classes_.tolist() == ["a", "c"]


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA], ids=str)
def test_xgboost_9747_a_missing_label_is_no_class(make, missing):
    """ "Expected: [0 1 2], got [0. 1. nan]"."""
    y = pd.Series(Y, dtype=object)
    y[3] = missing
    with pytest.raises(ValueError, match="Input y contains NaN or another missing value"):
        make().fit(X, y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        make().fit(X, np.where(np.arange(N) == 3, np.nan, Y))


def test_xgboost_325_labels_that_are_probabilities():
    """Trained silently or not, according to who calls; here always refused, with what to do."""
    soft = np.where(Y, 0.9, 0.1)
    for maker in MAKERS:
        with pytest.raises(
            ValueError, match="to fit soft labels, pass each row once for each"
        ):
            maker().fit(X, soft)
    with pytest.raises(ValueError, match=r"y must contain 0 or 1, got 0\.\d"):
        xgb.train(
            {"objective": "binary:logistic"}, xgb.DMatrix(X, soft), 1, obj=objective(FocalLoss())
        )
