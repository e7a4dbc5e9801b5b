"""Values and derivatives against mpmath at 50 digits, from raw score -700 to 700."""

import mpmath as mp
import numpy as np
import pytest
from scipy.special import expit, softmax

from boostloss import CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses._density import Grid

mp.mp.dps = 50
TOLERANCE, SMALLEST = 2e-6, mp.mpf("1e-30")
RAW = np.unique(
    np.concatenate([np.linspace(-700, 700, 57), np.linspace(-60, 60, 121), np.linspace(-2, 2, 41)])
)
GAMMAS = [0, 0.5, 1, 2, 2.5, 5]


def terms(margin):
    """p, q, u of a binary row, without cancellation."""
    e = mp.exp(-abs(margin))
    large, small = 1 / (1 + e), e / (1 + e)
    p, q = (large, small) if margin >= 0 else (small, large)
    return p, q, max(-margin, mp.mpf(0)) + mp.log1p(e)


def assert_close(got, want):
    got = np.asarray(got, dtype=np.float64).ravel()
    assert np.isfinite(got).all()
    for g, w in zip(got, want, strict=True):
        if abs(w) >= SMALLEST:
            assert abs(mp.mpf(float(g)) / w - 1) <= TOLERANCE, (g, w)


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


def test_ghm_is_the_definition():
    """GD over the sliding window with its valid length, row by row, as the paper writes it."""
    rng = np.random.default_rng(2)
    n, bins = 300, 10
    y, raw = rng.integers(0, 2, n), rng.normal(0, 2, n)
    weight = rng.integers(0, 4, n).astype(float)
    g = np.abs(1 / (1 + np.exp(-raw)) - y)
    eps = 1 / bins
    window, region = np.empty(n), np.empty(n)
    for i in range(n):
        inside = (g >= g[i] - eps / 2) & (g <= g[i] + eps / 2)
        length = min(g[i] + eps / 2, 1) - max(g[i] - eps / 2, 0)
        window[i] = weight.sum() / (weight[inside].sum() / length)
        same = np.floor(g * bins) == np.floor(g[i] * bins)
        region[i] = weight.sum() / (weight[same].sum() * bins) if weight[same].any() else np.nan
    for density, beta in (("window", window), ("bins", region)):
        ghm = GHMLoss(bins, density, normalize=False)
        gradient, hessian = ghm.gradient_hessian(y, raw, weight)
        rows = (weight > 0) & np.isfinite(beta)
        assert rows.sum() > 200
        want = np.where(y == 1, -1, 1) * weight * beta * g
        np.testing.assert_allclose(gradient[rows], want[rows], rtol=1e-5)
        np.testing.assert_allclose(hessian[rows], (weight * beta * g * (1 - g))[rows], rtol=1e-5)
        scaled = GHMLoss(bins, density).weights(y, raw, weight)
        assert np.average(scaled(g), weights=weight) == pytest.approx(1.0)


def test_ghm_momentum_starts_at_the_first_round():
    y, first, second = np.array([0, 0, 0, 1]), np.full(4, -2.0), np.array([-2.0, 2.0, 2.0, 2.0])
    published = {"density": "bins", "normalize": False}
    ghm, memory = GHMLoss(10, momentum=0.75, **published), {}
    start = ghm.gradient_hessian(y, first, memory=memory)[0]
    np.testing.assert_array_equal(start, GHMLoss(10, **published).gradient_hessian(y, first)[0])
    gradient = ghm.gradient_hessian(y, second, memory=memory)[0]
    q = 1 / (1 + np.exp(2.0))
    low, high = 0.75 * 3 + 0.25 * 2, 0.75 * 1 + 0.25 * 2  # S after the second round, by hand
    want = [4 / low / 10 * q, *2 * [4 / high / 10 * (1 - q)], -4 / low / 10 * q]
    np.testing.assert_allclose(gradient, want, rtol=1e-6)


STATIC = [*LOSSES, CrossEntropy(class_weight="balanced"), CrossEntropy(class_weight="effective")]


@pytest.mark.parametrize("loss", [*STATIC, GHMLoss(), GHMLoss(density="bins"), GHMLoss(density="bins", strength=0.25)], ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
def test_base_score_zeroes_the_gradient_sum(loss, weighted):
    rng = np.random.default_rng(3)
    y = (rng.random(5000) < 0.02).astype(int)
    weight = rng.random(5000) if weighted else None
    raw = np.full(5000, loss.base_score(y, weight))
    gradient = loss.gradient_hessian(y, raw, weight)[0].astype(np.float64)
    assert abs(gradient.sum()) <= 1e-6 * np.abs(gradient).sum()


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight="balanced"), FocalLoss(2.0),
                                  FocalLoss((0, 1, 2, 5.0))], ids=repr)  # fmt: skip
