"""Programs are found in absolute directories only: no checkout can put its own git or helm in front of the user's.

Go's programs, helm and kubectl among them, do the same: https://go.dev/blog/path-security.
"""

from __future__ import annotations

import os
from pathlib import Path


def drop_relative_entries() -> None:
    """Remove the entries from PATH that depend on the current directory: `.`, `node_modules/.bin` and empty ones."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    # An empty PATH would be the current directory again.
    os.environ["PATH"] = os.pathsep.join(entry for entry in entries if Path(entry).is_absolute()) or os.defpath
