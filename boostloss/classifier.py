"""Define what all classifiers share: parameters, the loss, probabilities and decisions.

Raw scores and ``predict_proba(X)[:, 1]`` refer to the positive class, the last of two labels.
"""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from boostloss.decision import (
    Rule,
    check_decision,
    codes_by_raw,
    codes_by_rule,
    in_numbers,
    is_by_label,
)
from boostloss.labels import (
    by_code,
    check_each_label,
    check_positive_known,
    codes_of,
    says_the_positive,
)
from boostloss.losses import (
    ALONE,
    FittedLoss,
    Loss,
    Workers,
    constant_weights,
    is_plain_cross_entropy,
    named,
)
from boostloss.losses.validation import (
    Array,
    check_choice,
    check_sample_weight,
    class_counts,
    with_labels,
)
from boostloss.metrics import Metric, raw_of_probability, workers_now
from boostloss.model_file import PROBABILITIES, State, calibrated_loss, calibrated_shift
from boostloss.prior import shares_by_label

ALIKE = 0.75
"""Similarity from which a name is a typing error. No parameter of an engine comes near."""

LOSS_PARAMETERS = ("loss", "probability", "prior", "decision")
"""Parameters of the classifiers that the engine's classifier does not have."""


class Fitted(NamedTuple):
    """The result of training a classifier.

    It is one attribute, so that an interrupted ``fit`` leaves either the old model or the new one.
    """

    engine: Any
    """The engine's classifier, fitted to the codes 0..K-1."""
    labels: Array
    loss: FittedLoss
    """The fitted loss. Its posterior refers to the class shares of the training rows."""
    class_share: Array | None = None
    """Share of each class in the (weighted) training rows, or None for a file of 0.1.0."""
    given_loss: Loss | None = None
    """The parameter ``loss`` in training, with class weights by code; None for a file of 0.1.0."""


