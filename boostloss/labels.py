"""Read labels and class parameters: any labels become codes, and the positive class is known.

Of two classes the positive one is the last of the sorted labels, as in scikit-learn. Parameters for
the positive class (a number as ``class_weight``, ``alpha``, ``scale_pos_weight``) are accepted only
if the labels show which class that is: 0 and 1, False and True, or -1 and 1. Otherwise
``class_weight`` must be a dict by label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from boostloss.losses import Loss
from boostloss.losses.validation import SMALLEST, SOFT_LABELS, Array, check_number
from boostloss.optional import refuse_distributed


def encode_labels(y: Any, known: Array | None = None) -> tuple[Array, Array]:
    """Return sorted labels (K,), at least two, and each row's code 0..K-1 (n,).

    ``known`` contains the labels of a model that training continues from. They keep their codes,
    and y must contain each of them and no others.
    """
    refuse_distributed("y", y)
    y = as_column(y)
    check_classes(y)
    labels, codes = unique_labels(y, "y")
    check_labels_of_model(labels, known)
    if len(labels) < 2:
        raise ValueError(
            f"y must contain at least two classes, got {'one class' if len(labels) else 'no rows'}"
            f", {labels.tolist()}, in n_samples = {len(y)}"
        )
    return labels if known is None else known, codes


def keep_labels(booster: Any, labels: Array) -> None:
    """Store labels on a booster, for training that continues from the booster alone."""
    booster.boostloss_labels = labels


def kept_labels(booster: Any) -> Array | None:
    """Return what :func:`keep_labels` stored, also before pickling."""
    labels: Array | None = getattr(booster, "boostloss_labels", None)
    return labels


def check_labels_of_model(labels: Array, known: Array | None) -> None:
    """Raise an error unless the labels are those of the model that training continues from."""
    if known is None or labels.tolist() == known.tolist():
        return
    new = [label for label in labels.tolist() if label not in set(known.tolist())]
    if new:
        raise ValueError(
            f"y must contain labels of the model that training continues from, {known.tolist()}, "
            f"got {new[:5]} (a booster or file without labels has the codes 0 to K-1: pass the "
            "classifier instead)"
        )
    absent = [label for label in known.tolist() if label not in set(labels.tolist())]
    raise ValueError(
        f"y must contain every label of the model that training continues from, got no row of "
        f"{absent[:5]}: the engines' classifiers need rows of each class; use train() with codes "
        "as labels to continue without them"
    )


def check_classes(y: Array) -> None:
    """Raise an error for labels that are not classes: probabilities, amounts or infinity."""
    assert_all_finite(y, input_name="y")
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        found = y[y != np.floor(y)][0]
        raise ValueError(
            f"Unknown label type: continuous. y must contain classes, as whole numbers or strings, "
            f"got {found}; {SOFT_LABELS}"
        )
    check_classification_targets(y)


def as_column(y: Any, name: str = "y") -> Array:
    """Return labels as an array of strings, numbers, booleans or times without missing values.

    Objects and columns of frames are converted to the matching NumPy type. A nullable column of
    integers is not converted to floats, which cannot represent all large integers.
    """
    if np.ma.is_masked(y) or (hasattr(y, "isna") and np.any(y.isna())):
        raise ValueError(f"Input {name} contains NaN or another missing value")  # as scikit-learn
    if isinstance(y, list | tuple):
        y = _array_of(y)
    elif hasattr(y, "__array__") and not isinstance(y, np.ndarray):
        y = np.asarray(y)
    shape = np.shape(y)
    if len(shape) == 2 and shape[1] != 1:
        raise ValueError(
            f"{name} must be a 1d array with one label per row, got an array of shape {shape}; "
            "convert one-hot columns by argmax(axis=1); for several labels per row train one model "
            f"for each, as sklearn.multioutput.MultiOutputClassifier does; {SOFT_LABELS}"
        )
    y = column_or_1d(y, warn=True)
    if y.dtype.kind in "OT":
        y = _plain(y.astype(object), name)
    if y.dtype.kind == "S":
        raise TypeError(
            f"{name} must contain labels that are {_KINDS}, got bytes: decode them by "
            f"{name}.astype(str)"
        )
    if y.dtype.kind in "cV":
        raise TypeError(f"{name} must contain labels that are {_KINDS}, got dtype {y.dtype}")
    if y.dtype.kind in "mM" and np.isnat(y).any():
        raise ValueError(f"Input {name} contains NaN or another missing value, NaT")
    column: Array = y
    return column


_KINDS = "strings, whole numbers, booleans or times"


def _array_of(labels: Any) -> Any:
    """Convert a list to an array without converting numbers or missing values to strings."""
    array = np.asarray(labels)
    texts = array.dtype.kind in "US" and array.ndim == 1
    return np.array(labels, object) if texts and len(set(map(type, labels))) > 1 else array


def _plain(y: Array, name: str) -> Array:
    """Convert an array of objects to plain Python objects, or to a numeric type."""
    values = [label.item() if isinstance(label, np.generic) else label for label in y]
    kinds = set(map(type, values))
    if kinds & {type(None), float} or any(kind.__name__ in ("NAType", "NaTType") for kind in kinds):
        missing = [v for v in values if v is None or type(v).__name__[-4:] == "Type" or v != v]
        if missing:
            raise ValueError(f"Input {name} contains NaN or another missing value, {missing[0]!r}")
    if kinds and kinds <= {bool, int, float}:
        return np.array(values)
    if len(kinds) > 1 and not all(issubclass(kind, str) for kind in kinds):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"{name} must contain labels of one kind, got {names}")
    if kinds and not all(issubclass(kind, str) for kind in kinds):
        raise TypeError(f"{name} must contain labels that are {_KINDS}, got {kinds.pop().__name__}")
    plain = np.empty(len(values), object)
    plain[:] = [str(v) if isinstance(v, str) else v for v in values]
    return plain


def unique_labels(y: Array, name: str) -> tuple[Array, Array]:
    """Return sorted labels and each row's code."""
    try:
        return np.unique(y, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y.tolist()})
        raise TypeError(
            f"{name} must contain labels of one kind, got {', '.join(kinds)}"
        ) from error


