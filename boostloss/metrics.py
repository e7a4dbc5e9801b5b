"""Define metrics for XGBoost and LightGBM: the mean loss, or the log loss of the posterior."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal, Unpack

import numpy as np
from scipy.special import logit, logsumexp

from boostloss import engine_call
from boostloss.calling_booster import calling_booster
from boostloss.losses import (
    ALONE,
    CrossEntropy,
    FittedLoss,
    FocalLoss,
    GHMLoss,
    Loss,
    LossName,
    Workers,
    named,
)  # fmt: skip
from boostloss.losses.class_weight import ClassWeight
from boostloss.losses.focal import FocalParameters
from boostloss.losses.ghm import Density, GHMParameters
from boostloss.losses.validation import Array, check_choice

Scores = Literal["raw", "probability"]
"""Kinds of scores that an engine passes to a metric."""

MOST_NATS = -float(np.log(np.finfo(np.float64).tiny))
"""Log loss counted for a row whose label has probability 0."""

ROUNDING = 1e-5
"""Of an engine's probabilities in float32."""


class MetricValue(float):
    """A float that also unpacks to ``(name, value, higher_is_better)``.

    XGBoost's and LightGBM's scikit-learn wrappers call a metric in the same way but expect
    a float and a tuple.
    """

    name: str

    def __new__(cls, value: float, name: str) -> MetricValue:
        """Create the value with the metric's name."""
        result = super().__new__(cls, value)
        result.name = name
        return result

    def __getnewargs__(self) -> tuple[float, str]:  # type: ignore[override]
        return float(self), self.name

    def __iter__(self) -> Iterator[Any]:
        return iter((self.name, float(self), False))

    def __getitem__(self, index: int) -> Any:
        return (self.name, float(self), False)[index]


class Metric:
    """Weighted mean of a loss over a data set, in nats; smaller is better.

    Works as ``custom_metric=`` of ``xgb.train`` and ``xgb.cv``, ``feval=`` of ``lgb.train``
    and ``lgb.cv`` and ``eval_metric`` of ``XGBClassifier`` and ``LGBMClassifier``.

    Parameters
    ----------
    loss : Loss or FittedLoss
        The loss. The posterior of a fitted loss is that of its training rows.
    posterior : bool
        Whether to compute the log loss of the posterior instead of the mean of the loss.
    scores : {"raw", "probability"}
        What the engine passes: raw scores under a custom objective, probabilities under
        a built-in one. Probabilities are clipped to 1e-15 (float32: 1e-7) from 0 and 1.
    name : str, optional
        Name in the engine's log.

    See Also
    --------
    metric : Makes the metric of a loss.
    posterior_log_loss : Makes a metric that can be compared between losses.

    Notes
    -----
    Class weights and GHM's density are computed from the evaluated data set, unless the loss is
    fitted. Only a fitted loss has the offset that :meth:`Loss.fit` computes from the training rows.
    The evaluated rows must not choose it.
    """

    def __init__(
        self,
        loss: Loss | FittedLoss,
        *,
        posterior: bool = False,
        scores: Scores = "raw",
        name: str | None = None,
    ) -> None:
        self.fitted = loss if isinstance(loss, FittedLoss) else None
        loss = loss.loss if isinstance(loss, FittedLoss) else loss
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a boostloss loss such as FocalLoss(), got {loss!r}")
        check_choice("scores", scores, ("raw", "probability"))
        self.loss = loss
        self.posterior = posterior
        self.scores = scores
        self.in_use: tuple[Array, Array] | None = None
        self.__name__ = name or ("posterior_log_loss" if posterior else f"{loss.name}_loss")

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> Any:
        """Evaluate ``(raw, data_set)`` as an engine calls, or ``(y, raw, sample_weight)``."""
        workers = workers_now()
        call = workers.together(engine_call.read, first, second, sample_weight)
        try:
            value = self._mean(call, workers)
        except SystemError as error:
            engine_call.raise_interruption(error)
            raise
        if call.data_set is None:
            return MetricValue(value, self.__name__)
        if engine_call.engine_of(call.data_set) == "lightgbm":
            return self.__name__, value, False
        return self.__name__, value

    def on_probabilities(self) -> Metric:
        """Make the same metric for a built-in objective, under which engines pass probabilities.

        Returns
        -------
        Metric
            A copy with ``scores="probability"``.
        """
        made = copy.copy(self)
        made.scores = "probability"
        return made

    def _mean(self, call: engine_call.Call, workers: Workers) -> float:
        raw, weight = engine_call.scores_of(call, workers), call.sample_weight
        if self.scores == "probability":
            raw = raw_of_probability(raw)
        else:
            check_are_raw(raw)
        if self.posterior:
            rows = self._log_loss(call, raw, workers)
            weight = weight if self.in_use is None else self._weight_in_use(call, workers)
            rows = rows if weight is None else rows * np.asarray(weight)
        else:
            rows = self.loss.value(call.y, raw, weight, workers=workers)
        weight_sum = len(rows) if weight is None else np.sum(np.asarray(weight), dtype=np.float64)
        # the engine averages the workers' values, so all of them return the same one
        sums = workers.sum(np.array([rows.sum(dtype=np.float64), weight_sum]))
        if sums[1] == 0:
            raise ValueError("y must contain at least one row to compute a mean, got none")
        return float(sums[0] / sums[1])

    def _log_loss(self, call: engine_call.Call, raw: Array, workers: Workers) -> Array:
        fitted = self.fitted
        if fitted is None:
            fitted = self.loss.fit(call.y, raw, call.sample_weight, workers=workers, offset=False)
        if self.in_use is not None:
            fitted = fitted.with_offset(np.log(self.in_use[1]) - np.log(self.in_use[0]))
        return fitted.log_loss(call.y, raw, MOST_NATS)

    def _weight_in_use(self, call: engine_call.Call, workers: Workers) -> Array:
        """Return weights with which the classes have their shares in the population of use."""
        assert self.in_use is not None
        shares, y = self.in_use[1], np.asarray(call.y).astype(np.intp)
        weight = np.ones(len(y)) if call.sample_weight is None else np.asarray(call.sample_weight)
        counts = workers.sum(np.bincount(y, weights=weight, minlength=len(shares)))
        per_row = np.divide(shares, counts, out=np.zeros(len(shares)), where=counts > 0)
        in_use: Array = weight * per_row[y]
        return in_use

    def __repr__(self) -> str:
        return f"{'posterior_log_loss' if self.posterior else 'metric'}({self.loss!r})"


