"""When to build again: the files that a build depends on, looked at again and again.

Polling, because it sees what a notification of the system does not: network and container mounts, globs that match
something new, folders that vanish and come back, files saved by renaming. A look at 10,000 files costs some 60 ms; the
pause grows with it, so that looking takes a tenth of one core at most.
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

_PAUSE = 0.3  # seconds between two looks
_SHARE = 10  # of the time that a look takes, the least pause
_REST = 0.15  # for which nothing may change before a build: `git checkout` and generators write file by file
_LONGEST_REST = 3.0  # then there is a build in the midst of it, and another one after

State = tuple[int, int, int, int] | None
Snapshot = Mapping[str, State]
"""What a file looked like, by path; None where it is not there."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a build reads: single files, and sources as a project names them, without what lies in `ignored`."""

    files: tuple[Path, ...]
    root: Path
    sources: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()
    readable: CheckoutFiles | None = None
    limits: Limits = LIMITS


def watched(project: Project, project_file: Path | None) -> Watched:
    """What the builds of a project depend on; `project_file` is None where flags alone make it."""
    files = [project.lock_path]
    if project_file:
        files.append(project_file)
    if project.vendor:  # its blobs have their digests as names
        files += [project.vendor / "index.json", project.vendor / "oci-layout"]
    if project.ca_file:
        files.append(project.ca_file)
    sources = (source for cluster in project.clusters for source in cluster.sources)
    outputs = tuple(cluster.output for cluster in project.clusters)
    return Watched(tuple(files), project.root, tuple(sources), outputs, project.files, project.limits)


def look(what: Watched) -> Snapshot:
    """How it all looks now. Every file that discovery would find is in it, and every missing or unreadable place."""
    found: dict[str, State] = {}
    for file in what.files:
        found[str(file)] = _state(str(file))
    walk = source_walk(what.root, what.ignored, what.readable or CheckoutFiles.around(what.root), Budget(what.limits))
    try:
        for source in what.sources:
            found.update(_of_source(walk, source, what.root))
    except BudgetExceededError:
        pass  # the build reports it
    for error in walk.errors:
        found[str(error.position)] = None
    return found


def _of_source(walk: DirectoryWalk, source: str, root: Path) -> Iterator[tuple[str, State]]:
    place = root / source
    if os.path.lexists(place):
        matches = [place]
    else:
        try:
            matches = walk.matches(source, root)
        except PatternError:
            matches = []
    for match in matches or [place]:
        for _, file in walk.below(match):
            yield str(file), _state(str(file))


def _state(place: str) -> State:
    try:
        status = os.stat(place)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def wait_for_change(what: Watched, seen: Snapshot) -> Snapshot:
    """How it looks once it differs from `seen` and has come to rest."""
    while True:
        began = time.monotonic()
        now = look(what)
        cost = time.monotonic() - began
        if now != seen:
            now = _at_rest(what, now)
            if now != seen:
                return now
        time.sleep(max(_PAUSE, _SHARE * cost))


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
    """The paths that differ, sorted."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
