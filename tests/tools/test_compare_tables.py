import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "compare_tables.py"
BEFORE = """\
## Kernels

| scores | threads | x np.exp |
| --- | --- | --- |
| focal | 1 | 2.0 |
| ghm | 1 | 5.00 |
| ghm | 2 | 3.0 |
"""


def compare(before, after, *options):
    done = subprocess.run(
        [sys.executable, TOOL, before, after, *options], text=True, capture_output=True, check=True
    )
    return done.stdout


@pytest.fixture
def files(tmp_path):
    before, after = tmp_path / "before.md", tmp_path / "after.md"
    before.write_text(BEFORE)
    after.write_text(BEFORE.replace("5.00", "7.5").replace("2.0", "2.1"))
    return before, after


def test_names_the_row_that_changed(files):
    printed = compare(*files)
    assert "| Kernels, ghm, 1, x np.exp | 5 | 7.5 | +50% |" in printed
    assert "focal" not in printed
    assert "ghm, 2" not in printed


def test_least_change(files):
    assert "focal, 1, x np.exp | 2 | 2.1 | +5%" in compare(*files, "--least", "0.04")


def test_nothing_changed(files):
    assert "No number changed" in compare(files[0], files[0])


def test_first_run_has_nothing_to_compare_with(files, tmp_path):
    assert "No number changed" in compare(tmp_path / "absent.md", files[1])
