"""Threads: the same results, whoever shares the rows; test_cache.py has the compiler's files."""

import threading
from itertools import pairwise

import numpy as np
import pytest

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.kernels import jit
from boostloss.losses import TrainingRun

LOSSES = [CrossEntropy(class_weight="balanced"), FocalLoss(1.5), GHMLoss(), GHMLoss(density="bins"),
          GHMLoss(density="window", strength=0.5), AsymmetricLoss()]  # fmt: skip
CASES = [(loss, order) for loss in LOSSES for order in ("binary", "C", "F")
         if order == "binary" or not loss.binary_only]  # fmt: skip


@pytest.mark.parametrize(("loss", "order"), CASES, ids=str)
def test_threads_change_nothing(few_rows_are_many, loss, order):
    rng = np.random.default_rng(0)
    raw = rng.normal(0, 3, 10_001 if order == "binary" else (10_001, 4)).astype(np.float32)
    raw = raw if order == "binary" else np.asarray(raw, order=order)
    y = rng.integers(0, 2 if order == "binary" else 4, 10_001)
    weight = rng.random(10_001)
    alone = loss.gradient_hessian(y, raw, weight)
    for n_threads in (2, 3, 8):
        shared = loss.gradient_hessian(y, raw, weight, run=TrainingRun(n_threads=n_threads))
        for a, b in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.flags.f_contiguous == (order != "C")
    bad = raw.copy()
    bad[9_999] = np.nan
    with pytest.raises(ValueError, match="raw must be finite"):
        loss.gradient_hessian(y, bad, weight, run=TrainingRun(n_threads=2))


def test_parts_cover_the_rows():
    many = jit.WORTHWHILE
    for n, count in ((0, 1), (1, 1), (63, 1), (many - 1, 1), (many, 4), (4 * many, 4),
                     (4 * many + 1, 8), (9 * many + 17, 12)):  # fmt: skip
        ranges = jit.parts(n, n)
        assert ranges[0][0] == 0
        assert ranges[-1][1] == n
        assert all(a[1] == b[0] for a, b in pairwise(ranges))
        assert len(ranges) == count
        sizes = [stop - start for start, stop in ranges]
        assert max(sizes) - min(sizes) <= 128
        assert all(start % 64 == 0 for start, _ in ranges)
    assert len(jit.parts(many // 5, many)) == 4  # of several scores each


def test_results_come_in_the_rows_order():
    """Each part once, by no more threads than there are parts, or than are allowed."""
    names = set()

    def work(start, stop):
        names.add(threading.current_thread().name)
        return start, stop

    for n_threads in (1, 2, 3, 4, 9):
        names.clear()
        many = jit.WORTHWHILE
        assert jit.in_parts(work, many, many, n_threads) == jit.parts(many, many)
        assert len(names) == min(n_threads, 4)
        assert threading.main_thread().name in names
    assert jit.in_parts(work, 5, 5, 8) == [(0, 5)]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("part", [0, 1])
def test_an_error_in_a_thread_is_raised(part, n_threads):
    many = jit.WORTHWHILE
    wrong, _ = jit.parts(many, many)[part]

    def work(start, stop):
        if start == wrong:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jit.in_parts(work, many, many, n_threads)


@pytest.mark.parametrize("where", ["start", "join"])
def test_an_interruption_waits_for_the_threads(where, monkeypatch):
    begun, may_end, finished = threading.Event(), threading.Event(), []
    original = getattr(threading.Thread, where)

    def work(start, stop):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            may_end.wait(60)
            finished.append(start)

    def interrupted(self):
        if where == "start":
            original(self)
        monkeypatch.setattr(threading.Thread, where, original)
        assert begun.wait(60)
        assert not finished
        may_end.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        jit.in_parts(work, *[jit.WORTHWHILE] * 2, 2)
    assert len(finished) == 2  # of four parts