def test_softmax_base_score(loss):
    y = np.repeat([0, 1, 2, 3], [4000, 300, 40, 5])
    raw = np.tile(loss.base_score(y), (len(y), 1))
    gradient = loss.gradient_hessian(y, raw)[0].astype(np.float64)
    assert np.abs(gradient.sum(axis=0)).max() <= 1e-6 * np.abs(gradient).sum()


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_posterior_inverts_the_minimiser(n_classes, gamma):
    rng = np.random.default_rng(4)
    share = rng.dirichlet(np.ones(n_classes)) + 0.01
    share /= share.sum()
    loss = FocalLoss(gamma, class_weight=list(rng.uniform(0.2, 5, n_classes)))
    y = np.arange(n_classes)
    z = np.asarray(loss.base_score(y, share, n_classes=n_classes))
    for _ in range(3):  # z is the minimiser: any step raises the risk
        other = z + rng.normal(0, 0.05, n_classes)
        risk = [loss.value(y, np.tile(v, (n_classes, 1))) @ share for v in (z, other)]
        assert risk[0] < risk[1]
    np.testing.assert_allclose(loss.posterior(z[None])[0], share, atol=1e-6)
    if n_classes == 2:
        scalar = loss.base_score(y, share)
        assert loss.posterior([scalar])[0] == pytest.approx(share[1], abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_window_on_rounded_norms(weighted):
    """With many rows the window's norms are rounded: against the definition, row by row."""
    rng = np.random.default_rng(3)
    n, bins = 30_000, 10
    y = rng.integers(0, 2, n)
    raw = (rng.normal(0, 1.5, n) + y).astype(np.float32)
    weight = rng.random(n) if weighted else None
    g = np.abs(1 / (1 + np.exp(-raw.astype(float))) - y)
    order = np.argsort(g)
    mass = np.concatenate([[0], np.cumsum(np.ones(n) if weight is None else weight[order])])
    upper = mass[np.searchsorted(g[order], g + 0.5 / bins, side="right")]
    lower = mass[np.searchsorted(g[order], g - 0.5 / bins, side="left")]
    length = np.minimum(g + 0.5 / bins, 1) - np.maximum(g - 0.5 / bins, 0)
    beta = mass[-1] * length / (upper - lower)
    got = GHMLoss(bins, "window", normalize=False).gradient_hessian(y, raw, weight)[0]
    want = np.where(y == 1, -1, 1) * beta * g * (1 if weight is None else weight)
    error = np.abs(got / want - 1)
    assert np.median(error) < 5e-4
    assert error.max() < 5e-3


@pytest.mark.parametrize("density", ["class", "bins", "window"])
def test_ghm_posterior_inverts_frozen_weights(density):
    rng = np.random.default_rng(5)
    y, raw = rng.integers(0, 2, 500), rng.normal(-1, 1, 500)
    ghm = GHMLoss(density=density, strength=0.5)
    weights = ghm.weights(y, raw)
    z = np.array([-1.3, 0.4])
    p = 1 / (1 + np.exp(-z))
    positive, negative = p / weights(1 - p, [1, 1]), (1 - p) / weights(p, [0, 0])
    np.testing.assert_allclose(ghm.posterior(z, weights), positive / (positive + negative))


def class_density_weights(q, y, weight, bins, strength, normalize):
    """The docstring's formula, row by row."""
    nodes, result = (np.arange(bins) + 0.5) / bins, np.empty(len(q))
    for k in np.unique(y):
        rows = y == k
        near = np.clip(q[rows], nodes[0], nodes[-1])
        window = np.clip(1 - np.abs(near[:, None] - nodes) * bins, 0, None)
        mass = (window * weight[rows, None]).sum(axis=0)
        beta = (bins * mass / mass.sum() + 0.1) ** -strength
        lowest = np.array([beta[: j + 1].min() for j in range(bins)])
        result[rows] = window @ lowest
        if normalize:
            result[rows] /= np.average(result[rows], weights=weight[rows])
    return result


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", [{}, {"bins": 3, "strength": 0.7, "normalize": False},
                                      {"bins": 1}], ids=repr)  # fmt: skip