def codes_of(y: Any, labels: Array, name: str) -> Array:
    """Return the codes of labels, which must all have been seen in training."""
    y = as_column(y, name)
    seen = set(labels.tolist())
    unseen = [label for label in unique_labels(y, name)[0].tolist() if label not in seen]
    if unseen:
        raise ValueError(
            f"{name} must contain labels seen in y, {labels.tolist()}; never seen: {unseen[:5]}"
        )
    codes: Array = np.searchsorted(labels, y)
    return codes


def eval_codes(eval_set: Any, y: Any, codes: Array, labels: Array) -> Any:
    """Return evaluation sets with codes as labels. The training set stays the same object."""
    if eval_set is None:
        return None
    one_pair = isinstance(eval_set, tuple) and not isinstance(eval_set[0], tuple)
    coded = []
    for i, pair in enumerate([eval_set] if one_pair else eval_set):
        if len(pair) != 2:
            raise ValueError(f"eval_set[{i}] must be a pair (X, y), got {len(pair)} things")
        X, own_y = pair
        coded.append((X, codes if own_y is y else codes_of(own_y, labels, f"eval_set[{i}]'s y")))
    return coded


def check_features(X: Any, y: Any = None) -> Any:
    """Convert array-likes to an array or sparse matrix; return frames and device arrays unchanged.

    With ``y`` the rows must be as many, and at least two.
    """
    if y is None and type(X) is np.ndarray and X.ndim == 2 and X.size and X.dtype.kind == "f":
        return X  # check_array would return the same, but take longer for one row
    refuse_distributed("X", X)
    # ask the type, since a lazy frame would have to compute its data to answer
    known = ("columns", "__arrow_c_stream__", "__cuda_array_interface__")
    if not any(hasattr(type(X), name) for name in known):
        least = 0 if y is None else 2  # engines predict no rows of frames too
        X = check_array(X, accept_sparse=True, ensure_all_finite=False, ensure_min_samples=least)
    if y is not None and hasattr(X, "shape") and X.shape[0] != len(y):
        raise ValueError(f"X and y must have as many rows, got {X.shape[0]} and {len(y)}")
    return X


# -- which class is the positive one ----------------------------------------------------


