"""Define helpers of all plots: axes, styles and names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boostloss.optional import require

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which is suitable for colour-blind readers."""

STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def by_name(one_or_more: Any) -> Mapping[str, Any]:
    """Return a mapping by name. A single object gets an empty name."""
    return one_or_more if isinstance(one_or_more, Mapping) else {"": one_or_more}


def axes_of(ax: Any) -> Any:
    """Return the given axes, or those of a new figure."""
    if ax is not None:
        return ax
    return require("matplotlib.pyplot", "report").subplots(layout="constrained")[1]


def style(i: int) -> dict[str, Any]:
    """Return colour and line style of the i-th object."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
