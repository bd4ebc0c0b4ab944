"""A file with the results of earlier runs, in the user's cache: tables of JSON values, and blobs read on demand.

    kcd-gen state 1\\n
    <digest of the index> <size of the index>\\n
    <index: JSON>
    <blobs>

The file is an optimization and never a source of truth: one that is missing, damaged, or written by other code counts
as empty. It is replaced in one step, and a reader keeps the file open, so several processes can use it at once; the
last one to end wins. It is trusted, unlike packages: a result can't be verified without computing it again. Therefore
it is never read from a checkout, which a pull request controls, and only if no other user can have written it. No other
user can read it either, because it contains what the packages and sources do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.files.directory import made_directory, open_directory
from kubocd_gen.files.paths import checkout_top
from kubocd_gen.state.cached import STATES
from kubocd_gen.state.rules import code_signature, rules_fingerprint
from kubocd_gen.state.signatures import Signature, signature

_HEAD = b"kcd-gen state 1\n"
_LARGEST = 1 << 30  # bytes of the index; that of 10,000 Releases has some 20 MB
_DAY = 24 * 60 * 60
_OTHERS = 0o022  # the permission of others to write
_KEPT = 4  # states that a process keeps in memory, for `--watch` and several clusters

Json = Any  # what `json.loads` returns


class StateDoubtError(Exception):
    """The result can depend on what the state says, or the state is damaged: everything has to be computed again.

    It is raised before anything is written.
    """


def digest_of(data: bytes) -> str:
    """Return the key of a content: 128 bits are enough where nobody gains from a collision in their own cache."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(slots=True)
class _Stored:
    """A file that was read: where its blobs are. The descriptor is closed when nothing refers to the object."""

    descriptor: int
    start: int
    places: Mapping[str, list[int]]

    def read(self, key: str) -> bytes | None:
        place = self.places.get(key)
        if place is None:
            return None
        offset, size = place
        try:
            data = os.pread(self.descriptor, size, self.start + offset)
        except OSError:
            return None
        return data if digest_of(data) == key else None

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


@dataclass(slots=True)
class State:
    """The tables of one cluster of a project. Not for several threads.

    What a run does not use or put is dropped by `save`, unless the run is incomplete.
    """

    path: Path | None  # None: nothing is kept
    tables: dict[str, dict[str, Json]] = field(default_factory=dict)
    _used: dict[str, set[str]] = field(default_factory=dict)
    _blobs: dict[str, bytes] = field(default_factory=dict)  # new ones
    _elsewhere: dict[str, Callable[[], bytes]] = field(default_factory=dict)  # readers of blobs in other files
    _stored: _Stored | None = None
    _signature: Signature | None = None  # of the file as read or written
    _changed: bool = False
    is_used: bool = False  # whether a part of the result of this run comes from the state

    def get(self, table: str, key: str) -> Json | None:
        """Return a value, which must not be modified; None if it is not known. It counts as used."""
        value = self.tables.get(table, {}).get(key)
        if value is not None:
            self._used.setdefault(table, set()).add(key)
        return value

    def table(self, table: str) -> Mapping[str, Json]:
        """Return all values of a table, without counting them as used."""
        return self.tables.get(table, {})

    def use(self, table: str, keys: Iterable[str]) -> None:
        """Count values as used."""
        self._used.setdefault(table, set()).update(keys)

    def is_stored_as(self, status: os.stat_result) -> bool:
        """Return whether the file with this status is the one that was read or written last."""
        return self._signature == signature(status)

    def put(self, table: str, key: str, value: Json) -> None:
        """Set a value: lists, dicts with string keys, strings, numbers, booleans and None."""
        values = self.tables.setdefault(table, {})
        if values.get(key) != value:
            values[key] = value
            self._changed = True
        self._used.setdefault(table, set()).add(key)

    def put_blob(self, data: bytes) -> str:
        """Keep a content, and return its key. A blob is dropped if no value has its key under `blob` or in `blobs`."""
        key = digest_of(data)
        if self._stored is None or key not in self._stored.places:
            self._blobs[key] = data
        return key

    def add_blob(self, key: str, read: Callable[[], bytes]) -> None:
        """Keep a content in another file. `read` returns it, or raises ValueError or OSError."""
        self._elsewhere[key] = read

    def blob(self, key: str) -> bytes | None:
        """Return a content; None if it can't be read."""
        if read := self._elsewhere.get(key):
            with contextlib.suppress(ValueError, OSError):
                return read()
            return None
        found = self._blobs.get(key)
        return found if found is not None else self._stored.read(key) if self._stored else None

    def save(self, *, complete: bool) -> None:
        """Write the state if it changed. Failures are ignored, because nothing depends on it."""
        if complete:
            for name, values in self.tables.items():
                used = self._used.get(name, set())
                if len(used) < len(values):
                    self._changed = True
                    self.tables[name] = {key: value for key, value in values.items() if key in used}
        self._used, self.is_used = {}, False
        if not self._changed or self.path is None:
            return
        try:
            self._write(self.path)
        except OSError as error:
            import logging  # most commands need no log

            logging.getLogger(__name__).info("cannot keep the state of this build: %s", error)

    def _write(self, path: Path) -> None:
        places: dict[str, list[int]] = {}
        contents: list[bytes] = []
        offset = 0
        for key in dict.fromkeys(_blob_keys(self.tables)):
            data = self.blob(key)
            if data is not None:
                places[key] = [offset, len(data)]
                contents.append(data)
                offset += len(data)
        index = json.dumps(
            {"code": code_signature(), "rules": rules_fingerprint(), "tables": self.tables, "blobs": places},
            separators=(",", ":"),
        ).encode()
        head = _HEAD + f"{digest_of(index)} {len(index)}\n".encode()
        with (
            made_directory(path.parents[1], follow_last=True, mode=0o700),  # with the mode of `packages.cache`
            made_directory(path.parent, mode=0o700) as directory,
        ):
            with directory.replacing(path.name, durable=False) as new:
                os.fchmod(new.fileno(), 0o600)
                new.write(b"".join((head, index, *contents)))
            file = directory.open_file(path.name)
        with file:
            self._stored = _Stored(os.dup(file.fileno()), len(head) + len(index), places)
            self._signature = signature(os.fstat(file.fileno()))
        self._blobs = {}
        self._elsewhere = {}
        self._changed = False
        _recent[path] = self
        while len(_recent) > _KEPT:
            del _recent[next(iter(_recent))]


