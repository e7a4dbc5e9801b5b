"""Read a page as a notebook, so that the build runs it and shows what it prints."""

import re

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def read(text: str) -> NotebookNode:
    """Make each Python block a code cell; what is between them stays Markdown."""
    cells = []
    for i, part in enumerate(FENCE.split(text)):
        if part.strip():
            cells.append(new_code_cell(part.rstrip("\n")) if i % 2 else new_markdown_cell(part))
    return new_notebook(cells=cells, metadata=KERNEL)
