"""Find changes that several Releases share, such as a host name that changes in thirty values, to show them once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from kubocd_gen.compiler.secret_shapes import MASK
from kubocd_gen.compiler.value_changes import ABSENT, Change, path_text
from kubocd_gen.diffing.records import Comparison, ReleaseDifference, ResourceDifference

_FEWEST = 3  # Releases; changes in two are shown separately
_SIGNIFICANT = 5  # minimum letters and digits in a shared part of strings; shorter ones are often shared by chance
_CONTEXTS = (0, 1, 2, 4)  # equal tokens required on each side of an edit; more if fewer are not significant
_TOKEN = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]")
_LONGEST = 100_000  # characters; longer strings are only compared as a whole
_ALL = 2_000_000  # characters of all strings together, to limit the memory for tokens
_MOST_CANDIDATES = 100  # each is compared with every change

Tokens = Sequence[str]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A change with its resource and Release."""

    release: ReleaseDifference
    resource: ResourceDifference
    change: Change


@dataclass(frozen=True, slots=True)
class Repeat:
    """A change that several Releases share.

    With `path`, it is the whole value at that path; otherwise the part of strings that changes from `old` to `new`.
    """

    path: str | None
    old: Any
    new: Any
    occurrences: tuple[Occurrence, ...]

    @property
    def releases(self) -> tuple[ReleaseDifference, ...]:
        """The Releases that share the change, without duplicates."""
        return tuple({id(occurrence.release): occurrence.release for occurrence in self.occurrences}.values())


@dataclass(frozen=True, slots=True)
class _Edit:
    """The tokens that differ between two strings, and the equal tokens before and after them."""

    occurrence: Occurrence
    before: Tokens
    old: Tokens
    new: Tokens
    after: Tokens


def repeats(comparison: Comparison) -> list[Repeat]:
    """Return the changes that at least three Releases share, sorted by their number of Releases, largest first.

    Each change of a value belongs to at most one of them.
    """
    occurrences = [
        Occurrence(release, resource, change)
        for release in comparison.releases
        for resource in release.resources
        for change in resource.changes
    ]
    found: list[Repeat] = []
    left = occurrences
    candidates = sorted(_candidates(occurrences), key=lambda one: (-_count(one.occurrences), one.old))
    for candidate in candidates[:_MOST_CANDIDATES]:
        taken = [occurrence for occurrence in left if _explains(candidate, occurrence.change)]
        if _count(taken) >= _FEWEST:
            found.append(Repeat(None, candidate.old, candidate.new, tuple(taken)))
            gone = {id(occurrence) for occurrence in taken}
            left = [occurrence for occurrence in left if id(occurrence) not in gone]
    equal: dict[tuple[str, str, str, str], list[Occurrence]] = {}
    for occurrence in left:
        change = occurrence.change
        key = (occurrence.resource.kind, path_text(change.path), _text(change.old), _text(change.new))
        equal.setdefault(key, []).append(occurrence)
    for key, same in equal.items():
        if _count(same) >= _FEWEST:
            found.append(Repeat(key[1], same[0].change.old, same[0].change.new, tuple(same)))
    return sorted(found, key=lambda one: (-len(one.releases), -len(one.occurrences), str(one.path), str(one.old)))


def _candidates(occurrences: Iterable[Occurrence]) -> Iterator[Repeat]:
    edits = [edit for occurrence in _first(occurrences) if (edit := _edit(occurrence))]
    for size in _CONTEXTS:
        groups: dict[tuple[Tokens, ...], list[_Edit]] = {}
        for edit in edits:
            start = max(0, len(edit.before) - size)
            key = (tuple(edit.old), tuple(edit.new), tuple(edit.before[start:]), tuple(edit.after[:size]))
            groups.setdefault(key, []).append(edit)
        edits = []
        for group in groups.values():
            if _count([edit.occurrence for edit in group]) < _FEWEST:
                continue
            repeat = _common(group)
            if sum(map(str.isalnum, repeat.old)) >= _SIGNIFICANT:
                yield repeat
            else:
                edits += group


def _first(occurrences: Iterable[Occurrence]) -> Iterator[Occurrence]:
    """Yield the occurrences until the total length of their strings exceeds the limit."""
    size = 0
    for occurrence in occurrences:
        size += sum(len(text) for text in (occurrence.change.old, occurrence.change.new) if isinstance(text, str))
        if size > _ALL:
            return
        yield occurrence


def _edit(occurrence: Occurrence) -> _Edit | None:
    old, new = occurrence.change.old, occurrence.change.new
    if not (isinstance(old, str) and isinstance(new, str)) or MASK in old + new or len(old) + len(new) > _LONGEST:
        return None
    first, second = _TOKEN.findall(old), _TOKEN.findall(new)
    start = _shared(first, second)
    end = _shared(first[start:][::-1], second[start:][::-1])
    return _Edit(
        occurrence,
        first[:start],
        first[start : len(first) - end],
        second[start : len(second) - end],
        first[len(first) - end :],
    )


def _common(group: Sequence[_Edit]) -> Repeat:
    """Return the edit, extended by the tokens that all strings of the group share, without punctuation at the ends."""
    one = group[0]
    before = min(_shared(one.before[::-1], other.before[::-1]) for other in group)
    after = min(_shared(one.after, other.after) for other in group)
    left = list(one.before[len(one.before) - before :])
    right = list(one.after[:after])
    while left and not left[0].isalnum():
        left.pop(0)
    while right and not right[-1].isalnum():
        right.pop()
    old, new = ("".join((*left, *part, *right)) for part in (one.old, one.new))
    return Repeat(None, old, new, tuple(edit.occurrence for edit in group))


def _explains(candidate: Repeat, change: Change) -> bool:
    """Return whether replacing the candidate's old string by the new one makes the whole change."""
    old, new = change.old, change.new
    return isinstance(old, str) and isinstance(new, str) and old.replace(candidate.old, candidate.new) == new


def _shared(one: Tokens, other: Tokens) -> int:
    """Return the length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _count(occurrences: Iterable[Occurrence]) -> int:
    return len({id(occurrence.release) for occurrence in occurrences})


def _text(value: Any) -> str:
    return "-" if value is ABSENT else f"={json.dumps(value, sort_keys=True)}"
