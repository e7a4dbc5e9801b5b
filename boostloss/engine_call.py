"""Find out which engine calls, with which data and processes, without importing an engine.

An engine calls ``f(raw, data_set)``. Its scikit-learn wrapper calls ``f(y, raw[, weight])``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import joblib
import numpy as np

from boostloss.losses import ALONE, Workers
from boostloss.losses.run import Result
from boostloss.losses.validation import Array, as_raw


class Call(NamedTuple):
    """Arguments of a callable in the same order for all callers."""

    y: Any
    raw: Any
    sample_weight: Any
    data_set: Any


def read(first: Any, second: Any, sample_weight: Any) -> Call:
    """Sort the arguments that an engine or its scikit-learn wrapper passed."""
    if not hasattr(second, "get_label"):
        return Call(first, second, sample_weight, None)
    label, weight = second.get_label(), second.get_weight()
    if label is None or (np.size(label) == 0 and np.size(first)):
        raise ValueError("y must be given: the data set has no labels")
    if weight is not None and np.size(weight) == 0:  # XGBoost passes this for no weights
        weight = None
    return Call(label, first, weight, second)


def engine_of(thing: Any) -> str | None:
    """Return the name of the engine that defines an object's class."""
    for base in type(thing).__mro__:
        root = base.__module__.partition(".")[0]
        if root in ("xgboost", "lightgbm"):
            return root
    return None


def scores_of(call: Call, workers: Workers) -> Array:
    """Return raw scores as an array. Without rows, it gets the shape of other workers' scores."""
    if workers.alone:
        return as_raw(call.raw)
    # without rows XGBoost passes shape (0,), or (0, 0) from 3.4 on
    raw = as_raw(call.raw) if np.size(call.raw) else np.empty(0, np.float32)
    mine = raw.shape[1] if raw.ndim == 2 else 0
    n_classes = int(workers.largest(np.array([mine]))[0])
    return raw.reshape(0, n_classes) if n_classes and not raw.size else raw


def hessian_factor(engine: str | None, n_classes: int) -> float:
    """Return the engine's factor of the softmax Hessian ``p_k (1 - p_k)``."""
    return n_classes / (n_classes - 1.0) if engine == "lightgbm" else 2.0


# -- the processes that train together ---------------------------------------------------------


class CollectiveWorkers(Workers):
    """The processes of XGBoost's communicator, which Dask, Ray and plain trackers use."""

    alone = False

    def __init__(self, collective: Any) -> None:
        self._collective = collective

    def sum(self, array: Array) -> Array:
        """Return the sum of the workers' arrays, element by element."""
        return self._reduce(array, self._collective.Op.SUM)

    def largest(self, array: Array) -> Array:
        """Return the maximum of the workers' arrays, element by element."""
        return self._reduce(array, self._collective.Op.MAX)

    def together(self, check: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """Call ``check``. If it raises on one worker, raise the same error on all of them."""
        error: Exception | None = None
        try:
            result = check(*arguments, **keywords)
        except (TypeError, ValueError) as raised:
            error = raised
        mine = self._collective.get_rank() + 1
        first = int(self.largest(np.array([0 if error is None else mine]))[0]) - 1
        if first < 0:
            return result
        raised_here = (type(error).__name__, str(error)) if first == mine - 1 else None
        kind, message = self._collective.broadcast(raised_here, first)
        n_workers = self._collective.get_world_size()
        kind = TypeError if kind == "TypeError" else ValueError
        raise kind(f"{message} (on worker {first} of {n_workers})") from error

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on any worker."""
        return bool(self.largest(np.array([int(flag)]))[0])

    def _reduce(self, array: Array, operation: Any) -> Array:
        # one type for all, since workers would misread the bytes of another type
        sent = np.ascontiguousarray(array, dtype=np.float64)
        received: Array = self._collective.allreduce(sent, operation)
        return received.reshape(sent.shape)


def xgboost_workers() -> Workers:
    """Return the processes that train together with this one, or this one alone."""
    # if xgboost is not imported, there are no other processes
    collective = sys.modules.get("xgboost.collective")
    if collective is None or collective.get_world_size() == 1:
        return ALONE
    return CollectiveWorkers(collective)


def looks_like_lightgbm(raw: Any) -> bool:
    """Return whether scores may come from LightGBM, which alone stores them class after class."""
    by_class = isinstance(raw, np.ndarray) and raw.ndim == 2 and not raw.flags.c_contiguous
    return by_class and "lightgbm" in sys.modules


def cannot_sum(booster: Any) -> bool:
    """Return whether several machines train this booster without sums over them, as in LightGBM."""
    params = getattr(booster, "params", None) or {}
    return engine_of(booster) == "lightgbm" and int(params.get("num_machines") or 1) > 1


def leave_network(booster: Any) -> None:
    """Free LightGBM's network before an error ends a training on several machines.

    The process has only one network. LightGBM would free it when the failed booster is garbage
    collected, which usually happens during the next training and makes it fail.
    """
    if cannot_sum(booster):
        booster.free_network()


def raise_interruption(error: Exception) -> None:
    """Raise the KeyboardInterrupt that caused a SystemError, if there is one.

    If Ctrl-C interrupts the start of a compiled function, Python raises ``SystemError: ... returned
    a result with an exception set``, once or several times, with the interruption as first cause.
    """
    cause: BaseException | None = error
    while isinstance(cause, SystemError):
        cause = cause.__cause__
    if isinstance(cause, KeyboardInterrupt):
        raise cause


# -- threads -----------------------------------------------------------------------------------

THREAD_ALIASES = ("num_threads", "num_thread", "nthread", "nthreads", "n_jobs")


def thread_limit(stated: int = 0) -> int:
    """Return the number of threads allowed by the engine and by ``OMP_NUM_THREADS``.

    If the engine states none (0), it is the number of processors in the main thread, and 1 in any
    other thread, since a caller with several threads has already divided up the processors.
    """
    limits = [stated] if stated > 0 else []
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if first.isdigit() and int(first) > 0:
        limits.append(int(first))
    if stated <= 0:
        in_main_thread = threading.current_thread() is threading.main_thread()
        limits.append(int(joblib.cpu_count()) if in_main_thread else 1)
    return max(1, min(limits))


def stated_threads(booster: Any) -> int:
    """Return the number of threads stated by a booster or a dict of parameters, or 0."""
    if engine_of(booster) == "xgboost" and hasattr(booster, "save_config"):
        config = json.loads(booster.save_config())
        return int(config["learner"]["generic_param"].get("nthread", 0))
    params = booster if isinstance(booster, dict) else getattr(booster, "params", None) or {}
    return next((int(params[name]) for name in THREAD_ALIASES if params.get(name)), 0)
