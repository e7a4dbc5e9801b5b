"""Threads, processes and Ctrl-C: whatever happens beside it, a training gives its own model."""

import gc
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import joblib
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from processes import in_python, output

import boostloss as bl
import boostloss.lightgbm
import boostloss.xgboost
from boostloss import FocalLoss, GHMLoss, objectives
from boostloss.kernels import binary, histogram, jit, softmax
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.xgboost import ImbalancedXGBClassifier

ENGINES = ["xgboost", "lightgbm"]
CLASSIFIERS = {
    "xgboost": lambda **given: ImbalancedXGBClassifier(n_jobs=1, **given),
    "lightgbm": lambda **given: ImbalancedLGBMClassifier(n_jobs=1, verbose=-1, **given),
}
OBJECTIVES = {
    "focal": lambda: bl.focal_obj(gamma=2),
    "ghm": lambda: bl.ghm_obj(density="bins", momentum=0.9),
}


def problem(k=0, n_rows=400):
    rng = np.random.default_rng(k)
    X = rng.normal(size=(n_rows, 4))
    return X, (X[:, 0] + rng.normal(size=n_rows) > 1).astype(np.float32)


def train(engine, objective, k, rounds=10):
    """A model of the k-th data set, as bytes or text."""
    X, y = problem(k)
    if engine == "xgboost":
        params = {"objective": "binary:logistic", "base_score": 0.1, "nthread": 1}
        return bytes(xgb.train(params, xgb.DMatrix(X, y), rounds, obj=objective).save_raw())
    params = {"objective": objective, "num_threads": 1, "verbose": -1}
    return lgb.train(params, lgb.Dataset(X, y), rounds).model_to_string()


# -- threads ----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_eight_threads_with_one_objective(engine, name):
    objective = OBJECTIVES[name]()
    alone = [train(engine, OBJECTIVES[name](), k) for k in range(8)]
    together = joblib.Parallel(n_jobs=8, backend="threading")(
        joblib.delayed(train)(engine, objective, k) for k in range(16)
    )
    assert together[:8] == alone
    assert len(objective._runs) == 0


def test_kept_models_do_not_keep_their_gradients():
    """Nor labels and weights, once the data set is gone."""
    X, y = problem()
    objective, data = bl.ghm_obj(momentum=0.9), xgb.DMatrix(X, y, weight=np.ones(len(y)))
    params = {"base_score": 0.1, "nthread": 1}
    models = [xgb.train(params, data, 3, obj=objective) for _ in range(5)]
    kept = [objective._runs[model] for model in models]
    rows = ("call", "inputs", "y", "sample_weight")
    for run in kept:
        fields = {name: value for name, value in vars(run).items() if name not in rows}
        assert run.density_mass is not None
        assert not [name for name, value in fields.items() if getattr(value, "size", 0) >= 100]
        assert not run.outputs
    del data
    gc.collect()
    for run in kept:
        assert all(getattr(run, name) is None for name in rows)


@pytest.mark.parametrize("engine", ENGINES)
def test_eight_threads_save_one_model(engine, tmp_path):
    X, y = problem()
    model = CLASSIFIERS[engine](n_estimators=5).fit(X, y)
    paths = [tmp_path / f"{k}.{'json' if engine == 'xgboost' else 'txt'}" for k in range(48)]
    joblib.Parallel(n_jobs=8, backend="threading")(
        joblib.delayed(model.save_model)(path) for path in paths
    )
    assert len({path.read_bytes() for path in paths}) == 1
    read = CLASSIFIERS[engine]()
    read.load_model(paths[0])
    np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))


# -- processes --------------------------------------------------------------------------

PROCESSES = """
import test_concurrency as t
t.four_processes(sys.argv[1])
"""


def share_rows_from(n_scores):
    for module in (jit, binary, softmax, histogram):
        module.WORTHWHILE = n_scores
    objectives.MANY_SCORES = n_scores


def train_all(callables, k):
    """In a worker: long arrays in threads of ours too."""
    share_rows_from(100)
    return [train(engine, objective, k) for engine in ENGINES for objective in callables]


def four_processes(method):
    shared = [make() for make in OBJECTIVES.values()]
    alone = [train_all([make() for make in OBJECTIVES.values()], k) for k in range(4)]
    held = train_all(shared, 9)
    if method == "loky":
        together = joblib.Parallel(n_jobs=4, backend="loky")(
            joblib.delayed(train_all)(shared, k) for k in range(4)
        )
    else:
        with multiprocessing.get_context(method).Pool(4) as pool:
            together = pool.starmap(train_all, [(shared, k) for k in range(4)], chunksize=1)
    assert together == alone
    assert train_all(shared, 9) == held


@pytest.mark.parametrize("method", ["fork", "spawn", "loky"])
def test_four_processes_with_one_objective(method):
    if method not in ("loky", *multiprocessing.get_all_start_methods()):
        pytest.skip(f"no {method} on this system")
    # OpenMP itself hangs in a forked child whose parent had a team of threads: it gets one
    output(in_python(PROCESSES, method))


def fit_in_worker():
    share_rows_from(1000)
    X, y = problem(0, 5000)
    return ImbalancedXGBClassifier(n_jobs=2, n_estimators=5).fit(X, y).predict_proba(X)


def test_dask_worker():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        got = client.gather([client.submit(fit_in_worker, pure=False) for _ in range(2)])
    for p in got:
        np.testing.assert_array_equal(p, fit_in_worker())


