"""Every Python block of README.md and of the pages in docs/ runs, in order, page by page."""

import ast
import importlib.util
import logging
import re
import sys
import types
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONAL = ("dask", "onnx", "onnxruntime", "optuna", "skops")
"""What boostloss does without: a page that needs one of these is skipped where it is missing."""

FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page):
    """Code of each block, moved down to its line on the page so that errors point there."""
    text = page.read_text(encoding="utf-8")
    return ["\n" * text[: m.start(1)].count("\n") + m[1] for m in FENCE.finditer(text)]


def missing(code):
    """Optional packages that a block imports and that are not installed."""
    roots = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").partition(".")[0])
    return [name for name in OPTIONAL if name in roots and not importlib.util.find_spec(name)]


def run(page, namespace):
    for code in blocks(page):
        if absent := missing(code):
            pytest.skip(f"{page.name}: {', '.join(absent)} is not installed")
        exec(compile(code, str(page), "exec"), namespace)


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    """A folder of its own, no windows, no figures left, LightGBM silent and on one core."""
    import lightgbm as lgb
    from lightgbm import basic
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    # LightGBM's classifiers take every core, and are slow where others compute beside them
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    matplotlib.use("Agg")
    before = basic._LOGGER, basic._INFO_METHOD_NAME, basic._WARNING_METHOD_NAME
    logger = logging.getLogger("lightgbm in the docs")
    logger.setLevel(logging.CRITICAL)
    lgb.register_logger(logger)
    yield
    lgb.register_logger(before[0], *before[1:])
    pyplot.close("all")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page, monkeypatch):
    # a module, as a notebook is one: classes that a page defines can be pickled
    module = types.ModuleType("docs")
    monkeypatch.setitem(sys.modules, "docs", module)
    namespace = vars(module)
    try:
        run(page, namespace)
    finally:
        for name in ("client", "cluster"):  # Dask's processes, where a block failed
            if name in namespace:
                namespace[name].close()


def test_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert blocks(ROOT / "README.md")
    assert len(text.splitlines()) <= 110
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), link


def test_no_table_stands_twice():
    seen = {}
    for page in [*PAGES, ROOT / "benchmarks" / "README.md", ROOT / "benchmarks/quality/README.md"]:
        for table in re.findall(r"(?:^\|.*\n){3,}", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert seen.setdefault(table, page) == page
