"""The rooms of the package: imports run downwards, and nothing private crosses a folder's border."""

import ast
import functools
from pathlib import Path

import pytest

import boostloss

PACKAGE = Path(boostloss.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ENGINES_AND_TOOLS = {
    "xgboost", "lightgbm", "dask", "distributed", "pandas", "matplotlib", "tqdm", "pyarrow",
    "polars", "shap", "skops", "onnx",
}  # fmt: skip
BELOW = {
    "kernels": ("kernels",),
    "losses": ("losses", "kernels"),
    "xgboost": ("lightgbm", "hist", "report"),
    "lightgbm": ("xgboost", "hist", "report"),
    "hist": ("xgboost", "lightgbm", "report"),
}
"""What a room may import from (kernels, losses), and what it may not (the engines)."""


def room(path):
    """The folder that a file or a dotted name belongs to; "" is the package itself."""
    parts = path.relative_to(PACKAGE).parts if isinstance(path, Path) else path.split(".")[1:]
    folders = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir()}
    return parts[0] if parts and parts[0] in folders else ""


@functools.cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Each import from the package: (module, name or None)."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("boostloss"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, None) for a in node.names if a.name.startswith("boostloss"))


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_import_across_a_border(path):
    for module, name in imports(path):
        names = [*module.split("."), *([name] if name else [])]
        if any(map(is_private, names)):
            assert room(module) == room(path) != "", f"{path.name} imports {'.'.join(names)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_member_of_another_file(path):
    """``thing._member``, unless the file itself, or one of its room, defines such a member."""
    tree = parsed(path)
    own = room(path)
    files = [path] if own == "" else [other for other in FILES if room(other) == own]
    defined = set().union(*map(defined_in, files))
    package_members = private_members_of_the_package()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                continue  # of a base class: protected, as Python writes it
            crosses = node.attr in package_members and node.attr not in defined
            assert not crosses, f"{path.name}:{node.lineno} uses {node.attr} of another room"


@functools.cache
def defined_in(path):
    """Names that a file defines: functions, classes, attributes and variables."""
    defined = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            defined.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
    return defined


@functools.cache
def private_members_of_the_package():
    """Names of private functions and methods defined anywhere in the package."""
    return {
        node.name
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and is_private(node.name)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    own = room(path)
    for module, _ in imports(path):
        other = room(module)
        if own in ("kernels", "losses"):
            assert other in BELOW[own], f"{path.name} imports {module}"
        elif own in BELOW:
            assert other not in BELOW[own], f"{path.name} imports {module}"


def test_losses_and_kernels_know_no_engine():
    for path in FILES:
        if room(path) not in ("kernels", "losses"):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [getattr(node, "module", None) or alias.name for alias in node.names]
                roots = {module.partition(".")[0] for module in modules}
                assert not roots & ENGINES_AND_TOOLS, f"{path.name} imports {roots}"


def test_the_house_stays_small():
    assert len(FILES) <= 90
