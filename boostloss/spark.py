"""XGBoost's PySpark classifier with a loss.

Two private methods of XGBoost's estimator are overridden: the one that gives the arguments of
``xgboost.train`` on each worker, and the one by which each of its subclasses names its model's
class. Without the second a model would have to be copied by private methods of PySpark and XGBoost.
:func:`boostloss.xgboost.spark_train` needs neither.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from boostloss.decision import in_numbers
from boostloss.losses import FittedLoss, Loss, calibration, named
from boostloss.losses.registry import from_dict, to_dict
from boostloss.losses.validation import LABEL_LIMIT, Array
from boostloss.optional import require
from boostloss.xgboost import set_base_score, training_arguments
from boostloss.xgboost.model import carry

pd = require("pandas", "spark")
functions = require("pyspark.sql.functions", "spark")
_ml = require("pyspark.ml.util", "spark")
_vectors = require("pyspark.ml.functions", "spark")
_xgb = require("xgboost", "xgboost")
_xgb_spark = require("xgboost.spark", "xgboost")
_Estimator: Any = _xgb_spark.SparkXGBClassifier
_Model: Any = _xgb_spark.SparkXGBClassifierModel
_Writer: Any = _ml.MLWriter
_Reader: Any = _ml.MLReader

_STATE = "boostloss"


class SparkImbalancedXGBClassifier(_Estimator):
    """``SparkXGBClassifier`` with a loss. The probability column contains the posterior.

    It has all parameters of ``xgboost.spark.SparkXGBClassifier``. It works in a ``Pipeline`` and
    a ``CrossValidator``, and saved models keep the loss. Class weights, the intercept, GHM's
    density and the metrics are computed from the rows of all workers.

    Parameters
    ----------
    loss : Loss or str, default="cross_entropy"
        A loss such as ``FocalLoss(gamma=2)``, or the name of a loss with default parameters.
    **kwargs
        Parameters of ``SparkXGBClassifier``: ``features_col``, ``label_col``, ``weight_col``,
        ``validation_indicator_col``, ``num_workers``, ``max_depth`` and so on. Labels are codes
        0..K-1, for example from ``pyspark.ml.feature.StringIndexer``.

    See Also
    --------
    boostloss.xgboost.spark_train : Trains a booster on Spark.

    Notes
    -----
    The prediction column contains the class with the largest probability. If the loss has different
    weights or shape parameters for the classes, it is the positive class if the raw score is above
    0, or the class with the largest raw score. XGBoost's own metrics, for example "logloss",
    evaluate the sigmoid (softmax) of the raw score. The default metric of validation rows is the
    log loss of the posterior.

    Examples
    --------
    >>> from boostloss import FocalLoss
    >>> from boostloss.spark import SparkImbalancedXGBClassifier  # doctest: +SKIP
    >>> estimator = SparkImbalancedXGBClassifier(
    ...     loss=FocalLoss(), features_col=["a", "b"], num_workers=4
    ... )  # doctest: +SKIP
    >>> estimator.fit(train).transform(test).select("probability")  # doctest: +SKIP
    """

    def __init__(self, *, loss: Loss | str = "cross_entropy", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss = loss

    def write(self) -> Any:
        """Writer that keeps the loss."""
        return _LossWriter(super().write(), to_dict(named(self.loss)))

    @classmethod
    def read(cls) -> Any:
        """Reader of what :meth:`write` wrote."""
        return _LossReader(super().read(), "loss", from_dict)

    def _fit(self, dataset: Any) -> Any:
        loss = named(self.loss)
        if not _column(self, "rawPredictionCol"):
            raise ValueError(
                "rawPredictionCol must be a column's name: probabilities are computed from it, got "
                f"{_column(self, 'rawPredictionCol')!r}"
            )
        counts = _class_counts(
            dataset,
            self.getOrDefault("labelCol"),
            self._weight_column(),
            _column(self, "validationIndicatorCol"),
        )
        working = self.copy()  # another thread may fit this estimator to other rows
        working._counts, working._loss_reached_workers = counts, False
        model = super(SparkImbalancedXGBClassifier, working)._fit(dataset)
        ours = isinstance(model, SparkImbalancedXGBClassifierModel)
        if not (ours and working._loss_reached_workers):
            raise NotImplementedError(
                f"XGBoost {_xgb.__version__} does not let this estimator hand a loss to its "
                "workers: use boostloss.xgboost.spark_train"
            )
        fitted = loss.fit(np.arange(len(counts)), None, counts)
        if not fitted.keeps_shares:
            training = self._training_rows(dataset)
            fitted = self._fitted_to_scores(fitted.loss, model, training, counts)
        model.loss_ = fitted
        carry(model.get_booster(), fitted)
        return model

    # private in XGBoost: what it hands to xgboost.train on each worker
    def _get_xgb_parameters(self, dataset: Any) -> Any:
        params, train, matrix = super()._get_xgb_parameters(dataset)
        arguments, loss = training_arguments(params, named(self.loss), self._counts, None)
        if train.get("xgb_model") is None:
            set_base_score(arguments["params"], loss, self._counts)
        callables = {name: arguments[name] for name in ("obj", "custom_metric")}
        train |= {name: value for name, value in callables.items() if value is not None}
        self._loss_reached_workers = True
        return arguments["params"], train, matrix

    @classmethod
    def _pyspark_model_cls(cls) -> Any:
        return SparkImbalancedXGBClassifierModel

    def _weight_column(self) -> str | None:
        return _column(self, "weightCol")

    def _training_rows(self, dataset: Any) -> Any:
        indicator = _column(self, "validationIndicatorCol")
        return dataset if indicator is None else dataset.filter(~functions.col(indicator))

    def _fitted_to_scores(self, loss: Loss, model: Any, training: Any, counts: Array) -> FittedLoss:
        """Density and offset at the trained model's scores, summed over the partitions."""
        weight = self._weight_column()
        score = _vectors.vector_to_array(functions.col(model.getOrDefault("rawPredictionCol")))
        one = functions.lit(1.0) if weight is None else functions.col(weight).cast("double")
        label = functions.col(self.getOrDefault("labelCol")).cast("double")
        # the parent's columns: the posterior is not there yet
        scored = model.transform_raw(training).select(
            label.alias("y"), score.alias("raw"), one.alias("weight")
        )
        scored = scored.persist()  # each step of the offset asks for sums over them
        try:
            fitted = FittedLoss(loss)
            if loss.depends_on_all_scores:
                mass = _summed(scored, _Mass(loss))
                fitted = loss.fit_mass(mass, fitted.class_weight)  # type: ignore[attr-defined]
            offset = calibration.offset_for_shares(
                lambda offset: _summed(scored, _Moments(fitted, offset)), counts
            )
            return fitted.with_offset(offset)
        finally:
            scored.unpersist()


