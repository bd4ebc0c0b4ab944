"""The user's cache of package blobs: by content, verified at every read, shared by any number of processes.

    <cache>/blobs/sha256/<two digits>/<digest>    a manifest or layer, named by what it holds
    <cache>/names/<digest of a manifest>          the references under which it was fetched, a line each

A file appears by rename and is never changed, so no lock is needed: whoever reads sees a whole blob or none. Nothing
in the cache is needed twice; where it can't be written the build goes on without it. A cache may be in a checkout,
where `--cache-dir` can put it: no symlink in it is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files import Directory, Entry, made_directory, open_directory
from kubocd_gen.files.directory import STAGED
from kubocd_gen.oci.descriptors import Descriptor, sha256

_BLOB = re.compile(r"[0-9a-f]{64}")
_DAY = 24 * 60 * 60
_ABANDONED = 60 * 60  # seconds: a temporary file of this age belongs to a process that was killed
_TEMPORARY = (STAGED, "incoming-")  # the latter is an earlier kcd-gen's
_NAMES_SIZE = 1 << 20  # bytes of the references of one manifest
_BLOBS, _NAMES = "blobs/sha256", "names"


@dataclass(frozen=True, slots=True)
class CachedBlob:
    """A blob in the cache, not yet verified."""

    digest: str
    size: int  # bytes
    used: float  # seconds since 1970: when it was last read, to the day
    references: tuple[str, ...]  # of a manifest: the names under which it was fetched


def cache_folder(environment: Mapping[str, str], given: Path | None = None) -> Path:
    """Where the cache is: `given`, else `kcd-gen` in the folder that the system has for caches.

    A user without a home gets one among the temporary files; nothing in it is believed, so it may be anybody's.
    """
    if given is not None:
        return given
    if folder := environment.get("XDG_CACHE_HOME"):
        return Path(folder, "kcd-gen")
    try:
        home = Path(environment.get("HOME") or Path.home())
    except RuntimeError:  # a user that the system does not know, as in containers
        return Path(tempfile.gettempdir(), f"kcd-gen-cache-{os.getuid()}")
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "kcd-gen"


class Cache:
    """A cache folder, which need not exist. Reading and storing never raise: a cache that is no help is no harm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unwritable: str | None = None

    @property
    def trouble(self) -> Problem | None:
        """The warning about something that could not be stored; None if there is nothing to warn of."""
        return self._not_writable(self._unwritable) if self._unwritable is not None else None

    def _not_writable(self, reason: str) -> Problem:
        return Problem(
            "unwritable-cache",
            f"the cache {self.folder} can't be written: {reason}",
            hint="packages will be fetched again next time; choose another folder with --cache-dir",
        )

    def has(self, descriptor: Descriptor) -> bool:
        """Whether there is a blob of that digest and size; `read` finds out whether it is whole."""
        try:
            with self._opened() as folder:
                status = folder.status(_blob(descriptor.digest))
        except OSError:
            return False
        return status is not None and status.st_size == descriptor.size

    def read(self, descriptor: Descriptor) -> bytes | None:
        """The blob, or None where it is not there whole: a damaged one is thrown away, to be fetched again."""
        path = _blob(descriptor.digest)
        try:
            with self._opened() as folder:
                status = folder.status(path)
                if status is None:
                    return None
                # A size that differs is damage enough; it also keeps a file of any size out of memory.
                data = folder.read(path, descriptor.size) if status.st_size == descriptor.size else b""
                if len(data) != descriptor.size or sha256(data) != descriptor.digest:
                    _remove(folder, path)
                    return None
                _note_use(folder, path, status)
                return data
        except OSError:
            return None

    def store(self, data: bytes, digest: str) -> None:
        """Keep a blob whose digest is known to be `digest`."""
        self._write(_blob(digest), data)

    def name(self, digest: str, reference: str) -> None:
        """Note that the manifest `digest` was fetched as `reference`, for `kcd-gen cache list`."""
        known = self._references(digest)
        if reference not in known:
            self._write(_name(digest), "".join(f"{line}\n" for line in sorted({*known, reference})).encode())

    def blobs(self) -> Iterator[CachedBlob]:
        """All blobs, by digest. Raises ProblemsError `unreadable-cache` where the folder can't be listed."""
        if folder := self._existing():
            for path in self._files(folder):
                if status := folder.status(path):  # else pruned meanwhile
                    digest = _digest(path)
                    yield CachedBlob(digest, status.st_size, status.st_mtime, tuple(self._references(digest)))

    def damaged(self) -> list[str]:
        """The digests of the blobs whose content is another, which are thrown away."""
        found: list[str] = []
        if folder := self._existing():
            for path in self._files(folder):
                try:
                    with folder.open_file(path) as file:
                        sound = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == _digest(path)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise ProblemsError(self._unreadable(error)) from error
                if not sound:
                    _remove(folder, path)
                    found.append(_digest(path))
        return found

    def prune(self, unused_for: float, now: float | None = None) -> tuple[int, int]:
        """Remove the blobs that nobody has read for `unused_for` seconds; how many they were, and their bytes.

        Raises ProblemsError `unreadable-cache`, and `unwritable-cache` where one can't be removed.
        """
        now = time.time() if now is None else now
        count = freed = 0
        stale = [blob for blob in self.blobs() if now - blob.used >= unused_for]
        folder = self._existing()
        if folder is None:
            return 0, 0
        for blob in stale:
            for path in (_blob(blob.digest), _name(blob.digest)):
                try:
                    with contextlib.suppress(FileNotFoundError):
                        folder.remove_file(path)
                except OSError as error:
                    self._unwritable = error.strerror or str(error)
                    raise ProblemsError(self._not_writable(self._unwritable)) from error
            count, freed = count + 1, freed + blob.size
        for path in self._temporary(folder):
            status = folder.status(path)
            if status and now - status.st_mtime > _ABANDONED:
                _remove(folder, path)
        return count, freed

    def _write(self, path: str, data: bytes) -> None:
        if self._unwritable is not None:
            return
        try:
            # Private packages are nobody else's business.
            with made_directory(self.folder, follow_last=True, mode=0o700) as folder:
                folder.make(path.rpartition("/")[0])
                folder.write(path, data, replace_symlink=True, durable=False)
        except OSError as error:
            self._unwritable = error.strerror or str(error)

    def _references(self, digest: str) -> list[str]:
        try:
            with self._opened() as folder:
                return folder.read(_name(digest), _NAMES_SIZE).decode().splitlines()
        except (OSError, UnicodeDecodeError):
            return []

    def _opened(self) -> Directory:
        return open_directory(self.folder, follow_last=True)

    def _existing(self) -> Directory | None:
        try:
            return self._opened()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProblemsError(self._unreadable(error)) from error

    def _files(self, folder: Directory) -> Iterator[str]:
        for part in self._entries(folder, _BLOBS):
            for file in self._entries(folder, f"{_BLOBS}/{part.name}") if part.is_directory else ():
                if _BLOB.fullmatch(file.name) and part.name == file.name[:2]:
                    yield f"{_BLOBS}/{part.name}/{file.name}"

    def _temporary(self, folder: Directory) -> list[str]:
        parts = (part.name for part in self._entries(folder, _BLOBS) if part.is_directory)
        return [
            f"{one}/{file.name}"
            for one in (_NAMES, *(f"{_BLOBS}/{part}" for part in parts))
            for file in self._entries(folder, one)
            if file.is_file and file.name.startswith(_TEMPORARY)
        ]

    def _entries(self, folder: Directory, path: str) -> list[Entry]:
        try:
            return folder.entries(path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProblemsError(self._unreadable(error)) from error

    def _unreadable(self, error: OSError) -> Problem:
        return Problem(
            "unreadable-cache",
            f"the cache {self.folder} can't be read: {error.strerror}",
            hint="choose another folder with --cache-dir",
        )


def _blob(digest: str) -> str:
    hexadecimal = digest.removeprefix("sha256:")
    return f"{_BLOBS}/{hexadecimal[:2]}/{hexadecimal}"


def _name(digest: str) -> str:
    return f"{_NAMES}/{digest.removeprefix('sha256:')}"


def _digest(path: str) -> str:
    return f"sha256:{path.rpartition('/')[2]}"


def _note_use(folder: Directory, path: str, status: os.stat_result) -> None:
    """Note the use for `prune`; once a day is enough, and a build that changes nothing writes next to nothing."""
    if time.time() - status.st_mtime > _DAY:
        with contextlib.suppress(OSError):  # a read-only cache serves all the same
            folder.touch(path)


def _remove(folder: Directory, path: str) -> None:
    with contextlib.suppress(OSError):  # gone already, or not ours to remove: it will be found damaged again
        folder.remove_file(path)
