"""Scans of the files that a build reads: their states, and what an event of the file system can change."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from watchfiles import Change

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import DirectoryWalk, PatternError
from kubocd_gen.watch.inputs import Watched

_MANY = 8  # changes at a time that no editor makes

Event = tuple[Change, str]
State = tuple[int, int, int, int] | None


class Effect(NamedTuple):
    """What events mean: the known files whose states can differ, and whether only a scan finds out what changed.

    `unsettled` is set if more changes are likely to follow: a file was deleted or emptied, or there are many changes.
    """

    files: Collection[str]
    needs_scan: bool
    unsettled: bool


@dataclass(slots=True)
class Scan:
    """The state of each file by path, or None if it is missing or unreadable.

    `near` are the real directories in which a change can change the sources or the single files, and `far` those of the
    rest of the checkout.
    """

    what: Watched
    states: dict[str, State] = field(default_factory=dict)
    near: frozenset[str] = frozenset()
    far: frozenset[str] = frozenset()
    named: dict[str, str] = field(default_factory=dict)  # the path of each file by its real path

    def effect(self, events: Collection[Event]) -> Effect:
        """Return what events can have changed since this scan."""
        files: set[str] = set()
        needs_scan, unsettled = False, len(events) > _MANY
        ignored = {os.path.realpath(path) for path in self.what.ignored}
        for change, path in events:
            known = self.named.get(path)
            try:
                status = os.lstat(path) if known is None else os.stat(path)  # noqa: PTH116
            except OSError:
                if known is None and change is not Change.added and (Change.added, path) in events:
                    continue  # a temporary file
                if known is None and change is Change.added:
                    continue  # it no longer exists, so there is another event
                needs_scan = unsettled = True
                continue
            if known is None and self._is_foreign(path, status, ignored):
                continue
            unsettled |= stat.S_ISDIR(status.st_mode) or status.st_size == 0
            if known is not None and self.states[known] is not None and stat.S_ISREG(status.st_mode):
                files.add(known)
            else:
                needs_scan = True
        return Effect(files, needs_scan, unsettled)

    def update(self, files: Iterable[str]) -> list[str]:
        """Read the states of known files again, and return the sorted paths of those that differ."""
        changed = []
        for path in sorted(files):
            state = _state(path)
            if state != self.states.get(path):
                self.states[path] = state
                changed.append(path)
        return changed

    def _is_foreign(self, path: str, status: os.stat_result, ignored: Collection[str]) -> bool:
        """Return whether a file or directory that no scan has found is not read by a build."""
        name = os.path.basename(path)  # noqa: PTH119
        if path in ignored:
            return True
        if path in self.near or path in self.far:
            return False
        hidden = name.startswith(".") and not any("/." in f"/{source}" for source in self.what.sources)
        return hidden or (stat.S_ISREG(status.st_mode) and not name.endswith(self.what.suffixes))


def scan(what: Watched) -> Scan:
    """Return the state of all files that discovery would find, and of missing or unreadable paths."""
    found = Scan(what)
    near = {
        directory
        for path in (*what.files, *(what.root / source for source in what.sources))
        for directory in (_existing_parent(path), _existing_parent(Path(os.path.realpath(path))))
    }
    for file in what.files:
        _add(found, os.path.realpath(file), file)
    readable = what.readable or CheckoutFiles.around(what.root)
    ignored = frozenset(os.path.realpath(path) for path in what.ignored)
    walk = DirectoryWalk(readable, Budget(what.limits), what.suffixes, what.root, ignored)
    try:
        for source in what.sources:
            for path in _matches(walk, source, what.root):
                for real, file in walk.below(path):
                    if _add(found, real, file):
                        near.add(os.path.dirname(real))  # noqa: PTH120 - of the target, if it is a symlink
    except BudgetExceededError:
        pass  # the build reports it
    near |= walk.listed
    if what.around is not None:
        walk.budget = Budget(what.limits)
        with contextlib.suppress(BudgetExceededError):
            for real, file in walk.below(what.around):
                _add(found, real, file)
    for error in walk.errors:
        found.states[str(error.position)] = None
    found.near, found.far = frozenset(near), frozenset(walk.listed - near)
    return found


def changed(before: Scan, after: Scan) -> list[str]:
    """Return the sorted paths whose state differs."""
    old, new = before.states, after.states
    return sorted(path for path in {*old, *new} if old.get(path) != new.get(path))


def _add(found: Scan, real: str, file: Path) -> bool:
    """Add a file once, by the first path that leads to it. Return whether it exists."""
    if real in found.named:
        return True
    name = str(file)
    found.named[real] = name
    state = found.states[name] = _state(name)
    return state is not None


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
