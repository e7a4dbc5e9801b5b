"""LightGBM on several workers: static losses give one machine's model, others a clear error."""

import gc

import lightgbm as lgb
import numpy as np
import pytest

import boostloss.lightgbm
from boostloss import CrossEntropy, FocalLoss, GHMLoss, Recorder, objective

dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

from placing import cluster_of, placed  # noqa: E402

from boostloss.dask import class_counts  # noqa: E402
from boostloss.lightgbm import dask_train  # noqa: E402

LOSSES = [
    CrossEntropy(),
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2, class_weight="effective"),
    FocalLoss(2),
]
# LightGBM guesses a leaf's rows from its Hessian sum, on several machines otherwise than on one: no
# limit may depend on them. time_out (minutes) ends what waits for a lost worker.
PARAMS = {
    "num_leaves": 7,
    "verbose": -1,
    "min_data_in_leaf": 1,
    "min_sum_hessian_in_leaf": 0.0,
    "time_out": 1,
}
ROUNDS, PARTS, ROWS = 6, 4, 6000


@pytest.fixture(scope="module")
def client():
    with cluster_of(2) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_the_model_of_one_machine(client, rows, loss, weighted):
    weight = rows.weight if weighted else None
    X, y, dask_weight = placed(client, rows.X, rows.y, weight, n_parts=PARTS)
    spread = dask_train(client, PARAMS, X, y, ROUNDS, loss=loss, sample_weight=dask_weight)
    alone = boostloss.lightgbm.train(
        PARAMS, lgb.Dataset(rows.X, rows.y, weight=weight), ROUNDS, loss=loss,
        recorder=Recorder(),  # so that a callable trains, as on Dask
    )  # fmt: skip
    np.testing.assert_allclose(spread.predict(rows.X), alone.predict(rows.X), rtol=1e-9)
    # the offset is that of all rows
    p, p_alone = (boostloss.lightgbm.predict_proba(booster, rows.X) for booster in (spread, alone))
    np.testing.assert_allclose(p, p_alone, rtol=1e-6)
    if loss != CrossEntropy():
        share = np.bincount(rows.y.astype(int), weights=weight) / np.sum(
            weight if weighted else len(rows.y)
        )
        np.testing.assert_allclose(np.average(p, axis=0, weights=weight), share, rtol=1e-6)


def test_dart_ends_with_the_class_shares(client, rows):
    X, y = placed(client, rows.X, rows.y, n_parts=PARTS)
    params = {**PARAMS, "boosting": "dart", "drop_rate": 0.5}
    booster = dask_train(client, params, X, y, ROUNDS, loss=CrossEntropy())
    p = boostloss.lightgbm.predict_proba(booster, rows.X)
    share = np.bincount(rows.y.astype(int)) / len(rows.y)
    np.testing.assert_allclose(p.mean(axis=0), share, rtol=1e-6)


def test_frames(client, rows):
    import pandas as pd

    frame, labels = pd.DataFrame(rows.X, columns=list("abcdef")), pd.Series(rows.y)
    X, y = dd.from_pandas(frame, npartitions=PARTS), dd.from_pandas(labels, npartitions=PARTS)
    spread = dask_train(client, PARAMS, X, y, ROUNDS, loss=FocalLoss(2))
    alone = boostloss.lightgbm.train(PARAMS, lgb.Dataset(frame, labels), ROUNDS, loss=FocalLoss(2))
    assert spread.feature_name() == list("abcdef")
    np.testing.assert_allclose(spread.predict(frame), alone.predict(frame), rtol=1e-6)
    probability = (boostloss.lightgbm.predict_proba(one, frame) for one in (spread, alone))
    np.testing.assert_allclose(*probability, rtol=1e-6)


def test_ghm_is_refused_with_the_reason(client, rows):
    X, y = placed(client, rows.X, rows.y, n_parts=PARTS)
    with pytest.raises(ValueError, match=r"GHM.*no way to sum.*boostloss\.xgboost\.dask_train"):
        dask_train(client, PARAMS, X, y, ROUNDS, loss=GHMLoss())
    with pytest.raises(ValueError, match=r"GHM.*no way to sum"):
        lgb.DaskLGBMRegressor(client=client, objective=objective(GHMLoss()), **PARAMS).fit(X, y)


def test_counted_weights_need_the_helper(client, rows):
    X, y = placed(client, rows.X, rows.y, n_parts=PARTS)
    loss = CrossEntropy(class_weight="balanced")
    many = {"num_class": 3, "metric": "None"} if rows.n_classes == 3 else {}
    with pytest.raises(ValueError, match=r"counted on all rows.*class_counts"):
        lgb.DaskLGBMRegressor(client=client, objective=objective(loss), **PARAMS, **many).fit(X, y)
    client.run(gc.collect)  # the failed booster goes, and takes no later training's network along
    labels, counts = class_counts(y)
    resolved = loss.fit(labels, sample_weight=counts).loss
    assert resolved == loss.fit(rows.y).loss
    lgb.DaskLGBMRegressor(client=client, objective=objective(resolved), **PARAMS, **many).fit(X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(ROWS), "at least two classes"),
        (np.arange(ROWS) % 2 + 1, "every class from 0"),
        (np.where(np.arange(ROWS) == 7, np.nan, 0), "NaN"),
    ],
    ids=["one class", "1 and 2", "NaN"],
)
def test_bad_labels(client, rows, y, message):
    X, y = placed(client, rows.X, y, n_parts=PARTS)
    with pytest.raises(ValueError, match=message):
        dask_train(client, PARAMS, X, y, ROUNDS, loss=FocalLoss())


def test_dask_data_where_one_machine_trains(client, rows):
    X, y = placed(client, rows.X, rows.y, n_parts=PARTS)
    with pytest.raises(TypeError, match=r"boostloss\.lightgbm\.dask_train"):
        boostloss.lightgbm.ImbalancedLGBMClassifier().fit(X, y)
