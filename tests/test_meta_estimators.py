"""What scikit-learn's users do with a classifier, on the three engines."""

import inspect

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score, get_scorer

from boostloss import (
    ImbalancedHistGradientBoostingClassifier,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)

KINDS = (
    ImbalancedXGBClassifier, ImbalancedLGBMClassifier, ImbalancedHistGradientBoostingClassifier
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_subclasses_that_set_or_add_parameters(kind):
    """A subclass may hide parameters, and need one without a default."""
    rounds = "max_iter" if kind is ImbalancedHistGradientBoostingClassifier else "n_estimators"

    class Preset(kind):
        def __init__(self, cost, *, random_state=None):
            super().__init__(loss="focal", random_state=random_state, **{rounds: 3})
            self.cost = cost

    X, y = make_classification(300, 5, random_state=0)
    model = Preset(7).fit(X, y)
    plain = kind(loss="focal", **{rounds: 3}).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert repr(model).startswith("Preset(loss='focal', cost=7")
    assert repr(plain) == f"{kind.__name__}(loss='focal', {rounds}=3)"


@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_rows_are_predicted_as_the_engine_predicts_them(n_classes):
    X, y = make_classification(300, 8, n_informative=5, n_classes=n_classes, random_state=0)
    model = ImbalancedXGBClassifier(n_estimators=2).fit(X, y)
    for none in (X[:0], pd.DataFrame(X)[:0].rename(columns=str)):
        assert model.predict_proba(none).shape == (0, n_classes)
        assert model.predict(none).shape == (0,)
        scores = model.decision_function(none)
        assert scores.shape == ((0,) if n_classes == 2 else (0, n_classes))


@pytest.mark.parametrize("kind", KINDS)
def test_scorers_rank_several_classes_by_their_probability(kind):
    """Most of scikit-learn's prefer ``decision_function``."""
    X, y = make_classification(
        1200, 8, n_informative=5, n_classes=3, weights=[0.8, 0.15], random_state=1
    )
    model = kind(loss="focal").fit(X[:600], y[:600])
    p = model.predict_proba(X[600:])
    wanted = average_precision_score(y[600:], p)
    assert get_scorer("average_precision")(model, X[600:], y[600:]) == pytest.approx(wanted)


def test_lightgbms_names_of_labels_and_sets():
    X = np.random.default_rng(0).normal(size=(400, 5))
    y = np.array(["fraud", "ok"])[(np.arange(400) >= 4).astype(int)]
    model = ImbalancedLGBMClassifier(n_estimators=2, verbose=-1)
    with pytest.warns(UserWarning, match="4 rows of class 'fraud' among 400"):
        model.fit(X, y, eval_set=[(X, y)])
    assert list(model.evals_result_) == ["training"]
    if "eval_X" in inspect.signature(LGBMClassifier.fit).parameters:
        with pytest.warns(UserWarning, match="class 'fraud'"):
            model.fit(X, y, eval_X=X, eval_y=y)
        assert list(model.evals_result_) == ["valid_0"]
