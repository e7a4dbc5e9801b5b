"""LightGBM's scikit-learn classifier with a loss."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import compute_class_weight

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
from boostloss.labels import (
    check_each_label,
    check_features,
    check_positive_known,
    encode_labels,
    eval_codes,
    keep_labels,
    kept_labels,
    of_the_positive,
)
from boostloss.lightgbm import (
    CLASS_ALIASES,
    METRIC_ALIASES,
    OBJECTIVE_ALIASES,
    built_in_objective,
    built_in_params,
    built_in_weights,
    callable_objective,
    intercept_of,
    no_feature_splits,
)
from boostloss.lightgbm.data_set import for_each_row
from boostloss.lightgbm.few_rows import DEFAULT, warn_of_few_rows
from boostloss.lightgbm.metrics import as_names, of_posterior
from boostloss.lightgbm.model import (
    from_file,
    has_default_names,
    is_forest,
    labels_in,
    make_constant,
    make_native,
    rounds_used,
    shifted,
    to_file,
)
from boostloss.lightgbm.parameters import (
    ENGINE_NAMES,
    check_bagging_by_class,
    check_callable,
    check_link,
    moves_shares,
    take_class_factor,
)
from boostloss.lightgbm.prediction import KeepTrainingScores, with_drop_alike
from boostloss.losses import Loss, LossName, is_plain_cross_entropy
from boostloss.losses.validation import Array, check_sample_weight, class_counts
from boostloss.metrics import check_names_differ, posterior_metric
from boostloss.model_file import Probability
from boostloss.optional import require
from boostloss.recorder import Recorder

lgb = require("lightgbm", "lightgbm")
_Parent: Any = lgb.LGBMClassifier

_OBJECTIVES = (None, "binary", "multiclass", "softmax")
_FIT_TAKES_EVAL_X = "eval_X" in inspect.signature(lgb.LGBMClassifier.fit).parameters


class ImbalancedLGBMClassifier(LossClassifierMixin, _Parent):
    """``LGBMClassifier`` with a loss, for any labels and with probabilities of the classes.

    It has all parameters, attributes and methods of ``lightgbm.LGBMClassifier``. Training starts
    at the loss's own intercept. The fitted booster is native ("binary sigmoid:1" or
    "multiclass"), so it can be saved, explained and served with LightGBM alone.

    Parameters
    ----------
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm"}, default="cross_entropy"
        A loss such as :class:`boostloss.FocalLoss`, or the name of a loss with default parameters.
        In a search the parameters of a loss object have names such as ``loss__gamma``.
        The keys of the loss's ``class_weight`` dict are the labels of ``y``.
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
    **kwargs
        Parameters of ``lightgbm.LGBMClassifier``. ``objective`` must stay None, because ``loss``
        replaces it. ``class_weight``, ``scale_pos_weight`` and ``is_unbalance`` multiply the
        loss's class weights, which the posterior undoes. ``linear_tree`` and
        ``boosting_type="rf"`` work with cross-entropy only.

    Attributes
    ----------
    classes_ : array of shape (K,)
        Labels, sorted.
    loss_ : Loss
        The fitted loss. Its ``posterior(raw)`` is ``predict_proba``.

    See Also
    --------
    boostloss.lightgbm.train : Trains a booster.
    boostloss.ImbalancedXGBClassifier : The same classifier with XGBoost.

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

    The metrics of an evaluation set are :func:`boostloss.posterior_log_loss` (for plain
    cross-entropy LightGBM's own log loss) and those that ``eval_metric`` or ``metric`` name.
    LightGBM's metrics and callables evaluate the probabilities of :meth:`predict_proba`, in the
    given order, but without the offset with which ``fit`` ends. GHM's density is then computed from
    the evaluation set.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from boostloss import FocalLoss, ImbalancedLGBMClassifier
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> model = ImbalancedLGBMClassifier(loss=FocalLoss(gamma=2), n_estimators=20, verbose=-1)
    >>> model.fit(X, y).predict_proba(X).shape
    (500, 2)
    """

    _engine_names = ENGINE_NAMES
    fitted_ = from_engine("fitted_", unfitted=False, doc="Whether the classifier is fitted.")

    def __init__(
        self,
        *,
        loss: Loss | LossName = "cross_entropy",
        probability: Probability = "posterior",
        prior: Any = None,
        decision: Any = "loss",
        **kwargs: Any,
    ) -> None:
        self.loss = loss
        self.probability = probability
        self.prior = prior
        self.decision = decision
        super().__init__(**kwargs)

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        init_score: Any = None,
        eval_set: Any = None,
        eval_names: Any = None,
        eval_sample_weight: Any = None,
        eval_class_weight: Any = None,
        eval_init_score: Any = None,
        eval_metric: Any = None,
        feature_name: Any = "auto",
        categorical_feature: Any = "auto",
        callbacks: Any = None,
        init_model: Any = None,
        *,
        eval_X: Any = None,
        eval_y: Any = None,
        recorder: Recorder | None = None,
    ) -> Self:
        """Fit to features X (n, d) and labels y (n,).

        Parameters are those of ``LGBMClassifier.fit``, and ``recorder``, a
        :class:`boostloss.Recorder` of gradient norms in each round. Labels can be of any type.
        Evaluation sets are passed as ``eval_set``, or as ``eval_X`` and ``eval_y``. Training
        starts at the loss's intercept, unless ``init_score`` is given,
        ``boost_from_average`` is False, or training continues from ``init_model``.

        Raises
        ------
        ValueError, TypeError
            If labels, weights, features, metrics or parameters are invalid, or an evaluation set
            has labels that are not in ``y``.
        """
        labels, codes = encode_labels(y, labels_of(init_model))
        self._check_prior(labels)
        self._check_decision(labels)
        n_classes = len(labels)
        softmax = n_classes if n_classes > 2 else None
        params = self._training_params(n_classes)
        users_X, X = X, _features(X, y=codes)
        weight = check_sample_weight(sample_weight, len(codes))
        counts = class_counts(codes, weight, n_classes)
        check_each_label(counts, labels)
        params, class_factor = _take_class_factor(params, codes, labels)
        loss = self._resolved_loss(codes, weight, labels, class_factor)
        sets = eval_codes(_pairs(eval_set, eval_X, eval_y), y, codes, labels)
        # the training set stays the same object, by which LightGBM recognises it
        sets = sets and [(X if own_X is users_X else own_X, own_y) for own_X, own_y in sets]
        if eval_X is not None:  # sets of their own, also if they have the training rows
            sets = [(own_X, own_y.copy()) for own_X, own_y in sets]
        judged = any(_is_training(one, X, codes) for one in sets or ())
        own = built_in_weights(loss, recorder, None, judged=judged)
        metrics, callables = self._split_metrics(
            params,
            eval_metric,
            loss,
            own is not None,
            self._shares_in_use(labels, counts),
            n_classes,
        )
        intercept = None
        data = {
            "sample_weight": weight,
            "feature_name": feature_name,
            "categorical_feature": categorical_feature,
        }
        if own is not None:
            objective: Any = built_in_objective(softmax)
            if (own != 1.0).any():
                data["sample_weight"] = own[codes] * (1.0 if weight is None else weight)
        else:
            check_callable(params)
            threads = {**params, "n_jobs": self.n_jobs}
            objective = callable_objective(threads, loss, recorder)
            callbacks = with_drop_alike(callbacks)
            if init_score is None and init_model is None:
                intercept = intercept_of(loss, codes, weight, softmax, params)
                init_score = for_each_row(intercept, len(codes))
                eval_init_score = [for_each_row(intercept, len(c)) for _, c in sets or ()] or None
        plain = is_plain_cross_entropy(loss)
        scores = KeepTrainingScores(linked=own is not None)
        by_scores = needs_training_scores(loss) or moves_shares(params)
        if by_scores:
            callbacks = [*(callbacks or ()), scores]
        if init_model is None:
            stated = dict(params)
            if stated.get("min_child_weight") == DEFAULT:  # the classifier's name and default
                del stated["min_child_weight"]
            counts = class_counts(codes, weight, n_classes)
            warn_of_few_rows(stated, loss, counts, len(codes), softmax, "min_child_weight", labels)
        engine = _train(
            {**params, "objective": objective, "metric": metrics},
            {**built_in_params(params, softmax), "n_estimators": 1},
            (X, codes, sets),
            intercept,
            data,
            refit=plain,
            init_score=init_score,
            eval_names=eval_names,
            eval_sample_weight=eval_sample_weight,
            eval_class_weight=_eval_weight_by_code(eval_class_weight, labels),
            eval_init_score=eval_init_score,
            eval_metric=callables,
            callbacks=callbacks,
            init_model=init_model,
        )
        if by_scores:
            raw = scores.raw
            if raw is None:
                raw = engine.predict(X, raw_score=True)
                if is_forest(engine.booster_):
                    raw = raw / rounds_used(engine.booster_)
                if intercept is None and init_score is not None:
                    raw = raw + np.reshape(init_score, raw.shape, order="F")
            fitted = fit_to_scores(loss, codes, raw, weight)
        else:
            fitted = loss.fit(codes, None, weight)
        keep_labels(engine.booster_, labels)
        share, given = counts / counts.sum(), self._given_loss(labels)
        self._fitted = Fitted(engine, labels, fitted, share, given)
        return self

    def predict(
        self,
        X: Any,
        raw_score: bool = False,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        pred_leaf: bool = False,
        pred_contrib: bool = False,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Predict labels, as the parameter ``decision`` says.

        Parameters are those of ``LGBMClassifier.predict``. With ``raw_score``, ``pred_leaf`` or
        ``pred_contrib`` it returns the booster's raw scores, leaves or SHAP values.
        """
        output = self._raw(
            X, start_iteration, num_iteration, pred_leaf, pred_contrib, validate_features, **kwargs
        )
        return output if raw_score or pred_leaf or pred_contrib else self._decide(output)

    def predict_proba(
        self,
        X: Any,
        raw_score: bool = False,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        pred_leaf: bool = False,
        pred_contrib: bool = False,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Predict probabilities (n, K) of the classes, as the parameter ``probability`` says.

        Parameters are those of :meth:`predict`.
        """
        output = self._raw(
            X, start_iteration, num_iteration, pred_leaf, pred_contrib, validate_features, **kwargs
        )
        return output if raw_score or pred_leaf or pred_contrib else self._probability(output)

    def decision_function(
        self,
        X: Any,
        *,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Scores by which :meth:`predict` decides, as the parameter ``decision`` says.

        By default they are the log-odds of :meth:`predict_proba` (of three or more classes, its
        logarithm), or the raw score if the loss has different weights or shape parameters for the
        classes.

        Parameters
        ----------
        X : array or frame of shape (n, d)
            Features.
        start_iteration : int, default=0
            First round that counts.
        num_iteration : int, optional
            Number of rounds that count. Default: up to the best.
        validate_features : bool, default=False
            Whether a frame's columns must have the names of those in training.
        **kwargs
            Further parameters of ``LGBMClassifier.predict``.

        Returns
        -------
        array of shape (n,) or (n, K)
            Of two classes the positive one is predicted where the score is above 0, of more the
            one with the largest score. It is the logarithm of probability over threshold, the
            negative expected cost with costs, and the raw score with "raw". A ``prior`` shifts it.
        """
        return self._scores_of_decision(
            self._raw(
                X, start_iteration, num_iteration, validate_features=validate_features, **kwargs
            )
        )

    def raw_score(
        self,
        X: Any,
        *,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Raw scores, intercept included. ``loss_.posterior`` turns them into probabilities.

        Parameters
        ----------
        X : array or frame of shape (n, d)
            Features.
        start_iteration : int, default=0
            First round that counts.
        num_iteration : int, optional
            Number of rounds that count. Default: up to the best.
        validate_features : bool, default=False
            Whether a frame's columns must have the names of those in training.
        **kwargs
            Further parameters of ``LGBMClassifier.predict``.

        Returns
        -------
        array of shape (n,) or (n, K)
            (n, K) for K > 2 classes.
        """
        return self._raw(
            X, start_iteration, num_iteration, validate_features=validate_features, **kwargs
        )

    def set_params(self, **params: Any) -> Any:
        """Set parameters. Names such as ``loss__gamma`` set parameters of the loss."""
        super().set_params(**params)
        if self._fitted is not None:  # LightGBM reads parameters when it predicts
            self._fitted.engine.set_params(**_for_prediction(params))
        return self

    def save_model(self, filename: str | Path, *, calibrated: bool = False) -> None:
        """Save the model, with labels and loss in a line that LightGBM ignores.

        Parameters
        ----------
        filename : str or path
            A path for a file in LightGBM's text format.
        calibrated : bool, default=False
            Whether to add the constant between raw score and posterior to the leaves.
            LightGBM's own ``predict``, and every other program that reads the file, then returns
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
        booster, state = self.booster_, self._state()
        if calibrated:
            state, shift = calibrated_state(self)
            booster = shifted(booster, shift)
        Path(filename).write_bytes(to_file(booster, state))

    def load_model(self, filename: str | Path) -> Self:
        """Load a model that :meth:`save_model` wrote, with its loss and labels.

        The parameters ``loss``, ``probability``, ``prior`` and ``decision`` become those of the
        model. Class weights in a sequence become a dict by label. The engine's parameters stay as
        they are.

        Parameters
        ----------
        filename : str or path
            What :meth:`save_model` wrote.

        Returns
        -------
        self
            The fitted classifier.

        Raises
        ------
        ValueError
            If the model was not saved by this class, or is damaged. The estimator does not change.
        """
        booster, state = from_file(Path(filename).read_bytes(), f"{filename}")
        engine = self._engine_of(booster, len(state.labels))
        keep_labels(booster, state.labels)
        self.__dict__.update(
            _fitted=Fitted(engine, state.labels, state.loss, state.class_share, state.given_loss),
            **parameters_of(state),
        )
        return self

    # -- internal -----------------------------------------------------------------------

    def _training_params(self, n_classes: int) -> dict[str, Any]:
        """Return parameters for LightGBM's classifier, without objective and metrics."""
        params = self._engine_params()
        self._check_objective(_OBJECTIVES, None)
        for name in OBJECTIVE_ALIASES:
            if name != "objective" and params.get(name) is not None:
                raise ValueError(
                    f"{name} must be left out: loss takes its place, got {params[name]!r}"
                )
        check_link(params)
        check_bagging_by_class(params, n_classes)
        for name in CLASS_ALIASES:
            num_class = params.pop(name, None)
            if num_class not in (None, n_classes) and not (num_class == 1 and n_classes == 2):
                raise ValueError(
                    f"{name} must be left out: y contains {n_classes} classes, got {num_class!r}"
                )
        return params

    def _split_metrics(
        self,
        params: dict[str, Any],
        eval_metric: Any,
        loss: Loss,
        linked: bool,
        in_use: tuple[Array, Array] | None,
        n_classes: int,
    ) -> tuple[Any, list[Any]]:
        """Return LightGBM's metrics and callables from ``metric`` and ``eval_metric``.

        As in LightGBM, the default is evaluated beside ``eval_metric``.
        """
        default = "multi_logloss" if n_classes > 2 else "binary_logloss"
        # the posterior of cross-entropy is its link, so LightGBM's default metric is the same
        plain = is_plain_cross_entropy(loss) and in_use is None
        by_alias = [params.pop(name) for name in METRIC_ALIASES if name in params]
        metric = next((metric for metric in by_alias if metric is not None), None)
        listed = [*_as_list(eval_metric), *_as_list(metric)]
        check_names_differ("eval_metric", listed)
        names = as_names([m for m in listed if isinstance(m, str)], n_classes) or []
        scores: Literal["raw", "probability"] = "probability" if linked else "raw"
        ours: list[Any] = []
        if metric is None and default not in names:
            if plain:
                names.append(default)
            else:
                ours = [posterior_metric(loss, scores=scores, in_use=in_use)]
        chosen = of_posterior(
            names, loss, {**params, "n_jobs": self.n_jobs}, n_classes=n_classes, linked=linked,
            link=self.probability == "link", in_use=in_use,
        )  # fmt: skip
        users = [
            self._metric_on_probability(m, loss, linked, in_use)
            for m in listed
            if not isinstance(m, str)
        ]
        return chosen.names or "None", [*chosen.callables, *ours, *users]

    def _raw(self, X: Any, *options: Any, **keywords: Any) -> Any:
        """Return raw scores, or leaves or SHAP values if the options request them."""
        engine = self._fitted_or_raise().engine
        engine.n_jobs = self.n_jobs  # may have been changed after fitting
        output = engine.predict(_features(X), True, *options, **keywords)
        leaves_or_shap = any(options[2:4])
        if leaves_or_shap or not is_forest(engine.booster_):
            return output
        # for a random forest LightGBM's raw score is the sum of the trees, its prediction the mean
        named = (keywords.get("start_iteration", 0), keywords.get("num_iteration"))
        return output / rounds_used(engine.booster_, *(options[:2] or named))

    def _engine_of(self, booster: Any, n_classes: int) -> Any:
        """Return LightGBM's classifier for a booster, for which LightGBM has no function."""
        engine = lgb.LGBMClassifier(**_for_prediction(self.get_params(deep=False)))
        engine.set_params(objective=built_in_objective(n_classes if n_classes > 2 else None))
        engine._Booster, engine.fitted_ = booster, True
        engine._classes, engine._n_classes = np.arange(n_classes), n_classes
        engine._le = LabelEncoder().fit(engine._classes)  # its predict needs it
        engine._n_features = engine._n_features_in = booster.num_feature()
        engine._fitted_with_feature_names = not has_default_names(booster)
        return engine


# The properties of LightGBM's class, and other tools, read these attributes, which its constructor
# creates. _other_params and _class_weight are parameters.
for _name, _value in vars(lgb.LGBMClassifier()).items():
    if _name.startswith("_") and _name not in ("_other_params", "_class_weight"):
        setattr(ImbalancedLGBMClassifier, _name, from_engine(_name, unfitted=_value))


def _train(
    params: dict[str, Any],
    constant_params: dict[str, Any],
    rows: tuple[Any, Array, Any],
    intercept: Array | None,
    data: dict[str, Any],
    refit: bool,
    **fitting: Any,
) -> Any:
    """Train LightGBM's classifier. Its model is constant if no feature can be split."""
    X, codes, sets = rows
    n_classes = int(codes.max()) + 1
    softmax = n_classes if n_classes > 2 else None
    engine = lgb.LGBMClassifier(**params)
    try:
        with _eval_keywords(sets, X, codes) as evaluation:
            engine.fit(X, codes, **data, **fitting, **evaluation)
        if not refit or not isinstance(params["objective"], str):
            engine._Booster = make_native(engine.booster_, intercept, softmax, refit=refit)
    except lgb.basic.LightGBMError as error:
        if intercept is None or not no_feature_splits(error):
            raise
        engine = lgb.LGBMClassifier(**constant_params).fit(X, codes, **data)
        engine._Booster = make_constant(engine.booster_, intercept, softmax, refit=refit)
    # LightGBM's predict needs it; the callable is no longer needed
    return engine.set_params(objective=built_in_objective(softmax))


def labels_of(model: Any) -> Array | None:
    """Return the sorted labels of the model that training continues from, or codes 0..K-1.

    Parameters
    ----------
    model : None, a fitted estimator of LightGBM or boostloss, lightgbm.Booster, or path of a file
    """
    if model is None:
        return None
    if hasattr(model, "classes_"):
        labels: Array = np.asarray(model.classes_)
        return labels
    if isinstance(model, lgb.LGBMModel):
        model = model.booster_
    if not isinstance(model, lgb.Booster):
        found = labels_in(Path(model).read_bytes(), f"{model}")
        if found is not None:
            return found
        model = lgb.Booster(model_file=model)
    if kept_labels(model) is not None:
        return kept_labels(model)
    return np.arange(max(model.num_model_per_iteration(), 2))


def _for_prediction(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that LightGBM's classifier may read in prediction."""
    mine = (*LOSS_PARAMETERS, *OBJECTIVE_ALIASES, *CLASS_ALIASES, *METRIC_ALIASES)
    return {name: value for name, value in params.items() if name.partition("__")[0] not in mine}


def _features(X: Any, y: Any = None) -> Any:
    """Do as :func:`boostloss.classifier.check_features`, with categories as pandas frames.

    LightGBM supports categories of pandas only. Those of polars or Arrow would crash the process.
    """
    library = type(X).__module__.partition(".")[0]
    plain = True
    if library == "polars":
        plain = all(kind.is_numeric() or str(kind) == "Boolean" for kind in X.dtypes)
    elif library == "pyarrow":
        texts = ("dictionary", "string", "large_string")
        plain = not any(str(kind).startswith(texts) for kind in X.schema.types)
    return check_features(X if plain else X.to_pandas(), y=y)


def _take_class_factor(
    params: dict[str, Any], codes: Array, labels: Array
) -> tuple[dict[str, Any], Array | None]:
    """Return the parameters without LightGBM's class weights, and the factor of each class.

    ``class_weight`` in the sample weights would be cancelled by a loss with balanced weights.
    """
    class_weight = params.pop("class_weight", None)
    check_positive_known(labels, of_the_positive(params))
    params, factor = take_class_factor(params, np.bincount(codes))
    if class_weight is not None:
        weights = compute_class_weight(class_weight, classes=labels, y=labels[codes])
        factor = weights if factor is None else weights * factor
    return params, None if factor is None or (factor == 1.0).all() else factor


def _pairs(eval_set: Any, eval_X: Any, eval_y: Any) -> Any:
    """Return the evaluation sets as pairs."""
    if (eval_X is None) != (eval_y is None):
        raise ValueError("eval_X and eval_y must be given together, got only one of them")
    if eval_X is None:
        return eval_set
    if eval_set is not None:
        raise ValueError("eval_set must be None if eval_X and eval_y are given, got both")
    if not isinstance(eval_X, tuple):
        return [(eval_X, eval_y)]
    if not isinstance(eval_y, tuple) or len(eval_X) != len(eval_y):
        raise ValueError(f"eval_y must be a tuple of {len(eval_X)} as eval_X is, got {eval_y!r}")
    return list(zip(eval_X, eval_y, strict=True))


@contextmanager
def _eval_keywords(sets: Any, X: Any, codes: Array) -> Iterator[dict[str, Any]]:
    """Return the evaluation sets as arguments for this version of LightGBM.

    ``eval_set`` is deprecated from 4.7 on, but needed to recognise the training set. The warning is
    filtered only then, because filters affect the whole process.
    """
    if not sets:
        yield {}
    elif not _FIT_TAKES_EVAL_X:
        yield {"eval_set": sets}
    elif any(_is_training(one, X, codes) for one in sets):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The argument 'eval_set' is deprecated")
            yield {"eval_set": sets}
    else:
        yield {"eval_X": tuple(x for x, _ in sets), "eval_y": tuple(c for _, c in sets)}


def _is_training(pair: tuple[Any, Any], X: Any, codes: Array) -> bool:
    return pair[0] is X and pair[1] is codes


def _eval_weight_by_code(eval_class_weight: Any, labels: Array) -> Any:
    """Return the class weights of evaluation sets by code instead of label."""
    code = {label: k for k, label in enumerate(labels.tolist())}

    def by_code(class_weight: Any) -> Any:
        if not isinstance(class_weight, Mapping):
            return class_weight
        if not set(class_weight) <= set(code):
            raise ValueError(
                f"eval_class_weight must have labels of y for keys, {list(code)}, "
                f"got {list(class_weight)}"
            )
        return {code[label]: weight for label, weight in class_weight.items()}

    if isinstance(eval_class_weight, Mapping):
        return {i: by_code(weight) for i, weight in eval_class_weight.items()}
    return None if eval_class_weight is None else [by_code(weight) for weight in eval_class_weight]


def _as_list(value: Any) -> list[Any]:
    listed = list(value) if isinstance(value, list | tuple | set) else [value]
    return [one for one in listed if one is not None]
