"""Evaluate LightGBM's metrics, by name, on a loss's probabilities."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from boostloss.engine_call import Call
from boostloss.lightgbm.parameters import of_metrics
from boostloss.losses import Loss, constant_weights, is_plain_cross_entropy
from boostloss.losses.validation import Array
from boostloss.metrics import EngineMetrics, keeps_order
from boostloss.optional import require

lgb = require("lightgbm", "lightgbm")

RANKING = ("auc", "average_precision")
"""Metrics of two classes that depend only on the order of the scores."""

_NONE = ("None", "na", "null", "custom")


class LightGBMMetrics(EngineMetrics):
    """:class:`~boostloss.metrics.EngineMetrics` for LightGBM's ``feval`` and ``eval_metric``."""

    def of_log_odds(self, log_odds: Array, call: Call) -> list[tuple[str, float, bool]]:
        """Return name, value and whether higher is better, in the order of the names."""
        data = call.data_set
        group = None if data is None else data.get_group()
        return evaluate(
            self.names, Judged(log_odds, call.y, call.sample_weight, group), self.params
        )


class Judged(NamedTuple):
    """Log-odds (n,) or (n, K), with labels, weights and, in ``group``, the sizes of groups."""

    log_odds: Array
    y: Array
    weight: Array | None = None
    group: Array | None = None


def evaluate(
    names: list[str], judged: Judged, params: dict[str, Any]
) -> list[tuple[str, float, bool]]:
    """Let LightGBM compute metrics of log-odds, as the start of a model without trees.

    This runs in a separate thread. LightGBM has one log level per thread, and otherwise the
    training in this thread would print no more messages.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_evaluate, names, judged, params).result()


def _evaluate(
    names: list[str], judged: Judged, params: dict[str, Any]
) -> list[tuple[str, float, bool]]:
    n_classes = judged.log_odds.shape[1] if judged.log_odds.ndim == 2 else 2
    settings = {**of_metrics(params), "verbosity": -1}
    labels = np.arange(n_classes)
    start = lgb.Dataset(
        np.zeros((n_classes, 1)), labels, group=[n_classes], params=settings
    ).construct()
    rows = lgb.Dataset(
        np.zeros((len(judged.y), 1)),
        np.asarray(judged.y),
        reference=start,
        weight=judged.weight,
        group=judged.group,
        init_score=np.asarray(judged.log_odds, dtype=np.float64),
        params=settings,
    )
    model: dict[str, Any] = {"objective": "binary"}
    if judged.log_odds.ndim == 2:
        model = {"objective": "multiclass", "num_class": n_classes}
    results = []
    for name in names:  # one booster for each, since LightGBM would reorder several
        booster = lgb.Booster({**settings, **model, "metric": name}, start)
        booster.add_valid(rows, "rows")
        results += [(one[1], float(one[2]), bool(one[3])) for one in booster.eval_valid()]
    return results


def check_names(names: list[str], params: dict[str, Any], n_classes: int) -> None:
    """Raise an error for a metric that LightGBM does not have for this problem."""
    y = np.arange(n_classes)
    log_odds = np.zeros(2) if n_classes == 2 else np.zeros((n_classes, n_classes))
    for name in names:
        reason = "there is no such metric"
        try:
            found = evaluate([name], Judged(log_odds, y, None, np.array([n_classes])), params)
        except lgb.basic.LightGBMError as error:
            found, reason = [], str(error)
        if not found:
            examples = "'binary_logloss', 'binary_error', 'auc' or 'l2' (the Brier score)"
            if n_classes > 2:
                examples = "'multi_logloss', 'multi_error' or 'auc_mu'"
            raise ValueError(
                "metric and eval_metric must be a callable or LightGBM's name of a metric for "
                f"{n_classes} classes such as {examples}, got {name!r}: {reason}"
            )


class Chosen(NamedTuple):
    """Metrics for LightGBM to evaluate: names that it evaluates correctly, then callables."""

    names: list[str]
    callables: list[Any]


def of_posterior(
    names: list[str], loss: Loss, params: dict[str, Any], *, n_classes: int, linked: bool,
    link: bool = False, in_use: tuple[Array, Array] | None = None,
) -> Chosen:  # fmt: skip
    """Return metrics of the probabilities that ``predict_proba`` returns.

    Parameters
    ----------
    names : list of str
        As :func:`as_names` gives them.
    loss : Loss
        With class weights as numbers.
    params : dict
        LightGBM's parameters.
    n_classes : int
    linked : bool
        Whether the built-in objective trains: LightGBM's metrics then see sigma or softmax.
    link : bool
        Whether ``predict_proba`` gives these.
    in_use : tuple of two arrays of shape (K,), optional
        As in :func:`boostloss.metrics.posterior_metric`.
    """
    check_names(names, params, n_classes)
    link = link or (in_use is None and is_plain_cross_entropy(loss))
    if not names or (linked and link and in_use is None):
        return Chosen(names, [])
    rank = _ranking(loss, n_classes, link) if in_use is None else ()
    # LightGBM evaluates its metrics before callables
    first = len(list(itertools.takewhile(rank.__contains__, names)))
    if first == len(names):
        return Chosen(names, [])
    metrics = LightGBMMetrics(names[first:], loss, of_metrics(params), link=link, in_use=in_use)
    return Chosen(names[:first], [metrics.on_probabilities() if linked else metrics])


def _ranking(loss: Loss, n_classes: int, link: bool) -> tuple[str, ...]:
    """Return the metrics that are equal for raw scores and for ``predict_proba``."""
    if n_classes == 2:
        return RANKING if link or keeps_order(loss) else ()
    # a shift for each class does not change ranks, but its rounding would break ties
    return ("auc_mu",) if link or constant_weights(loss) is not None else ()


def as_names(given: list[str], n_classes: int) -> list[str] | None:
    """Return names of metrics as LightGBM's classifier reads them, for this number of classes.

    A string may contain several names, separated by commas. The result is None for the default
    of the objective, which an empty string requests.
    """
    kind = "multi" if n_classes > 2 else "binary"
    aliases = {
        prefix + measure: f"{kind}_{measure}"
        for measure in ("logloss", "error")
        for prefix in ("", "binary_", "multi_")
    }
    objectives = (
        "binary",
        "multiclass",
        "softmax",
        "multiclassova",
        "multiclass_ova",
        "ova",
        "ovr",
    )
    aliases |= dict.fromkeys(objectives, f"{kind}_logloss")
    single = [name.strip() for several in given for name in several.split(",")]
    if single and not any(single):
        return None
    return list(
        dict.fromkeys(aliases.get(name, name) for name in single if name and name not in _NONE)
    )
