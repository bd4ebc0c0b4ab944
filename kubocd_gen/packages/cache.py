"""The user's cache of package blobs: content-addressed, verified on every read, safe for concurrent processes.

    <cache>/blobs/sha256/<two digits>/<digest>    a manifest or layer
    <cache>/names/<digest of a manifest>          the references it was fetched by, one per line
    <cache>/state/                                what builds keep, see `state`

Files are created by rename and never changed, so no lock is needed: a reader finds a complete blob or none. The cache
is optional: if it can't be written, the build continues without it. Because `--cache-dir` can be in an untrusted
checkout, no symlink in the cache is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files.directory import STAGED, Directory, made_directory, open_directory
from kubocd_gen.files.walk import Entry
from kubocd_gen.oci.descriptors import Descriptor, sha256

_DAY = 24 * 60 * 60
_ABANDONED = 60 * 60  # seconds: a temporary file of this age was left by a process that was killed
_TEMPORARY = (STAGED, "incoming-")  # earlier versions of kcd-gen wrote `incoming-`
_NAMES_SIZE = 1 << 20  # bytes: the maximum for the references of one manifest
_BLOBS, _NAMES = "blobs/sha256", "names"
_BLOB = re.compile(rf"{_BLOBS}/([0-9a-f]{{2}})/\1[0-9a-f]{{62}}")


@dataclass(frozen=True, slots=True)
class CachedBlob:
    """A blob in the cache, not yet verified."""

    digest: str
    size: int  # bytes
    used: float  # when it was last read, in seconds since 1970; accurate to a day
    references: tuple[str, ...]  # for a manifest: the references it was fetched by


def cache_directory(environment: Mapping[str, str], given: Path | None = None) -> Path:
    """Return the cache directory: `given`, or `kcd-gen` in the platform's cache directory.

    Without a home directory it is in the directory for temporary files. That is safe: every blob is verified, and a
    state that another user can have written is not used.
    """
    if given is not None:
        return given
    if directory := environment.get("XDG_CACHE_HOME"):
        return Path(directory, "kcd-gen")
    try:
        home = Path(environment.get("HOME") or Path.home())
    except RuntimeError:  # a user without an entry in /etc/passwd, as in containers
        import tempfile  # imports random; most users have a home

        return Path(tempfile.gettempdir(), f"kcd-gen-cache-{os.getuid()}")
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "kcd-gen"


class Cache:
    """A cache directory, which does not have to exist. The cache is optional: reading and storing never raise."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trouble: Problem | None = None  # the warning that a blob could not be stored

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether a blob of that digest and size exists; its content is not verified."""
        try:
            with self._opened() as directory:
                status = directory.status(_blob(descriptor.digest))
        except OSError:
            return False
        return status is not None and status.st_size == descriptor.size

    def read(self, descriptor: Descriptor) -> bytes | None:
        """Return the blob, or None if it is missing or damaged; a damaged blob is deleted, to be downloaded again."""
        path = _blob(descriptor.digest)
        try:
            with self._opened() as directory:
                status = directory.status(path)
                if status is None:
                    return None
                # Don't read a file of another size: it is damaged, and could be arbitrarily large.
                data = directory.read(path, descriptor.size) if status.st_size == descriptor.size else b""
                if len(data) != descriptor.size or sha256(data) != descriptor.digest:
                    _remove(directory, path)
                    return None
                _note_use(directory, path, status)
                return data
        except OSError:
            return None

    def path(self, descriptor: Descriptor) -> Path:
        """Return the path of a blob, which need not exist."""
        return self.directory / _blob(descriptor.digest)

    def note_use(self, *descriptors: Descriptor) -> None:
        """Record that blobs were used without being read, for `prune`."""
        with contextlib.suppress(OSError), self._opened() as directory:
            for descriptor in descriptors:
                if status := directory.status(path := _blob(descriptor.digest)):
                    _note_use(directory, path, status)

    def store(self, data: bytes, digest: str) -> None:
        """Store a blob; the caller has verified that its digest is `digest`."""
        self._write(_blob(digest), data)

    def name(self, digest: str, reference: str) -> None:
        """Record that the manifest `digest` was fetched by `reference`, for `kcd-gen cache list`."""
        known = self._references(digest)
        if reference not in known:
            self._write(_name(digest), "".join(f"{line}\n" for line in sorted({*known, reference})).encode())

    def blobs(self) -> Iterator[CachedBlob]:
        """Yield all blobs, ordered by digest. Raises ProblemsError `unreadable-cache` if they can't be listed."""
        if directory := self._existing():
            for path in self._blobs(directory):
                if status := self._status(directory, path):  # None if it was pruned in the meantime
                    digest = _digest(path)
                    yield CachedBlob(digest, status.st_size, status.st_mtime, tuple(self._references(digest)))

    def damaged(self) -> list[str]:
        """Delete the blobs whose content does not match their digest, and return these digests.

        Raises ProblemsError `unreadable-cache`.
        """
        found: list[str] = []
        if directory := self._existing():
            for path in self._blobs(directory):
                try:
                    with directory.open_file(path) as file:
                        sound = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == _digest(path)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise ProblemsError(self._unreadable(error)) from error
                if not sound:
                    _remove(directory, path)
                    found.append(_digest(path))
        return found

    def prune(self, unused_for: float, now: float | None = None) -> tuple[int, int]:
        """Delete the blobs that were not read for `unused_for` seconds; return their number and total size in bytes.

        Raises ProblemsError: `unreadable-cache`, and `unwritable-cache` if a blob can't be deleted.
        """
        now = time.time() if now is None else now
        count = freed = 0
        stale = [blob for blob in self.blobs() if now - blob.used >= unused_for]
        directory = self._existing()
        if directory is None:
            return 0, 0
        for blob in stale:
            for path in (_blob(blob.digest), _name(blob.digest)):
                try:
                    with contextlib.suppress(FileNotFoundError):
                        directory.remove_file(path)
                except OSError as error:
                    raise ProblemsError(self._unwritable(error)) from error
            count, freed = count + 1, freed + blob.size
        for path, entry in self._files(directory, _NAMES):
            status = self._status(directory, path) if entry.is_file and entry.name.startswith(_TEMPORARY) else None
            if status and now - status.st_mtime > _ABANDONED:
                _remove(directory, path)
        return count, freed

    def _write(self, path: str, data: bytes) -> None:
        if self.trouble is not None:
            return
        try:
            # Other users must not read private packages.
            with made_directory(self.directory, follow_last=True, mode=0o700) as directory:
                directory.make(path.rpartition("/")[0])
                directory.write(path, data, replace_symlink=True, durable=False)
        except OSError as error:
            self.trouble = self._unwritable(error)

    def _references(self, digest: str) -> list[str]:
        try:
            with self._opened() as directory:
                return directory.read(_name(digest), _NAMES_SIZE).decode().splitlines()
        except (OSError, UnicodeDecodeError):
            return []

    def _opened(self) -> Directory:
        return open_directory(self.directory, follow_last=True)

    def _existing(self) -> Directory | None:
        try:
            return self._opened()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProblemsError(self._unreadable(error)) from error

    def _blobs(self, directory: Directory) -> Iterator[str]:
        return (path for path, _ in self._files(directory) if _BLOB.fullmatch(path))

    def _files(self, directory: Directory, *others: str) -> Iterator[tuple[str, Entry]]:
        """Yield the path and entry of each file in the directories of blobs and in `others`."""
        parts = [f"{_BLOBS}/{part.name}" for part in self._entries(directory, _BLOBS) if part.is_directory]
        for part in (*parts, *others):
            for entry in self._entries(directory, part):
                yield f"{part}/{entry.name}", entry

    def _entries(self, directory: Directory, path: str) -> list[Entry]:
        try:
            return directory.entries(path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProblemsError(self._unreadable(error)) from error

    def _status(self, directory: Directory, path: str) -> os.stat_result | None:
        try:
            return directory.status(path)
        except OSError as error:
            raise ProblemsError(self._unreadable(error)) from error

    def _unwritable(self, error: OSError) -> Problem:
        return unwritable(self.directory, error)

    def _unreadable(self, error: OSError) -> Problem:
        return unreadable(self.directory, error)


def unwritable(directory: Path, error: OSError) -> Problem:
    """Return the problem of a cache that can't be written."""
    return Problem(
        "unwritable-cache",
        f"cannot write to the cache '{directory}': {error.strerror or error}",
        hint="packages are not cached and will be downloaded again; choose another directory with --cache-dir",
    )


def unreadable(directory: Path, error: OSError) -> Problem:
    """Return the problem of a cache that can't be read."""
    return Problem(
        "unreadable-cache",
        f"cannot read the cache '{directory}': {error.strerror}",
        hint="choose another directory with --cache-dir",
    )


def _blob(digest: str) -> str:
    hexadecimal = digest.removeprefix("sha256:")
    return f"{_BLOBS}/{hexadecimal[:2]}/{hexadecimal}"


def _name(digest: str) -> str:
    return f"{_NAMES}/{digest.removeprefix('sha256:')}"


def _digest(path: str) -> str:
    return f"sha256:{path.rpartition('/')[2]}"


def _note_use(directory: Directory, path: str, status: os.stat_result) -> None:
    """Record the use for `prune`, at most once a day, which avoids writes in builds that change nothing."""
    if time.time() - status.st_mtime > _DAY:
        with contextlib.suppress(OSError):  # a read-only cache can still be read
            directory.touch(path)


def _remove(directory: Directory, path: str) -> None:
    with contextlib.suppress(OSError):  # deleted already, or not permitted: the next read finds it damaged again
        directory.remove_file(path)
