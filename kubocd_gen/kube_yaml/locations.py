"""Where a value stands in its file: found again when a message needs it, so that reading stays fast."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml.events import events
from kubocd_gen.kube_yaml.reader import MAX_DEPTH, is_merge, key_text, scalar_value

Path = Sequence[str | int]
_MOST_NODES = 200_000  # of a text, half a kilobyte each; what comes after them is found at what holds it
_MOST_KEPT = 300_000  # of several texts


def find_position(text: str, path: str, document: int, keys: Path) -> Position:
    """The place of the value at `keys` in the `document`-th document (from 0) of `text`.

    A value in a map is found at its key, an item of a list at itself, and what a merge brought at where it is written.
    Where `keys` leads to nothing, the place of the innermost value on the way to it.
    """
    way = _way(text, document, keys)
    if not way:
        return Position(path)
    mark = way[-1][0]
    return Position(path, mark.line + 1, mark.column + 1)


def is_written(text: str, document: int, keys: Path) -> bool:
    """Whether there is a value at `keys`."""
    return len(_way(text, document, keys)) == len(keys) + 1


def find_in_text(
    text: str, path: str, document: int, keys: Path, line: int | None, column: int | None = None
) -> Position:
    """The place of a line and column of the text at `keys`: in a literal block (`|`), whose lines are the file's own.

    Anywhere else, and without a line, the place where the text begins.
    """
    way = _way(text, document, keys)
    node = way[-1][1] if len(way) == len(keys) + 1 else None
    if node is None or not node.is_text:
        return find_position(text, path, document, keys)
    event: Any = node.event
    start, end = event.start_mark, event.end_mark
    if event.style != "|" or line is None:
        return Position(path, start.line + 1, start.column + 1)
    content = text.split("\n")[start.line + 1 : end.line + 1]
    indent = next((len(one) - len(one.lstrip(" ")) for one in content if one.strip()), 0)
    return Position(path, start.line + 1 + line, column + indent if column else None)


@dataclass(slots=True)
class _Node:
    """A value: the event it begins with, and the nodes of a list, or those of a map, keys and values in turn.

    Each has the mark where it stands; that of an alias is its own, its node is the anchor's.
    """

    event: Any  # of PyYAML
    children: list[tuple[Any, _Node]] = field(default_factory=list)
    found: dict[str, tuple[Any, _Node]] | None = None  # the entries of a map by name, once one has been asked for

    @property
    def is_map(self) -> bool:
        return type(self.event) is yaml.MappingStartEvent

    @property
    def is_text(self) -> bool:
        return type(self.event) is yaml.ScalarEvent

    def entries(self) -> list[tuple[Any, _Node, _Node]]:
        """The mark, key and value of each entry of a map."""
        keys, values = self.children[::2], self.children[1::2]
        return [(mark, key, value) for (mark, key), (_, value) in zip(keys, values, strict=False)]

    def key(self) -> str | None:
        """What the reader makes of the node as a key."""
        if not self.is_text:
            return None
        try:
            return key_text(scalar_value(self.event))
        except ValueError:
            return None


def _way(text: str, document: int, keys: Path) -> list[tuple[Any, _Node]]:
    """Marks and nodes from the root to the value at `keys`, as far as there are any."""
    roots = _known.roots(text)
    if not 0 <= document < len(roots):
        return []
    way = [(roots[document].event.start_mark, roots[document])]
    for key in keys:
        found = _child(way[-1][1], key)
        if found is None:
            break
        way.append(found)
    return way


class _Known:
    """The roots of the texts that were asked for last: several messages are often about one file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roots: dict[str, tuple[tuple[_Node, ...], int]] = {}

    def roots(self, text: str) -> tuple[_Node, ...]:
        with self._lock:
            known = self._roots.pop(text, None)
        known = known or _parsed(text)
        with self._lock:
            self._roots[text] = known
            while sum(size for _, size in self._roots.values()) > _MOST_KEPT and len(self._roots) > 1:
                self._roots.pop(next(iter(self._roots)))
        return known[0]


_known = _Known()


def _parsed(text: str) -> tuple[tuple[_Node, ...], int]:
    """The roots of the documents of `text`, up to one that the reader refuses as it is being parsed, or to where there
    are too many nodes; and how many there are.
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
    # Field names of Kubernetes' typed objects match whatever their case.
    return entries.get(name) or next((found for text, found in entries.items() if text.lower() == name.lower()), None)


def _entries(node: _Node) -> dict[str, tuple[Any, _Node]]:
    """The entries of a map by name: of several the last, where a merge is what it brings, the first of its list."""
    if node.found is not None:
        return node.found
    node.found = {}
    waiting: list[_Node | tuple[Any, _Node, _Node]] = [node]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, _Node):
            if one.is_map and id(one) not in seen:
                seen.add(id(one))
                waiting += one.entries()
            continue
        mark, key, value = one
        if key.is_text and is_merge(key.event):
            waiting += [value] if value.is_map else [part for _, part in reversed(value.children)]
        elif (text := key.key()) is not None:
            node.found.setdefault(text, (mark, value))
    return node.found
