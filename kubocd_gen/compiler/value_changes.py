"""What differs between two JSON-like values, by path. Nothing secret is in what comes out."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubocd_gen.compiler.secrets import Masks, follows_flag, hides, named_values

_LONGEST = (
    2_000  # items of a list, or lines of a text, that are matched with each other: the time grows with the square
)

_MOST_PAIRS = 2_500  # of items of two lists that are equal: each may be looked at for each item


class Absent:
    """That there is no value: another thing than null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Named:
    """An item of a list that is told by its name rather than its place: `containers[name=app]`."""

    key: str
    name: str


Step = str | int | Named
Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; `old` or `new` is ABSENT where it was added or removed. Secrets in both are masked."""

    path: Path
    old: Any
    new: Any


def changes(
    old: Any, new: Any, path: Path = (), *, hidden: bool = False, masks: Masks | None = None
) -> Iterator[Change]:
    """The values that differ, outermost first; nothing where `old` and `new` are the same.

    Maps are compared by key; lists of maps with a name each by these, other lists item by item after what was inserted
    and removed is found. With `hidden` no value is shown. `masks` bounds what is parsed of all values that it is given
    with.
    """
    yield from _Comparing(masks or Masks()).changes(old, new, path, hidden, _name(path))


@dataclass(frozen=True, slots=True)
class _Comparing:
    """`parent` is the name of the map or list that holds a value, which `path` leads to."""

    masks: Masks

    def changes(self, old: Any, new: Any, path: Path, hidden: bool, parent: str) -> Iterator[Change]:
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
            yield from self._of_lists(old, new, path, hidden, parent)
        elif not same(old, new):
            shown = (
                one if one is ABSENT else self.masks.value(one, hidden=hidden, parent=parent) for one in (old, new)
            )
            yield Change(path, *shown)

    def _of_lists(
        self, old: Sequence[Any], new: Sequence[Any], path: Path, hidden: bool, parent: str
    ) -> Iterator[Change]:
        before, after = _by_name(old), _by_name(new)
        if before is not None and after is not None:
            renamed = _renamed(before, after)
            come, places = {*renamed.values()}, {name: index for index, name in enumerate(before)}
            for name in dict.fromkeys([*before, *after]):
                if name in renamed:
                    item = (*path, places[name])
                    yield from self.changes(before[name], after[renamed[name]], item, hidden, parent)
                    continue
                if name in come:
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
    """Equality as JSON has it: 1 and true are different, 1 and 1.0 are not."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(same, old, new))
    return bool(old == new)


def leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The scalars, empty maps and empty lists in a value, each with its path."""
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def path_text(path: Path) -> str:
    """`spec.values.env[name=HOST].value`; a key that is no plain word stands in brackets."""
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


def _name(path: Path) -> str:
    """The last name on a path."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    """As difflib's, but quick for every list: where too many items are equal to each other, those between what both
    begin and end with are taken to be replaced.
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
    """The names that went for another, where all that went have one that came in order, and only the names differ."""
    gone = [name for name in old if name not in new]
    come = [name for name in new if name not in old]
    alike = all(same({**old[one], "name": ""}, {**new[two], "name": ""}) for one, two in zip(gone, come, strict=False))
    return dict(zip(gone, come, strict=True)) if len(gone) == len(come) and alike else {}


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    """The items of a list by their names; None where not all are maps with a name of their own."""
    found: dict[str, Any] = {}
    for item in items:
        name = item.get("name") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or name in found:
            return None
        found[name] = item
    return found
