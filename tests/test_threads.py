"""Threads: the same results, the caller's limits, and nothing that a fork or a worker breaks."""

import os
import subprocess
import sys
import threading
from itertools import pairwise

import joblib
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.model_selection import GridSearchCV

import boostloss as bl
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
    for n in (0, 1, 63, many - 1, many, many + 1, 9 * many + 17):
        ranges = _threads.parts(n)
        assert ranges[0][0] == 0
        assert ranges[-1][1] == n
        assert all(a[1] == b[0] for a, b in pairwise(ranges))
        assert len(ranges) == 1 if n < many else len(ranges) % 4 == 0


def test_an_error_in_a_thread_is_raised():
    def work(start, stop):
        if start:
            raise KeyboardInterrupt
        return start

    with pytest.raises(KeyboardInterrupt):
        _threads.in_parts(work, _threads.WORTHWHILE, 2)


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


# -- forks and workers ------------------------------------------------------------------

FORK = """
import os, numpy as np
from boostloss import FocalLoss
from boostloss.losses import _threads
import boostloss.{engine}, {engine} as engine
_threads.WORTHWHILE = 1000
rng = np.random.default_rng(0)
X = rng.normal(size=(5000, 3)); y = (X[:, 0] + rng.normal(size=5000) > 2).astype(float)
def gradient():
    raw = X[:, 0].astype(np.float32)
    return FocalLoss(2).gradient_hessian(y, raw, n_threads=4)[0]
def train():
    params = {{"nthread": 1, "verbosity": 0}} if "{engine}" == "xgboost" else {{"num_threads": 1, "verbose": -1}}
    data = engine.DMatrix(X, y) if "{engine}" == "xgboost" else engine.Dataset(X, y)
    model = boostloss.{engine}.train(params, data, 3, loss=FocalLoss(2))
    return model.predict(data if "{engine}" == "xgboost" else X)
before, model = gradient(), train()
child = os.fork()
if child == 0:
    same = np.array_equal(gradient(), before) and np.array_equal(train(), model)
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_after_a_fork(engine):
    # OpenMP itself hangs in a forked child whose parent had a team of threads: the engines get one
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK.format(engine=engine)], check=True,
                   timeout=120, env=environment)  # fmt: skip


def test_eight_threads_with_one_objective(binary):
    objective = bl.ghm_obj(momentum=0.9)
    data = [xgb.DMatrix(binary.X[k::8], binary.y[k::8]) for k in range(8)]
    params = {"objective": "binary:logistic", "base_score": 0.1, "nthread": 1}

    def train(k):
        return xgb.train(params, data[k], 20, obj=objective).predict(data[k])

    alone = [train(k) for k in range(8)]
    together = joblib.Parallel(n_jobs=8, backend="threading")(
        joblib.delayed(train)(k) for k in range(8)
    )
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def fit_in_worker():
    from boostloss.losses import _threads

    _threads.WORTHWHILE = 1000
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 3))
    y = X[:, 0] + rng.normal(size=5000) > 2
    model = ImbalancedXGBClassifier(n_jobs=2, n_estimators=5).fit(X, y)
    return model.predict_proba(X)


def test_dask_worker():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        got = client.gather([client.submit(fit_in_worker, pure=False) for _ in range(2)])
    for p in got:
        np.testing.assert_array_equal(p, fit_in_worker())


UNWRITABLE = """
import numba.core.caching as caching
def refuse(self):
    raise OSError("read-only file system")
caching._CacheLocator.ensure_cache_path = refuse
from boostloss import FocalLoss
gradient, _ = FocalLoss(2).gradient_hessian([0, 1], [0.0, 0.0])
assert gradient[0] > 0
"""


def test_an_install_folder_that_cannot_be_written():
    subprocess.run([sys.executable, "-c", UNWRITABLE], check=True, timeout=120)