def test_ghm_class_density_is_its_formula(n_classes, weighted, settings):
    rng = np.random.default_rng(6)
    n, c = 4000, n_classes / (n_classes - 1)
    y = np.minimum(rng.geometric(0.6, n) - 1, n_classes - 1)
    raw = rng.normal(-1, 2, n if n_classes == 2 else (n, n_classes))
    weight = rng.random(n) if weighted else None
    p = expit(raw) if n_classes == 2 else softmax(raw, axis=1)
    q = np.abs(p - y) if n_classes == 2 else 1 - p[np.arange(n), y]
    rows = np.ones(n) if weight is None else weight
    given = {"bins": 10, "strength": 0.25, "normalize": True, **settings}
    row_weight = rows * class_density_weights(q, y, rows, **given)
    if n_classes == 2:
        want = row_weight * (p - y), row_weight * p * (1 - p)
    else:
        column = row_weight[:, None]
        want = column * (p - np.eye(n_classes)[y]), c * column * p * (1 - p)
    loss = GHMLoss(**settings)
    got = loss.gradient_hessian(y, raw, weight, factor=c)
    for part, exact in zip(got, want, strict=True):
        np.testing.assert_allclose(part, exact, rtol=2e-6)
    np.testing.assert_allclose(loss.value(y, raw, weight), -row_weight * np.log1p(-q), rtol=1e-6)
    np.testing.assert_allclose(rows * loss.weights(y, raw, weight)(q, y), row_weight, rtol=1e-6)


def test_ghm_by_class_never_weighs_a_harder_row_more_and_keeps_each_classes_total():
    rng = np.random.default_rng(7)
    y = (rng.random(3000) < 0.1).astype(int)
    raw = rng.normal(0, 1, 3000) + 2 * y - 3
    flipped = rng.random(3000) < 0.02
    y[flipped] = 1 - y[flipped]
    weights, norms = GHMLoss().weights(y, raw), np.linspace(0, 1, 301)
    q = np.abs(expit(raw) - y)
    for label in (0, 1):
        curve = weights(norms, np.full(301, label))
        assert (np.diff(curve) <= 1e-12).all()
        assert weights(q, y)[y == label].mean() == pytest.approx(1.0)
    # the positives are dense where q is near 1, wrong labels first
    assert weights(0.97, 1) < 0.8 * weights(0.3, 1)


def test_ghm_by_class_mirrors_when_the_classes_swap():
    rng = np.random.default_rng(8)
    y, raw = (rng.random(1000) < 0.1).astype(int), rng.normal(-1, 2, 1000)
    gradient, hessian = GHMLoss().gradient_hessian(y, raw)
    swapped = GHMLoss().gradient_hessian(1 - y, -raw)
    np.testing.assert_array_equal(gradient, -swapped[0])
    np.testing.assert_array_equal(hessian, swapped[1])


@pytest.mark.parametrize("density", ["class", "bins", "window"])
def test_ghm_counts_sample_weights_as_repeated_rows(density):
    rng = np.random.default_rng(9)
    y, raw = rng.integers(0, 2, 300), rng.normal(0, 2, 300)
    times = rng.integers(1, 4, 300)
    weighted = GHMLoss(density=density).gradient_hessian(y, raw, times.astype(float))
    repeated = GHMLoss(density=density).gradient_hessian(np.repeat(y, times), np.repeat(raw, times))
    first = np.concatenate([[0], np.cumsum(times)[:-1]])
    for one, many in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(one / times, many[first], rtol=1e-5)


def test_ghm_by_class_gives_weight_1_to_a_class_that_has_one_row_or_none():
    raw = np.array([-2.0, -1.0, 0.5, 1.0])
    weights = GHMLoss().weights([0, 0, 0, 0], raw)
    assert weights(0.4, 1) == 1.0
    weights = GHMLoss().weights([0, 0, 0, 1], raw)
    assert weights(1 - expit(1.0), 1) == pytest.approx(1.0)


