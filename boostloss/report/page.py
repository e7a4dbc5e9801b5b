"""Write a comparison to files: HTML report, table, best model and the code that uses it."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from boostloss import plot
from boostloss.hist.sklearn_loss import plain
from boostloss.losses.validation import Array
from boostloss.model_file import positive_of
from boostloss.optional import require
from boostloss.report import training
from boostloss.report.scores import BUILT_IN, TITLES, Comparison

SUFFIXES = {"xgboost": "json", "lightgbm": "txt", "hist": "joblib"}
"""Of the best model's file, by engine."""

FILES = (
    "report.html",
    "table.csv",
    *(f"model.{suffix}" for suffix in SUFFIXES.values()),
    "model_loss.json",
    "use_model.py",
)
"""All that is written; the model is one of three, by its engine."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block;
        overflow-x: auto; }
th, td { padding: .35rem .55rem; font-size: .85rem; text-align: right; white-space: nowrap;
         border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.best { font-weight: 700; } .muted { color: #555; font-size: .9rem; }
img { max-width: 100%; height: auto; } pre { background: #f4f4f4; padding: 1rem; overflow-x: auto; }
"""


def write(comparison: Comparison, title: str, output: Path) -> None:
    """Write all files into the directory ``output``; they appear together, once all are written.

    Parameters
    ----------
    comparison : Comparison
    title : str
        What was compared, in words.
    output : path
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".writing-") as name:
        unfinished = Path(name)
        comparison.frame().to_csv(unfinished / "table.csv", float_format="%.6g")
        snippet = _write_model(comparison, unfinished)
        (unfinished / "use_model.py").write_text(snippet, encoding="utf-8")
        page = _page(comparison, title, snippet)
        (unfinished / "report.html").write_text(page, encoding="utf-8")
        for other in SUFFIXES.values():  # of an earlier run on another engine
            (output / f"model.{other}").unlink(missing_ok=True)
        for path in unfinished.iterdir():
            os.replace(path, output / path.name)


def _write_model(comparison: Comparison, folder: Path) -> str:
    """Refit the best loss on all rows, for the rounds that the folds needed; how to use it."""
    name, rows, settings = comparison.best, comparison.rows, comparison.settings
    loss = training.resolved(comparison.losses[name], rows)
    rounds = max(1, round(float(np.median(comparison.values(name, "rounds")))))
    model = training.train(settings.engine, loss, settings.engine_params, rows, rounds)
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
    return _snippet(comparison, suffix, loss is not None)


def _snippet(comparison: Comparison, suffix: str, has_loss: bool) -> str:
    """Code that loads the model and predicts."""
    labels = comparison.labels
    if comparison.settings.engine == "xgboost":
        load = ["import xgboost as xgb", "",
                f'booster = xgb.Booster(model_file="model.{suffix}")  # XGBoost alone',
                "data = xgb.DMatrix(X, enable_categorical=True)"]  # fmt: skip
        link, raw = "booster.predict(data)", "booster.predict(data, output_margin=True)"
    elif comparison.settings.engine == "hist":
        read = f'model = joblib.load("model.{suffix}")  # scikit-learn alone; a pickle: trust it'
        load = ["import joblib", "", read]
        link, raw = "model.predict_proba(X)", "model.decision_function(X)"
        link += "[:, 1]" if len(labels) == 2 else ""
    else:
        read = f'booster = lgb.Booster(model_file="model.{suffix}")  # LightGBM alone'
        load = ["import lightgbm as lgb", "", read]
        link, raw = "booster.predict(X)", "booster.predict(X, raw_score=True)"
    what = f"of {labels.tolist() if comparison.positive is None else comparison.positive}"
    of_other = comparison.positive is not None and comparison.rows.positive == 0
    other = f"1 - probability  # the model's own is that of {labels[1]}" if of_other else ""
    columns = [column for column in comparison.data.columns if column.inside]
    renamed = {column.name: column.inside for column in columns if column.name != column.inside}
    head = "\n".join([
        f'"""Probabilities {what}; X: a frame with the columns of the training file."""', "",
        "import pandas as pd", "",
        f"X = X[{[column.name for column in columns]!r}].copy()",
        *[column.code for column in columns if column.code],
        *([f"X = X.rename(columns={renamed!r})"] if renamed else []), "",
    ])  # fmt: skip
    if not has_loss:
        last = [f"probability = {other}"] if other else []
        return "\n".join([head, *load, f"probability = {link}", *last]) + "\n"
    undo = [
        "",
        "# calibrated probabilities undo the loss's weights",
        "import json",
        "from boostloss.losses import FittedLoss",
        "",
        'fitted = FittedLoss.from_dict(json.load(open("model_loss.json"))["loss"])',
        f"probability = fitted.posterior({raw})",
        *([f"probability = {other}"] if other else []),
    ]
    sign = "-" if other else ""
    return "\n".join([head, *load, f"ranking = {sign}{link}", *undo]) + "\n"


def _page(comparison: Comparison, title: str, snippet: str) -> str:
    rows, settings = comparison.rows, comparison.settings
    counts = np.bincount(rows.y)
    shares = ", ".join(
        f"{html.escape(str(label))}: {count:,} ({count / len(rows.y):.2%})"
        for label, count in zip(comparison.labels.tolist(), counts, strict=True)
    )
    sentences = "".join(f"<li>{html.escape(line)}</li>" for line in comparison.sentences())
    plots = "".join(
        f'<h2>{heading}</h2><img alt="{heading}" src="data:image/png;base64,{_png(figure)}">'
        for heading, figure in _plots(comparison)
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{len(rows.y):,} rows, {rows.X.shape[1]} features; classes: {shares}.
{comparison.n_folds} folds, engine {settings.engine}, early stopping by
{TITLES[settings.metric]}.</p>
<h2>Summary</h2><ul>{sentences}</ul>
<h2>Results</h2>{_html_table(comparison)}
<p class="muted">Mean ± standard deviation over the folds; Δ is the paired difference to the
built-in objective with half of its 95% interval, corrected for overlapping training sets. Average
precision and ROC AUC are better when larger, log loss and Brier score of the calibrated
probabilities when smaller. F1 is that of a threshold tuned on other rows.</p>
{plots}
<h2>The model</h2><p>{html.escape(comparison.best)}, refitted on all rows.</p>
<pre>{html.escape(snippet)}</pre>
</body></html>
"""


