"""Plot losses over the margin or the gradient norm of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from boostloss.losses import CrossEntropy, FocalLoss, GHMLoss, Loss, LossName, named
from boostloss.losses.validation import Array, check_choice
from boostloss.plot.drawing import axes_of, style

SHOWN = {
    "value": "loss (nats)",
    "gradient": "gradient's magnitude, w q",
    "hessian": "Hessian, w p q",
    "weight": "weight w of the row",
}
"""Quantities that :func:`loss_curves` can show, and their axis labels."""

Losses = Loss | LossName | Sequence[Loss | LossName] | Mapping[str, Loss | LossName]


def loss_curves(
    losses: Losses,
    *,
    show: str = "value",
    margins: ArrayLike | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    ax: Any = None,
) -> Any:
    r"""Plot losses over the margin ``(2y - 1) z``, where z is the raw score of a row.

    Parameters
    ----------
    losses : Loss, sequence of Loss, or dict of name to Loss
        For example ``[FocalLoss(gamma) for gamma in (0, 1, 2, 5)]``.
    show : {"value", "gradient", "hessian", "weight"}, default="value"
        What to plot: the loss in nats, the magnitude ``w q`` of its gradient, the Hessian
        ``w p q``, or the weight w relative to cross-entropy's gradient.
    margins : array of shape (m,), optional
        Margins to plot. The default is 201 margins from -6 to 6.
    data : (y, raw), optional
        Labels (0 or 1) and raw scores of a data set. GHM, and class weights that depend on the
        labels, need it.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    Raises
    ------
    ValueError
        If a loss needs ``data``, or ``show`` is unknown.

    See Also
    --------
    weight_of_norm : Plots weights over the gradient norm, on a data set.

    Examples
    --------
    >>> from boostloss import FocalLoss, plot
    >>> axes = plot.loss_curves([FocalLoss(gamma) for gamma in (0, 1, 2, 5)], show="gradient")
    """
    check_choice("show", show, tuple(SHOWN))
    m = np.linspace(-6, 6, 201) if margins is None else np.asarray(margins, dtype=np.float64)
    axes = axes_of(ax)
    for i, (name, loss) in enumerate(_named(losses).items()):
        axes.plot(m, _curve(loss, m, show, data), label=name, **style(i))
    axes.set(xlabel="margin s·z (wrong on the left, right on the right)", ylabel=SHOWN[show])
    axes.axvline(0, color="0.8", lw=1, zorder=0)
    axes.legend()
    return axes


def weight_of_norm(
    losses: Losses, y: ArrayLike, raw: ArrayLike, *, label: int = 1, ax: Any = None
) -> Any:
    """Plot the weight of a row over its gradient norm ``q = 1 - p``.

    Parameters
    ----------
    losses : Loss, sequence of Loss, or dict of name to Loss
        One loss or several.
    y : array of shape (n,)
        Labels, 0 or 1, of the data set for GHM's density.
    raw : array of shape (n,)
        Raw scores of these rows.
    label : {0, 1}, default=1
        The class whose weights are shown.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    See Also
    --------
    loss_curves : Plots losses over the margin.
    """
    if label not in (0, 1):
        raise ValueError(f"label must be 0 or 1, got {label!r}")
    q = np.linspace(0.002, 0.998, 499)
    axes = axes_of(ax)
    for i, (name, loss) in enumerate(_named(losses).items()):
        weight = _curve(loss, -logit(q), "weight", (y, raw), label)
        axes.plot(q, weight, label=name, **style(i))
    axes.set(xlabel="gradient norm q (easy on the left, hard on the right)", yscale="log")
    axes.set_ylabel(f"weight w of a row of class {label}")
    axes.legend()
    return axes


def _named(losses: Losses) -> dict[str, Loss]:
    if isinstance(losses, Mapping):
        return {name: named(loss) for name, loss in losses.items()}
    given = [losses] if isinstance(losses, Loss | str) else losses
    listed = [named(loss) for loss in given]
    return {
        f"focal γ={loss.gamma:g}" if isinstance(loss, FocalLoss) else repr(loss): loss
        for loss in listed
    }


def _curve(
    loss: Loss, margins: Array, show: str, data: tuple[ArrayLike, ArrayLike] | None, label: int = 1
) -> Array:
    """Compute the quantity ``show`` of a row of class ``label`` at each margin."""
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
