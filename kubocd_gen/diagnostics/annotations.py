"""Convert problems to annotations for CI systems: each once, with a path in the repository."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, Severity, printable
from kubocd_gen.diagnostics.text import MergedProblem, distinct_problems
from kubocd_gen.files.paths import FilePath, checkout_root


@dataclass(frozen=True, slots=True)
class Annotation:
    """A problem for a CI system.

    `path` is relative to the repository's root, or None if the problem is not in a file of the repository; `message`
    then starts with the position. `details` are the hint and the Releases that fail because of it, one line each.
    """

    severity: Severity
    code: str
    message: str
    details: tuple[str, ...] = ()
    path: str | None = None
    line: int | None = None
    column: int | None = None
    release: str | None = None  # `namespace/name`, if exactly one Release has the problem

    @property
    def text(self) -> str:
        """The message and the details, one line each."""
        return "\n".join((self.message, *self.details))


def annotations_of(problems: Sequence[Problem], root: Path) -> list[Annotation]:
    """Return the problems of a run, each once, in reading order; `root` is the directory of the project."""
    top = current_checkout()
    return [_annotation(merged, root, top) for merged in distinct_problems(problems)]


def current_checkout() -> Path:
    """Return the Git checkout that contains the current directory, or the current directory; symlinks are resolved."""
    return checkout_root(Path.cwd()) or Path(os.path.realpath(Path.cwd()))


def fingerprints(annotations: Sequence[Annotation]) -> list[str]:
    """Return a unique hexadecimal fingerprint of each annotation, without its line: a moved problem is not new."""
    seen: Counter[tuple[str, ...]] = Counter()
    digests = []
    for annotation in annotations:
        identity = (annotation.code, annotation.path or "", annotation.release or "", annotation.message)
        seen[identity] += 1
        text = "\0".join((*identity, str(seen[identity])))
        digests.append(hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())
    return digests


def repository_path(path: str, root: Path, top: Path) -> str | None:
    """Return the path of a position relative to `top`, or None if it is not a file of the repository."""
    given = [path.absolute] if isinstance(path, FilePath) else [root.absolute() / path, Path.cwd() / path]
    for one in given if "\0" not in path else ():
        absolute = Path(os.path.normpath(one))
        for real in (absolute, Path(os.path.realpath(absolute.parent)) / absolute.name):
            if real.is_relative_to(top) and os.path.lexists(real):
                return real.relative_to(top).as_posix()
    return None


def _annotation(merged: MergedProblem, root: Path, top: Path) -> Annotation:
    problem = merged.problem
    position = problem.position or Position("")
    path = repository_path(position.path, root, top) if position.path else None
    message = problem.message if path or not problem.position else f"{problem.position}: {problem.message}"
    return Annotation(
        severity=problem.severity,
        code=problem.code,
        message=printable(message),
        details=tuple(printable(text) for text in (problem.hint, merged.affects) if text),
        path=path,
        line=position.line if path else None,
        column=position.column if path else None,
        release=merged.releases[0] if len(merged.releases) == 1 else None,
    )
