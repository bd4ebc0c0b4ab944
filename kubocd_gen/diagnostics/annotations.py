"""A problem as CI systems know it: with a place in the repository, and told once."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, Severity, printable
from kubocd_gen.diagnostics.text import MergedProblem, distinct_problems
from kubocd_gen.files.paths import checkout_root


@dataclass(frozen=True, slots=True)
class Annotation:
    """`path` is relative to the repository's root, None of what lies in no file of it: then `message` says the place.

    `message` is what is wrong, `details` the way out and what it stops, a line each.
    """

    severity: Severity
    code: str
    message: str
    details: tuple[str, ...] = ()
    path: str | None = None
    line: int | None = None
    column: int | None = None
    release: str | None = None  # where it is the problem of one

    @property
    def text(self) -> str:
        """Message and details, a line each."""
        return "\n".join((self.message, *self.details))


def annotations_of(problems: Sequence[Problem], root: Path) -> list[Annotation]:
    """The problems of a run, each once, in reading order; `root` is that of the project."""
    top = checkout_top()
    return [_finding(merged, root, top) for merged in distinct_problems(problems)]


def checkout_top() -> Path:
    """The Git checkout that we are in, else the current directory; without links."""
    return checkout_root(Path.cwd()) or Path(os.path.realpath(Path.cwd()))


def fingerprints(findings: Sequence[Annotation]) -> list[str]:
    """What tells each finding from the others, in hexadecimal; without its line, so that one that moves is not new."""
    seen: Counter[tuple[str, ...]] = Counter()
    prints = []
    for one in findings:
        what = (one.code, one.path or "", one.release or "", one.message)
        seen[what] += 1
        prints.append(hashlib.sha256("\0".join((*what, str(seen[what]))).encode()).hexdigest())
    return prints


def repository_path(path: str, root: Path, top: Path) -> str | None:
    """A path as messages name it, relative to `top`; None where no file of the repository is meant."""
    for base in (root, Path.cwd()) if "\0" not in path else ():
        place = Path(os.path.normpath(base.absolute() / path))
        for real in (place, Path(os.path.realpath(place.parent)) / place.name):
            if real.is_relative_to(top) and os.path.lexists(real):
                return real.relative_to(top).as_posix()
    return None


def _finding(merged: MergedProblem, root: Path, top: Path) -> Annotation:
    one = merged.problem
    position = one.position or Position("")
    path = repository_path(position.path, root, top) if position.path else None
    message = one.message if path or not one.position else f"{one.position}: {one.message}"
    return Annotation(
        severity=one.severity,
        code=one.code,
        message=printable(message),
        details=tuple(printable(text) for text in (one.hint, merged.stops) if text),
        path=path,
        line=position.line if path else None,
        column=position.column if path else None,
        release=merged.releases[0] if len(merged.releases) == 1 else None,
    )
