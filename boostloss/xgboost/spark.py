"""XGBoost on Spark without estimators: ``train`` with ``loss=`` in barrier tasks."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import boostloss.xgboost
from boostloss import engine_call
from boostloss.losses import FittedLoss, Loss, Workers, named
from boostloss.losses.validation import LABEL_LIMIT, Array, check_integer, check_labels
from boostloss.objectives import check_two_classes
from boostloss.optional import require
from boostloss.xgboost import Params

pd = require("pandas", "spark")
xgb = require("xgboost", "xgboost")
require("pyspark", "spark")

_ERRORS = {"TypeError": TypeError, "ValueError": ValueError}


class Columns(NamedTuple):
    """Names of a data frame's columns."""

    features: str | list[str]
    label: str
    weight: str | None
    validation: str | None


def spark_train(
    params: Params,
    data: Any,
    num_boost_round: int = 10,
    *,
    loss: Loss | str,
    features: str | Sequence[str] = "features",
    label: str = "label",
    weight: str | None = None,
    validation_indicator: str | None = None,
    num_workers: int = 1,
    missing: float = np.nan,
    custom_metric: Callable[..., Any] | None = None,
    **keywords: Any,
) -> dict[str, Any]:
    """Train on a Spark data frame with a loss.

    Each of ``num_workers`` barrier tasks trains on its partition, and XGBoost's communicator
    connects them. Class weights, the intercept, GHM's density and the metrics are computed from the
    rows of all tasks. A task may have rows of one class only. If features have few distinct values,
    so that XGBoost's sketch of them is exact, the model is that of
    :func:`boostloss.xgboost.train`. The function uses only public functions of Spark and XGBoost.

    Parameters
    ----------
    params : dict
        XGBoost's parameters, as in :func:`boostloss.xgboost.train`. The default of ``nthread`` is
        ``spark.task.cpus``.
    data : pyspark.sql.DataFrame
        Rows with labels 0..K-1, for example from ``pyspark.ml.feature.StringIndexer``. A code
        without rows is a class without rows, as in :func:`boostloss.xgboost.train`.
    num_boost_round : int
        Number of rounds.
    loss : Loss or str
        For example ``FocalLoss(gamma=2)``, or the name of a loss with default parameters.
    features : str or sequence of str, default="features"
        A column of vectors (dense or sparse) or arrays, or several columns of numbers.
    label, weight, validation_indicator : str
        Names of columns. Rows whose validation indicator is true are the evaluation set
        "validation". The others are the training rows, "training".
    num_workers : int >= 1, default=1
        Number of barrier tasks. The cluster needs as many free slots.
    missing : float, default=nan
        The value that means missing. Entries that a sparse vector leaves out are 0.
    custom_metric : callable, optional
        As in :func:`boostloss.xgboost.train`.
    **keywords
        As in ``xgboost.train``: ``early_stopping_rounds``, ``callbacks`` and so on.

    Returns
    -------
    dict
        ``"booster"``, a native booster; ``"history"``; and ``"loss"``, the
        :class:`~boostloss.losses.FittedLoss` that computes probabilities. The booster contains it:
        :func:`boostloss.xgboost.predict_proba` needs nothing else.

    Raises
    ------
    ValueError, TypeError
        If columns do not exist or are not numbers, labels have one class only, or labels, weights
        or the objective do not fit the loss.

    Examples
    --------
    >>> from boostloss import FocalLoss
    >>> from boostloss.xgboost import spark_train
    >>> result = spark_train(  # doctest: +SKIP
    ...     {"max_depth": 4}, frame, 100, loss=FocalLoss(), features=["a", "b"], num_workers=4
    ... )
    """
    loss = named(loss)
    if not hasattr(data, "mapInPandas"):
        raise TypeError(f"data must be a Spark data frame, got {type(data).__name__}")
    check_integer("num_workers", num_workers, 1)
    given = features if isinstance(features, str) else list(features)
    columns = Columns(given, label, weight, validation_indicator)
    rows = _needed(data, columns).repartition(num_workers)
    threads = int(data.sparkSession.conf.get("spark.task.cpus", "1"))
    options = {"missing": missing, "nthread": int(params.get("nthread") or threads)}
    arguments = {
        "params": {**params, "nthread": options["nthread"]},
        "num_boost_round": num_boost_round,
        "loss": loss,
        "custom_metric": custom_metric,
        **keywords,
    }

    def work(frames: Iterator[Any]) -> Iterator[Any]:
        yield from _task(frames, columns, options, arguments)

    schema = "booster binary, history string, loss string, error string"
    found = rows.mapInPandas(work, schema, barrier=True).collect()[0]
    if found["error"]:
        kind, message = json.loads(found["error"])
        raise _ERRORS[kind](message)
    return {
        "booster": xgb.Booster(model_file=bytearray(found["booster"])),
        "history": json.loads(found["history"]),
        "loss": FittedLoss.from_dict(json.loads(found["loss"])),
    }


