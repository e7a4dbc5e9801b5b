"""A comparison as files: a page with pictures, the table, the best model and how to use it."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from boostloss import plot
from boostloss.losses._catalogue import to_plain
from boostloss.losses._validation import Array
from boostloss.optional import require
from boostloss.report import training
from boostloss.report.compare import (
    BUILT_IN,
    FIGURES,
    SMALLER_IS_BETTER,
    Comparison,
    engine_params,
)
from boostloss.report.training import Rows

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

HEADINGS = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier",
    "f1": "F1, tuned",
    "seconds": "seconds",
}


def write(done: Comparison, rows: Rows, title: str, settings: dict[str, Any], folder: Path) -> str:
    """Write all files into ``folder``, which exists; return the snippet that loads the model.

    Parameters
    ----------
    done : Comparison
    rows : Rows
        All rows, for the best loss's model.
    title : str
        What was compared, in words.
    settings : dict
        ``learning_rate``, ``seed`` and ``params`` of the comparison.
    folder : path
    """
    done.frame().to_csv(folder / "table.csv", float_format="%.6g")
    snippet = _write_model(done, rows, settings, folder)
    (folder / "use_model.py").write_text(snippet, encoding="utf-8")
    page = _page(done, rows, title, snippet)
    (folder / "report.html").write_text(page, encoding="utf-8")
    return snippet


def _write_model(done: Comparison, rows: Rows, settings: dict[str, Any], folder: Path) -> str:
    """The best loss, refitted on all rows for the rounds that the folds needed; native."""
    name = done.best
    loss = done.losses[name]
    if loss is not None:
        loss = loss.resolve(rows.y, rows.weight, n_classes=rows.n_classes)
    params = {
        **engine_params(done.engine, settings["learning_rate"], settings["seed"]),
        **(settings.get("params") or {}),
    }
    rounds = max(1, round(float(np.median(done.values(name, "rounds")))))
    model = training.train(done.engine, loss, params, rows, rounds)
    suffix = "json" if done.engine == "xgboost" else "txt"
    model.booster.save_model(folder / f"model.{suffix}")
    state: dict[str, Any] = {"labels": done.labels.tolist(), "loss": None}
    if loss is not None:
        frozen = loss.frozen(rows.y, model.raw(rows.X, rounds), rows.weight)
        state["loss"] = to_plain(frozen)
    (folder / "model_loss.json").write_text(json.dumps(state, default=str), encoding="utf-8")
    return _snippet(done, rows.X, suffix, loss is not None)


def _snippet(done: Comparison, X: Any, suffix: str, weighted: bool) -> str:
    if done.engine == "xgboost":
        load = ["import xgboost as xgb", "",
                f'booster = xgb.Booster(model_file="model.{suffix}")  # XGBoost alone',
                "data = xgb.DMatrix(X, enable_categorical=True)"]  # fmt: skip
        link, raw = "booster.predict(data)", "booster.predict(data, output_margin=True)"
    else:
        read = f'booster = lgb.Booster(model_file="model.{suffix}")  # LightGBM alone'
        load = ["import lightgbm as lgb", "", read]
        link, raw = "booster.predict(X)", "booster.predict(X, raw_score=True)"
    categories = [name for name in X.columns if str(X[name].dtype) == "category"]
    what = f"of {done.labels[1]}" if len(done.labels) == 2 else f"of {done.labels.tolist()}"
    head = "\n".join([
        f'"""Probabilities {what}; X: a frame with the columns of the training file."""', "",
        f"X = X[{list(X.columns)!r}]",
        f"X = X.astype(dict.fromkeys({categories!r}, 'category'))" if categories else "",
    ])  # fmt: skip
    if not weighted:
        return "\n".join([head, *load, f"probability = {link}"]) + "\n"
    undo = [
        "",
        "# calibrated probabilities undo the loss's weights",
        "import json",
        "from boostloss.losses import from_plain",
        "",
        'loss = from_plain(json.load(open("model_loss.json"))["loss"])',
        f"probability = loss.posterior({raw})",
    ]
    return "\n".join([head, *load, f"ranking = {link}", *undo]) + "\n"


def _page(done: Comparison, rows: Rows, title: str, snippet: str) -> str:
    counts = np.bincount(rows.y)
    shares = ", ".join(
        f"{html.escape(str(label))}: {count:,} ({count / len(rows.y):.2%})"
        for label, count in zip(done.labels.tolist(), counts, strict=True)
    )
    folds = len(done.values(done.best, "rounds"))
    said = "".join(f"<li>{html.escape(line)}</li>" for line in done.sentences())
    pictures = "".join(
        f'<h2>{heading}</h2><img alt="{heading}" src="data:image/png;base64,{_png(figure)}">'
        for heading, figure in _figures(done)
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{len(rows.y):,} rows, {rows.X.shape[1]} features; classes: {shares}.
{folds} folds, engine {done.engine}, early stopping by {done.metric.replace("_", " ")}.</p>
<h2>In words</h2><ul>{said}</ul>
<h2>Figures</h2>{_html_table(done)}
<p class="muted">Mean ± standard deviation over the folds; Δ is the paired difference to the
built-in objective with half of its 95% interval, corrected for overlapping training sets. Average
precision and ROC AUC: larger is better; log loss and Brier of the calibrated probabilities:
smaller. F1 is that of a threshold tuned on other rows.</p>
{pictures}
<h2>The model</h2><p>{html.escape(done.best)}, refitted on all rows.</p>
<pre>{html.escape(snippet)}</pre>
</body></html>
"""


