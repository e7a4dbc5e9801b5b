"""XGBoost's PySpark classifier with a loss.

Two private methods of XGBoost's estimator are overridden. One returns the arguments of
``xgboost.train`` on each worker. The other returns the class of the model; without it, models would
have to be copied by private methods of PySpark and XGBoost.
:func:`boostloss.xgboost.spark_train` needs neither.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from boostloss.classifier import raw_for_shares
from boostloss.decision import check_decision, codes_by_raw, codes_by_rule
from boostloss.losses import FittedLoss, Loss, calibration, named
from boostloss.losses.registry import from_dict, to_dict
from boostloss.losses.validation import LABEL_LIMIT, Array, with_labels
from boostloss.model_file import State, read_state
from boostloss.optional import require
from boostloss.prior import shares_by_label
from boostloss.xgboost import set_base_score, training_arguments
from boostloss.xgboost.model import carry
from boostloss.xgboost.parameters import moves_shares

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
    prior : float or dict, optional
        Class shares where the model will be used, if they differ from those of the (weighted)
        training rows: the share of class 1 of two, or a dict by code. The columns of probabilities
        and predictions, and early stopping, are then corrected for these shares.
    decision : {"loss", "probability", "balanced", "raw"}, float, array or dict, default="loss"
        How the prediction column is computed: a name, a threshold, thresholds or costs of the
        classes, as in :class:`boostloss.ImbalancedXGBClassifier`.
    **kwargs
        Parameters of ``SparkXGBClassifier``: ``features_col``, ``label_col``, ``weight_col``,
        ``validation_indicator_col``, ``num_workers``, ``max_depth`` and so on. Labels are codes
        0..K-1, for example from ``pyspark.ml.feature.StringIndexer``.

    See Also
    --------
    boostloss.xgboost.spark_train : Trains a booster on Spark.

    Notes
    -----
    By default the prediction column contains the class with the largest probability. If the loss
    has different weights or shape parameters for the classes, it contains the positive class if the
    raw score is above 0, or the class with the largest raw score. XGBoost's own metrics, for
    example "logloss", evaluate the posterior. The default metric of validation rows is its log
    loss.

    Examples
    --------
    >>> from boostloss import FocalLoss
    >>> from boostloss.spark import SparkImbalancedXGBClassifier  # doctest: +SKIP
    >>> estimator = SparkImbalancedXGBClassifier(
    ...     loss=FocalLoss(), features_col=["a", "b"], num_workers=4
    ... )  # doctest: +SKIP
    >>> estimator.fit(train).transform(test).select("probability")  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        loss: Loss | str = "cross_entropy",
        prior: Any = None,
        decision: Any = "loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.loss = loss
        self.prior = prior
        self.decision = decision

    def write(self) -> Any:
        """Return a writer that also saves loss, prior and decision."""
        state = {
            "loss": to_dict(named(self.loss)),
            "prior": _plain_prior(self.prior),
            "decision": _plain_decision(self.decision),
        }
        return _StateWriter(super().write(), json.dumps(state))

    @classmethod
    def read(cls) -> Any:
        """Reader of what :meth:`write` wrote."""
        return _StateReader(super().read(), _restore_estimator)

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
        state = self._state_without_loss(counts)
        working = self.copy()  # another thread may fit this estimator to other rows
        working._counts, working._loss_reached_workers = counts, False
        working._moves_shares = False
        working._in_use = None if state.prior is None else (state.class_share, state.prior)
        model = super(SparkImbalancedXGBClassifier, working)._fit(dataset)
        ours = isinstance(model, SparkImbalancedXGBClassifierModel)
        if not (ours and working._loss_reached_workers):
            raise NotImplementedError(
                f"XGBoost {_xgb.__version__} does not let this estimator pass a loss to its "
                "workers: use boostloss.xgboost.spark_train"
            )
        fitted = loss.fit(np.arange(len(counts)), None, counts)
        if not fitted.keeps_shares or working._moves_shares:
            training = self._training_rows(dataset)
            fitted = self._fitted_to_scores(fitted.loss, model, training, counts)
        model._state = state._replace(loss=fitted)
        in_use = {name: getattr(state, name) for name in ("class_share", "prior", "decision")}
        carry(model.get_booster(), fitted, **in_use)
        return model

    def _state_without_loss(self, counts: Array) -> State:
        """Return the model's state without its loss, checked before the training."""
        labels = np.arange(len(counts))
        prior = None if self.prior is None else shares_by_label(self.prior, labels)
        decision = check_decision(self.decision, labels)
        none: Any = None
        return State(labels, none, "posterior", counts / counts.sum(), prior, decision)

    # private in XGBoost: the arguments of xgboost.train on each worker
    def _get_xgb_parameters(self, dataset: Any) -> Any:
        params, train, matrix = super()._get_xgb_parameters(dataset)
        arguments, loss = training_arguments(
            params, named(self.loss), self._counts, None, in_use=self._in_use
        )
        if train.get("xgb_model") is None:
            set_base_score(arguments["params"], loss, self._counts)
        callables = {name: arguments[name] for name in ("obj", "custom_metric")}
        train |= {name: value for name, value in callables.items() if value is not None}
        self._loss_reached_workers = True
        self._moves_shares = moves_shares(params)
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
        """Fit density and offset to the trained model's scores, by sums over the partitions."""
        weight = self._weight_column()
        score = _vectors.vector_to_array(functions.col(model.getOrDefault("rawPredictionCol")))
        one = functions.lit(1.0) if weight is None else functions.col(weight).cast("double")
        label = functions.col(self.getOrDefault("labelCol")).cast("double")
        # the columns of the parent class, since the posterior does not exist yet
        scored = model.transform_raw(training).select(
            label.alias("y"), score.alias("raw"), one.alias("weight")
        )
        scored = scored.persist()  # each step of fitting the offset sums over all rows
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
    """Return the contribution of some rows to GHM's density."""

    loss: Any

    def __call__(self, frame: Any) -> Array:
        mass: Array = self.loss.density_mass(
            frame["y"].to_numpy(), _scores(frame["raw"]), frame["weight"].to_numpy()
        )
        return mass


