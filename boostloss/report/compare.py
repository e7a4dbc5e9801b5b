"""Cross-validate several losses and the built-in one on the same folds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from boostloss.classifier import (
    by_code,
    check_features,
    check_positive_known,
    encode_labels,
    of_the_positive,
)
from boostloss.losses import CrossEntropy, FocalLoss, Loss, named
from boostloss.losses.validation import Array, check_integer, check_sample_weight
from boostloss.optional import require
from boostloss.report import training
from boostloss.report.scores import BUILT_IN, METRICS, Comparison, Threshold, f1
from boostloss.report.training import EarlyStopping, Rows, Settings

LOSSES: dict[str, Loss | None] = {
    BUILT_IN: None,
    "balanced CE": CrossEntropy(class_weight="balanced"),
    "focal γ=1": FocalLoss(gamma=1),
    "focal γ=2": FocalLoss(gamma=2),
    "GHM": named("ghm"),
}

STOPPING_PART = 5
"""One in so many of a fold's training rows stops the training and is not learned from."""

PATIENCE = 10
"""Checks without an improvement before a training is stopped."""

SPECIAL_CHARACTERS = '[]{}<>,":'
"""Not allowed in column names by one engine or the other."""


def compare(
    X: Any,
    y: ArrayLike,
    *,
    losses: Mapping[str, Loss | str | None] | Sequence[Loss | str] | None = None,
    engine: str = "xgboost",
    folds: int = 5,
    groups: ArrayLike | None = None,
    time_order: bool = False,
    metric: str = "log_loss",
    rounds: int = 500,
    learning_rate: float = 0.05,
    params: dict[str, Any] | None = None,
    sample_weight: ArrayLike | None = None,
    positive: Any = None,
    seed: int = 0,
    progress: bool = True,
) -> Any:
    """Cross-validate every loss and the engine's built-in one on the same folds.

    In each fold a fifth of the training rows is set aside. It chooses the number of rounds, by
    ``metric``, and stops the training when neither ``metric`` nor log loss has improved for 50
    rounds. Test rows are used once, at the end. Probabilities are the calibrated
    ``predict_proba`` of each loss.

    Parameters
    ----------
    X : frame, array or sparse matrix of shape (n, d)
    y : array of shape (n,)
        Labels of any kind, two or more classes.
    losses : dict of name to loss, or sequence, optional
        Losses or their names; None for the built-in one, which is always compared. Default:
        balanced cross-entropy, focal with γ of 1 and 2, GHM.
    engine : {"xgboost", "lightgbm"}, default="xgboost"
    folds : int >= 2, default=5
    groups : array of shape (n,), optional
        Rows of one group (a patient, a customer) are never in both training and test.
    time_order : bool, default=False
        Rows are in order of time. Train on the past, test on what follows.
    metric : {"log_loss", "average_precision", "roc_auc", "brier"}, default="log_loss"
        Stops the training and decides. Stopped by log loss, plain cross-entropy also ranks better
        than stopped by average precision. Average precision and ROC AUC of several classes are the
        mean of each class against the rest.
    rounds : int >= 5, default=500
        Maximum number of rounds.
    learning_rate : float, default=0.05
    params : dict, optional
        More parameters of the engine.
    sample_weight : array of shape (n,), optional
        For training; the metrics are not weighted.
    positive : label, optional
        Of two classes the one to be found, which metrics are about; default: the rarer. A loss's
        parameters of the positive class (a number as ``class_weight``, ``alpha``) are its too. The
        model that is written follows the one rule of the package instead: its raw scores and its
        posterior are those of the last of the sorted labels, which its state calls "positive".
    seed : int, default=0
    progress : bool, default=True
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row for each loss. For average_precision, roc_auc, log_loss, brier, f1 (of a threshold
        tuned on the stopping rows) and seconds: mean over the folds, ``_sd`` its standard
        deviation, ``_difference`` the paired difference to the built-in loss and ``_interval``
        half of its 95% interval; ``rounds``. ``frame.attrs["sentences"]`` says it in words.

    Raises
    ------
    ValueError, TypeError
        For arguments that are not allowed.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from boostloss import compare
    >>> X, y = make_classification(800, weights=[0.9], random_state=0)
    >>> frame = compare(X, y, losses=["focal"], folds=3, rounds=50, progress=False)
    >>> list(frame.index)
    ['built-in', 'focal']
    """
    settings = Settings(engine, metric, rounds, learning_rate, params or {}, seed)
    return cross_validate(
        X, y, settings, losses=losses, folds=folds, groups=groups, time_order=time_order,
        sample_weight=sample_weight, positive=positive, progress=progress,
    ).frame()  # fmt: skip


