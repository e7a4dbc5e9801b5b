"""Read and write what a model file contains beside the engine's model: labels, loss, checksum."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Literal, NamedTuple

import numpy as np

from boostloss.decision import Rule, check_decision, in_numbers
from boostloss.losses import CrossEntropy, FittedLoss, Loss
from boostloss.losses.registry import from_dict, to_dict
from boostloss.losses.validation import Array, check_choice
from boostloss.prior import as_shares

FORMAT = 3
READ_FORMATS = (1, 2, 3)
FORMAT_WITH_SHARES = 3
"""First format with class shares, a prior, a loss as given, and an offset and slope of the loss."""

Probability = Literal["posterior", "link"]
PROBABILITIES = ("posterior", "link")
SEAL = "boostloss_sha256"
UNSEALED = "0" * 64
"""Placeholder for the checksum while it is computed."""

# between name and checksum the format writes "=", '":"' or a binary length
_PLACE = re.compile(SEAL.encode() + rb".{1,16}?([0-9a-f]{64})", re.DOTALL)
_DTYPES = {str: r"U\d+|O", bool: "b1", int: "[iu][1248]", float: "f[248]"}


class State(NamedTuple):
    """The state of a classifier beside the engine's model."""

    labels: Array
    loss: FittedLoss
    probability: str
    class_share: Array | None = None
    prior: Array | None = None
    decision: Rule = "loss"
    given_loss: Loss | None = None
    """The classifier's parameter, whose weights may be counted in the next training."""

    @property
    def prior_shift(self) -> Array | None:
        """The shift of each class's log-probability by ``prior``, or None without a prior."""
        if self.prior is None or self.class_share is None:
            return None
        shift: Array = np.log(self.prior) - np.log(self.class_share)
        return shift

    def in_use(self) -> State:
        """Return the state with the loss for the class shares in use and a numeric decision."""
        shift = self.prior_shift
        return self._replace(
            loss=self.loss if shift is None else self.loss.shifted(shift),
            class_share=None,
            prior=None,
            decision=in_numbers(
                self.decision, self.loss, self.class_share if self.prior is None else self.prior
            ),
        )

    def text(self) -> str:
        """Return the state as one line of JSON that LightGBM and the checksum cannot misread."""
        labels = _plain_labels(self.labels)
        state = {
            "format": FORMAT,
            "probability": self.probability,
            "class_share": None if self.class_share is None else self.class_share.tolist(),
            "prior": None if self.prior is None else self.prior.tolist(),
            "decision": _plain(self.decision),
            "loss": self.loss.to_dict(),
            "given_loss": None if self.given_loss is None else to_dict(self.given_loss),
            "labels": labels,
            "positive": positive_of(labels["values"]),
        }
        text = json.dumps(state).replace("=", "\\u003d")
        return text.replace(SEAL, SEAL.replace("_", "\\u005f"))


def state_of_codes(loss: FittedLoss, **in_use: Any) -> str | None:
    """Return the state of a booster with labels 0..K-1, or None if the loss cannot be saved."""
    try:
        return State(np.arange(loss.n_classes), loss, "posterior", **in_use).text()
    except TypeError:
        return None


def calibrated_shift(loss: FittedLoss) -> Array:
    """Return the shift of raw scores, (1,) or (K,), with which their link is the posterior.

    Raises
    ------
    ValueError
        If the posterior of the loss is not a shift of the raw score.
    """
    shift = loss.raw_shift()
    if shift is None:
        raise ValueError(
            f"calibrated must be False with {loss.loss!r}: its posterior is not a shift of the raw "
            "score, and an engine's file cannot store any other posterior; use "
            "boostloss.onnx.to_onnx"
        )
    return shift


def calibrated_loss(loss: FittedLoss) -> FittedLoss:
    """Return the loss whose posterior is the link of calibrated raw scores."""
    return CrossEntropy(class_weight=[1.0] * loss.n_classes).fit(np.arange(loss.n_classes))


def read_state(text: str, source: str) -> State:
    """Read what :meth:`State.text` wrote. It is data only and cannot name code to run.

    Raises
    ------
    ValueError
        If no supported version can have written the text.
    """
    try:
        state = json.loads(text)
        if state["format"] not in READ_FORMATS:
            raise ValueError(f"format must be one of {READ_FORMATS}, got {state['format']!r}")
        labels = _read_labels(state["labels"])
        if state["format"] > 1 and state["positive"] != positive_of(labels.tolist()):
            raise ValueError(
                f"positive must be {positive_of(labels.tolist())!r}, got {state['positive']!r}"
            )
        loss = FittedLoss.from_dict(state["loss"], n_classes=len(labels))
        with np.errstate(all="ignore"):
            loss.posterior(np.zeros(1 if len(labels) == 2 else (1, len(labels))))
        read = State(
            labels,
            loss,
            check_choice("probability", state["probability"], PROBABILITIES),
            class_share=_read_shares("class_share", state, len(labels)),
            prior=_read_shares("prior", state, len(labels)),
            decision=_read_decision(state, labels),
            given_loss=_read_given_loss(state, len(labels)),
        )
        if read.prior is not None and read.class_share is None:
            raise ValueError(f"prior must be null without class_share, got {read.prior.tolist()}")
        return read
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{source} has a boostloss line that cannot be read: {why}") from error


