"""The loops that only count, add up, look up or copy, against the same in NumPy."""

import numpy as np
import pytest

from boostloss.losses import _class_density, _harmonize, _softmax, _tally, _turning
from boostloss.losses._threads import WORTHWHILE

SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 9000]


def rows(n, n_classes, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    norms = rng.choice([0, 0.05, 0.3, 0.5, 0.75, 0.999, 1], n) * rng.choice([1, 0.99], n)
    return norms.astype(dtype), rng.integers(0, n_classes, n).astype(np.float32), rng


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_tally(n, n_classes):
    bins, hard = 5, 0.5
    norms, y, rng = rows(n, n_classes, [np.float32, np.float64][n % 2])
    slopes = rng.normal(size=n).astype(np.float32)
    was_hard = rng.integers(0, 2, n).astype(np.uint8)
    before, now = was_hard.copy(), norms > hard
    sums, moved = np.ones(n_classes * bins * _tally.FIELDS), np.ones((n_classes, 2))
    _tally.tally(norms, y, slopes, bins, hard, was_hard, sums, moved)
    sums = sums.reshape(n_classes, bins, _tally.FIELDS) - 1
    np.testing.assert_array_equal(was_hard, now)
    cell = np.minimum(norms.astype(np.float32) * np.float32(bins), bins - 1).astype(int)
    for c in range(n_classes):
        mine = y == c
        became_hard, became_easy = (now & (before == 0) & mine).sum(), (~now & (before == 1) & mine).sum()
        np.testing.assert_array_equal(moved[c] - 1, [became_hard, became_easy])
        for k in range(bins):
            here = mine & (cell == k)
            count, norm, slope = sums[c, k]
            assert count == here.sum()
            # each norm is rounded to 2**-19
            assert norm == pytest.approx(norms[here].sum(dtype=float), abs=2**-20 * (count + 1e-6))
            assert slope == pytest.approx(np.abs(slopes[here]).sum(dtype=float), rel=1e-12, abs=1e-12)
    assert (sums[..., 0].sum()) == n


def test_tally_counts_a_full_cell_exactly():
    """Counts and norms share a number: the norms' sum must not run over into the count."""
    n = 40_000
    norms, y = np.ones(n, np.float32), np.zeros(n, np.float32)
    sums, moved = np.zeros(2 * 3), np.zeros((2, 2))
    _tally.tally(norms, y, norms, 1, 0.5, np.zeros(n, np.uint8), sums, moved)
    assert sums.tolist() == [n, n, n, 0, 0, 0]
    assert moved.tolist() == [[n, 0], [0, 0]]


def test_nodes_are_exact_where_shares_are():
    """Count and share have one number too; shares of sixteenths are not rounded."""
    n = 40_000
    norms = np.append(np.full(n, 0.6, np.float32), np.arange(65) / 64).astype(np.float32)
    norms[:n] = 23 / 64  # place 23/16 + 1/2: share 15/16 of the right node
    norms = np.append(norms, np.float32((0.5 + 2**-19) / 4))  # the smallest share there is
    mass = _class_density.class_mass(norms, np.zeros(len(norms), np.float32), None, 2, 4)
    place = norms.astype(float) * 4 - 0.5
    want = [np.clip(1 - np.abs(np.clip(place, 0, 3) - k), 0, 1).sum() for k in range(4)]
    assert mass[0].tolist() == want
    assert mass[1].tolist() == [0, 0, 0, 0]


def test_tally_counts_the_smallest_norm():
    norms, y, sums = np.full(1, 2**-19, np.float32), np.zeros(1, np.float32), np.zeros(3)
    _tally.tally(norms, y, norms, 1, 0.5, np.zeros(1, np.uint8), sums, np.zeros((1, 2)))
    assert sums.tolist() == [1, 2**-19, 2**-19]


def test_a_norm_at_the_limit_is_not_hard():
    norms, y = np.array([0.5, 0.50001, 0.49999], np.float32), np.zeros(3, np.float32)
    for before in (0, 1):
        was_hard = np.full(3, before, np.uint8)
        moved = np.zeros((1, 2))
        _tally.tally(norms, y, norms, 2, 0.5, was_hard, np.zeros(6), moved)
        assert was_hard.tolist() == [0, 1, 0]
        assert moved.tolist() == [[1 - before, 2 * before]]


@pytest.mark.parametrize("order", ["C", "F"])
def test_entries_of_the_true_class(order):
    gradient = np.asarray(np.arange(12.0).reshape(4, 3), np.float32, order=order)
    out = np.zeros(4, np.float32)
    _tally.of_true_class(gradient, np.array([2, 0, 1, 2], np.float32), out)
    assert out.tolist() == [2, 3, 7, 11]


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5, 6])
@pytest.mark.parametrize(("start", "stop"), [(0, 300), (128, 256), (64, 65), (100, 357), (7, 7)])
def test_turning(n_classes, start, stop):
    raw = np.random.default_rng(0).normal(size=(400, n_classes)).astype(np.float32)
    block, k = _turning.BLOCK, np.uint64(n_classes)
    n_blocks = -(-(stop - start) // block)
    scratch = np.full(n_blocks * n_classes * block, -1, np.float32)
    _turning.to_classes(raw.ravel(), k, start, stop, scratch)
    turned = scratch.reshape(n_blocks, n_classes, block).transpose(0, 2, 1).reshape(-1, n_classes)
    np.testing.assert_array_equal(turned[: stop - start], raw[start:stop])
    assert (turned[stop - start :] == -1).all()
    back = np.full_like(raw, -2)
    _turning.to_rows(scratch, k, start, stop, back.ravel())
    np.testing.assert_array_equal(back[start:stop], raw[start:stop])
    assert (np.delete(back, np.s_[start:stop], axis=0) == -2).all()


GRIDS = [(10, 0, 9), (2000, 0.5, 2000)]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("grid", GRIDS)
def test_cells(n, grid):
    grid = tuple(map(np.float32, grid))
    norms, y, rng = rows(n, 2)
    cell = np.minimum(norms * grid[0] + grid[1], grid[2]).astype(int)
    signed, n_cells = np.where(y == 1, -norms, norms), int(grid[2]) + 1
    counts = _harmonize.count(signed, grid).sum(axis=0)
    np.testing.assert_array_equal(counts, np.bincount(cell, minlength=n_cells))
    weight = rng.random(n)
    mass = _harmonize.add_up(signed, weight, grid)
    np.testing.assert_allclose(mass, np.bincount(cell, weight, n_cells), rtol=1e-12)
    table, class_weight = rng.random(n_cells).astype(np.float32), np.array([0.5, 4], np.float32)
    for given in (None, weight):
        size = np.ones(n) if given is None else given
        gradient, hessian = signed.copy(), norms * (1 - norms)
        before = hessian.copy()
        _harmonize.rescale(gradient, hessian, y, given, class_weight, table, grid)
        factor = table[cell] * class_weight[y.astype(int)] * size
        np.testing.assert_allclose(gradient, signed * factor, rtol=1e-6)
        np.testing.assert_allclose(hessian, before * factor, rtol=1e-6)
        found = signed.copy()
        _harmonize.look_up(found, given, table, grid)
        np.testing.assert_allclose(found, table[cell] * size, rtol=1e-6)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_nodes(n, n_classes):
    """A row counts for the two nearest nodes; at the ends for the last one alone."""
    bins = 5
    norms, y, rng = rows(n, n_classes)
    weight = rng.random(n)
    place = norms.astype(float) * bins - 0.5
    left = np.clip(np.floor(place).astype(int), 0, bins - 1)
    right = np.minimum(left + 1, bins - 1)
    share = np.where(right > left, np.clip(place - left, 0, 1), 0)
    for given in (None, weight):
        size, want = np.ones(n) if given is None else given, np.zeros((n_classes, bins))
        np.add.at(want, (y.astype(int), left), size * (1 - share))
        np.add.at(want, (y.astype(int), right), size * share)
        mass = _class_density.class_mass(norms, y, given, n_classes, bins)
        np.testing.assert_allclose(mass, want, atol=1e-6 * max(n, 1))
        assert mass.sum() == pytest.approx(size.sum(), rel=1e-12)
    weights = _class_density.ClassWeights(rng.random((n_classes, bins)))
    lines = tuple(line.astype(np.float32).ravel() for line in weights.lines())
    for given in (None, weight):
        want = weights(norms, y) * (1 if given is None else given)
        found = norms.copy()
        _class_density.look_up(found, y, given, lines, bins)
        np.testing.assert_allclose(found, want, rtol=1e-5)
        gradient, hessian = -norms, norms * (1 - norms)
        before = hessian.copy()
        _class_density.rescale(gradient, hessian, y, given, lines, bins)
        np.testing.assert_allclose(gradient, -norms * want, rtol=1e-5)
        np.testing.assert_allclose(hessian, before * want, rtol=1e-5)


def test_weights_between_nodes():
    weights = _class_density.ClassWeights(np.array([[8.0, 4.0], [3.0, 1.0]]))
    norms = np.array([0, 0.25, 0.5, 0.625, 0.75, 1])
    np.testing.assert_allclose(weights(norms, 0), [8, 8, 6, 5, 4, 4])
    np.testing.assert_allclose(weights(norms, 1), [3, 3, 2, 1.5, 1, 1])


@pytest.mark.parametrize("order", ["C", "F"])
def test_scratch_is_as_large_as_a_chunk_needs(order):
    """Blocks of 128 rows; few rows take little memory, many go through it in chunks."""
    numbers = (np.ones(1, np.float32),) * 3

    def matrix(n_rows, n_classes):
        raw = np.zeros((n_rows, n_classes), np.float32, order=order)
        return _softmax.Matrix(raw, np.zeros(n_rows, np.float32), numbers)

    for n_rows, n_blocks in ((0, 0), (1, 1), (128, 1), (129, 2), (300, 3), (10**6, 32)):
        got = matrix(n_rows, 3)
        assert [len(scratch) // (128 * n_blocks or 1) for scratch in got.scratch] == (
            [3, 13, 2] if n_rows else [0, 0, 0]
        )
        assert all(scratch.dtype == kind for scratch, kind in zip(got.scratch, "ffI", strict=True))
    few, many = matrix(WORTHWHILE // 4 - 1, 4), matrix(WORTHWHILE // 4, 4)
    assert len(few.chunks(0, few.n_rows)) == -(-few.n_rows // (32 * 128))
    assert len(many.chunks(0, many.n_rows)) == -(-many.n_rows // (256 * 128))
    assert few.chunks(100, 5000) == [(100, 100 + 32 * 128), (100 + 32 * 128, 5000)]