def test_ghm_by_class_starts_where_cross_entropy_does():
    y = np.repeat([0, 1], [970, 30])
    assert GHMLoss().base_score(y) == pytest.approx(CrossEntropy().base_score(y), abs=1e-6)
    y = np.repeat([0, 1, 2], [970, 30, 10])
    want = CrossEntropy().base_score(y)
    np.testing.assert_allclose(GHMLoss().base_score(y), want, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_frozen_ghm_keeps_each_classes_weights(n_classes):
    """Where the definition's posterior is monotone, the frozen table gives the same."""
    rng = np.random.default_rng(10)
    y = np.minimum(rng.geometric(0.8, 5000) - 1, n_classes - 1)
    loss = GHMLoss()
    if n_classes == 2:
        raw = rng.normal(-3, 1, 5000) + 2 * y
    else:
        raw = rng.normal(0, 1, (5000, n_classes)) + 3 * (np.arange(n_classes) == 0)
    weights = loss.weights(y, raw)
    assert not np.allclose(weights.table[0], weights.table[1], rtol=0.05)
    want, got = loss.posterior(raw, weights), loss.frozen(y, raw).posterior(raw)
    np.testing.assert_allclose(got, want, atol=0.02)  # small falls are levelled
    if n_classes == 2:  # the rare class's weights are seen: without them it is another posterior
        assert np.abs(want - expit(raw)).max() > 0.03


def random_rows(n_classes, n=400, seed=11):
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.geometric(0.6, n) - 1, n_classes - 1)
    raw = rng.normal(-1, 2, n if n_classes == 2 else (n, n_classes))
    return y, raw, rng.integers(0, 4, n).astype(float)


def by_row(factor, array):
    return factor * array if array.ndim == 1 else factor[:, None] * array


GHMS = [{"density": "class"}, {"density": "bins"}, {"density": "window"},
        {"density": "bins", "momentum": 0.5}]  # fmt: skip


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("settings", GHMS, ids=repr)
def test_ghm_multiplies_by_the_class_weight(n_classes, settings):
    y, raw, weight = random_rows(n_classes)
    class_weight = np.array([0.5, 3.0, 7.0])[:n_classes]
    plain = GHMLoss(**settings)
    weighted = GHMLoss(**settings, class_weight=list(class_weight))
    for one, other in zip(
        plain.gradient_hessian(y, raw, weight), weighted.gradient_hessian(y, raw, weight), strict=True
    ):
        np.testing.assert_allclose(other, by_row(class_weight[y], one), rtol=1e-6)
    np.testing.assert_allclose(
        weighted.value(y, raw, weight), class_weight[y] * plain.value(y, raw, weight), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("n_classes", "density", "n"),
    [(2, "bins", 400), (3, "bins", 400), (2, "window", 400), (3, "window", 400), (2, "window", 20_000)],
)
def test_normalized_ghm_has_mean_weight_1(n_classes, density, n):
    y, raw, weight = random_rows(n_classes, n)
    normalized = GHMLoss(density=density, strength=0.5)
    published = GHMLoss(density=density, strength=0.5, normalize=False)
    factor = normalized.value(y, raw, weight) / np.where(weight > 0, published.value(y, raw, weight), 1)
    factor = factor[weight > 0]
    np.testing.assert_allclose(factor, factor[0], rtol=1e-9)
    p = expit(raw) if n_classes == 2 else softmax(raw, axis=1)
    norms = np.abs(p - y) if n_classes == 2 else 1 - p[np.arange(n), y]
    mean = np.average(published.weights(y, raw, weight)(norms, y), weights=weight)
    assert factor[0] == pytest.approx(1 / mean, rel=2e-3 if n > 1000 else 1e-6)  # window's grid
    assert abs(mean - 1) > 0.01
    for one, other in zip(
        published.gradient_hessian(y, raw, weight), normalized.gradient_hessian(y, raw, weight), strict=True
    ):  # fmt: skip
        np.testing.assert_allclose(other, factor[0] * one, rtol=2e-6)


@pytest.mark.parametrize("settings", [*GHMS, {"strength": 0.7}, {"class_weight": "balanced"}], ids=repr)
def test_softmax_ghm_starts_where_its_gradient_is_least(settings):
    """Where the density does not jump the sum is zero; no start nearby is better."""
    y = np.repeat([0, 1, 2], [970, 30, 10])
    loss = GHMLoss(**{"strength": 0.25, **settings})

    def imbalance(scores):
        gradient = loss.gradient_hessian(y, np.tile(scores, (len(y), 1)))[0].astype(float)
        return np.abs(gradient.sum(axis=0)).max() / np.abs(gradient).sum()

    start = loss.base_score(y)
    assert imbalance(start) < 1e-6
    assert imbalance(start) < imbalance(start + np.array([0.1, 0, 0]))