def _read_shares(name: str, state: Any, n_classes: int) -> Array | None:
    plain = state[name] if state["format"] >= FORMAT_WITH_SHARES else None
    return None if plain is None else as_shares(name, plain, n_classes)


def _read_given_loss(state: Any, n_classes: int) -> Loss | None:
    plain = state["given_loss"] if state["format"] >= FORMAT_WITH_SHARES else None
    if plain is None:
        return None
    loss: Loss = from_dict(plain)
    loss.class_weights(np.ones(n_classes), n_classes)  # an error if they are of other classes
    return loss


def check_objective(state: State, wanted: str, found: list[str], source: str) -> None:
    """Raise an error unless the engine's model has the number of classes in the state."""
    if wanted not in found:
        raise ValueError(
            f"{source} must be a model of {len(state.labels)} classes, as its labels are, with "
            f"{wanted}"
        )


def positive_of(labels: list[Any]) -> Any:
    """Return the positive class as stored in files: the last of two labels, else None."""
    return labels[1] if len(labels) == 2 else None


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _read_decision(state: Any, labels: Array) -> Rule:
    plain = state["decision"] if state["format"] >= FORMAT_WITH_SHARES else "raw"
    if not isinstance(plain, str | float | list):
        raise TypeError(f"decision must be a string, a number or lists, got {_short(plain)}")
    return check_decision(plain, labels)


def _plain_labels(labels: Array) -> dict[str, Any]:
    """Convert sorted labels to the form in files, which :func:`_read_labels` reads."""
    plain = {"dtype": labels.dtype.str, "values": labels.tolist()}
    if _kind_of(plain) is None:
        raise TypeError(
            "labels must all be strings, bools, ints or floats to save the model, got "
            f"{_short(plain['values'])} of dtype {labels.dtype}"
        )
    return plain


def _read_labels(plain: Any) -> Array:
    """Read and check the labels of a file."""
    values, dtype, kind = plain["values"], plain["dtype"], _kind_of(plain)
    if kind is None:
        raise ValueError(f"labels must be of one plain kind, got {dtype!r} of {_short(values)}")
    if kind is str:  # as wide as the strings, whatever the file says
        labels = np.array(values, dtype=object if dtype[-1] == "O" else None)
    else:
        labels = np.array(values).astype(dtype)
    if len(values) < 2 or np.unique(labels).tolist() != values:
        raise ValueError(f"labels must be sorted and at least two, got {_short(values)}")
    return labels


def _kind_of(plain: Any) -> type | None:
    """Return the Python type of the labels if a file can store it and it matches their dtype."""
    values = plain["values"]
    kinds = {type(value) for value in values} if isinstance(values, list) else set()
    kind = kinds.pop() if len(kinds) == 1 else None
    fits = kind in _DTYPES and re.fullmatch(f"[<>|=]?({_DTYPES[kind]})", str(plain["dtype"]))
    return kind if fits else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


# -- the checksum -----------------------------------------------------------------------


def sealed(data: bytes) -> bytes:
    """Return a file's bytes with their checksum in place of :data:`UNSEALED`."""
    place = _PLACE.search(data)
    assert place is not None
    return data[: place.start(1)] + _checksum(data, place).encode() + data[place.end(1) :]


def check_seal(data: bytes | bytearray, source: str) -> None:
    """Raise an error unless these bytes are unchanged since they were saved.

    The engines do not check a file, and a truncated one can crash the process.
    """
    place = _PLACE.search(data)
    if place is None:
        raise ValueError(
            f"{source} must be a model saved by this class, got a file without boostloss's data: "
            "it is truncated, or was saved by another class"
        )
    if _checksum(data, place) != place[1].decode():
        raise ValueError(f"{source} is not as it was saved: it is damaged or was changed")


def _checksum(data: bytes | bytearray, place: re.Match[Any]) -> str:
    view, checksum = memoryview(data), hashlib.sha256()
    for part in (view[: place.start(1)], UNSEALED.encode(), view[place.end(1) :]):
        checksum.update(part)
    return checksum.hexdigest()
