"""Tables on one loss's probabilities of the test rows: calibration, alerts, decisions."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from boostloss.losses.validation import Array
from boostloss.report.record import Section
from boostloss.report.scores import CONFIDENCE, Comparison

EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Of the groups of calibration, as shares of the rows; finer where a rare class is."""

ALERT_SHARES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def sections(comparison: Comparison, y: Array, probability: Array, of_class: str) -> list[Section]:
    """Calibration, alerts over the threshold and confusion matrix of the best loss.

    Parameters
    ----------
    comparison : Comparison
    y : array of shape (n,)
        1 for rows of the class in question, else 0.
    probability : array of shape (n,)
        That of the class.
    of_class : str
        Its label.
    """
    found = [
        calibration(y, probability, of_class),
        alerts(y, probability, of_class),
        confusion(comparison),
    ]
    return [one._replace(note=f"Loss: {comparison.best}. {one.note}") for one in found]


def calibration(y: Array, probability: Array, of_class: str) -> Section:
    """Predicted and observed shares of groups of rows, from the least probable to the most."""
    places = np.rint(np.array(EDGES[1:-1]) * len(y)).astype(int)
    groups = np.split(np.argsort(probability, kind="stable"), places)
    rows = []
    for group in filter(len, groups):
        found, n = int(y[group].sum()), len(group)
        interval = binomtest(found, n).proportion_ci(CONFIDENCE, "wilson")
        rows.append((
            f"{probability[group].min():.4f} to {probability[group].max():.4f}", f"{n:,}",
            f"{probability[group].mean():.4f}", f"{found / n:.4f}",
            f"{interval.low:.4f} to {interval.high:.4f}",
        ))  # fmt: skip
    note = (f"Test rows in groups by their probability of {of_class}. A mean outside the 95% "
            "interval (Wilson's) of the observed share is one that is not calibrated.")  # fmt: skip
    columns = ("probability", "rows", "mean probability", "observed share", "95% interval")
    return Section("Calibration", note, columns, rows)


def alerts(y: Array, probability: Array, of_class: str) -> Section:
    """What is found if the rows of highest probability are looked at."""
    order = np.argsort(-probability, kind="stable")
    found = np.cumsum(y[order])
    rows = []
    for n in sorted({max(1, round(share * len(y))) for share in ALERT_SHARES}):
        hits = int(found[n - 1])
        rows.append((
            f"{probability[order[n - 1]]:.4f}", f"{n:,} ({n / len(y):.1%})", f"{hits:,}",
            f"{hits / n:.1%}", f"{hits / max(1, y.sum()):.1%}",
        ))  # fmt: skip
    note = f"If the test rows most likely to be {of_class} are looked at."
    columns = ("threshold", "alerts", "found", "precision", "recall")
    return Section("Alerts over the threshold", note, columns, rows)


def confusion(comparison: Comparison) -> Section:
    """Labels over decisions on the test rows of all folds."""
    y, decision = comparison.decisions(comparison.best)
    labels = [str(label) for label in comparison.labels_as_judged]
    counts = confusion_matrix(y, decision, labels=range(len(labels)))
    rows = [
        (label, *(f"{n:,}" for n in row), f"{row[k] / max(1, row.sum()):.1%}")
        for k, (label, row) in enumerate(zip(labels, counts, strict=True))
    ]
    thresholds = ", ".join(f"{number:.4g}" for number in comparison.thresholds(comparison.best))
    what = "Thresholds" if len(labels) == 2 else "Powers of the class shares"
    note = (f"Rows are true classes, columns decisions. {what} tuned for F1 on the rows that stop "
            f"the training, fold by fold: {thresholds}.")  # fmt: skip
    columns = ("true class", *(f"decided {label}" for label in labels), "correct")
    return Section("Confusion matrix at the decision that F1 chooses", note, columns, rows)
