"""The content layer of a package: a gzip'd tar of flat files.

Whoever can push a package can write any bytes here, so the reader accepts what KuboCD's packager makes and refuses the
rest.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from functools import partial

from kubocd_gen.archives.tar_stream import (
    EXTENDED,
    EXTENDED_FOR_ALL,
    FOLDER,
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
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown

_TEXTS = frozenset({"original.yaml", "groomed.yaml", "index.yaml", "status.yaml"})
# Chart names and SemVer versions are ASCII; no hidden file, and nothing that a command would take for a flag.
_CHART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*\.tgz")
_LONGEST_NAME = 255  # file systems take no longer one


def read_package_archive(
    data: bytes,
    *,
    describe: str,
    position: Position | None = None,
    limits: Limits = LIMITS,
    budget: Budget | None = None,
) -> dict[str, bytes]:
    """The files of a package's content layer by name, in the archive's order.

    Names are flat: `original.yaml`, `groomed.yaml`, `index.yaml`, `status.yaml` and chart archives `*.tgz`; a `./` in
    front is dropped. Raises ProblemsError, its sentence about "the archive of `describe`": `bad-archive` for any other
    member and for bytes that are no gzip'd tar, `package-limit` beyond `limits`, `run-limit` beyond `budget`, which
    counts the files until `release` gives them back.
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
        raise ProblemsError(Problem("bad-archive", f"{what} {bad}", position=position)) from None
    except BaseException:
        memory.release()
        raise


def release(files: Mapping[str, bytes], budget: Budget) -> None:
    """Give the memory of `files` back to the run: they are not a package after all."""
    budget.spend("package-memory", -sum(map(len, files.values())))


class _Memory:
    """What the files of one archive take of the run's memory."""

    _lock = threading.Lock()  # of all archives: what one finds left, no other takes

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, size: int) -> None:
        """Count `size` bytes.

        Raises OverLimitError: a package that does not fit is refused alone, and the run goes on.
        """
        with self._lock:
            if size > self._budget.left("package-memory"):
                self._budget.spend("package-memory", 0)  # raises if the run has ended for another reason
                raise OverLimitError("brings the files of this run's packages to more", "package-memory")
            self._budget.spend("package-memory", size)
        self._taken += size

    def release(self) -> None:
        """Give it all back."""
        self._budget.spend("package-memory", -self._taken)


def _files(data: bytes, limits: Limits, budget: Budget, memory: _Memory) -> dict[str, bytes]:
    if len(data) > limits.layer:
        raise OverLimitError("is larger", "layer", len(data))
    stream = Stream(data, limits.unpacked, "unpacked", limits.gzip_members, partial(budget.spend, "unpacked-total"))
    files: dict[str, bytes] = {}
    seen: set[str] = set()
    path: str | None = None  # the next member's name, where an extended header gives it
    for count, header in enumerate(stream.headers(), 1):
        if count > limits.members:
            raise OverLimitError("has more members", "members")
        if header.kind in (EXTENDED, EXTENDED_FOR_ALL):
            if header.size > limits.extended_header:
                raise OverLimitError("has an extended header that is larger", "extended-header", header.size)
            path = extended_path(header, stream.content(header, "an extended header"), "a package") or path
            continue
        name, path = path or header.name, None
        if header.kind == FOLDER and name in (".", "./") and header.size == 0:
            continue
        flat = _flat_name(header, name)
        # Names that differ in case alone would be one file on a Mac.
        if flat.lower() in seen:
            raise BadArchiveError(f"holds {shown(flat)} twice")
        seen.add(flat.lower())
        limit, most = ("text", limits.text) if flat in _TEXTS else ("unpacked", limits.unpacked)
        if header.size > most:
            raise OverLimitError(f"holds {shown(flat)}, which is larger", limit, header.size)
        if flat not in _TEXTS and header.size > limits.chart_archive:  # Flux would refuse it: it is not held in memory
            stream.skip(header, shown(flat))
            raise OverLimitError(f"holds {shown(flat)}, which is larger", "chart-archive", header.size)
        memory.take(header.size)
        files[flat] = stream.content(header, shown(flat))
    stream.expect_padding()
    if not files:
        raise BadArchiveError("is empty")
    return files


def is_package_file(name: str) -> bool:
    """Whether a package may hold a file of this name."""
    return len(name) <= _LONGEST_NAME and (name in _TEXTS or _CHART.fullmatch(name) is not None)


def _flat_name(header: Header, name: str) -> str:
    if header.kind not in REGULAR:
        kind = KINDS.get(header.kind) or f"of the unknown type {shown(header.kind.decode('latin-1'))}"
        raise BadArchiveError(f"holds {shown(name)}, which is {kind}; a package holds regular files only")
    flat = name.removeprefix("./")
    if len(flat) > _LONGEST_NAME:
        raise BadArchiveError(f"holds {shown(flat)}, a name of more than {_LONGEST_NAME} characters")
    if flat not in _TEXTS and not _CHART.fullmatch(flat):
        raise BadArchiveError(f"holds {shown(name)}, which is no file of a KuboCD package")
    return flat
