import doctest
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import boostloss
from boostloss.optional import OLDEST

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('xgboost', 'lightgbm', 'matplotlib', 'pandas', 'tqdm'):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import boostloss
boostloss.FocalLoss().value([0, 1], [0.0, 1.0])
for name in ("%s", "%s"):
    try:
        eval(name, {"boostloss": boostloss, "__import__": __import__})
    except ImportError as error:
        assert "boostloss[%s]" in str(error), error
    else:
        raise SystemExit("imported")
"""


@pytest.mark.parametrize(("engine", "short"), [("xgboost", "XGB"), ("lightgbm", "LGBM")])
def test_missing_engine_is_named(engine, short):
    uses = f"__import__('boostloss.{engine}')", f"boostloss.Imbalanced{short}Classifier", engine
    subprocess.run([sys.executable, "-c", BLOCK % uses], check=True)


ALONE = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in %r:
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import boostloss
from sklearn.datasets import make_classification
X, y = make_classification(500, weights=[0.9], random_state=0)
for loss in ("cross_entropy", "balanced", "focal", "ghm"):
    model = boostloss.ImbalancedHistGradientBoostingClassifier(loss=loss, max_iter=5)
    assert model.fit(X, y).predict_proba(X).shape == (500, 2)
"""


def test_works_with_nothing_but_its_own_dependencies():
    """On scikit-learn's trees; threadpoolctl is one of scikit-learn's own dependencies."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    optional = {re.match(r"[\w-]+", name)[0] for names in extras.values() for name in names}
    blocked = sorted(optional - {"boostloss"})
    assert {"xgboost", "lightgbm", "pandas"} <= set(blocked)
    subprocess.run([sys.executable, "-c", ALONE % blocked], check=True)


@pytest.mark.parametrize(
    "module",
    [
        "calibration",
        "decide",
        "losses.cross_entropy",
        "losses.focal",
        "losses.ghm",
        "objectives",
        "metrics",
        "recorder",
        "plot.losses",
        "report.compare",
        "hist",
        "hist.classifier",
        "xgboost",
        "xgboost.classifier",
        "xgboost.model",
        "lightgbm.classifier",
        "lightgbm.prediction",
        "onnx",
    ],
)
def test_docstring_examples(module):
    if module == "onnx":
        pytest.importorskip("onnx")
    result = doctest.testmod(importlib.import_module(f"boostloss.{module}"))
    assert result.failed == 0


def test_version():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == boostloss.__version__


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_oldest_engines_are_those_of_the_extras(engine):
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    bound = f"{engine}>={OLDEST[engine]}"
    assert pyproject["project"]["optional-dependencies"][engine] == [bound]
    group = [one.replace("xgboost-cpu", "xgboost") for one in pyproject["dependency-groups"]["engines"]]
    assert bound in group


@pytest.mark.parametrize(("engine", "version"), [("xgboost", "2.1.4"), ("xgboost", "3.1.0rc1"), ("lightgbm", "4.5.0")])
def test_engine_that_is_too_old_is_named(engine, version):
    code = (
        f"import {engine} as e; e.__version__ = {version!r}\n"
        "import boostloss\nboostloss.focal_obj(gamma=2)\n"
        f"import boostloss.{engine}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert "ImportError" in error or "EngineTooOldError" in error
    assert f"{engine} {OLDEST[engine]} or newer" in error
    assert f"{version} is installed" in error
