"""Plot gradient norms and crossings of a recorded training over the rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from boostloss.optional import require
from boostloss.plot.drawing import axes_of, by_name, style
from boostloss.recorder import Recorder, Run

Runs = Recorder | Run | Mapping[str, Recorder | Run]


def norms_over_rounds(runs: Recorder | Run, *, label: int | None = None, ax: Any = None) -> Any:
    """Plot a heat map of the gradient norms over the rounds.

    Parameters
    ----------
    runs : Recorder or Run
        A run, or a recorder, of which the newest run is shown.
    label : int, optional
        Code of the class to show, 0..K-1. The default is all classes together.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    See Also
    --------
    flips : Plots rows that cross between easy and hard.
    """
    run = _run(runs)
    if label is not None and label not in range(run.n_classes):
        raise ValueError(f"label must be 0 to {run.n_classes - 1} or None, got {label!r}")
    counts = run.counts.sum(axis=1) if label is None else run.counts[:, label]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    axes = axes_of(ax)
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
    """Plot the share of rows that cross between easy and hard over the rounds.

    Parameters
    ----------
    runs : Recorder, Run, or dict of name to either
        For example one for each learning rate.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    See Also
    --------
    flips_by_learning_rate : Plots crossings of several trainings.
    """
    axes = axes_of(ax)
    for i, (name, recorded) in enumerate(by_name(runs).items()):
        run = _run(recorded)
        axes.plot(run.rounds[1:], run.flips[1:], label=name, **style(i))
    axes.set(xlabel="round", ylabel="share of rows that crossed")
    axes.set_ylim(bottom=0, auto=None)
    if isinstance(runs, Mapping):
        axes.legend()
    return axes


def flips_by_learning_rate(runs: Mapping[float, Recorder | Run], *, ax: Any = None) -> Any:
    """Plot crossings between easy and hard over the learning rate of a training.

    Parameters
    ----------
    runs : dict of learning rate to Recorder or Run
        Runs with at least two recorded rounds each.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes with the mean share over the rounds, and the largest share.

    See Also
    --------
    flips : Plots crossings over the rounds.
    """
    rates = sorted(runs)
    shares = [_run(runs[rate]).flips[1:] for rate in rates]
    if not rates or min(map(len, shares)) == 0:
        raise ValueError("runs must have at least two recorded rounds each")
    axes = axes_of(ax)
    axes.plot(rates, [s.mean() for s in shares], marker="o", label="mean round", **style(1))
    axes.plot(rates, [s.max() for s in shares], marker="s", label="worst round", **style(2))
    axes.set(xlabel="learning rate", ylabel="share of rows that crossed", xscale="log")
    axes.legend()
    return axes


def _run(run: Recorder | Run) -> Run:
    run = run.run if isinstance(run, Recorder) else run
    if not isinstance(run, Run):
        raise TypeError(f"runs must be a Recorder or one of its runs, got {run!r}")
    return run