class EngineMetrics(Metric):
    """An engine's metrics, by name, of the probabilities of ``predict_proba``.

    During training under a callable, or with class weights, an engine computes its metrics from
    sigma or softmax of the raw score, or from the raw score itself. A subclass for each engine
    lets that engine compute them from the log-odds of the posterior instead.

    Parameters
    ----------
    names : list of str
        In the order in which the engine gets the values, which decides about early stopping.
    loss : Loss
        A loss with class weights as numbers.
    params : dict
        Parameters of the engine that its metrics read.
    link : bool
        Whether to evaluate sigma or softmax of the raw score, as with ``probability="link"``.
    scores : {"raw", "probability"}
        As in :class:`Metric`.
    users : callable, optional
        Evaluated after the names, with what the engine passes.
    in_use : tuple of two arrays of shape (K,), optional
        Class shares of the training rows and where the model is used, as in
        :func:`posterior_metric`.
    """

    def __init__(
        self,
        names: list[str],
        loss: Loss,
        params: dict[str, Any],
        *,
        link: bool = False,
        scores: Scores = "raw",
        users: Any = None,
        in_use: tuple[Array, Array] | None = None,
    ) -> None:
        fitted = loss if loss.depends_on_all_scores else FittedLoss(loss)
        super().__init__(fitted, scores=scores, name=names[-1])
        self.in_use = in_use
        self.names, self.params, self.link, self.users = names, params, link, users

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> list[Any]:
        """Evaluate ``(raw, data_set)`` as an engine calls, or ``(y, raw, sample_weight)``."""
        workers = workers_now()
        call = workers.together(engine_call.read, first, second, sample_weight)
        raw = engine_call.scores_of(call, workers)
        if self.scores == "probability":
            raw = raw_of_probability(raw)
        if self.in_use is not None:
            call = call._replace(sample_weight=self._weight_in_use(call, workers))
        results = self.of_log_odds(self._log_odds(call, raw, workers), call)
        return results if self.users is None else [*results, *self._of_users(first, call)]

    def of_log_odds(self, log_odds: Array, call: engine_call.Call) -> list[Any]:
        """Evaluate log-odds (n,) or unnormalised log-probabilities (n, K)."""
        raise NotImplementedError

    def on_probabilities(self) -> EngineMetrics:
        """Make the same metrics for a built-in objective, under which engines pass probabilities.

        Returns
        -------
        EngineMetrics
        """
        made = copy.copy(self)
        made.scores = "probability"
        if isinstance(self.users, Metric):
            made.users = self.users.on_probabilities()
        return made

    def _log_odds(self, call: engine_call.Call, raw: Array, workers: Workers) -> Array:
        if self.link:
            return raw
        fitted = self.fitted
        if fitted is None:
            fitted = self.loss.fit(call.y, raw, call.sample_weight, workers=workers, offset=False)
        if self.in_use is not None:
            fitted = fitted.with_offset(np.log(self.in_use[1]) - np.log(self.in_use[0]))
        log_odds = np.asarray(fitted.log_posterior(raw))
        if log_odds.ndim == 2:
            # log-probabilities, since LightGBM's auc_mu is not invariant to a shift
            log_odds = log_odds - logsumexp(log_odds, axis=1, keepdims=True)
        held: Array = np.clip(log_odds, -MOST_NATS, MOST_NATS)
        return held

    def _of_users(self, first: Any, call: engine_call.Call) -> list[Any]:
        result = self.users(first, call.data_set)
        return result if isinstance(result, list) else [result]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.names!r}, {self.loss!r})"


