"""Plot losses, the gradient norms of a training, precision and recall, and reliability.

Every function draws on ``ax``, or on axes of a new figure, and returns the ``Axes``. Needs
matplotlib (extra "report").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, precision_recall_curve

from boostloss.losses import CrossEntropy, FocalLoss, GHMLoss, Loss
from boostloss.losses.validation import Array, check_choice, check_integer, check_labels
from boostloss.optional import require
from boostloss.recorder import Recorder, Run

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette: told apart by readers with colour-blindness."""

STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

MIN_ROWS = 10
"""A point of a reliability curve represents at least so many rows."""

SHOWN = {
    "value": "loss (nats)",
    "gradient": "gradient's magnitude, w q",
    "hessian": "Hessian, w p q",
    "weight": "weight w of the row",
}
"""What :func:`loss_curves` can show, and the label of its axis."""

Losses = Loss | Sequence[Loss] | Mapping[str, Loss]
Runs = Recorder | Run | Mapping[str, Recorder | Run]


def loss_curves(
    losses: Losses,
    *,
    show: str = "value",
    margins: ArrayLike | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    ax: Any = None,
) -> Any:
    r"""A loss over the margin ``s z``, ``s = 2y - 1``: right and sure to the right.

    Parameters
    ----------
    losses : Loss, sequence of Loss, or dict of name to Loss
        For example ``[FocalLoss(gamma) for gamma in (0, 1, 2, 5)]``.
    show : {"value", "gradient", "hessian", "weight"}, default="value"
        The loss in nats; the magnitude ``w q`` of its gradient; ``w p q``; or the weight w
        that it gives to cross-entropy's gradient.
    margins : array of shape (m,), optional
        Default: 201 from -6 to 6.
    data : (y, raw), optional
        Labels (0 or 1) and raw scores of a data set, for losses whose weights depend on one: GHM,
        and class weights counted on the labels.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        For such a loss without ``data``, or an unknown ``show``.

    Examples
    --------
    >>> from boostloss import FocalLoss, plot
    >>> axes = plot.loss_curves([FocalLoss(gamma) for gamma in (0, 1, 2, 5)], show="gradient")
    """
    check_choice("show", show, tuple(SHOWN))
    m = np.linspace(-6, 6, 201) if margins is None else np.asarray(margins, dtype=np.float64)
    axes = _axes(ax)
    for i, (name, loss) in enumerate(_named(losses).items()):
        axes.plot(m, _curve(loss, m, show, data), label=name, **_style(i))
    axes.set(xlabel="margin s·z (wrong on the left, right on the right)", ylabel=SHOWN[show])
    axes.axvline(0, color="0.8", lw=1, zorder=0)
    axes.legend()
    return axes


def weight_of_norm(
    losses: Losses, y: ArrayLike, raw: ArrayLike, *, label: int = 1, ax: Any = None
) -> Any:
    """The weight given to a row as a function of its gradient norm ``q = 1 - p``.

    Parameters
    ----------
    losses : Loss, sequence of Loss, or dict of name to Loss
    y : array of shape (n,), 0 or 1
    raw : array of shape (n,)
        The data set and raw scores from which GHM takes its density.
    label : {0, 1}, default=1
        The class whose rows' weight is shown.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    if label not in (0, 1):
        raise ValueError(f"label must be 0 or 1, got {label!r}")
    q = np.linspace(0.002, 0.998, 499)
    axes = _axes(ax)
    for i, (name, loss) in enumerate(_named(losses).items()):
        weight = _curve(loss, -logit(q), "weight", (y, raw), label)
        axes.plot(q, weight, label=name, **_style(i))
    axes.set(xlabel="gradient norm q (easy on the left, hard on the right)", yscale="log")
    axes.set_ylabel(f"weight w of a row of class {label}")
    axes.legend()
    return axes


def norms_over_rounds(runs: Recorder | Run, *, label: int | None = None, ax: Any = None) -> Any:
    """Heat map: how many rows have which gradient norm, round after round.

    Parameters
    ----------
    runs : Recorder or Run
        Of a recorder the newest run.
    label : int, optional
        The class to show, as its code 0..K-1; default: all classes together.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    run = _run(runs)
    if label is not None and label not in range(run.n_classes):
        raise ValueError(f"label must be 0 to {run.n_classes - 1} or None, got {label!r}")
    counts = run.counts.sum(axis=1) if label is None else run.counts[:, label]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    axes = _axes(ax)
    colours = require("matplotlib.colors", "report")
    least = max(share[share > 0].min(initial=1.0), 1e-6)
    step = run.rounds[-1] - run.rounds[-2] if len(run.rounds) > 1 else 1
    rounds = np.append(run.rounds, run.rounds[-1] + step)
    mesh = axes.pcolormesh(
        rounds,
        run.edges,
        np.ma.masked_equal(share.T, 0.0),
        norm=colours.LogNorm(least, 1.0),
        cmap="viridis",
    )
    axes.axhline(run.hard, color="white", lw=1, ls="--")
    axes.figure.colorbar(mesh, ax=axes, label="share of the rows")
    rows = "all rows" if label is None else f"class {label}"
    axes.set(xlabel="round", ylabel="gradient norm q", title=f"{rows}: easy below, hard above")
    return axes


