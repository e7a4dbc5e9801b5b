"""XGBoost on Dask: train with ``loss=``, and the classifier."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from boostloss.classifier import decided, probabilities, raw_for_shares, scores_by_rule
from boostloss.dask import (
    check_labels_seen,
    class_counts,
    encoded,
    fit_partitions,
    fit_parts,
    merged_counts,
    part_counts,
)
from boostloss.labels import check_labels_of_model
from boostloss.losses import FittedLoss, Loss, LossName
from boostloss.losses.validation import LABEL_LIMIT, Array, check_labels
from boostloss.optional import require
from boostloss.xgboost import ParamsLike, set_base_score, training_arguments
from boostloss.xgboost.classifier import SeveralValues, XGBLossMixin, has_several_values
from boostloss.xgboost.model import carry, raw_scores
from boostloss.xgboost.parameters import moves_shares

require("distributed", "dask")
xgb = require("xgboost", "xgboost")
xgb_dask = require("xgboost.dask", "dask")
_Parent: Any = xgb_dask.DaskXGBClassifier


def dask_train(
    client: Any,
    params: ParamsLike,
    dtrain: Any,
    num_boost_round: int = 10,
    *,
    loss: Loss | LossName,
    custom_metric: Callable[..., Any] | None = None,
    xgb_model: Any = None,
    **keywords: Any,
) -> Any:
    """Train on Dask with a loss, as ``xgboost.dask.train``.

    Class weights, the intercept, GHM's density and the metrics are computed from the rows of all
    workers. A worker may have rows of one class only, or no rows. If features have few distinct
    values, so that XGBoost's sketch of them is exact, the model is that of
    :func:`boostloss.xgboost.train`. With ``density="window"`` gradient norms are rounded to
    multiples of 2**-15, as on one machine with more than 4,096 rows.

    Parameters
    ----------
    client : distributed.Client
        The client of the workers.
    params : dict, or list of pairs
        XGBoost's parameters, as in :func:`boostloss.xgboost.train`.
    dtrain : xgboost.dask.DaskDMatrix or DaskQuantileDMatrix
        Training data with labels 0..K-1.
    num_boost_round : int
        Number of rounds.
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}
        For example ``FocalLoss(gamma=2)``, or the name of a loss with default parameters.
    custom_metric : callable, optional
        As in :func:`boostloss.xgboost.train`. boostloss's metrics use all rows. XGBoost averages
        other custom metrics over the workers.
    xgb_model : xgboost.Booster, optional
        A model from which training continues, as in ``xgboost.dask.train``.
    **keywords
        Further arguments of ``xgboost.dask.train``: ``evals``, ``early_stopping_rounds`` and so on.

    Returns
    -------
    dict
        ``"booster"``, a native booster that contains its fitted loss, as that of
        :func:`boostloss.xgboost.train`, and ``"history"``.

    Raises
    ------
    ValueError, TypeError
        If labels, weights or the objective do not fit the loss, or data have another type.

    See Also
    --------
    boostloss.DaskImbalancedXGBClassifier : The classifier on Dask.
    boostloss.xgboost.train : Trains on one machine.
    """
    if not isinstance(dtrain, xgb_dask.DaskDMatrix):
        raise TypeError(
            f"dtrain must be a DaskDMatrix or DaskQuantileDMatrix, got {type(dtrain).__name__}"
        )
    counts = _class_counts(client, dtrain)
    arguments, resolved = training_arguments(params, loss, counts, custom_metric)
    if xgb_model is None:
        set_base_score(arguments["params"], resolved, counts)
    result = xgb_dask.train(
        client,
        dtrain=dtrain,
        num_boost_round=num_boost_round,
        xgb_model=xgb_model,
        **arguments,
        **keywords,
    )
    n_classes = arguments["params"].get("num_class")
    fitted = resolved.fit(np.arange(len(counts)), None, counts, n_classes=n_classes)
    if not fitted.keeps_shares or moves_shares(arguments["params"]):
        fitted = _fit_to_rows(client, resolved, result["booster"], dtrain, fitted.n_classes)
    carry(result["booster"], fitted)
    return result


def _fit_to_rows(client: Any, loss: Loss, booster: Any, dtrain: Any, n_classes: int) -> FittedLoss:
    """Fit the loss to the raw scores of all training rows, on the workers that hold them."""
    options = {
        name: getattr(dtrain, name)
        for name in ("missing", "feature_names", "feature_types", "enable_categorical")
    }
    model = client.scatter(booster, broadcast=True)
    parts = [
        client.submit(_part_rows, part, model, options, workers=[address], pure=False)
        for address, parts in dtrain.worker_map.items()
        for part in parts
    ]
    columns = [
        [client.submit(operator.itemgetter(i), part, pure=False) for part in parts]
        for i in range(3)
    ]
    return fit_partitions(loss, columns, n_classes, client)


def _part_rows(part: dict[str, Any], booster: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """Return labels, raw scores and weights of one partition."""
    rows = xgb.DMatrix(part["data"], base_margin=part.get("base_margin"), nthread=1, **options)
    return np.asarray(part["label"]).ravel(), raw_scores(booster, rows), part.get("weight")


class _Trainer(SeveralValues, _Parent):
    """XGBoost's classifier on Dask, which may report several values of one metric."""

    parent = xgb_dask.DaskXGBClassifier


