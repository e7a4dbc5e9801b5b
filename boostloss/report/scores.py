"""Metrics of one set of predictions, and what they say of the losses compared on the same folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import t as student
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
)

from boostloss.losses import Loss
from boostloss.losses.validation import Array
from boostloss.optional import require

if TYPE_CHECKING:
    from boostloss.report.folds import Split
    from boostloss.report.table import Table
    from boostloss.report.training import Rows, Settings

BUILT_IN = "built-in"
CONFIDENCE = 0.95
MIN_PROBABILITY = 1e-15
"""Smaller probabilities count as this one in the log loss, which stays finite."""


def average_precision(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Of the positives; of several classes the mean of each against the rest."""
    return _mean_over_classes(average_precision_score, y, probability, weight)


def roc_auc(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Of the positives; of several classes the mean of each against the rest."""
    return _mean_over_classes(roc_auc_score, y, probability, weight)


def _mean_over_classes(
    score: Callable[..., Any], y: Array, probability: Array, weight: Array | None
) -> float:
    if probability.ndim == 1:
        return float(score(y, probability, sample_weight=weight))
    # a class that these rows lack has no score
    present = np.unique(y)
    of_class = [score(y == k, probability[:, k], sample_weight=weight) for k in present]
    return float(np.mean(of_class))


def log_loss(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Mean in nats."""
    of_true_class = (
        np.where(y == 1, probability, 1.0 - probability)
        if probability.ndim == 1
        else probability[np.arange(len(y)), y]
    )
    return float(np.average(-np.log(np.maximum(of_true_class, MIN_PROBABILITY)), weights=weight))


def brier(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Mean squared error of the probabilities, (1/2) sum over the classes."""
    if probability.ndim == 1:
        return float(np.average((probability - y) ** 2, weights=weight))
    squares = ((probability - np.eye(probability.shape[1])[y]) ** 2).sum(axis=1) / 2
    return float(np.average(squares, weights=weight))


def f1(y: Array, decision: Array, n_classes: int, weight: Array | None = None) -> float:
    """Of the positives; of several classes the mean."""
    average = "binary" if n_classes == 2 else "macro"
    return float(f1_score(y, decision, average=average, zero_division=0.0, sample_weight=weight))


METRICS = {
    "average_precision": average_precision,
    "roc_auc": roc_auc,
    "log_loss": log_loss,
    "brier": brier,
}
"""Metrics of probabilities, any of which may stop the training and decide."""

TITLES = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "f1": "F1, tuned",
    "seconds": "seconds",
}
"""All results of a fold; F1 is that of a threshold tuned on the rows that stopped the training."""

COST = "cost per row"
"""Title of the result that is there if costs are given: of decisions with the least expected
cost."""

SMALLER_IS_BETTER = ("log_loss", "brier", "seconds", "cost")


def sign(metric: str) -> int:
    """1 where larger is better, -1 where smaller is."""
    return -1 if metric in SMALLER_IS_BETTER else 1


class Threshold:
    """A decision tuned for F1: a threshold; of several classes ``argmax P_k / share_k**power``."""

    def __init__(self, y: Array, probability: Array, weight: Array | None = None) -> None:
        counts = np.bincount(y, weights=weight)
        self.shares = counts / counts.sum()
        if probability.ndim == 1:
            precision, recall, thresholds = precision_recall_curve(
                y, probability, sample_weight=weight
            )
            f1s = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
            self.number = float(thresholds[np.argmax(f1s[:-1])])
            return
        powers = (0.0, 0.25, 0.5, 0.75, 1.0)
        n_classes = probability.shape[1]
        f1s = [f1(y, self._argmax(probability, power), n_classes, weight) for power in powers]
        self.number = powers[int(np.argmax(f1s))]

    def decide(self, probability: Array) -> Array:
        """Classes of other rows."""
        if probability.ndim == 2:
            return self._argmax(probability, self.number)
        decision: Array = (probability >= self.number).astype(int)
        return decision

    def _argmax(self, probability: Array, power: float) -> Array:
        decision: Array = (probability / self.shares**power).argmax(axis=1)
        return decision


class Difference(NamedTuple):
    """Mean difference to the built-in loss on the same folds, and half of its 95% interval."""

    mean: float
    half_interval: float

    @property
    def is_significant(self) -> bool:
        """Whether 0 lies outside the interval; False on a single fold, which has none."""
        return abs(self.mean) > self.half_interval

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.half_interval:.4f}"


@dataclass
class Comparison:
    """What a comparison found, loss by loss; losses that were not finished are missing."""

    settings: Settings
    labels: Array
    losses: dict[str, Loss | None]
    rows: Rows
    """All rows; their codes are places in ``labels``, which are sorted."""

    data: Table
    """What was compared on, and how it was read."""

    test_over_train: float
    """Test rows over training rows, the mean of the folds."""

    command: list[str] = field(default_factory=list)
    """The command line, where one was given."""

    n_models: int = 0
    """Models that were to be trained."""

    description: list[str] = field(default_factory=list)
    """The same in lines, with the classes."""

    folds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """Results of each loss, fold by fold."""

    held_out: dict[str, list[tuple[Array, Array]]] = field(default_factory=dict)
    """Codes and probabilities of each fold's test rows."""

    decided: dict[str, list[tuple[Array, float]]] = field(default_factory=dict)
    """Decisions on each fold's test rows, and the number that was tuned for them."""

    splits: list[Split] = field(default_factory=list)
    """Rows of each fold."""

    costs: Array | None = None
    """Cost matrix in the order of ``labels_as_judged``, if costs are given."""

    order: str = ""
    """What is kept together or in order, in words."""

    @property
    def positive(self) -> Any:
        """Label of the class that metrics of two classes are about; None of several."""
        return self.labels[self.rows.positive] if len(self.labels) == 2 else None

    @property
    def _other_in_file(self) -> str:
        if self.rows.positive == 1:
            return ""
        return f" (the model's raw scores are for {self.labels[1]}, the last of the sorted labels)"

    @property
    def titles(self) -> dict[str, str]:
        """Titles of all results."""
        return TITLES if self.costs is None else {**TITLES, "cost": COST}

    @property
    def n_folds(self) -> int:
        """Folds that all losses have finished; one if the first is not yet."""
        return max(1, min(len(self.folds.get(name, [])) for name in self.losses))

    @property
    def finished(self) -> list[str]:
        """Names of the losses with a result on every one of ``n_folds``."""
        return [name for name in self.losses if len(self.folds.get(name, [])) >= self.n_folds]

    @property
    def challengers(self) -> list[str]:
        """Those of them that are not the built-in loss."""
        return [name for name in self.finished if name != BUILT_IN]

    @property
    def significantly_better(self) -> list[str]:
        """Those of them that beat the built-in loss by the metric that decides."""
        metric = self.settings.metric
        differences = {name: self.difference(name, metric) for name in self.challengers}
        return [
            name
            for name, difference in differences.items()
            if difference.is_significant and sign(metric) * difference.mean > 0
        ]

    @property
    def interrupted(self) -> str:
        """What is missing after Ctrl-C, in words; empty if nothing is."""
        done = sum(len(results) for results in self.folds.values())
        if done >= self.n_models:
            return ""
        missing = [name for name in self.losses if name not in self.finished]
        text = (
            f"Interrupted after {done} of {self.n_models} models: {self.n_folds} fold(s) compared"
        )
        return text + (f"; not compared: {', '.join(missing)}." if missing else ".")

    @property
    def best(self) -> str:
        """The best mean; the built-in loss where no other one is significantly better."""
        if BUILT_IN in self.finished and not self.significantly_better:
            return BUILT_IN
        return self.best_mean(self.settings.metric, self.significantly_better or self.finished)

    def best_mean(self, metric: str, names: list[str]) -> str:
        """Of these losses the one whose mean is best."""
        return max(names, key=lambda name: sign(metric) * self.values(name, metric).mean())

    def clearly_best(self, metric: str) -> str | None:
        """The loss of the best mean if it is significantly better than the built-in one."""
        if BUILT_IN not in self.finished or len(self.finished) < 2:
            return None
        name = self.best_mean(metric, self.finished)
        return name if name != BUILT_IN and self.difference(name, metric).is_significant else None

    def values(self, name: str, metric: str) -> Array:
        """A metric of one loss on each fold."""
        return np.array([results[metric] for results in self.folds[name][: self.n_folds]])

    def predictions(self, name: str) -> tuple[Array, Array]:
        """Codes and one loss's probabilities of all test rows."""
        y, p = zip(*self.held_out[name][: self.n_folds], strict=True)
        return np.concatenate(y), np.concatenate(p)

    def decisions(self, name: str) -> tuple[Array, Array]:
        """Codes and one loss's decisions of all test rows."""
        decided = [decision for decision, _ in self.decided[name][: self.n_folds]]
        return self.predictions(name)[0], np.concatenate(decided)

    def thresholds(self, name: str) -> list[float]:
        """The number tuned in each fold: a threshold, or of several classes a power."""
        return [number for _, number in self.decided[name][: self.n_folds]]

    @property
    def labels_as_judged(self) -> list[Any]:
        """Labels by the codes of predictions: of two classes the positive one is last."""
        labels: list[Any] = self.labels.tolist()
        return labels[::-1] if self.positive is not None and self.rows.positive == 0 else labels

    def difference(self, name: str, metric: str) -> Difference:
        """Compare one loss with the built-in one on the same folds.

        Training sets of different folds overlap, for which the variance is corrected [1]_.

        References
        ----------
        .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52,
           2003, section 3.
        """
        paired = self.values(name, metric) - self.values(BUILT_IN, metric)
        n = len(paired)
        if n < 2:
            return Difference(float(paired.mean()), float("nan"))
        error = float(np.sqrt(paired.var(ddof=1) * (1 / n + self.test_over_train)))
        quantile = float(student.ppf((1 + CONFIDENCE) / 2, n - 1))
        return Difference(float(paired.mean()), quantile * error)

    def frame(self) -> Any:
        """One row for each loss: mean, spread and difference to the built-in of each metric."""
        pd = require("pandas", "report")
        table = []
        for name in self.finished:
            row: dict[str, Any] = {"loss": name}
            for metric in self.titles:
                values = self.values(name, metric)
                row[metric] = values.mean()
                row[f"{metric}_sd"] = values.std(ddof=1) if len(values) > 1 else float("nan")
                if BUILT_IN in self.finished:
                    difference = self.difference(name, metric)
                    row[f"{metric}_difference"] = difference.mean
                    row[f"{metric}_interval"] = difference.half_interval
            row["rounds"] = self.values(name, "rounds").mean()
            table.append(row)
        frame = pd.DataFrame(table).set_index("loss")
        frame.attrs["sentences"] = self.sentences()
        frame.attrs["data"] = self.description
        return frame

    def sentences(self) -> list[str]:
        """What the results say, in words."""
        said = [self.interrupted] if self.interrupted else []
        if len(self.labels) == 2:
            said.append(f"Positive class: {self.positive}{self._other_in_file}.")
        if BUILT_IN not in self.finished or len(self.finished) < 2:
            return [*said, "Nothing was compared with the built-in loss."]
        said += [self._sentence(name) for name in self.challengers]
        if self.n_folds < 2:
            return said
        title = TITLES[self.settings.metric]
        if self.significantly_better:
            return [*said, f"Best by {title}: {self.best}."]
        return [
            *said,
            f"No loss is significantly better than the built-in one by {title}. "
            "Keep the built-in loss.",
        ]

    def _sentence(self, name: str) -> str:
        metric = self.settings.metric
        difference, title = self.difference(name, metric), TITLES[metric]
        if np.isnan(difference.half_interval):
            return f"{name}: {title} {difference.mean:+.4f} on a single fold, which says little."
        size = f"by {abs(difference.mean):.4f} ± {difference.half_interval:.4f}"
        if not difference.is_significant:
            text = f"{name} makes no clear difference to {title} ({difference})"
        elif sign(metric) * difference.mean > 0:
            text = f"{name} improves {title} {size}"
        else:
            text = f"{name} makes {title} worse {size}"
        probabilities = self.difference(name, "log_loss")
        if metric not in ("log_loss", "brier") and probabilities.is_significant:
            kind = "worse" if probabilities.mean > 0 else "better"
            text += f". Its probabilities are {kind} (log loss {probabilities})"
        return text + "."
