"""The posterior's loops against the same formulae in NumPy."""

import pickle

import numpy as np
import pytest
from scipy.special import log_softmax

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.kernels import posterior
from boostloss.losses import FittedLoss, Loss, fitted, scalar


class Derived(FocalLoss):
    """The focal loss without the closed form of its weight."""

    functions = FocalLoss.functions._replace(log_weight=None)


class ForArrays(Loss):
    """A weight written for NumPy, which the compiler would make slow."""

    name = "for_arrays"

    @scalar
    def value(row):
        return row.neg_log_p

    @scalar
    def slope(row):
        return row.q

    @scalar
    def log_weight(row):
        return np.where(row.q > 0.5, 0.0, 0.0)


class NotCompiled(ForArrays):
    """A weight that does not compile."""

    name = "not_compiled"

    @scalar
    def log_weight(row):
        return np.select([row.q > 0.5], [0.0], default=0.0)


LOSSES = [
    CrossEntropy(class_weight="balanced"),
    FocalLoss(),
    FocalLoss(0.0),
    FocalLoss(0.5, class_weight="balanced"),
    Derived(),
    GHMLoss(),
    GHMLoss(density="bins", class_weight="balanced"),
]
BINARY = [AsymmetricLoss(), AsymmetricLoss(2, 0, 0.2), AsymmetricLoss(1, 2, 0), FocalLoss((1, 3))]
SCORES = {
    "usual": lambda rng, shape: rng.normal(0, 3, shape),
    "equal": lambda rng, shape: np.zeros(shape),
    "saturated": lambda rng, shape: rng.uniform(-700, 700, shape),
    "beyond": lambda rng, shape: rng.uniform(-1e5, 1e5, shape),
    "float32": lambda rng, shape: rng.normal(0, 3, shape).astype(np.float32),
    "class after class": lambda rng, shape: np.asfortranarray(rng.normal(0, 3, shape)),
    "several chunks": lambda rng, shape: rng.normal(0, 3, (posterior.CHUNK + 100, *shape[1:])),
    "one row": lambda rng, shape: rng.normal(0, 3, (1, *shape[1:])),
    "no row": lambda rng, shape: np.empty((0, *shape[1:])),
}
CASES = [(loss, 2) for loss in [*LOSSES, *BINARY]] + [(loss, k) for loss in LOSSES for k in (3, 5)]


def in_numpy(monkeypatch, call, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(fitted, "in_use", lambda: False)
        return call(*arguments)


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize(("loss", "n_classes"), CASES, ids=repr)
def test_the_loops_do_what_numpy_does(loss, n_classes, scores, monkeypatch):
    rng = np.random.default_rng(0)
    shape = (500,) if n_classes == 2 else (500, n_classes)
    made = loss.fit(np.arange(500) % n_classes, rng.normal(0, 2, shape))
    raw = SCORES[scores](rng, shape)
    y = np.arange(len(raw)) % n_classes
    p, log_loss = made.posterior(raw), made.log_loss(y, raw)
    assert p.shape == raw.shape
    assert p.dtype == log_loss.dtype == np.float64
    np.testing.assert_allclose(
        p, in_numpy(monkeypatch, made.posterior, raw), rtol=1e-11, atol=1e-300
    )
    want = in_numpy(monkeypatch, made.log_loss, y, raw)
    np.testing.assert_allclose(log_loss, want, rtol=1e-12, atol=1e-12)
    log_p = made.log_posterior(raw)
    log_p = np.column_stack([np.zeros(len(raw)), log_p]) if n_classes == 2 else log_p
    own = -log_softmax(log_p, axis=1)[np.arange(len(raw)), y] if len(raw) else []
    np.testing.assert_allclose(log_loss, own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("table", [[0.5], [0.0, 1.0], [0.0, 1.0, 0.5], np.sin(np.arange(255))])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_tables_of_any_length(table, n_classes, monkeypatch):
    tables = [list(table), [2 * value for value in table], list(table)][:n_classes]
    made = FittedLoss(GHMLoss(class_weight=[1.0, 2.0, 3.0][:n_classes]), tables)
    raw = np.random.default_rng(0).normal(0, 4, (300,) if n_classes == 2 else (300, 3))
    want = in_numpy(monkeypatch, made.posterior, raw)
    np.testing.assert_allclose(made.posterior(raw), want, rtol=1e-12)


@pytest.mark.parametrize("loss", [ForArrays(), NotCompiled()], ids=repr)
def test_a_weight_that_needs_numpy_is_computed_there(loss):
    raw = np.linspace(-5, 5, 11)
    want = CrossEntropy().fit([0, 1])
    made = loss.fit([0, 1])
    np.testing.assert_allclose(made.posterior(raw), want.posterior(raw), rtol=1e-12)
    np.testing.assert_allclose(made.log_loss(raw > 0, raw), want.log_loss(raw > 0, raw), rtol=1e-12)


def test_small_probabilities_stay_above_zero():
    for n_classes in (2, 3):
        made = FocalLoss(0.0).fit(np.arange(n_classes))
        z = np.array([-690.0, -710.0, -730.0, -744.0])
        raw = z if n_classes == 2 else np.column_stack([z, np.zeros(4), np.full(4, -800.0)])
        p = made.posterior(raw) if n_classes == 2 else made.posterior(raw)[:, 0]
        np.testing.assert_allclose(p, np.exp(z), rtol=1e-12, atol=5e-324)
        assert (p > 0).all()


@pytest.mark.parametrize("loss", [CrossEntropy(), FocalLoss(), ForArrays()], ids=repr)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("label", [-1.0, 0.5, 7.0, np.nan, np.inf])
def test_log_loss_refuses_what_is_not_a_class(loss, n_classes, label):
    raw = np.zeros(9) if n_classes == 2 else np.zeros((9, 3))
    y = np.arange(9.0) % n_classes
    y[5] = label
    with pytest.raises(ValueError, match="y must contain"):
        loss.fit(np.arange(n_classes)).log_loss(y, raw)
    y[5], raw[3] = 0, np.nan
    with pytest.raises(ValueError, match="raw must be finite"):
        loss.fit(np.arange(n_classes)).log_loss(y, raw)


@pytest.mark.parametrize("loss", [CrossEntropy(), FocalLoss(), GHMLoss()], ids=repr)
def test_a_pickle_does_not_grow_with_use(loss):
    made = loss.fit([0, 1, 0], np.array([-1.0, 0.0, 1.0]))
    before = pickle.dumps(made)
    made.posterior(np.zeros(3))
    made.log_loss([0, 1, 0], np.zeros(3))
    assert pickle.dumps(made) == before
