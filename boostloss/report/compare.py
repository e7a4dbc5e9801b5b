"""Which loss for my data: every loss and the built-in one on the same folds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student
from sklearn.base import clone
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from boostloss.classifier import check_features, class_weight_by_code, encode_labels
from boostloss.losses import CrossEntropy, FocalLoss, Loss
from boostloss.losses._catalogue import named
from boostloss.losses._validation import (
    Array,
    check_choice,
    check_integer,
    check_number,
    check_sample_weight,
)
from boostloss.optional import require
from boostloss.report import scores, training
from boostloss.report.training import EVERY, Rows

BUILT_IN = "built-in"
LOSSES: dict[str, Loss | None] = {
    BUILT_IN: None,
    "balanced CE": CrossEntropy(class_weight="balanced"),
    "focal γ=1": FocalLoss(gamma=1),
    "focal γ=2": FocalLoss(gamma=2),
    "GHM": named("ghm"),
}
METRICS = {
    "average_precision": scores.average_precision,
    "roc_auc": scores.roc_auc,
    "log_loss": scores.log_loss,
    "brier": scores.brier,
}
SMALLER_IS_BETTER = ("log_loss", "brier", "seconds")
FIGURES = (*METRICS, "f1", "seconds")
"""F1 is that of a threshold tuned on the rows that stopped the training."""

WATCHED_SHARE = 5
"""One in so many of a fold's training rows stops the training and is not learned from."""

PATIENCE = 10
"""Looks without anything better, each after ``EVERY`` rounds, before a training is stopped."""

CONFIDENCE = 0.95


