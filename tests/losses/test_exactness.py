"""Values and derivatives against mpmath at 50 digits, from raw score -700 to 700."""

import mpmath as mp
import numpy as np
import pytest
from exact import RAW, assert_close, terms

from boostloss import CrossEntropy, FocalLoss

GAMMAS = [0, 0.5, 1, 2, 2.5, 5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("y", [0, 1])
def test_binary(dtype, gamma, y):
    raw = RAW.astype(dtype)
    labels, sign, g = np.full(len(raw), y), 2 * y - 1, mp.mpf(gamma)
    rows = [terms(sign * mp.mpf(float(z))) for z in raw]
    loss = FocalLoss(gamma)
    gradient, hessian = loss.gradient_hessian(labels, raw)
    exact = FocalLoss(gamma, hessian="exact").gradient_hessian(labels, raw)[1]
    assert gradient.dtype == hessian.dtype == np.float32
    assert_close(loss.value(labels, raw), [q**g * u for p, q, u in rows])
    slope = [q**g * (q + g * p * u) for p, q, u in rows]
    assert_close(gradient, [-sign * s for s in slope])
    assert_close(hessian, [s * p for s, (p, _, _) in zip(slope, rows, strict=True)])
    curve = [q**g * p * (q * (1 + 2 * g) + g * u * (g * p - q)) for p, q, u in rows]
    assert_close(exact, [max(c, mp.mpf(1e-16)) for c in curve])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("n_classes", [3, 10])
def test_softmax(dtype, gamma, n_classes):
    rng = np.random.default_rng(0)
    raw = np.concatenate(
        [rng.uniform(-s, s, (12, n_classes)) for s in (1.0, 8.0, 40.0, 700.0)]
    ).astype(dtype)
    y, g = rng.integers(0, n_classes, len(raw)), mp.mpf(gamma)
    value, gradient, hessian = [], [], []
    for row, t in zip(raw, y, strict=True):
        z = [mp.mpf(float(v)) for v in row]
        top = max(z)
        e = [mp.exp(v - top) for v in z]
        total = mp.fsum(e)
        q = mp.fsum(e[:t] + e[t + 1 :]) / total
        p, u = e[t] / total, -mp.log1p(-q) if q < 0.5 else mp.log(total) + top - z[t]
        slope = q**g * (q + g * p * u)
        w = slope / q
        value.append(q**g * u)
        for k in range(n_classes):
            p_k = e[k] / total
            rest = mp.fsum(e[:k] + e[k + 1 :]) / total
            gradient.append(-slope if k == t else w * p_k)
            hessian.append(2 * w * p_k * rest)
    loss = FocalLoss(gamma)
    got = loss.gradient_hessian(y, raw, factor=2.0)
    assert_close(loss.value(y, raw), value)
    assert_close(got[0], gradient)
    assert_close(got[1], hessian)


LOSSES = [
    CrossEntropy(class_weight=7.0),
    FocalLoss(0.5, alpha=0.25),
    FocalLoss((0.0, 3.0)),
    FocalLoss(2.5, hessian="exact"),
]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("n_classes", [1, 2])
def test_gradient_is_the_slope_of_the_value(loss, n_classes):
    rng = np.random.default_rng(1)
    raw = rng.normal(0, 2, 50 if n_classes == 1 else (50, 2))
    y, weight, step = rng.integers(0, 2, 50), rng.random(50), 1e-5
    gradient, hessian = loss.gradient_hessian(y, raw, weight)
    columns = [slice(None)] if n_classes == 1 else [(slice(None), k) for k in range(2)]
    for column in columns:
        up, down = raw.copy(), raw.copy()
        up[column] += step
        down[column] -= step
        numeric = (loss.value(y, up, weight) - loss.value(y, down, weight)) / (2 * step)
        np.testing.assert_allclose(gradient[column], numeric, rtol=2e-6, atol=1e-7)
    assert (hessian >= 0).all()


def test_exact_hessian_is_the_second_derivative():
    loss, raw, step = FocalLoss(2.0, hessian="exact"), np.linspace(-0.5, 3, 30), 1e-4
    y = np.ones(30)
    value = [loss.value(y, raw + d) for d in (-step, 0, step)]
    numeric = (value[0] - 2 * value[1] + value[2]) / step**2
    np.testing.assert_allclose(loss.gradient_hessian(y, raw)[1], numeric, rtol=1e-5, atol=1e-7)