class _Mass(NamedTuple):
    """What some rows add to GHM's density."""

    loss: Any

    def __call__(self, frame: Any) -> Array:
        mass: Array = self.loss.density_mass(
            frame["y"].to_numpy(), _scores(frame["raw"]), frame["weight"].to_numpy()
        )
        return mass


class _Moments(NamedTuple):
    """What some rows add to the sums that the offset is found from."""

    fitted: FittedLoss
    offset: Array

    def __call__(self, frame: Any) -> Array:
        log_posterior = self.fitted.log_posterior(_scores(frame["raw"]))
        odds = calibration.relative_log_odds(log_posterior)
        return calibration.moment_sums(odds, frame["weight"].to_numpy(), self.offset)


def _summed(rows: Any, function: Any) -> Array:
    """Sum of a function's arrays over the parts of a data frame."""

    def of_partition(frames: Iterator[Any]) -> Iterator[Any]:
        found = [function(frame) for frame in frames if len(frame)]
        if found:
            total = np.sum(found, axis=0)
            yield pd.DataFrame({"shape": [list(total.shape)], "total": [total.ravel().tolist()]})

    parts = rows.mapInPandas(of_partition, "shape array<int>, total array<double>").collect()
    total: Array = np.sum([np.reshape(part["total"], part["shape"]) for part in parts], axis=0)
    return total


class SparkImbalancedXGBClassifierModel(_Model):
    """The model of :class:`SparkImbalancedXGBClassifier`.

    Attributes
    ----------
    loss_ : FittedLoss
        The loss as training left it; its ``posterior(raw)`` is the probability column. The booster
        of ``get_booster()`` contains it too, for :func:`boostloss.xgboost.predict_proba` and
        :func:`boostloss.onnx.to_onnx`.
    """

    loss_: FittedLoss

    def transform_raw(self, dataset: Any) -> Any:
        """Add columns as ``SparkXGBClassifierModel`` does: sigma or softmax for probability."""
        return super()._transform(dataset)

    def write(self) -> Any:
        """Writer that keeps the fitted loss."""
        return _LossWriter(super().write(), self.loss_.to_dict())

    @classmethod
    def read(cls) -> Any:
        """Reader of what :meth:`write` wrote."""
        return _LossReader(super().read(), "loss_", FittedLoss.from_dict)

    def _transform(self, dataset: Any) -> Any:
        probability, raw = _column(self, "probabilityCol"), _column(self, "rawPredictionCol")
        scored = self.transform_raw(dataset)
        rule = in_numbers("loss", self.loss_, None)
        by_raw = isinstance(rule, str)  # XGBoost's own prediction
        if by_raw and not probability:
            return scored
        if not raw:
            raise ValueError(
                "rawPredictionCol must be a column's name: probabilities and predictions are "
                f"computed from it, got {raw!r}"
            )
        posterior = self._posterior(functions.col(raw))
        if not by_raw:
            # the first of the largest, as codes_by_rule takes it
            code = functions.array_position(posterior, functions.array_max(posterior)) - 1
            prediction = self.getOrDefault("predictionCol")
            scored = scored.withColumn(prediction, code.cast("double"))
        if probability:
            scored = scored.withColumn(probability, _vectors.array_to_vector(posterior))
        return scored

    def _posterior(self, raw: Any) -> Any:
        """Column of arrays: the posterior of a column of raw scores."""
        fitted = self.loss_

        def posterior(scores: Any) -> Any:
            # a worker that has trained has kernels, others have none: digits must not tell which
            p = fitted.posterior_in_numpy(_scores(scores))
            return pd.Series(list(p if p.ndim == 2 else np.column_stack([1.0 - p, p])))

        posterior.__annotations__ = {"scores": pd.Series, "return": pd.Series}
        column = functions.pandas_udf(posterior, "array<double>")
        return column(_vectors.vector_to_array(raw))