@dataclass
class Comparison:
    """What a comparison found, loss by loss; losses that were not finished are missing."""

    metric: str
    engine: str
    labels: Array
    losses: dict[str, Loss | None]
    codes: Array
    """Each row's class, its place in ``labels``; of two classes 1 is the positive one."""

    test_over_train: float
    """Test rows over training rows, the mean of the folds."""

    n_models: int = 0
    """Models that were to be trained."""

    folds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    held_out: dict[str, list[tuple[Array, Array]]] = field(default_factory=dict)
    """Codes and probabilities of each fold's test rows."""

    @property
    def n_folds(self) -> int:
        """Folds that all losses have finished; one if the first is not yet."""
        return max(1, min(len(self.folds.get(name, [])) for name in self.losses))

    @property
    def finished(self) -> list[str]:
        """Names of the losses with a result on every one of ``n_folds``."""
        return [name for name in self.losses if len(self.folds.get(name, [])) >= self.n_folds]

    @property
    def interrupted(self) -> str:
        """What is missing after Ctrl-C, in words; empty if nothing is."""
        done = sum(len(rows) for rows in self.folds.values())
        if done >= self.n_models:
            return ""
        missing = [name for name in self.losses if name not in self.finished]
        text = (
            f"Interrupted after {done} of {self.n_models} models: {self.n_folds} fold(s) compared"
        )
        return text + (f"; not compared: {', '.join(missing)}." if missing else ".")

    @property
    def best(self) -> str:
        """The loss with the best mean; the built-in one where no other is surely better."""
        better = [name for name in self.finished if name != BUILT_IN and self._surely_better(name)]
        if not better and BUILT_IN in self.finished:
            return BUILT_IN
        sign = -1 if self.metric in SMALLER_IS_BETTER else 1
        return max(better or self.finished, key=lambda name: sign * self._mean(name, self.metric))

    def values(self, name: str, figure: str) -> Array:
        """A figure of one loss on each fold."""
        return np.array([fold[figure] for fold in self.folds[name][: self.n_folds]])

    def tested(self, name: str) -> tuple[Array, Array]:
        """Codes and one loss's probabilities of all test rows."""
        y, p = zip(*self.held_out[name][: self.n_folds], strict=True)
        return np.concatenate(y), np.concatenate(p)

    def difference(self, name: str, figure: str) -> tuple[float, float]:
        """Mean difference to the built-in on the same folds, and half its 95% interval.

        Training sets of different folds overlap, for which the variance is corrected [1]_.

        References
        ----------
        .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52,
           2003, section 3.
        """
        paired = self.values(name, figure) - self.values(BUILT_IN, figure)
        n = len(paired)
        if n < 2:
            return float(paired.mean()), float("nan")
        error = float(np.sqrt(paired.var(ddof=1) * (1 / n + self.test_over_train)))
        return float(paired.mean()), float(student.ppf((1 + CONFIDENCE) / 2, n - 1)) * error

    def frame(self) -> Any:
        """One row for each loss: mean, spread and difference to the built-in of each figure."""
        pd = require("pandas", "report")
        rows = []
        for name in self.finished:
            row: dict[str, Any] = {"loss": name}
            for figure in FIGURES:
                values = self.values(name, figure)
                row[figure] = values.mean()
                row[f"{figure}_sd"] = values.std(ddof=1) if len(values) > 1 else float("nan")
                if BUILT_IN in self.finished:
                    difference, half = self.difference(name, figure)
                    row[f"{figure}_difference"] = difference
                    row[f"{figure}_interval"] = half
            row["rounds"] = self.values(name, "rounds").mean()
            rows.append(row)
        frame = pd.DataFrame(rows).set_index("loss")
        frame.attrs["sentences"] = self.sentences()
        return frame

    def sentences(self) -> list[str]:
        """What the figures say, in words."""
        first = [self.interrupted] if self.interrupted else []
        if len(self.labels) == 2:
            first.append(f"Positive class: {self.labels[1]}.")
        if BUILT_IN not in self.finished or len(self.finished) < 2:
            return [*first, "Nothing was compared with the built-in loss."]
        said = first + [self._sentence(name) for name in self.finished if name != BUILT_IN]
        if self.n_folds < 2:
            return said
        better = [name for name in self.finished if name != BUILT_IN and self._surely_better(name)]
        words = _words(self.metric)
        if better:
            return [*said, f"Best by {words}: {self.best}."]
        return [*said, f"No loss is surely better than the built-in one by {words}: keep it."]

    def _sentence(self, name: str) -> str:
        difference, half = self.difference(name, self.metric)
        sign = -1 if self.metric in SMALLER_IS_BETTER else 1
        figures = f"by {abs(difference):.4f} ± {half:.4f}"
        words = _words(self.metric)
        if np.isnan(half):
            return f"{name}: {words} {difference:+.4f} on a single fold, which says little."
        if abs(difference) <= half:
            text = f"{name} makes no sure difference to {words} ({difference:+.4f} ± {half:.4f})"
        elif sign * difference > 0:
            text = f"{name} improves {words} {figures}"
        else:
            text = f"{name} makes {words} worse {figures}"
        if self.metric in ("log_loss", "brier"):
            return text + "."
        worse, half = self.difference(name, "log_loss")
        if worse > half:
            text += f"; its probabilities are worse (log loss {worse:+.4f} ± {half:.4f})"
        elif worse < -half:
            text += f"; its probabilities are better (log loss {worse:+.4f} ± {half:.4f})"
        return text + "."

    def _surely_better(self, name: str) -> bool:
        difference, half = self.difference(name, self.metric)
        sign = -1 if self.metric in SMALLER_IS_BETTER else 1
        return sign * difference > half

    def _mean(self, name: str, figure: str) -> float:
        return float(self.values(name, figure).mean())


