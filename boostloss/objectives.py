"""Define objectives: callables that pass the gradient and Hessian of a loss to an engine."""

from __future__ import annotations

import copy
import warnings
import weakref
from dataclasses import dataclass, field
from typing import Any, Self, Unpack

import numpy as np

from boostloss import engine_call
from boostloss.calling_booster import calling_booster
from boostloss.losses import (
    ALONE,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    Loss,
    LossName,
    TrainingRun,
    Workers,
    named,
)  # fmt: skip
from boostloss.losses.class_weight import ClassWeight, needs_counts
from boostloss.losses.focal import FocalParameters
from boostloss.losses.ghm import Density, GHMParameters
from boostloss.losses.validation import Array, as_labels, as_sample_weight, n_classes_of
from boostloss.recorder import RECORDING_COST, Recorder, Recording, check_recorder

MANY_SCORES = 1 << 22
"""Number of scores from which several threads are used. With fewer, one thread is fastest."""


@dataclass
class ObjectiveRun(TrainingRun):
    """A :class:`~boostloss.losses.TrainingRun`, and what the objective keeps beside it.

    Attributes
    ----------
    engine : {"xgboost", "lightgbm"} or None
        Who trains.
    cannot_sum : bool
        Whether there are other machines, to which nothing sums.
    stated_threads : int
        The engine's number of threads; 0 if none is stated.
    threads_known : bool
        Whether ``n_threads`` has been found.
    call : tuple or None
        Weak reference to the last round's data set, its labels and weights: an engine copies them
        at each call.
    owns_outputs : bool
        Whether nobody else holds the arrays of a former round: many scores are then written to
        the same ones.
    outputs : dict
        Those arrays.
    recording : Recording or None
        The recorder's notes of this run.
    """

    engine: str | None = None
    cannot_sum: bool = False
    stated_threads: int = 0
    threads_known: bool = False
    call: tuple[Any, Any, Any] | None = None
    owns_outputs: bool = False
    outputs: dict[str, Array] = field(default_factory=dict)
    recording: Recording | None = None

    def remember(self, call: engine_call.Call) -> None:
        """Keep the labels and weights of a data set as long as it exists."""
        if call.data_set is None:
            return
        this_run = weakref.ref(self)

        def forget(data_set: Any) -> None:
            run = this_run()
            if run is not None:
                run.call = run.inputs = run.y = run.sample_weight = None

        self.call = (weakref.ref(call.data_set, forget), call.y, call.sample_weight)

    def remembered(self, raw: Any, data_set: Any) -> engine_call.Call | None:
        """Return the call for ``f(raw, data_set)`` if the data set is that of the last round."""
        if self.call is None or self.call[0]() is not data_set:
            return None
        return engine_call.Call(self.call[1], raw, self.call[2], data_set)

    def outputs_like(self, raw: Array) -> dict[str, Array]:
        """Return arrays to reuse if allocating new ones takes longer than the loss.

        That is so from about 4 million rows on. The system's work on new pages does not use several
        threads either.
        """
        if not self.owns_outputs or raw.size < MANY_SCORES:
            return {}
        if not self.outputs or self.outputs["gradient_out"].shape != raw.shape:
            names = ("gradient_out", "hessian_out")
            self.outputs = {name: np.empty_like(raw, dtype=np.float32) for name in names}
        return self.outputs


