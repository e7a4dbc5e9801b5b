"""XGBoost on several workers: the model, the metrics and the errors of one machine."""

import os
import signal
import threading

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone

import boostloss.xgboost
from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedXGBClassifier,
    balanced_ce_metric,
    balanced_ce_obj,
    focal_metric,
    ghm_metric,
    ghm_obj,
    objective,
)

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")
xgb_dask = pytest.importorskip("xgboost.dask")

from placing import cluster_of, placed  # noqa: E402

from boostloss.dask import class_counts  # noqa: E402
from boostloss.xgboost import DaskImbalancedXGBClassifier, dask_train  # noqa: E402

LOSSES = [
    CrossEntropy(),
    CrossEntropy(class_weight="balanced"),
    CrossEntropy(class_weight="effective", beta=0.999),
    FocalLoss(2),
    FocalLoss(2, class_weight="balanced"),
    GHMLoss(),
    GHMLoss(momentum=0.7, class_weight="balanced"),
    GHMLoss(density="bins", momentum=0.7),
    GHMLoss(density="window"),
]
PARAMS = {"max_depth": 3, "eta": 0.3}
ROUNDS, PARTS, ROWS = 6, 8, 6000


@pytest.fixture(scope="module")
def two_workers():
    with cluster_of(2) as cluster, distributed.Client(cluster) as client:
        yield client


def dask_matrix(client, X, y, weight=None, n_parts=PARTS):
    X, y, weight = placed(client, X, y, weight, n_parts=n_parts)
    return xgb_dask.DaskDMatrix(client, X, y, weight=weight)


def native_params(n_classes):
    if n_classes == 2:
        return {**PARAMS, "objective": "binary:logistic", "base_score": 0.1}
    return {**PARAMS, "objective": "multi:softprob", "num_class": n_classes, "base_score": 0.1}


def raw_scores(booster, X):
    return booster.predict(xgb.DMatrix(X), output_margin=True)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_the_model_of_one_machine(two_workers, rows, loss, weighted):
    assert_one_machines_model(two_workers, rows, loss, rows.weight if weighted else None)


@pytest.mark.filterwarnings("ignore:.*booster=dart")
def test_dart_ends_with_the_class_shares(two_workers, rows):
    params = {**PARAMS, "booster": "dart", "rate_drop": 0.5}
    data = dask_matrix(two_workers, rows.X, rows.y)
    booster = dask_train(two_workers, params, data, ROUNDS, loss=CrossEntropy())["booster"]
    share = np.bincount(rows.y.astype(int)) / len(rows.y)
    p = boostloss.xgboost.predict_proba(booster, rows.X)
    shown = p.mean(axis=0) if p.ndim == 2 else np.array([1 - p.mean(), p.mean()])
    np.testing.assert_allclose(shown, share, rtol=1e-6)
    X, y = placed(two_workers, rows.X, rows.y, n_parts=PARTS)
    model = DaskImbalancedXGBClassifier(n_estimators=ROUNDS, booster="dart", rate_drop=0.5)
    p = model.fit(X, y).predict_proba(X).compute()
    np.testing.assert_allclose(p.mean(axis=0), share, rtol=1e-6)


def assert_one_machines_model(client, rows, loss, weight):
    data = dask_matrix(client, rows.X, rows.y, weight)
    spread = dask_train(
        client, PARAMS, data, ROUNDS, loss=loss, evals=[(data, "train")], verbose_eval=False
    )
    alone, history = xgb.DMatrix(rows.X, rows.y, weight=weight), {}
    booster = boostloss.xgboost.train(
        PARAMS, alone, ROUNDS, loss=loss, evals=[(alone, "train")], evals_result=history,
        verbose_eval=False,
    )  # fmt: skip
    np.testing.assert_array_equal(
        raw_scores(spread["booster"], rows.X), raw_scores(booster, rows.X)
    )
    np.testing.assert_allclose(
        spread["history"]["train"]["posterior_log_loss"],
        history["train"]["posterior_log_loss"],
        rtol=1e-12,
    )
    probability = (
        boostloss.xgboost.predict_proba(one, rows.X) for one in (spread["booster"], booster)
    )
    np.testing.assert_allclose(*probability, rtol=1e-9)
    for one in (spread["booster"], booster):  # the fitted loss, in which sums have another order
        one.set_attr(**dict.fromkeys(one.attributes()))
    assert booster.save_raw("json") == spread["booster"].save_raw("json")


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_callable_in_xgboosts_own_train(two_workers, rows, loss):
    params, data = native_params(rows.n_classes), dask_matrix(two_workers, rows.X, rows.y)
    spread = xgb_dask.train(two_workers, params, data, ROUNDS, obj=objective(loss))["booster"]
    alone = xgb.train(params, xgb.DMatrix(rows.X, rows.y), ROUNDS, obj=objective(loss))
    np.testing.assert_array_equal(raw_scores(spread, rows.X), raw_scores(alone, rows.X))


