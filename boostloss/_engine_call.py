"""Who is calling: the engine, its data set and the booster, told apart without importing any.

An engine calls ``f(raw, data_set)``; its scikit-learn wrapper ``f(y, raw[, weight])``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, NamedTuple

import joblib
import numpy as np

from boostloss import _collective
from boostloss.losses._validation import Array, as_raw
from boostloss.losses._workers import ALONE, Workers

ENGINES = ("xgboost", "lightgbm")


class Call(NamedTuple):
    """Arguments of a callable in one order, whoever called."""

    y: Any
    raw: Any
    sample_weight: Any
    data_set: Any


def read(first: Any, second: Any, sample_weight: Any) -> Call:
    """Sort the arguments that an engine or its scikit-learn wrapper gave."""
    if not hasattr(second, "get_label"):
        return Call(first, second, sample_weight, None)
    label, weight = second.get_label(), second.get_weight()
    if label is None or (np.size(label) == 0 and np.size(first)):
        raise ValueError("y must be given: the data set has no labels")
    if weight is not None and np.size(weight) == 0:  # XGBoost's way to say "none"
        weight = None
    return Call(label, first, weight, second)


def engine_of(thing: Any) -> str | None:
    """Name of the engine that an object's class comes from."""
    for base in type(thing).__mro__:
        root = base.__module__.partition(".")[0]
        if root in ENGINES:
            return root
    return None


def calling_booster() -> Any:
    """The Booster whose ``update`` or ``eval_set`` is on the stack, or None.

    It is what identifies a training run: the same callable serves all folds of a ``cv`` and
    several trainings, on the same data set even, and an engine tells a callable nothing more.
    """
    frame = sys._getframe(2)
    for _ in range(8):
        if frame.f_code.co_name in ("update", "eval_set"):
            owner = frame.f_locals.get("self")
            if owner is not None and engine_of(owner) and hasattr(owner, "save_model"):
                return owner
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def scores_of(call: Call, workers: Workers) -> Array:
    """Raw scores as an array; those of no rows get the shape that other workers' have."""
    if workers.alone:
        return as_raw(call.raw)
    # XGBoost hands out none as (0,), or from 3.4 on as (0, 0)
    raw = as_raw(call.raw) if np.size(call.raw) else np.empty(0, np.float32)
    mine = raw.shape[1] if raw.ndim == 2 else 0
    n_classes = int(workers.largest(np.array([mine]))[0])
    return raw.reshape(0, n_classes) if n_classes and not raw.size else raw


def workers_of(booster: Any) -> Workers:
    """The processes that train this booster together, each with rows of its own.

    Only a booster on the stack is sure to be trained by all of them just now.
    """
    return _collective.current() if engine_of(booster) == "xgboost" else ALONE


def cannot_sum(booster: Any) -> bool:
    """Whether several machines train this booster and nothing sums over them: LightGBM's do."""
    params = getattr(booster, "params", None) or {}
    return engine_of(booster) == "lightgbm" and int(params.get("num_machines") or 1) > 1


def leave_network(booster: Any) -> None:
    """Before an error ends LightGBM's training on several machines.

    LightGBM would leave its network, one for the whole process, only when the failed booster is
    collected: as a rule in the middle of the next training, which then fails.
    """
    if cannot_sum(booster):
        booster.free_network()


def hessian_factor(engine: str | None, n_classes: int) -> float:
    """Constant in front of each engine's softmax Hessian ``p_k (1 - p_k)``."""
    return n_classes / (n_classes - 1.0) if engine == "lightgbm" else 2.0


_THREAD_ALIASES = ("num_threads", "num_thread", "nthread", "nthreads", "n_jobs")


def thread_limit(booster: Any) -> int:
    """Threads that the caller allows: the engine's number, and ``OMP_NUM_THREADS``.

    Where the engine has none, all processors of this process in the main thread, and one in any
    other, since whoever trains in threads of their own has shared out the processors; one in
    joblib's threads always.
    """
    if _in_joblib_thread():
        return 1
    limits = [*_engine_limit(booster), *_openmp_limit()]
    if not _engine_limit(booster):
        limits.append(int(joblib.cpu_count()) if _in_main_thread() else 1)
    return max(1, min(limits))


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _in_joblib_thread() -> bool:
    backend, _ = joblib.parallel.get_active_backend()
    return not _in_main_thread() and bool(getattr(backend, "nesting_level", 0))


def _openmp_limit() -> list[int]:
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return [int(first)] if first.isdigit() and int(first) > 0 else []


def _engine_limit(booster: Any) -> list[int]:
    engine = engine_of(booster)
    if engine == "xgboost" and hasattr(booster, "save_config"):
        config = json.loads(booster.save_config())
        threads = int(config["learner"]["generic_param"].get("nthread", 0))
    elif engine == "lightgbm":
        params = getattr(booster, "params", None) or {}
        threads = next((int(params[name]) for name in _THREAD_ALIASES if params.get(name)), 0)
    else:
        threads = 0
    return [threads] if threads > 0 else []