class Objective:
    """Gradient and Hessian of a loss for XGBoost and LightGBM.

    The same object works as ``obj=`` of ``xgb.train`` and ``xgb.cv``,
    ``params["objective"]`` of ``lgb.train`` and ``lgb.cv``, and ``objective=`` of
    ``XGBClassifier`` and ``LGBMClassifier``, with sample weights, for two classes or more. It
    can be pickled and shared. The state of each training run is separate, and is neither copied
    nor pickled.

    Parameters
    ----------
    loss : Loss
        For example ``FocalLoss(gamma=2)``.
    recorder : Recorder, optional
        Records every round. Copies made for training share it, and a pickle does not contain it.

    See Also
    --------
    objective : Makes the objective of a loss.
    Metric : The mean of a loss, or the log loss of its posterior.

    Notes
    -----
    An objective does not set the engine's intercept and link. Pass ``xgb.train`` the parameter
    ``{"objective": "binary:logistic"}`` together with ``obj=``, or use
    :func:`boostloss.xgboost.train` and :func:`boostloss.lightgbm.train`, which set both.

    Labels and weights of a data set are read once in a training. Later changes to the data
    set have no effect.
    """

    def __init__(self, loss: Loss, *, recorder: Recorder | None = None) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a boostloss loss such as FocalLoss(), got {loss!r}")
        self.loss = loss
        self.recorder = check_recorder(recorder)
        self.__name__ = f"{loss.name}_objective"
        self._runs: weakref.WeakKeyDictionary[Any, ObjectiveRun] = weakref.WeakKeyDictionary()

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        """Compute gradient and Hessian from ``(raw, data_set)`` or ``(y, raw, sample_weight)``.

        Returns
        -------
        gradient, hessian : float32 arrays of the raw scores' shape
        """
        try:
            return self._gradient_hessian(first, second, sample_weight)
        except Exception as error:
            engine_call.leave_network(calling_booster())
            engine_call.raise_interruption(error)
            raise

    def _gradient_hessian(self, first: Any, second: Any, sample_weight: Any) -> tuple[Array, Array]:
        run = self._run_of(second)
        call = run.remembered(first, second)
        if call is None:
            call = run.workers.together(engine_call.read, first, second, sample_weight)
            if run.inputs is None:
                self._check_first_round(call, run)
            run.remember(call)
        raw = engine_call.scores_of(call, run.workers)
        cost = 1 if self.recorder is None else RECORDING_COST
        if raw.size * cost >= MANY_SCORES and not run.threads_known:
            run.n_threads, run.threads_known = engine_call.thread_limit(run.stated_threads), True
        gradient, hessian = self.loss.gradient_hessian(
            call.y,
            raw,
            call.sample_weight,
            factor=engine_call.hessian_factor(run.engine, n_classes_of(raw)),
            run=run,
            **run.outputs_like(raw),
        )
        if self.recorder is not None:
            run.recording = self.recorder.record(run.recording, run, raw, gradient)
        return gradient, hessian

    def _run_of(self, data: Any) -> ObjectiveRun:
        """Return the run of the booster on the stack, of the data set, or one for this call."""
        booster = calling_booster()
        key = data if booster is None and hasattr(data, "get_label") else booster
        run = None if key is None else self._runs.get(key)
        if run is None:
            run = ObjectiveRun(engine=engine_call.engine_of(key))
            if booster is None:
                self._warn_of_unknown_run(data)
            else:
                run.cannot_sum = engine_call.cannot_sum(booster)
                run.stated_threads = engine_call.stated_threads(booster)
                # only for a booster on the stack it is certain that all workers are training it now
                if run.engine == "xgboost":
                    run.workers = engine_call.xgboost_workers()
            if key is not None:
                self._runs[key] = run
        return run

    def _warn_of_unknown_run(self, data: Any) -> None:
        matters = {
            "momentum": bool(getattr(self.loss, "momentum", 0)),
            "recorder": self.recorder is not None,
            "several workers": not engine_call.xgboost_workers().alone,
            "softmax on LightGBM": engine_call.looks_like_lightgbm(data),
        }
        concerned = [name for name, does in matters.items() if does]
        if concerned:
            warnings.warn(
                f"no training was found that calls this objective, which matters for "
                f"{', '.join(concerned)}: use boostloss.xgboost.train, boostloss.lightgbm.train or "
                "a boostloss classifier instead",
                stacklevel=5,
            )

    def _check_first_round(self, call: engine_call.Call, run: ObjectiveRun) -> None:
        if run.cannot_sum:  # this machine may have only one class
            check_sums_needed(self.loss)
            _check_counted(self.loss)
        else:
            check_two_classes(call.y, run.workers)
            _check_some_weight(call.sample_weight, np.size(call.y), run.workers)

    def __repr__(self) -> str:
        return f"objective({self.loss!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Objective) and self.loss == other.loss

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = type(self).__new__(type(self))  # copy.copy would use the pickled state
        made.__dict__.update(self.__dict__, loss=copy.deepcopy(self.loss, memo))
        made._forget()
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {"loss": self.loss}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["loss"])  # type: ignore[misc]

    def _forget(self) -> None:
        self._runs = weakref.WeakKeyDictionary()


