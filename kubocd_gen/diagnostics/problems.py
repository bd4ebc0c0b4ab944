"""Problems as data: what is wrong, where, and how to fix it.

A step that cannot continue raises ProblemsError; a step that can collects its problems in a Problems. One invalid
Release never hides the problems of the others. Renderers are functions of a sequence of problems, and sort it.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from kubocd_gen.files.paths import shown_path

Severity = Literal["error", "warning", "note"]

RUN_LIMIT = "run-limit"  # the code of a problem that ends the whole run; collected once
MOST = 200  # problems of one severity that are kept for one Release or file
_SENTENCE = 4000  # characters of a message or hint; a longer one quotes an untrusted file
_LONGEST, _MOST_NAMES = 100, 1000  # length and number of names that are compared: the time grows with both


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a file. `line` and `column` (in characters) count from 1; None means the whole file or line.

    `path` is for programs. As a string, a position is for people: its path is relative to the current directory.
    """

    path: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (shown_path(self.path), self.line, self.column) if part is not None)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem that a user can fix. It is immutable, because threads and clusters share problems.

    `code` is kebab-case and stable: users filter on it. `message` is one sentence and `hint` says how to fix the
    problem; both are truncated to 4,000 characters. `release` is the `namespace/name` of the Release that has the
    problem or fails because of it. `cause` is the `namespace/name` of a Release whose errors cause this problem.
    `exit_code` is the exit code of a command with this error.
    """

    code: str
    message: str
    position: Position | None = None
    hint: str | None = None
    severity: Severity = "error"
    release: str | None = None
    cluster: str | None = None
    exit_code: int = 1
    cause: str | None = None

    def __post_init__(self) -> None:
        for name in ("message", "hint"):
            text = getattr(self, name)
            if text and len(text) > _SENTENCE:
                object.__setattr__(self, name, f"{text[:_SENTENCE]}…")

    def at(self, position: Position | None) -> Problem:
        """Return the problem with `position`, unless it has one already."""
        return replace(self, position=self.position or position)


class ProblemsError(Exception):
    """The only exception meant for users: a step found problems and cannot continue. Others are defects."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems

    @staticmethod
    def of(
        code: str,
        message: str,
        position: Position | None = None,
        hint: str | None = None,
        *,
        release: str | None = None,
        exit_code: int = 1,
    ) -> ProblemsError:
        """Return the error of one problem, with its fields."""
        return ProblemsError(Problem(code, message, position, hint, release=release, exit_code=exit_code))

    @property
    def problem(self) -> Problem:
        """The first problem, which is usually the only one."""
        return self.problems[0]

    def at(self, position: Position | None) -> ProblemsError:
        """Return the error with `position` for the problems that have none."""
        return ProblemsError(*(problem.at(position) for problem in self.problems))


class Problems:
    """A collector of the problems of one cluster's compilation, without duplicates.

    It keeps MOST problems for each Release or file and each severity, and counts the others. An exhausted limit of the
    run is kept once, however many steps it ends.
    """

    def __init__(self, cluster: str | None = None) -> None:
        self.cluster = cluster
        self._found: dict[Problem, None] = {}
        self._counts: Counter[tuple[Severity, str | None, str | None]] = Counter()
        self._ended = False

    def __iter__(self) -> Iterator[Problem]:
        """Yield the problems in reading order, which does not depend on the order in which threads found them."""
        found = list(self._found)
        for (severity, release, path), count in tuple(self._counts.items()):
            if count > MOST:
                position = Position(path) if path else None
                more = f"{count - MOST} more {severity}{'' if count - MOST == 1 else 's'} are not shown"
                hint = "fix the problems above first"
                found.append(Problem("more-problems", more, position, hint, severity, release, self.cluster))
        yield from sorted(found, key=reading_order)

    def unordered(self) -> Iterable[Problem]:
        """Return the problems in no particular order, which is faster."""
        return self._found

    def error(self, error: Problem | ProblemsError, release: str | None = None) -> None:
        """Add each problem as an error, of the Release `namespace/name` or, if None, of the cluster."""
        self._add("error", error, release)

    def warning(self, error: Problem | ProblemsError, release: str | None = None) -> None:
        """Add each problem as a warning, like `error`."""
        self._add("warning", error, release)

    def note(self, error: Problem | ProblemsError, release: str | None = None) -> None:
        """Add each problem as a note, like `error`."""
        self._add("note", error, release)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Add a ProblemsError that ends the block, and continue after the block."""
        try:
            yield
        except ProblemsError as error:
            self.error(error)

    def take(self, others: Iterable[Problem]) -> None:
        """Add problems unchanged, with the cluster in which they were found."""
        self._found.update(dict.fromkeys(others))

    def _add(self, severity: Severity, error: Problem | ProblemsError, release: str | None) -> None:
        for one in error.problems if isinstance(error, ProblemsError) else (error,):
            problem = replace(one, severity=severity, release=release, cluster=self.cluster)
            if problem in self._found or (one.code == RUN_LIMIT and self._ended):
                continue
            self._ended |= one.code == RUN_LIMIT
            path = one.position.path if one.position and release is None else None
            source = (severity, release, path)
            self._counts[source] += 1
            if self._counts[source] <= MOST:
                self._found[problem] = None


def has_errors(problems: Iterable[Problem]) -> bool:
    """Return whether a problem is an error, not a warning or a note."""
    found = problems.unordered() if isinstance(problems, Problems) else problems
    return any(problem.severity == "error" for problem in found)


def reading_order(problem: Problem) -> tuple[Any, ...]:
    """Return the sort key of a problem: errors last, problems of one file together and in the order of its lines."""
    position = problem.position
    location = (position.path, position.line or 0, position.column or 0) if position else ("", 0, 0)
    severity = ("note", "warning", "error").index(problem.severity)
    return severity, location, problem.code, problem.message, problem.release or "", problem.cluster or ""


def printable(text: str) -> str:
    """Return `text` with all characters escaped that a terminal would interpret: control characters and line breaks."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def nearest(sentence: str, name: str, known: Iterable[str]) -> str | None:
    """Return `sentence` with `{}` replaced by the known name most similar to `name`; None if none is similar."""
    candidates = [one for one in islice(known, _MOST_NAMES) if len(one) <= _LONGEST]
    close = difflib.get_close_matches(name[:_LONGEST], candidates, n=1, cutoff=0.6)
    return sentence.format(close[0]) if close else None


_SHOWN = 200  # characters; a longer name is an attack or a mistake, and its start shows which


def shown(text: str) -> str:
    """Return `text` in single quotes, with escapes for unprintable characters, and truncated if it is very long."""
    shortened = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"'{printable(shortened)}'"
