"""XGBoost's scikit-learn classifier with a loss."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from boostloss.classifier import (
    LOSS_PARAMETERS,
    Fitted,
    LossClassifierMixin,
    calibrated_state,
    fit_to_scores,
    from_engine,
    needs_training_scores,
    parameters_of,
)
from boostloss.engine_call import stated_threads
from boostloss.labels import (
    check_each_label,
    check_features,
    encode_labels,
    eval_codes,
    keep_labels,
    kept_labels,
    positive_factor,
)
from boostloss.losses import FittedLoss, Loss, LossName, is_plain_cross_entropy
from boostloss.losses.validation import Array, check_sample_weight, class_counts
from boostloss.metrics import Metric, posterior_metric
from boostloss.model_file import (
    SEAL,
    UNSEALED,
    Probability,
    check_objective,
    check_seal,
    read_state,
    sealed,
)
from boostloss.objectives import training_objective
from boostloss.optional import require
from boostloss.recorder import Recorder
from boostloss.xgboost import as_base_score, built_in_params
from boostloss.xgboost.metrics import XGBoostMetrics, as_names, of_posterior
from boostloss.xgboost.model import ATTRIBUTE, shifted
from boostloss.xgboost.parameters import ENGINE_NAMES, check_params, moves_shares

xgb = require("xgboost", "xgboost")
_Parent: Any = xgb.XGBClassifier
_Engine: Any = object  # represents the XGBoost classifier that follows the mixin

_OBJECTIVES = (None, "binary:logistic", "multi:softprob", "multi:softmax")


class XGBLossMixin(LossClassifierMixin, _Engine):
    """Add a loss to one of XGBoost's classifiers, for one machine or several.

    This base class comes before XGBoost's classifier.
    """

    n_jobs: Any
    scale_pos_weight: Any
    _engine_names = ENGINE_NAMES

    # XGBoost's class reads these for all properties of a fitted model, such as get_booster()
    _Booster = from_engine("_Booster")
    evals_result_ = from_engine(
        "evals_result_",
        doc="Metrics of each evaluation set, round by round, by its name.",
    )

    def __init__(
        self,
        *,
        loss: Loss | LossName = "cross_entropy",
        probability: Probability = "posterior",
        prior: Any = None,
        decision: Any = "loss",
        objective: Any = "binary:logistic",
        **kwargs: Any,
    ) -> None:
        self.loss = loss
        self.probability = probability
        self.prior = prior
        self.decision = decision
        super().__init__(objective=objective, **kwargs)

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
        recorder: Recorder | None = None,
    ) -> Self:
        """Fit to features X (n, d) and labels y (n,).

        Parameters are those of XGBoost's own ``fit``, and ``recorder``, a
        :class:`boostloss.Recorder` of gradient norms in each round. Labels can be of any type.
        Training starts at the loss's intercept, unless ``base_score``, ``base_margin`` or
        ``xgb_model`` is given.

        Raises
        ------
        ValueError, TypeError
            If labels, weights, features or parameters are invalid, or ``eval_set`` has labels that
            are not in ``y``.
        """
        self._check_objective(_OBJECTIVES, "binary:logistic")
        known = labels_of(xgb_model)
        labels, codes, weight, counts = self._read_target(y, sample_weight, known)
        check_each_label(counts, labels)
        self._check_prior(labels)
        self._check_decision(labels)
        n_classes = len(labels)
        # one row for each class, weighted by its count, which is all a loss needs of the labels
        loss = self._resolved_loss(
            np.arange(n_classes),
            counts,
            labels,
            positive_factor(self.scale_pos_weight, labels),
        )
        X = self._read_features(X, codes)
        params = self._training_params(loss, counts, xgb_model)
        engine = self._new_engine(self._with_objective(params, loss, recorder, labels, counts))
        engine.fit(
            X,
            codes,
            sample_weight=weight,
            base_margin=base_margin,
            eval_set=self._read_eval_set(eval_set, y, codes, labels),
            verbose=verbose,
            xgb_model=xgb_model,
            sample_weight_eval_set=sample_weight_eval_set,
            base_margin_eval_set=base_margin_eval_set,
            feature_weights=feature_weights,
        )
        if needs_training_scores(loss) or moves_shares(params):
            raw = engine.predict(X, output_margin=True, base_margin=base_margin)
            fitted = self._fit_loss(loss, codes, raw, weight)
        else:
            fitted = loss.fit(np.arange(n_classes), None, counts)
        # without the callables used in training, which need not be picklable
        engine.objective, engine.eval_metric = _native_objective(n_classes), None
        if isinstance(engine, SeveralValues):  # convert the fitted model to the engine's class
            plain = engine.parent()
            vars(plain).update(vars(engine))
            engine = plain
        engine.get_booster().set_attr(**{ATTRIBUTE: None, SEAL: None})  # from a file continued from
        keep_labels(engine.get_booster(), labels)
        share, given = counts / counts.sum(), self._given_loss(labels)
        self._fitted = Fitted(engine, labels, fitted, share, given)
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
        """Predict labels, as the parameter ``decision`` says.

        Parameters are those of XGBoost's own ``predict``. With ``output_margin=True`` it returns
        raw scores, (n,) or (n, K).
        """
        raw = self._raw(X, validate_features, base_margin, iteration_range)
        return raw if output_margin else self._decide(raw)

    def predict_proba(
        self,
        X: Any,
        validate_features: bool = True,
        base_margin: Any = None,
        iteration_range: tuple[int, int] | None = None,
    ) -> Any:
        """Predict probabilities (n, K) of the classes, as the parameter ``probability`` says."""
        return self._probability(self._raw(X, validate_features, base_margin, iteration_range))

    def decision_function(
        self,
        X: Any,
        *,
        validate_features: bool = True,
        base_margin: Any = None,
        iteration_range: tuple[int, int] | None = None,
    ) -> Any:
        """Scores by which :meth:`predict` decides, as the parameter ``decision`` says.

        By default they are the log-odds of :meth:`predict_proba` (of three or more classes, its
        logarithm), or the raw score if the loss has different weights or shape parameters for the
        classes. Arguments are those of
        :meth:`raw_score`.

        Returns
        -------
        array of shape (n,) or (n, K)
            Of two classes the positive one is predicted where the score is above 0, of more the
            one with the largest score. It is the logarithm of probability over threshold, the
            negative expected cost with costs, and the raw score with "raw". A ``prior`` shifts it.
        """
        return self._scores_of_decision(
            self._raw(X, validate_features, base_margin, iteration_range)
        )

    def raw_score(
        self,
        X: Any,
        *,
        validate_features: bool = True,
        base_margin: Any = None,
        iteration_range: tuple[int, int] | None = None,
    ) -> Any:
        """Raw scores, intercept included: (n,), or (n, K) for K > 2 classes.

        ``loss_.posterior`` turns them into probabilities. Other arguments are those of
        :meth:`predict`.
        """
        return self._raw(X, validate_features, base_margin, iteration_range)

    def get_xgb_params(self) -> dict[str, Any]:
        """Parameters that go to the booster: those of XGBoost, with the native objective."""
        params: dict[str, Any] = super().get_xgb_params()
        for name in list(params):
            if name.partition("__")[0] in LOSS_PARAMETERS:
                del params[name]
        if self.__sklearn_is_fitted__():
            params["objective"] = _native_objective(self.n_classes_)
        return params

    def save_model(self, fname: Any, *, calibrated: bool = False) -> None:
        """Save the model, with labels and loss in an attribute that XGBoost ignores.

        Parameters
        ----------
        fname : str or path
            A path that ends in ``.json`` or ``.ubj``.
        calibrated : bool, default=False
            Whether to add the constant between raw score and posterior to the model's intercept.
            XGBoost's own ``predict``, and every other program that reads the file, then returns
            the posterior, and SHAP values add up to its log-odds. For cross-entropy only, with any
            class weights. When loaded, it is a model of plain cross-entropy with the same
            probabilities, and predicts the most probable class.

        Raises
        ------
        TypeError
            If the loss is not registered, or labels are neither strings nor numbers.
        ValueError
            With ``calibrated``, if the posterior is not the raw score plus a constant, as for
            focal and GHM. :func:`boostloss.onnx.to_onnx` exports these.
        """
        booster = self.get_booster().copy()  # other threads may be saving this one
        state = self._state()
        if calibrated:
            state, shift = calibrated_state(self)
            booster = shifted(booster, shift)
        attributes = {ATTRIBUTE: state.text(), SEAL: UNSEALED}
        booster.set_attr(**attributes, scikit_learn=json.dumps({"_estimator_type": "classifier"}))
        booster.save_model(fname)
        path = Path(fname).expanduser()
        path.write_bytes(sealed(path.read_bytes()))

    def load_model(self, fname: Any) -> None:
        """Load a model that :meth:`save_model` wrote, with its loss and labels.

        The parameters ``loss``, ``probability``, ``prior`` and ``decision`` become those of the
        model. Class weights in a sequence become a dict by label. The engine's parameters stay as
        they are.

        Parameters
        ----------
        fname : str, path or bytearray
            The file, or its content.

        Raises
        ------
        ValueError
            If the model was not saved by this class, or is damaged. The estimator does not change.
        """
        in_memory = isinstance(fname, bytes | bytearray)
        source = "the model" if in_memory else f"{fname}"
        data = bytearray(fname if in_memory else Path(fname).expanduser().read_bytes())
        if data.startswith(b"tree\n"):
            raise ValueError(
                f"{source} must be a model saved by this class, got a LightGBM model: load it with "
                "ImbalancedLGBMClassifier"
            )
        check_seal(data, source)
        engine = xgb.XGBClassifier(n_jobs=self.n_jobs)
        try:
            engine.load_model(data)
            booster = engine.get_booster()
            text = booster.attr(ATTRIBUTE) or ""
        except (AssertionError, TypeError, ValueError) as error:
            raise ValueError(f"{source} cannot be read by XGBoost: {error}") from error
        state = read_state(text, source)
        wanted = f"{_native_objective(len(state.labels))} for {len(state.labels)}"
        check_objective(state, wanted, [f"{engine.objective} for {engine.n_classes_}"], source)
        booster.set_attr(**{ATTRIBUTE: None, SEAL: None})
        keep_labels(booster, state.labels)
        read = ("booster", "feature_types", "enable_categorical")  # as in XGBoost's load_model
        self.__dict__.update(
            _fitted=Fitted(engine, state.labels, state.loss, state.class_share, state.given_loss),
            **parameters_of(state),
            **{name: getattr(engine, name) for name in read},
        )

    # -- internal -----------------------------------------------------------------------

    def _training_params(self, loss: Loss, counts: Array, xgb_model: Any) -> dict[str, Any]:
        """Return the parameters of the engine's classifier, which does the training."""
        params = self._engine_params()
        n_classes = len(counts)
        if params.pop("num_class", None) not in (None, n_classes):
            raise ValueError(f"num_class must be left out: y contains {n_classes} classes")
        check_params(params)
        params["scale_pos_weight"] = None  # it is included in the loss
        if params["base_score"] is None and xgb_model is None:
            softmax = n_classes if n_classes > 2 else None
            raw = loss.init_score(np.arange(n_classes), counts, n_classes=softmax)
            # XGBoost's built-in objective starts from log(share + 1e-6)
            floor = 1e-6 if is_plain_cross_entropy(loss) else 0.0
            params["base_score"] = as_base_score(raw, floor)
        return params

    def _with_objective(
        self, params: dict[str, Any], loss: Loss, recorder: Any, labels: Array, counts: Array
    ) -> Any:
        """Return parameters with the built-in objective if it can replace the loss."""
        n = len(labels)
        native = {**params, "objective": _native_objective(n)}
        own = built_in_params(native, loss, n > 2) if recorder is None else None
        if own is None:
            threads = stated_threads({"n_jobs": self.n_jobs})
            own = native
            own["objective"] = training_objective(
                loss, "xgboost", n_threads=threads, recorder=recorder
            )
        in_use = self._shares_in_use(labels, counts)
        return self._with_metrics(own, loss, isinstance(own["objective"], str), in_use)

    def _with_metrics(
        self,
        params: dict[str, Any],
        loss: Loss,
        linked: bool,
        in_use: tuple[Array, Array] | None,
    ) -> dict[str, Any]:
        given = params["eval_metric"]
        listed = [given] if callable(given) else as_names(given)
        users = [
            self._metric_on_probability(m, loss, linked, in_use) for m in listed if callable(m)
        ]
        if not listed:
            # the posterior of cross-entropy is its link, so XGBoost's default metric is the same
            plain = in_use is None and is_plain_cross_entropy(loss)
            if not plain and not params.get("disable_default_eval_metric"):
                scores: Literal["raw", "probability"] = "probability" if linked else "raw"
                params["eval_metric"] = posterior_metric(loss, scores=scores, in_use=in_use)
                params["disable_default_eval_metric"] = 1
            return params
        if len(users) > 1:
            raise ValueError(
                f"eval_metric must contain at most one callable, as in XGBoost, got {len(users)}"
            )
        n_classes = FittedLoss(loss).n_classes
        named = {**params, "eval_metric": [m for m in listed if not callable(m)]}
        params, metric = of_posterior(
            named,
            loss,
            _of_data_set(users[0]) if users else None,
            n_classes=None if n_classes == 2 else n_classes,
            link=self.probability == "link",
            in_use=in_use,
        )
        if isinstance(metric, XGBoostMetrics):
            params["eval_metric"] = metric.on_probabilities() if linked else metric
            return params
        metrics = [*params["eval_metric"], *users]
        # XGBoost would pass only a list of callables to its booster
        params["eval_metric"] = metrics[0] if len(metrics) == 1 else metrics
        return params

    def _raw(self, X: Any, validate_features: bool, base_margin: Any, iteration_range: Any) -> Any:
        """Return raw scores by XGBoost's code, which also reads parameters set after fitting."""
        return super().predict(
            self._read_features(X),
            output_margin=True,
            validate_features=validate_features,
            base_margin=base_margin,
            iteration_range=iteration_range,
        )

    # -- different on Dask ----------------------------------------------------------------

    def _new_engine(self, params: dict[str, Any]) -> Any:
        return _Trainer(**params) if has_several_values(params) else xgb.XGBClassifier(**params)

    def _read_target(
        self, y: Any, sample_weight: Any, known: Array | None
    ) -> tuple[Array, Any, Any, Array]:
        """Return labels, each row's code and weight, and the total weight of each class."""
        labels, codes = encode_labels(y, known)
        weight = check_sample_weight(sample_weight, len(codes))
        return labels, codes, weight, class_counts(codes, weight, len(labels))

    def _read_features(self, X: Any, codes: Any = None) -> Any:
        return check_features(X, y=codes)

    def _read_eval_set(self, eval_set: Any, y: Any, codes: Any, labels: Array) -> Any:
        return eval_codes(eval_set, y, codes, labels)

    def _fit_loss(self, loss: Loss, codes: Any, raw: Any, weight: Any) -> FittedLoss:
        return fit_to_scores(loss, codes, raw, weight)