_recent: dict[Path, State] = {}


def open_state(cache: Path, name: str, project: Path | None = None, *, fresh: bool = False) -> State:
    """Return the state called `name` in the cache directory; an empty one if there is none that can be used.

    A cache in a checkout, or below the directory `project`, is not used. With `fresh`, the state is empty, and replaces
    the one in the cache when it is saved.
    """
    path = cache / STATES / digest_of(name.encode())
    current = Path(os.path.realpath(project)) if project else None
    if checkout_top(Path(os.path.realpath(cache)), current) is not None:
        return State(None)
    known = _recent.pop(path, None)
    if fresh:
        return State(path)
    try:
        with open_directory(path.parent) as directory, directory.open_file(path.name) as file:
            status = os.fstat(file.fileno())
            if not _is_own(status) or not _is_own(os.fstat(directory.descriptor)):
                return State(path)
            if time.time() - status.st_mtime > _DAY:  # the time of the last use, for `kcd-gen cache prune`
                os.utime(file.fileno())
                status = os.fstat(file.fileno())
            if known is not None and known.is_stored_as(status):
                _recent[path] = known
                known.is_used = False
                return known
            found = _read(file.fileno(), path, status)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # damaged
        return State(path)
    return found or State(path)


def _is_own(status: os.stat_result) -> bool:
    """Return whether only this user can have written a file or directory."""
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS


def _read(descriptor: int, path: Path, status: os.stat_result) -> State | None:
    """Return the state in an open file; None if other code wrote it. Raises OSError and ValueError."""
    start = os.pread(descriptor, 128, 0)
    head, line, _ = start.split(b"\n", 2)
    if head + b"\n" != _HEAD:
        return None
    digest, _, size = line.decode("ascii").partition(" ")
    offset = len(head) + len(line) + 2
    if not 0 < int(size) <= min(_LARGEST, status.st_size - offset):
        return None
    data = os.pread(descriptor, int(size), offset)
    if digest_of(data) != digest:
        return None
    index = json.loads(data)
    if index["code"] != code_signature() and index["rules"] != rules_fingerprint():
        return None
    stored = _Stored(os.dup(descriptor), offset + len(data), index["blobs"])
    # Written again with the new times of the same code, for the next run.
    changed = index["code"] != code_signature()
    return State(path, index["tables"], _stored=stored, _signature=signature(status), _changed=changed)


def _blob_keys(tables: Mapping[str, Mapping[str, Json]]) -> Iterable[str]:
    for values in tables.values():
        for value in values.values():
            if isinstance(value, dict):
                if isinstance(key := value.get("blob"), str):
                    yield key
                yield from value.get("blobs", ())