class DaskImbalancedXGBClassifier(XGBLossMixin, _Parent):
    """:class:`~boostloss.ImbalancedXGBClassifier` for Dask arrays and data frames.

    It trains as :func:`dask_train`, and predictions are lazy Dask arrays. Parameters and
    attributes are those of :class:`~boostloss.ImbalancedXGBClassifier`, and each class loads
    models that the other saved. ``y`` and ``sample_weight`` must have as many partitions as ``X``.

    Parameters
    ----------
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm", "asymmetric"}, \
default="cross_entropy"
        As in :class:`~boostloss.ImbalancedXGBClassifier`.
    probability : {"posterior", "link"}, default="posterior"
        As in :class:`~boostloss.ImbalancedXGBClassifier`.
    prior : float or dict, optional
        As in :class:`~boostloss.ImbalancedXGBClassifier`.
    decision : {"loss", "probability", "balanced", "raw"}, float, array or dict, default="loss"
        As in :class:`~boostloss.ImbalancedXGBClassifier`.
    objective : str, default="binary:logistic"
        Must keep its default, because ``loss`` replaces it.
    **kwargs
        Parameters of ``xgboost.dask.DaskXGBClassifier``.

    Attributes
    ----------
    client : distributed.Client
        The Dask client. The default is the newest client of this process.
    classes_, loss_
        As in :class:`~boostloss.ImbalancedXGBClassifier`.

    See Also
    --------
    boostloss.ImbalancedXGBClassifier : The classifier on one machine.
    boostloss.xgboost.dask_train : Trains a booster on Dask.

    Examples
    --------
    >>> import dask.array as da
    >>> from boostloss import DaskImbalancedXGBClassifier
    >>> from dask.distributed import Client
    >>> with Client(processes=False, dashboard_address=None) as client:  # doctest: +SKIP
    ...     X = da.random.random((1000, 5), chunks=(500, 5))
    ...     y = (X[:, 0] > 0.9).astype(int)
    ...     model = DaskImbalancedXGBClassifier(n_estimators=20).fit(X, y)
    ...     model.predict_proba(X).compute().shape
    (1000, 2)
    """

    def _with_objective(
        self, params: dict[str, Any], loss: Loss, recorder: Any, labels: Array, counts: Array
    ) -> Any:
        if recorder is not None:
            raise ValueError("recorder must be None on Dask: the rows are on several workers")
        return super()._with_objective(params, loss, None, labels, counts)

    def _new_engine(self, params: dict[str, Any]) -> Any:
        kind = _Trainer if has_several_values(params) else xgb_dask.DaskXGBClassifier
        engine = kind(**params)
        engine.client = self.client
        return engine

    def _read_target(
        self, y: Any, sample_weight: Any, known: Array | None
    ) -> tuple[Array, Any, Any, Array]:
        client = self.client
        if client.asynchronous:
            raise ValueError("client must not be asynchronous here, got an asynchronous one")
        labels, counts = class_counts(y, sample_weight, client=client)
        check_labels_of_model(labels, known)
        labels = labels if known is None else known
        return labels, client.persist(encoded(y, labels, "y")), sample_weight, counts

    def _read_features(self, X: Any, codes: Any = None) -> Any:
        return X

    def _read_eval_set(self, eval_set: Any, y: Any, codes: Any, labels: Array) -> Any:
        pairs = []
        for i, (X, own_y) in enumerate(eval_set or ()):
            if own_y is not y:
                check_labels_seen(own_y, labels, f"eval_set[{i}]'s y", self.client)
            # the training labels stay the same object
            pairs.append((X, codes if own_y is y else encoded(own_y, labels, "eval_set's y")))
        return pairs or None

    def _fit_loss(self, loss: Loss, codes: Any, raw: Any, weight: Any) -> FittedLoss:
        return fit_parts(loss, codes, raw, weight, self.client)

    def _raw(self, X: Any, *options: Any) -> Any:
        raw = super()._raw(X, *options)
        return raw.to_dask_array() if hasattr(raw, "to_dask_array") else raw

    def _gathered(self, collection: Any) -> Any:
        if not hasattr(collection, "compute"):
            return collection
        return self.client.compute(collection, sync=True)

    def _raw_in_use(self, raw: Any) -> Any:
        if self.prior is None:
            return raw
        fitted = self._fitted_or_raise()
        shift = self._prior_shift(fitted.labels, fitted.class_share)
        given = fitted.loss.loss, fitted.loss, shift
        return raw.map_blocks(raw_for_shares, *given, meta=np.empty((0,) * raw.ndim))

    def _scores_of_decision(self, raw: Any) -> Any:
        rule = self.decision_
        if isinstance(rule, str):
            return self._raw_in_use(raw)
        given = rule, self.loss_, self.probability
        return raw.map_blocks(scores_by_rule, *given, meta=np.empty((0,) * raw.ndim))

    def _decide(self, raw: Any) -> Any:
        labels, rule = self.classes_, self.decision_
        values = self._decided_on(raw, rule)
        drop = [1] if values.ndim == 2 else []
        meta = np.empty(0, dtype=labels.dtype)
        return values.map_blocks(decided, rule, labels, drop_axis=drop, meta=meta)

    def _probability(self, raw: Any) -> Any:
        shape = {"new_axis": [1]} if raw.ndim == 1 else {}
        return raw.map_blocks(
            probabilities,
            self.loss_,
            self.probability,
            chunks=(raw.chunks[0], (self.n_classes_,)),
            meta=np.empty((0, 0)),
            **shape,
        )


def _class_counts(client: Any, dtrain: Any) -> Array:
    """Count the rows of each class, or sum their weights, on the workers that hold them."""
    tasks = [
        client.submit(_part_counts, part, workers=[address])
        for address, parts in dtrain.worker_map.items()
        for part in parts
    ]
    labels, counts = merged_counts(client.gather(tasks))
    codes = check_labels(labels, LABEL_LIMIT).astype(np.intp)
    return np.bincount(codes, weights=counts, minlength=2)


def _part_counts(part: dict[str, Any]) -> tuple[Array, Array]:
    """Return the labels of one partition and their counts."""
    if part.get("label") is None:
        raise ValueError("dtrain must have labels, got none")
    return part_counts(np.asarray(part["label"]).ravel(), part.get("weight"))