def cross_validate(
    X: Any, y: ArrayLike, settings: Settings, *, losses: Any = None, folds: int = 5,
    groups: ArrayLike | None = None, time_order: bool = False,
    sample_weight: ArrayLike | None = None, positive: Any = None, progress: bool = True,
    keep_if_interrupted: bool = False,
) -> Comparison:  # fmt: skip
    """Compare as :func:`compare` does; return all results, after Ctrl-C too if asked to."""
    check_integer("folds", folds, 2)
    if not isinstance(time_order, bool | np.bool_):
        raise TypeError(f"time_order must be True or False, got {time_order!r}")
    labels, codes = encode_labels(y)
    _check_column_names(X)
    X = check_features(X, y=codes)
    named_positive = _code_of_positive(labels, positive)
    rows = Rows(
        X,
        codes,
        check_sample_weight(sample_weight, len(codes)),
        len(labels),
        _rarer(codes) if named_positive is None else named_positive,
    )
    chosen = _losses_by_name(losses, labels, named_positive)
    check_positive_known(labels, of_the_positive(settings.params))
    splits = _splits(rows, folds, groups, time_order, settings.seed)
    ratio = np.mean([len(test) / (len(learn) + len(stop)) for learn, stop, test in splits])
    comparison = Comparison(
        settings, labels, chosen, rows, float(ratio), n_models=len(splits) * len(chosen)
    )
    for loss in chosen.values():
        _compile(loss, settings.engine, len(labels))
    tasks: Any = [(name, split) for split in splits for name in chosen]
    if progress:
        tasks = require("tqdm.auto", "report").tqdm(tasks, unit="model")
    try:
        for name, split in tasks:
            if progress:
                tasks.set_postfix_str(name)
            _train_and_test(comparison, name, split)
    except KeyboardInterrupt:
        if not keep_if_interrupted:
            raise
    return comparison


def _train_and_test(comparison: Comparison, name: str, split: Split) -> None:
    """Add the results of one loss on one fold."""
    settings = comparison.settings
    learn, stop, test = (comparison.rows.part(index) for index in split)
    start = time.perf_counter()
    loss = training.resolved(comparison.losses[name], learn)
    stopping = EarlyStopping(stop, (settings.metric, "log_loss"), PATIENCE)
    model = training.train(
        settings.engine, loss, settings.engine_params, learn, settings.rounds, stopping
    )
    seconds = time.perf_counter() - start
    rounds = stopping.best_rounds(settings.metric)
    raw_learn = model.raw(learn.X, rounds)

    def probability(X: Any) -> Array:
        return training.posterior(loss, learn, raw_learn, model.raw(X, rounds))

    y, p = test.judged(probability(test.X))
    decision = Threshold(*stop.judged(probability(stop.X))).decide(p)
    results = {metric: score(y, p) for metric, score in METRICS.items()}
    results["f1"] = f1(y, decision, test.n_classes)
    results |= {"seconds": seconds, "rounds": float(rounds)}
    comparison.folds.setdefault(name, []).append(results)
    comparison.held_out.setdefault(name, []).append((y, p))


def _compile(loss: Loss | None, engine: str, n_classes: int) -> None:
    """Compile the loss's kernels, so that no training's time includes it."""
    if loss is None:
        return
    y = np.tile(np.arange(n_classes), 2)
    kind = np.float32 if engine == "xgboost" else np.float64
    raw = np.zeros(len(y) if n_classes == 2 else (len(y), n_classes), kind, "F")
    loss.gradient_hessian(y.astype(np.float32), raw if engine == "lightgbm" else raw.copy("C"))


