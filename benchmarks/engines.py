"""Train the same losses on the same flights with each engine and cluster: time, memory, results.

Dask, Spark and Ray train XGBoost on two local workers. Spark and Ray have separate environments
(``make .venv-spark/ready .venv-ray/ready``). If one is missing, its rows of the table say so.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

ROOT = Path(__file__).parents[1]
FEW = 1_000
"""Number of rows of a training that shows the fixed cost of a call."""

Predict = Callable[[Any], Any]
Fit = Callable[[Any, Any], tuple[float, Predict]]
"""Takes features and labels. Returns the seconds of training and a function that predicts P(1)."""


def side_by_side(step: int, rounds: int, wanted: list[tuple[str, str]]) -> str:
    """Train pairs of engine and loss on every ``step``-th flight, with one thread per process."""
    from benchmarks.interleaved import table

    with tempfile.TemporaryDirectory() as folder:
        n_rows, y_test = _write_flights(Path(folder), step)
        rows = [[*case, *_measured(*case, rounds, Path(folder), y_test)] for case in wanted]
    header = ["", "loss", f"s, {FEW:,} rows", f"s, {n_rows:,} rows"]
    return table([*header, "peak MB of a process", "average precision", "log loss"], rows)


def _write_flights(folder: Path, step: int) -> tuple[int, Any]:
    sys.path.insert(0, str(ROOT / "examples"))
    import flights

    split = flights.load()
    for name, (X, y) in {"train": split.train, "test": split.test}.items():
        codes = {column: X[column].cat.codes for column in X.select_dtypes("category")}
        np.save(folder / f"X_{name}", X.assign(**codes).to_numpy(np.float32)[::step])
        np.save(folder / f"y_{name}", y[::step])
    return len(split.train[1][::step]), split.test[1][::step]


def _measured(engine: str, loss: str, rounds: int, folder: Path, y_test: Any) -> list[Any]:
    from sklearn.metrics import average_precision_score, log_loss

    python = str(ROOT / ENVIRONMENTS.get(engine, sys.executable))
    if not Path(python).exists():
        return ["not installed", "", "", "", ""]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [python, "-W", "ignore", "-m", "benchmarks.engines", engine, loss, str(rounds)]
    subprocess.run([*command, str(folder)], env=environment, check=True, capture_output=True)
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    p = np.load(folder / "p.npy")
    results = float(average_precision_score(y_test, p)), float(log_loss(y_test, p))
    return [found["few"], found["all"], found["memory"], *results]


def whole(quick: bool) -> str:
    """Train on all flights with all engines. ``quick`` leaves out most losses, Spark and Ray."""
    if quick:
        return side_by_side(40, 3, [(engine, "focal") for engine in (*ON_ONE_MACHINE, "Dask")])
    alone = ("built-in", "cross_entropy", "balanced", "focal", "ghm")
    wanted = [(engine, loss) for engine in ON_ONE_MACHINE for loss in alone]
    wanted += [(engine, loss) for engine in ON_CLUSTERS for loss in ("focal", "ghm")]
    return side_by_side(1, 100, wanted)


# -- in a separate process -------------------------------------------------------------------


def _measure(engine: str, loss: str, rounds: int, folder: Path) -> None:
    X, y, X_test = (np.load(folder / f"{name}.npy") for name in ("X_train", "y_train", "X_test"))
    some = np.arange(0, len(y), max(1, len(y) // FEW))
    for old in folder.glob("*.peak"):
        old.unlink()
    with FITS[engine](loss, rounds, folder) as fit:
        fit(X[some], y[some])  # imports and compiles
        few, _ = fit(X[some], y[some])
        _reset_peak()
        seconds, predict = fit(X, y)
        Peak(folder).after_training(None)
        np.save(folder / "p", predict(X_test))
        peaks = {file.stem: int(file.read_text()) for file in folder.glob("*.peak")}
        if engine in ON_CLUSTERS:  # this process does not train
            del peaks[str(os.getpid())]
        memory = f"{max(peaks.values()) // 1024}"
        if engine == "Spark":
            memory += f" + Java's {_java_peak() // 1024}"
    found = {"few": few, "all": seconds, "memory": memory}
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


def _timed(train: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    model = train()
    return time.perf_counter() - start, model


class Peak(xgb.callback.TrainingCallback):
    """Writes the peak memory of this process, in KiB."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def after_training(self, model: Any) -> Any:
        (self.folder / f"{os.getpid()}.peak").write_text(str(_peak("self")))
        return model


def _peak(process: str) -> int:
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
        reset.write("5")  # resets the peak to the current memory


def _java_peak() -> int:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    names = {child: Path(f"/proc/{child}/comm").read_text().strip() for child in children}
    return sum(_peak(child) for child, name in names.items() if name == "java")


@contextlib.contextmanager
def _classifier(engine: str, loss: str, rounds: int) -> Iterator[Fit]:
    model = _model(engine, loss, rounds)

    def fit(X: Any, y: Any) -> tuple[float, Predict]:
        seconds, _ = _timed(lambda: model.fit(X, y))
        return seconds, lambda X: model.predict_proba(X)[:, 1]

    yield fit


