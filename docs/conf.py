"""Sphinx configuration; everything is read from this repository, nothing is fetched."""

import boostloss

project = "boostloss"
author = "The boostloss developers"
copyright = author
version = release = boostloss.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
]
root_doc = "index"
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"boostloss {release}"

myst_heading_anchors = 3

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
