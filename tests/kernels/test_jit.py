"""Threads: the same results, and the caller's limits; test_concurrency.py has processes."""

import threading
from itertools import pairwise

import joblib
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.model_selection import GridSearchCV

from boostloss import CrossEntropy, FocalLoss, GHMLoss, _engine_call
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.losses import _threads
from boostloss.xgboost import ImbalancedXGBClassifier

LOSSES = [CrossEntropy(class_weight="balanced"), FocalLoss(1.5), GHMLoss(), GHMLoss(density="bins"),
          GHMLoss(density="window", strength=0.5)]  # fmt: skip


@pytest.fixture
def few_rows_are_many(monkeypatch):
    monkeypatch.setattr(_threads, "WORTHWHILE", 1000)
    monkeypatch.setattr("boostloss.objectives.WORTHWHILE", 1000)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("order", ["binary", "C", "F"])
def test_threads_change_nothing(few_rows_are_many, loss, order):
    rng = np.random.default_rng(0)
    raw = rng.normal(0, 3, 10_001 if order == "binary" else (10_001, 4)).astype(np.float32)
    raw = raw if order == "binary" else np.asarray(raw, order=order)
    y = rng.integers(0, 2 if order == "binary" else 4, 10_001)
    weight = rng.random(10_001)
    alone = loss.gradient_hessian(y, raw, weight)
    for n_threads in (2, 3, 8):
        shared = loss.gradient_hessian(y, raw, weight, n_threads=n_threads)
        for a, b in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.flags.f_contiguous == (order != "C")
    bad = raw.copy()
    bad[9_999] = np.nan
    with pytest.raises(ValueError, match="raw must be finite"):
        loss.gradient_hessian(y, bad, weight, n_threads=2)


def test_parts_cover_the_rows():
    many = _threads.WORTHWHILE
    for n, count in ((0, 1), (1, 1), (63, 1), (many - 1, 1), (many, 4), (4 * many, 4),
                     (4 * many + 1, 8), (9 * many + 17, 12)):  # fmt: skip
        ranges = _threads.parts(n, n)
        assert ranges[0][0] == 0
        assert ranges[-1][1] == n
        assert all(a[1] == b[0] for a, b in pairwise(ranges))
        assert len(ranges) == count
        sizes = [stop - start for start, stop in ranges]
        assert max(sizes) - min(sizes) <= 128
        assert all(start % 64 == 0 for start, _ in ranges)
    assert len(_threads.parts(many // 5, many)) == 4  # of several scores each


def test_results_come_in_the_rows_order():
    """Each part once, by no more threads than there are parts, or than are allowed."""
    names = set()

    def work(start, stop):
        names.add(threading.current_thread().name)
        return start, stop

    for n_threads in (1, 2, 3, 4, 9):
        names.clear()
        many = _threads.WORTHWHILE
        assert _threads.in_parts(work, many, many, n_threads) == _threads.parts(many, many)
        assert len(names) == min(n_threads, 4)
        assert threading.main_thread().name in names
    assert _threads.in_parts(work, 5, 5, 8) == [(0, 5)]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("part", [0, 1])
def test_an_error_in_a_thread_is_raised(part, n_threads):
    many = _threads.WORTHWHILE
    wrong, _ = _threads.parts(many, many)[part]

    def work(start, stop):
        if start == wrong:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _threads.in_parts(work, many, many, n_threads)


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
        _threads.in_parts(work, *[_threads.WORTHWHILE] * 2, 2)
    assert len(finished) == 2  # of four parts


# -- the caller's limits ----------------------------------------------------------------


def booster_limit(engine, n_threads):
    X, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2
    if engine == "xgboost":
        given = {} if n_threads is None else {"nthread": n_threads}
        return _engine_call.thread_limit(xgb.train(given, xgb.DMatrix(X, y), 1))
    given = {} if n_threads is None else {"n_jobs": n_threads}
    return _engine_call.thread_limit(lgb.train({"verbose": -1, **given}, lgb.Dataset(X, y), 1))


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_the_engines_number(engine, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert booster_limit(engine, 1) == 1
    assert booster_limit(engine, 3) == 3
    assert booster_limit(engine, None) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert booster_limit(engine, None) == 2
    assert booster_limit(engine, 1) == 1


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblibs_number(backend, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with joblib.parallel_config(backend=backend, n_jobs=2, inner_max_num_threads=1
                                if backend == "loky" else None):  # fmt: skip
        limits = joblib.Parallel()(joblib.delayed(_engine_call.thread_limit)(None) for _ in range(2))
    assert limits == [1, 1]


@pytest.mark.parametrize("kind", [ImbalancedXGBClassifier, ImbalancedLGBMClassifier])
def test_no_thread_of_ours_inside_a_threaded_search(few_rows_are_many, kind, binary, monkeypatch):
    started = []
    start = threading.Thread.start

    def noted(self):
        if "in_parts" in str(self._target):
            started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", noted)
    monkeypatch.setattr(_engine_call, "_openmp_limit", list)
    quiet = {} if kind is ImbalancedXGBClassifier else {"verbose": -1}
    search = GridSearchCV(kind(n_estimators=3, **quiet), {"loss": ["focal", "ghm"]}, n_jobs=2, cv=2,
                          refit=False)  # fmt: skip
    with joblib.parallel_config(backend="threading"):
        search.fit(binary.X, binary.y)
    assert not started
    if joblib.cpu_count() > 1:
        kind(n_estimators=3, **quiet).fit(binary.X, binary.y)
        assert started
