"""What stands between an output and what the sources compile to, for a reader: `kcd-gen build --check`."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Sequence

from kubocd_gen.output.plan import FileChange, Plan

_CONTEXT = 3  # lines around a difference
_LINES = 60  # of one file's difference, and
_LINES_IN_ALL = 400  # of all: what a reader of a CI log still reads
_LONGEST = 5_000  # lines of a file whose lines are compared: the time grows with their square
_VERBS = {"created": "missing", "updated": "different", "removed": "too many"}


def drift(plan: Plan, *, charts: bool) -> tuple[FileChange, ...]:
    """The changes that a build would make, records of ownership included; without `charts` those in `hr/` left out."""
    return tuple(
        change
        for change in plan.changes
        if change.change != "unchanged" and (charts or not change.path.startswith("hr/"))
    )


def drift_lines(changes: Sequence[FileChange], folder: str, *, full: bool) -> Iterator[str]:
    """A unified difference of each file, which `git apply` takes from where `folder` is the output's path.

    Records are left out: they follow the files. Without `full` long ones are cut, and it is said by how much.
    """
    left = _LINES_IN_ALL
    for change in changes:
        if change.is_record:
            continue
        lines = list(difference(change.before, change.after, f"{folder}/{change.path}"))
        allowed = len(lines) if full else min(_LINES, left)
        yield from lines[:allowed]
        if len(lines) > allowed:
            yield f"… {len(lines) - allowed} more lines of {folder}/{change.path}; --full-diff shows them"
        left -= min(len(lines), allowed)


def drift_summary(changes: Sequence[FileChange]) -> str:
    """How many files differ, and how: `3 files differ (1 missing, 2 different)`."""
    files = [change for change in changes if not change.is_record]
    if not files:
        return "the record of what kcd-gen owns differs"
    counts = [f"{count} {word}" for kind, word in _VERBS.items() if (count := sum(one.change == kind for one in files))]
    return f"{len(files)} file{' differs' if len(files) == 1 else 's differ'} ({', '.join(counts)})"


def difference(old: bytes | None, new: bytes | None, path: str) -> Iterator[str]:
    """A unified difference of one file, None being no file; of what is no text, or very long, only that it differs."""
    old_name = "/dev/null" if old is None else f"a/{path.lstrip('/')}"
    new_name = "/dev/null" if new is None else f"b/{path.lstrip('/')}"
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        yield f"Files {old_name} and {new_name} differ: {_what(old)}, {_what(new)}"
        return
    lines = list(difflib.unified_diff(before, after, old_name, new_name, n=_CONTEXT, lineterm=""))
    yield from lines or [f"Files {old_name} and {new_name} differ in their line breaks"]


def _lines(content: bytes | None) -> list[str] | None:
    """The lines of a text; None for what is none, or has too many."""
    try:
        lines = (content or b"").decode().splitlines()
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= _LONGEST else None


def _what(content: bytes | None) -> str:
    if content is None:
        return "nothing"
    return f"{len(content)} bytes of sha256:{hashlib.sha256(content).hexdigest()[:12]}"
