"""What a loss does to a row, over its margin or its gradient norm."""

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
"""What :func:`loss_curves` can show, and the label of its axis."""

Losses = Loss | LossName | Sequence[Loss | LossName] | Mapping[str, Loss | LossName]


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
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    Raises
    ------
    ValueError
        For such a loss without ``data``, or an unknown ``show``.

    See Also
    --------
    weight_of_norm : The weight over the gradient norm, on a data set.

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
    """The weight given to a row as a function of its gradient norm ``q = 1 - p``.

    Parameters
    ----------
    losses : Loss, sequence of Loss, or dict of name to Loss
        One loss or several.
    y : array of shape (n,)
        Labels, 0 or 1, of the data set from which GHM takes its density.
    raw : array of shape (n,)
        Its raw scores.
    label : {0, 1}, default=1
        The class whose rows' weight is shown.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        The axes that were drawn on.

    See Also
    --------
    loss_curves : A loss over the margin.
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
