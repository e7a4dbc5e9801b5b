"""Store the trees of a trained model as plain numbers, in the same way for all engines.

:mod:`boostloss.xgboost.trees` and :mod:`boostloss.lightgbm.trees` read them from a booster.
:mod:`boostloss.onnx` writes them for another runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Mode = Literal["<", "<=", "in"]


class Child(NamedTuple):
    """The end of a branch: another node, or a leaf."""

    is_leaf: bool
    place: int


class Split(NamedTuple):
    """The condition of a node on one feature."""

    feature: int
    mode: Mode
    threshold: float
    """Number with which the feature is compared; 0 for ``"in"``."""
    members: Sequence[int]
    """Categories for which ``"in"`` is true."""
    missing_is_true: bool
    """Whether the condition counts as true if the value is missing."""


@dataclass
class Trees:
    """Trees whose sum, in their order, is the raw scores. Each tree adds to one raw score."""

    dtype: Literal["float32", "float64"]
    """Type in which the engine compares features and sums leaves."""
    n_features: int
    n_targets: int
    """Number of raw scores of each row: 1, or K."""
    feature_names: list[str] | None = None
    missing: float = float("nan")
    """Value that means missing, in addition to NaN."""
    zero_is_missing: list[int] = field(default_factory=list)
    """Features in which 0 means missing."""
    categories: dict[int, list[Any] | None] = field(default_factory=dict)
    """Categorical features, which contain codes, and the category of each code, if known."""
    splits: list[Split] = field(default_factory=list)
    children: list[tuple[Child, Child]] = field(default_factory=list)
    """For each split, the children if the condition is true and if it is false."""
    leaves: list[tuple[int, float]] = field(default_factory=list)
    """For each leaf, the raw score to which it adds, and its value."""
    roots: list[int] = field(default_factory=list)

    def add_tree(self, target: int, root: Any, read: Any) -> None:
        """Add a tree. ``read(node)`` returns the value of a leaf, or ``(split, yes, no)``.

        This does not use recursion, since LightGBM's trees may be as deep as they have leaves.
        """
        first = self._place(target, root, read)
        if first.is_leaf:  # a tree without splits: both children are its leaf
            self.splits.append(Split(0, "<=", 0.0, (), False))
            self.children.append((first, first))
            self.roots.append(len(self.splits) - 1)
            return
        self.roots.append(first.place)
        waiting = [(first.place, root)]
        while waiting:
            index, node = waiting.pop()
            _, yes, no = read(node)
            places = self._place(target, yes, read), self._place(target, no, read)
            self.children[index] = places
            waiting += [
                (child_place.place, child)
                for child_place, child in zip(places, (yes, no), strict=True)
                if not child_place.is_leaf
            ]

    def add_constant(self, target: int, value: float) -> None:
        """Add a constant to the raw score of all rows."""
        self.add_tree(target, value, lambda value: value)

    def _place(self, target: int, node: Any, read: Any) -> Child:
        content = read(node)
        if isinstance(content, float):
            self.leaves.append((target, content))
            return Child(True, len(self.leaves) - 1)
        self.splits.append(content[0])
        self.children.append((Child(True, 0), Child(True, 0)))  # replaced later
        return Child(False, len(self.splits) - 1)
