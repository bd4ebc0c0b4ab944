"""The user's cache of package blobs: by content, verified at every read, shared by any number of processes.

    <cache>/blobs/sha256/<two digits>/<digest>    a manifest or layer, named by what it holds
    <cache>/names/<digest of a manifest>          the references under which it was fetched, a line each

A file appears by rename and is never changed, so no lock is needed: whoever reads sees a whole blob or none. Nothing
in the cache is needed twice; where it can't be written the build goes on without it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.packages.oci import Descriptor, sha256

_BLOB = re.compile(r"[0-9a-f]{64}")
_DAY = 24 * 60 * 60
_ABANDONED = 60 * 60  # seconds: a temporary file of this age belongs to a process that was killed
_TEMPORARY = "incoming-"


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
    def trouble(self) -> KcdError | None:
        """Why something could not be stored, for a warning; None where all is well."""
        if self._unwritable is None:
            return None
        return KcdError(
            f"the cache {self.folder} can't be written: {self._unwritable}",
            code="unwritable-cache",
            hint="packages will be fetched again next time; choose another folder with --cache-dir",
        )

    def has(self, descriptor: Descriptor) -> bool:
        """Whether there is a blob of that digest and size; `read` finds out whether it is whole."""
        try:
            return self._blob(descriptor.digest).stat().st_size == descriptor.size
        except OSError:
            return False

    def read(self, descriptor: Descriptor) -> bytes | None:
        """The blob, or None where it is not there whole: a damaged one is thrown away, to be fetched again."""
        path = self._blob(descriptor.digest)
        try:
            # A size that differs is damage enough; it also keeps a file of any size out of memory.
            data = path.read_bytes() if path.stat().st_size == descriptor.size else b""
        except OSError:
            return None
        if len(data) != descriptor.size or sha256(data) != descriptor.digest:
            _remove(path)
            return None
        _touch(path)
        return data

    def store(self, data: bytes, digest: str) -> None:
        """Keep a blob whose digest is known to be `digest`."""
        self._write(self._blob(digest), data)

    def name(self, digest: str, reference: str) -> None:
        """Note that the manifest `digest` was fetched as `reference`, for `kcd-gen cache list`."""
        path = self._name(digest)
        known = _lines(path)
        if reference not in known:
            self._write(path, "".join(f"{line}\n" for line in sorted({*known, reference})).encode())

    def blobs(self) -> Iterator[CachedBlob]:
        """All blobs, by digest. Raises KcdError `unreadable-cache` where the folder can't be listed."""
        for path in self._files():
            try:
                status = path.stat()
            except FileNotFoundError:  # pruned meanwhile
                continue
            digest = f"sha256:{path.name}"
            yield CachedBlob(digest, status.st_size, status.st_mtime, tuple(_lines(self._name(digest))))

    def damaged(self) -> list[str]:
        """The digests of the blobs whose content is another, which are thrown away."""
        found = []
        for path in self._files():
            digest = f"sha256:{path.name}"
            try:
                sound = _digest_of(path) == digest
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._unreadable(error) from error
            if not sound:
                _remove(path)
                found.append(digest)
        return found

    def prune(self, unused_for: float, now: float | None = None) -> tuple[int, int]:
        """Remove the blobs that nobody has read for `unused_for` seconds; how many they were, and their bytes.

        Raises KcdError `unreadable-cache`, and `unwritable-cache` where one can't be removed.
        """
        now = time.time() if now is None else now
        count = freed = 0
        for blob in list(self.blobs()):
            if now - blob.used >= unused_for:
                try:
                    self._blob(blob.digest).unlink(missing_ok=True)
                    self._name(blob.digest).unlink(missing_ok=True)
                except OSError as error:
                    self._unwritable = error.strerror or str(error)
                    raise self.trouble or AssertionError from error
                count, freed = count + 1, freed + blob.size
        for path in self._temporary():
            if now - _modified(path, now) > _ABANDONED:
                _remove(path)
        return count, freed

    def _write(self, path: Path, data: bytes) -> None:
        if self._unwritable is not None:
            return
        temporary: str | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # private packages are nobody else's business
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except OSError as error:
            self._unwritable = error.strerror or str(error)
            if temporary is not None:
                _remove(Path(temporary))
        except BaseException:  # interrupted: leave nothing half-written behind
            if temporary is not None:
                _remove(Path(temporary))
            raise

    def _files(self) -> Iterator[Path]:
        for folder in self._entries(self.folder / "blobs" / "sha256"):
            for path in self._entries(folder):
                if _BLOB.fullmatch(path.name) and folder.name == path.name[:2]:
                    yield path

    def _temporary(self) -> list[Path]:
        folders = [self.folder / "names", *self._entries(self.folder / "blobs" / "sha256")]
        return [path for folder in folders for path in self._entries(folder) if path.name.startswith(_TEMPORARY)]

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> KcdError:
        return KcdError(
            f"the cache {self.folder} can't be read: {error.strerror}",
            code="unreadable-cache",
            hint="choose another folder with --cache-dir",
        )

    def _blob(self, digest: str) -> Path:
        hexadecimal = digest.removeprefix("sha256:")
        return self.folder / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal

    def _name(self, digest: str) -> Path:
        return self.folder / "names" / digest.removeprefix("sha256:")


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _modified(path: Path, now: float) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # finished meanwhile
        return now


def _touch(path: Path) -> None:
    """Note the use for `prune`; once a day is enough, and a build that changes nothing writes next to nothing."""
    try:
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)
    except OSError:
        return  # a read-only cache serves all the same


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        return  # gone already, or not ours to remove: it will be found damaged again
