"""The loops that count, add up and look up, against the same in NumPy."""

import numpy as np
import pytest

from boostloss import GHMLoss
from boostloss.kernels.histogram import (
    FEW_CELLS,
    Grid,
    apply_weights,
    count_crossings,
    histogram,
    of_true_class,
)
from boostloss.losses import NormWeights

SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 9000]


def rows(n, n_classes, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    norms = rng.choice([0, 0.05, 0.3, 0.5, 0.75, 0.999, 1], n) * rng.choice([1, 0.99], n)
    return norms.astype(dtype), rng.integers(0, n_classes, n).astype(np.float32), rng


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("bins", [5, 3000])
def test_histogram_of_classes(n, n_classes, bins):
    """Rows, places and slopes of each class in each cell; with many cells in one table."""
    norms, y, rng = rows(n, n_classes, [np.float32, np.float64][n % 2])
    slopes = rng.normal(size=n).astype(np.float32)
    sums = histogram(
        np.where(y == 1, -norms, norms), y, None, Grid.of(bins, 0, bins), n_classes, slopes=slopes
    )
    assert sums.shape == (n_classes, bins + 1, 3)
    assert (((bins + 1) * n_classes) <= FEW_CELLS) == (bins == 5)
    place = norms * norms.dtype.type(bins)
    cell = np.minimum(place, bins).astype(int)
    for c in range(n_classes):
        mine = y == c
        for k in np.unique(cell[mine]):
            here = mine & (cell == k)
            count, inside, slope = sums[c, k]
            assert count == here.sum()
            # each place is rounded to 2**-19
            want = (place[here].astype(float) - k).sum() if k < bins else 0
            assert inside == pytest.approx(want, abs=2**-20 * (count + 1e-6))
            assert slope == pytest.approx(
                np.abs(slopes[here]).sum(dtype=float), rel=1e-12, abs=1e-12
            )
    assert sums[..., 0].sum() == n


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_crossings(n, n_classes):
    norms, y, rng = rows(n, n_classes, [np.float32, np.float64][n % 2])
    was_hard = rng.integers(0, 2, n).astype(np.uint8)
    before, now, moved = was_hard.copy(), norms > 0.5, np.ones((n_classes, 2))
    count_crossings(norms, y, 0.5, was_hard, moved)
    np.testing.assert_array_equal(was_hard, now)
    for c in range(n_classes):
        mine = y == c
        became_hard, became_easy = (
            (now & (before == 0) & mine).sum(),
            (~now & (before == 1) & mine).sum(),
        )
        np.testing.assert_array_equal(moved[c] - 1, [became_hard, became_easy])
    again = np.zeros((n_classes, 2))
    count_crossings(norms, y, 0.5, was_hard, again)
    assert not again.any()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_full_cell_is_counted_exactly(weighted):
    """Counts and places share a number: the places' sum must not run over into the count."""
    n = 40_000
    norms, y = np.full(n, 1 - 2**-19, np.float32), np.zeros(n, np.float32)
    weight = np.ones(n) if weighted else None
    sums = histogram(norms, y, weight, Grid.of(1, 0, 1), 2, slopes=np.ones(n, np.float32))
    share = n * (1 - 2**-19)
    assert sums.tolist() == [[[n, share, n], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    whole = histogram(np.ones(n, np.float32), y, weight, Grid.of(1, 0, 1), 2)
    assert whole.tolist() == [[[0, 0], [n, 0]], [[0, 0], [0, 0]]]
    moved = np.zeros((2, 2))
    count_crossings(norms, y, 0.5, np.zeros(n, np.uint8), moved)
    assert moved.tolist() == [[n, 0], [0, 0]]


def test_nodes_are_exact_where_shares_are():
    """Count and share have one number too; shares of sixteenths are not rounded."""
    n = 40_000
    norms = np.append(np.full(n, 0.6, np.float32), np.arange(65) / 64).astype(np.float32)
    norms[:n] = 23 / 64  # place 23/16 + 1/2: share 15/16 of the right node
    norms = np.append(norms, np.float32((0.5 + 2**-19) / 4))  # the smallest share there is
    mass = GHMLoss(4)._mass(norms, np.zeros(len(norms), np.float32), None, 2)
    place = norms.astype(float) * 4 - 0.5
    want = [np.clip(1 - np.abs(np.clip(place, 0, 3) - k), 0, 1).sum() for k in range(4)]
    assert mass[0].tolist() == want
    assert mass[1].tolist() == [0, 0, 0, 0]


def test_the_smallest_norm_is_counted():
    norms, y = np.full(1, 2**-19, np.float32), np.zeros(1, np.float32)
    sums = histogram(norms, y, None, Grid.of(1, 0, 1), slopes=norms)
    assert sums[0, 0].tolist() == [1, 2**-19, 2**-19]
    assert histogram(norms, y, None, Grid.of(1, 0, 1), places=False)[0, 0].tolist() == [1, 0]


def test_a_weight_is_as_good_as_repeated_rows():
    """Places are rounded alike, so that the sums are the same numbers."""
    norms, y, rng = rows(500, 2)
    norms *= 0.987
    times = rng.integers(0, 4, 500)
    weighted = histogram(norms, y, times.astype(float), Grid.of(7, 0.5, 7), 2)
    repeated = histogram(np.repeat(norms, times), np.repeat(y, times), None, Grid.of(7, 0.5, 7), 2)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-13)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_sums_do_not_depend_on_threads(n_threads, monkeypatch):
    monkeypatch.setattr("boostloss.kernels.jit.WORTHWHILE", 1000)
    norms, y, rng = rows(9000, 3)
    weight, slopes = rng.random(9000), rng.normal(size=9000).astype(np.float32)
    for given in (None, weight):
        alone = histogram(norms, y, given, Grid.of(10, 0, 10), 3, slopes=slopes)
        shared = histogram(
            norms, y, given, Grid.of(10, 0, 10), 3, slopes=slopes, n_threads=n_threads
        )
        np.testing.assert_array_equal(alone, shared)
        assert shared[..., 0].sum() == pytest.approx(
            9000 if given is None else weight.sum(), rel=1e-12
        )


def test_a_norm_at_the_limit_is_not_hard():
    norms, y = np.array([0.5, 0.50001, 0.49999], np.float32), np.zeros(3, np.float32)
    for before in (0, 1):
        was_hard = np.full(3, before, np.uint8)
        moved = np.zeros((1, 2))
        count_crossings(norms, y, 0.5, was_hard, moved)
        assert was_hard.tolist() == [0, 1, 0]
        assert moved.tolist() == [[1 - before, 2 * before]]


@pytest.mark.parametrize("order", ["C", "F"])
def test_entries_of_the_true_class(order):
    gradient = np.asarray(np.arange(12.0).reshape(4, 3), np.float32, order=order)
    out = np.zeros(4, np.float32)
    of_true_class(gradient, np.array([2, 0, 1, 2], np.float32), out)
    assert out.tolist() == [2, 3, 7, 11]


GRIDS = [(10, 0, 9), (2000, 0.5, 2000)]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("grid", GRIDS)
def test_cells(n, grid):
    """The weight of a cell, the same in all of it; classes alike or each with its own."""
    grid = Grid.of(*grid)
    norms, y, rng = rows(n, 2)
    cell = np.minimum(norms * grid.cells + grid.shift, grid.last).astype(int)
    signed, n_cells = np.where(y == 1, -norms, norms), grid.n_cells
    counts = histogram(signed, None, None, grid, places=False)[0]
    np.testing.assert_array_equal(counts[:, 0], np.bincount(cell, minlength=n_cells))
    assert not counts[:, 1].any()
    weight = rng.random(n)
    mass = histogram(signed, None, weight, grid, places=False)[0, :, 0]
    np.testing.assert_allclose(mass, np.bincount(cell, weight, n_cells), rtol=1e-12)
    table, class_weight = rng.random(n_cells).astype(np.float32), np.array([0.5, 4], np.float32)
    for given in (None, weight):
        size = np.ones(n) if given is None else given
        for labels in (None, y):
            lines = table if labels is None else np.outer(class_weight, table).ravel()
            gradient, hessian = signed.copy(), norms * (1 - norms)
            before = hessian.copy()
            apply_weights(gradient, labels, given, lines, None, tuple(grid), gradient, hessian)
            factor = table[cell] * size * (1 if labels is None else class_weight[y.astype(int)])
            np.testing.assert_allclose(gradient, signed * factor, rtol=1e-6)
            np.testing.assert_allclose(hessian, before * factor, rtol=1e-6)
        found = np.empty_like(signed)
        apply_weights(signed, None, given, table, None, tuple(grid), found, None)
        np.testing.assert_allclose(found, table[cell] * size, rtol=1e-6)
        found = signed.copy()  # in place of the norms
        apply_weights(found, None, given, table, None, tuple(grid), found, None)
        np.testing.assert_allclose(found, table[cell] * size, rtol=1e-6)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_nodes(n, n_classes):
    """A row counts for the two nearest nodes; at the ends for the last one alone."""
    bins = 5
    norms, y, rng = rows(n, n_classes)
    weight, loss = rng.random(n), GHMLoss(bins)
    place = norms.astype(float) * bins - 0.5
    left = np.clip(np.floor(place).astype(int), 0, bins - 1)
    right = np.minimum(left + 1, bins - 1)
    share = np.where(right > left, np.clip(place - left, 0, 1), 0)
    for given in (None, weight):
        size, want = np.ones(n) if given is None else given, np.zeros((n_classes, bins))
        np.add.at(want, (y.astype(int), left), size * (1 - share))
        np.add.at(want, (y.astype(int), right), size * share)
        mass = loss._mass(norms, y, given, n_classes)
        np.testing.assert_allclose(mass, want, atol=1e-6 * max(n, 1))
        assert mass.sum() == pytest.approx(size.sum(), rel=1e-12)
    weights = between_nodes(rng.random((n_classes, bins)))
    lines = weights.lines(np.ones(1, np.float32))
    for given in (None, weight):
        want = weights(norms, y) * (1 if given is None else given)
        found = norms.copy()
        apply_weights(norms, y, given, *lines, tuple(weights.grid), found, None)
        np.testing.assert_allclose(found, want, rtol=1e-5)
        gradient, hessian = -norms, norms * (1 - norms)
        before = hessian.copy()
        apply_weights(gradient, y, given, *lines, tuple(weights.grid), gradient, hessian)
        np.testing.assert_allclose(gradient, -norms * want, rtol=1e-5)
        np.testing.assert_allclose(hessian, before * want, rtol=1e-5)


def between_nodes(table):
    """Weights linear between the nodes (j + 1/2)/M and constant outside them."""
    bins = table.shape[1]
    padded = np.concatenate([table[:, :1], table, table[:, -1:]], axis=1)
    return NormWeights(padded[:, :-1], np.diff(padded, axis=1), Grid.of(bins, 0.5, bins))


def test_weights_between_nodes():
    weights = between_nodes(np.array([[8.0, 4.0], [3.0, 1.0]]))
    norms = np.array([0, 0.25, 0.5, 0.625, 0.75, 1])
    np.testing.assert_allclose(weights(norms, np.zeros(6)), [8, 8, 6, 5, 4, 4])
    np.testing.assert_allclose(weights(norms, np.ones(6)), [3, 3, 2, 1.5, 1, 1])
    assert weights(0.5, 0) == 6