class LossClassifierMixin:
    """Add the parameters ``loss``, ``probability`` and ``decision`` to an engine's classifier.

    This base class comes before the engine's class. Fitting sets ``_fitted`` only. Attributes of
    the engine's class are read from there (:func:`from_engine`).
    """

    loss: Any
    probability: Any
    prior: Any
    decision: Any
    objective: Any
    _fitted: Fitted | None = None
    _ways_to_fit = "fit or load_model"
    _engine_names: frozenset[str] = frozenset()
    """Names of the engine's parameters."""

    @property
    def classes_(self) -> Array:
        """Labels, sorted."""
        return self._fitted_or_raise().labels

    @property
    def n_classes_(self) -> int:
        """Number of classes."""
        return len(self._fitted_or_raise().labels)

    @property
    def loss_(self) -> FittedLoss:
        """The fitted loss, corrected for ``prior`` if given.

        Its ``posterior(raw)`` is ``predict_proba``.
        """
        fitted = self._fitted_or_raise()
        if self.prior is None:
            return fitted.loss
        return fitted.loss.shifted(self._prior_shift(fitted.labels, fitted.class_share))

    @property
    def class_share_(self) -> Array:
        """Share of each class in the (weighted) training rows, (K,)."""
        share = self._fitted_or_raise().class_share
        if share is None:
            raise AttributeError("class_share_ is not in the file that this model was read from")
        return share

    @property
    def decision_(self) -> Rule:
        """The parameter ``decision`` in numbers, in the order of ``classes_``.

        "raw", a threshold, thresholds (K,) for the largest ``P_k / threshold_k``, or costs (K, K).
        """
        fitted = self._fitted_or_raise()
        rule = self._check_decision(fitted.labels)
        # with a prior, probabilities refer to its class shares
        share = fitted.class_share if self.prior is None else self._check_prior(fitted.labels)
        return in_numbers(rule, fitted.loss, share)

    def engine_model(self) -> Any:
        """Return the engine's own fitted classifier, for tools that accept only that class.

        Its labels are the codes 0..K-1, in the order of ``classes_``. Its ``predict_proba`` is the
        sigmoid or softmax of the raw score, not the posterior. It shares the booster with this
        classifier.

        Returns
        -------
        XGBClassifier or LGBMClassifier

        Raises
        ------
        NotFittedError
            Before ``fit`` or ``load_model``.
        """
        return copy.copy(self._fitted_or_raise().engine)

    def recalibrate(self, X: Any, y: Any, sample_weight: Any = None, **keywords: Any) -> Self:
        """Fit a slope and offsets of the log-odds to held-out rows. The trees do not change.

        The slope (one for all classes) and the offsets (K-1, one for two classes) minimise the log
        loss. They are part of ``loss_`` and of the saved file, and replace those of an earlier
        call. For more flexible methods wrap the fitted model in scikit-learn's
        ``CalibratedClassifierCV(FrozenEstimator(model))``, with ``decision="probability"``, because
        it reads :meth:`decision_function`.

        Parameters
        ----------
        X : features of shape (n, d)
            Rows that were used neither for training nor for early stopping, from the population
            where the model will be used (with ``prior``, a population with these class shares).
        y : array of shape (n,)
            Labels. Each class must have rows.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero.
        **keywords
            Arguments of :meth:`raw_score`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels were not seen in training, a class has no rows, the model ranks the rows no
            better than chance or separates them, or with ``probability="link"``.
        """
        fitted = self._fitted_or_raise()
        if self.probability != "posterior":
            raise ValueError(
                f"probability must be 'posterior' to recalibrate it, got {self.probability!r}"
            )
        codes, weight = self._read_held_out(y, sample_weight)
        raw = self._gathered(self.raw_score(X, **keywords))  # type: ignore[attr-defined]
        if len(raw) != len(codes):
            raise ValueError(f"X and y must have as many rows, got {len(raw)} and {len(codes)}")
        loss = fitted.loss.recalibrated(codes, raw, weight)
        if self.prior is not None:
            shift = self._prior_shift(fitted.labels, fitted.class_share)
            loss = loss.shifted(-shift)
        self._fitted = fitted._replace(loss=loss)
        return self

    def _prior_shift(self, labels: Array, class_share: Array | None) -> Array:
        """Return the shift of each class's log-probability by ``prior``."""
        if class_share is None:
            raise ValueError(
                "prior must be None for a model whose file has no class shares: older versions "
                "did not write them"
            )
        shift: Array = np.log(self._check_prior(labels)) - np.log(class_share)
        return shift

    def _check_prior(self, labels: Array) -> Any:
        """Return the class shares where the model is used, by code, or None without a prior."""
        if self.prior is None:
            return None
        if self.probability != "posterior":
            raise ValueError(
                f"probability must be 'posterior' with prior={self.prior!r}, "
                f"got {self.probability!r}"
            )
        shares = shares_by_label(self.prior, labels)
        if not isinstance(with_labels("prior", self.prior), Mapping):
            first, last = labels.tolist()
            by_label = f"pass prior as a dict, {{{first!r}: ..., {last!r}: ...}}"
            check_positive_known(labels, {"prior": self.prior}, by_label)
        return shares

    def _shares_in_use(self, labels: Array, counts: Array) -> tuple[Array, Array] | None:
        """Return the class shares of training and those in use, for a metric."""
        shares = self._check_prior(labels)
        return None if shares is None else (counts / counts.sum(), shares)

    def _read_held_out(self, y: Any, sample_weight: Any) -> tuple[Array, Array | None]:
        labels = self.classes_
        codes = codes_of(self._gathered(y), labels, "y")
        weight = check_sample_weight(self._gathered(sample_weight), len(codes))
        check_each_label(class_counts(codes, weight, len(labels)), labels)
        return codes, weight

    def _gathered(self, collection: Any) -> Any:
        """Return the rows, which are on this machine."""
        return collection

    def set_params(self, **params: Any) -> Any:
        """Set parameters. Names such as ``loss__gamma`` set parameters of the loss."""
        inner = {name: params.pop(name) for name in list(params) if name.startswith("loss__")}
        for name in LOSS_PARAMETERS:
            if name in params:
                setattr(self, name, params.pop(name))
        if inner:
            if not isinstance(self.loss, Loss):
                raise ValueError(
                    f"loss must be a loss object such as FocalLoss() to set {', '.join(inner)}, "
                    f"got loss={self.loss!r}"
                )
            self.loss.set_params(**{name[len("loss__") :]: inner[name] for name in inner})
        super().set_params(**params)  # type: ignore[misc]
        return self

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return the loss and the parameters that differ from the defaults."""
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        kind: Any = type(self)
        defaults = _defaults_of(kind)
        shown = {"loss": params.pop("loss", self.loss)}
        shown |= {
            name: value
            for name, value in params.items()
            if name not in defaults or repr(value) != repr(defaults[name])
        }
        said = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        text = f"{type(self).__name__}({said})"
        return text if len(text) <= N_CHAR_MAX else f"{text[: N_CHAR_MAX - 4]}...)"

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def _fitted_or_raise(self) -> Fitted:
        if self._fitted is None:
            raise NotFittedError(f"{type(self).__name__} is not fitted: call {self._ways_to_fit}")
        return self._fitted

    def _engine_params(self) -> dict[str, Any]:
        """Return the parameters of the engine's classifier."""
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        params = {name: value for name, value in params.items() if name not in LOSS_PARAMETERS}
        check_misplaced(params, named(self.loss), self._engine_names)
        return params

    def _given_loss(self, labels: Array) -> Loss:
        """Return a copy of the parameter ``loss``, with class weights by code.

        A copy, since parameters set later must not change a fitted model.
        """
        return by_code(clone(named(self.loss)), labels)

    def _check_objective(self, allowed: tuple[str | None, ...], default: str | None) -> None:
        if self.objective not in allowed:
            raise ValueError(
                f"objective must be left as it is, {default!r}, since loss takes its place, "
                f"got {self.objective!r}"
            )

    def _resolved_loss(
        self, codes: Array, weight: Array | None, labels: Array, class_factor: Array | None
    ) -> Loss:
        """Return the loss with class weights as numbers, times the engine's class weights."""
        check_choice("probability", self.probability, PROBABILITIES)
        fitted = self._given_loss(labels).fit(codes, None, weight, n_classes=len(labels))
        resolved: Loss = fitted.loss
        if class_factor is None:
            return resolved
        return resolved.with_class_weight(fitted.class_weight * class_factor)

    def _decide(self, raw: Any) -> Any:
        """Return labels by the parameter ``decision``."""
        rule = self.decision_
        return decided(self._decided_on(raw, rule), rule, self.classes_)

    def _decided_on(self, raw: Any, rule: Rule) -> Any:
        """Return the input of a rule: raw scores, or the result of ``predict_proba``."""
        return self._raw_in_use(raw) if isinstance(rule, str) else self._probability(raw)

    def _scores_of_decision(self, raw: Any) -> Any:
        """Return the scores for ``decision_function``, by which :meth:`_decide` chooses."""
        rule = self.decision_
        if isinstance(rule, str):
            return self._raw_in_use(raw)
        return scores_by_rule(raw, rule, self.loss_, self.probability)

    def _check_decision(self, labels: Array) -> Rule:
        rule = check_decision(self.decision, labels)
        if not isinstance(rule, str) and not is_by_label(self.decision):
            first, last = labels.tolist()[0], labels.tolist()[-1]
            instead = f"pass numbers or costs as a dict by label, {{{first!r}: ..., {last!r}: ...}}"
            check_positive_known(labels, {"decision": self.decision}, instead)
        needs_posterior = rule == "balanced" if isinstance(rule, str) else np.ndim(rule) == 2
        if needs_posterior and self.probability != "posterior":
            raise ValueError(
                f"decision must be 'loss', 'probability', 'raw' or thresholds with probability="
                f"{self.probability!r}, got {self.decision!r}, which needs probability='posterior'"
            )
        return rule

    def _raw_in_use(self, raw: Any) -> Any:
        """Return the raw scores by which the loss decides under the class shares of ``prior``."""
        if self.prior is None:
            return raw
        fitted = self._fitted_or_raise()
        shift = self._prior_shift(fitted.labels, fitted.class_share)
        return raw_for_shares(raw, fitted.loss.loss, fitted.loss, shift)

    def _probability(self, raw: Any) -> Any:
        """Return probabilities (n, K) of raw scores by the parameter ``probability``."""
        return probabilities(raw, self.loss_, self.probability)

    def _metric_on_probability(
        self, metric: Any, loss: Loss, linked: bool, in_use: tuple[Array, Array] | None = None
    ) -> Any:
        """Convert a user's metric of probabilities to a metric of what the engine passes.

        The engine passes raw scores or, if ``linked``, their sigmoid or softmax.
        """
        if isinstance(metric, Metric):
            return metric.on_probabilities() if linked else metric
        if (
            linked
            and self.prior is None
            and (self.probability == "link" or is_plain_cross_entropy(loss))
        ):
            return metric

        @functools.wraps(metric)
        def on_probability(y: Any, raw: Any, *weight: Any, **keywords: Any) -> Any:
            raw = raw_of_probability(np.asarray(raw)) if linked else raw
            sample_weight = weight[0] if weight else keywords.get("sample_weight")
            fitted = loss.fit(y, raw, sample_weight, workers=workers_now(), offset=False)
            if in_use is not None:
                fitted = fitted.with_offset(np.log(in_use[1]) - np.log(in_use[0]))
            p = _one_probability(raw, fitted, self.probability)
            return metric(y, p, *weight, **keywords)

        return on_probability

    def _state(self) -> State:
        """Return what a model file must contain beside the engine's model."""
        fitted = self._fitted_or_raise()
        return State(
            fitted.labels,
            fitted.loss,
            self.probability,
            class_share=fitted.class_share,
            prior=self._check_prior(fitted.labels),
            decision=self._check_decision(fitted.labels),
            given_loss=fitted.given_loss,
        )


