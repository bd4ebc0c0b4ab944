"""Problems as data: what is wrong, where, and the way out.

A step that can't go on raises `KcdError`; one that can find several problems returns them. `Findings` collects
both for a run, so that one bad Release never hides the others; the reporters in `cli` print them.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

Severity = Literal["error", "warning", "note"]

RUN_LIMIT = "run-limit"  # the code of what ends a whole run: once is enough
MOST = 200  # problems of one severity that are kept of one Release, or of one file; more only hostile input has
_SENTENCE = 4000  # characters; a longer one repeats what a hostile file holds
_LONGEST, _MOST_NAMES = 100, 1000  # of names that are compared: the time grows with both


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file. `line` and `column` count from 1, columns in characters; None means the whole file or line."""

    path: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


class KcdError(Exception):
    """A problem that a user can act on; its text is the sentence that the user reads.

    `code` is kebab-case and stable: users filter on it, and the documentation has a page for each.
    """

    exit_code = 1

    def __init__(self, message: str, *, code: str, position: Position | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = _cut(message)
        self.code = code
        self.position = position
        self.hint = _cut(hint) if hint else hint


class KcdErrors(Exception):
    """Several problems found by one step that could not go on."""

    def __init__(self, errors: Iterable[KcdError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in self.errors))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A problem as it is reported: an error, or a warning or note that stops nothing.

    `release` is `namespace/name` of the Release that the problem belongs to or stops, None where it is no one's.
    """

    severity: Severity
    code: str
    message: str
    hint: str | None = None
    cluster: str | None = None
    release: str | None = None
    position: Position | None = None
    exit_code: int = 1


class Findings:
    """The problems of one cluster's compilation, in the order in which they were found, without repeats.

    Of one Release or file MOST are kept of each severity, and how many more there were. That the run has used up a
    limit is kept once, whoever is stopped by it.
    """

    def __init__(self, cluster: str | None = None) -> None:
        self.cluster = cluster
        self._found: dict[Diagnostic, None] = {}
        self._counts: Counter[tuple[Severity, str | None, str | None]] = Counter()
        self._ended = False

    def __iter__(self) -> Iterator[Diagnostic]:
        yield from tuple(self._found)
        for (severity, release, path), count in tuple(self._counts.items()):
            if count > MOST:
                position = Position(path) if path else None
                more = f"{count - MOST} more {severity}{'' if count - MOST == 1 else 's'} are not shown"
                hint = "fix the ones above first"
                yield Diagnostic(severity, "more-problems", more, hint, self.cluster, release, position)

    def error(self, error: KcdError | KcdErrors, release: str | None = None) -> None:
        for one in error.errors if isinstance(error, KcdErrors) else (error,):
            self._add("error", one, release)

    def warning(self, error: KcdError, release: str | None = None) -> None:
        self._add("warning", error, release)

    def note(self, error: KcdError, release: str | None = None) -> None:
        self._add("note", error, release)

    def take(self, others: Iterable[Diagnostic]) -> None:
        """Add what was found elsewhere, with the cluster that it was found in."""
        self._found.update(dict.fromkeys(others))

    def _add(self, severity: Severity, error: KcdError, release: str | None) -> None:
        diagnostic = Diagnostic(
            severity=severity,
            code=error.code,
            message=error.message,
            hint=error.hint,
            cluster=self.cluster,
            release=release,
            position=error.position,
            exit_code=error.exit_code,
        )
        if diagnostic in self._found or (error.code == RUN_LIMIT and self._ended):
            return
        self._ended |= error.code == RUN_LIMIT
        path = error.position.path if error.position and release is None else None
        source = (severity, release, path)
        self._counts[source] += 1
        if self._counts[source] <= MOST:
            self._found[diagnostic] = None


def _cut(text: str) -> str:
    return text if len(text) <= _SENTENCE else f"{text[:_SENTENCE]}…"


def printable(text: str) -> str:
    """`text` with everything escaped that could act on a terminal: control and formatting characters, line breaks."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def nearest(sentence: str, name: str, known: Iterable[str]) -> str | None:
    """`sentence` with `{}` filled by the known name that looks most like `name`; None when none comes near."""
    candidates = [one for one in islice(known, _MOST_NAMES) if len(one) <= _LONGEST]
    close = difflib.get_close_matches(name[:_LONGEST], candidates, n=1, cutoff=0.6)
    return sentence.format(close[0]) if close else None
