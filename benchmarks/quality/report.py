"""Write tables, ranks with their significance, and the critical-difference plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

from benchmarks.interleaved import table
from benchmarks.quality.arms import BASELINE, CLEAN_AND_FLIPPED

HIGHER = ("average_precision", "roc_auc", "f1_default", "f1_tuned",
          "balanced_accuracy_default", "balanced_accuracy_tuned")  # fmt: skip
LOWER = ("log_loss", "brier")
OTHER = ("trees", "seconds", "tuning_seconds")
SIGNIFICANT = 0.05


def write(results: Path, output: Path) -> None:
    """Write all reports on the results to a directory."""
    rows = pd.read_json(results, lines=True)
    rows["flipped"] = rows["flipped"].astype(bool)
    full(rows).to_csv(output / "full.csv", float_format="%.6g")
    text = summary(rows)
    (output / "report.md").write_text(text, encoding="utf-8")
    clean = rows[~rows["flipped"] & (rows["tuned_for"] == "average_precision")]
    blocks = _blocks(clean, "average_precision")
    if len(blocks) > 1:
        picture(blocks, output / "ranks.png")
    print(text)


def full(rows: Any) -> Any:
    """Return the mean and standard deviation over seeds of every metric."""
    keys = ["tuned_for", "flipped", "set", "engine", "arm"]
    grouped = rows.groupby(keys)[[*HIGHER, *LOWER, *OTHER]].agg(["mean", "std"])
    grouped.columns = ["_".join(names) for names in grouped.columns]
    grouped["seeds"] = rows.groupby(keys)["seed"].nunique()
    return grouped


def summary(rows: Any) -> str:
    """Return the short report as Markdown."""
    by_ap = rows[rows["tuned_for"] == "average_precision"]
    by_log_loss = rows[rows["tuned_for"] == "log_loss"]
    clean, flipped = by_ap[~by_ap["flipped"]], by_ap[by_ap["flipped"]]
    parts = [
        "### Ranks\n", ranks(clean, by_log_loss[~by_log_loss["flipped"]]),
        "### Average precision, each set\n", per_set(clean, "average_precision", digits=4),
        "### Log loss of predict_proba, tuned for log loss, against the built-in's\n",
        relative(by_log_loss[~by_log_loss["flipped"]], "log_loss"),
        "### GHM against its bar\n", bar(clean, flipped),
        "### In words\n", in_words(clean, flipped),
    ]  # fmt: skip
    return "\n".join(parts)


def _blocks(rows: Any, figure: str) -> Any:
    """Return means over seeds: one row for each set and engine, one column for each method."""
    return rows.pivot_table(index=["set", "engine"], columns="arm", values=figure).dropna()


def _ranks(blocks: Any, higher: bool) -> Any:
    ranked = rankdata(-blocks if higher else blocks, axis=1)
    return pd.Series(ranked.mean(axis=0), index=blocks.columns)


def ranks(by_ap: Any, by_log_loss: Any) -> str:
    """Return the mean rank of each method by each metric (1 is best), with tests."""
    columns, notes = {}, []
    for figure in (*HIGHER, *LOWER):
        blocks = _blocks(by_log_loss if figure in LOWER else by_ap, figure)
        if len(blocks) < 2 or len(blocks.columns) < 3:
            return "too few results\n"
        columns[figure.replace("_", " ")] = _ranks(blocks, figure in HIGHER)
        if figure in ("average_precision", "log_loss"):
            p = friedmanchisquare(*blocks.to_numpy().T).pvalue
            against = "; ".join(
                f"{arm} p = {value:.2g}" for arm, value in _against_baseline(blocks).items()
            )
            notes.append(
                f"{figure.replace('_', ' ')}: Friedman p = {p:.2g} over {len(blocks)} pairs of set "
                f"and engine; Wilcoxon against the built-in, Holm-corrected: {against}."
            )
    frame = pd.DataFrame(columns)
    lines = [[arm, *[f"{v:.2f}" for v in row]] for arm, row in frame.iterrows()]
    return table(["mean rank", *frame.columns], lines) + "\n" + "\n\n".join(notes) + "\n"


def _against_baseline(blocks: Any) -> dict[str, float]:
    arms = [arm for arm in blocks.columns if arm != BASELINE]
    raw = {arm: float(wilcoxon(blocks[arm], blocks[BASELINE]).pvalue) for arm in arms}
    corrected, largest = {}, 0.0
    for i, arm in enumerate(sorted(arms, key=lambda a: raw[a])):
        largest = max(largest, min(1.0, raw[arm] * (len(arms) - i)))
        corrected[arm] = largest
    return corrected


def per_set(rows: Any, figure: str, digits: int) -> str:
    """Return a table of means ± standard errors over seeds."""
    grouped = rows.groupby(["set", "engine", "arm"])[figure].agg(["mean", "sem"]).reset_index()
    arms = list(dict.fromkeys(rows["arm"]))
    lines = []
    for (name, engine), part in grouped.groupby(["set", "engine"]):
        part = part.set_index("arm").reindex(arms)
        best = part["mean"].idxmax()
        cells = [
            f"{'**' if arm == best else ''}{m:.{digits}f} ± {s:.{digits}f}"
            f"{'**' if arm == best else ''}"
            for arm, m, s in zip(arms, part["mean"], part["sem"], strict=True)
        ]
        lines.append([name, engine, *cells])
    return table(["set", "engine", *arms], lines)


def relative(rows: Any, figure: str) -> str:
    """Return the change of each method's mean metric from the built-in's, in percent."""
    blocks = _blocks(rows, figure)
    change = blocks.div(blocks[BASELINE], axis=0).sub(1.0).mul(100)
    arms = [arm for arm in dict.fromkeys(rows["arm"]) if arm != BASELINE]
    lines = [
        [name, engine, f"{blocks.loc[(name, engine), BASELINE]:.4f}",
         *[f"{change.loc[(name, engine), arm]:+.1f}%" for arm in arms]]
        for name, engine in blocks.index
    ]  # fmt: skip
    return table(["set", "engine", BASELINE, *arms], lines)


def bar(clean: Any, flipped: Any) -> str:
    """Compare GHM with the built-in loss and, on flipped labels, with focal loss."""
    lines = []
    for name, engine in _blocks(clean, "average_precision").index:
        cells = [name, engine]
        for rows in (clean, flipped):
            for other in (BASELINE, "focal"):
                cells.append(_difference(rows, name, engine, other))
        lines.append(cells)
    header = ["set", "engine", *[f"GHM - {other}{' (2% flipped)' if f else ''}"
              for f in (False, True) for other in (BASELINE, "focal")]]  # fmt: skip
    return table(header, lines)


def _difference(rows: Any, name: str, engine: str, other: str) -> str:
    part = rows[(rows["set"] == name) & (rows["engine"] == engine)]
    by_seed = part.pivot_table(index="seed", columns="arm", values="average_precision")
    if not {"GHM", other} <= set(by_seed.columns):
        return ""
    difference = (by_seed["GHM"] - by_seed[other]).dropna()
    return f"{difference.mean():+.4f} ± {difference.sem():.4f}"


def in_words(clean: Any, flipped: Any) -> str:
    """Return sentences that compare each method with the built-in loss."""
    lines = []
    for title, rows in (("", clean), (" with 2% of the training labels flipped", flipped)):
        if rows.empty:
            continue
        blocks = _blocks(rows, "average_precision")
        if len(blocks) < 2:
            continue
        p = _against_baseline(blocks)
        arms = [a for a in dict.fromkeys(rows["arm"]) if a in p]
        for arm in arms if not title else [a for a in CLEAN_AND_FLIPPED if a in p]:
            gain = blocks[arm] - blocks[BASELINE]
            better = int((gain > 0).sum())
            sure = "a difference that is significant" if p[arm] < SIGNIFICANT else "no sure effect"
            lines.append(
                f"- {arm}{title}: average precision {gain.mean():+.4f} on average, better on "
                f"{better} of {len(gain)}; {sure} (p = {p[arm]:.2g})."
            )
    return "\n".join(lines) + "\n"


def picture(blocks: Any, path: Path) -> None:
    """Plot mean ranks on a line, with bars over methods that Nemenyi's test does not separate."""
    from matplotlib.figure import Figure

    mean = _ranks(blocks, higher=True).sort_values()
    count = len(mean)
    q = studentized_range.ppf(1 - SIGNIFICANT, count, np.inf) / np.sqrt(2)
    difference = float(q * np.sqrt(count * (count + 1) / (6 * len(blocks))))
    figure = Figure(figsize=(7, 2.2 + 0.12 * count), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0.8, count + 0.2), ylim=(-1.2 - count, 2.4), yticks=[])
    axes.xaxis.tick_top()
    axes.set_title(f"mean rank of average precision over {len(blocks)} pairs of set and engine")
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    for i, (arm, rank) in enumerate(mean.items()):
        left = i < (count + 1) // 2
        height = -1.2 - (i if left else count - 1 - i) * 1.6
        end = 0.85 if left else count + 0.15
        axes.plot([rank, rank, end], [2.4, height, height], color="0.2", lw=1, clip_on=False)
        axes.text(end, height + 0.12, f"{arm}  {rank:.2f}", va="bottom",
                  ha="left" if left else "right")  # fmt: skip
    axes.plot([1, 1 + difference], [1.7, 1.7], color="#0072B2", lw=2)
    axes.text(1 + difference + 0.05, 1.7, f"critical difference {difference:.2f}", va="center",
              color="#0072B2", bbox={"fc": "white", "ec": "none", "pad": 1}, zorder=3)  # fmt: skip
    for k, (low, high) in enumerate(_groups(mean.to_numpy(), difference)):
        axes.plot([low - 0.03, high + 0.03], [0.7 - 0.5 * k] * 2, color="#D55E00", lw=4)
    figure.savefig(path, dpi=150)


def _groups(ranks: Any, difference: float) -> list[tuple[float, float]]:
    """Return the largest runs of ranks within the critical difference."""
    found: list[tuple[float, float]] = []
    for low in ranks:
        high = float(ranks[ranks <= low + difference].max())
        if high > low and not any(a <= low and high <= b for a, b in found):
            found.append((float(low), high))
    return found
