"""Watch the files that a build depends on.

Scans decide whether something changed. watchfiles starts a scan as soon as the system reports a change in one of the
directories; it is not asked what changed. Network and container mounts report nothing, and the system limits the number
of directories, so there is also a scan from time to time. Scanning 10,000 files takes about 60 ms, and the pause after
it grows with this time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchfiles import watch

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import source_walk
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import DirectoryWalk, PatternError
from kubocd_gen.model.project import Project

_PAUSE = 1.0  # seconds between two scans, at most, if none takes long
_SHARE = 20  # the pause is at least this many times the duration of a scan
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
    sources = [source for cluster in project.clusters for source in cluster.sources]
    if any(cluster.rendered for cluster in project.clusters):  # kustomize and Flux lead to any directory
        sources.append(os.path.relpath(project.files.root, project.root))
    outputs = tuple(cluster.output for cluster in project.clusters)
    return Watched(tuple(files), project.root, tuple(sources), outputs, project.files, project.limits)


def look(what: Watched) -> Snapshot:
    """Return the current state of all files that discovery would find, and of missing or unreadable paths."""
    return _scan(what)[0]


def _scan(what: Watched) -> tuple[Snapshot, frozenset[str]]:
    """Return the state of all files, and the directories in which a change can change it."""
    found: dict[str, State] = {}
    for file in what.files:
        found[str(file)] = _state(str(file))
    directories = {_existing_parent(path) for path in (*what.files, *(what.root / source for source in what.sources))}
    walk = source_walk(what.root, what.ignored, what.readable or CheckoutFiles.around(what.root), Budget(what.limits))
    try:
        for source in what.sources:
            for path in _matches(walk, source, what.root):
                for real, file in walk.below(path):
                    state = found[str(file)] = _state(str(file))
                    if state:
                        directories.add(os.path.dirname(real))  # noqa: PTH120 - of the target, if it is a symlink
    except BudgetExceededError:
        pass  # the build reports it
    for error in walk.errors:
        found[str(error.position)] = None
    return found, frozenset(directories | walk.listed)


def _matches(walk: DirectoryWalk, source: str, root: Path) -> Iterable[Path]:
    path = root / source
    if not os.path.lexists(path):
        with contextlib.suppress(PatternError):
            return walk.matches(source, root) or [path]
    return [path]


def _existing_parent(path: Path) -> str:
    """Return the real path of the closest directory above `path` that exists; `path` can be a glob."""
    return next(os.path.realpath(parent) for parent in path.absolute().parents if parent.is_dir())


def _state(path: str) -> State:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def wait_for_change(what: Watched, seen: Snapshot) -> Snapshot:
    """Wait until the files differ from `seen` and no longer change, and return their state."""
    notified, stop = threading.Event(), threading.Event()
    reported: frozenset[str] = frozenset()
    try:
        while True:
            began = time.monotonic()
            now, directories = _scan(what)
            duration = time.monotonic() - began
            if now != seen:
                now = _at_rest(what, now)
                if now != seen:
                    return now
            if directories != reported:
                stop.set()
                stop, reported = threading.Event(), directories
                threading.Thread(target=_notify, args=(reported, notified, stop), daemon=True).start()
            notified.wait(max(_PAUSE, _SHARE * duration))
            time.sleep(duration)  # another program can change other files of the directories all the time
            notified.clear()
    finally:
        stop.set()


def _notify(directories: Iterable[str], notified: threading.Event, stop: threading.Event) -> None:
    """Set `notified` after each change in one of the directories that the system reports, until `stop` is set.

    Runs in a thread of its own: in the main thread, watchfiles would turn SIGTERM into KeyboardInterrupt. Directories
    are not watched recursively, because watchfiles follows symlinks along each path on which they can be reached.
    """
    with contextlib.suppress(OSError, RuntimeError):  # such as too many directories: then there are only scans
        for _ in watch(*directories, watch_filter=None, stop_event=stop, recursive=False, force_polling=False):
            notified.set()


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