class _Moments(NamedTuple):
    """Return the contribution of some rows to the sums that determine the offset."""

    fitted: FittedLoss
    offset: Array

    def __call__(self, frame: Any) -> Array:
        log_posterior = self.fitted.log_posterior(_scores(frame["raw"]))
        odds = calibration.relative_log_odds(log_posterior)
        return calibration.moment_sums(odds, frame["weight"].to_numpy(), self.offset)


def _summed(rows: Any, function: Any) -> Array:
    """Return the sum of a function's arrays over the parts of a data frame."""

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
        The fitted loss, corrected for ``prior`` if given. Its ``posterior(raw)`` is the probability
        column. The booster of ``get_booster()`` contains loss, prior and decision as training left
        them, for :func:`boostloss.xgboost.predict_proba` and :func:`boostloss.onnx.to_onnx`.
    class_share_ : array of shape (K,)
        Share of each class in the (weighted) training rows.
    prior : float, dict or None
        As in the estimator. It can be set.
    decision : str, float or array
        As in the estimator. It can be set.
    """

    _state: State

    @property
    def loss_(self) -> FittedLoss:
        """The fitted loss, corrected for ``prior`` if given."""
        return self._state.in_use().loss

    @property
    def class_share_(self) -> Array:
        """Share of each class in the (weighted) training rows, (K,)."""
        share: Array | None = self._state.class_share
        assert share is not None  # all files of this class contain it
        return share

    @property
    def prior(self) -> Any:
        """Class shares by code where the model is used, or None if they are those of training."""
        shares = self._state.prior
        return None if shares is None else dict(enumerate(shares.tolist()))

    @prior.setter
    def prior(self, prior: Any) -> None:
        shares = None if prior is None else shares_by_label(prior, self._state.labels)
        self._state = self._state._replace(prior=shares)

    @property
    def decision(self) -> Any:
        """How the prediction column is computed."""
        return self._state.decision

    @decision.setter
    def decision(self, decision: Any) -> None:
        rule = check_decision(decision, self._state.labels)
        self._state = self._state._replace(decision=rule)

    def transform_raw(self, dataset: Any) -> Any:
        """Add columns as ``SparkXGBClassifierModel`` does: sigma or softmax for probability."""
        return super()._transform(dataset)

    def write(self) -> Any:
        """Return a writer that also saves the fitted loss, prior and decision."""
        return _StateWriter(super().write(), self._state.text())

    @classmethod
    def read(cls) -> Any:
        """Reader of what :meth:`write` wrote."""
        return _StateReader(super().read(), _restore_model)

    def _transform(self, dataset: Any) -> Any:
        probability, raw = _column(self, "probabilityCol"), _column(self, "rawPredictionCol")
        scored = self.transform_raw(dataset)
        by_raw = isinstance(self._state.in_use().decision, str) and self._state.prior is None
        if by_raw and not probability:
            return scored  # the prediction of XGBoost
        if not raw:
            raise ValueError(
                "rawPredictionCol must be a column's name: probabilities and predictions are "
                f"computed from it, got {raw!r}"
            )
        scores = _vectors.vector_to_array(functions.col(raw))
        scored = scored.withColumn(_PREDICTED, _predicted(self._state)(scores))
        if not by_raw:
            prediction = self.getOrDefault("predictionCol")
            scored = scored.withColumn(prediction, functions.col(f"{_PREDICTED}.code"))
        if probability:
            posterior = _vectors.array_to_vector(functions.col(f"{_PREDICTED}.posterior"))
            scored = scored.withColumn(probability, posterior)
        return scored.drop(_PREDICTED)


_PREDICTED = "boostloss_predicted"


def _predicted(state: State) -> Any:
    """Return a function from a column of raw scores to the posterior and code of each row."""
    used = state.in_use()

    def predict(scores: Any) -> Any:
        raw = _scores(scores)
        # NumPy, so that the digits do not depend on whether a worker has loaded the kernels
        p = used.loss.posterior_in_numpy(raw)
        p = p if p.ndim == 2 else np.column_stack([1.0 - p, p])
        if not isinstance(used.decision, str):
            codes = codes_by_rule(p, used.decision)
        else:
            shift = state.prior_shift
            moved = (
                raw if shift is None else raw_for_shares(raw, state.loss.loss, state.loss, shift)
            )
            codes = codes_by_raw(moved)
        return pd.DataFrame({"posterior": list(p), "code": codes.astype(float)})

    predict.__annotations__ = {"scores": pd.Series, "return": pd.DataFrame}
    return functions.pandas_udf(predict, "posterior array<double>, code double")


def _column(instance: Any, name: str) -> str | None:
    found: str | None = instance.getOrDefault(name) if instance.isDefined(name) else None
    return found


def _class_counts(rows: Any, label: str, weight: str | None, held_out: str | None) -> Array:
    """Count the training rows of each class, or sum their weights."""
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
            f"{label} must contain classes of the training rows, {_listed(labels)}, if "
            f"{held_out} is true, got {_listed(unseen)}"
        )
    return np.array([float(of_class[y]) for y in labels])


def _checked_codes(labels: list[Any], column: str) -> list[Any]:
    """Return the labels in order. Raise an error unless they are 0..K-1 with K >= 2."""
    wrong = [y for y in labels if not _is_code(y)]
    codes = sorted(labels) if not wrong else []
    if not wrong and len(codes) > 1 and codes[-1] == len(codes) - 1:
        return codes
    raise ValueError(
        f"{column} must contain codes 0 to K-1 of at least two classes, each with rows "
        "(pyspark.ml.feature.StringIndexer creates them), got "
        f"{_listed(sorted(wrong, key=str) or codes)}"
    )


def _listed(labels: list[Any]) -> str:
    shown = ", ".join(repr(y) for y in labels[:10])
    return shown if len(labels) <= 10 else f"{shown} and {len(labels) - 10} others"


def _is_code(label: Any) -> bool:
    # false for NaN and infinity, but possibly true for a bool or a decimal
    number = isinstance(label, Number) and float(label).is_integer()  # type: ignore[arg-type]
    return number and 0 <= label < LABEL_LIMIT


def _scores(column: Any) -> Array:
    """Return raw scores (n,) or (n, K) from Spark's column, which has two for two classes."""
    raw = np.stack(column.to_numpy()).astype(np.float32)
    return np.ascontiguousarray(raw[:, 1]) if raw.shape[1] == 2 else raw


