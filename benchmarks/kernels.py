"""Time gradient and Hessian of one round with validation: by rows, threads, and vs. ``np.exp``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import ratios, seconds, table
from boostloss import CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import TrainingRun

LOSSES = {
    "cross-entropy": (CrossEntropy(), False, 3.5),
    "focal γ=2": (FocalLoss(2), False, 3.5),
    "focal γ=2.5": (FocalLoss(2.5), False, 5.0),
    "focal γ=2, sample weights": (FocalLoss(2), True, 5.0),
    "GHM": (GHMLoss(), False, 6.0),
    "GHM, bins": (GHMLoss(density="bins"), False, 6.0),
    "GHM, window": (GHMLoss(density="window"), False, 25.0),
}


class Data:
    """Ordinary and saturated scores (float32, as XGBoost passes them) with 5% positives."""

    def __init__(self, n_rows: int, n_classes: int = 1) -> None:
        rng = np.random.default_rng(0)
        shape: Any = n_rows if n_classes == 1 else (n_rows, n_classes)
        self.raw = rng.normal(-2 if n_classes == 1 else 0, 2, shape).astype(np.float32)
        self.saturated = rng.uniform(-700, 700, shape).astype(np.float32)
        labels = rng.random(n_rows) < 0.05 if n_classes == 1 else rng.integers(0, n_classes, n_rows)
        self.y = labels.astype(np.float32)
        self.weight = rng.random(n_rows).astype(np.float32)

    def call(self, loss: Any, raw: Any, weighted: bool = False, n_threads: int = 1) -> Any:
        """Call a round of one training run, which keeps its state between rounds."""
        weight, run = self.weight if weighted else None, TrainingRun(n_threads=n_threads)

        def call() -> None:
            loss.gradient_hessian(self.y, raw, weight, run=run)

        return call


def against_exp(n_rows: int, repeats: int) -> str:
    """Compare with ``np.exp`` in one thread. The ratio for softmax is per element of the matrix."""
    rows = []
    data = Data(n_rows)
    for name, (loss, weighted, bound) in LOSSES.items():
        rows.append([name, *_exp_row(data, loss, weighted, repeats), bound])
    softmax = Data(n_rows, 5)
    rows.append(["softmax focal, K=5", *_exp_row(softmax, FocalLoss(2), False, repeats), 5.0])
    header = ["float32 scores", "× np.exp", "saturated / ordinary", "bound"]
    return table(header, rows)


def _exp_row(data: Data, loss: Any, weighted: bool, repeats: int) -> list[float]:
    exp = {"exp": lambda: np.exp(data.raw)}
    ordinary = ratios({**exp, "loss": data.call(loss, data.raw, weighted)}, repeats)["loss"]
    pair = {"ordinary": data.call(loss, data.raw, weighted),
            "saturated": data.call(loss, data.saturated, weighted)}  # fmt: skip
    return [ordinary, ratios(pair, repeats)["saturated"]]


def by_rows(sizes: list[int], repeats: int, picture: Path | None) -> str:
    """Measure nanoseconds per row for several sizes, and the gain of a second thread."""
    rows, curves = [], {}
    for name in ("cross-entropy", "focal γ=2", "GHM", "GHM, bins", "GHM, window"):
        loss = LOSSES[name][0]
        per_row, speedup = [], []
        for n_rows in sizes:
            data = Data(n_rows)
            one, two = (data.call(loss, data.raw, n_threads=k) for k in (1, 2))
            two()
            times = np.array([[seconds(one), seconds(two)] for _ in range(repeats)])
            per_row.append(float(np.median(times[:, 0])) / n_rows * 1e9)
            speedup.append(float(np.median(times[:, 0] / times[:, 1])))
        curves[name] = per_row
        rows.append([name, "ns per row", *per_row])
        rows.append(["", "1 thread / 2", *speedup])
    if picture is not None:
        _plot(sizes, curves, picture)
    return table(["", "", *[f"{n:,} rows" for n in sizes]], rows)


def _plot(sizes: list[int], curves: dict[str, list[float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, per_row in curves.items():
        milliseconds = [n * t / 1e6 for n, t in zip(sizes, per_row, strict=True)]
        axes.loglog(sizes, milliseconds, marker="o", label=name)
    axes.set(xlabel="rows", ylabel="milliseconds for a round, one thread")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


PEAK = """
import ctypes, gc, sys
from benchmarks.kernels import Data, LOSSES, FocalLoss
name, n_rows = sys.argv[1], int(sys.argv[2])
loss, weighted = (FocalLoss(2), False) if name == "softmax" else LOSSES[name][:2]
classes = 5 if name == "softmax" else 1
small, data = Data(10_000, classes), Data(n_rows, classes)
small.call(loss, small.raw, weighted)()
def bytes_of(name):
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith(name)).split()[1]) * 1024
gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # freed memory must not be used again unseen
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")  # the peak so far becomes what is held now
before = bytes_of("VmRSS")
data.call(loss, data.raw, weighted)()
outputs = 2 * data.raw.nbytes
print((bytes_of("VmHWM") - before - outputs) / outputs)
"""


def memory(n_rows: int) -> str:
    """Measure the peak memory beyond the two outputs, relative to them (Linux only)."""
    if not Path("/proc/self/clear_refs").exists():
        return "not measured: the system has no /proc\n"
    rows = []
    for name in [*LOSSES, "softmax"]:
        command = [sys.executable, "-c", PEAK, name, str(n_rows)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append([name, f"{float(output):.1%}"])
    return table(["", "peak beyond the outputs, share of them"], rows)