def _html_table(done: Comparison) -> str:
    best = {
        figure: (min if figure in SMALLER_IS_BETTER else max)(
            done.finished,
            key=lambda name, f=figure: done.values(name, f).mean(),  # type: ignore[misc]
        )
        for figure in FIGURES
    }
    paired = BUILT_IN in done.finished
    head = "".join(f"<th>{HEADINGS[figure]}</th>" for figure in FIGURES)
    delta = f"<th>Δ {HEADINGS[done.metric]}</th>" if paired else ""
    lines = []
    for name in done.finished:
        cells = [f"<td>{html.escape(name)}</td>"]
        for figure in FIGURES:
            values = done.values(name, figure)
            spread = f" <small>±&nbsp;{values.std(ddof=1):.4f}</small>" if len(values) > 1 else ""
            mark = ' class="best"' if best[figure] == name else ""
            digits = 1 if figure == "seconds" else 4
            text = f"{values.mean():.{digits}f}" + (spread if figure != "seconds" else "")
            cells.append(f"<td{mark}>{text}</td>")
        if paired:
            difference, half = done.difference(name, done.metric)
            cells.append("<td></td>" if name == BUILT_IN
                         else f"<td>{difference:+.4f} ± {half:.4f}</td>")  # fmt: skip
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return f"<table><tr><th>loss</th>{head}{delta}</tr>{''.join(lines)}</table>"


def _figures(done: Comparison) -> list[tuple[str, Any]]:
    figure_class = require("matplotlib.figure", "report").Figure
    figures = []
    for heading, draw in (
        ("Precision and recall on the test rows", plot.precision_recall),
        ("Reliability of the probabilities", plot.reliability),
    ):
        figure = figure_class(figsize=(8, 5), layout="constrained")
        draw_on = figure.subplots()
        y, curves = _one_class(done)
        draw(y, curves, ax=draw_on)
        figures.append((heading, figure))
    figure = figure_class(figsize=(8, 1.2 + 0.5 * len(done.finished)), layout="constrained")
    _differences(done, figure.subplots())
    figures.append((f"Each fold's {HEADINGS[done.metric]}", figure))
    return figures


def _one_class(done: Comparison) -> tuple[Array, dict[str, Array]]:
    """Labels and probabilities of the rarest class; of two classes the second."""
    y, p = done.tested(done.best)
    k = int(np.bincount(y).argmin()) if p.ndim == 2 else 1
    curves = {name: done.tested(name)[1] for name in done.finished}
    curves = {name: p[:, k] if p.ndim == 2 else p for name, p in curves.items()}
    return (y == k).astype(int), curves


def _differences(done: Comparison, axes: Any) -> None:
    for i, name in enumerate(done.finished):
        values = done.values(name, done.metric)
        colour = plot.COLOURS[i % len(plot.COLOURS)]
        axes.plot(values, np.full(len(values), i), "o", color=colour, alpha=0.5)
        axes.plot(values.mean(), i, "|", color=colour, ms=22, mew=3)
    axes.set_yticks(range(len(done.finished)), done.finished)
    axes.invert_yaxis()
    axes.set_xlabel(HEADINGS[done.metric])
    axes.grid(axis="x", alpha=0.3)


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
