"""Measure time and peak memory of training with up to 100 million rows, and with several workers.

``python -m benchmarks.scale`` prints Markdown tables. Rows are generated in chunks, and XGBoost
stores one byte per feature (QuantileDMatrix). Each size runs in a separate process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import xgboost as xgb

import boostloss.xgboost
from benchmarks.interleaved import table
from boostloss import CrossEntropy, FocalLoss, GHMLoss

SIZES = [1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000]
CHUNK, FEATURES, ROUNDS = 1_000_000, 10, 5
LOSSES = {"built-in": None, "focal γ=2": FocalLoss(2), "GHM": GHMLoss()}
PARAMS = {"max_depth": 6, "objective": "binary:logistic", "verbosity": 0}


def chunk(number: int, n_rows: int) -> tuple[Any, Any]:
    """Return features with 32 distinct values, and labels with 1% positives."""
    rng = np.random.default_rng(number)
    X = rng.integers(0, 32, (n_rows, FEATURES), dtype=np.uint8).astype(np.float32)
    score = X[:, 0] + X[:, 1] * X[:, 2] / 16 + rng.standard_normal(n_rows, np.float32) * 12
    return X, (score > 82).astype(np.float32)


class Chunks(xgb.DataIter):
    """Rows as XGBoost requests them. Only one chunk is in memory."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows, self.at = n_rows, 0
        super().__init__()

    def next(self, input_data: Any) -> bool:
        start = self.at * CHUNK
        if start >= self.n_rows:
            return False
        X, y = chunk(self.at, min(CHUNK, self.n_rows - start))
        input_data(data=X, label=y)
        self.at += 1
        return True

    def reset(self) -> None:
        self.at = 0


class Timed:
    """An objective and the seconds spent in it."""

    def __init__(self, loss: Any) -> None:
        self.objective, self.seconds = boostloss.objective(loss), 0.0

    def __call__(self, raw: Any, data: Any) -> Any:
        start = time.perf_counter()
        try:
            return self.objective(raw, data)
        finally:
            self.seconds += time.perf_counter() - start


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def one_size(n_rows: int) -> dict[str, Any]:
    """Return the results of one size. Runs in a separate process."""
    start = time.perf_counter()
    data = xgb.QuantileDMatrix(Chunks(n_rows))
    found: dict[str, Any] = {"data": [time.perf_counter() - start, peak_gib()]}
    y = data.get_label()
    share = float(y.mean())
    del y
    small = xgb.DMatrix(*chunk(0, 1000)[:1], label=chunk(0, 1000)[1])
    for name, loss in LOSSES.items():
        timed = None if loss is None else Timed(loss)
        xgb.train({**PARAMS, "base_score": share}, small, 1, obj=timed)  # compiles before timing
        if timed:
            timed.seconds = 0.0
        start = time.perf_counter()
        xgb.train({**PARAMS, "base_score": share}, data, ROUNDS, obj=timed)
        whole = time.perf_counter() - start
        found[name] = [whole, timed.seconds if timed else None, peak_gib()]
    return found


def by_rows(sizes: list[int]) -> str:
    rows = []
    for n_rows in sizes:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scale", "--one", str(n_rows)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(text.splitlines()[-1])
        built_in = found["built-in"][0]
        for name in LOSSES:
            whole, inside, peak = found[name]
            rows.append(
                [
                    f"{n_rows:,}",
                    name,
                    whole / ROUNDS,
                    "" if inside is None else inside / ROUNDS,
                    "" if inside is None else f"{inside / whole:.1%}",
                    whole / built_in,
                    peak,
                ]
            )
        print(rows[-3:], file=sys.stderr, flush=True)
    header = ["rows", "objective", "s per round", "of it inside", "share", "× built-in", "peak GiB"]
    return table(header, rows)


def by_workers(numbers: list[int], n_rows: int, rounds: int) -> str:
    """Measure Dask workers with equally many rows and one thread each."""
    import dask.array as da
    import xgboost.dask
    from distributed import Client, LocalCluster

    from boostloss.xgboost import dask_train

    rows = []
    for n_workers in numbers:
        with (
            LocalCluster(
                n_workers=n_workers, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            X, y = chunk(0, n_rows * n_workers)
            chunks = n_rows
            data = xgboost.dask.DaskQuantileDMatrix(
                client, da.from_array(X, chunks=(chunks, FEATURES)), da.from_array(y, chunks=chunks)
            )

            def train(loss: Any, client: Any = client, data: Any = data) -> None:
                if loss is None:
                    xgboost.dask.train(client, PARAMS, data, rounds)
                else:
                    dask_train(client, PARAMS, data, rounds, loss=loss)

            arms = {"built-in": None, "cross-entropy": CrossEntropy(), **LOSSES}
            times: dict[str, list[float]] = {name: [] for name in arms}
            for turn in range(4):  # the first compiles
                for name, loss in arms.items():
                    start = time.perf_counter()
                    train(loss)
                    if turn:
                        times[name].append(time.perf_counter() - start)
            medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
            rows += [
                [n_workers, name, seconds / rounds, seconds / medians["built-in"]]
                for name, seconds in medians.items()
            ]
    return table(["workers", "objective", "s per round", "× built-in"], rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--one", type=int, help="one size, as JSON")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="rows of the largest size")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(one_size(options.one)))
        return
    sizes = [20_000] if options.quick else [size for size in SIZES if size <= options.most]
    print(f"## rows\n\n{by_rows(sizes)}", flush=True)
    numbers, n_rows, rounds = ([1, 2], 2_000, 2) if options.quick else ([1, 2, 4], 500_000, 20)
    print(f"\n## workers\n\n{by_workers(numbers, n_rows, rounds)}")


if __name__ == "__main__":
    main()
