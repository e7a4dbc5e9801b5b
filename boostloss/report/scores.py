"""Compute metrics of predictions, and compare losses by them on the same folds."""

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
"""Smaller probabilities are clipped to this in the log loss, which stays finite."""


def average_precision(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Compute average precision, or its mean of each class against the rest."""
    return _mean_over_classes(average_precision_score, y, probability, weight)


def roc_auc(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Compute the area under the ROC curve, or its mean of each class against the rest."""
    return _mean_over_classes(roc_auc_score, y, probability, weight)


def _mean_over_classes(
    score: Callable[..., Any], y: Array, probability: Array, weight: Array | None
) -> float:
    if probability.ndim == 1:
        return float(score(y, probability, sample_weight=weight))
    # a class that is absent from these rows has no score
    present = np.unique(y)
    of_class = [score(y == k, probability[:, k], sample_weight=weight) for k in present]
    return float(np.mean(of_class))


def log_loss(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Compute the mean log loss, in nats."""
    of_true_class = (
        np.where(y == 1, probability, 1.0 - probability)
        if probability.ndim == 1
        else probability[np.arange(len(y)), y]
    )
    return float(np.average(-np.log(np.maximum(of_true_class, MIN_PROBABILITY)), weights=weight))


def brier(y: Array, probability: Array, weight: Array | None = None) -> float:
    """Compute the mean squared error of the probabilities, as 1/2 of the sum over the classes."""
    if probability.ndim == 1:
        return float(np.average((probability - y) ** 2, weights=weight))
    squares = ((probability - np.eye(probability.shape[1])[y]) ** 2).sum(axis=1) / 2
    return float(np.average(squares, weights=weight))


def f1(y: Array, decision: Array, n_classes: int, weight: Array | None = None) -> float:
    """Compute F1 of the positives, or the mean F1 of several classes."""
    average = "binary" if n_classes == 2 else "macro"
    return float(f1_score(y, decision, average=average, zero_division=0.0, sample_weight=weight))


METRICS = {
    "average_precision": average_precision,
    "roc_auc": roc_auc,
    "log_loss": log_loss,
    "brier": brier,
}
"""Metrics of probabilities. Any of them may stop the training and choose the best loss."""

TITLES = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "f1": "F1, tuned",
    "seconds": "seconds",
}
"""All results of a fold. The threshold for F1 is tuned on the rows that stop the training."""

COST = "cost per row"
"""Title of the cost of decisions with the lowest expected cost. It is reported if costs are
given."""

SMALLER_IS_BETTER = ("log_loss", "brier", "seconds", "cost")


def sign(metric: str) -> int:
    """Return 1 if larger is better, -1 if smaller is better."""
    return -1 if metric in SMALLER_IS_BETTER else 1


class Threshold:
    """A decision tuned for F1: a threshold, or ``argmax P_k / share_k**power`` if K > 2."""

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
        """Return the decided classes of other rows."""
        if probability.ndim == 2:
            return self._argmax(probability, self.number)
        decision: Array = (probability >= self.number).astype(int)
        return decision

    def _argmax(self, probability: Array, power: float) -> Array:
        decision: Array = (probability / self.shares**power).argmax(axis=1)
        return decision


class Difference(NamedTuple):
    """Mean difference from the built-in loss on the same folds, and half of its 95% interval."""

    mean: float
    half_interval: float

    @property
    def is_significant(self) -> bool:
        """Whether 0 is outside the interval. It is False for a single fold, without an interval."""
        return abs(self.mean) > self.half_interval

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.half_interval:.4f}"


@dataclass
class Comparison:
    """Results of a comparison for each loss. Unfinished losses are missing."""

    settings: Settings
    labels: Array
    losses: dict[str, Loss | None]
    rows: Rows
    """All rows. Their codes are indices of the sorted ``labels``."""

    data: Table
    """The data, and how they were read."""

    test_over_train: float
    """Ratio of test rows to training rows, as the mean over the folds."""

    command: list[str] = field(default_factory=list)
    """The command line, if there was one."""

    n_models: int = 0
    """Number of models to train."""

    description: list[str] = field(default_factory=list)
    """Lines that describe the data and the classes."""

    folds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """Results of each loss, fold by fold."""

    held_out: dict[str, list[tuple[Array, Array]]] = field(default_factory=dict)
    """Codes and probabilities of each fold's test rows."""

    decided: dict[str, list[tuple[Array, float]]] = field(default_factory=dict)
    """Decisions on each fold's test rows, and the tuned number."""

    splits: list[Split] = field(default_factory=list)
    """Rows of each fold."""

    costs: Array | None = None
    """Cost matrix in the order of ``labels_as_judged``, or None."""

    order: str = ""
    """Description of groups or time order."""

    @property
    def positive(self) -> Any:
        """Label of the positive class, or None for several classes."""
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
        """Number of folds that all losses have finished, at least 1."""
        return max(1, min(len(self.folds.get(name, [])) for name in self.losses))

    @property
    def finished(self) -> list[str]:
        """Names of the losses with a result on each of the ``n_folds`` folds."""
        return [name for name in self.losses if len(self.folds.get(name, [])) >= self.n_folds]

    @property
    def challengers(self) -> list[str]:
        """Names of the finished losses other than the built-in one."""
        return [name for name in self.finished if name != BUILT_IN]

    @property
    def significantly_better(self) -> list[str]:
        """Names of the losses that are significantly better than the built-in one."""
        metric = self.settings.metric
        differences = {name: self.difference(name, metric) for name in self.challengers}
        return [
            name
            for name, difference in differences.items()
            if difference.is_significant and sign(metric) * difference.mean > 0
        ]

    @property
    def interrupted(self) -> str:
        """Description of what is missing after Ctrl-C, or an empty string."""
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
        """Name of the best loss: the built-in one unless another is significantly better."""
        if BUILT_IN in self.finished and not self.significantly_better:
            return BUILT_IN
        return self.best_mean(self.settings.metric, self.significantly_better or self.finished)

    def best_mean(self, metric: str, names: list[str]) -> str:
        """Return the one of these losses with the best mean."""
        return max(names, key=lambda name: sign(metric) * self.values(name, metric).mean())

    def clearly_best(self, metric: str) -> str | None:
        """Return the loss with the best mean if it significantly beats the built-in one."""
        if BUILT_IN not in self.finished or len(self.finished) < 2:
            return None
        name = self.best_mean(metric, self.finished)
        return name if name != BUILT_IN and self.difference(name, metric).is_significant else None

    def values(self, name: str, metric: str) -> Array:
        """Return a metric of one loss on each fold."""
        return np.array([results[metric] for results in self.folds[name][: self.n_folds]])

    def predictions(self, name: str) -> tuple[Array, Array]:
        """Return codes and one loss's probabilities of all test rows."""
        y, p = zip(*self.held_out[name][: self.n_folds], strict=True)
        return np.concatenate(y), np.concatenate(p)

    def decisions(self, name: str) -> tuple[Array, Array]:
        """Return codes and one loss's decisions of all test rows."""
        decided = [decision for decision, _ in self.decided[name][: self.n_folds]]
        return self.predictions(name)[0], np.concatenate(decided)

    def thresholds(self, name: str) -> list[float]:
        """Return the number tuned in each fold: a threshold, or a power for several classes."""
        return [number for _, number in self.decided[name][: self.n_folds]]

    @property
    def labels_as_judged(self) -> list[Any]:
        """Labels in the order of predictions' codes. Of two classes the positive one is last."""
        labels: list[Any] = self.labels.tolist()
        return labels[::-1] if self.positive is not None and self.rows.positive == 0 else labels

    def difference(self, name: str, metric: str) -> Difference:
        """Compare one loss with the built-in one on the same folds.

        The variance is corrected for the overlap of the folds' training sets [1]_.

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
        """Return one row for each loss: mean, spread and difference from the built-in by metric."""
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
        """Return sentences that summarize the results."""
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
