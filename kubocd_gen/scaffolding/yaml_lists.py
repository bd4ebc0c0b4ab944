"""Append an item to a list in an existing YAML file by editing its text, which keeps comments and style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from kubocd_gen.kube_yaml.parser import events

_LARGEST = 1024 * 1024  # characters; a configuration file has some thousand
_HEAD = 3  # events before the first key of a file (stream, document and mapping start), and after the last value


def with_item(text: str, key: str, item: str) -> str | None:
    """Return `text` with `item` at the end of the list of the top-level `key`, which is added if it is missing.

    `item` is YAML: a list with one item, without indentation. Returns None if the text is not a mapping, or its style
    does not allow adding lines. The result is parsed again, and has the same content as before plus the item.
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
            expected = [*before[:-_HEAD], *pair[_HEAD:-_HEAD], *before[-_HEAD:]]
        else:
            expected = pair
    elif len(values) == 1 and isinstance(before[value := values[0]], yaml.SequenceStartEvent):
        end = _after_node(before, value) - 1
        column = before[value].start_mark.column
        added = "".join(f"{' ' * column}{line}" for line in item.splitlines(keepends=True))
        number = _line_after(before[value:end], lines, column)
        expected = [*before[:end], *_parsed(item)[_HEAD:-_HEAD], *before[end:]]
    else:
        return None
    newline = "\r\n" if "\r\n" in text else "\n"
    if number and not lines[number - 1].endswith(("\n", "\r")):
        lines[number - 1] += newline
    after = "".join([*lines[:number], added.replace("\n", newline), *lines[number:]])
    parsed = _events(after)
    return after if parsed is not None and list(map(_meaning, parsed)) == list(map(_meaning, expected)) else None


def scalars(text: str) -> list[str]:
    """Return all scalars of a YAML text, not including comments; an empty list if it is not valid YAML."""
    return [one.value for one in _events(text) or () if isinstance(one, yaml.ScalarEvent)]


def _events(text: str) -> list[Any] | None:
    try:
        return _parsed(text) if len(text) <= _LARGEST else None
    except yaml.YAMLError:
        return None


def _parsed(text: str) -> list[Any]:
    return list(events(text))


def _is_settings(found: Sequence[Any]) -> bool:
    """Return whether the events are those of a single mapping, or of an empty file."""
    if sum(isinstance(one, yaml.DocumentStartEvent) for one in found) > 1:
        return False
    return len(found) < _HEAD or isinstance(found[_HEAD - 1], yaml.MappingStartEvent)


def _values_of(found: Sequence[Any], key: str) -> list[int]:
    """Return the indices of the start events of the values of the top-level `key`; several if it is repeated."""
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
    """Return the number of the line after a list, and after the comments that are indented like its last item."""
    # The end event of a block is empty, and its position is that of the next token.
    end = max((one.end_mark for one in items if one.start_mark.index < one.end_mark.index), key=lambda mark: mark.index)
    number: int = min(end.line + (end.column > 0), len(lines))
    while number < len(lines) and (line := lines[number].lstrip(" ")).startswith("#"):
        if len(lines[number]) - len(line) <= column:
            break
        number += 1
    return number


def _meaning(event: Any) -> tuple[Any, ...]:
    """Return the content of an event, without its position and style."""
    return (type(event).__name__, *(getattr(event, name, None) for name in ("anchor", "tag", "value", "implicit")))
