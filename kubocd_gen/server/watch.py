"""Watch the files that a build depends on, by polling.

Unlike file notifications, polling works on network and container mounts, for new matches of globs, for directories that
are removed and created again, and for files saved by renaming. Scanning 10,000 files takes about 60 ms. The pause grows
with this time, so watching uses at most a tenth of one core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import source_walk
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import DirectoryWalk, PatternError
from kubocd_gen.model.project import Project

_PAUSE = 0.3  # seconds between two scans, at least
_SHARE = 10  # the pause is at least this many times the duration of a scan
_REST = 0.15  # seconds without changes before a build, because `git checkout` and generators write file by file
_LONGEST_REST = 3.0  # seconds after which a build starts although files still change

State = tuple[int, int, int, int] | None
Snapshot = Mapping[str, State]
"""The state of each file by path; None if it does not exist."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The files that a build reads: single files, and sources as given in a project, except those in `ignored`."""

    files: tuple[Path, ...]
    root: Path
    sources: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()
    readable: CheckoutFiles | None = None
    limits: Limits = LIMITS


def watched(project: Project, project_file: Path | None) -> Watched:
    """Return the files that the builds of a project read; `project_file` is None for a project given by flags."""
    files = [project.lock_path]
    if project_file:
        files.append(project_file)
    if project.vendor:  # its blobs are named by their digest and never change
        files += [project.vendor / "index.json", project.vendor / "oci-layout"]
    if project.ca_file:
        files.append(project.ca_file)
    sources = (source for cluster in project.clusters for source in cluster.sources)
    outputs = tuple(cluster.output for cluster in project.clusters)
    return Watched(tuple(files), project.root, tuple(sources), outputs, project.files, project.limits)


def look(what: Watched) -> Snapshot:
    """Return the current state of all files that discovery would find, and of missing or unreadable paths."""
    found: dict[str, State] = {}
    for file in what.files:
        found[str(file)] = _state(str(file))
    walk = source_walk(what.root, what.ignored, what.readable or CheckoutFiles.around(what.root), Budget(what.limits))
    try:
        for source in what.sources:
            found.update(_scan_source(walk, source, what.root))
    except BudgetExceededError:
        pass  # the build reports it
    for error in walk.errors:
        found[str(error.position)] = None
    return found


def _scan_source(walk: DirectoryWalk, source: str, root: Path) -> Iterator[tuple[str, State]]:
    path = root / source
    if os.path.lexists(path):
        matches = [path]
    else:
        try:
            matches = walk.matches(source, root)
        except PatternError:
            matches = []
    for match in matches or [path]:
        for _, file in walk.below(match):
            yield str(file), _state(str(file))


def _state(path: str) -> State:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def wait_for_change(what: Watched, seen: Snapshot) -> Snapshot:
    """Wait until the files differ from `seen` and no longer change, and return their state."""
    while True:
        began = time.monotonic()
        now = look(what)
        duration = time.monotonic() - began
        if now != seen:
            now = _at_rest(what, now)
            if now != seen:
                return now
        time.sleep(max(_PAUSE, _SHARE * duration))


def _at_rest(what: Watched, now: Snapshot) -> Snapshot:
    end = time.monotonic() + _LONGEST_REST
    while time.monotonic() < end:
        time.sleep(_REST)
        later = look(what)
        if later == now:
            break
        now = later
    return now


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the sorted paths whose state differs."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
