"""A file with results that another machine reads: named sections of JSON values, one a line, and blobs.

    kcd-gen shard 1\\n
    <digest of the head> <size of the head>\\n
    <head: JSON, with the places of the sections>
    <sections: lines of JSON>
    <blobs>

Unlike a state, the file is input: it comes from another job. A reader checks every digest and size, and reads one line
at a time, so that a file of any size and content costs little memory. Digests find damage, not forgery: whoever can
write the file can compute them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from kubocd_gen.files.directory import made_directory, open_directory
from kubocd_gen.state.store import digest_of

_MAGIC = b"kcd-gen shard 1\n"
_LARGEST_HEAD = 16 << 20  # bytes; each cluster has some 150
LARGEST_VALUE = 4 << 20
"""Bytes of a line or a blob. A writer leaves out what is larger."""

_PLACE = 100  # bytes of the place of a blob in a line
_CHUNK = 1 << 20
_DEEPEST = 200  # nested maps and lists; YAML of sources and templates can have 100
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # in JSON; two of them can be one character

Json = Any  # what `json.loads` returns


@dataclass(frozen=True, slots=True)
class Section:
    """A section to be written: its name, what the head says of it, and its values, each with a blob."""

    name: str
    about: Json
    values: Sequence[tuple[Json, bytes]]


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Where a blob is in a file."""

    file: PortableFile
    offset: int
    size: int
    key: str

    def read(self) -> bytes:
        """Return the content. Raises ValueError and OSError."""
        data = self.file.at(self.offset, self.size)
        if digest_of(data) != self.key:
            raise ValueError("a blob does not match its digest")
        return data


def fits(value: Json, blob: bytes) -> bool:
    """Return whether a reader accepts a value of a section and its blob."""
    return len(_line(value, None)) <= LARGEST_VALUE - _PLACE and len(blob) <= LARGEST_VALUE


def write_portable(path: Path, about: Json, sections: Sequence[Section]) -> None:
    """Write a file, and make missing directories. Raises OSError, also for a symlink in a checkout."""
    blobs: dict[str, tuple[int, bytes]] = {}
    end = 0
    places, texts = [], []
    start = 0
    for section in sections:
        lines = []
        for value, blob in section.values:
            key = digest_of(blob)
            if key not in blobs:
                blobs[key] = end, blob
                end += len(blob)
            lines.append(_line(value, [blobs[key][0], len(blob), key]))
        text = b"".join(lines)
        places.append([section.name, section.about, start, len(text), digest_of(text)])
        texts.append(text)
        start += len(text)
    head = json.dumps({"about": about, "sections": places, "blobs": [start, end]}, separators=(",", ":")).encode()
    with made_directory(path.parent) as directory, directory.replacing(path.name, durable=False) as file:
        file.write(_MAGIC + f"{digest_of(head)} {len(head)}\n".encode() + head)
        file.writelines(texts)
        file.writelines(data for _, data in blobs.values())


def _line(value: Json, place: Json) -> bytes:
    return json.dumps([value, place], separators=(",", ":")).encode() + b"\n"


class PortableFile:
    """An open file. `about` is what the writer says of it. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open a file. Raises OSError, and ValueError with a reason if it is not such a file or is damaged."""
        with open_directory(path.parent) as directory, directory.open_file(path.name) as file:
            self._descriptor = os.dup(file.fileno())
        try:
            self._size = os.fstat(self._descriptor).st_size
            self._read_head()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            self.close()

    @property
    def sections(self) -> dict[str, Json]:
        """What the writer says of each section, by its name."""
        return {name: place[0] for name, place in self._sections.items()}

    def values(self, name: str) -> Iterator[tuple[Json, StoredBlob]]:
        """Yield the values of a section with their blobs. Raises ValueError and OSError."""
        _, offset, size, digest = self._sections[name]
        for line in self._lines(offset, size, digest):
            parsed = strict_json(line)
            if not (isinstance(parsed, list) and len(parsed) == 2):
                raise ValueError("a line has no value")
            value, place = parsed
            if not (isinstance(place, list) and [type(one) for one in place] == [int, int, str]):
                raise ValueError("a value has no blob")
            at, length, key = place
            if not (0 <= at <= at + length <= self._blobs[1] and length <= LARGEST_VALUE):
                raise ValueError("a blob is outside of the file")
            yield value, StoredBlob(self, self._blobs[0] + at, length, key)

    def at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes after the head. Raises ValueError and OSError."""
        data = os.pread(self._descriptor, size, self._start + offset)
        if len(data) != size:
            raise ValueError("the file is truncated")
        return data

    def _read_head(self) -> None:
        first = os.pread(self._descriptor, 128, 0)
        if not first.startswith(_MAGIC):
            raise ValueError("it is not a file of 'build --shard' of this version")
        line, newline, _ = first[len(_MAGIC) :].partition(b"\n")
        found = re.fullmatch(rb"([0-9a-f]{32}) ([0-9]{1,9})", line)
        if not newline or found is None:
            raise ValueError("its head is damaged")
        self._start = len(_MAGIC) + len(line) + 1
        size = int(found[2])
        if size > _LARGEST_HEAD:
            raise ValueError("its head is too large")
        data = self.at(0, size)
        if digest_of(data).encode() != found[1]:
            raise ValueError("its head is damaged")
        self._start += size
        head = strict_json(data)
        try:
            self.about = head["about"]
            begin, _ = self._blobs = _sizes(*head["blobs"])
            self._sections: dict[str, tuple[Json, int, int, Json]] = {}
            for name, about, offset, length, digest in head["sections"]:
                if type(name) is not str or type(digest) is not str or name in self._sections:
                    raise ValueError("its head is not as expected")
                self._sections[name] = (about, *_sizes(offset, length), digest)
                if offset + length > begin:
                    raise ValueError("its head is not as expected")
        except (KeyError, TypeError, IndexError):
            raise ValueError("its head is not as expected") from None
        if self._start + sum(self._blobs) != self._size:
            raise ValueError("the file is truncated")

    def _lines(self, offset: int, size: int, digest: str) -> Iterator[bytes]:
        found = hashlib.blake2b(digest_size=16)
        rest, end = b"", offset + size
        while offset < end:
            data = self.at(offset, min(_CHUNK, end - offset))
            found.update(data)
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            if len(rest) > LARGEST_VALUE:
                raise ValueError("a line is too long")
        if rest or found.hexdigest() != digest:
            raise ValueError("a section does not match its digest")


def _sizes(offset: Json, size: Json) -> tuple[int, int]:
    if type(offset) is not int or type(size) is not int or offset < 0 or size < 0:
        raise ValueError("its head is not as expected")
    return offset, size


def strict_json(data: bytes) -> Json:
    """Return a JSON value that other code can process. Raises ValueError for all others.

    Numbers are finite, strings have no lone surrogates, which can't be encoded, and the value is not nested too deeply.
    """
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _SURROGATE.search(data):
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, dict | list)
        ]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")
