"""Where training starts, and the posterior there."""

import numpy as np
import pytest

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss

STATIC = [
    CrossEntropy(class_weight=7.0),
    FocalLoss(0.5, alpha=0.25),
    FocalLoss((0.0, 3.0)),
    FocalLoss(2.5, hessian="exact"),
    CrossEntropy(class_weight="balanced"),
    CrossEntropy(class_weight="effective"),
    AsymmetricLoss(),
    AsymmetricLoss(class_weight="balanced"),
    AsymmetricLoss(2.0, 0.0, 0.0),
]


@pytest.mark.parametrize(
    "loss",
    [*STATIC, GHMLoss(), GHMLoss(density="bins"), GHMLoss(density="bins", strength=0.25)],
    ids=repr,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_init_score_zeroes_the_gradient_sum(loss, weighted):
    rng = np.random.default_rng(3)
    y = (rng.random(5000) < 0.02).astype(int)
    weight = rng.random(5000) if weighted else None
    raw = np.full(5000, loss.init_score(y, weight))
    gradient = loss.gradient_hessian(y, raw, weight)[0].astype(np.float64)
    assert abs(gradient.sum()) <= 1e-6 * np.abs(gradient).sum()


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight="balanced"), FocalLoss(2.0),
                                  FocalLoss((0, 1, 2, 5.0))], ids=repr)  # fmt: skip
def test_softmax_init_score(loss):
    y = np.repeat([0, 1, 2, 3], [4000, 300, 40, 5])
    raw = np.tile(loss.init_score(y), (len(y), 1))
    gradient = loss.gradient_hessian(y, raw)[0].astype(np.float64)
    assert np.abs(gradient.sum(axis=0)).max() <= 1e-6 * np.abs(gradient).sum()


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 2.5, 5])
def test_posterior_inverts_the_minimiser(n_classes, gamma):
    rng = np.random.default_rng(4)
    share = rng.dirichlet(np.ones(n_classes)) + 0.01
    share /= share.sum()
    loss = FocalLoss(gamma, class_weight=list(rng.uniform(0.2, 5, n_classes)))
    y = np.arange(n_classes)
    z = np.asarray(loss.init_score(y, share, n_classes=n_classes))
    for _ in range(3):  # z is the minimiser: any step raises the risk
        other = z + rng.normal(0, 0.05, n_classes)
        risk = [loss.value(y, np.tile(v, (n_classes, 1))) @ share for v in (z, other)]
        assert risk[0] < risk[1]
    fitted = loss.fit(y, None, share)
    np.testing.assert_allclose(fitted.posterior(z[None])[0], share, atol=1e-6)
    if n_classes == 2:
        scalar = loss.init_score(y, share)
        assert fitted.posterior([scalar])[0] == pytest.approx(share[1], abs=1e-6)


def test_many_classes():
    y = np.arange(60)
    np.testing.assert_allclose(np.exp(FocalLoss().init_score(y)), np.full(60, 1 / 60), rtol=1e-9)


def test_init_score_ends_somewhere():
    assert CrossEntropy().init_score([0, 1], [1, 1e-300]) == -512.0
    assert CrossEntropy().init_score([0, 1], [1e-300, 1]) == 512.0
    assert CrossEntropy().init_score([0, 1], [1, 1e-200]) == pytest.approx(-200 * np.log(10))


def test_labels_that_float32_cannot_number():
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 16777215, got 1\.67772e"):
        CrossEntropy().init_score([0, 2**24])
    with pytest.raises(ValueError, match=r"of class 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.$"):
        CrossEntropy().init_score([0, 1, 50])
    with pytest.raises(ValueError, match=r"of class 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.$"):
        CrossEntropy().init_score([0, 11])
    with pytest.raises(ValueError, match=r"of class 1, 2$"):
        CrossEntropy().init_score([0, 3])
    with pytest.raises(ValueError, match=r"of class 1, 2, 3, 4, 5, 6, 7, 8, 9$"):
        CrossEntropy().init_score([0, 10])


@pytest.mark.parametrize(
    "weights", [[1, 1], [999, 1], [3, 1e6], [1, 1e-200], [5, 3, 1], [1e5, 10, 1]], ids=str
)
@pytest.mark.parametrize("loss", [CrossEntropy(), GHMLoss(), GHMLoss(class_weight="balanced"),
                                  GHMLoss(30, strength=1.0)], ids=repr)  # fmt: skip
def test_where_classes_keep_their_weight_training_starts_at_their_shares(loss, weights):
    """The closed form is where the search by the gradients of GHM's density ends."""

    class Searched(type(loss)):
        _starts_as_cross_entropy = False

    y = np.arange(len(weights))
    searched = Searched(**loss.get_params()).init_score(y, weights)
    np.testing.assert_allclose(loss.init_score(y, weights), searched, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("density", ["class", "bins", "window"])
def test_ghms_init_score_ends_somewhere(density):
    loss = GHMLoss(density=density, normalize=False)
    assert -512.0 <= loss.init_score([0, 1], [1, 1e-300]) < 0
    assert 0 < loss.init_score([0, 1], [1e-300, 1]) <= 512.0


def test_softmax_root_at_the_end_of_its_bracket():
    """Found with gamma=0, whose sum is zero at the first guess, but for rounding."""
    for seed in range(10):
        counts = np.random.default_rng(seed).exponential(60, 3)
        score = FocalLoss(gamma=0).init_score(np.arange(3), counts)
        np.testing.assert_allclose(np.exp(score), counts / counts.sum(), rtol=1e-9)