def test_workers_without_rows(two_workers, rows):
    assert_right_where_rows_are_few(two_workers, rows, 1)


def assert_right_where_rows_are_few(client, rows, n_parts):
    """One part for two or four workers; XGBoost trains on those that hold rows, and evaluates on more."""
    loss = GHMLoss(class_weight="balanced")
    data = dask_matrix(client, rows.X, rows.y, n_parts=n_parts)
    other = dask_matrix(client, rows.X[::-1], rows.y[::-1])
    spread = dask_train(
        client, PARAMS, data, ROUNDS, loss=loss, evals=[(other, "other")], verbose_eval=False
    )
    alone, history = xgb.DMatrix(rows.X, rows.y), {}
    booster = boostloss.xgboost.train(
        PARAMS, alone, ROUNDS, loss=loss, evals=[(alone, "other")], evals_result=history,
        verbose_eval=False,
    )  # fmt: skip
    np.testing.assert_array_equal(
        raw_scores(spread["booster"], rows.X), raw_scores(booster, rows.X)
    )
    np.testing.assert_allclose(
        spread["history"]["other"]["posterior_log_loss"],
        history["other"]["posterior_log_loss"],
        rtol=1e-12,
    )


@pytest.mark.parametrize("metric", [focal_metric(2), balanced_ce_metric(), ghm_metric()], ids=repr)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_metrics_are_those_of_all_rows(two_workers, rows, metric, weighted):
    weight = rows.weight if weighted else None
    params = native_params(rows.n_classes)
    data = dask_matrix(two_workers, rows.X, rows.y, weight, n_parts=3)  # unequally full
    history = xgb_dask.train(
        two_workers, params, data, 3, obj=ghm_obj(), custom_metric=metric,
        evals=[(data, "train")], verbose_eval=False,
    )["history"]  # fmt: skip
    alone, expected = xgb.DMatrix(rows.X, rows.y, weight=weight), {}
    xgb.train(
        params, alone, 3, obj=ghm_obj(), custom_metric=metric, evals=[(alone, "train")],
        evals_result=expected, verbose_eval=False,
    )  # fmt: skip
    name = metric.__name__
    np.testing.assert_allclose(history["train"][name], expected["train"][name], rtol=1e-6)


def test_early_stopping_and_going_on(two_workers, rows):
    loss = FocalLoss(2)
    data = dask_matrix(two_workers, rows.X, rows.y)
    first = dask_train(two_workers, PARAMS, data, 3, loss=loss)["booster"]
    more = dask_train(two_workers, PARAMS, data, 3, loss=loss, xgb_model=first)["booster"]
    whole = dask_train(two_workers, PARAMS, data, 6, loss=loss)["booster"]
    np.testing.assert_allclose(raw_scores(more, rows.X), raw_scores(whole, rows.X), atol=1e-5)
    rng = np.random.default_rng(1)
    noise = dask_matrix(two_workers, rows.X, rng.permutation(rows.y))
    stopped = dask_train(
        two_workers, {**PARAMS, "max_depth": 6}, data, 200, loss=loss, evals=[(noise, "noise")],
        early_stopping_rounds=3, verbose_eval=False,
    )["booster"]  # fmt: skip
    assert stopped.best_iteration < 100
    # each contains the loss fitted to its own rounds, up to the best: the mean is the class share
    share = np.bincount(rows.y.astype(int)) / len(rows.y)
    for booster in (more, stopped):
        p = boostloss.xgboost.predict_proba(booster, rows.X)
        np.testing.assert_allclose(p.mean(axis=0), share, rtol=1e-6)


# -- errors -------------------------------------------------------------------------------


def wrong_label(y):
    wrong = y.astype(np.float32)
    wrong[-1] = 2.5
    return wrong


def test_a_wrong_label_on_one_worker(two_workers, rows):
    data = dask_matrix(two_workers, rows.X, wrong_label(rows.y))
    with pytest.raises(ValueError, match=r"y must contain whole numbers .* got 2\.5"):
        dask_train(two_workers, PARAMS, data, 2, loss=GHMLoss())
    for loss in LOSSES:
        with pytest.raises(ValueError, match=r"^y must contain .* got 2\.5 \(on worker \d of 2\)$"):
            xgb_dask.train(two_workers, native_params(rows.n_classes), data, 2, obj=objective(loss))


