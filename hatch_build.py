"""Add the project's links to the package's metadata.

The maintainers name the repository in one variable, when they build a release:

    BOOSTLOSS_REPOSITORY=https://... make dist

Without it the package has no links, so that none can be wrong.
"""

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Links(MetadataHookInterface):
    """Fill ``project.urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the links below the repository's address."""
        if at := os.environ.get("BOOSTLOSS_REPOSITORY", "").rstrip("/"):
            metadata["urls"] = {
                "Source": at,
                "Issues": f"{at}/issues",
                "Changelog": f"{at}/blob/main/CHANGELOG.md",
            }