@functools.cache
def _defaults_of(kind: type) -> dict[str, Any]:
    """Return the defaults of all parameters, also of those that a constructor passes on."""
    constructors = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base)]
    parameters = [
        parameter
        for constructor in reversed(constructors[:-1])  # the last one is object's
        for parameter in inspect.signature(constructor).parameters.values()
    ]
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def state_of(model: LossClassifierMixin) -> State:
    """Return what a file of a fitted classifier must contain beside the engine's model."""
    return model._state()


def calibrated_state(model: LossClassifierMixin) -> tuple[State, Array]:
    """Return the state of a file whose raw scores contain the posterior, and their shift.

    Raises
    ------
    ValueError
        If the posterior of the loss is not a shift of the raw score.
    """
    state = model._state()
    if state.probability != "posterior":
        raise ValueError(
            f"calibrated must be False with probability={state.probability!r}, got True"
        )
    shift = calibrated_shift(model.loss_)
    share = state.class_share if state.prior is None else state.prior
    loss = calibrated_loss(state.loss)
    made = state._replace(loss=loss, class_share=share, prior=None, given_loss=None)
    return made, shift


def parameters_of(state: State) -> dict[str, Any]:
    """Return the classifier's parameters for the state of a file."""
    labels = state.labels.tolist()
    return {
        "loss": _given_loss(state),
        "probability": state.probability,
        "prior": None if state.prior is None else _by_label(state.prior, labels),
        "decision": (
            state.decision
            if len(labels) > 2 or says_the_positive(state.labels)
            else _by_label(state.decision, labels)
        ),
    }


