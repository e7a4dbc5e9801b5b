"""Read and edit LightGBM's model text.

A booster that was trained with a callable has neither an intercept nor a link. Both are written
into its model, so that plain LightGBM can predict with it. A saved classifier has two more header
lines.
"""

from __future__ import annotations

import re
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
_NO_OBJECTIVE = "custom"
"""LightGBM's name, among a model's parameters, for an objective that it does not know."""

_FEATURES = "\nfeature_names="
"""boostloss's lines are inserted before this one. LightGBM ignores lines that it does not know."""


def make_native(
    booster: Any,
    intercept: Array | None,
    n_classes: int | None,
    num_iteration: int | None = -1,
    loss: FittedLoss | None = None,
    *,
    refit: bool = False,
) -> Any:
    """Return a booster with the intercept in the first tree of each class, and the link.

    Parameters
    ----------
    booster : lightgbm.Booster
        Trained with a callable, or with LightGBM's built-in objective.
    intercept : array of shape (K,) or (1,), optional
    n_classes : int or None
        None for binary.
    num_iteration : int or None
        Rounds that are kept: -1 for all, None for those up to the best.
    loss : FittedLoss, optional
        The model carries it.
    refit : bool, default=False
        Whether the loss is plain cross-entropy. LightGBM's ``refit`` fits leaves to that and to
        nothing else: for other losses the model names no objective, without which it raises.
    """
    link = _link(n_classes)
    model = booster.model_to_string(num_iteration=num_iteration)
    if "\nobjective=" not in model:
        model = model.replace(_FEATURES, f"\nobjective={link}{_FEATURES}", 1)
    if intercept is not None:
        model = _with_intercept(model, intercept)
    name = link.split()[0] if refit else _NO_OBJECTIVE
    model = re.sub(r"\n\[objective: .*\]", f"\n[objective: {name}]", model, count=1)
    # a new booster, because one that was trained with a callable always refuses refit
    made = lgb.Booster(model_str=_with_loss(model, loss))
    made.params = {**booster.params, "objective": name}
    made.best_iteration, made.best_score = booster.best_iteration, booster.best_score
    return made


def carry(booster: Any, loss: FittedLoss) -> Any:
    """Write the fitted loss into the model, unless it is not registered and cannot be saved."""
    return _read_again(booster, _with_loss(booster.model_to_string(), loss))


def carried(booster: Any) -> State:
    """Return the labels and the fitted loss that a booster carries.

    Raises
    ------
    TypeError, ValueError
        If it is not a booster, or carries no loss.
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
    """Return a copy of the booster with ``shift`` (1,) or (K,) added to its raw scores."""
    model = booster.model_to_string()
    if "\nis_linear=1" in model and shift.any():
        raise ValueError("calibrated must be False with linear_tree=True, got True")
    if not booster.num_trees():
        raise ValueError("calibrated must be False for a model without trees, got True")
    times = rounds_used(booster) if is_forest(booster) else 1
    copy = lgb.Booster(model_str=_with_intercept(model, shift * times))
    copy.best_iteration, copy.best_score = booster.best_iteration, booster.best_score
    return copy


def make_constant(booster: Any, intercept: Array, n_classes: int | None, *, refit: bool) -> Any:
    """Set the only leaf of each class's only tree to the intercept."""
    for tree, value in enumerate(intercept):
        booster.set_leaf_output(tree, 0, value)
    return make_native(booster, None, n_classes, refit=refit)


def to_file(booster: Any, state: State) -> bytes:
    """Return the model as the bytes of a file, with the classifier's state and a checksum."""
    lines = f"\n{_STATE}{state.text()}\n{SEAL}={UNSEALED}{_FEATURES}"
    return sealed(booster.model_to_string().replace(_FEATURES, lines, 1).encode())


def from_file(data: bytes, source: str) -> tuple[Any, State]:
    """Read booster and state from what :func:`to_file` wrote. Errors name the ``source``."""
    data = data.replace(b"\r\n", b"\n")
    check_seal(data, source)
    if not data.startswith(b"tree\n"):
        raise ValueError(f"{source} is not a LightGBM model: load it with the class that saved it")
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
    """Return the labels in a file's state, or None if the file has no state."""
    line = _state_line(_header(data.decode()))
    return read_state(line, source).labels if line else None


def has_default_names(booster: Any) -> bool:
    """Return whether LightGBM made up the feature names, because the training data had none."""
    names = booster.feature_name()
    return bool(names == [f"Column_{i}" for i in range(len(names))])


def is_forest(booster: Any) -> bool:
    """Return whether it is a random forest, whose prediction is the mean of its trees."""
    names = (booster.params.get(name) for name in ("boosting", "boosting_type", "boost"))
    return any(name in ("rf", "random_forest") for name in names)


def rounds_used(booster: Any, start: int = 0, count: int | None = None) -> int:
    """Return the number of rounds that ``predict`` of LightGBM uses with these parameters."""
    if count is None:
        count = booster.best_iteration
    there = int(booster.current_iteration()) - max(start, 0)
    return min(count, there) if count > 0 else there


def _with_loss(model: str, loss: FittedLoss | None) -> str:
    """Add the fitted loss to the parameters in the model's text, which LightGBM keeps."""
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


def _with_intercept(model: str, intercept: Array) -> str:
    """Add the intercept to the first trees in the model's text, as LightGBM does.

    It is added to leaves and inner nodes. The shrinkage of these trees is set to 1, because
    ``refit`` multiplies new leaves by it. The header contains the length of each tree's text.
    """
    head, *trees = re.split(r"(?m)^(?=Tree=)", model)
    line = re.search(r"(?m)^tree_sizes=(.*)$", head)
    assert line is not None
    sizes = [int(size) for size in line[1].split()]
    for k, value in enumerate(intercept[: len(sizes)]):
        before = len(trees[k].encode())
        trees[k] = _with_bias(trees[k], float(value))
        sizes[k] += len(trees[k].encode()) - before
    head = head.replace(line[0], f"tree_sizes={' '.join(map(str, sizes))}", 1)
    return "".join([head, *trees])


def _with_bias(tree: str, bias: float) -> str:
    for name, digits in (("leaf_value", ".17g"), ("internal_value", "g")):

        def shifted(line: re.Match[str], digits: str = digits) -> str:
            values = [format(float(value) + bias, digits) for value in line[2].split()]
            return f"{line[1]}={' '.join(values)}"

        tree = re.sub(f"(?m)^({name})=(.*)$", shifted, tree, count=1)
    return re.sub(r"(?m)^shrinkage=.*$", "shrinkage=1", tree, count=1)
