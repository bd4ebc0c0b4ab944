"""Programs are found in absolute directories only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kubocd_gen.processes.children import drop_relative_entries


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (".:/usr/bin::node_modules/.bin:./bin:/bin:", "/usr/bin:/bin"),
        ("/usr/bin", "/usr/bin"),
        (".", os.defpath),
        ("", os.defpath),
    ],
)
def test_relative_entries_are_dropped(monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> None:
    monkeypatch.setenv("PATH", before)
    drop_relative_entries()
    assert os.environ["PATH"] == after


def test_no_program_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("git", "cosign"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{os.defpath}")
    assert shutil.which("git") == "./git"
    drop_relative_entries()
    assert shutil.which("cosign") is None or Path(str(shutil.which("cosign"))).is_absolute()
    assert Path(str(shutil.which("git"))).is_absolute()
