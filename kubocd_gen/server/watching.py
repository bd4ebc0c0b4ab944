"""When to build again: the files that a build depends on, looked at again and again.

Polling, because it sees what a notification of the system does not: network and container mounts, globs that match
something new, folders that vanish and come back, files saved by renaming. A look at 10,000 files costs some 60 ms; the
pause grows with it, so that looking takes a tenth of one core at most.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.project import Project
from kubocd_gen.sources.discovery import SUFFIXES

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
    return Watched(tuple(files), project.root, tuple(sources), tuple(cluster.output for cluster in project.clusters))


def look(what: Watched) -> Snapshot:
    """How it all looks now. Every file that discovery would find is in it, and every missing or unreadable place."""
    found: dict[str, State] = {}
    ignored = {os.path.realpath(path) for path in what.ignored}
    for file in what.files:
        found[str(file)] = _state(str(file))
    for source in what.sources:
        place = os.path.join(what.root, source)  # noqa: PTH118 - 10,000 Paths cost more than the look
        matches = [place] if os.path.lexists(place) else glob.glob(place, recursive=True)  # noqa: PTH207
        for match in matches or [place]:
            if os.path.isdir(match):  # noqa: PTH112
                found.update(_below(match, ignored, frozenset()))
            else:
                found[match] = _state(match)
    return found


def _below(folder: str, ignored: set[str], above: frozenset[str]) -> Iterator[tuple[str, State]]:
    real = os.path.realpath(folder)
    if real in ignored or real in above:
        return
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    yield from _below(entry.path, ignored, above | {real})
                elif entry.name.endswith(SUFFIXES):
                    yield entry.path, _state(entry)
    except OSError:
        yield folder, None


def _state(place: str | os.DirEntry[str]) -> State:
    try:
        status = place.stat() if isinstance(place, os.DirEntry) else os.stat(place)  # noqa: PTH116
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
