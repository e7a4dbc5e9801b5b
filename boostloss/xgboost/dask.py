"""XGBoost on Dask: train with ``loss=``, and the classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from boostloss import dask as over_parts
from boostloss.classifier import decided, probabilities
from boostloss.losses import Loss
from boostloss.losses._validation import Array
from boostloss.model_file import State
from boostloss.objectives import objective
from boostloss.optional import require
from boostloss.xgboost import Params, default_metric, native_params, starting_score
from boostloss.xgboost.classifier import XGBLossMixin

require("distributed", "dask")
xgb = require("xgboost", "xgboost")
xgb_dask = require("xgboost.dask", "dask")
_Parent: Any = xgb_dask.DaskXGBClassifier


def dask_train(
    client: Any,
    params: Params,
    dtrain: Any,
    num_boost_round: int = 10,
    *,
    loss: Loss,
    custom_metric: Callable[..., Any] | None = None,
    xgb_model: Any = None,
    **keywords: Any,
) -> Any:
    """``xgboost.dask.train`` with a loss; the model is that of :func:`boostloss.xgboost.train`.

    Class weights that are counted, the intercept, GHM's density and the metrics are those of
    all rows, however they are spread; a worker may hold one class only, or no rows. Where
    XGBoost's own sketch of the features is exact (few distinct values) the trees are those of one
    machine. With ``density="window"`` gradient norms are rounded to multiples of 2**-15, as on one
    machine with more than 4,096 rows.

    Parameters
    ----------
    client : distributed.Client
    params : dict
        XGBoost's parameters; ``objective`` and ``num_class`` may be left out.
    dtrain : xgboost.dask.DaskDMatrix or DaskQuantileDMatrix
        With labels 0..K-1.
    num_boost_round : int
        Number of rounds.
    loss : Loss
        For example ``FocalLoss(gamma=2)``.
    custom_metric : callable, optional
        Default, where ``params`` has no ``eval_metric``: :func:`boostloss.posterior_log_loss`.
        boostloss's metrics are those of all rows; of a metric of your own XGBoost takes the
        mean over the workers.
    xgb_model, **keywords
        As in ``xgboost.dask.train``: ``evals``, ``early_stopping_rounds`` and so on.

    Returns
    -------
    dict
        ``"booster"``, native as :func:`boostloss.xgboost.train` makes it, and ``"history"``.

    Raises
    ------
    ValueError, TypeError
        For labels, weights or an objective that do not fit the loss.
    """
    if not isinstance(dtrain, xgb_dask.DaskDMatrix):
        raise TypeError(
            f"dtrain must be a DaskDMatrix or DaskQuantileDMatrix, got {type(dtrain).__name__}"
        )
    counts = _class_counts(client, dtrain)
    native, resolved = native_params(params, loss, counts)
    if xgb_model is None and params.get("base_score") is None:
        native["base_score"] = starting_score(resolved, counts, native.get("num_class"))
    return xgb_dask.train(
        client,
        native,
        dtrain,
        num_boost_round,
        obj=objective(resolved),
        custom_metric=default_metric(native, resolved, custom_metric),
        xgb_model=xgb_model,
        **keywords,
    )


class DaskImbalancedXGBClassifier(XGBLossMixin, _Parent):
    """:class:`~boostloss.ImbalancedXGBClassifier` on Dask arrays and data frames.

    Training is :func:`dask_train`'s; predictions are lazy. Parameters, attributes and saved
    models are those of :class:`~boostloss.ImbalancedXGBClassifier`, which reads what this class
    saved, and the reverse.

    Parameters
    ----------
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm"}, default="ghm"
    probability : {"posterior", "link"}, default="posterior"
    objective : str, default="binary:logistic"
        Left as it is: ``loss`` takes its place.
    **kwargs
        Parameters of ``xgboost.dask.DaskXGBClassifier``.

    Attributes
    ----------
    client : distributed.Client
        Default is the newest of this process.
    classes_, loss_
        As in :class:`~boostloss.ImbalancedXGBClassifier`.

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

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        base_margin: Any = None,
        eval_set: Any = None,
        verbose: bool | int | None = True,
        xgb_model: Any = None,
        sample_weight_eval_set: Any = None,
        base_margin_eval_set: Any = None,
        feature_weights: Any = None,
    ) -> Self:
        """Fit to a Dask array or data frame X (n, d) and labels y (n,) of any kind.

        Parameters are those of ``DaskXGBClassifier.fit``. Labels and weights are counted where
        they are; ``y`` and ``sample_weight`` must have as many partitions as ``X``.

        Raises
        ------
        ValueError, TypeError
            For labels, weights or parameters that are not allowed; for labels in ``eval_set``
            that are not in ``y``; for what is no Dask collection.
        """
        self._check_objective()
        client = self.client
        if client.asynchronous:
            raise ValueError("client must not be asynchronous here, got an asynchronous one")
        labels, counts = over_parts.class_counts(y, sample_weight, client=client)
        loss = self._resolved_loss(
            np.arange(len(labels)), counts, labels, self._positive_factor(len(labels))
        )
        codes = client.persist(over_parts.coded(y, labels, "y"))
        engine = xgb_dask.DaskXGBClassifier(**self._training_params(loss, counts, xgb_model))
        engine.client = client
        engine.fit(
            X,
            codes,
            sample_weight=sample_weight,
            base_margin=base_margin,
            eval_set=_eval_codes(eval_set, y, codes, labels, client),
            verbose=verbose,
            xgb_model=xgb_model,
            sample_weight_eval_set=sample_weight_eval_set,
            base_margin_eval_set=base_margin_eval_set,
            feature_weights=feature_weights,
        )
        if loss.weights_move:
            raw = engine.predict(X, output_margin=True, base_margin=base_margin)
            loss = over_parts.frozen(loss, codes, raw, sample_weight, len(labels), client)
        state = State(labels, loss, self.probability)
        evals_result = getattr(engine, "evals_result_", None)
        self._take(state, _Booster=engine.get_booster(), evals_result_=evals_result)
        return self

    def predict(
        self,
        X: Any,
        *,
        output_margin: bool = False,
        validate_features: bool = True,
        base_margin: Any = None,
        iteration_range: tuple[int, int] | None = None,
    ) -> Any:
        """Labels by the loss's own decision, as a lazy Dask array.

        Parameters are those of ``DaskXGBClassifier.predict``; ``output_margin=True`` gives raw
        scores, (n,) or (n, K), as a Dask array too.
        """
        raw = super().predict(
            X,
            output_margin=True,
            validate_features=validate_features,
            base_margin=base_margin,
            iteration_range=iteration_range,
        )
        if hasattr(raw, "to_dask_array"):
            raw = raw.to_dask_array()
        if output_margin:
            return raw
        drop = [1] if raw.ndim == 2 else []
        meta = np.empty(0, dtype=self._labels.dtype)
        return raw.map_blocks(decided, self._labels, drop_axis=drop, meta=meta)

    def predict_proba(
        self,
        X: Any,
        validate_features: bool = True,
        base_margin: Any = None,
        iteration_range: tuple[int, int] | None = None,
    ) -> Any:
        """Probabilities (n, K) of the classes, as the parameter ``probability`` says; lazy."""
        raw = self.decision_function(
            X,
            validate_features=validate_features,
            base_margin=base_margin,
            iteration_range=iteration_range,
        )
        shape = {"new_axis": [1]} if raw.ndim == 1 else {}
        return raw.map_blocks(
            probabilities,
            self.loss_,
            self.probability,
            chunks=(raw.chunks[0], (len(self._labels),)),
            meta=np.empty((0, 0)),
            **shape,
        )


