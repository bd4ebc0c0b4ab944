"""Compare two JSON-like values, and yield the differences by path with all secrets masked."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubocd_gen.compiler.secrets import Masks, follows_flag, hides, named_values
from kubocd_gen.diagnostics.wording import comparable

_LONGEST = 2_000  # items of a list that are matched with each other: the time grows with the square
_MOST_PAIRS = 2_500  # pairs of equal items of two lists: difflib can visit all of them for each item


class Absent:
    """The type of ABSENT: there is no value, which is different from null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Named:
    """A step to an item of a list by its name instead of its index: `containers[name=app]`."""

    key: str
    name: str


Step = str | int | Named
KeyPath = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs, with secrets masked; `old` or `new` is ABSENT if it was added or removed."""

    path: KeyPath
    old: Any
    new: Any


def changes(
    old: Any, new: Any, path: KeyPath = (), *, hidden: bool = False, masks: Masks | None = None
) -> Iterator[Change]:
    """Yield the values that differ between `old` and `new`, outermost first.

    Maps are compared by key, lists of maps with a unique `name` by name, and other lists item by item, after inserted
    and removed items are found. With `hidden`, all values are masked. `masks` limits how much text is parsed: share one
    object between calls.
    """
    yield from _Comparing(masks or Masks()).changes(old, new, path, hidden, _name(path))


@dataclass(frozen=True, slots=True)
class _Comparing:
    """A comparison. `path` is the path of a value, and `parent` the name of the map or list that contains it."""

    masks: Masks

    def changes(self, old: Any, new: Any, path: KeyPath, hidden: bool, parent: str) -> Iterator[Change]:
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            named = [named_values(one) for one in (old, new)]
            for key in sorted({*old, *new}):
                first, second = old.get(key, ABSENT), new.get(key, ABSENT)
                below = [
                    hides(key, first, second, hidden=hidden, parent=parent, named=one)
                    for one in (named if named[0] != named[1] else named[:1])
                ]
                yield from self.changes(first, second, (*path, key), any(below), key)
        elif isinstance(old, list) and isinstance(new, list):
            yield from self._list_changes(old, new, path, hidden, parent)
        elif not same(old, new):
            shown = (
                one if one is ABSENT else self.masks.value(one, hidden=hidden, parent=parent) for one in (old, new)
            )
            yield Change(path, *shown)

    def _list_changes(
        self, old: Sequence[Any], new: Sequence[Any], path: KeyPath, hidden: bool, parent: str
    ) -> Iterator[Change]:
        before, after = _by_name(old), _by_name(new)
        if before is not None and after is not None:
            renamed = _renamed(before, after)
            new_names, indexes = {*renamed.values()}, {name: index for index, name in enumerate(before)}
            for name in dict.fromkeys([*before, *after]):
                if name in renamed:
                    item = (*path, indexes[name])
                    yield from self.changes(before[name], after[renamed[name]], item, hidden, parent)
                    continue
                if name in new_names:
                    continue
                item = (*path, Named("name", name))
                yield from self.changes(before.get(name, ABSENT), after.get(name, ABSENT), item, hidden, parent)
            return
        texts = [[json.dumps(item, sort_keys=True) for item in one] for one in (old, new)]
        if max(len(old), len(new)) > _LONGEST:
            if texts[0] != texts[1]:
                yield Change(path, *(self.masks.value(list(one), hidden=hidden, parent=parent) for one in (old, new)))
            return
        for tag, start, end, other, stop in _opcodes(*texts):
            if tag == "equal":
                continue
            for offset in range(max(end - start, stop - other)):
                first = old[start + offset] if start + offset < end else ABSENT
                second = new[other + offset] if other + offset < stop else ABSENT
                index = (start if second is ABSENT else other) + offset
                below = hidden or follows_flag(old, start + offset) or follows_flag(new, other + offset)
                yield from self.changes(first, second, (*path, index), below, parent)


def same(old: Any, new: Any) -> bool:
    """Return whether two values are equal in JSON: 1 and 1.0 are equal, 1 and true are not."""
    return comparable(old) == comparable(new)


def leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the scalars, empty maps and empty lists in a value, each with its path."""
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def path_text(path: KeyPath) -> str:
    """Format a path like `spec.values.env[name=HOST].value`; a key with special characters is in brackets."""
    text = ""
    for part in path:
        if isinstance(part, Named):
            text += f"[{part.key}={part.name}]"
        elif isinstance(part, int):
            text += f"[{part}]"
        elif part and all(character.isalnum() or character in "_-$/" for character in part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def _name(path: KeyPath) -> str:
    """Return the last name on a path, or "" if there is none."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    """Return difflib's opcodes, but fast for every list.

    If too many items are equal to each other, everything between the common start and end counts as replaced.
    """
    if len(old) * len(new) > _MOST_PAIRS:
        start = next((at for at, (one, two) in enumerate(zip(old, new, strict=False)) if one != two), None)
        start = min(len(old), len(new)) if start is None else start
        rest = [old[start:][::-1], new[start:][::-1]]
        end = next((at for at, (one, two) in enumerate(zip(*rest, strict=False)) if one != two), None)
        end = min(map(len, rest)) if end is None else end
        counts = [Counter(one[end:]) for one in rest]
        if sum(count * counts[1][item] for item, count in counts[0].items()) > _MOST_PAIRS:
            return [("replace", start, len(old) - end, start, len(new) - end)]
    return difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return the renamed items, old name to new name, if all removed and added items differ in order only by name."""
    removed = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    if len(removed) != len(added):
        return {}
    renamed = dict(zip(removed, added, strict=True))
    alike = all(same({**old[one], "name": ""}, {**new[two], "name": ""}) for one, two in renamed.items())
    return renamed if alike else {}


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    """Return the items of a list by name, or None if not all items are maps with a unique name."""
    found: dict[str, Any] = {}
    for item in items:
        name = item.get("name") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or name in found:
            return None
        found[name] = item
    return found