def check_each_label(counts: Array, labels: Array) -> None:
    """Raise an error unless each label has rows with a weight above 0."""
    absent = labels[counts <= 0].tolist()
    if absent:
        raise ValueError(
            f"y must contain rows of each class, {labels.tolist()}, with a sample_weight above 0, "
            f"got none of {absent[:5]}"
        )


def says_the_positive(labels: Array) -> bool:
    """Return whether two labels show which class is positive: 0 and 1, or -1 and 1."""
    return labels.tolist() in ([0, 1], [-1, 1])  # equal to False and True, and to floats


def check_positive_known(labels: Array, given: Mapping[str, Any], instead: str = "") -> None:
    """Raise an error for parameters of the positive class if labels do not show which one that is.

    Parameters
    ----------
    labels : array of shape (K,)
        Sorted.
    given : dict
        Parameters by name that mean the positive one of two classes.
    instead : str, optional
        What to do.
    """
    if not given or len(labels) != 2 or says_the_positive(labels):
        return
    first, last = labels.tolist()
    name, value = next(iter(given.items()))
    by_label = f"class_weight={{{first!r}: ..., {last!r}: ...}}"
    instead = instead or f"pass the loss a dict by label, {by_label}"
    raise ValueError(
        f"{name} is for the positive class, and labels must be 0 and 1, False and True or -1 and 1 "
        f"to show which one that is, got {name}={value!r} with labels {labels.tolist()}: {instead}"
    )


OF_THE_POSITIVE = (
    "scale_pos_weight",
    *("pos_bagging_fraction", "pos_sub_row", "pos_subsample", "pos_bagging"),
    *("neg_bagging_fraction", "neg_sub_row", "neg_subsample", "neg_bagging"),
)
"""The engines' parameters of the positive or the negative class, with their aliases."""


def of_the_positive(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine's parameters that refer to one of two classes and are not 1."""
    given = {name: params[name] for name in OF_THE_POSITIVE if params.get(name) is not None}
    return {name: value for name, value in given.items() if value != 1}


def positive_factor(scale_pos_weight: Any, labels: Array) -> Array | None:
    """Return class weights by an engine's ``scale_pos_weight``, or None if it has no effect."""
    if scale_pos_weight is None:
        return None
    scale = check_number("scale_pos_weight", scale_pos_weight, SMALLEST)
    if scale == 1.0:
        return None
    if len(labels) > 2:
        raise ValueError(
            f"scale_pos_weight is for two classes, got {scale_pos_weight!r} with {len(labels)}: "
            "pass the loss a class_weight with one number for each class"
        )
    check_positive_known(labels, {"scale_pos_weight": scale_pos_weight})
    return np.array([1.0, scale])


def by_code(loss: Loss, labels: Array, positive: int | None = None) -> Loss:
    """Return the loss for codes 0..K-1, with a list for its ``class_weight`` dict by label.

    Parameters
    ----------
    loss : Loss
    labels : array of shape (K,)
        Sorted.
    positive : int, optional
        Code of the positive class where it was named; otherwise the labels must say it, if the loss
        has to know.

    Raises
    ------
    ValueError
        If a parameter of the loss means the positive class and nobody says which one that is.
    """
    of_the_positive = loss.of_the_positive() if len(labels) == 2 else {}
    if positive is None:
        shape = [name for name in of_the_positive if name not in ("class_weight", "alpha")]
        recode = f"encode {labels.tolist()} as 0 and 1, with 1 for the positive class"
        check_positive_known(labels, of_the_positive, recode if shape else "")
    elif positive == 0 and of_the_positive:
        if not set(of_the_positive) <= {"class_weight", "alpha"}:
            raise ValueError(
                f"positive must be the last of the sorted labels, {labels.tolist()[1]!r}, with "
                f"{loss!r}, got {labels.tolist()[0]!r}: encode the labels as 0 and 1"
            )
        swapped: Loss = loss.with_class_weight(loss.class_weights(None, 2)[::-1])
        return swapped
    class_weight = loss.class_weight
    if not isinstance(class_weight, Mapping):
        return loss
    wanted = labels.tolist()
    if set(class_weight) != set(wanted):
        raise ValueError(f"class_weight must have the keys {wanted}, got {list(class_weight)}")
    ordered: Loss = loss.set_params(class_weight=[class_weight[label] for label in wanted])
    return ordered
