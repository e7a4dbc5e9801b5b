"""Sphinx configuration; everything is read from this repository, nothing is fetched."""

import shutil
import sys
from pathlib import Path

import boostloss

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # page_reader, mathml
import page_reader  # noqa: E402

project = "boostloss"
author = "The boostloss developers"
copyright = author
version = release = boostloss.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "mathml",
]
root_doc = "index"
exclude_patterns = ["_build", "jupyter_execute"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_title = f"boostloss {release}"

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"

# notebooks are shown with the output that they are stored with; pages are run
(DOCS / "notebooks").mkdir(exist_ok=True)
for notebook in (DOCS.parent / "notebooks").glob("*.ipynb"):
    shutil.copy(notebook, DOCS / "notebooks")
nb_custom_formats = {".md": "page_reader.read"}
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_in_temp = True  # pages write files
nb_execution_raise_on_error = True
nb_execution_excludepatterns = ["notebooks/*"] + [
    page.name for page in DOCS.glob("*.md") if not page_reader.FENCE.search(page.read_text())
]
nb_output_stderr = "remove"
nb_execution_show_tb = True
nb_merge_streams = True

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types stand in the docstrings
# made by scikit-learn, with references into its own documentation
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_predict_request, set_predict_proba_request, "
    "set_decision_function_request, set_score_request"
}
numpydoc_show_class_members = False  # the pages list them with their docstrings


def setup(app):
    """Connect what the docstrings, which read well as they are, need to look well."""
    app.connect("autodoc-process-docstring", _keep_formulas, priority=400)
    app.connect("autodoc-process-signature", _hide_signature)


def _keep_formulas(app, what, name, obj, options, lines):
    """Formulas stand indented between paragraphs: show them as they are."""
    for i in range(len(lines) - 1, 1, -1):
        if lines[i].startswith("    ") and not lines[i - 1].strip():
            before = next((line for line in reversed(lines[:i]) if line.strip()), " ")
            if not before.startswith(" "):
                lines[i:i] = ["::", ""]


def _hide_signature(app, what, name, obj, options, signature, returned):
    """Runs are made by a recorder alone."""
    return ("", None) if name == "boostloss.recorder.Run" else None