class SeveralValues(_Engine):
    """Lets a metric of XGBoost's classifiers have several values, as in ``train``.

    XGBoost's ``fit`` converts each callable to a metric of one value, and has no public option.
    """

    parent: Any
    """XGBoost's class, to which the trained object is converted."""

    def _configure_fit(self, *arguments: Any, **keywords: Any) -> Any:
        model, metric, *rest = super()._configure_fit(*arguments, **keywords)
        several = isinstance(self.eval_metric, XGBoostMetrics)
        return (model, self.eval_metric if several else metric, *rest)


class _Trainer(SeveralValues, _Parent):
    """XGBoost's classifier, which may report several values of one metric."""

    parent = xgb.XGBClassifier


def has_several_values(params: dict[str, Any]) -> bool:
    """Return whether the metric in the parameters has several values."""
    return isinstance(params["eval_metric"], XGBoostMetrics)


class ImbalancedXGBClassifier(XGBLossMixin, _Parent):
    """``XGBClassifier`` with a loss, for any labels and with probabilities of the classes.

    It has all parameters, attributes and methods of ``xgboost.XGBClassifier``. Training starts at
    the loss's own intercept. The fitted booster is native ("binary:logistic" or
    "multi:softprob"), so it can be saved, explained and served with XGBoost alone.

    Parameters
    ----------
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm"}, default="cross_entropy"
        A loss such as :class:`boostloss.FocalLoss`, or the name of a loss with default parameters.
        In a search the parameters of a loss object have names such as ``loss__gamma``.
        The keys of a ``class_weight`` dict are the labels of ``y``. XGBoost's own ``gamma``
        (minimum split loss) is another parameter.
    probability : {"posterior", "link"}, default="posterior"
        What :meth:`predict_proba` returns: the posterior, or the sigmoid (softmax) of the raw
        score, which is not the probability of the class for a weighted loss.
    prior : float or dict, optional
        Class shares where the model will be used, if they differ from those of the (weighted)
        training rows: the share of the positive class, or a dict by label. Probabilities,
        decisions and the default metric of early stopping are then corrected for these shares. It
        can be set after fitting. :func:`boostloss.decide.shift_prior` states the condition.
    decision : {"loss", "probability", "balanced", "raw"}, float, array or dict, default="loss"
        How :meth:`predict` chooses a class. It can be set after fitting.

        - "loss": the largest probability. If the loss has different weights or shape parameters
          for the classes, it is "raw".
        - "raw": the positive class if the raw score is above 0, or the largest raw score, as the
          engine alone. A ``prior`` changes it.
        - "probability": the largest probability, for every loss.
        - "balanced": the largest ratio of probability to class share in training, which maximises
          balanced accuracy.
        - A float in [0, 1], for two classes: the positive class if its probability is at least
          this.
        - K numbers above 0: the largest ratio of probability to number.
        - A cost matrix (K, K) with true classes in rows: the lowest expected cost.

        Numbers and costs can be dicts by label, ``{label: number}`` and ``{true label:
        {predicted label: cost}}``, or a data frame.
    objective : str, default="binary:logistic"
        Must keep its default, because ``loss`` replaces it.
    **kwargs
        Parameters of ``xgboost.XGBClassifier``. ``base_score`` overrides the loss's
        intercept. ``scale_pos_weight`` multiplies the loss's weight of the positive class.

    Attributes
    ----------
    classes_ : array of shape (K,)
        Labels, sorted.
    loss_ : Loss
        The fitted loss. Its ``posterior(raw)`` is ``predict_proba``.

    See Also
    --------
    boostloss.xgboost.train : Trains a booster.
    boostloss.DaskImbalancedXGBClassifier : The same classifier on Dask.

    Notes
    -----
    With two classes, the positive class is the last of the sorted labels, as in scikit-learn. Raw
    scores and ``predict_proba(X)[:, 1]`` belong to it. Numbers for the positive class (as
    ``class_weight``, ``alpha``, ``scale_pos_weight``) are accepted only with the labels 0 and 1,
    False and True, or -1 and 1. With other labels they raise a ValueError. Pass ``class_weight``
    as a dict by label instead.

    Training that continues from a model keeps the codes of its labels, and ``y`` must contain
    exactly these labels. A booster or file without labels has the codes 0..K-1.

    By default :meth:`predict` returns the class with the largest probability. A loss with more
    weight on a rare class favours that class instead. ``decision`` changes both.
    :mod:`boostloss.decide` handles costs of each row, budgets of alerts, and thresholds tuned on
    held-out rows. scikit-learn's ``TunedThresholdClassifierCV`` tunes a threshold by
    cross-validation, with ``response_method="predict_proba"``.

    The default metric of an ``eval_set`` is :func:`boostloss.posterior_log_loss` (for plain
    cross-entropy XGBoost's own log loss, which is equal). XGBoost's metrics, for example
    "logloss", and callables evaluate the probabilities of :meth:`predict_proba`, in the given
    order, but without the offset with which ``fit`` ends. GHM's density is then computed from the
    evaluation set.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from boostloss import FocalLoss, ImbalancedXGBClassifier
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> model = ImbalancedXGBClassifier(loss=FocalLoss(gamma=2), n_estimators=20).fit(X, y)
    >>> model.predict_proba(X).shape
    (500, 2)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags

    def _raw(self, X: Any, validate_features: bool, base_margin: Any, iteration_range: Any) -> Any:
        # only the base class's part of XGBClassifier's predict: 15% faster for one row
        raw = xgb.XGBModel.predict(
            self,
            self._read_features(X),
            output_margin=True,
            validate_features=validate_features,
            base_margin=base_margin,
            iteration_range=iteration_range,
        )
        if raw.size:
            return raw
        n_classes = self.n_classes_  # without rows, XGBoost 3.4 returns shape (0, 0)
        return raw.reshape((0, n_classes) if n_classes > 2 else 0)


def labels_of(model: Any) -> Array | None:
    """Return the sorted labels of the model that training continues from, or codes 0..K-1.

    Parameters
    ----------
    model : None, a fitted classifier of XGBoost or boostloss, xgboost.Booster, or path of a file
    """
    if model is None:
        return None
    if hasattr(model, "classes_"):
        labels: Array = np.asarray(model.classes_)
        return labels
    if isinstance(model, xgb.XGBModel):
        model = model.get_booster()
    booster = model if isinstance(model, xgb.Booster) else xgb.Booster(model_file=model)
    if booster.attr(ATTRIBUTE):
        return read_state(booster.attr(ATTRIBUTE), "xgb_model").labels
    if kept_labels(booster) is not None:
        return kept_labels(booster)
    config = json.loads(booster.save_config())
    n_classes = int(config["learner"]["learner_model_param"]["num_class"])
    return np.arange(max(n_classes, 2))


def _of_data_set(metric: Any) -> Any:
    """Convert a metric as in scikit-learn to one for ``xgboost.train``."""
    if isinstance(metric, Metric):
        return metric

    @functools.wraps(metric)
    def of_data_set(scores: Any, data: Any) -> tuple[str, Any]:
        weight = data.get_weight()
        keywords = {"sample_weight": weight} if weight.size else {}
        return metric.__name__, metric(data.get_label(), scores, **keywords)

    return of_data_set


def _native_objective(n_classes: int) -> str:
    return "binary:logistic" if n_classes == 2 else "multi:softprob"
