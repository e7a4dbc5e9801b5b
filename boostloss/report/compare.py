"""Cross-validate several losses and the built-in one on the same folds."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from boostloss.decide import decide, observed_cost
from boostloss.labels import (
    by_code,
    check_features,
    check_positive_known,
    encode_labels,
    of_the_positive,
    says_the_positive,
)
from boostloss.losses import CrossEntropy, FocalLoss, Loss, LossName, named
from boostloss.losses.validation import Array, check_integer, check_sample_weight
from boostloss.optional import require
from boostloss.report import costs as given_costs
from boostloss.report import leaks, table, training
from boostloss.report.columns import quoted
from boostloss.report.folds import Split, make_folds
from boostloss.report.labels import check_enough
from boostloss.report.scores import BUILT_IN, METRICS, Comparison, Threshold, f1
from boostloss.report.training import EarlyStopping, Rows, Settings

LOSSES: dict[str, Loss | None] = {
    BUILT_IN: None,
    "balanced CE": CrossEntropy(class_weight="balanced"),
    "focal γ=1": FocalLoss(gamma=1),
    "focal γ=2": FocalLoss(gamma=2),
    "GHM": named("ghm"),
}

PATIENCE = 10
"""Number of checks without improvement after which training stops."""


def compare(
    X: Any,
    y: ArrayLike,
    *,
    losses: Mapping[str, Loss | LossName | None] | Sequence[Loss | LossName] | None = None,
    engine: Literal["xgboost", "lightgbm", "hist"] | None = None,
    folds: int = 5,
    groups: ArrayLike | None = None,
    time_order: bool = False,
    metric: Literal["average_precision", "roc_auc", "log_loss", "brier"] = "log_loss",
    rounds: int = 500,
    learning_rate: float = 0.05,
    params: dict[str, Any] | None = None,
    sample_weight: ArrayLike | None = None,
    positive: Any = None,
    costs: Any = None,
    seed: int = 0,
    progress: bool = True,
) -> Any:
    """Cross-validate every loss and the engine's built-in one on the same folds.

    In each fold a fifth of the training rows is held out from training. These rows choose the
    number of rounds by ``metric``, and stop the training when neither ``metric`` nor log loss has
    improved for 50 rounds. Test rows are used once, at the end. Probabilities are the posterior of
    each loss.

    Parameters
    ----------
    X : frame, array or sparse matrix of shape (n, d)
        Features. Text columns become categories, and infinite numbers missing values. Columns that
        can be read in several ways, such as dates, raise an error.
    y : array of shape (n,)
        Labels of any type, with two or more classes.
    losses : dict of name to loss, or sequence, optional
        Losses or their names. None is the built-in loss, which is always compared. The default is
        balanced cross-entropy, focal with γ of 1 and 2, and GHM.
    engine : {"xgboost", "lightgbm", "hist"}, optional
        "hist" is scikit-learn's ``HistGradientBoostingClassifier``. The default is the first of
        them that is installed.
    folds : int >= 2, default=5
        Number of folds.
    groups : array of shape (n,), optional
        Rows of one group (a patient, a customer) are never in both training and test. A row
        without a group (None, NaN) is a group of its own.
    time_order : bool, default=False
        Whether the rows are in order of time. Each fold then trains on the past and tests on what
        follows.
    metric : {"log_loss", "average_precision", "roc_auc", "brier"}, default="log_loss"
        The metric that stops the training and chooses the best loss. Plain cross-entropy ranks
        better if it is stopped by log loss than by average precision. With several classes,
        average precision and ROC AUC are the mean of each class against the rest.
    rounds : int >= 5, default=500
        Maximum number of rounds.
    learning_rate : float, default=0.05
        Learning rate of the engine, the same for all losses.
    params : dict, optional
        More parameters of the engine, for the built-in objective and every loss. Class
        weights among them (``scale_pos_weight``, ``is_unbalance``) multiply those of each loss,
        and all probabilities undo them.
    sample_weight : array of shape (n,), optional
        Weights for training, early stopping and all metrics. If one class was undersampled, use the
        inverse of the kept share for its rows; all metrics then describe the original population.
        Plots show the rows without weights.
    positive : label, optional
        Of two classes the one to be found, for metrics and for a loss's parameters of the positive
        class (a number as ``class_weight``, ``alpha``, the asymmetric loss's ``gamma_neg``). By
        default metrics are about the rarer class, and a loss with such a parameter takes the label
        1 or True as positive; with other labels it needs ``positive``. The raw scores of a
        written model still belong to the last of the sorted labels, which its state calls
        "positive".
    costs : array of shape (K, K), or dict of dicts by label, optional
        Costs of decisions, as for the classifiers' parameter ``decision``: an array with the sorted
        labels in rows (true) and columns (predicted), or ``{true label: {predicted label:
        cost}}``. With two labels that do not show which one is positive, a dict is needed. The
        result then contains the cost of each loss.
    seed : int, default=0
        Seed of the folds and of the rows for early stopping.
    progress : bool, default=True
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row for each loss. The metrics are average_precision, roc_auc, log_loss, brier, f1 (with
        a threshold tuned on the rows for early stopping), seconds, and with ``costs`` cost (the
        mean cost of a row, with decisions of lowest expected cost). Each has four columns: the mean
        over the folds, its standard deviation ``_sd``, the paired difference to the built-in loss
        ``_difference``, and half the width of its 95% interval ``_interval``. ``rounds`` is the
        mean number of rounds. ``frame.attrs["sentences"]`` sums up the results in words, and
        ``frame.attrs["data"]`` describes how the columns were read.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.

    See Also
    --------
    boostloss.xgboost.cv : Cross-validates one loss with XGBoost.
    boostloss.lightgbm.cv : Cross-validates one loss with LightGBM.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from boostloss import compare
    >>> X, y = make_classification(800, weights=[0.9], random_state=0)
    >>> frame = compare(X, y, losses=["focal"], folds=3, rounds=50, progress=False)
    >>> list(frame.index)
    ['built-in', 'focal']
    """
    chosen_engine = training.installed_engine() if engine is None else engine
    settings = Settings(chosen_engine, metric, rounds, learning_rate, params or {}, seed)
    data = table.from_data(X, y, groups, sample_weight)
    say = _to_stderr if progress else None
    comparison = cross_validate(
        data, settings, losses=losses, folds=folds, time_order=time_order, positive=positive,
        costs=costs, progress=progress, say=say,
    )  # fmt: skip
    for note in data.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return comparison.frame()


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def cross_validate(
    data: table.Table, settings: Settings, *, losses: Any = None, folds: int = 5,
    time_order: bool = False, positive: Any = None, costs: Any = None, progress: bool = True,
    keep_if_interrupted: bool = False, say: Callable[[str], None] | None = None,
) -> Comparison:  # fmt: skip
    """Do as :func:`compare`, and return all results, on request also after Ctrl-C.

    ``say`` is called with the lines that describe the data before any training. Assumptions about
    the data are added to ``data.notes``.
    """
    check_integer("folds", folds, 2)
    if not isinstance(time_order, bool | np.bool_):
        raise TypeError(f"time_order must be True or False, got {time_order!r}")
    if hasattr(data.y, "__len__") and not len(data.y):
        raise ValueError("y must have a label for each row, at least two classes, got no rows")
    labels, codes = encode_labels(data.y)
    X = check_features(data.X, y=codes)
    named_positive = _code_of_positive(labels, positive)
    rows = Rows(
        X,
        codes,
        check_sample_weight(data.weight, len(codes)),
        len(labels),
        _rarer(codes) if named_positive is None else named_positive,
    )
    chosen = _losses_by_name(losses, labels, named_positive, data.from_file)
    check_positive_known(labels, of_the_positive(settings.params))
    if settings.engine == "hist":
        _check_categories(data, settings)
    cost_of = given_costs.as_judged(costs, labels, rows.positive)
    if not time_order:
        check_enough(labels, codes, folds, data.where)
    found = make_folds(codes, len(labels), folds, data.groups, time_order, settings.seed)
    data.notes += found.notes + _leaks(data, codes)
    counts = dict(zip(map(str, labels.tolist()), np.bincount(codes).tolist(), strict=True))
    description = table.describe(data, X.shape, counts)
    for line in description if say else []:
        say(line)  # type: ignore[misc]
    splits = found.splits
    ratio = np.mean([len(test) / (len(learn) + len(stop)) for learn, stop, test in splits])
    comparison = Comparison(
        settings, labels, chosen, rows, data, float(ratio),
        n_models=len(splits) * len(chosen), description=description, splits=splits,
        costs=cost_of, order=_order(time_order, data),
    )  # fmt: skip
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


def _check_categories(data: table.Table, settings: Settings) -> None:
    """Raise for columns of more categories than scikit-learn's trees have bins."""
    most = int(settings.engine_params.get("max_bins", 255))
    counts = {
        column.name: len(data.X[column.inside].cat.categories)
        for column in data.columns
        if column.kind == "categories"
    }
    many = {name: n for name, n in counts.items() if n > most}
    if not many:
        return
    said = ", ".join(f"{name!r} has {n:,}" for name, n in many.items())
    names = " ".join(map(quoted, many))
    fix = "leave it out of X, merge rare categories, or use engine='xgboost' or 'lightgbm'"
    if data.from_file:
        fix = f"use --engine xgboost or lightgbm, --drop {names}, or --numbers {names} for numbers"
    raise ValueError(
        f"columns must have at most {most} categories with the engine hist, column {said}: {fix}"
    )


def _order(time_order: bool, data: table.Table) -> str:
    names = {option: name for name, option in data.roles.items()}
    if time_order:
        by = f" by {names['time-order']}" if "time-order" in names else ""
        return (
            f"Rows are in order of time{by}; each fold is tested on what follows its training rows"
        )
    if data.groups is None:
        return "Folds are stratified by class, rows are taken as independent"
    by = f" of {names['groups']}" if "groups" in names else ""
    return f"Rows of one group{by} are in one fold, stratified by class"


def _leaks(data: table.Table, codes: Array) -> list[str]:
    """Return a sentence for each column that alone separates the classes perfectly."""
    original = {column.inside: column.name for column in data.columns}
    names = [original.get(name, name) for name in leaks.perfect_columns(data.X, codes)]
    how = "--drop {}" if data.from_file else "leave it out of X"
    return [
        f"leak: column {name!r} alone tells the classes apart without a mistake; "
        f"{how.format(quoted(name))} if it is not known at the time of prediction"
        for name in names
    ]


def _train_and_test(comparison: Comparison, name: str, split: Split) -> None:
    """Add the results of one loss on one fold."""
    settings = comparison.settings
    learn, stop, test = (comparison.rows.part(index) for index in split)
    start = time.perf_counter()
    loss, params = training.resolved(comparison.losses[name], learn, settings)
    stopping = EarlyStopping(stop, (settings.metric, "log_loss"), PATIENCE)
    model = training.train(settings.engine, loss, params, learn, settings.rounds, stopping)
    seconds = time.perf_counter() - start
    rounds = stopping.best_rounds(settings.metric)
    raw_learn = model.raw(learn.X, rounds)

    def probability(X: Any) -> Array:
        return training.posterior(loss, learn, raw_learn, model.raw(X, rounds))

    y, p = test.judged(probability(test.X))
    threshold = Threshold(*stop.judged(probability(stop.X)), stop.weight)
    decision = threshold.decide(p)
    results = {metric: score(y, p, test.weight) for metric, score in METRICS.items()}
    results["f1"] = f1(y, decision, test.n_classes, test.weight)
    if comparison.costs is not None:
        of_row = observed_cost(y, decide(p, comparison.costs), comparison.costs)
        results["cost"] = float(np.average(of_row, weights=test.weight))
    results |= {"seconds": seconds, "rounds": float(rounds)}
    comparison.folds.setdefault(name, []).append(results)
    comparison.held_out.setdefault(name, []).append((y, p))
    comparison.decided.setdefault(name, []).append((decision, threshold.number))


def _compile(loss: Loss | None, engine: str, n_classes: int) -> None:
    """Compile the loss's kernels, so that training times do not include compilation."""
    if loss is None:
        return
    y = np.tile(np.arange(n_classes), 2)
    kind = np.float32 if engine == "xgboost" else np.float64
    raw = np.zeros(len(y) if n_classes == 2 else (len(y), n_classes), kind, "F")
    loss.gradient_hessian(y.astype(np.float32), raw if engine != "xgboost" else raw.copy("C"))


def _code_of_positive(labels: Array, positive: Any) -> int | None:
    """Return the code of the class that ``positive`` names, or None."""
    if positive is None:
        return None
    if len(labels) > 2:
        raise ValueError(f"positive must be None with {len(labels)} classes, got {positive!r}")
    known = labels.tolist()
    same = [code for code, label in enumerate(known) if _is_same_label(positive, label)]
    if not same:
        raise ValueError(f"positive must be one of {', '.join(map(str, known))}, got {positive!r}")
    return same[0]


def _rarer(codes: Array) -> int:
    """Return the class with fewer rows of two, or the last if both have equally many."""
    return int(2 * codes.sum() <= len(codes))


def _is_same_label(given: Any, label: Any) -> bool:
    """Return whether labels are equal as strings, as from a command line, or as numbers."""
    if given == label or str(given).strip() == str(label):
        return True
    try:
        return not isinstance(label, bool) and float(given) == float(label)
    except (TypeError, ValueError):
        return False


def _losses_by_name(
    losses: Any, labels: Array, positive: int | None, from_file: bool
) -> dict[str, Loss | None]:
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
        loss = clone(named(loss))
        if positive is None:
            _check_positive_needed(str(name), loss, labels, from_file)
        chosen[str(name)] = by_code(loss, labels, positive)
    return chosen


def _check_positive_needed(name: str, loss: Loss, labels: Array, from_file: bool) -> None:
    """Raise if a loss has to know the positive class and neither ``positive`` nor labels say it."""
    given = loss.of_the_positive() if len(labels) == 2 else {}
    if not given or says_the_positive(labels):
        return
    parameter, value = next(iter(given.items()))
    first, last = labels.tolist()
    say = "--positive {}".format if from_file else "positive={!r}".format
    fix = f"use {say(first)} or {say(last)}"
    if not set(given) <= {"class_weight", "alpha"}:
        fix = f"use {say(last)}, or encode the labels as 0 and 1, 1 for the class to be found"
    raise ValueError(
        f"positive must name the class to be found if losses contain {name}, whose {parameter}="
        f"{value!r} depends on it, got None with labels {labels.tolist()}: {fix}"
    )
