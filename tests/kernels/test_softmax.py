"""The softmax loops: blocks, chunks and what turns rows into them."""

import numpy as np
import pytest

from boostloss.kernels import softmax
from boostloss.kernels.jit import WORTHWHILE


@pytest.mark.parametrize("n_classes", [2, 3, 5, 8, 9])
@pytest.mark.parametrize(("start", "stop"), [(0, 300), (128, 256), (64, 65), (100, 357), (7, 7)])
def test_turning(n_classes, start, stop):
    raw = np.random.default_rng(0).normal(size=(400, n_classes)).astype(np.float32)
    block, k = softmax.BLOCK, np.uint64(n_classes)
    n_blocks = -(-(stop - start) // block)
    scratch = np.full(n_blocks * n_classes * block, -1, np.float32)
    softmax.to_classes(n_classes)(raw.ravel(), k, start, stop, scratch)
    turned = scratch.reshape(n_blocks, n_classes, block).transpose(0, 2, 1).reshape(-1, n_classes)
    np.testing.assert_array_equal(turned[: stop - start], raw[start:stop])
    assert (turned[stop - start :] == -1).all()
    back = np.full_like(raw, -2)
    softmax.to_rows(n_classes)(back.ravel(), k, start, stop, scratch)
    np.testing.assert_array_equal(back[start:stop], raw[start:stop])
    assert (np.delete(back, np.s_[start:stop], axis=0) == -2).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_scratch_is_as_large_as_a_chunk_needs(order):
    """Blocks of 128 rows; few rows take little memory, many go through it in chunks."""

    def matrix(n_rows, n_classes, n_shape=1):
        numbers = np.ones(1, np.float32), np.ones(1, np.float32), np.ones((n_shape, 1), np.float32)
        raw = np.zeros((n_rows, n_classes), np.float32, order=order)
        return softmax.Matrix(raw, np.zeros(n_rows, np.float32), numbers)

    for n_rows, n_blocks in ((0, 0), (1, 1), (128, 1), (129, 2), (300, 3), (10**6, 32)):
        got = matrix(n_rows, 3)
        assert [len(scratch) // (128 * n_blocks or 1) for scratch in got.scratch[:3]] == (
            [3, 13, 2] if n_rows else [0, 0, 0]
        )
        assert all(
            scratch.dtype == kind for scratch, kind in zip(got.scratch[:3], "ffI", strict=True)
        )
        assert got.scratch[3] == 128 * 13
    few, many = matrix(WORTHWHILE // 4 - 1, 4), matrix(WORTHWHILE // 4, 4)
    assert len(few.chunks(0, few.n_rows)) == -(-few.n_rows // (32 * 128))
    assert len(many.chunks(0, many.n_rows)) == -(-many.n_rows // (256 * 128))
    assert few.chunks(100, 5000) == [(100, 100 + 32 * 128), (100 + 32 * 128, 5000)]
    for n_shape in (0, 2, 5):  # a place for each shape parameter
        assert len(matrix(128, 3, n_shape).scratch[1]) == 128 * (12 + n_shape)
