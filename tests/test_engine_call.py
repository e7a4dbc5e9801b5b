"""Who calls, with what, and how many threads it allows; no engine is imported for it."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import joblib
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.model_selection import GridSearchCV

from boostloss import engine_call
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.losses import ALONE, Workers
from boostloss.xgboost import ImbalancedXGBClassifier

X, Y, RAW = np.zeros((4, 1)), np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4])


def limit(booster):
    return engine_call.thread_limit(engine_call.stated_threads(booster))


def booster_limit(engine, n_threads):
    X, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2
    if engine == "xgboost":
        given = {} if n_threads is None else {"nthread": n_threads}
        return limit(xgb.train(given, xgb.DMatrix(X, y), 1))
    given = {} if n_threads is None else {"n_jobs": n_threads}
    return limit(lgb.train({"verbose": -1, **given}, lgb.Dataset(X, y), 1))


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
        limits = joblib.Parallel()(joblib.delayed(engine_call.thread_limit)() for _ in range(2))
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
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    quiet = {} if kind is ImbalancedXGBClassifier else {"verbose": -1}
    search = GridSearchCV(kind(n_estimators=3, **quiet), {"loss": ["focal", "ghm"]}, n_jobs=2, cv=2,
                          refit=False)  # fmt: skip
    with joblib.parallel_config(backend="threading"):
        search.fit(binary.X, binary.y)
    assert not started
    if joblib.cpu_count() > 1:
        kind(loss="ghm", n_estimators=3, **quiet).fit(binary.X, binary.y)
        assert started


@pytest.mark.parametrize("name", engine_call.THREAD_ALIASES)
def test_a_number_of_threads_in_params(name):
    assert engine_call.stated_threads({name: 3}) == 3
    assert engine_call.stated_threads({name: "2"}) == 2
    assert engine_call.stated_threads({name: 0}) == engine_call.stated_threads({}) == 0
    assert engine_call.stated_threads(None) == 0


def test_a_thread_of_the_callers_own_gets_one(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    found = []
    thread = threading.Thread(target=lambda: found.extend(map(engine_call.thread_limit, (0, 3))))
    thread.start()
    thread.join()
    assert found == [1, 3]
    assert engine_call.thread_limit() == 8
    for text, want in (("3", 3), ("0", 8), ("x", 8), ("", 8), (" 2 , 1", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert engine_call.thread_limit() == want


# -- arguments ----------------------------------------------------------------------------------


def test_arguments_of_an_engine_and_of_its_wrapper():
    weight = np.array([1.0, 2, 3, 4], np.float32)
    for data in (
        xgb.DMatrix(X, Y, weight=weight),
        lgb.Dataset(X, Y, weight=weight, params={"verbose": -1}).construct(),
    ):
        call = engine_call.read(RAW, data, None)
        assert call.raw is RAW
        assert call.data_set is data
        np.testing.assert_array_equal(call.y, Y)
        np.testing.assert_array_equal(call.sample_weight, weight)
        assert engine_call.engine_of(data) in ("xgboost", "lightgbm")
    assert engine_call.read(RAW, xgb.DMatrix(X, Y), None).sample_weight is None
    call = engine_call.read(Y, RAW, weight)
    assert (call.y is Y, call.raw is RAW, call.sample_weight is weight) == (True, True, True)
    assert call.data_set is None
    for data in (xgb.DMatrix(X), SimpleNamespace(get_label=lambda: None, get_weight=lambda: None)):
        with pytest.raises(ValueError, match="y must be given: the data set has no labels"):
            engine_call.read(RAW, data, None)


def test_engines_are_known_by_their_classes():
    class Mine(xgb.DMatrix):
        pass

    assert engine_call.engine_of(Mine(X, Y)) == "xgboost"
    assert engine_call.engine_of(lgb.Dataset(X, Y)) == "lightgbm"
    assert engine_call.engine_of(RAW) is None
    assert engine_call.engine_of(None) is None


def test_factors_of_softmax():
    assert engine_call.hessian_factor("xgboost", 3) == engine_call.hessian_factor(None, 5) == 2.0
    assert engine_call.hessian_factor("lightgbm", 3) == 1.5
    assert engine_call.hessian_factor("lightgbm", 2) == 2.0


def test_scores_of_a_worker_without_rows():
    class Others(Workers):
        alone = False

        def largest(self, array):
            return np.maximum(array, [3])

    empty = engine_call.Call(np.empty(0), np.empty((0, 0)), None, None)
    assert engine_call.scores_of(empty, Others()).shape == (0, 3)
    rows = engine_call.Call(Y, np.zeros((4, 3)), None, None)
    assert engine_call.scores_of(rows, Others()).shape == (4, 3)
    alone = engine_call.Call(Y, RAW, None, None)
    assert engine_call.scores_of(alone, ALONE).shape == (4,)


def test_what_may_come_from_lightgbm():
    wide = np.zeros((4, 3))
    assert engine_call.looks_like_lightgbm(np.asfortranarray(wide))
    for other in (wide, RAW, None, wide.tolist(), xgb.DMatrix(X, Y)):
        assert not engine_call.looks_like_lightgbm(other)


def test_machines_that_cannot_sum():
    class Booster(lgb.Booster):
        def __init__(self, params):
            self.params = params

        def __del__(self):
            pass

    for params, want in (({"num_machines": 2}, True), ({"num_machines": "3"}, True),
                         ({"num_machines": 1}, False), ({}, False), (None, False)):  # fmt: skip
        assert engine_call.cannot_sum(Booster(params)) == want
    assert not engine_call.cannot_sum(None)
    assert not engine_call.cannot_sum(xgb.DMatrix(X, Y))


def test_no_engine_is_imported():
    code = "import sys, boostloss; print({'xgboost', 'lightgbm', 'dask', 'matplotlib'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