def compare(
    X: Any,
    y: ArrayLike,
    *,
    losses: Mapping[str, Loss | str | None] | Sequence[Loss | str] | None = None,
    engine: str = "xgboost",
    folds: int = 5,
    groups: ArrayLike | None = None,
    time_order: bool = False,
    metric: str = "average_precision",
    rounds: int = 500,
    learning_rate: float = 0.05,
    params: dict[str, Any] | None = None,
    sample_weight: ArrayLike | None = None,
    positive: Any = None,
    seed: int = 0,
    progress: bool = True,
) -> Any:
    """Cross-validate every loss and the engine's built-in one on the same folds.

    In each fold a fifth of the training rows says how many rounds are best, by ``metric``, and
    stops the training when neither it nor log loss has got better for 50 rounds; test rows are seen
    once, at the end. Probabilities are the calibrated ``predict_proba`` of each loss.

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
        Rows of one group (a patient, a customer) never stand in training and test.
    time_order : bool, default=False
        Rows are in order of time: train on the past, test on what follows.
    metric : {"average_precision", "roc_auc", "log_loss", "brier"}, default="average_precision"
        What stops the training and decides; of several classes the mean of each against the rest.
    rounds : int >= 5, default=500
        The most rounds.
    learning_rate : float, default=0.05
    params : dict, optional
        More parameters of the engine.
    sample_weight : array of shape (n,), optional
        For training and stopping; the figures are not weighted.
    positive : label, optional
        Of two classes the one to be found; default: the rarer.
    seed : int, default=0
    progress : bool, default=True
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row for each loss. For average_precision, roc_auc, log_loss, brier, f1 (of a threshold
        tuned on the stopping rows) and seconds: mean over the folds, ``_sd`` its spread,
        ``_difference`` the paired difference to the built-in and ``_interval`` half its 95%
        interval; ``rounds``. ``frame.attrs["sentences"]`` says it in words.

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
    done = run(
        X, y, losses=losses, engine=engine, folds=folds, groups=groups, time_order=time_order,
        metric=metric, rounds=rounds, learning_rate=learning_rate, params=params,
        sample_weight=sample_weight, positive=positive, seed=seed, progress=progress,
    )  # fmt: skip
    return done.frame()


def run(
    X: Any, y: ArrayLike, *, losses: Any = None, engine: str = "xgboost", folds: int = 5,
    groups: ArrayLike | None = None, time_order: bool = False,
    metric: str = "average_precision", rounds: int = 500, learning_rate: float = 0.05,
    params: dict[str, Any] | None = None, sample_weight: ArrayLike | None = None,
    positive: Any = None, seed: int = 0, progress: bool = True, stop_quietly: bool = False,
) -> Comparison:  # fmt: skip
    """As :func:`compare`, all there is to report; ``stop_quietly`` keeps what Ctrl-C left."""
    check_choice("engine", engine, ("xgboost", "lightgbm"))
    check_choice("metric", metric, tuple(METRICS))
    check_integer("folds", folds, 2)
    check_integer("rounds", rounds, EVERY)
    check_number("learning_rate", learning_rate, np.nextafter(0, 1))
    if not isinstance(time_order, bool | np.bool_):
        raise TypeError(f"time_order must be True or False, got {time_order!r}")
    labels, codes = _positive_last(*encode_labels(y), positive)
    _check_names(X)
    X = check_features(X, y=codes)
    weight = check_sample_weight(sample_weight, len(codes))
    chosen = _chosen(losses, labels)
    rows = Rows(X, codes, weight, len(labels))
    splits = _splits(rows, folds, groups, time_order, seed)
    native = {**engine_params(engine, learning_rate, seed), **(params or {})}
    ratio = np.mean([len(test) / (len(learn) + len(stop)) for learn, stop, test in splits])
    n_models = len(splits) * len(chosen)
    done = Comparison(metric, engine, labels, chosen, codes, float(ratio), n_models)
    for loss in chosen.values():
        _warm_up(loss, engine, len(labels))
    tasks: Any = [(name, split) for split in splits for name in chosen]
    if progress:
        tasks = require("tqdm.auto", "report").tqdm(tasks, unit="model")
    try:
        for name, split in tasks:
            if progress:
                tasks.set_postfix_str(name)
            _one(done, name, native, rows, split, rounds)
    except KeyboardInterrupt:
        if not stop_quietly:
            raise
    return done


def _warm_up(loss: Loss | None, engine: str, n_classes: int) -> None:
    """Compile the loss's loops, which is no part of the seconds of a training."""
    if loss is None:
        return
    y = np.tile(np.arange(n_classes), 2)
    kind = np.float32 if engine == "xgboost" else np.float64
    raw = np.zeros(len(y) if n_classes == 2 else (len(y), n_classes), kind, "F")
    loss.gradient_hessian(y.astype(np.float32), raw if engine == "lightgbm" else raw.copy("C"))