def test_a_wrong_label_is_said_by_every_worker(two_workers, rows):
    """XGBoost's client shows one worker's error: here is what each of them raises."""
    data = dask_matrix(two_workers, rows.X, wrong_label(rows.y))
    said = distributed.Queue(client=two_workers)
    with pytest.raises(ValueError, match="on worker"):
        xgb_dask.train(
            two_workers, native_params(rows.n_classes), data, 2, obj=_Telling(ghm_obj(), said)
        )
    first, second = said.get(timeout=30), said.get(timeout=30)
    assert first == second
    assert "y must contain" in first


class _Telling:
    def __init__(self, objective, queue):
        self.objective, self.queue = objective, queue

    def __call__(self, raw, data):
        try:
            return self.objective(raw, data)
        except ValueError as error:
            self.queue.put(str(error))
            raise


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        (np.zeros(ROWS), None, "y must contain at least two classes"),
        (np.arange(ROWS) % 2, np.zeros(ROWS), "no row|all zero"),
        (np.arange(ROWS) % 2, -np.ones(ROWS), "weight"),
    ],
    ids=["one class", "no weight", "negative weight"],
)
def test_bad_targets(two_workers, rows, y, weight, message):
    # XGBoost itself refuses negative weights
    with pytest.raises((ValueError, xgb.core.XGBoostError), match=f"(?i){message}"):
        dask_train(
            two_workers, PARAMS, dask_matrix(two_workers, rows.X, y, weight), 2, loss=FocalLoss()
        )
    with pytest.raises((ValueError, xgb.core.XGBoostError), match=f"(?i){message}"):
        xgb_dask.train(
            two_workers, native_params(2), dask_matrix(two_workers, rows.X, y, weight), 2,
            obj=balanced_ce_obj(),
        )  # fmt: skip


def test_what_is_no_dask_data(two_workers, rows):
    with pytest.raises(TypeError, match="dtrain must be a DaskDMatrix"):
        dask_train(two_workers, PARAMS, xgb.DMatrix(rows.X, rows.y), 2, loss=FocalLoss())
    X, y = placed(two_workers, rows.X, rows.y, n_parts=PARTS)
    with pytest.raises(TypeError, match="y must be a Dask array"):
        class_counts(rows.y)
    with pytest.raises(TypeError, match="y must be a Dask array"):
        DaskImbalancedXGBClassifier().fit(X, rows.y)
    with pytest.raises(ValueError, match="sample_weight must have as many partitions"):
        class_counts(y, da.ones(ROWS, chunks=ROWS))


