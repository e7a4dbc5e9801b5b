"""Long runs: 10,000 rounds and 1,000 fits in one process, compared with the built-in objective.

    python -m benchmarks.endurance

A model grows with its rounds under any objective. Only growth beyond the built-in objective's is
due to boostloss. Each method runs in a separate process.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb

import boostloss as bl
from benchmarks.interleaved import table

N_ROWS, ROUNDS_OF_A_FIT = 2_000, 10
ARMS = ("built-in", "cross-entropy", "focal γ=2", "GHM, momentum", "focal γ=2, recorder")


def _data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 5)).astype(np.float32)
    score = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(0, 1, N_ROWS)
    return X, (score > np.quantile(score, 0.9)).astype(np.float32)


def _objective(arm: str) -> Any:
    """Return one object for all trainings of a process."""
    recorder = bl.Recorder() if "recorder" in arm else None
    if arm.startswith("focal"):
        return bl.focal_obj(2.0, recorder=recorder)
    if arm.startswith("GHM"):
        return bl.ghm_obj(momentum=0.9)
    return None if arm == "built-in" else bl.objective(bl.CrossEntropy())


def mebibytes() -> float:
    """Return the resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Log:
    """Times and resident memory after each step."""

    def __init__(self) -> None:
        self.times, self.memory = [time.perf_counter()], [mebibytes()]

    def step(self) -> None:
        self.times.append(time.perf_counter())
        self.memory.append(mebibytes())

    def summary(self, warm: int) -> dict[str, float]:
        """Return memory after 1%, 50% and 100% of the steps, and times by tenths."""
        spent = np.diff(self.times)[warm:]
        tenth = max(len(spent) // 10, 1)
        last = len(self.memory) - 1
        return {
            "start": self.memory[warm],
            "middle": self.memory[(warm + last) // 2],
            "end": self.memory[last],
            "first": float(np.median(spent[:tenth])) * 1e3,
            "last": float(np.median(spent[-tenth:])) * 1e3,
        }


class _Watch(xgb.callback.TrainingCallback):
    def __init__(self, log: _Log) -> None:
        super().__init__()
        self.log = log

    def after_iteration(self, *_: Any) -> bool:
        self.log.step()
        return False


def _trainer(engine: str, given: Any) -> Callable[[int, Any], Any]:
    """Return a function ``(rounds, log)`` that calls the engine's ``train`` with one objective."""
    X, y = _data()
    if engine == "XGBoost":
        data = xgb.DMatrix(X, y)
        params = {"max_depth": 2, "eta": 0.05, "nthread": 1, "objective": "binary:logistic",
                  "base_score": 0.1, "disable_default_eval_metric": 1}  # fmt: skip
        return lambda rounds, log: xgb.train(
            params, data, rounds, obj=given, callbacks=[_Watch(log)] if log else None
        )
    params = {"num_leaves": 4, "learning_rate": 0.05, "num_threads": 1, "verbose": -1,
              "metric": "None"}  # fmt: skip
    train_set = lgb.Dataset(X, y, params=params).construct()
    chosen = {**params, "objective": "binary" if given is None else given}
    return lambda rounds, log: lgb.train(
        chosen, train_set, rounds, callbacks=[lambda _: log.step()] if log else None
    )


def _classifier(engine: str, arm: str) -> Callable[[], Any]:
    X, y = _data()
    if engine == "XGBoost":
        params = {"max_depth": 2, "n_jobs": 1, "n_estimators": ROUNDS_OF_A_FIT}
        kind, parent = bl.ImbalancedXGBClassifier, xgb.XGBClassifier
    else:
        params = {"num_leaves": 4, "n_jobs": 1, "n_estimators": ROUNDS_OF_A_FIT, "verbose": -1}
        kind, parent = bl.ImbalancedLGBMClassifier, lgb.LGBMClassifier
    if arm == "built-in":
        return lambda: parent(**params).fit(X, y).predict_proba(X)
    given = _objective(arm)
    return lambda: (
        kind(loss=given.loss, **params).fit(X, y, recorder=given.recorder).predict_proba(X)
    )


def rounds_of(engine: str, arm: str, n_rounds: int) -> dict[str, float]:
    """Measure one training of many rounds."""
    train, log = _trainer(engine, _objective(arm)), _Log()
    train(n_rounds, log)
    return log.summary(warm=n_rounds // 100)


def fits_of(engine: str, arm: str, n_fits: int) -> dict[str, float]:
    """Measure many calls of the engine's ``train`` with one objective."""
    train = _trainer(engine, _objective(arm))
    return _many(lambda: train(ROUNDS_OF_A_FIT, None), n_fits)


def classifiers_of(engine: str, arm: str, n_fits: int) -> dict[str, float]:
    """Measure many fits and predictions of new classifiers."""
    return _many(_classifier(engine, arm), n_fits)


def _many(fit: Callable[[], Any], n_fits: int) -> dict[str, float]:
    log = _Log()
    for _ in range(n_fits):
        fit()
        log.step()
    return log.summary(warm=n_fits // 20)


def kept_of(engine: str, arm: str, n_fits: int) -> dict[str, float]:
    """Do as :func:`fits_of`, and keep every model."""
    train, models = _trainer(engine, _objective(arm)), []
    return _many(lambda: models.append(train(ROUNDS_OF_A_FIT, None)), n_fits)


KINDS = {
    "rounds of one training": rounds_of,
    "trainings": fits_of,
    "trainings, models kept": kept_of,
    "classifiers": classifiers_of,
}


def long_runs(n_rounds: int, n_fits: int, arms: tuple[str, ...] = ARMS) -> str:
    """Return a table of all kinds, engines and methods (Linux only)."""
    if not Path("/proc/self/statm").exists():
        return "not measured: the system has no /proc\n"
    rows = []
    for kind in KINDS:
        count = n_rounds if kind.startswith("rounds") else n_fits
        for engine in ("XGBoost", "LightGBM"):
            for arm in arms:
                command = [sys.executable, "-W", "ignore", "-m", "benchmarks.endurance", "--one"]
                done = subprocess.run([*command, kind, engine, arm, str(count)], check=True,
                                      capture_output=True, text=True)  # fmt: skip
                got = json.loads(done.stdout.splitlines()[-1])
                memory = " / ".join(f"{got[name]:.1f}" for name in ("start", "middle", "end"))
                rows.append([f"{count:,} {kind}", engine, arm, memory,
                             f"{got['end'] - got['start']:+.1f}", got["first"], got["last"],
                             got["last"] / got["first"]])  # fmt: skip
    return table(
        ["", "engine", "objective", "MiB at start / middle / end", "growth, MiB",
         "ms each, first tenth", "last tenth", "last / first"], rows
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Print the table and write it to a directory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        kind, engine, arm, count = options.one
        gc.collect()
        print(json.dumps(KINDS[kind](engine, arm, int(count))))
        return
    text = long_runs(100, 20, ARMS[:2] + ARMS[-1:]) if options.quick else long_runs(10_000, 1_000)
    options.output.mkdir(parents=True, exist_ok=True)
    print(text)
    (options.output / "endurance.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
