"""Offsets and slopes of log-odds: exact, convex, monotone, over all workers, in the saved state."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import FittedLoss, calibration

BINARY = [
    CrossEntropy(class_weight="balanced"),
    CrossEntropy(class_weight=7.0),
    FocalLoss(2),
    FocalLoss([0.5, 3], class_weight="effective"),
    GHMLoss(),
    GHMLoss(density="bins"),
    AsymmetricLoss(),
    AsymmetricLoss(4, 1, margin=0.1),
]
SEVERAL = [loss for loss in BINARY if not loss.binary_only and loss.class_weight != 7.0]
SEVERAL = [loss for loss in SEVERAL if not isinstance(loss, FocalLoss) or loss.gamma == 2]


def rows(n_classes, n=3000, seed=0, share=None, scale=2.0):
    rng = np.random.default_rng(seed)
    share = share or ([0.97, 0.03] if n_classes == 2 else [0.9, 0.08, 0.02])
    y = rng.choice(n_classes, n, p=share)
    y[:n_classes] = np.arange(n_classes)
    raw = rng.normal(0, scale, (n, n_classes)) + 2.0 * np.eye(n_classes)[y]
    return y, (raw[:, 1] - raw[:, 0] if n_classes == 2 else raw), rng.exponential(size=n)


def mean_posterior(fitted, raw, weight=None):
    p = fitted.posterior(raw)
    p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
    return np.average(p, axis=0, weights=weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "n_classes"), [(loss, 2) for loss in BINARY] + [(loss, 3) for loss in SEVERAL], ids=str
)
def test_mean_posterior_is_the_share(loss, n_classes, weighted):
    for seed, scale in enumerate((0.01, 1.0, 5.0, 40.0)):
        y, raw, weight = rows(n_classes, seed=seed, scale=scale)
        weight = weight if weighted else None
        fitted = loss.fit(y, raw, weight)
        share = np.bincount(y, weights=weight) / (len(y) if weight is None else weight.sum())
        np.testing.assert_allclose(mean_posterior(fitted, raw, weight), share, rtol=1e-9)
        assert fitted.offset[0] == 0.0
        without = loss.fit(y, raw, weight, offset=False)
        assert not without.offset.any()
        z = np.linspace(-30, 30, 999)
        if n_classes == 2 and loss.__class__ is not GHMLoss:
            assert (np.diff(fitted.posterior(z)) >= 0).all()
        gap = fitted.log_posterior(raw) - without.log_posterior(raw)
        gap = gap - gap[:, :1] if n_classes > 2 else gap  # a constant of the class
        np.testing.assert_allclose(gap, np.broadcast_to(gap[0], gap.shape), atol=1e-8)


def test_rare_and_extreme_shares_are_found():
    for n_positive in (1, 3, 50_000 - 1):
        y = np.zeros(50_000, int)
        y[:n_positive] = 1
        raw = np.random.default_rng(0).normal(0, 8, len(y)) + 600.0 * (n_positive == 3)
        fitted = FocalLoss(2).fit(y, raw)
        assert fitted.posterior(raw).mean() == pytest.approx(y.mean(), rel=1e-9)
    # scores that separate the classes entirely
    y, raw = np.array([0, 0, 0, 1]), np.array([-600.0, -650, -700, 700])
    assert FocalLoss(2).fit(y, raw).posterior(raw).mean() == pytest.approx(0.25, rel=1e-9)
    y = np.repeat(np.arange(40), 20)
    raw = np.random.default_rng(0).normal(size=(800, 40)) + np.linspace(-20, 20, 40)
    fitted = FocalLoss(2).fit(y, raw)
    np.testing.assert_allclose(mean_posterior(fitted, raw), 1 / 40, rtol=1e-9)


def test_plain_cross_entropy_stays_as_it_is():
    y, raw, weight = rows(2)
    for loss in (CrossEntropy(), CrossEntropy(class_weight=[3.0, 3.0])):
        assert not loss.fit(y, raw, weight).offset.any()
    np.testing.assert_allclose(CrossEntropy().fit(y, raw).posterior(raw), expit(raw), rtol=1e-14)
    # focal with gamma 0 is cross-entropy
    assert not FocalLoss(0).fit(y, raw).offset.any()
    assert FocalLoss([0, 0.5]).fit(y, raw).offset.any()


def test_without_scores_or_without_a_class_there_is_no_offset():
    y, raw, _ = rows(2)
    assert not FocalLoss(2).fit(y).offset.any()
    assert not FocalLoss(2).fit(np.zeros(len(y)), raw).offset.any()


def test_parts_give_what_all_rows_give():
    for n_classes in (2, 3):
        y, raw, weight = rows(n_classes)
        fitted = FocalLoss(2).fit(y, raw, weight)
        odds = calibration.relative_log_odds(
            FocalLoss(2).fit(y, raw, offset=False).log_posterior(raw)
        )
        counts = np.bincount(y, weights=weight)

        def of_parts(offset, odds=odds, weight=weight):
            parts = np.array_split(np.arange(len(odds)), 5)
            return sum(calibration.moment_sums(odds[i], weight[i], offset) for i in parts)

        np.testing.assert_allclose(
            calibration.offset_for_shares(of_parts, counts), fitted.offset, rtol=1e-10
        )


def test_to_dict_and_back():
    for n_classes in (2, 3):
        y, raw, weight = rows(n_classes)
        for loss in (FocalLoss(2), GHMLoss()):
            fitted = loss.fit(y, raw, weight)
            for one in (fitted, fitted.recalibrated(y, raw)):
                plain = json.loads(json.dumps(one.to_dict()))
                read = FittedLoss.from_dict(plain, n_classes=n_classes)
                assert read == one
                np.testing.assert_array_equal(read.posterior(raw), one.posterior(raw))
    plain = FocalLoss(2).fit([0, 1]).to_dict()
    assert not {"offset", "slope"} & set(plain)
    for wrong in ([0.0], [0.0, np.nan], "a", [[0.0, 1.0]], {"a": 1}):
        with pytest.raises(ValueError, match="offset"):
            FittedLoss.from_dict({**plain, "offset": wrong})
    for wrong in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match="slope"):
            FittedLoss.from_dict({**plain, "slope": wrong})


# -- recalibration ----------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_recalibrated_has_the_least_log_loss(n_classes):
    y, raw, weight = rows(n_classes)
    fitted = FocalLoss(2).fit(y, raw)
    again = fitted.recalibrated(y, raw, weight)
    log_posterior = FocalLoss(2).fit(y).log_posterior(raw)
    log_posterior = (
        np.column_stack([np.zeros(len(y)), log_posterior]) if n_classes == 2 else log_posterior
    )

    def log_loss(numbers):
        p = softmax(numbers[0] * log_posterior + np.r_[0.0, numbers[1:]], axis=1)
        return np.average(-np.log(p[np.arange(len(y)), y]), weights=weight)

    found = minimize(log_loss, np.r_[1.0, np.zeros(n_classes - 1)], method="BFGS")
    mine = np.r_[again.slope, (again.slope * again.offset)[1:]]
    np.testing.assert_allclose(mine, found.x, rtol=1e-3, atol=1e-3)
    assert log_loss(mine) <= found.fun + 1e-12
    # of logistic regression, the mean probability is the share: of the rows it was fitted to
    share = np.bincount(y, weights=weight) / weight.sum()
    np.testing.assert_allclose(mean_posterior(again, raw, weight), share, rtol=1e-8)
    assert again == again.recalibrated(y, raw, weight)


def test_recalibrated_finds_what_was_done_to_the_scores():
    rng = np.random.default_rng(0)
    z = rng.normal(-2, 2, 200_000)
    y = (rng.random(len(z)) < expit(0.5 * z + 1.0)).astype(int)
    found = CrossEntropy().fit(y).recalibrated(y, z)
    assert found.slope == pytest.approx(0.5, abs=0.01)
    assert found.slope * found.offset[1] == pytest.approx(1.0, abs=0.03)


def test_rows_that_cannot_recalibrate():
    fitted = CrossEntropy().fit([0, 1])
    with pytest.raises(ValueError, match="not perfectly"):
        fitted.recalibrated([0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="chance"):
        fitted.recalibrated([1, 0, 1, 0, 1, 0], [-2.0, -1.0, -1.0, 1.0, 0.0, 2.0])
    with pytest.raises(ValueError, match="no row"):
        fitted.recalibrated([0, 0], [0.0, 1.0])
    with pytest.raises(ValueError, match="y must"):
        fitted.recalibrated([0, 2], [0.0, 1.0])
    with pytest.raises(ValueError, match="sample_weight"):
        fitted.recalibrated([0, 1], [0.0, 1.0], [1.0])
