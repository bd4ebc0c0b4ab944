"""The differences between an output and the compiled sources, as `kcd-gen build --check` prints them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Sequence

from kubocd_gen.output.plan import FileChange, Plan

_CONTEXT = 3  # lines around a difference
_LINES = 60  # printed for one file
_LINES_IN_ALL = 400  # printed for all files, to keep a CI log readable
_LONGEST = 5_000  # lines of a file that is compared by line: the time is quadratic
_VERBS = {"created": "missing", "updated": "changed", "removed": "unexpected"}


def drift(plan: Plan, *, charts: bool) -> tuple[FileChange, ...]:
    """Return the changes that a build would make, including the inventory; without `charts`, excluding `hr/`."""
    return tuple(change for change in plan.pending if charts or not change.path.startswith("hr/"))


def drift_lines(changes: Sequence[FileChange], directory: str, *, full: bool) -> Iterator[str]:
    """Yield a unified diff of each file, with paths below `directory`.

    `git apply` accepts it in the current directory, unless `directory` is outside of it.

    The inventory is left out because it follows from the files. Without `full`, long diffs are truncated, and a line
    gives the number of lines left out.
    """
    left = _LINES_IN_ALL
    for change in changes:
        if change.is_record:
            continue
        lines = list(difference(change.before, change.after, f"{directory}/{change.path}"))
        allowed = len(lines) if full else min(_LINES, left)
        yield from lines[:allowed]
        if len(lines) > allowed:
            yield f"… {len(lines) - allowed} more lines of {directory}/{change.path}; use --full-diff to show them"
        left -= min(len(lines), allowed)


def drift_summary(changes: Sequence[FileChange]) -> str:
    """Return how many files differ, and how: `3 files differ (1 missing, 2 changed)`."""
    files = [change for change in changes if not change.is_record]
    if not files:
        return "the inventory differs"
    counts = [f"{count} {word}" for kind, word in _VERBS.items() if (count := sum(one.change == kind for one in files))]
    return f"{len(files)} file{' differs' if len(files) == 1 else 's differ'} ({', '.join(counts)})"


def difference(old: bytes | None, new: bytes | None, path: str) -> Iterator[str]:
    """Yield a unified diff of one file (None: no file), or one line for binary or very long content.

    A path that leads out of the current directory has no prefix, so that it can be opened.
    """
    below = path.lstrip("/")
    before_name, after_name = (path, path) if path.startswith("../") else (f"a/{below}", f"b/{below}")
    old_name = "/dev/null" if old is None else before_name
    new_name = "/dev/null" if new is None else after_name
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        yield f"Files {old_name} and {new_name} differ: {_described(old)}, {_described(new)}"
        return
    lines = list(difflib.unified_diff(before, after, old_name, new_name, n=_CONTEXT, lineterm=""))
    yield from lines or [f"Files {old_name} and {new_name} differ in their line breaks"]


def _lines(content: bytes | None) -> list[str] | None:
    """Return the lines of `content`, or None if it is not UTF-8 or has too many."""
    try:
        lines = (content or b"").decode().splitlines()
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= _LONGEST else None


def _described(content: bytes | None) -> str:
    if content is None:
        return "nothing"
    return f"{len(content)} bytes of sha256:{hashlib.sha256(content).hexdigest()[:12]}"
