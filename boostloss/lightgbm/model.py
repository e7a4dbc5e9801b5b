"""LightGBM's model text: the only module that reads or edits it.

A booster that was trained with a callable has neither an intercept nor a link. Both are written
into its model, so that LightGBM alone serves it; a saved classifier has two more header lines.
"""

from __future__ import annotations

from typing import Any

from boostloss.losses import FittedLoss
from boostloss.losses.validation import Array
from boostloss.model_file import (
    SEAL,
    UNSEALED,
    State,
    check_objective,
    check_seal,
    read_state,
    sealed,
    state_of_codes,
)
from boostloss.optional import require

lgb = require("lightgbm", "lightgbm")

_STATE = "boostloss="
_PARAMETERS = "\nparameters:\n"
_CARRIED = "[boostloss: "
_FEATURES = "\nfeature_names="
"""Lines of ours stand before this one: LightGBM ignores those that it does not know."""


def make_native(
    booster: Any,
    intercept: Array | None,
    n_classes: int | None,
    num_iteration: int | None = -1,
    loss: FittedLoss | None = None,
) -> Any:
    """Add the intercept to the first tree of each class and write the link into the model.

    ``n_classes`` is None for binary. ``num_iteration`` rounds are kept: -1 for all, None for those
    up to the best. The model carries the fitted loss, if it is given.
    """
    if intercept is not None:
        _add_to_leaves(booster, intercept)
    link = _link(n_classes)
    model = booster.model_to_string(num_iteration=num_iteration)
    if "\nobjective=" not in model:
        model = model.replace(_FEATURES, f"\nobjective={link}{_FEATURES}", 1)
    # Booster.refit reads this one
    name = link.split()[0]
    model = model.replace("\n[objective: custom]", f"\n[objective: {name}]", 1)
    _read_again(booster, _with_loss(model, loss))
    booster.params["objective"] = name
    return booster


def carry(booster: Any, loss: FittedLoss) -> Any:
    """Write the fitted loss into the model; one that no file can hold is left out."""
    return _read_again(booster, _with_loss(booster.model_to_string(), loss))


def carried(booster: Any) -> State:
    """Labels and fitted loss that a booster carries.

    Raises
    ------
    TypeError, ValueError
        For what is no booster, or carries none.
    """
    if not isinstance(booster, lgb.Booster):
        raise TypeError(f"booster must be a lightgbm.Booster, got {type(booster).__name__}")
    parameters = booster.model_to_string(num_iteration=1).partition(_PARAMETERS)[2]
    lines = parameters.splitlines()
    line = next((one for one in lines if one.startswith(_CARRIED)), None)
    if line is None:
        raise ValueError(
            "booster must carry a fitted loss, as those of boostloss.lightgbm.train with a "
            "registered loss do until LightGBM refits them or trains on; got one without"
        )
    return read_state(line[len(_CARRIED) : -1], "booster")


def shifted(booster: Any, shift: Array) -> Any:
    """A copy of the booster with other raw scores: ``shift`` (1,) or (K,) is added to them."""
    model = booster.model_to_string()
    if "\nis_linear=1" in model and shift.any():
        raise ValueError("calibrated must be False with linear_tree=True, got True")
    copy = lgb.Booster(model_str=model)
    if not copy.num_trees():
        raise ValueError("calibrated must be False for a model without trees, got True")
    _add_to_leaves(copy, shift * (rounds_used(booster) if is_forest(booster) else 1))
    copy.best_iteration, copy.best_score = booster.best_iteration, booster.best_score
    return copy


def make_constant(booster: Any, intercept: Array) -> Any:
    """Set the only leaf of each class's only tree to the intercept."""
    for tree, value in enumerate(intercept):
        booster.set_leaf_output(tree, 0, value)
    return booster


def to_file(booster: Any, state: State) -> bytes:
    """The model as a file's bytes, with the classifier's state and a checksum."""
    lines = f"\n{_STATE}{state.text()}\n{SEAL}={UNSEALED}{_FEATURES}"
    return sealed(booster.model_to_string().replace(_FEATURES, lines, 1).encode())


def from_file(data: bytes, source: str) -> tuple[Any, State]:
    """Booster and state from what :func:`to_file` wrote; ValueErrors name the ``source``."""
    data = data.replace(b"\r\n", b"\n")
    check_seal(data, source)
    if not data.startswith(b"tree\n"):
        raise ValueError(f"{source} is not a LightGBM model: load it with its own class")
    model = data.decode()
    header = _header(model)
    state = read_state(_state_line(header), source)
    try:
        booster = lgb.Booster(model_str=model)
    except lgb.basic.LightGBMError as error:
        raise ValueError(f"{source} cannot be read by LightGBM: {error}") from error
    n_classes = len(state.labels)
    wanted = f"objective={_link(n_classes if n_classes > 2 else None)}"
    check_objective(state, wanted, header, source)
    return booster, state


def labels_in(data: bytes, source: str) -> Array | None:
    """Labels that a file's state says; None where it has none."""
    line = _state_line(_header(data.decode()))
    return read_state(line, source).labels if line else None


def has_default_names(booster: Any) -> bool:
    """Whether LightGBM made the feature names: the training data had none."""
    names = booster.feature_name()
    return bool(names == [f"Column_{i}" for i in range(len(names))])


def is_forest(booster: Any) -> bool:
    """Whether it is a random forest, whose prediction is the mean of its trees."""
    names = (booster.params.get(name) for name in ("boosting", "boosting_type", "boost"))
    return any(name in ("rf", "random_forest") for name in names)


def rounds_used(booster: Any, start: int = 0, count: int | None = None) -> int:
    """Rounds with which LightGBM's ``predict`` answers, given its two parameters."""
    if count is None:
        count = booster.best_iteration
    there = int(booster.current_iteration()) - max(start, 0)
    return min(count, there) if count > 0 else there


def _with_loss(model: str, loss: FittedLoss | None) -> str:
    """The model's text with the fitted loss among its parameters: LightGBM keeps that part."""
    text = None if loss is None else state_of_codes(loss)
    if text is None:
        return model
    return model.replace(_PARAMETERS, f"{_PARAMETERS}{_CARRIED}{text}]\n", 1)


def _read_again(booster: Any, model: str) -> Any:
    best = booster.best_iteration, booster.best_score
    booster.model_from_string(model)
    booster.best_iteration, booster.best_score = best
    return booster


def _header(model: str) -> list[str]:
    return model.partition("\nTree=")[0].splitlines()


def _state_line(header: list[str]) -> str:
    return next((line.removeprefix(_STATE) for line in header if line.startswith(_STATE)), "")


def _link(n_classes: int | None) -> str:
    return "binary sigmoid:1" if n_classes is None else f"multiclass num_class:{n_classes}"


def _add_to_leaves(booster: Any, intercept: Array) -> None:
    trees = booster.dump_model(num_iteration=1)["tree_info"][: len(intercept)]
    leaves = [(k, leaf) for k, tree in enumerate(trees) for leaf in range(int(tree["num_leaves"]))]
    for k, leaf in leaves:
        booster.set_leaf_output(k, leaf, booster.get_leaf_output(k, leaf) + intercept[k])