def _positive_last(labels: Array, codes: Array, positive: Any) -> tuple[Array, Array]:
    """Of two classes the positive one, by default the rarer, with code 1."""
    if len(labels) > 2:
        if positive is not None:
            raise ValueError(f"positive must be None with {len(labels)} classes, got {positive!r}")
        return labels, codes
    if positive is None:
        swap = 2 * codes.sum() > len(codes)
    else:
        known = [str(label) for label in labels.tolist()]  # a command line gives text
        if str(positive) not in known:
            raise ValueError(f"positive must be one of {', '.join(known)}, got {positive!r}")
        swap = known.index(str(positive)) == 0
    return (labels[::-1], 1 - codes) if swap else (labels, codes)


SPECIAL = '[]{}<>,":'
"""Characters that one engine or the other takes no column names with."""


def _check_names(X: Any) -> None:
    """Raise for column names that would end a training, before it has begun."""
    names = [str(name) for name in getattr(X, "columns", [])]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"columns of X must have different names, got twice: {', '.join(twice)}")
    special = [name for name in names if set(name) & set(SPECIAL)]
    if special:
        raise ValueError(
            f"columns of X must have names without any of {' '.join(SPECIAL)} (the engines take "
            f"none), got {', '.join(map(repr, special[:5]))}"
        )


def _chosen(losses: Any, labels: Array) -> dict[str, Loss | None]:
    if losses is None:
        return dict(LOSSES)
    if isinstance(losses, Loss | str):
        losses = [losses]
    pairs = losses.items() if isinstance(losses, Mapping) else [(_name(one), one) for one in losses]
    chosen: dict[str, Loss | None] = {BUILT_IN: None}
    for name, one in pairs:
        if one is None or (isinstance(one, str) and one == BUILT_IN):
            continue
        if name == BUILT_IN:
            raise ValueError(f"losses must not give another loss the name {BUILT_IN!r}")
        chosen[str(name)] = class_weight_by_code(clone(named(one)), labels)
    return chosen


def _name(loss: Any) -> str:
    return loss if isinstance(loss, str) else repr(loss)


def engine_params(engine: str, learning_rate: float, seed: int) -> dict[str, Any]:
    """Parameters of either engine that give trees of like size."""
    if engine == "xgboost":
        return {"eta": learning_rate, "tree_method": "hist", "max_depth": 6, "seed": seed}
    return {
        "learning_rate": learning_rate,
        "num_leaves": 31,
        "min_sum_hessian_in_leaf": 1.0,  # the default is unstable on very rare classes
        "seed": seed,
    }


