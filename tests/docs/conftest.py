from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.support.sessions import ROOT
from tests.support.site import build_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, once for all processes of the test run."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    directory, done = base / "site", base / "site-done"
    with (base / "site-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            built = build_site(ROOT, directory)
            assert built.returncode == 0, built.stdout + built.stderr
            done.touch()
    return directory
