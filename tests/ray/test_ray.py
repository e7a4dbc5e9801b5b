"""Inside Ray Train's function (``make ray``): equal to one machine."""

import os
import sys

import numpy as np
import pytest

pytest.importorskip("ray.train", reason="ray (200 MB) is installed by make ray")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

import ray
import xgboost as xgb
from ray import cloudpickle
from ray.train import Checkpoint, RunConfig, ScalingConfig
from ray.train.xgboost import XGBoostTrainer
from sklearn.datasets import make_classification

import boostloss.xgboost
from boostloss import FocalLoss, GHMLoss

PARAMS = {"max_depth": 4, "eta": 0.2, "tree_method": "hist", "nthread": 1}


@pytest.fixture(scope="module")
def cluster():
    # workers cannot import this file: it is sent to them
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20)
    yield
    ray.shutdown()


def one_worker(config):
    import ray.train
    import xgboost as xgb

    import boostloss.xgboost

    X, y, loss = config["X"], config["y"], config["loss"]
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    mine = np.arange(len(y)) * size // len(y) == rank  # sorted: one worker holds no positives
    rows = xgb.QuantileDMatrix(X[mine], y[mine], nthread=1)
    booster = boostloss.xgboost.train(PARAMS, rows, 15, loss=loss)
    booster.save_model(os.path.join(config["folder"], f"{rank}.ubj"))
    checkpoint = Checkpoint.from_directory(config["folder"]) if rank == 0 else None
    ray.train.report({"workers": size}, checkpoint=checkpoint)


@pytest.mark.parametrize(
    "loss", [FocalLoss(2.0, class_weight="balanced"), GHMLoss(), GHMLoss(momentum=0.5)], ids=repr
)
def test_equals_one_machine(loss, cluster, tmp_path):
    X, y = make_classification(
        3000, 6, n_informative=4, n_redundant=1, weights=[0.9], flip_y=0.02, random_state=0
    )
    order = np.argsort(y, kind="stable")
    X, y = X.round(1).astype(np.float32)[order], y[order]
    folder = tmp_path / "models"
    folder.mkdir()
    result = XGBoostTrainer(
        one_worker,
        train_loop_config={"X": X, "y": y, "loss": loss, "folder": str(folder)},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(storage_path=str(tmp_path / "results")),
    ).fit()
    assert result.metrics["workers"] == 2
    alone = boostloss.xgboost.train(PARAMS, xgb.QuantileDMatrix(X, y), 15, loss=loss)
    d = xgb.DMatrix(X)
    want = alone.predict(d, output_margin=True)
    for rank in range(2):
        booster = xgb.Booster(model_file=folder / f"{rank}.ubj")
        got = booster.predict(d, output_margin=True)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
