"""Costs, budgets and thresholds against the same by hand, row by row and threshold by threshold."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    matthews_corrcoef,
)

from boostloss import thresholds
from boostloss.decide import (
    apply_threshold,
    cost_matrix,
    decide,
    expected_cost,
    observed_cost,
    shift_prior,
    top,
    tune_threshold,
)

BY_NAME = {
    "f1": f1_score,
    "f1_macro": lambda y, d, **w: f1_score(y, d, average="macro", **w),
    "balanced_accuracy": balanced_accuracy_score,
    "accuracy": accuracy_score,
    "matthews_corrcoef": matthews_corrcoef,
}


def drawn(n, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.linspace(3, 0.5, n_classes), n)
    y = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=n_classes - 1)
    return y, p


# -- costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("by_row", [False, True])
def test_costs_row_by_row(n_classes, by_row):
    y, p = drawn(50, n_classes)
    rng = np.random.default_rng(1)
    costs = rng.normal(size=(50, n_classes, n_classes) if by_row else (n_classes, n_classes))
    of_row = costs if by_row else [costs] * 50
    want = [[sum(p[i, k] * of_row[i][k, j] for k in range(n_classes)) for j in range(n_classes)]
            for i in range(50)]  # fmt: skip
    np.testing.assert_allclose(expected_cost(p, costs), want)
    decision = decide(p, costs)
    np.testing.assert_array_equal(decision, np.argmin(want, axis=1))
    want = [of_row[i][y[i], decision[i]] for i in range(50)]
    np.testing.assert_array_equal(observed_cost(y, decision, costs), want)
    if n_classes == 2:
        np.testing.assert_array_equal(decide(p[:, 1], costs), decision)


def test_decisions_cost_less_than_any_other_threshold():
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 6, 100_000)
    y = (rng.random(len(p)) < p).astype(int)
    for ratio in (10, 50):
        costs = cost_matrix(false_negative=ratio, false_positive=1)
        ours = observed_cost(y, decide(p, costs), costs).sum()
        for threshold in np.linspace(0.005, 0.5, 40):
            other = observed_cost(y, (p >= threshold).astype(int), costs).sum()
            assert ours <= 1.02 * other
        np.testing.assert_array_equal(decide(p, costs), p > 1 / (1 + ratio))


def test_cost_matrices():
    np.testing.assert_array_equal(
        cost_matrix(false_negative=3, false_positive=1, true_positive=-2, true_negative=-1),
        [[-1, 1], [3, -2]],
    )
    by_row = cost_matrix(false_negative=[1, 2, 3], false_positive=[4, 5, 6])
    assert by_row.shape == (3, 2, 2)
    np.testing.assert_array_equal(by_row[1], [[0, 5], [2, 0]])
    with pytest.raises(ValueError, match=r"false_positive.*false_negative: \(2,\)"):
        cost_matrix(false_negative=[1, 2], false_positive=[4, 5, 6])
    with pytest.raises(ValueError, match="true_positive must contain finite numbers, got NaN"):
        cost_matrix(false_negative=1, false_positive=1, true_positive=np.nan)


@pytest.mark.parametrize(
    ("probability", "costs", "message"),
    [
        ([0.5, 1.1], np.eye(2), r"probability must be within \[0, 1\], got 1.1"),
        ([0.5, -0.1], np.eye(2), r"probability must be within \[0, 1\], got -0.1"),
        ([[0.5, 0.6]], np.eye(2), r"probability must sum to 1 in each row, got 1.1 in row 0"),
        ([[0.5], [0.6]], np.eye(2), r"probability must have shape"),
        ([0.5, np.nan], np.eye(2), "probability must contain finite numbers, got NaN"),
        (["a", "b"], np.eye(2), "probability must contain finite numbers"),
        ([True, False], np.eye(2), "probability must contain finite numbers, got dtype bool"),
        ([0.5, 0.5, 0.2], np.eye(3), r"costs must have shape \(2, 2\), or \(3, 2, 2\).*\(3, 3\)"),
        ([0.5, 0.5], np.zeros((3, 2, 2)), r"costs must have shape .* got \(3, 2, 2\)"),
        ([0.5, 0.5], [[0, np.inf], [1, 0]], "costs must contain finite numbers, got NaN or infinity"),
        ([0.5, 0.5], [1, 2], r"costs must have shape"),
    ],
)
def test_what_is_wrong_with_probabilities_or_costs_is_said(probability, costs, message):
    for function in (decide, expected_cost):
        with pytest.raises((ValueError, TypeError), match=message):
            function(probability, costs)


def test_what_is_wrong_with_labels_or_decisions_is_said():
    with pytest.raises(ValueError, match="y must contain 0 or 1, got 2"):
        observed_cost([0, 2], [0, 1], np.eye(2))
    with pytest.raises(ValueError, match="decision must contain 0 or 1, got 2"):
        observed_cost([0, 1], [0, 2], np.eye(2))
    with pytest.raises(ValueError, match="decision must have an entry for each of 2 rows, got 1"):
        observed_cost([0, 1], [0], np.eye(2))


# -- budget -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 3, 50])
def test_top_group_by_group(k):
    rng = np.random.default_rng(0)
    score = rng.integers(0, 6, 120) / 7  # many are equal
    days = rng.choice(["Mo", "Tu", "We", "Th"], 120, p=[0.5, 0.3, 0.15, 0.05])
    chosen = top(score, k, groups=days)
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        best = sorted(rows, key=lambda i: (-score[i], i))[:k]
        np.testing.assert_array_equal(np.flatnonzero(chosen & (days == day)), np.sort(best))
    best = sorted(range(120), key=lambda i: (-score[i], i))[:k]
    np.testing.assert_array_equal(np.flatnonzero(top(score, k)), np.sort(best))


def test_top_of_nothing():
    assert top([], 3).tolist() == []
    assert top([], 3, groups=[]).tolist() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.1, 0.9]], 1), r"probability must have shape \(n,\), for example .* got \(1, 2\)"),
        (([0.1, np.inf], 1), "probability must contain finite"),
        (([0.1], -1), "k must be a whole number, at least 0, got -1"),
        (([0.1], 2.0), "k must be a whole number, at least 0, got 2.0"),
        (([0.1, 0.2], 1, [1]), r"groups must have shape \(2,\), got \(1,\)"),
        (([0.1, 0.2], 1, [1.0, np.nan]), "groups must not have missing values"),
        (([0.1, 0.2], 1, ["a", None]), "groups must not have missing values"),
        (([0.1, 0.2], 1, np.array(["2026-01-01", "NaT"], "M8[D]")), "groups must not have missing"),
    ],
)
def test_what_is_wrong_with_a_budget_is_said(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        top(*arguments)


# -- thresholds ---------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", BY_NAME)
def test_no_threshold_of_two_classes_is_better(metric, weighted):
    y, p = drawn(300, 2)
    p = p[:, 1].round(2)  # some are equal
    weight = np.random.default_rng(3).integers(0, 4, 300).astype(float) if weighted else None
    score = BY_NAME[metric]
    threshold = tune_threshold(y, p, metric, sample_weight=weight)
    ours = score(y, apply_threshold(p, threshold), sample_weight=weight)
    every = [score(y, (p >= t).astype(int), sample_weight=weight) for t in np.r_[np.unique(p), 1.1]]
    assert ours == pytest.approx(max(every), rel=1e-12)
    assert ours > every[0]


def test_threshold_of_least_cost():
    y, p = drawn(400, 2)
    costs = cost_matrix(false_negative=7, false_positive=1)
    threshold = tune_threshold(y, p[:, 1], costs)
    ours = observed_cost(y, apply_threshold(p, threshold), costs).sum()
    every = [observed_cost(y, p[:, 1] >= t, costs).sum() for t in np.r_[np.unique(p[:, 1]), 1.1]]
    assert ours == min(every)
    y, p = drawn(200_000, 2)
    assert tune_threshold(y, p[:, 1], costs) == pytest.approx(1 / 8, abs=0.02)


@pytest.mark.parametrize("metric", ["f1_macro", "balanced_accuracy", "accuracy", "costs"])
def test_thresholds_of_three_classes_reach_those_of_a_fine_grid(metric):
    y, p = drawn(600, 3)
    costs = np.array([[0, 1, 2], [3, 0, 1], [20, 4, 0.0]])
    score = BY_NAME.get(metric, lambda y, d: -observed_cost(y, d, costs).sum())
    found = tune_threshold(y, p, costs if metric == "costs" else metric)
    assert found.shape == (3,)
    assert found.sum() == pytest.approx(1)
    ours = score(y, apply_threshold(p, found))
    grid = np.geomspace(0.02, 50, 25)
    every = [score(y, apply_threshold(p, [1.0, a, b])) for a, b in itertools.product(grid, grid)]
    assert ours >= max(every) - 0.005 * abs(max(every))
    assert ours > score(y, p.argmax(axis=1)) or metric == "accuracy"


def test_columns_of_two_classes_are_the_same_threshold():
    y, p = drawn(300, 2)
    number, pair = tune_threshold(y, p[:, 1]), tune_threshold(y, p)
    np.testing.assert_allclose(pair, [1 - number, number])
    np.testing.assert_array_equal(apply_threshold(p, number), apply_threshold(p, pair))


def test_a_callable_metric():
    y, p = drawn(150, 2)

    def f2(y, decision, sample_weight=None):
        return fbeta_score(y, decision, beta=2, sample_weight=sample_weight)

    ours = f2(y, apply_threshold(p, tune_threshold(y, p[:, 1], f2)))
    assert ours == max(f2(y, (p[:, 1] >= t).astype(int)) for t in p[:, 1])
    weight = np.where(y == 1, 10.0, 1.0)
    weighted = tune_threshold(y, p[:, 1], f2, sample_weight=weight)
    assert weighted < tune_threshold(y, p[:, 1], f2)
    every = [f2(y, (p[:, 1] >= t).astype(int), sample_weight=weight) for t in p[:, 1]]
    assert f2(y, apply_threshold(p, weighted), sample_weight=weight) == max(every)
    with pytest.raises(ValueError, match="metric must give a number for every threshold, got NaN"):
        tune_threshold(y, p[:, 1], lambda y, decision: np.nan)


def test_many_values_are_thinned_to_quantiles(monkeypatch):
    y, p = drawn(20_000, 2)
    every = tune_threshold(y, p[:, 1])
    monkeypatch.setattr(thresholds, "MAX_CELLS", 4 * 500)
    few = tune_threshold(y, p[:, 1])
    score = [f1_score(y, apply_threshold(p, t)) for t in (every, few)]
    assert few != every
    assert score[0] >= score[1] > score[0] - 0.003


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0.1, 0.2], "auc"), "metric must be one of 'f1', 'f1_macro', .* got 'auc'"),
        (([0, 1, 2], np.eye(3), "f1"), "metric must be 'f1_macro' for 3 classes"),
        (([0, 1], [0.1, 0.2], np.eye(3)), r"metric must be a name, a callable or a cost matrix"),
        (([0, 1], [0.1, 0.2], 3), r"metric must be a name, a callable or a cost matrix"),
        (([0, 0], [0.1, 0.2]), "y must contain every class from 0 to 1, got no row .* of class 1"),
        (([0, 1, 1], [0.1, 0.2]), "y must have one label for each of 2 rows, got 3"),
        (([0, 1], [0.1, 2.0]), "probability must be within"),
    ],
)
def test_what_is_wrong_with_tuning_is_said(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tune_threshold(*arguments)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (1.5, r"threshold must be a number in \[0, 1\] for two classes"),
        ([0.5, 0.0], "threshold must contain 2 numbers above 0"),
        ([0.5, 0.2, 0.3], "threshold must contain 2 numbers above 0"),
        (np.nan, "threshold must contain finite numbers"),
    ],
)
def test_what_is_wrong_with_a_threshold_is_said(threshold, message):
    with pytest.raises(ValueError, match=message):
        apply_threshold([0.1, 0.2], threshold)
    with pytest.raises(ValueError, match=r"for two classes, .* for 3 classes"):
        apply_threshold(np.eye(3), 0.5)


def test_pandas_is_read_by_its_index():
    """``value_counts`` starts with the most frequent class, which may be any."""
    pd = pytest.importorskip("pandas")
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    old, new = pd.Series([0.3, 0.7], index=[1, 0]), pd.Series([0.1, 0.9], index=[1, 0])
    np.testing.assert_array_equal(shift_prior(p, old, new), shift_prior(p, [0.7, 0.3], [0.9, 0.1]))
    costs = pd.DataFrame([[0, 5], [1, 0]], index=[1, 0], columns=[1, 0])
    np.testing.assert_array_equal(decide(p, costs), decide(p, [[0, 1], [5, 0]]))
    thresholds = pd.Series([0.2, 0.8], index=[1, 0])
    np.testing.assert_array_equal(
        apply_threshold(p, thresholds), apply_threshold(p, [0.8, 0.2])
    )
    for call in (
        lambda wrong: shift_prior(p, wrong, [0.9, 0.1]),
        lambda wrong: shift_prior(p, [0.9, 0.1], wrong),
        lambda wrong: apply_threshold(p, wrong),
        lambda wrong: decide(p, pd.DataFrame(np.eye(2), index=wrong.index, columns=[0, 1])),
        lambda wrong: decide(p, pd.DataFrame(np.eye(2), index=[0, 1], columns=wrong.index)),
    ):
        for index, words in ((["ok", "fraud"], "the index 0 to 1"), ([1, 1], "each label once")):
            with pytest.raises(ValueError, match=words):
                call(pd.Series([0.9, 0.1], index=index))
