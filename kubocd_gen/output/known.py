"""The content of output files that have not changed since an earlier run, which are not read again."""

from __future__ import annotations

import os
from collections.abc import Iterable

from kubocd_gen.state.signatures import is_settled, signature
from kubocd_gen.state.store import State

_TABLE = "output"

Inode = tuple[int, int, int]
"""Inode, size and modification time of a file, which do not change when it is moved."""


class KnownOutput:
    """The SHA-256 of output files by their path, for files with the signatures in a state."""

    def __init__(self, state: State | None) -> None:
        self._state = state
        self._known = state.table(_TABLE) if state else {}

    def is_unchanged(self, path: str, status: os.stat_result, sha256: str) -> bool:
        """Return whether the file with this status is known to have the digest."""
        return self._known.get(path) == f"{signature(status)} {sha256}"

    def sha256(self, path: str, status: os.stat_result) -> str | None:
        """Return the digest of the file with this status; None if it has to be read."""
        known, _, digest = self._known.get(path, "").partition(" ")
        return digest if known == signature(status) else None

    def keep(self, paths: Iterable[str]) -> None:
        """Keep what is known of these files."""
        if self._state is not None:
            self._state.use(_TABLE, paths)

    def note(self, path: str, status: os.stat_result, sha256: str) -> None:
        """Remember the digest of a file whose status was taken before it was read."""
        if self._state is not None and is_settled(status):
            self._state.put(_TABLE, path, f"{signature(status)} {sha256}")
            self._known = self._state.table(_TABLE)

    def note_written(self, path: str, status: os.stat_result, staged: Inode, sha256: str) -> None:
        """Remember a file that this run wrote and moved to `path`, unless it was changed there in the meantime."""
        if inode_of(status) == staged:
            self.note(path, status, sha256)


def inode_of(status: os.stat_result) -> Inode:
    """Return what identifies a file that is moved."""
    return status.st_ino, status.st_size, status.st_mtime_ns
