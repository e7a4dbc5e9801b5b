"""The quality benchmark runs, resumes, and its parts say what they should."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality import __main__ as quality
from benchmarks.quality import nested, sets
from benchmarks.quality.report import _against_baseline, _groups, _ranks

SMALL = ["--sets", "card_default", "--arms", "built-in", "focal", "GHM", "--trials", "1",
         "--max-rows", "900", "--jobs", "1", "--engines"]  # fmt: skip


def test_runs_resumes_and_reports(tmp_path, capsys):
    run = [*SMALL, "xgboost", "--seeds", "1", "--output", str(tmp_path)]
    quality.main([*run, "--no-flips"])
    first = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(first) == 3 * 2  # arms and the tuner's criteria
    quality.main([*SMALL, "xgboost", "lightgbm", "--seeds", "1", "--output", str(tmp_path)])
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert lines[:6] == first  # what was done is not done again
    assert len(lines) == 2 * 2 * 2 * 3
    rows = pd.DataFrame(map(json.loads, lines))
    assert rows["average_precision"].between(0, 1).all()
    assert rows["log_loss"].between(0, 0.7).all()
    assert (tmp_path / "ranks.png").stat().st_size > 5000
    assert "GHM" in (tmp_path / "report.md").read_text()
    assert pd.read_csv(tmp_path / "full.csv").shape[0] == 2 * 2 * 2 * 3


def test_three_classes_and_groups(tmp_path):
    rng = np.random.default_rng(0)
    n = 1200
    X = rng.normal(size=(n, 3))
    target = np.where(X[:, 0] > 1.6, "rare", np.where(X[:, 1] > 0.5, "some", "most"))
    frame = pd.DataFrame(X, columns=list("abc")).assign(
        text=rng.choice(["x", "y"], n), target=target
    )
    frame.to_parquet(tmp_path / "ann_thyroid.parquet")
    assert sets.available(tmp_path) == ["thyroid"]
    for arm in ("scale_pos_weight", "effective CE", "GHM"):
        cell = nested.Cell("thyroid", 0, "lightgbm", arm, flipped=False)
        figures = nested.evaluate(cell, tmp_path, 800, 1)
        assert [row["tuned_for"] for row in figures] == ["average_precision", "log_loss"]
        assert figures[0]["average_precision"] > 0.8
        assert figures[0]["f1_tuned"] > 0.8


def test_inner_and_outer_rows_never_share_a_group():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 100, 600)
    data = sets.Set("g", pd.DataFrame({"a": rng.normal(size=600)}), rng.integers(0, 2, 600), groups)
    train, test = next(nested._folds(data, 4, 0))
    assert not set(groups[train]) & set(groups[test])


def test_thinning_keeps_rare_classes_whole():
    y = np.repeat([0, 1, 2, 3], [50_000, 8_000, 300, 40])
    kept = np.bincount(y[sets._thinned(y, 10_000, np.random.default_rng(0))])
    assert kept[3] == 40
    assert kept[2] == 200
    assert kept.sum() == pytest.approx(10_000, abs=2)
    assert kept[0] / kept[1] == pytest.approx(50 / 8, rel=0.01)


@pytest.mark.parametrize("dtype", ["object", "category"])
def test_codes_are_by_falling_frequency(dtype):
    target = pd.Series(np.repeat(["a few", "many", "some"], [10, 100, 30]), dtype=dtype)
    frame = pd.DataFrame({"x": np.arange(140.0), "target": target})
    data = sets.prepare("letters", frame, sets.Source("letters", "target"), 1000, 0)
    assert np.bincount(data.y).tolist() == [100, 30, 10]


def test_flips_change_the_stated_share_only():
    data = sets.Set("f", pd.DataFrame({"a": np.zeros(1000)}), np.repeat([0, 1, 2], [900, 90, 10]),
                    None)  # fmt: skip
    assert (nested._with_flips(data, 3).y != data.y).sum() == 20


def test_ranks_and_groups():
    blocks = pd.DataFrame({"built-in": [0.5, 0.6, 0.7], "a": [0.6, 0.7, 0.8], "b": [0.4] * 3})
    assert _ranks(blocks, higher=True).to_dict() == {"built-in": 2.0, "a": 1.0, "b": 3.0}
    assert _groups(np.array([1.0, 1.5, 2.4]), 1.0) == [(1.0, 1.5), (1.5, 2.4)]
    assert set(_against_baseline(blocks)) == {"a", "b"}