def take(X: Any, rows: Array) -> Any:
    """Some rows of a frame, an array or a sparse matrix."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _part(rows: Rows, index: Array) -> Rows:
    weight = None if rows.weight is None else rows.weight[index]
    return Rows(take(rows.X, index), rows.y[index], weight, rows.n_classes)


def _splits(
    rows: Rows, folds: int, groups: ArrayLike | None, time_order: bool, seed: int
) -> list[tuple[Array, Array, Array]]:
    """Rows to learn from, to stop by, and to test on, of each fold."""
    y = rows.y
    if time_order and groups is not None:
        raise ValueError("groups must be None with time_order=True, got both")
    known = None if groups is None else np.asarray(groups)
    if known is not None and len(known) != len(y):
        raise ValueError(f"groups must have one entry for each of {len(y)} rows, got {len(known)}")
    if time_order:
        outer = list(TimeSeriesSplit(folds).split(y))
    else:
        outer = list(_stratified(y, known, folds, seed))
    result = []
    for train, test in outer:
        if time_order:
            cut = len(train) - max(1, len(train) // WATCHED_SHARE)
            learn, stop = train[:cut], train[cut:]
        else:
            inner = _stratified(y[train], None if known is None else known[train],
                                WATCHED_SHARE, seed)  # fmt: skip
            a, b = next(inner)
            learn, stop = train[a], train[b]
        for part, what in ((learn, "learn from"), (stop, "stop by"), (test, "test on")):
            if len(np.unique(y[part])) < (rows.n_classes if part is learn else 2):
                raise ValueError(
                    f"folds must leave each class some rows to {what}, got folds={folds} with "
                    f"{np.bincount(y).tolist()} rows of the classes"
                )
        result.append((learn, stop, test))
    return result


def _stratified(y: Array, groups: Array | None, folds: int, seed: int) -> Any:
    least = int(np.bincount(y).min())
    if least < folds:
        raise ValueError(
            f"folds must be at most the rarest class's {least} rows, got {folds}"
            if folds != WATCHED_SHARE
            else f"y must hold at least {2 * WATCHED_SHARE} rows of each class, got {least} in "
            "the training rows of a fold"
        )
    if groups is None:
        return StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return splitter.split(y, y, groups)


class _Watch:
    """Metric and log loss on the stopping rows.

    It says stop when neither has got better for ``PATIENCE`` looks: a ranking metric of few
    positives may stand still for long while the scores still grow better.
    """

    def __init__(self, y: Array, metric: str) -> None:
        self.y, self.metric = y, metric
        self.curves: dict[str, list[float]] = {name: [] for name in (metric, "log_loss")}

    def see(self, probability: Array) -> bool:
        """Note the figures; whether to stop."""
        for name, curve in self.curves.items():
            sign = -1 if name in SMALLER_IS_BETTER else 1
            curve.append(sign * METRICS[name](self.y, probability))
        since = [len(curve) - 1 - int(np.argmax(curve)) for curve in self.curves.values()]
        return min(since) >= PATIENCE

    @property
    def rounds(self) -> int:
        """Rounds up to the best look by the metric."""
        return (int(np.argmax(self.curves[self.metric])) + 1) * EVERY


def _one(
    done: Comparison, name: str, params: dict[str, Any], rows: Rows,
    split: tuple[Array, Array, Array], rounds: int,
) -> None:  # fmt: skip
    learn, stop, test = (_part(rows, index) for index in split)
    start = time.perf_counter()
    loss = done.losses[name]
    if loss is not None:
        loss = loss.resolve(learn.y, learn.weight, n_classes=learn.n_classes)
    watch = _Watch(stop.y, done.metric)
    model = training.train(done.engine, loss, params, learn, rounds, stop, watch.see)
    seconds = time.perf_counter() - start
    raw = model.raw(learn.X, watch.rounds)

    def probability(X: Any) -> Array:
        return training.posterior(loss, learn, raw, model.raw(X, watch.rounds))

    tested = probability(test.X)
    decided = scores.Threshold(stop.y, probability(stop.X)).decide(tested)
    figures = {figure: score(test.y, tested) for figure, score in METRICS.items()}
    figures |= {
        "f1": scores.f1(test.y, decided, rows.n_classes),
        "seconds": seconds,
        "rounds": float(watch.rounds),
    }
    done.folds.setdefault(name, []).append(figures)
    done.held_out.setdefault(name, []).append((test.y, tested))


def _words(metric: str) -> str:
    return {"roc_auc": "ROC AUC", "brier": "the Brier score"}.get(metric, metric.replace("_", " "))