@pytest.mark.skipif(
    distributed.__version__.startswith("2024."),
    reason="Dask of 2024 may wait for ever for a worker that is lost",
)
def test_a_worker_that_dies():
    """The engine's own error comes, and no hang."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2000, 3)), np.arange(2000) % 2
    with cluster_of(2) as cluster, distributed.Client(cluster) as client:
        data = dask_matrix(client, X, y)
        started = distributed.Event("started", client=client)
        victim = next(iter(client.run(os.getpid).values()))

        def kill():
            assert started.wait(timeout=60)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        # what XGBoost says of a lost peer, or Dask of a lost worker
        with pytest.raises((xgb.core.XGBoostError, distributed.KilledWorker, ValueError)) as caught:
            dask_train(client, PARAMS, data, 10_000_000, loss=GHMLoss(),
                       callbacks=[_Announce()])  # fmt: skip
        killer.join()
        assert "y must" not in str(caught.value)


class _Announce(xgb.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        if epoch == 5:
            distributed.Event("started").set()
        return False


# -- the classifier -----------------------------------------------------------------------

NAMES = np.array(["alder", "birch", "cedar"])


@pytest.mark.parametrize("loss", [*LOSSES[1:4], GHMLoss(), GHMLoss(density="window")], ids=repr)
def test_classifier(two_workers, rows, loss):
    labels = NAMES[rows.y]
    X, y, weight = placed(two_workers, rows.X, labels, rows.weight, n_parts=PARTS)
    model = DaskImbalancedXGBClassifier(loss=loss, n_estimators=ROUNDS, max_depth=3)
    model = clone(model).fit(X, y, sample_weight=weight)
    alone = ImbalancedXGBClassifier(loss=loss, n_estimators=ROUNDS, max_depth=3)
    alone.fit(rows.X, labels, sample_weight=rows.weight)
    np.testing.assert_array_equal(model.classes_, alone.classes_)
    np.testing.assert_array_equal(
        model.raw_score(X).compute(), alone.raw_score(rows.X)
    )
    p = model.predict_proba(X)
    assert isinstance(p, da.Array)
    assert p.shape == (ROWS, rows.n_classes)
    np.testing.assert_allclose(p.compute(), alone.predict_proba(rows.X), rtol=1e-6)
    decided = model.predict(X)
    assert isinstance(decided, da.Array)
    np.testing.assert_array_equal(decided.compute(), alone.predict(rows.X))
    costs = np.ones((rows.n_classes, rows.n_classes)) - np.eye(rows.n_classes)
    costs[-1] *= 7
    by_label = pd.DataFrame(costs, model.classes_, model.classes_)
    for decision in ("balanced", by_label, "raw"):
        model.set_params(decision=decision)
        alone.set_params(decision=decision)
        scores = model.decision_function(X)
        assert isinstance(scores, da.Array)
        np.testing.assert_allclose(
            scores.compute(), alone.decision_function(rows.X), rtol=1e-6, atol=1e-6
        )
        decided = model.predict(X)
        assert isinstance(decided, da.Array)
        np.testing.assert_array_equal(decided.compute(), alone.predict(rows.X))


METRICS = {2: ["error", "logloss"], 3: ["merror", "mlogloss"]}


@pytest.mark.parametrize("loss", ["balanced", "focal", "ghm"])
def test_classifier_judges_and_weighs_as_one_machine(two_workers, rows, loss):
    """Metrics by name are of the posterior, and of all rows; ``scale_pos_weight`` counts."""
    params = {"loss": loss, "n_estimators": ROUNDS, "max_depth": 3, "eval_metric": METRICS[rows.n_classes]}
    if rows.n_classes == 2:
        params["scale_pos_weight"] = 3.0
    X, y = placed(two_workers, rows.X, rows.y, n_parts=PARTS)
    model = DaskImbalancedXGBClassifier(**params).fit(X, y, eval_set=[(X, y)], verbose=False)
    alone = ImbalancedXGBClassifier(**params)
    alone.fit(rows.X, rows.y, eval_set=[(rows.X, rows.y)], verbose=False)
    np.testing.assert_array_equal(model.raw_score(X).compute(), alone.raw_score(rows.X))
    found, wanted = (m.evals_result()["validation_0"] for m in (model, alone))
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


def test_classifier_on_frames_with_an_evaluation_set(two_workers, rows, tmp_path):
    import pandas as pd

    frame = pd.DataFrame(rows.X, columns=list("abcdef"))
    X = dd.from_pandas(frame, npartitions=PARTS)
    y = dd.from_pandas(pd.Series(NAMES[rows.y]), npartitions=PARTS)
    model = DaskImbalancedXGBClassifier(
        n_estimators=ROUNDS, max_depth=3, probability="link", early_stopping_rounds=2
    )
    model.fit(X, y, eval_set=[(X, y)], verbose=False)
    alone = ImbalancedXGBClassifier(
        n_estimators=ROUNDS, max_depth=3, probability="link", early_stopping_rounds=2
    )
    alone.fit(frame, NAMES[rows.y], eval_set=[(frame, NAMES[rows.y])], verbose=False)
    assert list(model.feature_names_in_) == list("abcdef")
    for key, values in alone.evals_result()["validation_0"].items():
        np.testing.assert_allclose(model.evals_result()["validation_0"][key], values, rtol=1e-6)
    np.testing.assert_allclose(
        model.predict_proba(X).compute(), alone.predict_proba(frame), rtol=1e-6
    )
    model.save_model(tmp_path / "model.json")
    served = ImbalancedXGBClassifier()
    served.load_model(tmp_path / "model.json")
    np.testing.assert_allclose(served.predict_proba(frame), alone.predict_proba(frame), rtol=1e-6)
    with pytest.raises(ValueError, match=r"eval_set\[0\]'s y must contain labels seen in y"):
        model.fit(X, y, eval_set=[(X, y.replace("alder", "oak"))])


@pytest.mark.parametrize("column", [None, np.nan], ids=["None", "NaN"])
def test_missing_labels(two_workers, rows, column):
    import pandas as pd

    X, _ = placed(two_workers, rows.X, rows.y, n_parts=PARTS)
    y = pd.Series(rows.y.astype(object))
    y.iloc[7] = column
    with pytest.raises(ValueError, match="y contains NaN"):
        DaskImbalancedXGBClassifier().fit(X, dd.from_pandas(y, npartitions=PARTS))


def test_pulling_all_rows_into_one_process_is_no_surprise(two_workers, rows):
    """Dask data in the classifiers and functions for one machine."""
    X, y = placed(two_workers, rows.X, rows.y, n_parts=PARTS)
    with pytest.raises(TypeError, match="DaskImbalancedXGBClassifier"):
        ImbalancedXGBClassifier().fit(X, y)
