"""Make tables of one loss's predictions on the test rows: calibration, alerts, decisions."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix

from boostloss.calibration import calibration_groups
from boostloss.decide import decide, observed_cost
from boostloss.losses.validation import Array
from boostloss.report.record import Section, costs_in_words
from boostloss.report.scores import Comparison

ALERT_SHARES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def sections(comparison: Comparison, y: Array, probability: Array, of_class: str) -> list[Section]:
    """Return tables of calibration, alerts by threshold, and confusion for the best loss.

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
    if comparison.costs is not None:
        found.append(confusion_by_costs(comparison))
    return [one._replace(note=f"Loss: {comparison.best}. {one.note}") for one in found]


def calibration(y: Array, probability: Array, of_class: str) -> Section:
    """List predicted and observed shares of the groups of rows in the plot."""
    found = calibration_groups(y, probability)
    rows = [
        (
            f"{predicted:.4f}",
            f"{n:,.0f}",
            f"{positives:,.0f}",
            f"{share:.4f}",
            f"{low:.4f} to {high:.4f}",
        )
        for predicted, share, low, high, n, positives in zip(*found, strict=True)
    ]
    note = (f"Test rows in groups by their probability of {of_class}. A mean outside the 95% "
            "interval of the observed share is one that is not calibrated.")  # fmt: skip
    columns = ("mean probability", "rows", of_class, "observed share", "95% interval")
    return Section("Calibration", note, columns, rows)


def alerts(y: Array, probability: Array, of_class: str) -> Section:
    """List how many positives are among the rows with the highest probabilities."""
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
    return Section("Alerts by the share of rows", note, columns, rows)


def confusion(comparison: Comparison) -> Section:
    """Return the confusion matrix of the test rows of all folds."""
    y, decision = comparison.decisions(comparison.best)
    thresholds = ", ".join(f"{number:.4g}" for number in comparison.thresholds(comparison.best))
    two = len(comparison.labels) == 2
    what = "Thresholds" if two else "Powers of the class shares"
    note = (f"Rows are true classes, columns decisions. {what} tuned for F1 on the rows that stop "
            f"the training, fold by fold: {thresholds}.")  # fmt: skip
    heading = "Confusion matrix at the decision that F1 chooses"
    return Section(heading, note, *_matrix(comparison, y, decision))


def confusion_by_costs(comparison: Comparison) -> Section:
    """Return the confusion matrix of decisions with the lowest expected cost on all test rows."""
    assert comparison.costs is not None
    y, p = comparison.predictions(comparison.best)
    decision = decide(p, comparison.costs)
    cost = observed_cost(y, decision, comparison.costs).mean()
    note = (f"Rows are true classes, columns decisions of lowest expected cost. They cost "
            f"{cost:.4g} per row. Costs: {costs_in_words(comparison)}.")  # fmt: skip
    return Section("Confusion matrix at the costs", note, *_matrix(comparison, y, decision))


def _matrix(
    comparison: Comparison, y: Array, decision: Array
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns and rows of a confusion matrix."""
    labels = [str(label) for label in comparison.labels_as_judged]
    counts = confusion_matrix(y, decision, labels=range(len(labels)))
    rows = [
        (label, *(f"{n:,}" for n in row), f"{row[k] / max(1, row.sum()):.1%}")
        for k, (label, row) in enumerate(zip(labels, counts, strict=True))
    ]
    return ("true class", *(f"decided {label}" for label in labels), "correct"), rows