def _code_of_positive(labels: Array, positive: Any) -> int | None:
    """Code of the class that ``positive`` names, if it names one."""
    if positive is None:
        return None
    if len(labels) > 2:
        raise ValueError(f"positive must be None with {len(labels)} classes, got {positive!r}")
    if positive in labels.tolist():  # 1 is also 1.0
        return int(labels.tolist().index(positive))
    known = [str(label) for label in labels.tolist()]  # a command line gives text
    if str(positive) not in known:
        raise ValueError(f"positive must be one of {', '.join(known)}, got {positive!r}")
    return known.index(str(positive))


def _rarer(codes: Array) -> int:
    """Of two classes the one with fewer rows; the last where they have equally many."""
    return int(2 * codes.sum() <= len(codes))


def _check_column_names(X: Any) -> None:
    """Raise for column names that an engine would refuse, before any training."""
    names = [str(name) for name in getattr(X, "columns", [])]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"columns of X must have different names, got twice: {', '.join(twice)}")
    special = [name for name in names if set(name) & set(SPECIAL_CHARACTERS)]
    if special:
        raise ValueError(
            f"columns of X must have names without any of {' '.join(SPECIAL_CHARACTERS)} (the "
            f"engines accept none), got {', '.join(map(repr, special[:5]))}"
        )


def _losses_by_name(losses: Any, labels: Array, positive: int | None) -> dict[str, Loss | None]:
    if losses is None:
        return dict(LOSSES)
    if isinstance(losses, Loss | str):
        losses = [losses]
    if not isinstance(losses, Mapping):
        losses = {loss if isinstance(loss, str) else repr(loss): loss for loss in losses}
    chosen: dict[str, Loss | None] = {BUILT_IN: None}
    for name, loss in losses.items():
        if loss is None or (isinstance(loss, str) and loss == BUILT_IN):
            continue
        if name == BUILT_IN:
            raise ValueError(f"losses must not give another loss the name {BUILT_IN!r}")
        chosen[str(name)] = by_code(clone(named(loss)), labels, positive)
    return chosen


class Split(NamedTuple):
    """Indices of the rows that a fold learns from, stops by and tests on."""

    learn: Array
    stop: Array
    test: Array


def _splits(
    rows: Rows, folds: int, groups: ArrayLike | None, time_order: bool, seed: int
) -> list[Split]:
    y = rows.y
    if time_order and groups is not None:
        raise ValueError("groups must be None with time_order=True, got both")
    known = None if groups is None else np.asarray(groups)
    if known is not None and len(known) != len(y):
        raise ValueError(f"groups must have one entry for each of {len(y)} rows, got {len(known)}")
    if time_order:
        outer = TimeSeriesSplit(folds).split(y)
    else:
        rarest = int(np.bincount(y).min())
        if rarest < folds:
            raise ValueError(f"folds must be at most the rarest class's {rarest} rows, got {folds}")
        outer = _stratified(y, known, folds, seed)
    splits = []
    for train, test in outer:
        set_aside = _last_rows if time_order else _stratified_part
        split = Split(*set_aside(train, y, known, seed), test)
        for part, use in zip(split, ("learn from", "stop by", "test on"), strict=True):
            if len(np.unique(y[part])) < (rows.n_classes if part is split.learn else 2):
                raise ValueError(
                    f"folds must leave each class some rows to {use}, got folds={folds} with "
                    f"{np.bincount(y).tolist()} rows of the classes"
                )
        splits.append(split)
    return splits


def _last_rows(train: Array, y: Array, groups: Array | None, seed: int) -> tuple[Array, Array]:
    """Rows to learn from, and the rows after them to stop by."""
    cut = len(train) - max(1, len(train) // STOPPING_PART)
    return train[:cut], train[cut:]


def _stratified_part(
    train: Array, y: Array, groups: Array | None, seed: int
) -> tuple[Array, Array]:
    """Rows to learn from, and rows to stop by with the same share of each class."""
    rarest = int(np.bincount(y[train]).min())
    if rarest < STOPPING_PART:
        raise ValueError(
            f"y must hold at least {2 * STOPPING_PART} rows of each class, got {rarest} in "
            "the training rows of a fold"
        )
    inner_groups = None if groups is None else groups[train]
    learn, stop = next(_stratified(y[train], inner_groups, STOPPING_PART, seed))
    return train[learn], train[stop]


def _stratified(y: Array, groups: Array | None, folds: int, seed: int) -> Any:
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    return splitter(folds, shuffle=True, random_state=seed).split(y, y, groups)
