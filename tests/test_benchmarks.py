"""The benchmark runs; its figures are not judged here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.__main__ import main


@pytest.mark.parametrize("section", ["kernels", "rows", "memory", "training", "others"])
def test_section_runs(section, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])  # its subprocesses import it
    main(["--quick", "--only", section, "--output", str(tmp_path)])
    text = (tmp_path / f"{section}.md").read_text(encoding="utf-8")
    assert text.startswith("| ")
    assert "nan" not in text
    assert len(text.splitlines()) >= 3