def _html_table(comparison: Comparison) -> str:
    metric, finished = comparison.settings.metric, comparison.finished
    titles = [*TITLES.values(), f"Δ {TITLES[metric]}"]
    head = "".join(f"<th>{title}</th>" for title in ["loss", *titles])
    best = {name: comparison.best_mean(name, finished) for name in TITLES}
    lines = []
    for name in finished:
        cells = [f"<td>{html.escape(name)}</td>"]
        for column in TITLES:
            values = comparison.values(name, column)
            text = f"{values.mean():.{1 if column == 'seconds' else 4}f}"
            if len(values) > 1 and column != "seconds":
                text += f" <small>±&nbsp;{values.std(ddof=1):.4f}</small>"
            mark = ' class="best"' if best[column] == name else ""
            cells.append(f"<td{mark}>{text}</td>")
        difference = "" if name == BUILT_IN else str(comparison.difference(name, metric))
        cells.append(f"<td>{difference}</td>")
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _plots(comparison: Comparison) -> list[tuple[str, Any]]:
    """Headings and figures."""
    make_figure = require("matplotlib.figure", "report").Figure
    plots = []
    y, curves = _rarest_class(comparison)
    for heading, draw in (
        ("Precision and recall on the test rows", plot.precision_recall),
        ("Reliability of the probabilities", plot.reliability),
    ):
        figure = make_figure(figsize=(8, 5), layout="constrained")
        draw(y, curves, ax=figure.subplots())
        plots.append((heading, figure))
    height = 1.2 + 0.5 * len(comparison.finished)
    figure = make_figure(figsize=(8, height), layout="constrained")
    _plot_folds(comparison, figure.subplots())
    return [*plots, (f"Each fold's {TITLES[comparison.settings.metric]}", figure)]


def _rarest_class(comparison: Comparison) -> tuple[Array, dict[str, Array]]:
    """Labels and probabilities of the rarest class; of two classes the positive one."""
    y, p = comparison.predictions(comparison.best)
    k = int(np.bincount(y).argmin()) if p.ndim == 2 else 1
    curves = {name: comparison.predictions(name)[1] for name in comparison.finished}
    curves = {name: p[:, k] if p.ndim == 2 else p for name, p in curves.items()}
    return (y == k).astype(int), curves


def _plot_folds(comparison: Comparison, axes: Any) -> None:
    metric, finished = comparison.settings.metric, comparison.finished
    for i, name in enumerate(finished):
        values = comparison.values(name, metric)
        colour = plot.COLOURS[i % len(plot.COLOURS)]
        axes.plot(values, np.full(len(values), i), "o", color=colour, alpha=0.5)
        axes.plot(values.mean(), i, "|", color=colour, ms=22, mew=3)
    axes.set_yticks(range(len(finished)), finished)
    axes.invert_yaxis()
    axes.set_xlabel(TITLES[metric])
    axes.grid(axis="x", alpha=0.3)


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
