"""Metrics are scikit-learn's, differences and sentences as counted by hand."""

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from boostloss.report import scores
from boostloss.report.training import Settings


def comparison_of(metric="average_precision", **folds):
    """A comparison with these results on each fold."""
    folds = {name.replace("_", "-"): values for name, values in folds.items()}
    settings = Settings("xgboost", metric, 100, 0.1, {}, 0)
    labels, losses = np.array(["a", "b", "c"]), dict.fromkeys(folds)
    comparison = scores.Comparison(settings, labels, losses, None, None, 1 / 3)
    for name, values in folds.items():
        others = dict.fromkeys(scores.TITLES, 0.1) | {"rounds": 10.0}
        comparison.folds[name] = [others | {metric: value} for value in values]
    return comparison


def test_differences_are_paired_and_the_interval_is_wider_than_the_t_tests():
    found = comparison_of(built_in=[0.5, 0.6, 0.7, 0.4], a=[0.52, 0.63, 0.71, 0.43])
    difference, half = found.difference("a", "average_precision")
    assert difference == pytest.approx(0.0225)
    plain = ttest_rel([0.52, 0.63, 0.71, 0.43], [0.5, 0.6, 0.7, 0.4]).confidence_interval(0.95)
    ratio = np.sqrt((1 / 4 + 1 / 3) / (1 / 4))  # Nadeau and Bengio's correction
    assert half == pytest.approx((plain.high - plain.low) / 2 * ratio)


def test_words():
    better = comparison_of(built_in=[0.5, 0.6, 0.7], good=[0.6, 0.7, 0.8], bad=[0.3, 0.4, 0.5])
    assert better.best == "good"
    said = better.sentences()
    assert said[0].startswith("good improves average precision by 0.1000 ± 0.0000")
    assert said[1].startswith("bad makes average precision worse by 0.2000")
    assert said[2] == "Best by average precision: good."
    same = comparison_of(built_in=[0.5, 0.6, 0.7], other=[0.6, 0.6, 0.6])
    assert same.best == "built-in"
    assert (
        same.sentences()[0]
        == "other makes no clear difference to average precision (+0.0000 ± 0.3513)."
    )
    assert same.sentences()[-1] == (
        "No loss is significantly better than the built-in one by average precision. "
        "Keep the built-in loss."
    )
    smaller = comparison_of("log_loss", built_in=[0.5, 0.6, 0.7], good=[0.4, 0.5, 0.6])
    assert smaller.best == "good"
    assert "improves log loss" in smaller.sentences()[0]


def test_an_interruption_in_the_first_fold_gives_no_verdict():
    found = comparison_of(built_in=[0.5], good=[0.6])
    found.losses["late"], found.n_models = None, 9
    said = found.sentences()
    assert said[0] == "Interrupted after 2 of 9 models: 1 fold(s) compared; not compared: late."
    assert not any("Keep" in line or "Best" in line for line in said[:2])


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 2, 300), rng.random(300)
    assert scores.log_loss(y, p) == pytest.approx(sklearn_log_loss(y, p))
    assert scores.brier(y, p) == pytest.approx(brier_score_loss(y, p))
    y, p = rng.integers(0, 3, 300), rng.dirichlet(np.ones(3), 300)
    assert scores.log_loss(y, p) == pytest.approx(sklearn_log_loss(y, p))
    threshold = scores.Threshold(y, p)
    assert scores.f1(y, threshold.decide(p), 3) >= scores.f1(y, p.argmax(axis=1), 3)


def test_weighted_metrics_are_those_of_repeated_rows():
    rng = np.random.default_rng(0)
    for n_classes in (2, 3):
        y, p = rng.integers(0, n_classes, 200), rng.dirichlet(np.ones(n_classes), 200)
        p = p[:, 1] if n_classes == 2 else p
        weight = rng.integers(1, 5, 200)
        again = np.repeat(np.arange(200), weight)
        for name, metric in scores.METRICS.items():
            assert metric(y, p, weight) == pytest.approx(metric(y[again], p[again])), name
        one, other = scores.Threshold(y, p, weight), scores.Threshold(y[again], p[again])
        assert one.number == other.number
        decision = one.decide(p)
        assert scores.f1(y, decision, n_classes, weight) == pytest.approx(
            scores.f1(y[again], decision[again], n_classes)
        )
