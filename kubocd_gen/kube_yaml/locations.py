"""Find the position of a value in its file. Only messages need positions, so the reader does not record them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml.parser import events
from kubocd_gen.kube_yaml.reader import MAX_DEPTH, is_merge, scalar_value
from kubocd_gen.kube_yaml.scalars import key_text

KeyPath = Sequence[str | int]
_MOST_NODES = 200_000  # of a text, half a kilobyte each; later values are found at their parent
_MOST_KEPT = 300_000  # nodes of all cached texts


def find_position(text: str, path: str, document: int, keys: KeyPath) -> Position:
    """Return the position of the value at `keys` in document number `document` (from 0) of `text`.

    The position of a value in a map is that of its key, also if the value comes from a merge. If there is no value at
    `keys`, returns the position of the innermost parent that exists.
    """
    trail = _trail(text, document, keys)
    if not trail:
        return Position(path)
    mark = trail[-1][0]
    return Position(path, mark.line + 1, mark.column + 1)


def is_written(text: str, document: int, keys: KeyPath) -> bool:
    """Return whether the document has a value at `keys`."""
    return len(_trail(text, document, keys)) == len(keys) + 1


def find_in_text(
    text: str, path: str, document: int, keys: KeyPath, line: int | None, column: int | None = None
) -> Position:
    """Return the position of a line and column (from 1) inside the string at `keys`.

    This is exact in a literal block (`|`), whose lines are lines of the file. For any other string, and without `line`,
    returns the position at which the string starts.
    """
    trail = _trail(text, document, keys)
    node = trail[-1][1] if len(trail) == len(keys) + 1 else None
    if node is None or not node.is_text:
        return find_position(text, path, document, keys)
    event: Any = node.event
    start, end = event.start_mark, event.end_mark
    if event.style != "|" or line is None:
        return Position(path, start.line + 1, start.column + 1)
    lines = text.split("\n")[start.line + 1 : end.line + 1]
    indent = next((len(item) - len(item.lstrip(" ")) for item in lines if item.strip()), 0)
    return Position(path, start.line + 1 + line, column + indent if column else None)


@dataclass(slots=True)
class _Node:
    """A value: its first event, and the nodes of a list, or of a map with keys and values alternating.

    Each child has the mark of its position. For an alias this is the mark of the alias and the node of the anchor.
    """

    event: Any  # an event of PyYAML
    children: list[tuple[Any, _Node]] = field(default_factory=list)
    found: dict[str, tuple[Any, _Node]] | None = None  # the entries of a map by name, after the first lookup

    @property
    def is_map(self) -> bool:
        return type(self.event) is yaml.MappingStartEvent

    @property
    def is_text(self) -> bool:
        return type(self.event) is yaml.ScalarEvent


_recent: dict[str, tuple[tuple[_Node, ...], int]] = {}  # roots and number of nodes by text, the last used text last
_lock = threading.Lock()


def _trail(text: str, document: int, keys: KeyPath) -> list[tuple[Any, _Node]]:
    """Return the marks and nodes from the root to the value at `keys`, as far as they exist."""
    roots = _roots(text)
    if not 0 <= document < len(roots):
        return []
    trail = [(roots[document].event.start_mark, roots[document])]
    for key in keys:
        found = _child(trail[-1][1], key)
        if found is None:
            break
        trail.append(found)
    return trail


def _roots(text: str) -> tuple[_Node, ...]:
    """Return the roots of the documents of `text`, cached because several messages are often about one file."""
    with _lock:
        cached = _recent.pop(text, None)
    cached = cached or _parsed(text)
    with _lock:
        _recent[text] = cached
        while sum(size for _, size in _recent.values()) > _MOST_KEPT and len(_recent) > 1:
            _recent.pop(next(iter(_recent)))
    return cached[0]


def _parsed(text: str) -> tuple[tuple[_Node, ...], int]:
    """Parse `text` and return the roots of its documents and the number of nodes.

    Stops at a syntax error and at the limits of depth and nodes.
    """
    count = 0
    roots: list[_Node] = []
    above: list[_Node] = []
    anchors: dict[str, _Node] = {}
    event: Any
    try:
        for event in events(text.removeprefix("\ufeff")):
            kind = type(event)
            if kind is yaml.DocumentStartEvent:
                anchors = {}
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                above.pop()
            elif kind in (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent, yaml.AliasEvent):
                count += 1
                if count > _MOST_NODES:
                    break
                node = anchors.get(event.anchor, _Node(event)) if kind is yaml.AliasEvent else _Node(event)
                if event.anchor:
                    anchors[event.anchor] = node
                if above:
                    above[-1].children.append((event.start_mark, node))
                else:
                    roots.append(node)
                if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                    above.append(node)
                    if len(above) > MAX_DEPTH:
                        break
    except (yaml.YAMLError, UnicodeEncodeError):
        pass
    return tuple(roots), count


def _child(node: _Node, key: str | int) -> tuple[Any, _Node] | None:
    if not node.is_map:
        listed = type(node.event) is yaml.SequenceStartEvent and isinstance(key, int) and 0 <= key < len(node.children)
        return node.children[int(key)] if listed else None
    entries = _entries(node)
    name = str(key)
    # Kubernetes matches the field names of typed objects without regard to case.
    return entries.get(name) or next((found for text, found in entries.items() if text.lower() == name.lower()), None)


def _entries(node: _Node) -> dict[str, tuple[Any, _Node]]:
    """Return the entries of a map by name, merges included; the last duplicate key and the first merged map win."""
    if node.found is not None:
        return node.found
    node.found = {}
    pending: list[_Node | tuple[tuple[Any, _Node], tuple[Any, _Node]]] = [node]
    seen: set[int] = set()
    while pending:
        item = pending.pop()
        if isinstance(item, _Node):
            if item.is_map and id(item) not in seen:
                seen.add(id(item))
                pending += zip(item.children[::2], item.children[1::2], strict=False)
            continue
        (mark, key), (_, value) = item
        if not key.is_text:
            continue
        if is_merge(key.event):
            pending += [value] if value.is_map else [part for _, part in reversed(value.children)]
            continue
        with suppress(ValueError):  # the reader does not accept the key
            if (text := key_text(scalar_value(key.event))) is not None:
                node.found.setdefault(text, (mark, value))
    return node.found
