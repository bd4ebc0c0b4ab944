"""Wait for changes of the files that a build reads.

The system reports changes through watchfiles. If these concern only files that are known, their states are read again;
otherwise a scan finds out what changed. Network and container mounts report nothing, and the system limits the number
of watched directories, so there is also a scan from time to time. Scanning 10,000 files takes about 0.1 s, and the
pause after it grows with this time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from watchfiles import watch

from kubocd_gen.watch.inputs import Watched
from kubocd_gen.watch.scan import Event, Scan, changed, scan

_PAUSE = 1.0  # seconds between two scans, at most, if none takes long
_SHARE = 20  # the pause is at least this many times the duration of a scan
_STEP = 0.01  # seconds without events, after which watchfiles reports those before
_FAR_STEP = 0.05  # the same for the rest of the checkout, which is rarely edited
_GROUP = 0.1  # seconds after which it reports events although there are more
_ESTABLISHED = 0.05  # seconds after which watchfiles reports that there are no events, so it has begun to watch
_REST = 0.15  # seconds without changes before a build, if many files change, or if files are written again
_LONGEST_REST = 3.0  # seconds after which a build starts although files still change
_OLD_LOCK = 10.0  # seconds after which Git's lock is assumed to be left over

_Identity = tuple[str, int, int]


class Watcher:
    """The files that a build reads, and what has changed since the last build. Use it in one thread."""

    def __init__(self, what: Watched) -> None:
        self._seen = scan(what)
        self._duration = 0.0
        self._events: set[Event] = set()
        self._must_scan = False
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._reported: frozenset[_Identity] = frozenset()

    def __enter__(self) -> Self:
        self._subscribe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()

    def watch(self, what: Watched) -> None:
        """Watch the files that the next build reads; call it before they are read.

        Files that were already watched have their earlier state, because they can have changed after it was read.
        """
        if what == self._seen.what:
            return
        before, now = self._seen.states, self._scan(what)
        now.states.update({path: before[path] for path in now.states.keys() & before.keys()})
        self._seen = now
        self._subscribe()

    def wait(self) -> list[str]:
        """Wait until files have changed and no longer change, and return their sorted paths."""
        while True:
            events, must_scan = self._take(max(_PAUSE, _SHARE * self._duration))
            is_reported = events and not must_scan
            found = self._look(self._settled(events)) if is_reported else self._rest_without_events()
            if found:
                return found

    def _scan(self, what: Watched) -> Scan:
        began = time.monotonic()
        found = scan(what)
        self._duration = time.monotonic() - began
        return found

    def _look(self, events: set[Event]) -> list[str]:
        """Return the files that events have changed."""
        effect = self._seen.effect(events)
        if not effect.needs_scan:
            return self._seen.update(effect.files)
        found = self._compare(self._scan(self._seen.what))
        if not found:
            time.sleep(self._duration)  # another program can change other files of the directories all the time
        return found

    def _compare(self, now: Scan) -> list[str]:
        """Return the files that differ in a newer scan, which becomes the current one."""
        found = changed(self._seen, now)
        self._seen = now
        self._subscribe()
        return found

    def _settled(self, events: set[Event]) -> set[Event]:
        """Collect events until no more are likely to follow.

        An editor that saves a file is done when its events arrive: the reader of a file also waits until it is at rest.
        A generator, a checkout, or a program that deletes files and creates them again is not.
        """
        end = time.monotonic() + _LONGEST_REST
        locked_end = time.monotonic() + _OLD_LOCK
        while time.monotonic() < (locked_end if self._is_locked() else end):
            rest = _REST if self._is_locked() or self._seen.effect(events).unsettled else 0
            more = self._more(rest)
            if not more and not self._is_locked():
                break
            events |= more
        return events

    def _rest_without_events(self) -> list[str]:
        """Return what a scan finds that the system has not reported, after files no longer change."""
        now = self._scan(self._seen.what)
        if changed(self._seen, now):
            if events := self._more(3 * _STEP):  # the file was saved just before the scan
                return self._look(self._settled(events)) or self._compare(now)
            end = time.monotonic() + _LONGEST_REST
            while time.monotonic() < end:
                time.sleep(_REST)
                later = self._scan(self._seen.what)
                if later.states == now.states and not self._is_locked():
                    break
                now = later
        return self._compare(now)

    def _is_locked(self) -> bool:
        """Return whether Git is changing files of the checkout."""
        lock = self._seen.what.lock
        try:
            return lock is not None and time.time() - lock.stat().st_mtime < _OLD_LOCK
        except OSError:
            return False

    def _more(self, timeout: float) -> set[Event]:
        """Return the events until now, or the first ones within `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._events, timeout)
            events, self._events = self._events, set()
        return events

    def _take(self, timeout: float) -> tuple[set[Event], bool]:
        """Return the events until now, or the first ones within `timeout` seconds, and whether a scan is necessary."""
        with self._changed:
            if not (self._events or self._must_scan):
                self._changed.wait(timeout)
            events, self._events = self._events, set()
            must_scan, self._must_scan = self._must_scan, False
        return events, must_scan

    def _subscribe(self) -> None:
        """Let the system report changes in the current directories."""
        directories = self._seen.near | self._seen.far
        identities = frozenset(map(_identity, directories))  # a directory can have been replaced
        if identities == self._reported:
            return
        self._stop.set()
        self._stop, self._reported = threading.Event(), identities
        # The rest of a checkout can have more directories than the system can watch.
        for some, step in ((self._seen.near, _STEP), (self._seen.far, _FAR_STEP)):
            if some:
                threading.Thread(target=self._notify, args=(some, step, self._stop), daemon=True).start()

    def _notify(self, directories: Iterable[str], step: float, stop: threading.Event) -> None:
        """Collect the events in `directories` until `stop` is set.

        Runs in a thread of its own: in the main thread, watchfiles would turn SIGTERM into KeyboardInterrupt.
        Directories are not watched recursively, because watchfiles follows symlinks along each path on which they can
        be reached.
        """
        established = False
        with contextlib.suppress(OSError, RuntimeError):  # such as too many directories: then there are only scans
            for events in watch(
                *directories,
                watch_filter=None,
                stop_event=stop,
                recursive=False,
                ignore_permission_denied=True,
                force_polling=False,
                step=round(step * 1000),
                debounce=round(_GROUP * 1000),
                rust_timeout=round(_ESTABLISHED * 1000),
                yield_on_timeout=True,
            ):
                if events or not established:
                    with self._changed:
                        self._events |= events
                        self._must_scan |= not established  # for changes before the directories were watched
                        self._changed.notify()
                established = True


def _identity(directory: str) -> _Identity:
    try:
        status = os.stat(directory)  # noqa: PTH116
    except OSError:
        return directory, 0, 0
    return directory, status.st_dev, status.st_ino
