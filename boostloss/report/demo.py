"""The main job: five losses on two engines, on flights that were or were not cancelled."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from boostloss import CrossEntropy, FocalLoss, GHMLoss, plot
from boostloss.losses import Loss
from boostloss.losses._validation import Array
from boostloss.optional import require
from boostloss.report import flights
from boostloss.report.scores import Threshold

ROUNDS, PATIENCE, LEARNING_RATE = 500, 60, 0.03

LOSSES: dict[str, Loss | None] = {
    "built-in": None,
    "balanced CE": CrossEntropy(class_weight="balanced"),
    "focal γ=2": FocalLoss(gamma=2),
    "GHM": GHMLoss(),
    "GHM as published": GHMLoss(density="bins"),
}


@dataclass
class Result:
    """One trained model, its predictions and figures on the test set."""

    engine: str
    loss: str
    booster: Any
    link: Array
    posterior: Array
    threshold: float
    trees: int
    seconds: float

    def row(self, y: Array) -> list[str]:
        """The line of the table."""
        figures = [
            average_precision_score(y, self.posterior),
            roc_auc_score(y, self.posterior),
            log_loss(y, self.link),
            log_loss(y, self.posterior),
            f1_score(y, self.posterior >= self.threshold),
        ]
        return [self.engine, self.loss, *[f"{figure:.4f}" for figure in figures],
                str(self.trees), f"{self.seconds:.1f}"]  # fmt: skip


HEADER = ["engine", "loss", "AP", "ROC AUC", "log loss σ", "log loss post.", "F1", "trees", "s"]


def run(output: Path) -> list[Result]:
    """Train, print the table, write picture and model, read the model with the engine alone."""
    tqdm = require("tqdm.auto", "report").tqdm
    output.mkdir(parents=True, exist_ok=True)
    split = flights.load()
    y = split.test[1]
    sizes = ", ".join(f"{len(part[1]):,}" for part in split)
    print(f"NYC flights: {sizes} rows to train, validate, test; {y.mean():.2%} of test cancelled")
    arms = [(f, name, loss) for f in (_xgboost, _lightgbm) for name, loss in LOSSES.items()]
    results = []
    with tqdm(arms, unit="model") as progress:
        for fit, name, loss in progress:
            progress.set_postfix_str(f"{fit.__name__[1:]}, {name}")
            results.append(fit(name, loss, split))
    _print_table([HEADER, *[result.row(y) for result in results]])
    _picture(results, y, output / "flights.png")
    best = max(results, key=lambda result: average_precision_score(y, result.posterior))
    _save_and_read_back(best, split, output)
    return results


def _xgboost(name: str, loss: Loss | None, split: flights.Split) -> Result:
    xgb, bx = require("xgboost", "xgboost"), require("boostloss.xgboost", "xgboost")
    train, valid, test = (xgb.DMatrix(X, y, enable_categorical=True) for X, y in split)
    params = {"tree_method": "hist", "max_depth": 6, "eta": LEARNING_RATE, "eval_metric": "aucpr",
              "objective": "binary:logistic", "seed": 0}  # fmt: skip
    keywords = {"evals": [(valid, "valid")], "early_stopping_rounds": PATIENCE,
                "verbose_eval": False}  # fmt: skip
    start = time.perf_counter()
    if loss is None:
        booster = xgb.train(params, train, ROUNDS, **keywords)
    else:
        booster = bx.train(params, train, ROUNDS, loss=loss, **keywords)
    seconds = time.perf_counter() - start
    last = (0, booster.best_iteration + 1)
    raw = [booster.predict(d, output_margin=True, iteration_range=last)
           for d in (train, valid, test)]  # fmt: skip
    link = booster.predict(test, iteration_range=last)
    return _result("XGBoost", name, booster, loss, split, raw, link, last[1], seconds)


def _lightgbm(name: str, loss: Loss | None, split: flights.Split) -> Result:
    lgb, bg = require("lightgbm", "lightgbm"), require("boostloss.lightgbm", "lightgbm")
    train = lgb.Dataset(*split.train)
    valid = lgb.Dataset(*split.valid, reference=train)
    params = {"num_leaves": 63, "learning_rate": LEARNING_RATE, "min_sum_hessian_in_leaf": 1.0,
              "metric": "average_precision", "verbose": -1, "seed": 0}  # fmt: skip
    keywords = {"valid_sets": [valid],
                "callbacks": [lgb.early_stopping(PATIENCE, verbose=False)]}  # fmt: skip
    start = time.perf_counter()
    if loss is None:
        booster = lgb.train({**params, "objective": "binary"}, train, ROUNDS, **keywords)
    else:
        booster = bg.train(params, train, ROUNDS, loss=loss, **keywords)
    seconds = time.perf_counter() - start
    raw = [booster.predict(X, raw_score=True) for X, _ in split]
    link = booster.predict(split.test[0])
    return _result("LightGBM", name, booster, loss, split, raw, link, booster.best_iteration,
                   seconds)  # fmt: skip


def _result(
    engine: str, name: str, booster: Any, loss: Loss | None, split: flights.Split,
    raw: list[Array], link: Array, trees: int, seconds: float,
) -> Result:  # fmt: skip
    frozen = (loss or CrossEntropy()).frozen(split.train[1], raw[0])
    valid, test = (frozen.posterior(z) for z in raw[1:])
    threshold = Threshold(split.valid[1].astype(int), valid).number
    return Result(engine, name, booster, link, test, threshold, trees, seconds)


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        print("  ".join(cells))


def _picture(results: list[Result], y: Array, path: Path) -> None:
    figure_class = require("matplotlib.figure", "report").Figure
    figure = figure_class(figsize=(16, 4.8), layout="constrained")
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
    print(f"picture: {path}")


def _save_and_read_back(best: Result, split: flights.Split, output: Path) -> None:
    X = split.test[0]
    if best.engine == "XGBoost":
        xgb = require("xgboost", "xgboost")
        path = output / "model.json"
        best.booster[: best.trees].save_model(path)
        read = xgb.Booster(model_file=path).predict(xgb.DMatrix(X, enable_categorical=True))
    else:
        lgb = require("lightgbm", "lightgbm")
        path = output / "model.txt"
        best.booster.save_model(path)
        read = lgb.Booster(model_file=str(path)).predict(X)
    difference = float(np.abs(read - best.link).max())
    print(f"best by AP: {best.engine}, {best.loss}; saved to {path}")
    print(f"read by {best.engine} alone, probabilities differ by at most {difference:.1e}")
    if difference > 1e-6:
        raise RuntimeError(f"the saved model gives other probabilities (by {difference:.1e})")