def _class_counts(client: Any, dtrain: Any) -> Array:
    """Rows, or their summed weights, of each class, counted on the workers that hold them."""
    tasks = [
        client.submit(_part_counts, part, workers=[address])
        for address, parts in dtrain.worker_map.items()
        for part in parts
    ]
    counted = client.gather(tasks)
    total = np.zeros(max([2, *(int(labels.max(initial=-1)) + 1 for labels, _ in counted)]))
    present = np.zeros(len(total), dtype=bool)
    for labels, counts in counted:
        total[labels] += counts
        present[labels] = True
    if np.count_nonzero(present) < 2:
        raise ValueError(f"y must hold at least two classes, got only {np.flatnonzero(present)}")
    return total


def _part_counts(part: dict[str, Any]) -> tuple[Array, Array]:
    """Labels of one partition and their counts."""
    if part.get("label") is None:
        raise ValueError("dtrain must have labels, got none")
    return over_parts.part_class_counts(part["label"], part.get("weight"))


def _eval_codes(eval_set: Any, y: Any, codes: Any, labels: Array, client: Any) -> Any:
    """Evaluation sets with codes for labels; the training labels stay the same object."""
    if eval_set is None:
        return None
    pairs = []
    for i, (X, given) in enumerate(eval_set):
        if given is not y:
            over_parts.check_seen(given, labels, f"eval_set[{i}]'s y", client)
        pairs.append((X, codes if given is y else over_parts.coded(given, labels, "eval_set's y")))
    return pairs
