"""Weights of the classes: given, balanced, by effective numbers."""

import numpy as np
import pytest

from boostloss import CrossEntropy, FocalLoss, GHMLoss


def weights(loss, y, sample_weight=None):
    raw = np.zeros(len(y)) if max(y) == 1 else np.zeros((len(y), max(y) + 1))
    value = loss.value(y, raw, sample_weight)
    return value / CrossEntropy().value(y, raw, sample_weight)


def test_class_weights():
    y = np.array([0] * 6 + [1] * 2)
    np.testing.assert_allclose(
        weights(CrossEntropy(class_weight="balanced"), y), 8 / (2 * np.array([6] * 6 + [2] * 2))
    )
    beta = 0.9
    inverse = np.array([(1 - beta) / (1 - beta**6)] * 6 + [(1 - beta) / (1 - beta**2)] * 2)
    got = weights(CrossEntropy(class_weight="effective", beta=beta), y)
    np.testing.assert_allclose(got, inverse / inverse.mean())
    np.testing.assert_allclose(weights(CrossEntropy(class_weight=4.0), y), [1] * 6 + [4] * 2)
    np.testing.assert_allclose(weights(CrossEntropy(class_weight=[2, 3]), y), [2] * 6 + [3] * 2)
    np.testing.assert_allclose(
        weights(CrossEntropy(class_weight={1: 3, 0: 2}), y), [2] * 6 + [3] * 2
    )
    np.testing.assert_allclose(weights(FocalLoss(0, alpha=0.2), y), [0.8] * 6 + [0.2] * 2)
    three = np.array([0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(
        weights(CrossEntropy(class_weight="balanced"), three), [6 / 9] * 3 + [1] * 2 + [2]
    )


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight="balanced"), FocalLoss(2.5), GHMLoss(),
                                  CrossEntropy(class_weight="effective"), GHMLoss(density="window")],
                         ids=repr)  # fmt: skip
def test_integer_weights_are_repeated_rows(loss):
    rng = np.random.default_rng(0)
    y, raw, times = rng.integers(0, 2, 200), rng.normal(0, 2, 200), rng.integers(1, 4, 200)
    weighted = loss.gradient_hessian(y, raw, times)
    repeated = loss.gradient_hessian(np.repeat(y, times), np.repeat(raw, times))
    for a, b in zip(weighted, repeated, strict=True):
        assert a.sum(dtype=float) == pytest.approx(b.sum(dtype=float), rel=1e-5)
    assert loss.init_score(y, times) == pytest.approx(loss.init_score(np.repeat(y, times)))


def test_effective_numbers_near_their_limits():
    """beta = 0: equal weights; beta -> 1: as balanced; a class whose number is 1 / (1 - beta)."""
    y = np.repeat([0, 1, 2], [100, 10, 1])
    for beta, want in ((0.0, np.ones(3)), (1 - 1e-12, 111 / (3 * np.array([100, 10, 1])))):
        got = CrossEntropy(class_weight="effective", beta=beta).fit(y).class_weight
        np.testing.assert_allclose(got, want, rtol=1e-9)
