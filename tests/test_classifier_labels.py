"""Classifiers take labels of any kind, in any container."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_losses

from boostloss.labels import says_the_positive
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.xgboost import ImbalancedXGBClassifier

letters = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)


@st.composite
def encodings(draw, codes, n_classes):
    """Labels in their order, and each row's, in some container."""
    whole = st.integers(-(2**40), 2**40)
    kinds = [letters, whole, whole.map(float)] + ([st.booleans()] if n_classes == 2 else [])
    kind = draw(st.sampled_from(kinds))
    labels = sorted(draw(st.lists(kind, min_size=n_classes, max_size=n_classes, unique=True)))
    rows = [labels[code] for code in codes]
    container = draw(st.sampled_from(["list", "array", "object", "series", "categorical"]))
    if container == "list":
        return labels, rows
    if container == "categorical":
        # categories in an order of their own
        return labels, pd.Series(pd.Categorical(rows, categories=draw(st.permutations(labels))))
    array = np.array(rows, dtype=object if container == "object" else None)
    return labels, pd.Series(array) if container == "series" else array


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
@settings(max_examples=settings.default.max_examples // 6)
@given(st.data())
def test_classifiers_take_any_labels(engine, data):
    n_classes, n = data.draw(st.sampled_from([2, 3])), 60
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    X, codes = rng.normal(size=(n, 3)), np.arange(n) % n_classes
    X[:, 0] += codes
    weight = data.draw(st.sampled_from([None, rng.random(n) + 0.1]))
    labels, y = data.draw(encodings(codes, n_classes))
    losses = any_losses(n_classes)
    if not says_the_positive(np.array(labels)):
        losses = losses.filter(lambda loss: not loss.of_the_positive())
    loss = data.draw(losses)

    def model():
        if engine == "xgboost":
            return ImbalancedXGBClassifier(loss=loss, n_estimators=3, max_depth=2, n_jobs=1)
        return ImbalancedLGBMClassifier(
            loss=loss, n_estimators=3, num_leaves=4, n_jobs=1, verbose=-1, min_child_samples=5
        )

    plain = model().fit(X, codes, sample_weight=weight)
    named = model().fit(X, y, sample_weight=weight)
    assert named.classes_.tolist() == labels
    probability = named.predict_proba(X)
    np.testing.assert_array_equal(probability, plain.predict_proba(X))
    assert probability.shape == (n, n_classes)
    assert np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    assert named.predict(X).tolist() == [labels[code] for code in plain.predict(X)]