def flips(runs: Runs, *, ax: Any = None) -> Any:
    """Share of the rows that cross between easy and hard, round after round.

    Parameters
    ----------
    runs : Recorder, Run, or dict of name to either
        For example one for each learning rate.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    axes = _axes(ax)
    for i, (name, recorded) in enumerate(_by_name(runs).items()):
        run = _run(recorded)
        axes.plot(run.rounds[1:], run.flips[1:], label=name, **_style(i))
    axes.set(xlabel="round", ylabel="share of rows that crossed")
    axes.set_ylim(bottom=0, auto=None)
    if isinstance(runs, Mapping):
        axes.legend()
    return axes


def flips_by_learning_rate(runs: Mapping[float, Recorder | Run], *, ax: Any = None) -> Any:
    """Crossings between easy and hard of a whole training against its learning rate.

    Parameters
    ----------
    runs : dict of learning rate to Recorder or Run
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        In it the mean share of a round, and its largest.
    """
    rates = sorted(runs)
    shares = [_run(runs[rate]).flips[1:] for rate in rates]
    if not rates or min(map(len, shares)) == 0:
        raise ValueError("runs must have at least two recorded rounds each")
    axes = _axes(ax)
    axes.plot(rates, [s.mean() for s in shares], marker="o", label="mean round", **_style(1))
    axes.plot(rates, [s.max() for s in shares], marker="s", label="worst round", **_style(2))
    axes.set(xlabel="learning rate", ylabel="share of rows that crossed", xscale="log")
    axes.legend()
    return axes


def precision_recall(
    y: ArrayLike, probabilities: ArrayLike | Mapping[str, ArrayLike], *, ax: Any = None
) -> Any:
    """Precision over recall of one model or several, with the share of positives.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
    probabilities : array of shape (n,), or dict of name to one
        Any score that ranks the rows.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    labels = _binary(y)
    axes = _axes(ax)
    for i, (name, p) in enumerate(_checked(probabilities, len(labels)).items()):
        precision, recall, _ = precision_recall_curve(labels, p)
        label = f"{name} ({average_precision_score(labels, p):.3f})".strip()
        axes.plot(recall, precision, label=label, drawstyle="steps-post", **_style(i))
    axes.axhline(labels.mean(), color="0.6", lw=1, zorder=0, label="share of positives")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(title="average precision of all rows")
    return axes


