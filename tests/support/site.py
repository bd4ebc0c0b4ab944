"""The documentation site, built with the command of the Makefile."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.sessions import ROOT

# Where a copy of the project can be published.
SITE_URL, REPO_URL = "https://docs.example.com/kcd-gen/", "https://git.example.com/platform/kcd-gen"


def build_site(checkout: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Do what `make docs` does in a checkout, with another output directory."""
    (line,) = re.findall(
        r"^docs:.*\n\tNO_MKDOCS_2_WARNING=1 \$\(bin\)/python (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    return subprocess.run(
        [sys.executable, *shlex.split(line), "--site-dir", str(directory)],
        cwd=checkout,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "SITE_URL": SITE_URL, "REPO_URL": REPO_URL},
        capture_output=True,
        text=True,
    )
