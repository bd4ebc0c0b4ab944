"""The content layer of a package: a gzip'd tar of files without directories.

Anyone who can push a package controls these bytes, so the reader accepts only what KuboCD's packager writes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from functools import partial

from kubocd_gen.archives.tar_stream import (
    DIRECTORY,
    EXTENDED,
    EXTENDED_FOR_ALL,
    KINDS,
    REGULAR,
    BadArchiveError,
    Header,
    OverLimitError,
    Stream,
    extended_path,
)
from kubocd_gen.budget.limits import LIMITS, Limits, over_limit
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Position, ProblemsError, shown

_TEXTS = frozenset({"original.yaml", "groomed.yaml", "index.yaml", "status.yaml"})
# Chart names and SemVer versions are ASCII. Hidden files and names that look like a flag are excluded.
_CHART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*\.tgz")
_LONGEST_NAME = 255  # characters; the maximum of common file systems


def read_package_archive(
    data: bytes,
    *,
    describe: str,
    position: Position | None = None,
    limits: Limits = LIMITS,
    budget: Budget | None = None,
) -> dict[str, bytes]:
    """Return the files of a package's content layer by name, in archive order; messages call it `describe`.

    The only names are `original.yaml`, `groomed.yaml`, `index.yaml`, `status.yaml` and chart archives `*.tgz`; a
    leading `./` is dropped. `budget` counts the memory of the files until `release` is called.

    Raises ProblemsError: `bad-archive` for any other member and for data that is not a gzip'd tar, `package-limit` if
    the archive exceeds `limits`, `run-limit` if it exceeds `budget`.
    """
    what = f"the archive of {describe}"
    run = budget or Budget(limits)
    memory = _Memory(run)
    try:
        return _files(data, limits, run, memory)
    except OverLimitError as over:
        memory.release()
        raise ProblemsError(
            over_limit(f"{what} {over}", over.name, limits.of(over.name), needed=over.needed, position=position)
        ) from None
    except BadArchiveError as bad:
        memory.release()
        raise ProblemsError.of("bad-archive", f"{what} {bad}", position=position) from None
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
            if header.size > limits.extended_header:
                raise OverLimitError("has an extended header that is larger", "extended-header", header.size)
            path = extended_path(header, stream.content(header, "an extended header"), "a package") or path
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
    if header.kind not in REGULAR:
        kind = KINDS.get(header.kind) or f"of the unknown type {shown(header.kind.decode('latin-1'))}"
        raise BadArchiveError(f"contains {shown(name)}, which is {kind}; a package can contain only regular files")
    flat = name.removeprefix("./")
    if len(flat) > _LONGEST_NAME:
        raise BadArchiveError(f"contains {shown(flat)}, whose name is longer than {_LONGEST_NAME} characters")
    if flat not in _TEXTS and not _CHART.fullmatch(flat):
        raise BadArchiveError(f"contains {shown(name)}, which is not a file of a KuboCD package")
    return flat
