"""Sphinx extension that writes formulas as MathML: browsers show it without fetching a script."""

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)

LOG = re.compile(r"(<mi>log</mi>)(?!<mo)")
"""The name of a function whose argument has no brackets: a browser sets no space between them."""


def setup(app):
    """Register the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer("mathml", (_inline, _leave), (_display, _leave))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer, node):
    writer.body.append(_mathml(node, "inline"))
    raise SkipNode  # of the LaTeX below it


def _display(writer, node):
    writer.body.append(f'<div class="math">{_mathml(node, "block")}</div>\n')
    raise SkipNode


def _leave(writer, node):
    """Nothing is open: the node was written as a whole."""


def _mathml(node, display):
    mathml = convert(node.astext(), display=display)
    if "\\" in mathml:
        logger.warning("a LaTeX command that latex2mathml does not know: %s", node.astext(),
                       location=node)  # fmt: skip
    return LOG.sub(r'\1<mspace width="0.167em" />', mathml)