class TrainingObjective(Objective):
    """The objective of one training, which knows its run; see :func:`training_objective`."""

    def __init__(
        self, loss: Loss, engine: str, n_threads: int = 0, recorder: Recorder | None = None
    ) -> None:
        super().__init__(loss, recorder=recorder)
        self.engine = engine
        self.n_threads = n_threads
        self._only_run: ObjectiveRun | None = None

    def _run_of(self, data: Any) -> ObjectiveRun:
        """Return the run of a data set, as of a fold, or the only one."""
        of_data = hasattr(data, "get_label")
        run = self._runs.get(data) if of_data else self._only_run
        if run is None:
            workers = engine_call.xgboost_workers() if self.engine == "xgboost" else ALONE
            run = ObjectiveRun(
                workers, engine=self.engine, stated_threads=self.n_threads, owns_outputs=True
            )
            if of_data:
                self._runs[data] = run
            else:
                self._only_run = run
        return run

    def _check_first_round(self, call: engine_call.Call, run: ObjectiveRun) -> None:
        """Check nothing: the creator of this objective has checked the labels of all rows."""

    def __getstate__(self) -> dict[str, Any]:
        return {"loss": self.loss, "engine": self.engine, "n_threads": self.n_threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _forget(self) -> None:
        super()._forget()
        self._only_run = None


def training_objective(
    loss: Loss, engine: str, *, n_threads: int = 0, recorder: Recorder | None = None
) -> TrainingObjective:
    """Return an objective for one training, or one ``cv``, whose labels have been checked.

    Parameters
    ----------
    loss : Loss
    engine : {"xgboost", "lightgbm"}
    n_threads : int, default=0
        What the engine's parameters state; 0 if nothing.
    recorder : Recorder, optional
    """
    return TrainingObjective(loss, engine, n_threads, recorder)


def check_two_classes(y: Any, workers: Workers = ALONE) -> None:
    """Raise an error if there are fewer than two different labels on all workers."""
    labels = workers.together(as_labels, y)
    ends = [labels.max(), -labels.min()] if labels.size else [-np.inf, -np.inf]
    highest, lowest = workers.largest(np.array(ends)) * (1, -1)
    if highest == lowest:
        raise ValueError(f"y must contain at least two classes, got only {highest:g}")


def check_sums_needed(loss: Loss) -> None:
    """Raise an error for a loss that needs sums over all machines."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a boostloss loss such as FocalLoss(), got {loss!r}")
    if loss.depends_on_all_scores:
        raise ValueError(
            "loss must not be GHM with LightGBM on several machines: its density is that of all "
            "rows in every round, and LightGBM gives Python no way to sum over them; use XGBoost "
            "(boostloss.xgboost.dask_train), or FocalLoss or CrossEntropy with a class_weight"
        )


def _check_counted(loss: Loss) -> None:
    """Raise an error for class weights that each machine would count on its own rows."""
    if needs_counts(loss.class_weight):
        raise ValueError(
            f"class_weight={loss.class_weight!r} must be counted on all rows, and LightGBM gives "
            "Python no way to sum over several machines: give the objective "
            "loss.fit(y, sample_weight=counts).loss, with labels and counts of "
            "boostloss.dask.class_counts(y), or use boostloss.lightgbm.dask_train"
        )


def _check_some_weight(sample_weight: Any, n_rows: int, workers: Workers) -> None:
    """Raise an error if the rows of all workers together have no weight."""
    if workers.alone:
        return  # the loss checks it
    weight = workers.together(as_sample_weight, sample_weight, n_rows, zero_allowed=True)
    total = float(n_rows) if weight is None else weight.sum(dtype=np.float64)
    if workers.sum(np.array([total]))[0] == 0:
        raise ValueError("sample_weight must not be all zero")


def objective(loss: Loss | LossName, *, recorder: Recorder | None = None) -> Objective:
    """Make the objective of any loss.

    Parameters
    ----------
    loss : Loss or str
        The loss, or its name.
    recorder : Recorder, optional
        Records gradient norms and weights of each round.

    Returns
    -------
    Objective
        A callable for ``obj=`` of XGBoost, the parameter ``objective`` of LightGBM and of both
        engines' scikit-learn classes.

    See Also
    --------
    metric : The metric of a loss.
    """
    return Objective(named(loss), recorder=recorder)


def balanced_ce_obj(
    class_weight: ClassWeight = "balanced",
    *,
    recorder: Recorder | None = None,
    beta: float = 0.9999,
) -> Objective:
    """Make the objective of balanced cross-entropy.

    Parameters
    ----------
    class_weight : None, "balanced", "effective", float, dict or sequence, default="balanced"
        Weight of each class.
    recorder : Recorder, optional
        Records gradient norms and weights of each round.
    beta : float in [0, 1), default=0.9999
        Overlap of samples, used by ``class_weight="effective"`` only.

    Returns
    -------
    Objective
        A callable for ``obj=`` of XGBoost, the parameter ``objective`` of LightGBM and of both
        engines' scikit-learn classes.

    See Also
    --------
    balanced_ce_metric : The metric.
    """
    loss = CrossEntropy(class_weight=class_weight, beta=beta)
    return Objective(named(loss), recorder=recorder)


def focal_obj(
    gamma: Any = 2.0,
    alpha: float | None = None,
    *,
    recorder: Recorder | None = None,
    **parameters: Unpack[FocalParameters],
) -> Objective:
    """Make the objective of focal loss.

    Parameters
    ----------
    gamma : float or sequence, default=2.0
        Focusing parameter, at least 0: one number, or one for each class.
    alpha : float in (0, 1), optional
        Weight of positives. The weight of negatives is 1 - alpha. Two classes only.
    recorder : Recorder, optional
        Records gradient norms and weights of each round.
    **parameters : dict
        Further parameters of :class:`~boostloss.FocalLoss`.

    Returns
    -------
    Objective
        A callable for ``obj=`` of XGBoost, the parameter ``objective`` of LightGBM and of both
        engines' scikit-learn classes.

    See Also
    --------
    focal_metric : The metric.

    Examples
    --------
    >>> from boostloss import focal_obj
    >>> focal_obj(gamma=2)
    objective(FocalLoss(gamma=2))
    """
    return Objective(FocalLoss(gamma, alpha, **parameters), recorder=recorder)


def ghm_obj(
    bins: int = 10,
    density: Density = "class",
    *,
    recorder: Recorder | None = None,
    **parameters: Unpack[GHMParameters],
) -> Objective:
    """Make the objective of the gradient harmonizing mechanism (GHM).

    Parameters
    ----------
    bins : int, default=10
        Number of regions of the gradient norm, at least 1.
    density : {"class", "bins", "window"}, default="class"
        How the density of the gradient norm is estimated.
    recorder : Recorder, optional
        Records gradient norms and weights of each round.
    **parameters : dict
        Further parameters of :class:`~boostloss.GHMLoss`.

    Returns
    -------
    Objective
        A callable for ``obj=`` of XGBoost, the parameter ``objective`` of LightGBM and of both
        engines' scikit-learn classes.

    See Also
    --------
    ghm_metric : The metric.
    """
    return Objective(GHMLoss(bins, density, **parameters), recorder=recorder)
