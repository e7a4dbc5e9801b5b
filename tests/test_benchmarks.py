"""The benchmark runs; its figures are not judged here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import endurance, scale
from benchmarks.__main__ import main


@pytest.mark.parametrize("section", ["small", "kernels", "rows", "memory", "training", "hist", "small_trees", "engines", "others"])
def test_section_runs(section, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])  # its subprocesses import it
    main(["--quick", "--only", section, "--output", str(tmp_path)])
    text = (tmp_path / f"{section}.md").read_text(encoding="utf-8")
    assert text.startswith("| ")
    assert "nan" not in text
    assert len(text.splitlines()) >= 3


def test_scale(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])  # its subprocesses import it
    tables = scale.by_rows([5_000]), scale.by_workers([2], 2_000, 2)
    for text in tables:
        assert text.startswith("| ")
        assert "nan" not in text
        assert "GHM" in text


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("engine", ["XGBoost", "LightGBM"])
@pytest.mark.parametrize("kind", endurance.KINDS)
def test_long_runs(kind, engine):
    for arm in ("built-in", "focal γ=2, recorder"):
        got = endurance.KINDS[kind](engine, arm, 30)
        assert all(value > 0 for value in got.values())
        assert got.keys() == {"start", "middle", "end", "first", "last"}
