"""What the reference lists is documented as numpydoc wants it: parameters, returns, raises, see also."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

validate = pytest.importorskip("numpydoc.validate", reason="needs the group 'docs'").validate
for _package in ("distributed", "lightgbm", "onnx", "xgboost"):
    pytest.importorskip(_package)

REFERENCE = Path(__file__).parents[1] / "docs" / "reference.md"

NOT_ASKED = {
    "ES01",  # an extended summary: where one is needed
    "EX01",  # an example for each: the classes and functions that a user starts with have one
    "GL01",  # summaries stand on the line of the quotes, as ruff's rules want
    "SS05",  # "infinitive verb": it takes "Cross-entropy" for a conjugated one
}
OF_ONE = {"boostloss.recorder.Run": {"PR01"}}  # a recorder makes them
NOT_ASKED_OF_METHODS = {"SA01"}  # "see also": their class has it


def listed():
    """Full names of what the reference's autosummaries list."""
    module = ""
    for line in REFERENCE.read_text().splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.match(r" {3}([A-Za-z_.]+)$", line):
            yield f"{module}.{match[1]}"


def found(name):
    """The object of a dotted name."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def methods(kind):
    """Public methods and properties that a class introduces: what it overrides is known from above."""
    inherited = {name for base in kind.__mro__[1:] for name in vars(base)}
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if name.startswith("_") or not inspect.isfunction(function) or name in inherited:
            continue
        if not (function.__doc__ or "").startswith("Deprecated:"):
            yield name


def errors(name, not_asked):
    return [
        f"{name}: {code} {text}" for code, text in validate(name)["errors"] if code not in not_asked
    ]


@pytest.mark.parametrize("name", sorted(set(listed())))
def test_documented_as_numpydoc_wants(name, monkeypatch):
    public = found(name)
    # a classifier's stated signature lists its engine's parameters, which the engine documents:
    # asked for is what the constructor itself has
    if inspect.isclass(public) and hasattr(public.__init__, "__signature__"):
        monkeypatch.delattr(public.__init__, "__signature__")
    wrong = errors(name, NOT_ASKED | OF_ONE.get(name, set()))
    if inspect.isclass(public):
        full = f"{public.__module__}.{public.__qualname__}"
        for method in methods(public):
            wrong += errors(f"{full}.{method}", NOT_ASKED | NOT_ASKED_OF_METHODS)
    assert not wrong, "\n".join(wrong)


def test_the_reference_lists_something():
    assert len(set(listed())) > 30
