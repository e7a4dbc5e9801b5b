"""scikit-learn's histogram-based classifier with a loss."""

from __future__ import annotations

import copy
import inspect
from typing import Any, NoReturn, Self

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils import compute_class_weight

from boostloss.classifier import (
    LOSS_PARAMETERS,
    Fitted,
    LossClassifierMixin,
    from_engine,
    needs_training_scores,
)
from boostloss.hist.sklearn_loss import FIT_TAKES_VALIDATION, EngineState, HistLoss, plain
from boostloss.labels import check_each_label, check_features, codes_of, encode_labels
from boostloss.losses import (
    CrossEntropy,
    FittedLoss,
    Loss,
    LossName,
    constant_weights,
    is_plain_cross_entropy,
)
from boostloss.losses.validation import Array, check_sample_weight, class_counts
from boostloss.model_file import Probability
from boostloss.recorder import Recorder, check_recorder

_Parent: Any = HistGradientBoostingClassifier


class ImbalancedHistGradientBoostingClassifier(LossClassifierMixin, EngineState, _Parent):
    """``HistGradientBoostingClassifier`` with a loss.

    It has all parameters, attributes and methods of
    ``sklearn.ensemble.HistGradientBoostingClassifier``, needs no other package than scikit-learn,
    accepts any labels, and predicts probabilities of the classes. Training starts at the loss's own
    intercept.

    Parameters
    ----------
    loss : Loss or {"cross_entropy", "balanced", "focal", "asymmetric", "ghm"}, \
default="cross_entropy"
        A loss such as :class:`boostloss.FocalLoss`, or the name of a loss with default parameters.
        In a search the parameters of a loss object have names such as ``loss__gamma``.
        The keys of the loss's ``class_weight`` dict are the labels of ``y``.
    probability : {"posterior", "link"}, default="posterior"
        What :meth:`predict_proba` returns: the posterior, or the sigmoid (softmax) of the raw
        score, which is not the probability of the class for a weighted loss.
    prior : float or dict, optional
        Class shares where the model will be used, if they differ from those of the (weighted)
        training rows: the share of the positive class, or a dict by label. Probabilities,
        decisions and early stopping are then corrected for these shares. It can be set after
        fitting. :func:`boostloss.decide.shift_prior` states the condition.
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
        Parameters of ``HistGradientBoostingClassifier``. Its ``class_weight`` multiplies the
        loss's class weights, which the posterior undoes.

    Attributes
    ----------
    classes_ : array of shape (K,)
        Labels, sorted.
    loss_ : FittedLoss
        The fitted loss. Its ``posterior(raw)`` is ``predict_proba``.

    See Also
    --------
    boostloss.hist.hist_loss : Makes a loss for scikit-learn's own class.

    Notes
    -----
    By default :meth:`predict` returns the class with the largest probability. A loss with more
    weight on a rare class favours that class instead. ``decision`` changes both.
    :mod:`boostloss.decide` handles costs of each row, budgets of alerts, and thresholds tuned on
    held-out rows. scikit-learn's ``TunedThresholdClassifierCV`` tunes a threshold by
    cross-validation, with ``response_method="predict_proba"``.

    Early stopping with ``scoring="loss"`` uses the log loss of the posterior. ``train_score_``
    and ``validation_score_`` contain its negative. Other scorers use ``predict_proba``.

    Cross-entropy with constant class weights is trained by scikit-learn's own log loss, with these
    weights on the rows.

    scikit-learn's trees have no minimum Hessian in a leaf (XGBoost's ``min_child_weight``). With
    the focal loss on small data, set ``l2_regularization`` to a value from 1 to 10.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from boostloss import FocalLoss, ImbalancedHistGradientBoostingClassifier
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> model = ImbalancedHistGradientBoostingClassifier(loss=FocalLoss(gamma=2), max_iter=20)
    >>> model.fit(X, y).predict_proba(X).shape
    (500, 2)
    """

    _ways_to_fit = "fit"
    _engine_names = frozenset(HistGradientBoostingClassifier().get_params())
    n_features_in_ = from_engine("n_features_in_", doc="Number of features in training.")
    feature_names_in_ = from_engine(
        "feature_names_in_", doc="Names of the features in training, if all of them are strings."
    )
    n_trees_per_iteration_ = from_engine(
        "n_trees_per_iteration_", doc="Trees of each round: one for two classes, otherwise K."
    )
    is_categorical_ = from_engine(
        "is_categorical_", doc="Whether each feature is categorical, or None if none is."
    )
    do_early_stopping_ = from_engine(
        "do_early_stopping_", doc="Whether early stopping was in use in training."
    )
    train_score_ = from_engine(
        "train_score_",
        doc="Score of the training rows after each round, the start first; empty without early "
        "stopping.",
    )
    validation_score_ = from_engine(
        "validation_score_",
        doc="Score of the validation rows after each round, the start first; empty without them.",
    )

    def __init__(
        self,
        *,
        loss: Loss | LossName = "cross_entropy",
        probability: Probability = "posterior",
        prior: Any = None,
        decision: Any = "loss",
        **kwargs: Any,
    ) -> None:
        self.probability = probability
        self.prior = prior
        self.decision = decision
        super().__init__(loss, **kwargs)

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        recorder: Recorder | None = None,
    ) -> Self:
        """Fit to features X (n, d) and labels y (n,).

        Training starts at the loss's own intercept. With ``warm_start=True`` it continues from
        the existing trees, for the same labels. The moving average of GHM then restarts.

        Parameters
        ----------
        X : frame or array of shape (n, d)
            Missing values are allowed.
        y : array of shape (n,)
            Labels of any type.
        sample_weight : array of shape (n,), optional
            At least 0, not all zero.
        X_val, y_val, sample_weight_val : optional
            Rows for early stopping, unless ``early_stopping=False``. They need scikit-learn 1.7 or
            newer.
        recorder : Recorder, optional
            Records the gradient norms of each round.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If labels, weights, features or parameters are invalid, or ``y_val`` has labels that
            are not in ``y``.
        """
        going_on = self.warm_start and self._fitted is not None
        labels, codes = encode_labels(y, self.classes_ if going_on else None)
        self._check_decision(labels)
        weight = check_sample_weight(sample_weight, len(codes))
        counts = class_counts(codes, weight, len(labels))
        check_each_label(counts, labels)
        in_use = self._shares_in_use(labels, counts)
        X = check_features(X, y=codes)
        check_recorder(recorder)
        loss = self._resolved_loss(codes, weight, labels, self._class_factor(labels[codes], labels))
        validation = _validation(X_val, y_val, sample_weight_val, labels)
        engine = self._engine_to_fit(going_on)
        if validation and self.early_stopping == "auto":
            engine.set_params(early_stopping=True)  # as scikit-learn documents it
        constant = None if self._is_scored() else constant_weights(loss)
        in_rows = None if constant is None or (constant == 1.0).all() else constant
        if in_rows is not None:
            weight = in_rows[codes] * (1.0 if weight is None else weight)
            _weigh_by_class(validation, labels, in_rows)
        followed = recorder is not None or in_use is not None
        if not followed and _is_built_in(loss, in_rows, self.early_stopping):
            engine.set_params(loss="log_loss")
        else:
            fitted = FittedLoss(loss) if in_rows is not None else loss.fit(codes, None, weight)
            engine.set_params(
                loss=HistLoss.of_training(
                    CrossEntropy() if in_rows is not None else loss, fitted,
                    probability=self.probability, recorder=recorder, class_weight_in_rows=in_rows,
                    in_use=in_use,
                )
            )  # fmt: skip
        # with the original labels, which scorers see during training
        engine.fit(X, labels[codes], sample_weight=weight, **validation)
        fitted = self._fitted_loss(loss, engine, X, codes, weight, in_rows)
        if isinstance(engine.loss, HistLoss):
            engine.loss.finish(fitted)
        share, given = counts / counts.sum(), self._given_loss(labels)
        self._fitted = Fitted(engine, labels, fitted, share, given)
        return self

    def predict(self, X: Any) -> Any:
        """Predict labels, as the parameter ``decision`` says."""
        return self._decide(self.raw_score(X))

    def predict_proba(self, X: Any) -> Any:
        """Predict probabilities (n, K) of the classes, as the parameter ``probability`` says."""
        return self._probability(self.raw_score(X))

    def decision_function(self, X: Any) -> Any:
        """Scores by which :meth:`predict` decides, as the parameter ``decision`` says.

        By default they are the log-odds of :meth:`predict_proba` (of three or more classes, its
        logarithm), or the raw score if the loss has different weights or shape parameters for the
        classes.

        Parameters
        ----------
        X : frame or array of shape (n, d)
            Features.

        Returns
        -------
        array of shape (n,) or (n, K)
            Of two classes the positive one is predicted where the score is above 0, of more the
            one with the largest score. It is the logarithm of probability over threshold, the
            negative expected cost with costs, and the raw score with "raw". A ``prior`` shifts it.
        """
        return self._scores_of_decision(self.raw_score(X))

    def raw_score(self, X: Any) -> Any:
        """Raw scores, intercept included. ``loss_.posterior`` turns them into probabilities.

        Parameters
        ----------
        X : frame or array of shape (n, d)
            Features.

        Returns
        -------
        array of shape (n,) or (n, K)
            (n, K) for K > 2 classes.
        """
        return self._fitted_or_raise().engine.decision_function(check_features(X))

    def staged_raw_score(self, X: Any) -> Any:
        """Raw scores after each round, as :meth:`raw_score` returns them.

        Parameters
        ----------
        X : frame or array of shape (n, d)
            Features.

        Returns
        -------
        iterator of arrays of shape (n,) or (n, K)
            One array for each round.
        """
        return self._fitted_or_raise().engine.staged_decision_function(check_features(X))

    def staged_decision_function(self, X: Any) -> Any:
        """Scores after each round, as :meth:`decision_function` returns them."""
        return map(self._scores_of_decision, self.staged_raw_score(X))

    def staged_predict(self, X: Any) -> Any:
        """Labels after each round."""
        return map(self._decide, self.staged_raw_score(X))

    def staged_predict_proba(self, X: Any) -> Any:
        """Probabilities after each round.

        They are those of the posterior that training ended with.
        """
        return map(self._probability, self.staged_raw_score(X))

    def engine_model(self) -> Any:
        """scikit-learn's own fitted classifier, which needs scikit-learn alone.

        Its labels are the codes 0..K-1, in the order of ``classes_``, and its ``predict_proba`` is
        sigma or softmax of the raw score: it knows neither the loss nor its posterior. It shares
        the trees with this classifier.

        Returns
        -------
        HistGradientBoostingClassifier

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        return plain(self._fitted_or_raise().engine)

    def save_model(self, *_: Any) -> NoReturn:
        """Not available: scikit-learn has no model file of its own.

        Parameters
        ----------
        *_ : Any
            What the other classifiers take; it is not used.

        Raises
        ------
        NotImplementedError
            It names what to use instead.
        """
        raise NotImplementedError(f"save_model: {_NO_FILE} (skops.io.dump, pickle or joblib.dump)")

    def load_model(self, *_: Any) -> NoReturn:
        """Not available: scikit-learn has no model file of its own.

        Parameters
        ----------
        *_ : Any
            What the other classifiers take; it is not used.

        Raises
        ------
        NotImplementedError
            It names what to use instead.
        """
        raise NotImplementedError(f"load_model: {_NO_FILE} (skops.io.load, pickle or joblib.load)")

    # -- internal -----------------------------------------------------------------------

    def _class_factor(self, y: Array, labels: Array) -> Array | None:
        """Return scikit-learn's class weights, or None."""
        if self.class_weight is None:
            return None
        factor: Array = compute_class_weight(self.class_weight, classes=labels, y=y)
        return factor

    def _engine_params(self) -> dict[str, Any]:
        """Return the parameters of scikit-learn's class, also where a subclass hides them."""
        return {
            name: getattr(self, name)
            for name in sorted(self._engine_names)
            if name not in LOSS_PARAMETERS
        }

    def _engine_to_fit(self, going_on: bool) -> Any:
        """Return scikit-learn's classifier, with the existing trees if training continues."""
        params = {**self._engine_params(), "class_weight": None}
        if not going_on:
            return _Parent(**params)
        # a copy, so that an interrupted training leaves the old model
        return copy.deepcopy(self._fitted_or_raise().engine).set_params(**params)

    def _is_scored(self) -> bool:
        """Whether early stopping calls a scorer, which must not see class weights on the rows."""
        return self.early_stopping is not False and self.scoring != "loss"

    def _fitted_loss(
        self, loss: Loss, engine: Any, X: Any, codes: Array, weight: Any, in_rows: Array | None
    ) -> FittedLoss:
        if in_rows is not None:
            weight = weight / in_rows[codes]
        raw = engine.decision_function(X) if needs_training_scores(loss) else None
        return loss.fit(codes, raw, weight)


