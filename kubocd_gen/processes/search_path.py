"""The search path for programs: only absolute directories, so that a checkout can't provide its own git or helm.

Go programs such as helm and kubectl do the same: https://go.dev/blog/path-security.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def absolute_search_path(environment: Mapping[str, str]) -> str:
    """Return PATH without relative entries such as `.`, `node_modules/.bin` and empty ones."""
    entries = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if os.path.isabs(entry))  # noqa: PTH117 - strings


def drop_relative_entries() -> None:
    """Remove relative entries from this process's PATH."""
    # An empty PATH would mean the current directory.
    os.environ["PATH"] = absolute_search_path(os.environ) or os.defpath
