"""Make the tables of a report that record versions, parameters, data and folds."""

from __future__ import annotations

import importlib
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from boostloss.report.compare import PATIENCE
from boostloss.report.folds import STOPPING_PART
from boostloss.report.scores import TITLES, Comparison
from boostloss.report.training import CHECK_EVERY

LIBRARIES = ("sklearn", "numpy", "pandas")


class Section(NamedTuple):
    """A table with a heading and a sentence on how to read it."""

    heading: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def sections(comparison: Comparison) -> list[Section]:
    """Return the tables of run, parameters, columns and folds."""
    return [_run(comparison), _columns(comparison), _folds(comparison)]


def _run(comparison: Comparison) -> Section:
    settings, data = comparison.settings, comparison.data
    rows = [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("versions", _versions(settings.engine)),
        ("system", platform.platform()),
    ]  # fmt: skip
    if comparison.command:
        rows.append(("command", shlex.join(comparison.command)))
    if data.sha256:
        rows += [("file", data.how), ("SHA-256 of the file", data.sha256)]
    rows += [
        ("seed", str(settings.seed)),
        ("order of the rows", comparison.order),
        ("built-in", _built_in(comparison)),
        ("decides", f"{TITLES[settings.metric]}, the mean of the folds"),
        ("training", f"at most {settings.rounds} rounds; stopped by rows that are not learned "
         f"from (1 of {STOPPING_PART}), when {_none_improved(settings.metric)} for "
         f"{PATIENCE * CHECK_EVERY} rounds"),
        ("engine's parameters", _listed(settings.engine_params)),
    ]  # fmt: skip
    if comparison.costs is not None:
        rows.append(("costs", costs_in_words(comparison)))
    rows += [(f"loss {name}", repr(loss)) for name, loss in comparison.losses.items() if loss]
    return Section("How this was made", "", ("", ""), rows)


def costs_in_words(comparison: Comparison) -> str:
    """Describe each cost that is not 0, by true class and decision."""
    assert comparison.costs is not None
    labels = comparison.labels_as_judged
    return ", ".join(
        f"{labels[true]} decided {labels[decided]} {comparison.costs[true, decided]:g}"
        for true, decided in np.argwhere(comparison.costs)
    )


def _none_improved(metric: str) -> str:
    """Log loss always counts for early stopping, and the metric that decides."""
    if metric == "log_loss":
        return "log loss has not improved"
    return f"neither {TITLES[metric]} nor log loss has improved"


def _versions(engine: str) -> str:
    libraries = [*([engine] if engine in ("xgboost", "lightgbm") else []), *LIBRARIES]
    found = ["boostloss", *libraries]
    said = [f"{name} {importlib.import_module(name).__version__}" for name in found]
    return ", ".join([*said, f"Python {platform.python_version()}"]).replace(
        "sklearn", "scikit-learn"
    )


def _listed(params: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())


def _built_in(comparison: Comparison) -> str:
    several = len(comparison.labels) > 2
    names = {
        "xgboost": "multi:softprob" if several else "binary:logistic",
        "lightgbm": "multiclass" if several else "binary",
        "hist": "log_loss",
    }
    name = names[comparison.settings.engine]
    return f'the engine\'s objective "{name}": cross-entropy without class weights'


def _columns(comparison: Comparison) -> Section:
    data = comparison.data
    rows = [(c.name, c.kind, c.remark) for c in data.columns]
    rows += [(name, "not a feature", f"--{option}") for name, option in data.roles.items()]
    note = " ".join(f"{note[:1].upper()}{note[1:]}." for note in data.notes)
    return Section("Columns, and how each was read", note, ("column", "read as", "remarks"), rows)


def _folds(comparison: Comparison) -> Section:
    y, labels = comparison.rows.y, [str(label) for label in comparison.labels.tolist()]
    rows = []
    for i, split in enumerate(comparison.splits, 1):
        for use, part in zip(("learned from", "stops", "tested on"), split, strict=True):
            counts = np.bincount(y[part], minlength=len(labels))
            rows.append(
                (str(i), use, f"{len(part):,}", *(f"{n:,} ({n / len(part):.2%})" for n in counts))
            )
    columns = ("fold", "rows that are", "number", *labels)
    return Section("Classes in each fold", f"{comparison.order}.", columns, rows)
