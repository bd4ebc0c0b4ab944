"""The content of output files that have not changed since an earlier run, which are not read again."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kubocd_gen.state.signatures import is_settled, signature
from kubocd_gen.state.store import Json, State

_TABLE = "output"

Inode = tuple[int, int, int]
"""Inode, size and modification time of a file, which do not change when it is moved."""


class KnownOutput:
    """The SHA-256 of output files by their path, and what records list, for files with the signatures in a state."""

    def __init__(self, state: State | None) -> None:
        self._state = state

    def sha256(self, path: str, status: os.stat_result) -> str | None:
        """Return the digest of the file with this status; None if it has to be read."""
        known = self._entry(path, status)
        return known["sha256"] if known else None

    def record(self, path: str, status: os.stat_result) -> Mapping[str, str | None] | None:
        """Return what the record with this status lists; None if it has to be read."""
        known = self._entry(path, status)
        return known.get("record") if known else None

    def note(
        self, path: str, status: os.stat_result, sha256: str, record: Mapping[str, str | None] | None = None
    ) -> None:
        """Remember the digest of a file whose status was taken before it was read."""
        if self._state is not None and is_settled(status):
            value: Json = {"signature": list(signature(status)), "sha256": sha256}
            self._state.put(_TABLE, path, value | ({"record": dict(record)} if record is not None else {}))

    def note_written(self, path: str, status: os.stat_result, staged: Inode, sha256: str) -> None:
        """Remember a file that this run wrote and moved to `path`, unless it was changed there in the meantime."""
        if inode_of(status) == staged:
            self.note(path, status, sha256)

    def _entry(self, path: str, status: os.stat_result) -> Json | None:
        if self._state is None:
            return None
        known = self._state.get(_TABLE, path)
        return known if known and known["signature"] == list(signature(status)) else None


def inode_of(status: os.stat_result) -> Inode:
    """Return what identifies a file that is moved."""
    return status.st_ino, status.st_size, status.st_mtime_ns