def _plain_prior(prior: Any) -> Any:
    """Convert the estimator's ``prior`` for JSON: a number, or the shares by code."""
    prior = with_labels("prior", prior)
    if isinstance(prior, Mapping):
        return shares_by_label(prior, np.arange(len(prior))).tolist()
    return prior if prior is None else float(prior)


def _plain_decision(decision: Any) -> Any:
    """Convert the estimator's ``decision`` for JSON: a name, a number, or lists by code."""
    if isinstance(decision, str):
        return decision
    if not hasattr(decision, "__len__"):
        return float(decision)
    rule: Any = check_decision(decision, np.arange(len(decision)))
    return rule.tolist()


def _restore_estimator(estimator: Any, text: str) -> None:
    state = json.loads(text)
    estimator.loss = from_dict(state["loss"])
    prior = state["prior"]
    estimator.prior = dict(enumerate(prior)) if isinstance(prior, list) else prior
    estimator.decision = state["decision"]


def _restore_model(model: Any, text: str) -> None:
    model._state = read_state(text, "the saved model")


class _StateWriter(_Writer):
    """Writes what XGBoost's writer does, and also boostloss's state."""

    def __init__(self, parent: Any, text: str) -> None:
        super().__init__()
        self.parent, self.text = parent, text

    def saveImpl(self, path: str) -> None:
        self.parent.saveImpl(path)
        rows = self.sparkSession.createDataFrame([(self.text,)], "value string")
        rows.coalesce(1).write.text(os.path.join(path, _STATE))


class _StateReader(_Reader):
    """Reads what :class:`_StateWriter` wrote."""

    def __init__(self, parent: Any, restore: Any) -> None:
        super().__init__()
        self.parent, self.restore = parent, restore

    def load(self, path: str) -> Any:
        instance = self.parent.load(path)
        text = self.sparkSession.read.text(os.path.join(path, _STATE)).collect()[0]["value"]
        self.restore(instance, text)
        return instance
