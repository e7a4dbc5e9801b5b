"""Evaluate XGBoost's metrics, by name, on a loss's probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from boostloss.engine_call import Call, stated_threads, thread_limit
from boostloss.losses import Loss, is_plain_cross_entropy
from boostloss.losses.validation import Array
from boostloss.metrics import EngineMetrics, keeps_order
from boostloss.optional import require
from boostloss.xgboost.parameters import of_metrics

xgb = require("xgboost", "xgboost")

RANKING = ("auc", "aucpr")
"""Metrics of two classes that depend only on the order of the scores."""


class XGBoostMetrics(EngineMetrics):
    """:class:`~boostloss.metrics.EngineMetrics` for XGBoost's ``custom_metric``."""

    def of_log_odds(self, log_odds: Array, call: Call) -> list[tuple[str, float]]:
        """Return pairs of name and value, in the order of the names."""
        data = call.data_set
        if data is None:
            raise TypeError("these metrics must be called with a DMatrix, got labels")
        group = np.diff(data.get_uint_info("group_ptr"))
        judged = Judged(log_odds, call.y, call.sample_weight, group if group.size else None)
        return evaluate(self.names, judged, self.params)


class Judged(NamedTuple):
    """Log-odds (n,) or (n, K), with labels, weights and, in ``group``, the sizes of groups."""

    log_odds: Array
    y: Array
    weight: Array | None = None
    group: Array | None = None


def evaluate(names: list[str], judged: Judged, params: dict[str, Any]) -> list[tuple[str, float]]:
    """Let XGBoost compute metrics of log-odds, as the start of a model without trees."""
    several = judged.log_odds.ndim == 2
    threads = thread_limit(stated_threads(params))
    features: Any = sparse.csr_matrix(np.empty((len(judged.y), 0), dtype=np.float32))
    features.resize(len(judged.y), 1)
    rows = xgb.DMatrix(
        features,
        judged.y,
        weight=judged.weight,
        base_margin=np.asarray(judged.log_odds, dtype=np.float32),
        nthread=threads,
    )
    if judged.group is not None:
        rows.set_group(judged.group)
    model = {"objective": "binary:logistic"}
    if several:
        model = {"objective": "multi:softprob", "num_class": judged.log_odds.shape[1]}
    settings = {"base_score": 0.5, "eval_metric": names, "nthread": threads}
    booster = xgb.Booster({**of_metrics(params), **model, **settings}, [rows])
    said = booster.eval_set([(rows, "it")]).split("\tit-")[1:]
    return [(name, float(value)) for name, _, value in (one.rpartition(":") for one in said)]


def check_names(names: list[str], params: dict[str, Any], n_classes: int | None) -> None:
    """Raise an error for a metric that XGBoost does not have for this problem.

    ``n_classes`` is None for "binary:logistic".
    """
    y = np.arange(n_classes or 2, dtype=np.float32)
    log_odds = np.zeros(2) if n_classes is None else np.zeros((n_classes, n_classes))
    for name in names:
        try:
            evaluate([name], Judged(log_odds, y), params)
        except (xgb.core.XGBoostError, ValueError) as error:
            reason = str(error).partition("\nStack trace")[0].split("Check failed: ")[-1]
            examples = "'logloss', 'error', 'auc' or 'rmse' (the root of the Brier score)"
            if n_classes is not None:
                examples = "'mlogloss', 'merror' or 'auc'"
            raise ValueError(
                "eval_metric must be a callable or XGBoost's name of a metric for "
                f"{n_classes or 2} classes such as {examples}, got {name!r}: {reason}"
            ) from error


def of_posterior(
    params: dict[str, Any], loss: Loss, users: Any = None, *, n_classes: int | None,
    link: bool = False, in_use: tuple[Array, Array] | None = None,
) -> tuple[dict[str, Any], Any]:  # fmt: skip
    """Return parameters and a custom metric that evaluate what ``predict_proba`` returns.

    XGBoost computes metrics that do not need the posterior: all of them if the posterior is the
    link, ranking metrics if it keeps the order. The custom metric computes the others. The order of
    metrics is kept, since XGBoost stops by the last.

    Parameters
    ----------
    params : dict
        With "eval_metric", a name or a list of names, or without.
    loss : Loss
        With class weights as numbers.
    users : callable, optional
        The user's custom metric, or one of boostloss.
    n_classes : int or None
        None for "binary:logistic".
    link : bool
        Whether ``predict_proba`` gives the link.
    in_use : tuple of two arrays of shape (K,), optional
        As in :func:`boostloss.metrics.posterior_metric`.
    """
    names = as_names(params.get("eval_metric"))
    check_names(names, params, n_classes)
    if in_use is None and (link or is_plain_cross_entropy(loss)):
        return params, users
    if not names and users is not None and not _disabled(params):
        names = ["logloss" if n_classes is None else "mlogloss"]  # XGBoost's default
    ranks = in_use is None and n_classes is None and set(names) <= set(RANKING)
    if not names or (ranks and keeps_order(loss)):
        return params, users
    left = {name: value for name, value in params.items() if name != "eval_metric"}
    settings = {**of_metrics(params), "nthread": stated_threads(params)}
    metric = XGBoostMetrics(names, loss, settings, users=users, link=link, in_use=in_use)
    return {**left, "disable_default_eval_metric": 1}, metric


def as_names(metrics: Any) -> list[str]:
    """Return ``eval_metric`` as a list."""
    if metrics is None:
        return []
    return [metrics] if isinstance(metrics, str) else list(metrics)


def _disabled(params: dict[str, Any]) -> bool:
    return str(params.get("disable_default_eval_metric", 0)).lower() in ("1", "true")
