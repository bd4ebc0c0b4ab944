"""Problems as data: what is wrong, where, and the way out.

A step that can't go on raises `KcdError`; one that can find several problems returns them. `Findings` collects
both for a run, so that one bad Release never hides the others; the reporters in `cli` print them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


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
        self.message = message
        self.code = code
        self.position = position
        self.hint = hint


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
    """The problems of one cluster's compilation, in the order in which they were found, without repeats."""

    def __init__(self, cluster: str | None = None) -> None:
        self.cluster = cluster
        self._found: dict[Diagnostic, None] = {}

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._found)

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
        self._found.setdefault(diagnostic)


def printable(text: str) -> str:
    """`text` with everything escaped that could act on a terminal: control and formatting characters, line breaks."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def nearest(sentence: str, name: str, known: Iterable[str]) -> str | None:
    """`sentence` with `{}` filled by the known name that looks most like `name`; None when none comes near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return sentence.format(close[0]) if close else None