def reliability(
    y: ArrayLike,
    probabilities: ArrayLike | Mapping[str, ArrayLike],
    *,
    groups: int = 12,
    ax: Any = None,
) -> Any:
    """Observed share of positives over the predicted probability, logarithmic.

    Rows are grouped by log-odds, in steps of equal width between the 0.5% and the 99.5% quantile,
    so that rare classes are seen too. A group with fewer than ten rows, or without a positive, has
    no point.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
    probabilities : array of shape (n,), or dict of name to one
    groups : int >= 1, default=12
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    check_integer("groups", groups, 1)
    labels = _binary(y)
    axes = _axes(ax)
    least = 1.0
    for i, (name, p) in enumerate(_checked(probabilities, len(labels)).items()):
        predicted, observed = _reliability_curve(labels, p, groups)
        axes.plot(predicted, observed, marker="o", ms=4, label=name, **_style(i))
        least = min([least, *predicted, *observed])
    axes.plot([least, 1], [least, 1], color="0.6", lw=1, zorder=0, label="calibrated")
    axes.set(xlabel="predicted probability", ylabel="observed share", xscale="log", yscale="log")
    axes.legend()
    return axes


def _reliability_curve(labels: Array, p: Array, groups: int) -> tuple[Array, Array]:
    """Mean prediction and share of positives of each group that has a point."""
    log_odds = logit(np.clip(p, 1e-15, 1 - 1e-15))
    low, high = np.quantile(log_odds, [0.005, 0.995])
    group = np.digitize(log_odds, np.linspace(low, high, groups + 1)[1:-1])
    rows = np.bincount(group, minlength=groups)
    positives = np.bincount(group, labels, minlength=groups)
    has_point = (rows >= MIN_ROWS) & (positives > 0)
    predicted = np.bincount(group, p, minlength=groups)[has_point] / rows[has_point]
    return predicted, positives[has_point] / rows[has_point]


def _binary(y: ArrayLike) -> Array:
    labels = check_labels(y, 2)
    if len(np.unique(labels)) < 2:
        raise ValueError("y must contain both classes, 0 and 1")
    return labels.astype(np.intp)


def _checked(probabilities: Any, n_rows: int) -> dict[str, Array]:
    checked = {name: np.asarray(p, np.float64) for name, p in _by_name(probabilities).items()}
    for name, p in checked.items():
        if p.shape != (n_rows,) or not np.isfinite(p).all():
            raise ValueError(
                f"probabilities must be {n_rows} finite numbers, one for each row, got "
                f"shape {p.shape}{f' for {name}' if name else ''}"
            )
    return checked


def _by_name(one_or_more: Any) -> Mapping[str, Any]:
    return one_or_more if isinstance(one_or_more, Mapping) else {"": one_or_more}


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    return require("matplotlib.pyplot", "report").subplots(layout="constrained")[1]


def _style(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}


def _named(losses: Losses) -> dict[str, Loss]:
    if isinstance(losses, Mapping):
        return dict(losses)
    listed = [losses] if isinstance(losses, Loss) else list(losses)
    return {
        f"focal γ={loss.gamma:g}" if isinstance(loss, FocalLoss) else repr(loss): loss
        for loss in listed
    }


def _run(run: Recorder | Run) -> Run:
    run = run.run if isinstance(run, Recorder) else run
    if not isinstance(run, Run):
        raise TypeError(f"runs must be a Recorder or one of its runs, got {run!r}")
    return run


def _curve(
    loss: Loss, margins: Array, show: str, data: tuple[ArrayLike, ArrayLike] | None, label: int = 1
) -> Array:
    """What ``show`` names for a row of class ``label`` at each margin."""
    weight: Array | float = 1.0
    if loss.depends_on_all_scores or isinstance(loss.class_weight, str):
        if data is None:
            raise ValueError(f"data must be given, (y, raw): the weights of {loss!r} depend on one")
        loss = loss.fit(data[0]).loss
        if isinstance(loss, GHMLoss):
            y = np.full(len(margins), label)
            weight = loss.weights(*data)(expit(-margins), y)
            loss = CrossEntropy(class_weight=loss.class_weight)
    y, raw = np.full(len(margins), label), (2 * label - 1) * margins
    if show == "value":
        return weight * loss.value(y, raw)
    gradient, hessian = loss.gradient_hessian(y, raw)
    if show == "hessian":
        return weight * hessian
    slope = weight * np.abs(gradient)
    return slope if show == "gradient" else slope / expit(-margins)
