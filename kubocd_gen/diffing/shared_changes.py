"""The same change in many Releases, told once: one host name that moves in thirty values is one thing to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen.compiler.secrets import MASK
from kubocd_gen.compiler.value_changes import ABSENT, Change, path_text
from kubocd_gen.diffing.records import Comparison, ReleaseDifference, ResourceDifference

_FEWEST = 3  # Releases; two are as quickly read one by one
_SIGNIFICANT = 5  # letters and digits that a common part of texts has at least, or it may be common by chance
_CONTEXTS = (0, 1, 2, 4)  # tokens beside an edit that must be the same: none at first, more where that says too little
_TOKEN = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]")
_LONGEST = 100_000  # characters of a text that is looked into
_ALL = 2_000_000  # of all texts; each token of theirs takes memory
_MOST_CANDIDATES = 100  # each is looked for in every change

Tokens = Sequence[str]


@dataclass(frozen=True, slots=True)
class Place:
    """A change and where it is."""

    release: ReleaseDifference
    resource: ResourceDifference
    change: Change


@dataclass(frozen=True, slots=True)
class Repeat:
    """One change in several Releases: a part of texts, `old` to `new`; with `path` the whole value there."""

    path: str | None
    old: Any
    new: Any
    places: tuple[Place, ...]

    @property
    def releases(self) -> tuple[ReleaseDifference, ...]:
        """The Releases, each once."""
        return tuple({id(place.release): place.release for place in self.places}.values())


@dataclass(frozen=True, slots=True)
class _Edit:
    """What differs between two texts, in tokens, and what stands before and behind it in both."""

    place: Place
    before: Tokens
    old: Tokens
    new: Tokens
    behind: Tokens


def repeats(comparison: Comparison) -> list[Repeat]:
    """The changes that are made in at least three Releases, those in most first. No change is in two of them."""
    places = [
        Place(release, resource, change)
        for release in comparison.releases
        for resource in release.resources
        for change in resource.changes
    ]
    found: list[Repeat] = []
    left = places
    candidates = sorted(_candidates(places), key=lambda one: (-_count(one.places), one.old))
    for candidate in candidates[:_MOST_CANDIDATES]:
        taken = [place for place in left if _is_made(candidate, place.change)]
        if _count(taken) >= _FEWEST:
            found.append(Repeat(None, candidate.old, candidate.new, tuple(taken)))
            left = _without(left, taken)
    equal: dict[tuple[str, str, str, str], list[Place]] = {}
    for place in left:
        change = place.change
        key = (place.resource.kind, path_text(change.path), _text(change.old), _text(change.new))
        equal.setdefault(key, []).append(place)
    for key, same in equal.items():
        if _count(same) >= _FEWEST:
            found.append(Repeat(key[1], same[0].change.old, same[0].change.new, tuple(same)))
    return sorted(found, key=lambda one: (-len(one.releases), -len(one.places), str(one.path), str(one.old)))


def _candidates(places: Iterable[Place]) -> Iterator[Repeat]:
    edits = [edit for place in _first(places) if (edit := _edit(place))]
    for size in _CONTEXTS:
        groups: dict[tuple[Tokens, ...], list[_Edit]] = {}
        for edit in edits:
            start = max(0, len(edit.before) - size)
            key = (tuple(edit.old), tuple(edit.new), tuple(edit.before[start:]), tuple(edit.behind[:size]))
            groups.setdefault(key, []).append(edit)
        edits = []
        for group in groups.values():
            if _count([edit.place for edit in group]) < _FEWEST:
                continue
            repeat = _common(group)
            if sum(map(str.isalnum, repeat.old)) >= _SIGNIFICANT:
                yield repeat
            else:
                edits += group


def _first(places: Iterable[Place]) -> Iterator[Place]:
    """The places until their texts are too many to be looked into."""
    size = 0
    for place in places:
        size += sum(len(text) for text in (place.change.old, place.change.new) if isinstance(text, str))
        if size > _ALL:
            return
        yield place


def _edit(place: Place) -> _Edit | None:
    old, new = place.change.old, place.change.new
    if not (isinstance(old, str) and isinstance(new, str)) or MASK in old + new or len(old) + len(new) > _LONGEST:
        return None
    first, second = _TOKEN.findall(old), _TOKEN.findall(new)
    start = _shared(first, second)
    end = _shared(first[start:][::-1], second[start:][::-1])
    return _Edit(
        place,
        first[:start],
        first[start : len(first) - end],
        second[start : len(second) - end],
        first[len(first) - end :],
    )


def _common(group: Sequence[_Edit]) -> Repeat:
    """The edit with all around it that every text of the group has, but no mark at either end."""
    one = group[0]
    before = min(_shared(one.before[::-1], other.before[::-1]) for other in group)
    behind = min(_shared(one.behind, other.behind) for other in group)
    left = list(one.before[len(one.before) - before :])
    right = list(one.behind[:behind])
    while left and not left[0].isalnum():
        left.pop(0)
    while right and not right[-1].isalnum():
        right.pop()
    texts = ["".join((*left, *part, *right)) for part in (one.old, one.new)]
    return Repeat(None, texts[0], texts[1], tuple(edit.place for edit in group))


def _is_made(candidate: Repeat, change: Change) -> bool:
    old, new = change.old, change.new
    return isinstance(old, str) and isinstance(new, str) and old.replace(candidate.old, candidate.new) == new


def _shared(one: Tokens, other: Tokens) -> int:
    """How many tokens both begin with."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count


def _count(places: Iterable[Place]) -> int:
    return len({id(place.release) for place in places})


def _without(places: Iterable[Place], taken: Iterable[Place]) -> list[Place]:
    gone = {id(place) for place in taken}
    return [place for place in places if id(place) not in gone]


def _text(value: Any) -> str:
    return "-" if value is ABSENT else f"={json.dumps(value, sort_keys=True)}"
