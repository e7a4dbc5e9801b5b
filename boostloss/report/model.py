"""Refit the best loss on all rows, and write the model and the code that uses it."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pprint
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np

from boostloss.hist.sklearn_loss import plain
from boostloss.model_file import positive_of
from boostloss.report import new_rows, numbers, training
from boostloss.report.scores import Comparison

SUFFIXES = {"xgboost": "json", "lightgbm": "txt", "hist": "joblib"}
"""Suffix of the file of the best model, by engine."""

MARK = "# use_model.py contains a copy of what follows\n"

ENGINES = {
    "xgboost": """
@functools.cache
def model():
    import xgboost

    return xgboost.Booster(model_file=HERE / "model.json")


def scores(X, raw):
    import xgboost

    data = xgboost.DMatrix(X, enable_categorical=True)
    return model().predict(data, output_margin=raw)
""",
    "lightgbm": """
@functools.cache
def model():
    import lightgbm

    return lightgbm.Booster(model_file=HERE / "model.txt")


def scores(X, raw):
    return model().predict(X, raw_score=raw)
""",
    "hist": """
@functools.cache
def model():
    import joblib  # a pickle: load it only if you trust who made it

    return joblib.load(HERE / "model.joblib")


def scores(X, raw):
    if raw:
        return model().decision_function(X)
    p = model().predict_proba(X)
    return p[:, 1] if p.shape[1] == 2 else p
""",
}
"""Functions of the script that load the model, and return raw scores or the link of them."""

LINKED = """
def posterior(X):
    return scores(X, raw=False)
"""

CALIBRATED = '''
@functools.cache
def fitted_loss():
    from boostloss.losses import FittedLoss

    state = json.loads((HERE / "model_loss.json").read_text(encoding="utf-8"))
    return FittedLoss.from_dict(state["loss"])


def posterior(X):
    """Undo the loss's weights, so that probabilities are calibrated."""
    return fitted_loss().posterior(scores(X, raw=True))
'''

MAIN = """
def predict(frame):
    \"\"\"Return the probabilities of each row, as PREDICTED names them.

    The columns of the frame are those of the training file, as strings
    (``pandas.read_csv(..., dtype=str)``) or as numbers.
    \"\"\"
    p = posterior(features(frame, COLUMNS, MISSING, DECIMAL))
    return 1 - p if IS_OTHER_CLASS else p


def main():
    described = ", ".join(PREDICTED).replace("%", "%%")
    parser = argparse.ArgumentParser(description="Predict " + described)
    parser.add_argument("rows", type=Path, help="new rows, in a file like the training file")
    parser.add_argument("predictions", type=Path, nargs="?", help="CSV to write; default: print")
    options = parser.parse_args()
    try:
        if options.predictions and options.predictions.resolve() == options.rows.resolve():
            raise BadInput("predictions must be another file than rows")
        p = predict(read_new_rows(options.rows, FORMAT, COLUMNS))
        table = pandas.DataFrame(p.reshape(len(p), -1), columns=PREDICTED)
        table.to_csv(options.predictions or sys.stdout, index=False)
    except (BadInput, ImportError, OSError, UnicodeError) as error:
        tell(f"use_model.py: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
"""

IMPORTS = """from __future__ import annotations

import argparse
import bz2
import csv
import functools
import gzip
import io
import itertools
import json
import lzma
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas

HERE = Path(__file__).parent
"""


def write_model(comparison: Comparison, folder: Path) -> tuple[str, Any]:
    """Refit the best loss on all rows for the folds' number of rounds. Return code and model."""
    name, rows, settings = comparison.best, comparison.rows, comparison.settings
    loss, params = training.resolved(comparison.losses[name], rows, settings)
    rounds = max(1, round(float(np.median(comparison.values(name, "rounds")))))
    model = training.train(settings.engine, loss, params, rows, rounds)
    suffix = SUFFIXES[settings.engine]
    if settings.engine == "hist":
        joblib.dump(plain(model.booster), folder / f"model.{suffix}")
    else:
        model.booster.save_model(folder / f"model.{suffix}")
    labels = comparison.labels.tolist()
    state: dict[str, Any] = {"labels": labels, "positive": positive_of(labels), "loss": None}
    if loss is not None:
        state["loss"] = training.fitted(loss, rows, model.raw(rows.X, rounds)).to_dict()
    (folder / "model_loss.json").write_text(json.dumps(state, default=str), encoding="utf-8")
    return _script(comparison), model.booster


def usage(comparison: Comparison) -> str:
    """Return how ``use_model.py`` is used, and what it needs."""
    engine = {"xgboost": "XGBoost", "lightgbm": "LightGBM", "hist": "scikit-learn and joblib"}
    needs = f"NumPy, pandas, {engine[comparison.settings.engine]}"
    files = f"model.{SUFFIXES[comparison.settings.engine]}"
    if comparison.losses[comparison.best] is not None:
        needs, files = f"{needs}, boostloss", f"{files} and model_loss.json"
    return f"""    python use_model.py new_rows.csv predictions.csv

reads new rows as the training file was read, and writes their probabilities. Without the second
file it prints them. In Python, ``from use_model import predict``; ``predict(frame)`` returns them.
It needs {files} in its directory, and the packages {needs}."""


def _script(comparison: Comparison) -> str:
    """Return a script that reads new rows as the comparison read its own, and predicts."""
    data, positive = comparison.data, comparison.positive
    labels = comparison.labels.tolist() if positive is None else [positive]
    has_loss = comparison.losses[comparison.best] is not None
    settings = {
        "FORMAT": None if data.form is None else dataclasses.asdict(data.form),
        "DECIMAL": data.reading.decimal,
        "MISSING": sorted(data.reading.means_missing),
        "COLUMNS": {column.name: column.how for column in data.columns if column.inside},
        "PREDICTED": [f"probability_{label}" for label in labels],
        "IS_OTHER_CLASS": positive is not None and comparison.rows.positive == 0,
    }
    parts = [
        f'"""Predict the probabilities of new rows.\n\n{usage(comparison)}\n"""\n',
        IMPORTS,
        "".join(f"{name} = {_literal(value)}\n" for name, value in settings.items()),
        *map(_copied, (numbers, new_rows)),
        ENGINES[comparison.settings.engine],
        CALIBRATED if has_loss else LINKED,
        MAIN,
    ]
    return "\n".join(parts)


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=96, compact=True, sort_dicts=False)


def _copied(module: ModuleType) -> str:
    """Return a module's source from the mark on."""
    return inspect.getsource(module).partition(MARK)[2]
