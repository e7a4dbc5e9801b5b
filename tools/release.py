"""Build twice, compare the results, and use them as a user would (``make dist-check``).

    python tools/release.py

Needs the packages of ``pip install --group release``. Stops at the first failed check.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENGINES = ["xgboost-cpu", "lightgbm"]

SMOKE = """
import os, pickle
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
import boostloss
assert not os.environ.get("PATH"), "a compiler might be found"
assert "site-packages" in boostloss.__file__
X, y = load_breast_cancer(return_X_y=True)
for model in (boostloss.ImbalancedXGBClassifier, boostloss.ImbalancedLGBMClassifier):
    quiet = {"verbose": -1} if "LGBM" in model.__name__ else {}
    for loss in ("cross_entropy", "balanced", "focal", "ghm"):
        fitted = model(loss=loss, n_estimators=20, **quiet).fit(X, y)
        assert fitted.score(X, y) > 0.9
    fitted.save_model("model.json")
    read = model()
    read.load_model("model.json")
    assert np.array_equal(read.predict_proba(X), fitted.predict_proba(X))
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    grid = {"loss__gamma": [0, 2]}
    search = GridSearchCV(model(loss=boostloss.FocalLoss(), n_estimators=5, **quiet), grid, cv=2,
                          scoring="average_precision").fit(X, y)
    assert search.best_score_ > 0.9
"""


def run(*command: object, **options: object) -> str:
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE,
                          **options)  # type: ignore[call-overload]  # fmt: skip
    if done.returncode:
        sys.exit(f"{done.stdout}\nfailed: {command[:9]}")
    return str(done.stdout)


def build(folder: Path, umask: int) -> dict[str, Path]:
    """Build wheel and sdist of the last commit in a separate directory."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    run("sh", "-c", f"umask {umask:03o}; git archive HEAD | tar -x -C '{tree}'", cwd=ROOT)
    date = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": date, "TZ": f"UTC{umask % 12}"}
    run(sys.executable, "-m", "build", "--outdir", folder, tree, env=environment, umask=umask)
    return {path.name: path for path in folder.iterdir() if path.is_file()}


def check_equal(one: dict[str, Path], other: dict[str, Path]) -> None:
    assert sorted(one) == sorted(other)
    assert len(one) == 2
    for name, path in one.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest == hashlib.sha256(other[name].read_bytes()).hexdigest(), name
        print(f"{name}: built twice, equal, sha256 {digest}")


def check_content(wheel: Path, source: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    held = {name.split("/")[0] for name in names}
    assert held == {"boostloss", wheel.name.partition("-py3")[0] + ".dist-info"}, held
    assert "boostloss/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    with tarfile.open(source) as files:
        inside = {name.partition("/")[2] for name in files.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "tests/conftest.py", "examples/demo.py"} <= inside
    print(f"{wheel.name}: {len(names)} files; {source.name}: {len(inside)}")


def check_use(wheel: Path, folder: Path) -> None:
    """Use the package, installed from wheels in an empty environment, with an empty PATH."""
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel, *ENGINES)
    run(python, "-m", "pip", "check")
    (folder / "work").mkdir()
    environment = {"PATH": "", "HOME": str(folder / "work")}
    # LightGBM asks joblib for the number of cores, which runs a command for it
    warnings = ["-W", "error", "-W", "ignore:Could not find the number of physical cores"]
    run(python, *warnings, "-c", SMOKE, cwd=folder / "work", env=environment)
    print("trains, saves, reads and searches on both engines with an empty PATH")
    check_types(python, folder / "work")
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "boostloss")
    left = subprocess.run(
        [python, "-c", "import boostloss"], cwd=folder / "work", stderr=subprocess.DEVNULL
    )
    assert left.returncode, "boostloss can still be imported"
    print("nothing is left to import after it was uninstalled")


def check_types(python: Path, folder: Path) -> None:
    """Run type checkers on a user's code."""
    user = Path(shutil.copy(ROOT / "tests" / "typed" / "user.py", folder))
    run(sys.executable, "-m", "mypy", "--config-file=", "--strict", "--warn-unused-ignores",
        "--python-executable", python, user, cwd=user.parent)  # fmt: skip
    run(sys.executable, "-m", "pyright", "--pythonpath", python, user, cwd=user.parent)
    mistakes = user.read_text().count("# type: ignore")
    print(f"mypy and pyright find {mistakes} of {mistakes} mistakes, and nothing else")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = build(folder / "one", 0o022)
        check_equal(built, build(folder / "another", 0o077))
        run(sys.executable, "-m", "twine", "check", "--strict", *built.values())
        print("twine: metadata and README are in order")
        wheel, source = (next(p for p in built.values() if p.suffix == s) for s in (".whl", ".gz"))
        check_content(wheel, source)
        check_use(wheel, folder)


if __name__ == "__main__":
    main()