_NO_FILE = (
    "scikit-learn has no model file; save the classifier with skops, pickle or joblib, or convert "
    "it to ONNX"
)


def _signature() -> inspect.Signature:
    """Return the signature of the constructor, from which scikit-learn reads parameter names."""
    ours = inspect.signature(ImbalancedHistGradientBoostingClassifier.__init__).parameters
    theirs = inspect.signature(_Parent.__init__).parameters
    named = {**theirs, **{name: ours[name] for name in ours if name != "kwargs"}}
    return inspect.Signature(
        [p if name == "self" else p.replace(kind=p.KEYWORD_ONLY) for name, p in named.items()]
    )


ImbalancedHistGradientBoostingClassifier.__init__.__signature__ = _signature()  # type: ignore[attr-defined]


def _is_built_in(loss: Loss, in_rows: Array | None, early_stopping: Any) -> bool:
    """Return whether scikit-learn's log loss can be used instead of the loss.

    With class weights it cannot, because early stopping would use the weighted loss.
    """
    return is_plain_cross_entropy(loss) or (in_rows is not None and early_stopping is False)


def _validation(X: Any, y: Any, sample_weight: Any, labels: Array) -> dict[str, Any]:
    """Return the arguments of scikit-learn's ``fit`` for validation rows."""
    given = {"X_val": X, "y_val": y, "sample_weight_val": sample_weight}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return {}
    if not FIT_TAKES_VALIDATION:
        raise ValueError(
            f"{', '.join(given)} must be left out before scikit-learn 1.7: use validation_fraction"
        )
    if X is None or y is None:
        raise ValueError(f"X_val and y_val must be given together, got {', '.join(given)}")
    codes = codes_of(y, labels, "y_val")
    weight = check_sample_weight(sample_weight, len(codes))
    X = check_features(X, y=codes)
    return {"X_val": X, "y_val": labels[codes], "sample_weight_val": weight}


def _weigh_by_class(validation: dict[str, Any], labels: Array, class_weight: Array) -> None:
    """Multiply the weights of the validation rows by class weights, as for training rows."""
    if validation:
        row_weight = class_weight[np.searchsorted(labels, validation["y_val"])]
        own = validation["sample_weight_val"]
        validation["sample_weight_val"] = row_weight if own is None else row_weight * own
