"""LightGBM's scikit-learn classifier with a loss."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import compute_class_weight

from boostloss.classifier import (
    LossClassifierMixin,
    check_features,
    encode_labels,
    eval_codes,
)
from boostloss.lightgbm import (
    CLASS_ALIASES,
    METRIC_ALIASES,
    OBJECTIVE_ALIASES,
    built_in,
    check_tree_params,
    is_true,
    make_constant,
    make_native,
    repeated,
    says_no_feature_splits,
    starting_scores,
)
from boostloss.lightgbm.metrics import split_metrics
from boostloss.losses import CrossEntropy, Loss
from boostloss.losses._validation import Array, check_number, check_sample_weight
from boostloss.metrics import posterior_log_loss
from boostloss.model_file import SEAL, UNSEALED, State, check_seal, read_state, sealed
from boostloss.objectives import objective
from boostloss.optional import require
from boostloss.recorder import Recorder

lgb = require("lightgbm", "lightgbm")
_Parent: Any = lgb.LGBMClassifier

_LINE = "boostloss="
_OBJECTIVES = (None, "binary", "multiclass", "softmax")
_UNBALANCE_ALIASES = ("is_unbalance", "unbalance", "unbalanced_sets")
_FIT_TAKES_EVAL_X = "eval_X" in inspect.signature(lgb.LGBMClassifier.fit).parameters


class ImbalancedLGBMClassifier(LossClassifierMixin, _Parent):
    """``LGBMClassifier`` with a loss: any labels, exact intercept, calibrated probabilities.

    All parameters, attributes and methods of ``lightgbm.LGBMClassifier`` are there. The fitted
    booster is native ("binary sigmoid:1" or "multiclass"): saved, explained or served, it needs
    LightGBM alone.

    Parameters
    ----------
    loss : Loss or {"cross_entropy", "balanced", "focal", "ghm"}, default="ghm"
        A loss object, whose parameters can be searched as ``loss__gamma`` and the like, or the
        name of one with its defaults. A ``class_weight`` of the loss that is a dict has the
        labels of ``y`` for keys.
    probability : {"posterior", "link"}, default="posterior"
        What :meth:`predict_proba` gives: the loss's calibrated posterior, or sigma (softmax) of
        the raw score, which for a weighted loss is no probability of the class.
    **kwargs
        Parameters of ``lightgbm.LGBMClassifier``. ``objective`` stays None: ``loss`` takes its
        place. ``class_weight``, ``scale_pos_weight`` and ``is_unbalance`` multiply the loss's
        class weights, which the posterior undoes. ``linear_tree`` is refused.

    Attributes
    ----------
    classes_ : array of shape (K,)
        Labels, sorted.
    loss_ : Loss
        The loss as training left it; its ``posterior(raw)`` is ``predict_proba``.

    Notes
    -----
    :meth:`predict` follows the loss's own decision: raw score above 0, or the largest. A loss
    that weighs a rare class up therefore decides in its favour, and ``predict`` need not be
    the class with the largest ``predict_proba``. For a threshold on the probability wrap the
    classifier in ``sklearn.model_selection.FixedThresholdClassifier`` (a given one) or
    ``TunedThresholdClassifierCV`` (found by cross-validation), with
    ``response_method="predict_proba"``.

    An evaluation set is judged by :func:`boostloss.posterior_log_loss` (plain cross-entropy: by
    log loss under LightGBM's name for it) and by what ``eval_metric`` or ``metric`` name.
    "binary_logloss", "multi_logloss" and "binary_error" are those of sigma (softmax) of the raw
    score; callables see probabilities as the parameter ``probability`` says.

    References
    ----------
    The losses: :class:`boostloss.CrossEntropy`, :class:`boostloss.FocalLoss`,
    :class:`boostloss.GHMLoss`.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from boostloss import FocalLoss, ImbalancedLGBMClassifier
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> model = ImbalancedLGBMClassifier(loss=FocalLoss(gamma=2), n_estimators=20, verbose=-1)
    >>> model.fit(X, y).predict_proba(X).shape
    (500, 2)
    """

    def __init__(
        self, *, loss: Loss | str = "ghm", probability: str = "posterior", **kwargs: Any
    ) -> None:
        self.loss = loss
        self.probability = probability
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

        Parameters are those of ``LGBMClassifier.fit``; ``y`` and the labels of evaluation sets
        may be of any kind, given as ``eval_set`` or as ``eval_X`` and ``eval_y``. Training
        starts from the loss's exact intercept, unless ``init_score`` is given,
        ``boost_from_average`` is False, or training goes on from ``init_model``. A
        :class:`boostloss.Recorder` keeps what was hard in each round.

        Raises
        ------
        ValueError, TypeError
            For labels, weights, features, metrics or parameters that are not allowed; for
            labels in an evaluation set that are not in ``y``.
        """
        labels, codes = encode_labels(y)
        n_classes = len(labels)
        params = self._engine_params()
        self._check_params(params)
        for name in CLASS_ALIASES:
            stated = params.pop(name, None)
            if stated not in (None, n_classes) and not (stated == 1 and n_classes == 2):
                raise ValueError(f"{name} must be left out: y holds {n_classes} classes")
        given, X = X, _features(X, y=codes)
        weight = check_sample_weight(sample_weight, len(codes))
        factor = _class_factor(params, codes, labels)
        loss = self._resolved_loss(codes, weight, labels, factor)
        sets = eval_codes(_pairs(eval_set, eval_X, eval_y), y, codes, labels)
        # the training set stays the same object: LightGBM knows it by that
        sets = sets and [(X if features is given else features, c) for features, c in sets]
        metrics, callables = self._split_metrics(params, eval_metric, loss, n_classes)
        params_given = {**params, "objective": objective(loss, recorder=recorder)}
        engine = lgb.LGBMClassifier(**{**params_given, "metric": metrics})
        softmax = n_classes if n_classes > 2 else None
        intercept = None
        if init_score is None and init_model is None:
            intercept = np.zeros(softmax or 1)
            if is_true(params.get("boost_from_average", True)):
                intercept = starting_scores(loss, codes, weight, softmax)
            init_score = repeated(intercept, len(codes))
            eval_init_score = [repeated(intercept, len(c)) for _, c in sets] if sets else None
        data = {
            "sample_weight": weight,
            "feature_name": feature_name,
            "categorical_feature": categorical_feature,
        }
        try:
            with _eval_keywords(sets, X, codes) as evaluation:
                engine.fit(
                    X,
                    codes,
                    **data,
                    init_score=init_score,
                    eval_names=eval_names,
                    eval_sample_weight=eval_sample_weight,
                    eval_class_weight=_by_code(eval_class_weight, labels),
                    eval_init_score=eval_init_score,
                    eval_metric=callables,
                    callbacks=callbacks,
                    init_model=init_model,
                    **evaluation,
                )
            make_native(engine.booster_, intercept, softmax)
        except lgb.basic.LightGBMError as error:
            if intercept is None or not says_no_feature_splits(error):
                raise
            constant = {**built_in(params, softmax), "n_estimators": 1}
            engine = lgb.LGBMClassifier(**constant).fit(X, codes, **data)
            make_constant(engine.booster_, intercept)
        if loss.weights_move:
            raw = self._plain(engine).predict(X, raw_score=True)
            if intercept is None and init_score is not None:
                raw = raw + np.reshape(init_score, raw.shape, order="F")
            loss = loss.frozen(codes, raw, weight)
        self._take(engine, State(labels, loss, self.probability))
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
        """Labels by the loss's own decision: raw score above 0, or the largest.

        Parameters are those of ``LGBMClassifier.predict``: with ``raw_score``, ``pred_leaf`` or
        ``pred_contrib`` the booster's raw scores, leaves or SHAP values.
        """
        other = {"raw_score": raw_score, "pred_leaf": pred_leaf, "pred_contrib": pred_contrib}
        span = {"start_iteration": start_iteration, "num_iteration": num_iteration}
        keywords = {**span, "validate_features": validate_features, **kwargs}
        return self._served(X, self._decide, other, keywords)

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
        """Probabilities (n, K) of the classes, as the parameter ``probability`` says.

        Parameters are those of :meth:`predict`.
        """
        other = {"raw_score": raw_score, "pred_leaf": pred_leaf, "pred_contrib": pred_contrib}
        span = {"start_iteration": start_iteration, "num_iteration": num_iteration}
        keywords = {**span, "validate_features": validate_features, **kwargs}
        return self._served(X, self._probability, other, keywords)

    def decision_function(
        self,
        X: Any,
        *,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Array:
        """Raw scores (log-odds), intercept included: (n,), or (n, K) for K > 2 classes."""
        span = {"start_iteration": start_iteration, "num_iteration": num_iteration}
        return self._raw(X, **span, validate_features=validate_features, **kwargs)

    def save_model(self, filename: str | Path) -> None:
        """Save the model; labels and posterior stand in a line that LightGBM ignores.

        Parameters
        ----------
        filename : str or path

        Raises
        ------
        TypeError
            For a loss that is not one of boostloss, or labels that are neither text nor number.
        """
        model = self.booster_.model_to_string()
        lines = f"\n{_LINE}{self._state().text()}\n{SEAL}={UNSEALED}\nfeature_names="
        model = model.replace("\nfeature_names=", lines, 1)
        Path(filename).write_bytes(sealed(model.encode()))

    def load_model(self, filename: str | Path) -> Self:
        """Load what :meth:`save_model` wrote, the posterior and the labels included.

        Parameters
        ----------
        filename : str or path

        Raises
        ------
        ValueError
            If the model was not saved by this class, or is damaged. Nothing changes here then.
        """
        source = f"{filename}"
        data = Path(filename).read_bytes().replace(b"\r\n", b"\n")
        check_seal(data, source)
        if not data.startswith(b"tree\n"):
            raise ValueError(f"{source} is no LightGBM model: load it with its own class")
        model = data.decode()
        header = model.partition("\nTree=")[0].splitlines()
        lines = [line.removeprefix(_LINE) for line in header if line.startswith(_LINE)]
        state = read_state(lines[0] if lines else "", source)
        try:
            booster = lgb.Booster(model_str=model)
        except lgb.basic.LightGBMError as error:
            raise ValueError(f"{source} cannot be read by LightGBM: {error}") from error
        wanted = _native_objective(len(state.labels))
        if f"objective={wanted}" not in header:
            raise ValueError(
                f"{source} must be a model of {len(state.labels)} classes, as its labels are, "
                f"with objective={wanted}"
            )
        engine = lgb.LGBMClassifier(**self._engine_params())
        engine._Booster = booster
        engine._n_features = engine._n_features_in = booster.num_feature()
        engine._fitted_with_feature_names = not _made_up(booster.feature_name())
        self._take(engine, state)
        return self

    # -- inside -------------------------------------------------------------------------

    def _check_params(self, params: dict[str, Any]) -> None:
        if self.objective not in _OBJECTIVES:
            raise ValueError(
                f"objective must be left as it is, None, since loss takes its place, "
                f"got {self.objective!r}"
            )
        for name in OBJECTIVE_ALIASES:
            if name != "objective" and params.get(name) is not None:
                raise ValueError(
                    f"{name} must be left out: loss takes its place, got {params[name]!r}"
                )
        check_tree_params(params)

    def _split_metrics(
        self, params: dict[str, Any], eval_metric: Any, loss: Loss, n_classes: int
    ) -> tuple[Any, list[Any]]:
        """LightGBM's own metrics, and callables, from ``metric`` and ``eval_metric``.

        As in LightGBM, the default is evaluated beside ``eval_metric``.
        """
        default = "multi_logloss" if n_classes > 2 else "binary_logloss"
        # cross-entropy's posterior is its link: LightGBM's own default says the same
        ours = [] if loss == CrossEntropy() else [posterior_log_loss(loss)]
        given = [params.pop(name) for name in METRIC_ALIASES if name in params]
        stated = next((metric for metric in given if metric is not None), None)
        if stated is None:
            stated = [] if ours else [default]
        else:
            ours = []
        listed = [*_as_list(eval_metric), *_as_list(stated)]
        names, callables = split_metrics([m for m in listed if isinstance(m, str)], n_classes)
        users = [self._metric_on_probability(m, loss) for m in listed if not isinstance(m, str)]
        return names or "None", [*callables, *ours, *users]

    def _served(
        self,
        X: Any,
        from_raw: Callable[[Array], Array],
        other: dict[str, bool],
        keywords: dict[str, Any],
    ) -> Any:
        """Another output of the booster where one is asked for, else something of raw scores."""
        if any(other.values()):
            return self._plain(self).predict(_features(X), **other, **keywords)
        return from_raw(self._raw(X, **keywords))

    def _raw(self, X: Any, **keywords: Any) -> Array:
        raw: Array = self._plain(self).predict(_features(X), raw_score=True, **keywords)
        return raw

    def _plain(self, fitted: Any) -> Any:
        """LightGBM's own classifier with this one's parameters and a fitted one's state.

        It serves predictions: LightGBM hands an estimator's parameters to its booster, for which
        ``loss`` is another word for the objective.
        """
        params = self._engine_params()
        unneeded = ("objective", *CLASS_ALIASES, *METRIC_ALIASES)
        engine = lgb.LGBMClassifier(**{k: v for k, v in params.items() if k not in unneeded})
        vars(engine).update(_fitted_state(fitted))
        return engine

    def _take(self, engine: Any, state: State) -> None:
        """Make the fitted engine's state this classifier's own, labels in place of codes.

        At one stroke: an interruption leaves the model that was, or the new one.
        """
        labels = state.labels
        ours = {
            "_labels": labels,
            "loss_": state.loss,
            "probability": state.probability,
            "_classes": labels,
            "_n_classes": len(labels),
            "_le": LabelEncoder().fit(labels),
            "_class_map": {label: code for code, label in enumerate(labels)},
            "_objective": "binary" if len(labels) == 2 else "multiclass",
            "fitted_": True,
        }
        self.__dict__.update({**_fitted_state(engine), **ours})


def _native_objective(n_classes: int) -> str:
    return "binary sigmoid:1" if n_classes == 2 else f"multiclass num_class:{n_classes}"


_PARAMETERS_TOO = ("_other_params", "_class_weight", "_labels")


def _fitted_state(classifier: Any) -> dict[str, Any]:
    """What LightGBM's classifier keeps of a training, in names of its own."""
    return {
        name: value
        for name, value in vars(classifier).items()
        if (name.startswith("_") and name not in _PARAMETERS_TOO) or name == "fitted_"
    }


def _features(X: Any, y: Any = None) -> Any:
    """As :func:`boostloss.classifier.check_features`; LightGBM takes categories from pandas only.

    A polars or Arrow frame that has some would end the process.
    """
    library = type(X).__module__.partition(".")[0]
    plain = True
    if library == "polars":
        plain = all(kind.is_numeric() or str(kind) == "Boolean" for kind in X.dtypes)
    elif library == "pyarrow":
        texts = ("dictionary", "string", "large_string")
        plain = not any(str(kind).startswith(texts) for kind in X.schema.types)
    return check_features(X if plain else X.to_pandas(), y=y)


def _class_factor(params: dict[str, Any], codes: Array, labels: Array) -> Array | None:
    """The product of LightGBM's own class weights, taken out of its parameters.

    ``scale_pos_weight`` and ``is_unbalance`` work in its own objectives only; ``class_weight``,
    put into the sample weights, would cancel against a loss that balances them.
    """
    factor = np.ones(len(labels))
    class_weight = params.pop("class_weight", None)
    if class_weight is not None:
        factor *= compute_class_weight(class_weight, classes=labels, y=labels[codes])
    scale = params.pop("scale_pos_weight", None)
    if scale is not None and len(labels) == 2:
        factor[1] *= check_number("scale_pos_weight", scale, np.nextafter(0, 1))
    unbalanced = [is_true(params.pop(name, False)) for name in _UNBALANCE_ALIASES]
    if any(unbalanced):
        counts = np.bincount(codes)
        factor *= counts.max() / counts
    return None if (factor == 1.0).all() else factor


def _pairs(eval_set: Any, eval_X: Any, eval_y: Any) -> Any:
    """Evaluation sets as pairs, however they were given."""
    if (eval_X is None) != (eval_y is None):
        raise ValueError("eval_X and eval_y must be given both, got one of them")
    if eval_X is None:
        return eval_set
    if eval_set is not None:
        raise ValueError("eval_set must be None where eval_X and eval_y are given, got both")
    if not isinstance(eval_X, tuple):
        return [(eval_X, eval_y)]
    if not isinstance(eval_y, tuple) or len(eval_X) != len(eval_y):
        raise ValueError(f"eval_y must be a tuple of {len(eval_X)} as eval_X is, got {eval_y!r}")
    return list(zip(eval_X, eval_y, strict=True))


@contextmanager
def _eval_keywords(sets: Any, X: Any, codes: Array) -> Iterator[dict[str, Any]]:
    """Evaluation sets as this LightGBM takes them; from 4.7 on ``eval_set`` is deprecated.

    Only there does it know the training set again, though, and only then is a warning filtered:
    filters belong to the whole process.
    """
    if not sets:
        yield {}
    elif not _FIT_TAKES_EVAL_X:
        yield {"eval_set": sets}
    elif any(features is X and c is codes for features, c in sets):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The argument 'eval_set' is deprecated")
            yield {"eval_set": sets}
    else:
        yield {"eval_X": tuple(x for x, _ in sets), "eval_y": tuple(c for _, c in sets)}


def _by_code(eval_class_weight: Any, labels: Array) -> Any:
    """Class weights of evaluation sets with codes for labels."""
    code = {label: k for k, label in enumerate(labels.tolist())}

    def coded(given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        if not set(given) <= set(code):
            raise ValueError(
                f"eval_class_weight must have labels of y for keys, {list(code)}, got {list(given)}"
            )
        return {code[label]: weight for label, weight in given.items()}

    if isinstance(eval_class_weight, Mapping):
        return {i: coded(given) for i, given in eval_class_weight.items()}
    return None if eval_class_weight is None else [coded(given) for given in eval_class_weight]


def _as_list(given: Any) -> list[Any]:
    listed = list(given) if isinstance(given, list | tuple | set) else [given]
    return [one for one in listed if one is not None]


def _made_up(names: list[str]) -> bool:
    """Whether LightGBM made the feature names itself."""
    return names == [f"Column_{i}" for i in range(len(names))]
