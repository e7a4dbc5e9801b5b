import numpy as np
import pytest
from scipy.stats import binomtest

from boostloss.calibration import calibration_groups


def drawn(share, n, seed):
    """Probabilities around a share, and labels that follow them exactly."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.3, 0.3 / share - 0.3, n) if share < 0.2 else rng.beta(2, 2, n)
    return (rng.random(n) < p).astype(int), p


@pytest.mark.parametrize(("share", "n"), [(0.03, 10_000), (0.0025, 20_000), (0.5, 3_000)])
def test_intervals_hold_what_is_calibrated_as_often_as_they_say(share, n):
    inside, first_inside = [], []
    for seed in range(200):
        found = calibration_groups(*drawn(share, n, seed))
        holds = (found.low <= found.predicted) & (found.predicted <= found.high)
        inside += holds.tolist()
        first_inside.append(holds[0])
    # Clopper and Pearson's interval is never too short, and a little too long where counts are small
    assert 0.95 <= np.mean(inside) <= 0.99
    assert np.mean(first_inside) >= 0.93


@pytest.mark.parametrize("share", [0.03, 0.0025])
def test_the_left_end_is_not_too_high(share):
    """Averaged over draws, observed shares are the predicted ones in every group."""
    observed, predicted = [], []
    for seed in range(200):
        y, p = drawn(share, 20_000, seed)
        found = calibration_groups(y, p, groups=6)
        observed.append(found.positives[0])
        predicted.append(found.predicted[0] * found.rows[0])
    assert np.sum(observed) == pytest.approx(np.sum(predicted), rel=0.06)


def test_probabilities_that_are_wrong_are_outside():
    y, p = drawn(0.03, 50_000, 0)
    found = calibration_groups(y, p / 2)
    assert np.mean(found.predicted < found.low) > 0.8


def test_groups_hold_all_rows_once_in_order():
    y, p = drawn(0.03, 5_000, 1)
    found = calibration_groups(y, p)
    assert 5 <= len(found.rows) <= 12
    assert found.rows.sum() == len(y)
    assert found.positives.sum() == y.sum()
    assert (np.diff(found.predicted) > 0).all()
    assert found.predicted @ found.rows == pytest.approx(p.sum())


def test_intervals_are_those_of_scipy():
    y, p = drawn(0.0025, 20_000, 3)
    found = calibration_groups(y, p, confidence=0.9)
    for k, n, low, high in zip(found.positives, found.rows, found.low, found.high, strict=True):
        want = binomtest(int(k), int(n)).proportion_ci(0.9, method="exact")
        assert (low, high) == pytest.approx((want.low, want.high))


def test_a_group_without_positives_stays():
    p = np.r_[np.full(1000, 0.01), np.full(100, 0.5)]
    y = np.r_[np.zeros(1000), np.tile([0, 1], 50)]
    found = calibration_groups(y, p)
    assert found.positives.tolist() == [0, 50]
    assert found.low[0] == 0
    assert 0 < found.high[0] < 0.01


def test_equal_probabilities_are_one_group_whatever_the_order():
    y = np.r_[np.zeros(500), np.ones(500)]
    found = calibration_groups(y, np.full(1000, 0.5))
    assert found.rows.tolist() == [1000]
    assert found.observed.tolist() == [0.5]


def test_few_rows_are_one_group():
    assert calibration_groups([0, 0, 1], [0.1, 0.2, 0.3]).rows.tolist() == [3]


@pytest.mark.parametrize(
    ("y", "p", "arguments", "message"),
    [
        ([0, 1], [0.1, 1.2], {}, r"probability must be within \[0, 1\], got 1.2"),
        ([0, 1], [0.1, np.nan], {}, r"probability must be within \[0, 1\], got nan"),
        ([0, 1], [0.1], {}, r"probability must have shape \(2,\) as y, got \(1,\)"),
        ([0, 2], [0.1, 0.2], {}, "y must contain 0 or 1, got 2"),
        ([0, 0], [0.1, 0.2], {}, "y must contain every class"),
        ([0, 1], [0.1, 0.2], {"groups": 0}, "groups must be"),
        ([0, 1], [0.1, 0.2], {"confidence": 1.0}, "confidence must be"),
    ],
)
def test_what_is_wrong_is_said(y, p, arguments, message):
    with pytest.raises(ValueError, match=message):
        calibration_groups(y, p, **arguments)
