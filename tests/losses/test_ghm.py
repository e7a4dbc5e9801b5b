"""GHM's weights against their definition, row by row."""

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from boostloss import CrossEntropy, GHMLoss
from boostloss.kernels.histogram import Grid, histogram
from boostloss.losses import TrainingRun
from boostloss.losses.ghm import FINE_CELLS

GHMS = [{"density": "class"}, {"density": "bins"}, {"density": "window"},
        {"density": "bins", "momentum": 0.5}]  # fmt: skip


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
    ghm, run = GHMLoss(10, momentum=0.75, **published), TrainingRun()
    start = ghm.gradient_hessian(y, first, run=run)[0]
    np.testing.assert_array_equal(start, GHMLoss(10, **published).gradient_hessian(y, first)[0])
    gradient = ghm.gradient_hessian(y, second, run=run)[0]
    q = 1 / (1 + np.exp(2.0))
    low, high = 0.75 * 3 + 0.25 * 2, 0.75 * 1 + 0.25 * 2  # S after the second round, by hand
    want = [4 / low / 10 * q, *2 * [4 / high / 10 * (1 - q)], -4 / low / 10 * q]
    np.testing.assert_allclose(gradient, want, rtol=1e-6)


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
@pytest.mark.parametrize("class_weight", [None, [0.5, 3.0]])
def test_ghm_posterior_inverts_its_weights(density, class_weight):
    """P_k is proportional to p / w_k(p), of which the nearest increasing function is taken."""
    rng = np.random.default_rng(5)
    y, raw = rng.integers(0, 2, 500), rng.normal(-1, 1, 500)
    ghm = GHMLoss(density=density, strength=0.5, class_weight=class_weight)
    weights, p = ghm.weights(y, raw), np.arange(1, 256) / 256
    score = []
    for label in (0, 1):
        definition = np.log(p / weights(1 - p, np.full(255, label)))
        above = np.maximum.accumulate(definition)
        below = -np.maximum.accumulate(-definition[::-1])[::-1]
        score.append((above + below) / 2)
        assert (np.diff(score[-1]) >= 0).all()
        assert (score[-1] == definition).sum() > 20  # where it rises it stays
    want = score[1] - score[0][::-1] - (np.log(6) if class_weight else 0)
    got = ghm.fit(y, raw, offset=False).posterior(logit(p))
    np.testing.assert_allclose(logit(got), want, rtol=1e-9, atol=1e-9)


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
    assert GHMLoss().init_score(y) == pytest.approx(CrossEntropy().init_score(y), abs=1e-6)
    y = np.repeat([0, 1, 2], [970, 30, 10])
    want = CrossEntropy().init_score(y)
    np.testing.assert_allclose(GHMLoss().init_score(y), want, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_fitted_ghm_keeps_each_classes_weights(n_classes):
    """Where the definition's posterior is monotone, the fitted table gives the same."""
    rng = np.random.default_rng(10)
    y = np.minimum(rng.geometric(0.8, 5000) - 1, n_classes - 1)
    loss = GHMLoss()
    if n_classes == 2:
        raw = rng.normal(-3, 1, 5000) + 2 * y
        p = np.column_stack([expit(-raw), expit(raw)])
    else:
        raw = rng.normal(0, 1, (5000, n_classes)) + 3 * (np.arange(n_classes) == 0)
        p = softmax(raw, axis=1)
    weights = loss.weights(y, raw)
    assert not np.allclose(weights.left[0], weights.left[1], rtol=0.05)
    share = np.stack(
        [p[:, k] / weights(1 - p[:, k], np.full(5000, k)) for k in range(n_classes)], 1
    )
    share /= share.sum(axis=1, keepdims=True)
    fitted = loss.fit(y, raw, offset=False)
    want, got = share[:, 1] if n_classes == 2 else share, fitted.posterior(raw)
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


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("settings", GHMS, ids=repr)
def test_ghm_multiplies_by_the_class_weight(n_classes, settings):
    y, raw, weight = random_rows(n_classes)
    class_weight = np.array([0.5, 3.0, 7.0])[:n_classes]
    plain = GHMLoss(**settings)
    weighted = GHMLoss(**settings, class_weight=list(class_weight))
    for one, other in zip(
        plain.gradient_hessian(y, raw, weight),
        weighted.gradient_hessian(y, raw, weight),
        strict=True,
    ):
        np.testing.assert_allclose(other, by_row(class_weight[y], one), rtol=1e-6)
    np.testing.assert_allclose(
        weighted.value(y, raw, weight), class_weight[y] * plain.value(y, raw, weight), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("n_classes", "density", "n"),
    [
        (2, "bins", 400),
        (3, "bins", 400),
        (2, "window", 400),
        (3, "window", 400),
        (2, "window", 20_000),
    ],
)
def test_normalized_ghm_has_mean_weight_1(n_classes, density, n):
    y, raw, weight = random_rows(n_classes, n)
    normalized = GHMLoss(density=density, strength=0.5)
    published = GHMLoss(density=density, strength=0.5, normalize=False)
    factor = normalized.value(y, raw, weight) / np.where(
        weight > 0, published.value(y, raw, weight), 1
    )
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


@pytest.mark.parametrize(
    "settings", [*GHMS, {"strength": 0.7}, {"class_weight": "balanced"}], ids=repr
)
def test_softmax_ghm_starts_where_its_gradient_is_least(settings):
    """Where the density does not jump the sum is zero; no start nearby is better."""
    y = np.repeat([0, 1, 2], [970, 30, 10])
    loss = GHMLoss(**{"strength": 0.25, **settings})

    def imbalance(scores):
        gradient = loss.gradient_hessian(y, np.tile(scores, (len(y), 1)))[0].astype(float)
        return np.abs(gradient.sum(axis=0)).max() / np.abs(gradient).sum()

    start = loss.init_score(y)
    assert imbalance(start) < 1e-6
    assert imbalance(start) < imbalance(start + np.array([0.1, 0, 0]))


@pytest.mark.parametrize(
    "settings", [*GHMS, {"strength": 0.7}, {"class_weight": "balanced"}], ids=repr
)
@pytest.mark.parametrize("share", [0.5, 1e-3, 1e-6])
def test_binary_ghm_starts_where_its_gradient_is_least(settings, share):
    y, weight = np.array([0, 1]), np.array([1 - share, share])
    loss = GHMLoss(**{"strength": 0.25, **settings})
    start = loss.init_score(y, weight)
    sums = [
        abs(loss.gradient_hessian(y, np.full(2, start + step), weight)[0].astype(float).sum())
        for step in (-0.2, -1e-3, 0, 1e-3, 0.2)
    ]
    assert min(sums) == sums[2]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_binary_ghm_starts_on_the_better_side_of_a_jump(share):
    y, weight, loss = np.array([0, 1]), np.array([1 - share, share]), GHMLoss(density="window")
    start = loss.init_score(y, weight)

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
    def cells(grid, norms):
        return grid.places(norms).astype(int).tolist()

    rounding = GHMLoss(density="window")._grid
    assert rounding == Grid.of(FINE_CELLS, 0.5, FINE_CELLS)
    norms = np.array([0, 0.4, 0.5, 0.6, 1.4, 1.6, 2**14, 2**15 - 0.6, 2**15 - 0.4, 2**15]) / 2**15
    want = [0, 0, 1, 1, 1, 2, 2**14, 2**15 - 1, 2**15, 2**15]
    assert cells(rounding, norms) == want
    regions = GHMLoss(4, density="bins")._grid
    assert cells(regions, np.array([0, 0.2, 0.25, 0.5, 0.99, 1.0])) == [0, 0, 1, 2, 3, 3]
    between_nodes = GHMLoss(4)._grid
    assert cells(between_nodes, np.array([0, 0.12, 0.13, 0.37, 0.38, 0.87, 0.88, 1])) == [
        0, 0, 1, 1, 2, 3, 4, 4]  # fmt: skip
    mass = histogram(norms.astype(np.float32), None, None, rounding, places=False)[0, :, 0]
    assert mass.shape == (rounding.n_cells,) == (2**15 + 1,)
    assert np.flatnonzero(mass).tolist() == sorted(set(want))
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


@pytest.mark.parametrize("density", ["class", "bins", "window"])
def test_only_the_ratios_of_sample_weights_count_in_ghms_density(density):
    rng = np.random.default_rng(0)
    y, weight = rng.integers(0, 2, 300), rng.random(300)
    raw = rng.normal(0, 1, 300) + 3 * y - 1
    loss, norms = GHMLoss(density=density), np.linspace(0, 1, 51)
    labels = np.arange(51) % 2
    one, other = (loss.weights(y, raw, weight * s)(norms, labels) for s in (1.0, 1e-4))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    assert np.ptp(one) > 0.1
