"""Trees of a trained model as plain numbers, the same for both engines.

:mod:`boostloss.xgboost.trees` and :mod:`boostloss.lightgbm.trees` read them from a booster;
:mod:`boostloss.onnx` writes them for another runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Mode = Literal["<", "<=", "in"]


class Child(NamedTuple):
    """Where a branch leads: to another node, or to a leaf."""

    is_leaf: bool
    place: int


class Split(NamedTuple):
    """A node's question about one feature."""

    feature: int
    mode: Mode
    threshold: float
    """What the feature is compared with; 0 for ``"in"``."""
    members: Sequence[int]
    """Categories for which ``"in"`` is true."""
    missing_is_true: bool
    """Whether rows without a value go the way of the rows for which the answer is yes."""


@dataclass
class Trees:
    """For each row the sum of some trees, in their order, each of one raw score."""

    dtype: Literal["float32", "float64"]
    """Type in which the engine compares features and adds up leaves."""
    n_features: int
    n_targets: int
    """Number of raw scores of each row: 1, or K."""
    feature_names: list[str] | None = None
    missing: float = float("nan")
    """The value that means missing, beside NaN."""
    zero_is_missing: list[int] = field(default_factory=list)
    """Features in which 0 means missing."""
    categories: dict[int, list[Any] | None] = field(default_factory=dict)
    """Categorical features, which contain codes, and what each code stands for, where known."""
    splits: list[Split] = field(default_factory=list)
    children: list[tuple[Child, Child]] = field(default_factory=list)
    """Of each split: where yes and where no lead."""
    leaves: list[tuple[int, float]] = field(default_factory=list)
    """Raw score to which a leaf adds, and what it adds."""
    roots: list[int] = field(default_factory=list)

    def add_tree(self, target: int, root: Any, read: Any) -> None:
        """Add a tree; ``read(node)`` is a leaf's value, or ``(split, yes, no)``.

        Without recursion: LightGBM's trees may be as deep as they have leaves.
        """
        first = self._place(target, root, read)
        if first.is_leaf:  # a tree without splits: both ways lead to its leaf
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
        """Add a number to the raw score of all rows."""
        self.add_tree(target, value, lambda value: value)

    def _place(self, target: int, node: Any, read: Any) -> Child:
        content = read(node)
        if isinstance(content, float):
            self.leaves.append((target, content))
            return Child(True, len(self.leaves) - 1)
        self.splits.append(content[0])
        self.children.append((Child(True, 0), Child(True, 0)))  # until they are placed
        return Child(False, len(self.splits) - 1)
