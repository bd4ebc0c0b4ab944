"""An item more for a list in somebody's YAML file: as text, so that comments and style stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from kubocd_gen.kube_yaml.events import events

_LARGEST = 1024 * 1024  # characters; a file of settings has some thousand
_HEAD = 3  # events before the first key of a file: stream, document and mapping begin; as many end behind the last


def with_item(text: str, key: str, item: str) -> str | None:
    """`text` with `item` at the end of the list below the top-level `key`, which is added where there is none.

    `item` is YAML, a list of one item without indentation. None where the text is no such file, or not written in a
    way to which lines can be added: whatever comes back reads as before, but for the one item.
    """
    before = _events(text)
    if before is None or not _is_settings(before):
        return None
    lines = text.splitlines(keepends=True)
    values = _values_of(before, key)
    if not values:
        added, number = f"{key}:\n{item}", len(lines)
        pair = _parsed(added)
        if len(before) > _HEAD:
            added = f"\n{added}"
            wanted = [*before[:-_HEAD], *pair[_HEAD:-_HEAD], *before[-_HEAD:]]
        else:
            wanted = pair
    elif len(values) == 1 and isinstance(before[value := values[0]], yaml.SequenceStartEvent):
        end = _after_node(before, value) - 1
        column = before[value].start_mark.column
        added = "".join(f"{' ' * column}{line}" for line in item.splitlines(keepends=True))
        number = _line_after(before[value:end], lines, column)
        wanted = [*before[:end], *_parsed(item)[_HEAD:-_HEAD], *before[end:]]
    else:
        return None
    newline = "\r\n" if "\r\n" in text else "\n"
    if number and not lines[number - 1].endswith(("\n", "\r")):
        lines[number - 1] += newline
    after = "".join([*lines[:number], added.replace("\n", newline), *lines[number:]])
    read = _events(after)
    return after if read is not None and list(map(_meaning, read)) == list(map(_meaning, wanted)) else None


def scalars(text: str) -> list[str]:
    """Every scalar of a YAML text; what stands in comments is none. Empty for what is not YAML."""
    return [one.value for one in _events(text) or () if isinstance(one, yaml.ScalarEvent)]


def _events(text: str) -> list[Any] | None:
    try:
        return _parsed(text) if len(text) <= _LARGEST else None
    except yaml.YAMLError:
        return None


def _parsed(text: str) -> list[Any]:
    return list(events(text))


def _is_settings(found: Sequence[Any]) -> bool:
    """Whether it is one document, a mapping, or none at all."""
    if sum(isinstance(one, yaml.DocumentStartEvent) for one in found) > 1:
        return False
    return len(found) < _HEAD or isinstance(found[_HEAD - 1], yaml.MappingStartEvent)


def _values_of(found: Sequence[Any], key: str) -> list[int]:
    """The indices of the events with which values of the top-level `key` begin; several where it is repeated."""
    values = []
    index = _HEAD
    while index < len(found) and not isinstance(found[index], yaml.MappingEndEvent):
        value = _after_node(found, index)
        if isinstance(found[index], yaml.ScalarEvent) and found[index].value == key:
            values.append(value)
        index = _after_node(found, value)
    return values


def _after_node(found: Sequence[Any], index: int) -> int:
    depth = 0
    while True:
        depth += isinstance(found[index], yaml.CollectionStartEvent)
        depth -= isinstance(found[index], yaml.CollectionEndEvent)
        index += 1
        if depth == 0:
            return index


def _line_after(items: Sequence[Any], lines: Sequence[str], column: int) -> int:
    """The number of the line behind a list, and behind the comments that are indented as its last item is."""
    # The end of a block has no width, and stands at whatever comes next.
    end = max((one.end_mark for one in items if one.start_mark.index < one.end_mark.index), key=lambda mark: mark.index)
    number: int = min(end.line + (end.column > 0), len(lines))
    while number < len(lines) and (line := lines[number].lstrip(" ")).startswith("#"):
        if len(lines[number]) - len(line) <= column:
            break
        number += 1
    return number


def _meaning(event: Any) -> tuple[Any, ...]:
    """What an event says, without its place and style."""
    return (type(event).__name__, *(getattr(event, name, None) for name in ("anchor", "tag", "value", "implicit")))
