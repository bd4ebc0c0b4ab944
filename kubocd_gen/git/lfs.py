"""Pointers of Git LFS, which Git stores instead of a file's content."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.checkout.content import HEAD, LFS_POINTER

LARGEST = LIMITS.layer  # bytes of one file; the largest are vendored packages


@dataclass(frozen=True, slots=True)
class Pointer:
    """The SHA-256 digest of a file's content, in hexadecimal, and its size in bytes."""

    digest: str
    size: int

    def content(self, path: Path) -> bytes | None:
        """Return the content of `path` if it is a regular file with this size and digest; None otherwise."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return None
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not status.st_size == self.size <= LARGEST:
                return None
            data = file.read(self.size)
        return data if hashlib.sha256(data).hexdigest() == self.digest else None


def parse_pointer(data: bytes) -> Pointer | None:
    """Return the pointer that a committed file consists of; None if it has another content."""
    found = LFS_POINTER.match(data) if len(data) < HEAD else None
    return Pointer(found[1].decode("ascii"), int(found[2])) if found else None
