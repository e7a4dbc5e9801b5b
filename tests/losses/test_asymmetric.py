"""The asymmetric loss against mpmath at 50 digits, its intercept and its posterior."""

import mpmath as mp
import numpy as np
import pytest
from exact import RAW, assert_close, terms
from scipy.special import expit, logit

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss
from boostloss.losses.asymmetric import HELD

PARAMETERS = [(4, 1, 0.05), (0, 0, 0.05), (2, 0.5, 0.2), (0.5, 0, 0.9), (1, 5, 1e-3), (2.5, 1, 0)]


def exact(raw, y, gamma_neg, gamma_pos, margin):
    """Value, slope magnitude and p by the definition."""
    gamma, margin = (gamma_pos, 0) if y else (gamma_neg, mp.mpf(margin))
    p, q, u = terms((2 * y - 1) * raw)
    r = q - margin
    if r <= 0:
        return mp.mpf(0), mp.mpf(0), p
    gamma, rest = mp.mpf(gamma), p + margin
    v = u if not margin else -mp.log1p(-r) if r < 0.5 else -mp.log(rest)
    slope = p * q * (gamma * r ** (gamma - 1) * v + r**gamma / rest)
    return r**gamma * v, slope, p


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("y", [0, 1])
def test_binary(dtype, parameters, y):
    raw = RAW
    if parameters[2]:  # where negatives begin to count
        raw = np.concatenate([raw, logit(parameters[2]) + np.outer([-1, 1], [1e-5, 1e-3]).ravel()])
    raw = raw.astype(dtype)
    rows = [exact(mp.mpf(float(z)), y, *parameters) for z in raw]
    value, slope, p = map(list, zip(*rows, strict=True))
    loss, labels, sign = AsymmetricLoss(*parameters), np.full(len(raw), y), 2 * y - 1
    gradient, hessian = loss.gradient_hessian(labels, raw)
    assert gradient.dtype == hessian.dtype == np.float32
    got = loss.value(labels, raw)
    assert got.dtype == dtype
    assert_close(got, value)
    assert_close(gradient, [-sign * s for s in slope])
    assert_close(hessian, [s * p for s, p in zip(slope, p, strict=True)])
    for array, exactly in ((got, value), (gradient, slope), (hessian, slope)):
        nothing = np.array([w == 0 for w in exactly])
        assert not array[nothing].any()
        assert nothing.any() == (y == 0 and parameters[2] > 0)


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("y", [0, 1])
def test_the_slope_above_is_the_derivative_of_the_value_above(parameters, y):
    for z in (-40, -4, -1.5, 0.25, 2.5, 6, 40):
        numeric = mp.diff(lambda z: exact(z, y, *parameters)[0], mp.mpf(z))
        slope = exact(mp.mpf(z), y, *parameters)[1]
        assert mp.almosteq(abs(numeric), slope, rel_eps=1e-15, abs_eps=1e-40)


def test_without_a_margin_it_is_the_focal_loss():
    rng = np.random.default_rng(0)
    y, raw = rng.integers(0, 2, 300), rng.normal(0, 5, 300)
    one, other = (
        AsymmetricLoss(2.0, 0.5, 0.0, class_weight=3.0),
        FocalLoss((2.0, 0.5), class_weight=3.0),
    )
    np.testing.assert_allclose(one.value(y, raw), other.value(y, raw), rtol=1e-12)
    for a, b in zip(one.gradient_hessian(y, raw), other.gradient_hessian(y, raw), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-7, atol=1e-30)
    assert one.init_score(y) == pytest.approx(other.init_score(y), abs=1e-12)
    np.testing.assert_allclose(one.fit(y).posterior(raw), other.fit(y).posterior(raw), rtol=1e-12)


def test_without_margin_and_gamma_it_is_cross_entropy():
    y, raw = np.array([0, 1, 0, 1]), np.array([-3.0, -1.0, 2.0, 7.0])
    one, other = AsymmetricLoss(0, 0, 0), CrossEntropy()
    for a, b in zip(one.gradient_hessian(y, raw), other.gradient_hessian(y, raw), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-7)
    np.testing.assert_allclose(one.fit(y).posterior(raw), expit(raw), rtol=1e-12)


LOSSES = [AsymmetricLoss(*parameters) for parameters in PARAMETERS]
LOSSES += [AsymmetricLoss(class_weight=5.0), AsymmetricLoss(1, 0, 0.3, class_weight=[2.0, 0.25])]


