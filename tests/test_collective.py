"""XGBoost's collective without Dask: two processes that a plain tracker joins, as Ray does."""

import multiprocessing
from multiprocessing import Queue

import numpy as np
import pytest
import xgboost as xgb
from xgboost import collective
from xgboost.tracker import RabitTracker

import boostloss.xgboost
from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    balanced_ce_metric,
    ghm_metric,
    objective,
    posterior_log_loss,
)

LOSSES = [
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2, class_weight="effective"),
    GHMLoss(momentum=0.5),
    GHMLoss(density="bins"),
    GHMLoss(density="window", class_weight="balanced"),
]
PARAMS = {"max_depth": 3, "nthread": 1}
ROUNDS, ROWS = 4, 5000


def rows(n_classes):
    rng = np.random.default_rng(n_classes)
    X = rng.integers(0, 6, (ROWS, 4)).astype(np.float32)
    score = X[:, 0] + rng.normal(0, 2, ROWS)
    y = (score > np.quantile(score, 0.9)).astype(int)
    if n_classes == 3:
        y += score > np.quantile(score, 0.97)
    return X, y


def train(X, y, loss):
    data = xgb.DMatrix(X, y) if len(y) else xgb.DMatrix(np.empty((0, 0)))
    history = {}
    booster = boostloss.xgboost.train(
        PARAMS, data, ROUNDS, loss=loss, evals=[(data, "train")], evals_result=history,
        verbose_eval=False,
    )  # fmt: skip
    return booster, history


def each_loss(X, y, X_all):
    found = []
    for loss in LOSSES:
        booster, history = train(X, y, loss)
        found.append((booster.predict(xgb.DMatrix(X_all), output_margin=True), history))
    return found


def with_callables(X, y, X_all):
    """XGBoost's own train, with three callables for metrics in one."""
    data = xgb.DMatrix(X, y) if len(y) else xgb.DMatrix(np.empty((0, 0)))
    history = {}
    metrics = [balanced_ce_metric(), ghm_metric(), posterior_log_loss(GHMLoss())]

    def several(raw, data):
        return [metric(raw, data) for metric in metrics]

    n_classes = int(collective.allreduce(np.array([max(y, default=0)]), collective.Op.MAX)[0]) + 1
    name = {"objective": "binary:logistic"}
    if n_classes > 2:
        name = {"objective": "multi:softprob", "num_class": n_classes}
    booster = xgb.train(
        {**PARAMS, **name, "base_score": 0.2}, data, ROUNDS, obj=objective(LOSSES[0]),
        custom_metric=several, evals=[(data, "train")], evals_result=history, verbose_eval=False,
    )  # fmt: skip
    return booster.predict(xgb.DMatrix(X_all), output_margin=True), history


def a_wrong_label(X, y, X_all):
    if collective.get_rank():
        y = y.astype(float)
        y[3] = -1
    messages = []
    for loss in LOSSES:
        with pytest.raises(ValueError, match="y must contain") as caught:
            boostloss.xgboost.train(PARAMS, xgb.DMatrix(X, y), 2, loss=loss)
        messages.append(str(caught.value))
    return messages


def in_a_worker(rank, args, tasks, answers):
    """One task after another, each with this worker's part of its rows."""
    try:
        with collective.CommunicatorContext(dmlc_task_id=str(rank), **args):
            found = [function(*parts[rank], X) for function, parts, X in tasks]
            answers.put((collective.get_rank(), found))
    except BaseException as error:
        answers.put((rank, f"failed: {error}"))  # or the test would wait for it
        raise


def together(tasks):
    """What each of two processes gives for each task; they hold one part of the rows each."""
    tracker = RabitTracker(host_ip="127.0.0.1", n_workers=2)
    tracker.start()
    context = multiprocessing.get_context("spawn")
    answers: Queue = context.Queue()
    processes = [
        context.Process(target=in_a_worker, args=(rank, tracker.worker_args(), tasks, answers))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0, found
    return list(zip(found[0], found[1], strict=True))


def spread(X, y, how):
    """Two parts: the positives in one alone, or nothing in the second."""
    if how == "one is empty":
        return [(X, y), (X[:0], y[:0])]
    first = y == 0
    return [(X[first], y[first]), (X[~first], y[~first])]


HOWS = ["one class each", "one is empty"]


@pytest.fixture(scope="module")
def found():
    """What both processes gave; they are started once for all tests."""
    tasks = {}
    for k in (2, 3):
        X, y = rows(k)
        for how in HOWS:
            tasks["losses", k, how] = each_loss, spread(X, y, how), X
        tasks["callables", k] = with_callables, spread(X, y, "one class each"), X
    X, y = rows(2)
    half = ROWS // 2
    tasks["wrong label"] = a_wrong_label, [(X[:half], y[:half]), (X[half:], y[half:])], X
    return dict(zip(tasks, together(list(tasks.values())), strict=True))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_two_processes_give_the_model_of_one(n_classes, how, found):
    X, y = rows(n_classes)
    alone = each_loss(X, y, X)
    for mine in found["losses", n_classes, how]:
        for (raw, history), (expected_raw, expected) in zip(mine, alone, strict=True):
            np.testing.assert_array_equal(raw, expected_raw)
            for name, values in expected["train"].items():
                np.testing.assert_allclose(history["train"][name], values, rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_callables_in_xgboosts_own_train(n_classes, found):
    X, y = rows(n_classes)
    expected_raw, expected = with_callables(X, y, X)
    for raw, history in found["callables", n_classes]:
        np.testing.assert_array_equal(raw, expected_raw)
        for name, values in expected["train"].items():
            np.testing.assert_allclose(history["train"][name], values, rtol=1e-6)


def test_a_wrong_label_is_named_on_both(found):
    first, second = found["wrong label"]
    assert first == second
    assert len(first) == len(LOSSES)
    assert all("(on worker 1 of 2)" in message for message in first)


def test_one_process_alone_needs_no_communicator():
    from boostloss.engine_call import xgboost_workers

    assert xgboost_workers().alone
