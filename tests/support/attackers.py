"""Replace a directory with a symlink while kcd-gen works, and record what must not change as a result."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

SYSTEM_CALLS = ("open", "stat", "mkdir", "replace", "link", "unlink", "rmdir", "utime", "scandir")


def state(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return everything below `directory`, with modes and modification times."""
    found = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


class Attacker:
    """Replaces a directory with a symlink right before the system call `number`, counted from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, victim: Path, target: Path, number: int) -> None:
        self.calls = 0
        self.active = False
        rename, symlink = os.rename, os.symlink
        for name in SYSTEM_CALLS:
            real = getattr(os, name)

            def call(*arguments: Any, real: Any = real, **options: Any) -> Any:
                if self.active:
                    self.calls += 1
                    if self.calls == number:
                        self.active = False
                        if os.path.lexists(victim):
                            rename(victim, victim.with_name("aside"))
                            symlink(target, victim)
                        self.active = True
                return real(*arguments, **options)

            monkeypatch.setattr(os, name, call)
