"""Objectives: one callable that joins a loss to whichever engine calls it."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np

from boostloss import _engine_call
from boostloss.losses import CrossEntropy, FocalLoss, GHMLoss, Loss
from boostloss.losses._base import Memory
from boostloss.losses._class_weight import needs_counts
from boostloss.losses._threads import WORTHWHILE
from boostloss.losses._validation import Array, as_labels, as_sample_weight, n_classes_of
from boostloss.losses._workers import ALONE, Workers
from boostloss.recorder import TALLY_COST, Recorder, check_recorder


class Objective:
    """Gradient and Hessian of a loss for XGBoost and LightGBM.

    The same object works as ``obj=`` of ``xgb.train`` and ``xgb.cv``,
    ``params["objective"]`` of ``lgb.train`` and ``lgb.cv``, and ``objective=`` of
    ``XGBClassifier`` and ``LGBMClassifier``, with sample weights, binary and multiclass. It
    can be pickled and shared: what a loss remembers between rounds is kept for each training
    run by itself and is neither copied nor pickled.

    Parameters
    ----------
    loss : Loss
        For example ``FocalLoss(gamma=2)``.
    recorder : Recorder, optional
        Sees every round; copies made for training share it, a pickle leaves it behind.

    Notes
    -----
    An engine's constant start and link are its own: give ``xgb.train`` the parameter
    ``{"objective": "binary:logistic"}`` beside ``obj=``, or use
    :func:`boostloss.xgboost.train` and :func:`boostloss.lightgbm.train`, which do all of it.
    """

    def __init__(self, loss: Loss, *, recorder: Recorder | None = None) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a boostloss loss such as FocalLoss(), got {loss!r}")
        self.loss = loss
        self.recorder = check_recorder(recorder)
        self.__name__ = f"{loss.name}_objective"
        self._memories: weakref.WeakKeyDictionary[Any, Memory] = weakref.WeakKeyDictionary()

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        """``f(raw, data_set)`` as engines call, or ``f(y, raw, sample_weight)``.

        Returns
        -------
        gradient, hessian : float32 arrays of the raw scores' shape
        """
        booster = _engine_call.calling_booster()
        try:
            return self._gradient_hessian(booster, first, second, sample_weight)
        except Exception:
            _engine_call.leave_network(booster)
            raise

    def _gradient_hessian(
        self, booster: Any, first: Any, second: Any, sample_weight: Any
    ) -> tuple[Array, Array]:
        workers = _engine_call.workers_of(booster)
        call = workers.together(_engine_call.read, first, second, sample_weight)
        run = booster if booster is not None else call.data_set
        memory = {} if run is None else self._memories.setdefault(run, {})
        if "checked" not in memory and _engine_call.cannot_sum(booster):
            check_sums_needed(self.loss)
            _check_resolved(self.loss)
            memory["checked"] = True  # this machine may hold one class only
        if "checked" not in memory:
            check_two_classes(call.y, workers)
            _check_some_weight(call.sample_weight, np.size(call.y), workers)
            memory["checked"] = True
            self._release_outputs()
        raw = _engine_call.scores_of(call, workers)
        n_classes = n_classes_of(raw)
        factor = _engine_call.hessian_factor(_engine_call.engine_of(run), n_classes)
        worthwhile = WORTHWHILE if self.recorder is None else WORTHWHILE // TALLY_COST
        if raw.size >= worthwhile and "n_threads" not in memory:
            memory["n_threads"] = _engine_call.thread_limit(run)
        gradient, hessian = self.loss.gradient_hessian(
            call.y,
            raw,
            call.sample_weight,
            factor=factor,
            memory=memory,
            n_threads=memory.get("n_threads", 1),
            workers=workers,
        )
        if self.recorder is not None:
            self.recorder.see(call.y, raw, gradient, memory)
        return gradient, hessian

    def _release_outputs(self) -> None:
        """Whoever keeps a model need not keep the gradients of its last round."""
        for reference in self._memories.keyrefs():
            run = reference()
            if run is not None:
                self._memories.get(run, {}).pop("outputs", None)

    def __repr__(self) -> str:
        return f"objective({self.loss!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Objective) and self.loss == other.loss

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Objective:
        return Objective(copy.deepcopy(self.loss, memo), recorder=self.recorder)

    def __getstate__(self) -> dict[str, Any]:
        return {"loss": self.loss}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["loss"])  # type: ignore[misc]


def check_two_classes(y: Any, workers: Workers = ALONE) -> None:
    """Raise if there is nothing to learn: fewer than two different labels on all workers."""
    labels = workers.together(as_labels, y)
    ends = [labels.max(), -labels.min()] if labels.size else [-np.inf, -np.inf]
    highest, lowest = workers.largest(np.array(ends)) * (1, -1)
    if highest == lowest:
        raise ValueError(f"y must hold at least two classes, got only {highest:g}")


def check_sums_needed(loss: Loss) -> None:
    """Raise for a loss that must know all rows, where nothing sums over the machines."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a boostloss loss such as FocalLoss(), got {loss!r}")
    if loss.weights_move:
        raise ValueError(
            "loss must not be GHM with LightGBM on several machines: its density is that of all "
            "rows in every round, and LightGBM gives Python no way to sum over them; use XGBoost "
            "(boostloss.xgboost.dask_train), or FocalLoss or CrossEntropy with a class_weight"
        )


def _check_resolved(loss: Loss) -> None:
    """Raise for class weights that each machine would count on its own rows."""
    if needs_counts(loss.class_weight):
        raise ValueError(
            f"class_weight={loss.class_weight!r} must be counted on all rows, and LightGBM gives "
            "Python no way to sum over several machines: give the objective "
            "loss.resolve(*boostloss.dask.class_counts(y)), or use boostloss.lightgbm.dask_train"
        )


def _check_some_weight(sample_weight: Any, n_rows: int, workers: Workers) -> None:
    """Raise if the rows of all workers together have no weight."""
    if workers.alone:
        return  # the loss sees to it
    weight = workers.together(as_sample_weight, sample_weight, n_rows, zero_allowed=True)
    total = float(n_rows) if weight is None else weight.sum(dtype=np.float64)
    if workers.sum(np.array([total]))[0] == 0:
        raise ValueError("sample_weight must not be all zero")


def objective(loss: Loss, *, recorder: Recorder | None = None) -> Objective:
    """Objective of any loss; see :class:`Objective`."""
    return Objective(loss, recorder=recorder)


def balanced_ce_obj(
    class_weight: Any = "balanced", *, recorder: Recorder | None = None, **parameters: Any
) -> Objective:
    """Objective of ``CrossEntropy(class_weight="balanced")``; takes its parameters."""
    loss = CrossEntropy(class_weight=class_weight, **parameters)
    return Objective(loss, recorder=recorder)


def focal_obj(
    gamma: Any = 2.0,
    alpha: float | None = None,
    *,
    recorder: Recorder | None = None,
    **parameters: Any,
) -> Objective:
    """Objective of :class:`~boostloss.FocalLoss`; takes its parameters.

    Examples
    --------
    >>> from boostloss import focal_obj
    >>> focal_obj(gamma=2)
    objective(FocalLoss(gamma=2))
    """
    return Objective(FocalLoss(gamma, alpha, **parameters), recorder=recorder)


def ghm_obj(
    bins: int = 10,
    density: str = "class",
    *,
    recorder: Recorder | None = None,
    **parameters: Any,
) -> Objective:
    """Objective of :class:`~boostloss.GHMLoss`; takes its parameters."""
    return Objective(GHMLoss(bins, density, **parameters), recorder=recorder)