def risk(loss, share, scores):
    """Expected loss of one positive in ``share``, at each score; sums of what is positive."""
    n = len(scores)
    positive, negative = (loss.value(np.full(n, y), scores) for y in (1, 0))
    return share * positive + (1 - share) * negative


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("share", [1e-6, 1e-3, 0.02, 0.3, 0.5, 0.9, 0.999])
def test_init_score_is_the_argmin(loss, share):
    y, weight = np.array([0, 1]), np.array([1 - share, share])
    z = loss.init_score(y, weight)
    here, *others = risk(loss, share, z + np.array([0, -1e-3, 1e-3, -0.05, 0.05, -1, 1, -5, 5]))
    assert min(others) >= here
    everywhere = risk(loss, share, np.linspace(-30, 30, 6001))
    assert everywhere.min() >= here * (1 - 1e-12)
    # two columns of softmax start at the same place
    wide = loss.init_score(y, weight, n_classes=2)
    assert wide[1] - wide[0] == pytest.approx(z, abs=1e-9)
    np.testing.assert_allclose(np.exp(wide).sum(), 1, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_posterior_inverts_the_minimiser_where_the_weight_is_positive(loss):
    first = loss.margin + HELD * (1 - loss.margin) if loss.margin else 0.0
    inverted = 0
    for share in (1e-6, 1e-4, 0.003, 0.02, 0.1, 0.3, 0.5, 0.9, 0.999):
        z = loss.init_score([0, 1], [1 - share, share])
        if expit(z) > first and z < 500:  # a negative's loss is bounded: 512 for most positives
            fitted = loss.fit([0, 1], None, [1 - share, share])
            assert fitted.posterior([z])[0] == pytest.approx(share, rel=1e-9)
            assert fitted.posterior([[0, z]])[0, 1] == pytest.approx(share, rel=1e-9)
            inverted += 1
    assert inverted >= 2 or loss.margin == 0.9


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_posterior_is_monotone_and_never_nan(loss, dtype):
    edges = (
        [logit(loss.margin), logit(loss.margin + HELD * (1 - loss.margin))] if loss.margin else []
    )
    near = [edge + np.linspace(-0.1, 0.1, 201) for edge in edges]
    raw = np.sort(np.concatenate([RAW, [-1e30, -1e4, 1e4, 1e30], *near])).astype(dtype)
    fitted = loss.fit([0, 1])
    binary = fitted.posterior(raw)
    wide = fitted.posterior(np.column_stack([np.zeros_like(raw), raw]))
    for posterior in (binary, wide[:, 1]):
        assert ((posterior >= 0) & (posterior <= 1)).all()
        assert (np.diff(posterior) >= -1e-12).all()
    if loss.margin:
        assert (binary[raw >= -700] > 0).all()
    np.testing.assert_allclose(wide[:, 1], binary, rtol=1e-9, atol=1e-15)


def test_the_weight_is_held_below_the_margin():
    """As the docstring says: at q = margin + 0.01 (1 - margin)."""
    fitted = AsymmetricLoss().fit([0, 1])
    edge = logit(0.05 + HELD * 0.95)
    log_odds = logit(fitted.posterior(np.array([edge, edge - 1, edge - 20, -300])))
    # of positives w = q + p u of the focal loss changes yet, that of negatives does not
    scores = np.array([edge, edge - 1, edge - 20, -300])
    p, q = expit(scores), expit(-scores)
    weight_1 = np.log(q + p * -np.log(p))
    np.testing.assert_allclose(np.diff(log_odds + weight_1), np.diff(scores), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: AsymmetricLoss(-1), "gamma_neg"),
        (lambda: AsymmetricLoss("4"), "gamma_neg"),
        (lambda: AsymmetricLoss([1, 2]), "gamma_neg"),
        (lambda: AsymmetricLoss(gamma_pos=-0.1), "gamma_pos"),
        (lambda: AsymmetricLoss(gamma_pos=np.inf), "gamma_pos"),
        (lambda: AsymmetricLoss(margin=1.0), "margin"),
        (lambda: AsymmetricLoss(margin=-0.1), "margin"),
        (lambda: AsymmetricLoss(margin=np.nan), "margin"),
        (lambda: AsymmetricLoss(class_weight=-1), "class_weight"),
    ],
)
def test_bad_parameters_are_named(call, name):
    with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b"):
        call()


def test_it_is_for_two_classes():
    loss, raw = AsymmetricLoss(), np.zeros((3, 3))
    for call in (loss.value, loss.gradient_hessian, loss.fit):
        with pytest.raises(ValueError, match="AsymmetricLoss is for two classes, got 3"):
            call([0, 1, 2], raw)
    with pytest.raises(ValueError, match="AsymmetricLoss is for two classes, got 3"):
        loss.init_score([0, 1, 2])


@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize("y", [0, 1])
def test_two_columns_at_scores_whose_p_is_nothing(margin, y):
    """In softmax p may be 0; the gradient of a hard positive is 1 all the same."""
    raw = np.array([[0, -80], [0, -700], [0, 80], [0, 700], [0, -1e30], [0, 1e30]])
    loss = AsymmetricLoss(2, 1, margin)
    got = loss.gradient_hessian(np.full(6, y), raw)
    want = loss.gradient_hessian(np.full(6, y), raw[:, 1])
    for wide, binary in zip(got, want, strict=True):
        np.testing.assert_allclose(wide[:, 1], binary, rtol=1e-6, atol=1e-30)
    assert (got[0][:, 1] == -1).any() == (y == 1)
    assert (got[0][:, 1] == 1).any() == (y == 0 and not margin)