def _given_loss(state: State) -> Loss:
    """Return the loss that the classifier had as a parameter, with class weights by label."""
    loss: Loss
    if state.given_loss is not None:
        loss, weight = clone(state.given_loss), state.given_loss.class_weight
        weight = np.array(weight) if isinstance(weight, list) else weight
    else:  # only the weights of its training are known
        loss = clone(state.loss.loss)
        weight = loss.class_weights(None, len(state.labels))
        weight = None if (weight == 1.0).all() else weight
    loss.set_params(class_weight=_by_label(weight, state.labels.tolist()))
    return loss


def _by_label(value: Any, labels: list[Any]) -> Any:
    """Return numbers (K,) or (K, K) as dicts, and a name or one number unchanged."""
    if not isinstance(value, np.ndarray):
        return value
    rows = value.tolist() if value.ndim == 1 else [_by_label(row, labels) for row in value]
    return dict(zip(labels, rows, strict=True))


def from_engine(name: str, unfitted: Any = NotFittedError, *, doc: str | None = None) -> Any:
    """Return a property that reads an attribute of the engine's class from the fitted engine.

    ``unfitted`` is its value before fitting; by default there is none. Assigning a value does
    nothing, since only the engine's constructor does so. ``doc`` is the docstring of a public one.
    """

    def read(classifier: LossClassifierMixin) -> Any:
        if classifier._fitted is None and unfitted is not NotFittedError:
            return unfitted
        return getattr(classifier._fitted_or_raise().engine, name)

    return property(read, lambda classifier, value: None, doc=doc)


def probabilities(raw: Array, loss: FittedLoss, probability: str) -> Array:
    """Return probabilities (n, K): the loss's posterior, or the link of the raw scores."""
    p = _one_probability(raw, loss, probability)
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


def _one_probability(raw: Array, loss: FittedLoss, probability: str) -> Array:
    check_choice("probability", probability, PROBABILITIES)
    if probability == "posterior":
        return loss.posterior(raw)
    raw = np.asarray(raw, dtype=np.float64)
    p: Array = expit(raw) if raw.ndim == 1 else softmax(raw, axis=1)
    return p


_SHARES_WITH_FINITE_LOGIT = (float(np.finfo(float).tiny), 1.0 - float(np.finfo(float).epsneg))
"""A threshold of 0 or 1 gives finite scores, which keep the order of the rows."""


