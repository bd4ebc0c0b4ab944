"""Programs from npm in fixed versions, kept in the user's cache for the next run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from kubocd_gen.files.directory import open_directory
from tests.support.registry import program, skip_without_servers


def npm_program(package: str, version: str) -> list[str]:
    """Return the path of the program that has the package's name. It is installed on first use."""
    node = program("node", "nodejs")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kcd-gen-tests" / "npm"
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / f"{package}-{version}"
    script = directory / "node_modules" / package / "bin" / package
    with open_directory(cache) as parent, parent.locked():  # other pytest processes want it too
        if not script.exists():
            _install(f"{package}@{version}", directory)
    return [node, str(script)]


def _install(what: str, directory: Path) -> None:
    staged = directory.with_name(
        f".{directory.name}"
    )  # an interrupted installation must not be taken for a complete one
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    command = [program("npm", "npm"), "install", "--prefix", str(staged), "--no-audit", "--no-fund", "--silent", what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        skip_without_servers(f"needs {what}")
        raise AssertionError(f"npm can't install {what}: {done.stderr or done.stdout}")
    staged.replace(directory)
