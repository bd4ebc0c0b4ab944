"""The content layer of a package: a gzip'd tar of files without directories.

Anyone who can push a package controls these bytes, so the reader accepts only what KuboCD's packager writes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from kubocd_gen.archives.tar_stream import (
    CONTRADICTIONS,
    DIRECTORY,
    EXTENDED,
    EXTENDED_FOR_ALL,
    BadArchiveError,
    Header,
    OverLimitError,
    Stream,
    archive_errors,
)
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Position, shown

_TEXTS = frozenset({"original.yaml", "groomed.yaml", "index.yaml", "status.yaml"})
# Chart names and SemVer versions are ASCII. Hidden files and names that look like a flag are excluded.
_CHART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*\.tgz")
_LONGEST_NAME = 255  # characters; the maximum of common file systems


@dataclass(frozen=True, slots=True)
class Subject:
    """An untrusted package: its name and position in messages, and the limits that it must not exceed.

    `budget` is that of the run. It counts the memory of the package's files until `release` is called.
    """

    name: str
    position: Position | None = None
    limits: Limits = LIMITS
    budget: Budget = field(default_factory=Budget)


def read_package_archive(data: bytes, package: Subject) -> dict[str, bytes]:
    """Return the files of a package's content layer by name, in archive order.

    The only names are `original.yaml`, `groomed.yaml`, `index.yaml`, `status.yaml` and chart archives `*.tgz`; a
    leading `./` is dropped.

    Raises ProblemsError: `bad-archive` for any other member and for data that is not a gzip'd tar, `package-limit` if
    the archive exceeds the package's limits, `run-limit` if it exceeds the budget.
    """
    memory = _Memory(package.budget)
    try:
        with archive_errors(f"the archive of {package.name}", "bad-archive", package.limits, package.position):
            return _files(data, package.limits, package.budget, memory)
    except BaseException:
        memory.release()
        raise


def release(files: Mapping[str, bytes], budget: Budget) -> None:
    """Return the memory of `files` to the budget, because they are discarded."""
    budget.spend("package-memory", -sum(map(len, files.values())))


class _Memory:
    """The share of the run's memory that the files of one archive use."""

    _lock = threading.Lock()  # shared by all archives, because `take` checks and then spends

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, size: int) -> None:
        """Count `size` bytes.

        Raises OverLimitError if they do not fit; only this package is refused, and the run continues.
        """
        with self._lock:
            if size > self._budget.left("package-memory"):
                self._budget.spend("package-memory", 0)  # raises if the run has ended for another reason
                raise OverLimitError("makes the total size of all packages larger", "package-memory")
            self._budget.spend("package-memory", size)
        self._taken += size

    def release(self) -> None:
        """Return all memory that was taken."""
        self._budget.spend("package-memory", -self._taken)


def _files(data: bytes, limits: Limits, budget: Budget, memory: _Memory) -> dict[str, bytes]:
    if len(data) > limits.layer:
        raise OverLimitError("is larger", "layer", len(data))
    stream = Stream(data, limits.unpacked, "unpacked", limits.gzip_members, partial(budget.spend, "unpacked-total"))
    files: dict[str, bytes] = {}
    seen: set[str] = set()
    path: str | None = None  # the next member's name, if an extended header sets it
    for count, header in enumerate(stream.headers(), 1):
        if count > limits.members:
            raise OverLimitError("has more members", "members")
        if header.kind in (EXTENDED, EXTENDED_FOR_ALL):
            path = stream.long_name(header, limits.extended_header, CONTRADICTIONS, "a package") or path
            continue
        name, path = path or header.name, None
        if header.kind == DIRECTORY and name in (".", "./") and header.size == 0:
            continue
        flat = _flat_name(header, name)
        # Names that differ only in case would be the same file on macOS.
        if flat.lower() in seen:
            raise BadArchiveError(f"contains {shown(flat)} twice")
        seen.add(flat.lower())
        limit, most = ("text", limits.text) if flat in _TEXTS else ("unpacked", limits.unpacked)
        if header.size > most:
            raise OverLimitError(f"contains {shown(flat)}, which is larger", limit, header.size)
        if flat not in _TEXTS and header.size > limits.chart_archive:  # Flux would refuse it, so don't load it
            stream.skip(header, shown(flat))
            raise OverLimitError(f"contains {shown(flat)}, which is larger", "chart-archive", header.size)
        memory.take(header.size)
        files[flat] = stream.content(header, shown(flat))
    stream.expect_padding()
    if not files:
        raise BadArchiveError("is empty")
    return files


def is_package_file(name: str) -> bool:
    """Return whether a package can contain a file with this name."""
    return len(name) <= _LONGEST_NAME and (name in _TEXTS or _CHART.fullmatch(name) is not None)


def _flat_name(header: Header, name: str) -> str:
    header.expect_file(name, "a package")
    flat = name.removeprefix("./")
    if len(flat) > _LONGEST_NAME:
        raise BadArchiveError(f"contains {shown(flat)}, whose name is longer than {_LONGEST_NAME} characters")
    if flat not in _TEXTS and not _CHART.fullmatch(flat):
        raise BadArchiveError(f"contains {shown(name)}, which is not allowed in a KuboCD package")
    return flat