def _model(engine: str, loss: str, rounds: int) -> Any:
    import lightgbm as lgb
    from sklearn.ensemble import HistGradientBoostingClassifier

    import boostloss

    plain, ours, params = {
        "scikit-learn": (
            HistGradientBoostingClassifier,
            boostloss.ImbalancedHistGradientBoostingClassifier,
            {"max_iter": rounds, "early_stopping": False, "random_state": 0},
        ),
        "XGBoost": (
            xgb.XGBClassifier,
            boostloss.ImbalancedXGBClassifier,
            {"n_estimators": rounds, "n_jobs": 1},
        ),
        "LightGBM": (
            lgb.LGBMClassifier,
            boostloss.ImbalancedLGBMClassifier,
            {"n_estimators": rounds, "n_jobs": 1, "verbose": -1, "min_sum_hessian_in_leaf": 1.0},
        ),
    }[engine]
    given = {} if loss == "built-in" else {"loss": loss}
    return (ours if given else plain)(learning_rate=0.1, **params, **given)


@contextlib.contextmanager
def _dask(loss: str, rounds: int, folder: Path) -> Iterator[Fit]:
    import dask.array as da
    from dask.distributed import Client, LocalCluster, wait

    from boostloss import DaskImbalancedXGBClassifier

    def fit(X: Any, y: Any) -> tuple[float, Predict]:
        half = -(-len(y) // 2)
        data = da.from_array(X, (half, X.shape[1])).persist(), da.from_array(y, half).persist()
        wait(data)
        model = DaskImbalancedXGBClassifier(
            loss=loss, n_estimators=rounds, learning_rate=0.1, n_jobs=1, callbacks=[Peak(folder)]
        )
        seconds, _ = _timed(lambda: model.fit(*data))
        return seconds, lambda X: model.predict_proba(da.from_array(X)).compute()[:, 1]

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        yield fit


PARAMS = {"eta": 0.1, "nthread": 1}


def _of_frame(X: Any, y: Any) -> Any:
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])])
    return frame.assign(label=y)


@contextlib.contextmanager
def _spark(loss: str, rounds: int, folder: Path) -> Iterator[Fit]:
    from pyspark.sql import SparkSession

    from boostloss.xgboost import spark_train

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1")
    session = builder.config("spark.sql.execution.arrow.pyspark.enabled", "true").getOrCreate()

    def fit(X: Any, y: Any) -> tuple[float, Predict]:
        rows = session.createDataFrame(_of_frame(X, y)).cache()
        rows.count()
        seconds, found = _timed(
            lambda: spark_train(
                PARAMS, rows, rounds, loss=loss, features=rows.columns[:-1], num_workers=2,
                callbacks=[Peak(folder)],
            )
        )  # fmt: skip
        raw = lambda X: found["booster"].predict(xgb.DMatrix(X), output_margin=True)  # noqa: E731
        return seconds, lambda X: found["loss"].posterior(raw(X))

    yield fit
    session.stop()


def _ray_worker(config: dict[str, Any]) -> None:
    import ray.train

    import boostloss.xgboost

    frame = ray.train.get_dataset_shard("train").materialize().to_pandas()
    rows = xgb.QuantileDMatrix(frame.drop(columns="label"), frame["label"], nthread=1)
    folder = Path(config["folder"])
    booster = boostloss.xgboost.train(
        PARAMS, rows, config["rounds"], loss=config["loss"], callbacks=[Peak(folder)]
    )
    if ray.train.get_context().get_world_rank() == 0:
        booster.save_model(folder / "ray.ubj")


@contextlib.contextmanager
def _ray(loss: str, rounds: int, folder: Path) -> Iterator[Fit]:
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.xgboost import XGBoostTrainer

    import boostloss.xgboost

    # one more slot than workers, for the process that sends them the rows
    ray.init(num_cpus=3, include_dashboard=False, object_store_memory=300 * 2**20)

    def fit(X: Any, y: Any) -> tuple[float, Predict]:
        rows = ray.data.from_pandas(_of_frame(X, y)).repartition(2).materialize()
        config = {"loss": loss, "rounds": rounds, "folder": str(folder)}
        trainer = XGBoostTrainer(
            _ray_worker,
            train_loop_config=config,
            scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(storage_path=str(folder / "results")),
            datasets={"train": rows},
        )
        seconds, _ = _timed(trainer.fit)
        booster = xgb.Booster(model_file=folder / "ray.ubj")
        names = booster.feature_names
        return seconds, lambda X: boostloss.xgboost.predict_proba(
            booster, xgb.DMatrix(X, feature_names=names)
        )[:, 1]

    yield fit
    ray.shutdown()


ON_ONE_MACHINE = ("scikit-learn", "XGBoost", "LightGBM")
ON_CLUSTERS = {"Dask": _dask, "Spark": _spark, "Ray Train": _ray}
ENVIRONMENTS = {"Spark": ".venv-spark/bin/python", "Ray Train": ".venv-ray/bin/python"}
FITS: dict[str, Any] = {
    engine: lambda loss, rounds, _, engine=engine: _classifier(engine, loss, rounds)
    for engine in ON_ONE_MACHINE
} | ON_CLUSTERS


if __name__ == "__main__":
    # by its name, since the workers import it
    from benchmarks import engines

    engines._measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
