"""Write a comparison to files: an HTML report, a table, the best model and code to use it."""

from __future__ import annotations

import base64
import html
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from boostloss import plot
from boostloss.losses.validation import Array
from boostloss.optional import require
from boostloss.report import importance, judged, record
from boostloss.report.model import SUFFIXES, usage, write_model
from boostloss.report.scores import BUILT_IN, TITLES, Comparison

FILES = (
    "report.html",
    "table.csv",
    *(f"model.{suffix}" for suffix in SUFFIXES.values()),
    "model_loss.json",
    "use_model.py",
)
"""All files that may be written. There is one model file, whose name depends on the engine."""

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
.wide th, .wide td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.note { max-width: 48rem; }
@media print { body { font-size: 11px; margin: 0; max-width: none; } table { display: table; }
  th, td { font-size: .75rem; padding: .15rem .3rem; } pre { white-space: pre-wrap; }
  h2 { break-after: avoid; } img, tr { break-inside: avoid; } thead { display: table-header-group; }
}
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
        script, booster = write_model(comparison, unfinished)
        (unfinished / "use_model.py").write_text(script, encoding="utf-8")
        page = _page(comparison, title, booster)
        (unfinished / "report.html").write_text(page, encoding="utf-8")
        for other in SUFFIXES.values():  # remove the model of an earlier run on another engine
            (output / f"model.{other}").unlink(missing_ok=True)
        for path in unfinished.iterdir():
            os.replace(path, output / path.name)


def _page(comparison: Comparison, title: str, booster: Any) -> str:
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
<p class="muted">Mean ± standard deviation over the folds, bold where a loss is significantly better
than the built-in one. Δ is the paired difference to the built-in objective, with half the width of
its 95% interval, corrected for overlapping training sets. Average precision and ROC AUC are better
when larger, log loss, Brier score and cost when smaller. F1 has a threshold tuned on other
rows.{_on_costs(comparison)}</p>
{plots}
{"".join(map(_section, judged.sections(comparison, *_best(comparison))))}
{_section(importance.section(comparison, booster))}
{"".join(map(_section, record.sections(comparison)))}
<h2>The model</h2><p>{html.escape(comparison.best)}, refitted on all rows.</p>
<pre>{html.escape(usage(comparison))}</pre>
</body></html>
"""


def _on_costs(comparison: Comparison) -> str:
    if comparison.costs is None:
        return ""
    return " The cost per row is that of decisions with the lowest expected cost."


def _best(comparison: Comparison) -> tuple[Array, Array, str]:
    """Return labels and probabilities of the best loss, and the class they refer to."""
    y, curves = _rarest_class(comparison)
    codes, p = comparison.predictions(comparison.best)
    code = int(np.bincount(codes).argmin()) if p.ndim == 2 else 1
    return y, curves[comparison.best], str(comparison.labels_as_judged[code])


def _section(section: record.Section) -> str:
    """Return a table as HTML. Text is escaped here."""

    def cells(values: tuple[str, ...], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(value)}</{tag}>" for value in values)

    head = f"<thead><tr>{cells(section.columns, 'th')}</tr></thead>" if any(section.columns) else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in section.rows)
    note = f'<p class="muted note">{html.escape(section.note)}</p>' if section.note else ""
    wide = "" if any(section.columns[1:2]) and section.columns[0] != "column" else ' class="wide"'
    heading = html.escape(section.heading)
    return f"<h2>{heading}</h2>{note}<table{wide}>{head}<tbody>{body}</tbody></table>"


def _html_table(comparison: Comparison) -> str:
    metric, finished = comparison.settings.metric, comparison.finished
    titles = [*comparison.titles.values(), f"Δ {TITLES[metric]}"]
    head = "".join(f"<th>{title}</th>" for title in ["loss", *titles])
    best = {name: comparison.clearly_best(name) for name in comparison.titles}
    lines = []
    for name in finished:
        cells = [f"<td>{html.escape(name)}</td>"]
        for column in comparison.titles:
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
    """Return headings and figures."""
    make_figure = require("matplotlib.figure", "report").Figure
    plots = []
    y, curves = _rarest_class(comparison)
    for heading, draw in (
        ("Precision and recall on the test rows", plot.precision_recall),
        ("Reliability of the probabilities", plot.reliability),
    ):
        figure = make_figure(figsize=(8, 5), layout="constrained")
        axes = draw(y, curves, ax=figure.subplots())
        if draw is plot.precision_recall:
            _name_average_precision(comparison, axes)
        plots.append((heading, figure))
    figure = make_figure(figsize=(8, 5), layout="constrained")
    plot.alerts_over_threshold(y, curves[comparison.best], ax=figure.subplots())
    plots.append((f"Alerts over the threshold, {comparison.best}", figure))
    if comparison.costs is not None and len(comparison.labels) == 2:
        figure = make_figure(figsize=(8, 5), layout="constrained")
        plot.cost_over_threshold(y, curves, comparison.costs, ax=figure.subplots())
        plots.append(("Cost over the threshold", figure))
    height = 1.2 + 0.5 * len(comparison.finished)
    figure = make_figure(figsize=(8, height), layout="constrained")
    _plot_folds(comparison, figure.subplots())
    return [*plots, (f"Each fold's {TITLES[comparison.settings.metric]}", figure)]


def _name_average_precision(comparison: Comparison, axes: Any) -> None:
    """Show the table's average precision, the mean over the folds, in the legend."""
    names = list(comparison.finished)
    if len(comparison.labels) == 2:
        values = [comparison.values(name, "average_precision").mean() for name in names]
        names = [f"{name} ({value:.4f})" for name, value in zip(names, values, strict=True)]
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, [*names, *labels[len(names) :]], title="average precision, mean of folds")


def _rarest_class(comparison: Comparison) -> tuple[Array, dict[str, Array]]:
    """Return labels and probabilities of the rarest class, or of the positive one of two."""
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
