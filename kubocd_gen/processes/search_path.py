"""Programs are found in absolute directories only: no checkout can put its own git or helm in front of the user's.

Go's programs, helm and kubectl among them, do the same: https://go.dev/blog/path-security.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def absolute_search_path(environment: Mapping[str, str]) -> str:
    """Return PATH without what depends on the current directory: `.`, `node_modules/.bin` and empty entries."""
    entries = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if os.path.isabs(entry))  # noqa: PTH117 - a string of PATH


def drop_relative_entries() -> None:
    """Remove from this process's PATH what depends on the current directory."""
    # An empty PATH would be the current directory again.
    os.environ["PATH"] = absolute_search_path(os.environ) or os.defpath