def keeps_order(loss: Loss) -> bool:
    """Return whether the posterior of two classes strictly increases with the raw score.

    A ranking metric is then the same for both. The posterior is constant in parts for GHM, and for
    losses with weight 0 on some rows.
    """
    if loss.depends_on_all_scores or loss.weight_may_be_zero:
        return False
    log_odds = FittedLoss(loss).log_posterior(np.linspace(-30.0, 30.0, 601))
    return bool((np.diff(log_odds) > 0.0).all())


def workers_now() -> Workers:
    """Return the processes that evaluate together, if an XGBoost booster is on the stack."""
    if engine_call.xgboost_workers().alone:
        return ALONE
    found = engine_call.engine_of(calling_booster()) == "xgboost"
    return engine_call.xgboost_workers() if found else ALONE


def raw_of_probability(probability: Array) -> Array:
    """Return the raw scores of probabilities, clipped 1e-15 (float32: 1e-7) from 0 and 1."""
    # False for NaN, too
    if probability.size and not (probability.min() >= 0.0 and probability.max() <= 1.0 + ROUNDING):
        if np.isnan(probability).any():
            raise ValueError("predictions must be finite, got NaN")
        raise ValueError(
            "scores must be 'raw' for predictions outside [0, 1], which a custom objective has, "
            f"got 'probability' and predictions from {probability.min()} to {probability.max()}"
        )
    edge = 1e-7 if probability.dtype == np.float32 else 1e-15
    held = np.clip(probability, edge, 1.0 - edge)
    raw: Array = logit(held) if held.ndim == 1 else np.log(held)
    return raw


def check_names_differ(argument: str, metrics: list[Any]) -> None:
    """Raise for two metrics of boostloss with the same name: LightGBM would merge their values."""
    names = [metric.__name__ for metric in metrics if isinstance(metric, Metric)]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"{argument} must contain metrics of different names (name= gives another), got "
            f"{twice[0]!r} {names.count(twice[0])} times"
        )


def check_are_raw(scores: Array) -> None:
    """Raise if scores of more than two classes are probabilities, as far as the first rows tell."""
    if scores.ndim == 1 or scores.shape[1] == 2:
        return
    rows = np.asarray(scores[:100], dtype=np.float64)
    differ = len(rows) > 1 and (rows != rows[0]).any()
    if differ and rows.min() >= 0.0 and np.allclose(rows.sum(axis=1), 1.0, rtol=0, atol=ROUNDING):
        raise ValueError(
            "scores must be 'probability' for predictions that add up to 1 in each row, which a "
            "built-in objective has, got 'raw'"
        )


def metric(
    loss: Loss | FittedLoss | LossName, *, scores: Scores = "raw", name: str | None = None
) -> Metric:
    """Make a metric: the mean of a loss.

    Parameters
    ----------
    loss : Loss, FittedLoss or str
        The loss, or its name.
    scores : {"raw", "probability"}, default="raw"
        What the engine passes: raw scores under a custom objective, probabilities under a
        built-in one.
    name : str, optional
        Name in the engine's log. Metrics of one training need different names: LightGBM merges
        the values of equal ones. Default: the loss's name and "_loss", or "posterior_log_loss".

    Returns
    -------
    Metric
        A callable for ``custom_metric=``, ``feval=`` and ``eval_metric=``.

    See Also
    --------
    posterior_log_loss : A metric that can be compared between losses.
    """
    return Metric(_fitted_or_named(loss), scores=scores, name=name)