@pytest.mark.parametrize("settings", [*GHMS, {"strength": 0.7}, {"class_weight": "balanced"}], ids=repr)
@pytest.mark.parametrize("share", [0.5, 1e-3, 1e-6])
def test_binary_ghm_starts_where_its_gradient_is_least(settings, share):
    y, weight = np.array([0, 1]), np.array([1 - share, share])
    loss = GHMLoss(**{"strength": 0.25, **settings})
    start = loss.base_score(y, weight)
    sums = [
        abs(loss.gradient_hessian(y, np.full(2, start + step), weight)[0].astype(float).sum())
        for step in (-0.2, -1e-3, 0, 1e-3, 0.2)
    ]
    assert min(sums) == sums[2]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_binary_ghm_starts_on_the_better_side_of_a_jump(share):
    y, weight, loss = np.array([0, 1]), np.array([1 - share, share]), GHMLoss(density="window")
    start = loss.base_score(y, weight)

    def imbalance(score):
        gradient = loss.gradient_hessian(y, np.full(2, score, np.float32), weight)[0]
        return abs(gradient.sum(dtype=float))

    left, here, right = (imbalance(start + step) for step in (-1e-6, 0, 1e-6))
    assert max(left, right) > 2 * min(left, right)  # a jump
    assert here == pytest.approx(min(left, right), rel=1e-4)


def test_window_is_exact_up_to_4096_rows():
    rng = np.random.default_rng(12)
    y, raw = rng.integers(0, 2, 4097), rng.normal(-1, 1, 4097)
    loss = GHMLoss(density="window", normalize=False)
    norms = np.abs(expit(raw) - y)
    for n, exact in ((4096, True), (4097, False)):
        inside = np.abs(np.subtract.outer(norms[:50], norms[:n])) <= 0.05
        length = np.minimum(norms[:50] + 0.05, 1) - np.maximum(norms[:50] - 0.05, 0)
        want = n * length / inside.sum(axis=1)
        got = loss.weights(y[:n], raw[:n])(norms[:50])
        assert np.allclose(got, want, rtol=1e-9) == exact
        np.testing.assert_allclose(got, want, rtol=1e-2)


def test_cells_of_norms():
    norms = np.array([0, 0.4, 0.5, 0.6, 1.4, 1.6, 2**14, 2**15 - 0.6, 2**15 - 0.4, 2**15]) / 2**15
    want = [0, 0, 1, 1, 1, 2, 2**14, 2**15 - 1, 2**15, 2**15]
    assert Grid.rounding().of(norms).tolist() == want
    assert Grid.regions(4).of(np.array([0, 0.2, 0.25, 0.5, 0.99, 1.0])).tolist() == [0, 0, 1, 2, 3, 3]
    mass = Grid.rounding().mass(norms.astype(np.float32), None)
    assert mass.shape == (2**15 + 1,)
    assert mass.sum() == len(norms)


def test_where_no_row_is_the_density_is_the_least_there_is():
    y, raw = np.array([0] * 6 + [1]), np.array([-3.0] * 6 + [1.0])  # norms .05 and .27
    weights = GHMLoss(10, "bins", normalize=False).weights(y, raw)
    assert weights(0.05) == pytest.approx(7 / (6 * 10))
    assert weights(0.27) == weights(0.9) == pytest.approx(7 / 10)
    weight = np.array([1] * 6 + [0.5])
    weights = GHMLoss(10, "window", normalize=False).weights(y, raw, weight)
    assert weights(0.9) == pytest.approx(6.5 * 0.1 / 0.5)
    assert weights(1.0) == pytest.approx(6.5 * 0.05 / 0.5)
    # a mass of nearly nothing counts as 1e-30 of all
    weight = np.array([1] * 6 + [1e-40])
    for density in ("bins", "window"):
        weights = GHMLoss(10, density, normalize=False).weights(y, raw, weight)
        assert weights(0.27) == pytest.approx(0.1 * 1e30, rel=1e-6)


def test_effective_numbers_near_their_limits():
    """beta = 0: equal weights; beta -> 1: as balanced; a class whose number is 1 / (1 - beta)."""
    y = np.repeat([0, 1, 2], [100, 10, 1])
    for beta, want in ((0.0, np.ones(3)), (1 - 1e-12, 111 / (3 * np.array([100, 10, 1])))):
        got = CrossEntropy(class_weight="effective", beta=beta).resolve(y).class_weight
        np.testing.assert_allclose(got, want, rtol=1e-9)