def _column(instance: Any, name: str) -> str | None:
    found: str | None = instance.getOrDefault(name) if instance.isDefined(name) else None
    return found


def _class_counts(rows: Any, label: str, weight: str | None, held_out: str | None) -> Array:
    """Training rows, or their summed weights, of each class."""
    total = functions.count("*") if weight is None else functions.sum(functions.col(weight))
    held = functions.lit(False) if held_out is None else functions.col(held_out)
    keys = functions.col(label).alias("label"), held.alias("held_out")
    found = rows.groupBy(*keys).agg(total.alias("total")).collect()
    if any(row["held_out"] is None for row in found):
        raise ValueError(f"{held_out} must be true or false in each row, got null")
    of_class = {row["label"]: row["total"] for row in found if not row["held_out"]}
    labels = _checked_codes(list(of_class), label)
    unseen = sorted({row["label"] for row in found} - set(of_class), key=str)
    if unseen:
        raise ValueError(
            f"{label} must hold classes of the training rows, {_listed(labels)}, where {held_out} "
            f"is true, got {_listed(unseen)}"
        )
    return np.array([float(of_class[y]) for y in labels])


def _checked_codes(labels: list[Any], column: str) -> list[Any]:
    """Labels in their order; raises if they are not 0..K-1, K of 2 or more."""
    wrong = [y for y in labels if not _is_code(y)]
    codes = sorted(labels) if not wrong else []
    if not wrong and len(codes) > 1 and codes[-1] == len(codes) - 1:
        return codes
    raise ValueError(
        f"{column} must hold codes 0 to K-1 of at least two classes, each with rows "
        "(pyspark.ml.feature.StringIndexer makes them), got "
        f"{_listed(sorted(wrong, key=str) or codes)}"
    )


def _listed(labels: list[Any]) -> str:
    shown = ", ".join(repr(y) for y in labels[:10])
    return shown if len(labels) <= 10 else f"{shown} and {len(labels) - 10} others"


def _is_code(label: Any) -> bool:
    # NaN and infinity are no integers; a bool and a decimal may be
    number = isinstance(label, Number) and float(label).is_integer()  # type: ignore[arg-type]
    return number and 0 <= label < LABEL_LIMIT


def _scores(column: Any) -> Array:
    """Raw scores (n,) or (n, K) of Spark's column, which has two for two classes."""
    raw = np.stack(column.to_numpy()).astype(np.float32)
    return np.ascontiguousarray(raw[:, 1]) if raw.shape[1] == 2 else raw


class _LossWriter(_Writer):
    """Writes what XGBoost's writer does, and the loss beside it."""

    def __init__(self, parent: Any, state: dict[str, Any]) -> None:
        super().__init__()
        self.parent, self.state = parent, state

    def saveImpl(self, path: str) -> None:
        self.parent.saveImpl(path)
        rows = self.sparkSession.createDataFrame([(json.dumps(self.state),)], "value string")
        rows.coalesce(1).write.text(os.path.join(path, _STATE))


class _LossReader(_Reader):
    """Reads what :class:`_LossWriter` wrote."""

    def __init__(self, parent: Any, name: str, read: Any) -> None:
        super().__init__()
        self.parent, self.name, self.read_state = parent, name, read

    def load(self, path: str) -> Any:
        instance = self.parent.load(path)
        text = self.sparkSession.read.text(os.path.join(path, _STATE)).collect()[0]["value"]
        setattr(instance, self.name, self.read_state(json.loads(text)))
        return instance