def posterior_log_loss(
    loss: Loss | FittedLoss | LossName, *, scores: Scores = "raw", name: str | None = None
) -> Metric:
    """Make a metric that can be compared between losses: the log loss of the posterior.

    Parameters
    ----------
    loss : Loss, FittedLoss or str
        The loss, or its name. A fitted loss has the posterior of its training rows.
    scores : {"raw", "probability"}, default="raw"
        What the engine passes: raw scores under a custom objective, probabilities under a
        built-in one.
    name : str, optional
        Name in the engine's log. Metrics of one training need different names: LightGBM merges
        the values of equal ones. Default: the loss's name and "_loss", or "posterior_log_loss".

    Returns
    -------
    Metric
        A callable for ``custom_metric=``, ``feval=`` and ``eval_metric=``.

    See Also
    --------
    metric : Makes the mean of the loss itself.
    """
    return Metric(_fitted_or_named(loss), posterior=True, scores=scores, name=name)


def _fitted_or_named(loss: Any) -> Any:
    return loss if isinstance(loss, FittedLoss) else named(loss)


def posterior_metric(
    loss: Loss, *, scores: Scores = "raw", in_use: tuple[Array, Array] | None = None
) -> Metric:
    """Return :func:`posterior_log_loss` of a loss whose class weights are numbers.

    Only GHM needs to be fitted again to each evaluated data set. ``in_use`` contains the class
    shares of the training rows and of the population of use. The metric then refers to that
    population, whatever the shares among the evaluated rows.
    """
    fitted = loss if loss.depends_on_all_scores else FittedLoss(loss)
    made = Metric(fitted, posterior=True, scores=scores)
    made.in_use = in_use
    return made


def balanced_ce_metric(
    class_weight: ClassWeight = "balanced",
    *,
    scores: Scores = "raw",
    name: str | None = None,
    beta: float = 0.9999,
) -> Metric:
    """Make a metric: the mean balanced cross-entropy.

    Parameters
    ----------
    class_weight : None, "balanced", "effective", float, dict or sequence, default="balanced"
        Weight of each class.
    scores : {"raw", "probability"}, default="raw"
        What the engine passes: raw scores under a custom objective, probabilities under a
        built-in one.
    name : str, optional
        Name in the engine's log. Metrics of one training need different names: LightGBM merges
        the values of equal ones. Default: the loss's name and "_loss", or "posterior_log_loss".
    beta : float in [0, 1), default=0.9999
        Overlap of samples, used by ``class_weight="effective"`` only.

    Returns
    -------
    Metric
        A callable for ``custom_metric=``, ``feval=`` and ``eval_metric=``.

    See Also
    --------
    balanced_ce_obj : The objective.
    """
    return Metric(CrossEntropy(class_weight=class_weight, beta=beta), scores=scores, name=name)


def focal_metric(
    gamma: Any = 2.0,
    alpha: float | None = None,
    *,
    scores: Scores = "raw",
    name: str | None = None,
    **parameters: Unpack[FocalParameters],
) -> Metric:
    """Make a metric: the mean focal loss.

    Parameters
    ----------
    gamma : float or sequence, default=2.0
        Focusing parameter, at least 0: one number, or one for each class.
    alpha : float in (0, 1), optional
        Weight of positives. The weight of negatives is 1 - alpha. Two classes only.
    scores : {"raw", "probability"}, default="raw"
        What the engine passes: raw scores under a custom objective, probabilities under a
        built-in one.
    name : str, optional
        Name in the engine's log. Metrics of one training need different names: LightGBM merges
        the values of equal ones. Default: the loss's name and "_loss", or "posterior_log_loss".
    **parameters : dict
        Further parameters of :class:`~boostloss.FocalLoss`.

    Returns
    -------
    Metric
        A callable for ``custom_metric=``, ``feval=`` and ``eval_metric=``.

    See Also
    --------
    focal_obj : The objective.
    """
    return Metric(FocalLoss(gamma, alpha, **parameters), scores=scores, name=name)


def ghm_metric(
    bins: int = 10,
    density: Density = "class",
    *,
    scores: Scores = "raw",
    name: str | None = None,
    **parameters: Unpack[GHMParameters],
) -> Metric:
    """Make a metric: the mean loss of the gradient harmonizing mechanism (GHM).

    Parameters
    ----------
    bins : int, default=10
        Number of regions of the gradient norm, at least 1.
    density : {"class", "bins", "window"}, default="class"
        How the density of the gradient norm is estimated.
    scores : {"raw", "probability"}, default="raw"
        What the engine passes: raw scores under a custom objective, probabilities under a
        built-in one.
    name : str, optional
        Name in the engine's log. Metrics of one training need different names: LightGBM merges
        the values of equal ones. Default: the loss's name and "_loss", or "posterior_log_loss".
    **parameters : dict
        Further parameters of :class:`~boostloss.GHMLoss`.

    Returns
    -------
    Metric
        A callable for ``custom_metric=``, ``feval=`` and ``eval_metric=``.

    See Also
    --------
    ghm_obj : The objective.
    """
    return Metric(GHMLoss(bins, density, **parameters), scores=scores, name=name)