def scores_by_rule(raw: Array, rule: float | Array, loss: FittedLoss, probability: str) -> Array:
    """Return scores (n,), above 0 for the second class, or (n, K), largest for the decision.

    ``codes_by_rule`` decides in the same way, except for rows exactly at a threshold.
    """
    if np.ndim(rule) == 2:
        cost = probabilities(raw, loss, probability) @ rule
        return cost[:, 0] - cost[:, 1] if cost.shape[1] == 2 else -cost
    log_p = _log_probability(raw, loss, probability)
    if isinstance(rule, float):
        scores: Array = log_p - logit(np.clip(rule, *_SHARES_WITH_FINITE_LOGIT))
        return scores
    log_rule = np.log(rule)
    return log_p - (log_rule[1] - log_rule[0] if log_p.ndim == 1 else log_rule)


def _log_probability(raw: Array, loss: FittedLoss, probability: str) -> Array:
    """Return log-odds (n,) of ``predict_proba``, or log-probabilities (n, K)."""
    check_choice("probability", probability, PROBABILITIES)
    raw = np.asarray(raw, dtype=np.float64)
    log_p = loss.log_odds(raw) if probability == "posterior" else raw
    return log_p if log_p.ndim == 1 else log_softmax(log_p, axis=1)


def raw_for_shares(raw: Array, loss: Loss, fitted: FittedLoss, shift: Array) -> Array:
    """Return scores whose sign, or largest, is the loss's decision under other class shares.

    A loss decides for the class with the largest ratio of posterior to the posterior at equal raw
    scores. Its preference for classes by weights is kept, and the shares change.
    """
    bare = FittedLoss(loss, fitted.log_weight_table)
    start = np.zeros((1, *np.shape(raw)[1:]))
    ahead = bare.log_posterior(np.asarray(raw)) - bare.log_posterior(start)
    moved: Array = ahead + (shift if ahead.ndim == 2 else shift[1] - shift[0])
    return moved


def decided(values: Array, rule: Rule, labels: Array) -> Array:
    """Return labels by raw scores, or by a rule on probabilities (n, K)."""
    codes = codes_by_raw(values) if isinstance(rule, str) else codes_by_rule(values, rule)
    decision: Array = labels[codes]
    return decision


def needs_training_scores(loss: Loss) -> bool:
    """Return whether a loss must also be fitted to the raw scores of its training rows.

    Training with equally weighted cross-entropy keeps the mean posterior at the class shares. All
    other losses fit their offset to these scores, and GHM its density. The density of the last
    round belongs to the scores before its tree or, after early stopping, to a later model, whose
    posterior differed by 0.01 to 0.1. Predicting takes 1 to 12% of a fit.
    """
    weights = constant_weights(loss)
    return weights is None or bool(np.ptp(weights))


def fit_to_scores(
    loss: Loss, y: Array, raw: Array, weight: Array | None, workers: Workers = ALONE
) -> FittedLoss:
    """Fit the loss, with an offset also for plain cross-entropy, to scores that moved shares."""
    fitted: FittedLoss = loss.fit(y, raw, weight, workers=workers)
    return fitted.with_shares_of(y, raw, weight, workers) if fitted.keeps_shares else fitted


def check_misplaced(params: Mapping[str, Any], loss: Loss, engine_names: frozenset[str]) -> None:
    """Raise an error for parameters that an engine ignores: the loss's, and ours, misspelt too.

    Parameters
    ----------
    params : dict
        Parameters for an engine.
    loss : Loss
    engine_names : frozenset of str
        Names of the engine's own parameters. Others may be missing.
    """
    of_the_loss = loss.get_params()
    for name, value in params.items():
        if name in engine_names or value is None or not isinstance(name, str):
            continue
        if name in of_the_loss:
            raise ValueError(
                f"{name} must be passed to the loss, as in {type(loss).__name__}({name}="
                f"{value!r}), not to the engine"
            )
        if name in LOSS_PARAMETERS:
            raise ValueError(f"params must not contain {name!r}, {_INSTEAD[name]}, got {value!r}")
        if name.startswith("loss__"):
            raise ValueError(
                f"{name} is for set_params: pass the loss with its parameters, got {value!r}"
            )
        meant = _meant(name)
        if meant:
            raise ValueError(f"{name} is not a parameter: write {meant}={value!r}")


_INSTEAD = {
    "loss": "which is an argument of its own",
    "probability": "a parameter of the classifiers: boosters predict the link of the raw score",
    "prior": "a parameter of the classifiers: use boostloss.decide.shift_prior",
    "decision": "a parameter of the classifiers: use boostloss.decide.decide",
}


@functools.lru_cache(1000)
def _meant(name: str) -> str | None:
    """Return our parameter that a name misspells, or None."""
    if name in LOSS_PARAMETERS:
        return None
    return next(iter(difflib.get_close_matches(name, LOSS_PARAMETERS, 1, ALIKE)), None)
