"""Data that one process does not hold in memory: from disk, on Spark, on a GPU."""

import subprocess
import sys
import types

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb

import boostloss.lightgbm
import boostloss.xgboost
from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
)

LOSSES = [
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2),
    GHMLoss(),
    GHMLoss(density="bins", momentum=0.5),
    GHMLoss(density="window"),
]
PARAMS = {"max_depth": 3, "nthread": 2}


# -- from disk ----------------------------------------------------------------------------


class Batches(xgb.DataIter):
    """Rows in four batches, which XGBoost keeps on disk if it is told where."""

    def __init__(self, X, y, weight, folder=None):
        self.parts = [np.array_split(array, 4) for array in (X, y, weight)]
        self.at = 0
        super().__init__(cache_prefix=None if folder is None else str(folder / "cache"))

    def next(self, input_data):
        if self.at == 4:
            return False
        data, label, weight = (part[self.at] for part in self.parts)
        input_data(data=data, label=label, weight=weight)
        self.at += 1
        return True

    def reset(self):
        self.at = 0


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_external_memory_gives_the_model_of_memory(problem, loss, tmp_path):
    weight = np.random.default_rng(0).integers(1, 4, len(problem.y)).astype(float)
    rows = problem.X, problem.y, weight
    raw = {}
    for name, data in {
        "disk": xgb.ExtMemQuantileDMatrix(Batches(*rows, tmp_path)),
        "memory": xgb.QuantileDMatrix(Batches(*rows)),
    }.items():
        history = {}
        booster = boostloss.xgboost.train(
            PARAMS, data, 5, loss=loss, evals=[(data, "train")], evals_result=history,
            verbose_eval=False,
        )  # fmt: skip
        raw[name] = booster.inplace_predict(problem.X, predict_type="margin"), history
    np.testing.assert_array_equal(raw["disk"][0], raw["memory"][0])
    assert raw["disk"][1] == raw["memory"][1]


# -- on Spark -----------------------------------------------------------------------------


def test_spark_frames_are_refused_with_the_way():
    module = types.ModuleType("pyspark.sql.dataframe")
    frame = type("DataFrame", (), {"__module__": module.__name__})()
    for fit in (
        lambda: ImbalancedXGBClassifier().fit(frame, [0, 1]),
        lambda: ImbalancedLGBMClassifier().fit(frame, [0, 1]),
        lambda: ImbalancedXGBClassifier().fit([[0], [1]], frame),
        lambda: boostloss.xgboost.train({}, frame, loss=FocalLoss()),
        lambda: boostloss.lightgbm.train({}, frame, loss=FocalLoss()),
    ):
        with pytest.raises(
            TypeError,
            match=r"DataFrame; on Spark use boostloss\.spark\.Spark.*spark_train.*toPandas",
        ):
            fit()


SPARK = """
import pytest
from pyspark.sql import SparkSession
from xgboost.spark import SparkXGBClassifier
from boostloss import ImbalancedXGBClassifier, focal_obj
spark = SparkSession.builder.master("local[1]").getOrCreate()
frame = spark.createDataFrame([(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)], ["a", "y"])
with pytest.raises(TypeError, match="toPandas"):
    ImbalancedXGBClassifier().fit(frame.select("a"), frame.select("y"))
with pytest.raises(ValueError, match="Only string type 'objective'"):
    SparkXGBClassifier(features_col=["a"], label_col="y", objective=focal_obj()).fit(frame)
"""


def test_spark_itself_takes_no_objective_of_ones_own():
    pytest.importorskip("pyspark", reason="pyspark (300 MB, and Java) is not in the test group")
    subprocess.run([sys.executable, "-W", "ignore", "-c", SPARK], check=True, timeout=300)


# -- on a GPU -----------------------------------------------------------------------------


def xgboost_sees_a_gpu():
    return bool(xgb.build_info().get("USE_CUDA")) and _trains(
        lambda: xgb.train({"device": "cuda"}, xgb.DMatrix([[0.0], [1.0]], [0, 1]), 1)
    )


def lightgbm_sees_a_gpu():
    data = lgb.Dataset(np.arange(100.0)[:, None], np.arange(100) % 2)
    return _trains(lambda: lgb.train({"device_type": "cuda", "verbose": -1}, data, 1))


def _trains(train):
    try:
        train()
    except (xgb.core.XGBoostError, lgb.basic.LightGBMError):
        return False
    return True


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_xgboost_on_a_gpu(problem, loss):
    if not xgboost_sees_a_gpu():
        pytest.skip("no GPU, or an XGBoost without CUDA (xgboost-cpu)")
    data = xgb.QuantileDMatrix(problem.X, problem.y)
    raw = []
    for device in ("cpu", "cuda"):
        booster = boostloss.xgboost.train({**PARAMS, "device": device}, data, 20, loss=loss)
        raw.append(booster.predict(xgb.DMatrix(problem.X), output_margin=True))
    np.testing.assert_allclose(raw[1], raw[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_lightgbm_on_a_gpu(problem, loss):
    if not lightgbm_sees_a_gpu():
        pytest.skip("no GPU, or a LightGBM without CUDA (its wheel has none)")
    raw = []
    for device in ("cpu", "cuda"):
        params = {"device_type": device, "verbose": -1}
        data = lgb.Dataset(problem.X, problem.y)
        booster = boostloss.lightgbm.train(params, data, 20, loss=loss)
        raw.append(booster.predict(problem.X, raw_score=True))
    np.testing.assert_allclose(raw[1], raw[0], rtol=1e-2, atol=1e-2)