def _needed(data: Any, columns: Columns) -> Any:
    """Select the used columns, which must exist, with vectors as arrays."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions

    listed = [columns.features] if isinstance(columns.features, str) else columns.features
    for name in (*listed, columns.label, columns.weight, columns.validation):
        if name is not None and name not in data.columns:
            raise ValueError(f"data must have the column {name!r}, got {', '.join(data.columns)}")
    used = [name for name in (*listed, *columns[1:]) if name is not None]
    twice = sorted({name for name in used if used.count(name) > 1})
    if twice:
        raise ValueError(f"columns must be used once each, got twice: {', '.join(twice)}")
    if isinstance(columns.features, str):
        kind = data.schema[columns.features].dataType.typeName()
        if "array" not in kind:
            if "vector" not in kind:
                raise ValueError(
                    f"features must be a column of vectors or arrays, or a list of columns, got "
                    f"{columns.features!r} of type {kind}"
                )
            array = vector_to_array(functions.col(columns.features))
            data = data.withColumn(columns.features, array)
        used.remove(columns.features)
    _check_numbers(data, used)
    return data.select(*listed, *(name for name in used if name not in listed))


def _check_numbers(data: Any, names: list[str]) -> None:
    """Raise an error for columns such as strings of digits or dates, which Spark could convert."""
    from pyspark.sql.types import BooleanType, NumericType

    for name in names:
        kind = data.schema[name].dataType
        if not isinstance(kind, NumericType | BooleanType):
            raise ValueError(
                f"the column {name!r} must contain numbers or booleans "
                f"(pyspark.ml.feature.StringIndexer converts strings to codes), got "
                f"{kind.typeName()}"
            )


def _task(
    frames: Iterator[Any], columns: Columns, options: dict[str, Any], arguments: dict[str, Any]
) -> Iterator[Any]:
    """Run one barrier task: join the others and train. The first task returns the result."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    parts = [part for part in frames if len(part)]
    frame = pd.concat(parts) if parts else None
    first, tracker = context.partitionId() == 0, None
    if first:
        tracker, message = _tracker(context)
    else:
        message = ""
    worker: dict[str, Any] = json.loads(context.allGather(message)[0])
    worker["dmlc_task_id"] = str(context.partitionId())
    result: dict[str, Any] = dict.fromkeys(("booster", "history", "loss", "error"))
    try:
        with xgb.collective.CommunicatorContext(**worker):
            result |= _trained(frame, columns, options, arguments)
    except (TypeError, ValueError) as error:  # the same on all tasks
        kind = "TypeError" if isinstance(error, TypeError) else "ValueError"
        result["error"] = json.dumps([kind, str(error)])
    context.barrier()
    if first:
        del tracker
        yield pd.DataFrame([result])


def _tracker(context: Any) -> tuple[Any, str]:
    """Start the tracker that connects the tasks, and return it and its address."""
    from xgboost.tracker import RabitTracker

    infos = context.getTaskInfos()
    address = socket.gethostbyname(infos[0].address.rpartition(":")[0] or infos[0].address)
    tracker = RabitTracker(host_ip=address, n_workers=len(infos), sortby="task")
    tracker.start()
    return tracker, json.dumps(tracker.worker_args())


def _trained(
    frame: Any, columns: Columns, options: dict[str, Any], arguments: dict[str, Any]
) -> dict[str, Any]:
    workers = engine_call.xgboost_workers()
    X, y, weight = _rows(frame, columns, False, workers)
    workers.together(check_labels, y, LABEL_LIMIT)
    check_two_classes(y, workers)
    data = xgb.QuantileDMatrix(X, y, weight=weight, **options)
    evals, history = [(data, "training")], {}  # type: ignore[var-annotated]
    if columns.validation is not None:
        held_X, held_y, held_weight = _rows(frame, columns, True, workers)
        held_out = xgb.QuantileDMatrix(held_X, held_y, weight=held_weight, ref=data, **options)
        evals.append((held_out, "validation"))
    booster = boostloss.xgboost.train(
        dtrain=data,
        **{"evals": evals, "evals_result": history, "verbose_eval": False, **arguments},
    )
    best = booster.attr("best_iteration")
    if best is not None:  # keep the model that early stopping chose
        booster = booster[: int(best) + 1]
    raw = booster.predict(data, output_margin=True)
    raw = engine_call.scores_of(engine_call.Call(y, raw, weight, None), workers)
    fitted = arguments["loss"].fit(y, raw, weight, workers=workers)
    return {
        "booster": bytes(booster.save_raw("ubj")),
        "history": json.dumps(history),
        "loss": json.dumps(fitted.to_dict()),
    }


def _rows(
    frame: Any, columns: Columns, held_out: bool, workers: Workers
) -> tuple[Array, Array, Array | None]:
    """Return features, labels and weights of the training rows, or of the held-out rows."""
    if frame is not None and columns.validation is not None:
        frame = frame[frame[columns.validation].astype(bool) == held_out]
    X = workers.together(_features, frame, columns)
    width = int(workers.largest(np.array([X.shape[1]]))[0])
    if not len(X):  # a task without rows needs the number of features of the others
        X = np.empty((0, width), np.float32)
    names = (columns.label, columns.weight)
    y, weight = (None if name is None else _column(frame, name) for name in names)
    assert y is not None
    return X, y, weight


def _features(frame: Any, columns: Columns) -> Array:
    if frame is None or not len(frame):
        return np.empty((0, 0), np.float32)
    if not isinstance(columns.features, str):
        X: Array = frame[columns.features].to_numpy(np.float32)
        return X
    return np.stack([np.asarray(row, np.float32) for row in frame[columns.features]])


def _column(frame: Any, name: str) -> Array:
    column: Array = np.empty(0, np.float32) if frame is None else frame[name].to_numpy(np.float32)
    return column
