"""The benchmark of decisions runs, resumes and says what each decision costs."""

import json

import numpy as np

from benchmarks.quality import decisions


def test_decisions(tmp_path):
    run = ["--sets", "card_default", "--engines", "xgboost", "--max-rows", "4000", "--output",
           str(tmp_path), "--seeds"]  # fmt: skip
    decisions.main([*run, "1"])
    first = (tmp_path / "decisions.jsonl").read_text()
    decisions.main([*run, "1"])
    assert (tmp_path / "decisions.jsonl").read_text() == first  # what was done is not done again
    found = {row["decision"]: row for row in map(json.loads, first.splitlines())}
    assert len(found) == 9
    own = found["cross-entropy, loss"]
    assert found["cross-entropy, balanced"]["balanced_accuracy"] > own["balanced_accuracy"] + 0.1
    assert found["cross-entropy, costs 1:50"]["cost_50"] < 0.7 * own["cost_50"]
    table = (tmp_path / "decisions.md").read_text()
    rows = json.loads(first.splitlines()[0])["rows"]
    assert f"1 sets, thinned to {rows:,} rows at most, 1 engines, 1 seeds" in table
    assert "| cross-entropy, loss | " in table
    assert " | 1.000 | 1.000 |" in table


def test_costs():
    np.testing.assert_array_equal(decisions.costs_of(10, 3), [[0, 1, 1], [10, 0, 1], [10, 1, 0]])
