"""Plot precision and recall, reliability, alerts and costs of predicted probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, precision_recall_curve

from boostloss.calibration import CalibrationGroups, calibration_groups
from boostloss.decide import as_costs
from boostloss.losses.validation import Array, check_labels
from boostloss.plot.drawing import axes_of, by_name, style

RARE = 0.02
"""Share of positives below which the axis of precision is logarithmic."""

FAR_BELOW = 30.0
"""Thresholds are shown from the share of positives divided by this number on."""

MANY_TIMES = 10.0
"""Ratio of costs above which their axis is logarithmic."""

Probabilities = ArrayLike | Mapping[str, ArrayLike]


def precision_recall(
    y: ArrayLike, probabilities: ArrayLike | Mapping[str, ArrayLike], *, ax: Any = None
) -> Any:
    """Plot precision over recall of one model or several, with the share of positives.

    Where less than 2% of the rows are positive, precision has a logarithmic axis, because it then
    ranges over orders of magnitude.

    Parameters
    ----------
    y : array of shape (n,)
        Labels, 0 or 1.
    probabilities : array of shape (n,), or dict of name to one
        Scores that rank the rows.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    See Also
    --------
    reliability : Plots observed over predicted shares.
    """
    labels = _binary(y)
    axes = axes_of(ax)
    for i, (name, p) in enumerate(_checked(probabilities, len(labels)).items()):
        precision, recall, _ = precision_recall_curve(labels, p)
        label = f"{name} ({average_precision_score(labels, p):.3g})".strip()
        axes.plot(recall, precision, label=label, drawstyle="steps-post", **style(i))
    share = labels.mean()
    axes.axhline(share, color="0.6", lw=1, zorder=0, label=f"share of positives ({share:.2%})")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    if share < RARE:
        axes.set(yscale="log", ylim=(share / 2, 1.1))
    axes.legend(title="average precision of all rows")
    return axes


def reliability(
    y: ArrayLike, probabilities: Probabilities, *, groups: int = 12, ax: Any = None
) -> Any:
    """Plot the observed share of positives over the predicted probability, logarithmic.

    Each point is a group of rows with its 95% interval. A group without positives is an arrow that
    starts at the upper end of its interval. With one model, a number at each point counts its
    positives. The strip at the bottom shows the distribution of the probabilities.

    Parameters
    ----------
    y : array of shape (n,)
        Labels, 0 or 1.
    probabilities : array of shape (n,), or dict of name to one
        Predicted probabilities of class 1, within [0, 1].
    groups : int, default=12
        Maximum number of groups, at least 1.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, or probabilities are outside [0, 1].

    See Also
    --------
    boostloss.calibration.calibration_groups : Computes the numbers.
    precision_recall : Plots how well the rows are ranked.
    """
    labels = _binary(y)
    checked = _checked(probabilities, len(labels))
    found = {name: calibration_groups(labels, p, groups=groups) for name, p in checked.items()}
    axes = axes_of(ax)
    axes.set(xlabel="predicted probability", ylabel="observed share", xscale="log", yscale="log")
    least = min(_least(of_model) for of_model in found.values())
    for i, (name, of_model) in enumerate(found.items()):
        _draw_groups(axes, of_model, least, i, name)
    if len(found) == 1:
        _write_positives(axes, next(iter(found.values())))
    axes.plot([least, 1], [least, 1], color="0.6", lw=1, zorder=0, label="calibrated")
    axes.set(xlim=(least, 1), ylim=(least / 4, 1))
    _draw_counts(axes, checked, least)
    axes.legend(loc="upper left")
    return axes


def alerts_over_threshold(y: ArrayLike, probabilities: Probabilities, *, ax: Any = None) -> Any:
    """Plot the number of alerts, and the share of right alerts, over the threshold.

    Parameters
    ----------
    y : array of shape (n,)
        Labels, 0 or 1.
    probabilities : array of shape (n,), or dict of name to one
        Probability of class 1, or any positive score. A row raises an alert if it is at least the
        threshold.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, or probabilities are not finite.

    See Also
    --------
    boostloss.decide.top : Selects alerts within a budget.
    cost_over_threshold : Plots the cost of the decisions.
    """
    labels = _binary(y)
    axes = axes_of(ax)
    for i, (name, p) in enumerate(_checked(probabilities, len(labels)).items()):
        threshold, rows, order = _thresholds(p)
        axes.plot(threshold, rows, label=f"{name} alerts".strip(), **_STEPS, **style(i))
        right = np.cumsum(labels[order])[rows - 1]
        axes.plot(threshold, right, label=f"{name} right".strip(), lw=0.8, **_STEPS, **style(i))
    axes.axhline(labels.sum(), color="0.6", lw=1, zorder=0, label="all positives")
    axes.set(xlabel="threshold", ylabel="rows", xscale="log", yscale="log", ylim=(0.9, None))
    axes.set_xlim(left=labels.mean() / FAR_BELOW)
    axes.legend()
    return axes


def cost_over_threshold(
    y: ArrayLike, probabilities: Probabilities, costs: ArrayLike, *, ax: Any = None
) -> Any:
    """Plot the mean cost of a row over the threshold, with its lowest point.

    Parameters
    ----------
    y : array of shape (n,)
        Labels, 0 or 1.
    probabilities : array of shape (n,), or dict of name to one
        Probability of class 1. The decision is class 1 if it is at least the threshold.
    costs : array of shape (2, 2) or (n, 2, 2)
        Costs with true classes in rows and decisions in columns, for example from
        :func:`boostloss.decide.cost_matrix`.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, probabilities are not finite, or costs have another shape.

    See Also
    --------
    boostloss.decide.decide : Chooses the decision with the lowest expected cost.
    alerts_over_threshold : Plots the number of alerts.
    """
    labels = _binary(y)
    n = len(labels)
    of_row = np.broadcast_to(as_costs(costs, n, 2), (n, 2, 2))[np.arange(n), labels]
    axes, never = axes_of(ax), float(of_row[:, 0].mean())
    left, lowest, highest = labels.mean() / FAR_BELOW, never, never
    for i, (name, p) in enumerate(_checked(probabilities, n).items()):
        threshold, rows, order = _thresholds(p)
        change = (of_row[:, 1] - of_row[:, 0])[order]
        cost = never + np.cumsum(change)[rows - 1] / n
        best = int(np.argmin(cost))
        label = f"{name} (lowest {cost[best]:.4g} at {threshold[best]:.3g})".strip()
        axes.plot(threshold, cost, label=label, **_STEPS, **style(i))
        axes.plot(threshold[best], cost[best], "o", color=style(i)["color"])
        left = min(left, threshold[best] / 2)
        lowest, highest = min(lowest, cost[best]), max(highest, *cost[threshold >= left], never)
    axes.axhline(never, color="0.6", lw=1, zorder=0, label="always class 0")
    axes.set(xlabel="threshold", ylabel="mean cost of a row", xscale="log")
    axes.set_xlim(left=left)
    _show_costs(axes, lowest, never, highest)
    axes.legend()
    return axes


_STEPS = {"drawstyle": "steps-post"}
"""Curves are steps, since nothing changes between two probabilities."""


def _thresholds(p: Array) -> tuple[Array, Array, Array]:
    """Return distinct probabilities in falling order, the rows that reach each, and the order."""
    order = np.argsort(-p, kind="stable")
    falling = p[order]
    last = np.flatnonzero(np.diff(falling, append=-np.inf))
    # a logarithmic axis cannot show 0
    return np.maximum(falling[last], 1e-9), last + 1, order


def _show_costs(axes: Any, lowest: float, never: float, highest: float) -> None:
    """Set limits that show the difference between the lowest cost and the cost without alerts.

    If positives are rare, an alert on every row costs far more than both.
    """
    top = min(highest, max(lowest + 3 * (never - lowest), 2 * never)) if never > 0 else highest
    if lowest > 0 and top > MANY_TIMES * lowest:
        axes.set(yscale="log", ylim=(lowest / 1.5, top * 1.5))
    else:
        room = 0.05 * (top - lowest) or abs(top) or 1.0
        axes.set_ylim(lowest - room, top + room)


def _least(found: CalibrationGroups) -> float:
    """Return where the axes of a reliability plot start."""
    positive = [*found.predicted[found.predicted > 0], *found.observed[found.observed > 0]]
    return float(10 ** np.floor(np.log10(min([*positive, *found.high]) * 0.7)))


def _draw_groups(axes: Any, found: CalibrationGroups, least: float, i: int, name: str) -> None:
    some = found.positives > 0
    x, y = found.predicted[some], found.observed[some]
    error = [y - np.maximum(found.low[some], least / 4), found.high[some] - y]
    axes.plot(x, y, marker="o", ms=4, label=name, **style(i))
    bars: dict[str, Any] = {"fmt": "none", "ecolor": style(i)["color"], "elinewidth": 0.8}
    axes.errorbar(x, y, error, capsize=2, **bars)
    x, top = np.maximum(found.predicted[~some], least), found.high[~some]
    axes.errorbar(x, top, top / 2, uplims=True, **bars)


def _write_positives(axes: Any, found: CalibrationGroups) -> None:
    for x, high, positives in zip(found.predicted, found.high, found.positives, strict=True):
        axes.annotate(
            f"{positives}", (x, high), (0, 3), textcoords="offset points", ha="center", size=7
        )


def _draw_counts(axes: Any, checked: Mapping[str, Array], least: float) -> None:
    """Draw the number of rows at each probability in a strip at the bottom."""
    strip = axes.inset_axes([0, 0, 1, 0.12], sharex=axes)
    edges = np.geomspace(least, 1, 40)
    for i, p in enumerate(checked.values()):
        rows = np.histogram(np.clip(p, least, 1), edges)[0]
        strip.stairs(rows, edges, color=style(i)["color"], alpha=0.5)
    strip.set(yscale="symlog", yticks=[])
    strip.axis("off")


def _binary(y: ArrayLike) -> Array:
    labels = check_labels(y, 2)
    if len(np.unique(labels)) < 2:
        raise ValueError("y must contain both classes, 0 and 1")
    return labels.astype(np.intp)


def _checked(probabilities: Any, n_rows: int) -> dict[str, Array]:
    checked = {name: np.asarray(p, np.float64) for name, p in by_name(probabilities).items()}
    for name, p in checked.items():
        if p.shape != (n_rows,) or not np.isfinite(p).all():
            raise ValueError(
                f"probabilities must be {n_rows} finite numbers, one for each row, got "
                f"shape {p.shape}{f' for {name}' if name else ''}"
            )
    return checked
