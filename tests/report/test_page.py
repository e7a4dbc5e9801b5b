"""The report as it can be filed: what it says of its making, and that its tables agree with the data."""

import hashlib
import html
import re

import numpy as np
import pandas as pd
import pytest

from boostloss.__main__ import main
from boostloss.report import judged, page
from boostloss.report.compare import cross_validate
from boostloss.report.table import from_data
from boostloss.report.training import Settings


def tables(text):
    """Rows of cells of each table, by its heading."""
    found = {}
    for heading, body in re.findall(
        r"<h2>([^<]*)</h2>(?:<p[^>]*>[^<]*</p>)?<table[^>]*>(.*?)</table>", text, re.DOTALL
    ):
        rows = re.findall(r"<tr>(.*?)</tr>", body)
        found[html.unescape(heading)] = [
            [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in rows
        ]
    return found


def report(frame, tmp_path, *options):
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    arguments = ["compare", str(path), "--target", "target", "--folds", "2", "--rounds", "10",
                 "--losses", "balanced", "--output", str(tmp_path / "out"), *options]  # fmt: skip
    assert main(arguments) == 0
    return path, (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm", "hist"])
def test_what_a_committee_asks_for(engine, claims, tmp_path):
    named = claims.rename(columns={"a": "a [€] <b>"}).drop(columns="day")
    path, text = report(named, tmp_path, "--engine", engine, "--groups", "patient", "--seed", "3")
    assert "<b>" not in text
    found = tables(text)
    made = dict(found["How this was made"])
    assert made["SHA-256 of the file"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", made["date"])
    assert engine.replace("hist", "scikit-learn") + " " in made["versions"]
    assert "boostloss " in made["versions"]
    assert made["command"].startswith("boostloss compare ")
    assert "--groups patient" in made["command"]
    assert made["seed"] == "3"
    assert "when log loss has not improved for 50 rounds" in made["training"]
    assert "Rows of one group of patient" in made["order of the rows"]
    assert "cross-entropy without class weights" in made["built-in"]
    assert made["loss balanced"] == "CrossEntropy(class_weight='balanced')"
    columns = {row[0]: row[1:] for row in found["Columns, and how each was read"][1:]}
    assert columns["kind"] == ["categories", "2: x, y"]
    assert columns["patient"] == ["not a feature", "--groups"]
    assert "called " in columns["a [€] <b>"][1]
    folds = found["Classes in each fold"]
    assert folds[0][-2:] == ["fine", "fraud"]
    assert sum(int(row[2]) for row in folds[1:] if row[1] == "tested on") == 900
    positives = (claims["target"] == "fraud").sum()
    assert sum(int(row[-1].split()[0]) for row in folds[1:] if row[1] == "tested on") == positives
    matrix = found["Confusion matrix at the decision that F1 chooses"]
    assert [row[0] for row in matrix] == ["true class", "fine", "fraud"]
    assert sum(int(cell) for cell in matrix[2][1:3]) == positives
    assert sum(int(cell) for row in matrix[1:] for cell in row[1:3]) == 900
    features = found["Features"][1:]
    assert len(features) == 7
    assert "a [€] <b>" in [row[0] for row in features]
    if engine != "hist":
        assert sum(float(row[2].strip("%")) for row in features) == pytest.approx(100, abs=0.5)
    assert "@media print" in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_calibration_and_alerts_are_counted_right():
    rng = np.random.default_rng(0)
    p = rng.random(5000) ** 3
    y = (rng.random(5000) < p).astype(int)
    calibrated = judged.calibration(y, p, "fraud").rows
    assert sum(int(row[1].replace(",", "")) for row in calibrated) == 5000
    assert sum(int(row[2].replace(",", "")) for row in calibrated) == y.sum()
    inside = 0
    for mean, n, positives, share, interval in calibrated:
        low, high = map(float, interval.split(" to "))
        n, positives = (int(text.replace(",", "")) for text in (n, positives))
        assert float(share) == pytest.approx(positives / n, abs=5e-5)
        assert low <= float(share) <= high
        inside += low <= float(mean) <= high
    assert inside >= len(calibrated) - 2  # intervals of 95%
    for threshold, alerts, found, precision, recall in judged.alerts(y, p, "fraud").rows:
        n, hits = int(alerts.split()[0].replace(",", "")), int(found.replace(",", ""))
        chosen = np.argsort(-p)[:n]
        assert hits == y[chosen].sum()
        assert float(threshold) == pytest.approx(p[chosen[-1]], abs=5e-5)
        assert float(precision.strip("%")) == pytest.approx(100 * hits / n, abs=0.06)
        assert float(recall.strip("%")) == pytest.approx(100 * hits / y.sum(), abs=0.06)


def test_bold_only_where_the_difference_is_significant_and_one_average_precision(claims, tmp_path):
    _, text = report(claims.drop(columns=["patient", "day"]), tmp_path)
    results = re.search(r"<h2>Results</h2>(<table>.*?</table>)", text, re.DOTALL).group(1)
    table = pd.read_csv(tmp_path / "out" / "table.csv", index_col="loss")
    bold = ["log_loss", "average_precision", "roc_auc", "brier", "f1", "seconds"]
    better = sum(
        table.loc["balanced", f"{name}_difference"]
        * (-1 if name in ("log_loss", "brier", "seconds") else 1)
        > table.loc["balanced", f"{name}_interval"]
        for name in bold
    )
    assert results.count('class="best"') == better


def test_three_classes(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = np.digitize(X[:, 0] + rng.normal(size=600), [0.5, 1.5])
    frame = pd.DataFrame(X, columns=list("abc")).assign(target=np.array(["u", "v", "w"])[y])
    _, text = report(frame, tmp_path, "--time-order", "c")
    found = tables(text)
    assert "in order of time by c" in dict(found["How this was made"])["order of the rows"]
    assert len(found["Confusion matrix at the decision that F1 chooses"]) == 4
    assert len(found["Features"]) == 3


def test_the_plots_name_the_average_precision_of_the_table(claims):
    settings = Settings("xgboost", "log_loss", 10, 0.1, {}, 0)
    data = from_data(claims[list("abc")], claims["target"])
    found = cross_validate(data, settings, losses=["focal"], folds=2, progress=False)
    (figure,) = [
        figure for heading, figure in page._plots(found) if heading.startswith("Precision")
    ]
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    means = found.frame()["average_precision"]
    assert shown[:-1] == [f"{name} ({means[name]:.4f})" for name in means.index]
    assert shown[-1].startswith("share of positives")


@pytest.mark.parametrize("engine", ["xgboost", "hist"])
def test_costs_over_the_threshold_and_at_their_decision(engine, claims, tmp_path, capsys):
    frame = claims.drop(columns=["patient", "day"])
    _, text = report(frame, tmp_path, "--costs", "1:50", "--engine", engine)
    assert "<h2>Cost over the threshold</h2><img" in text
    found = tables(text)
    made = dict(found["How this was made"])
    assert made["costs"] == "fine decided fraud 1, fraud decided fine 50"
    assert "--costs 1:50" in made["command"]
    (_, (_, _, alarms, _), (_, missed, hits, _)) = found["Confusion matrix at the costs"]
    assert int(missed) + int(hits) == (frame["target"] == "fraud").sum()
    cost = (int(alarms) + 50 * int(missed)) / len(frame)
    (said,) = re.findall(r"They cost ([\d.e-]+) per row", text)
    assert float(said) == pytest.approx(cost, rel=1e-3)
    assert "cost" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "table.csv", index_col="loss")
    # folds are of equal size, so that the mean over them is that of all rows
    best = re.search(r"<p>([^<]*), refitted on all rows", text)[1]
    assert table.loc[best, "cost"] == pytest.approx(cost, rel=1e-3)
    assert "<th>cost per row</th>" in text


def test_without_costs_nothing_is_said_of_them(claims, tmp_path):
    _, text = report(claims.drop(columns=["patient", "day"]), tmp_path)
    assert "Cost over" not in text
    assert "cost per row" not in text
    assert "cost" not in pd.read_csv(tmp_path / "out" / "table.csv").columns