# -- Ctrl-C -----------------------------------------------------------------------------


class InterruptAtLine:
    """Ctrl-C at the n-th line of boostloss that runs, or of some of its functions.

    The signal is sent there and then, so that it does not meet the engine at a place of its own.
    """

    root = str(Path(bl.__file__).parent)

    def __init__(self, n, functions=()):
        self.left, self.functions, self.seen = n, functions, 0

    def __enter__(self):
        self.before = sys.gettrace()  # a coverage tool's, for example
        sys.settrace(self.enter)

    def __exit__(self, kind, *_):
        sys.settrace(self.before)
        return kind is KeyboardInterrupt

    def enter(self, frame, event, argument):
        code = frame.f_code
        ours = code.co_filename.startswith(self.root)
        return (
            self.line if ours and (not self.functions or code.co_name in self.functions) else None
        )

    def line(self, frame, event, argument):
        if event == "line":
            self.seen += 1
            if self.seen == self.left:
                if sys.platform == "win32":
                    raise KeyboardInterrupt
                os.kill(os.getpid(), signal.SIGINT)
        return self.line


def interruptions(run, some, functions):
    """Positions over the whole run, and every one in these functions."""
    for chosen, count in (((), some), (functions, None)):
        whole = InterruptAtLine(0, chosen)
        with whole:
            run()
        assert whole.seen
        step = 1 if count is None else max(whole.seen // count, 1)
        for n in range(1, whole.seen + 1, step):
            yield InterruptAtLine(n, chosen)


def test_an_interrupted_lightgbm_train_leaves_the_data_alone():
    X, y = problem()
    params = {"num_leaves": 4, "num_threads": 1, "verbose": -1}
    data = lgb.Dataset(X, y, params=params)
    valid = data.create_valid(X[:50], y[:50])

    def run():
        return boostloss.lightgbm.train(
            params, data, 2, loss=GHMLoss(momentum=0.5), valid_sets=[valid]
        ).model_to_string()

    want = run()
    functions = ("train", "_init_score_in_training", "_remove_init_score")
    for interrupt in interruptions(run, 30, functions):
        with interrupt:
            run()
        assert run() == want
        assert data.init_score is None
        assert valid.get_field("init_score") is None


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_fit_leaves_one_model(engine):
    X, y = problem()
    labels = np.array(["n", "y"])[y.astype(int)]
    before = CLASSIFIERS[engine](n_estimators=2, loss="ghm").fit(X, y.astype(int))
    after = CLASSIFIERS[engine](n_estimators=2, loss="ghm").fit(X[:, :3], labels)
    models = [(m.classes_.tolist(), m.loss_, m.predict_proba(X[:, : m.n_features_in_]).tolist())
              for m in (before, after)]  # fmt: skip

    def run():
        CLASSIFIERS[engine](n_estimators=2, loss="ghm").fit(X[:, :3], labels)

    for interrupt in interruptions(run, 30, ("fit", "_train")):
        model = CLASSIFIERS[engine](n_estimators=2, loss="ghm").fit(X, y.astype(int))
        with interrupt:
            model.fit(X[:, :3], labels)
        found = model.predict_proba(X[:, : model.n_features_in_]).tolist()
        assert (model.classes_.tolist(), model.loss_, found) in models


SIGNALS = """
import test_concurrency as t
t.train_while_interrupted()
"""


def train_while_interrupted(times=12):
    """In a process of its own: signals at random moments, wherever the engine is just then."""
    objective, data = bl.ghm_obj(momentum=0.9), xgb.DMatrix(*problem())
    chance = random.Random(0)

    def whole():
        params = {"nthread": 1, "verbosity": 0}
        return bytes(boostloss.xgboost.train(params, data, 10, loss=FocalLoss(2)).save_raw())

    for run in (lambda: train("xgboost", objective, 0), whole):
        want = run()
        start = time.perf_counter()
        assert run() == want
        spent = time.perf_counter() - start
        for _ in range(times):
            interrupted = False
            while not interrupted:
                delay = chance.uniform(0, 2 * spent)
                timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
                try:
                    timer.start()
                    while timer.is_alive():
                        run()
                    timer.join()
                except KeyboardInterrupt:
                    interrupted = True
            assert run() == want
    print("done")


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill with SIGINT is not Ctrl-C there")
def test_ctrl_c_again_and_again():
    # neither LightGBM nor XGBoost's classifier: with their own objectives too, without this
    # package, a process in which they are interrupted often enough dies of a broken heap
    assert output(in_python(SIGNALS)) == "done\n"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_interruption_inside_a_compiled_function_is_an_interruption(monkeypatch, times):
    """Python makes SystemErrors of it where compiled functions have returned results as well."""

    def interrupted(*_, **__):
        cause = KeyboardInterrupt()
        for _ in range(times):
            error = SystemError("returned a result with an exception set")
            error.__cause__, cause = cause, error
        raise cause

    y, raw = np.array([0.0, 1.0]), np.zeros(2)
    monkeypatch.setattr(FocalLoss, "gradient_hessian", interrupted)
    monkeypatch.setattr(FocalLoss, "value", interrupted)
    for function in (bl.focal_obj(), bl.focal_metric()):
        with pytest.raises(KeyboardInterrupt):
            function(y, raw)
