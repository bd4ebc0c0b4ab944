"""Where a value stands in its file: found again when a message needs it, so that reading stays fast."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import yaml

from kubocd_gen.diagnostics import Position
from kubocd_gen.sources.yaml_reader import Loader

Path = Sequence[str | int]


def find_position(text: str, path: str, document: int, keys: Path) -> Position:
    """The place of the value at `keys` in the `document`-th document (from 0) of `text`.

    A value in a map is found at its key, an item of a list at itself. Where `keys` leads to nothing, the
    place of the innermost value on the way to it.
    """
    nodes = _compose(text)
    if document >= len(nodes):
        return Position(path)
    node = nodes[document]
    mark = node.start_mark
    for key in keys:
        found = _child(node, key)
        if found is None:
            break
        node, mark = found
    return Position(path, mark.line + 1, mark.column + 1)


def find_in_text(
    text: str, path: str, document: int, keys: Path, line: int | None, column: int | None = None
) -> Position:
    """The place of a line and column of the text at `keys`: in a literal block (`|`), whose lines are the file's own.

    Anywhere else, and without a line, the place where the text begins.
    """
    nodes = _compose(text)
    node = nodes[document] if document < len(nodes) else None
    for key in keys:
        found = _child(node, key)
        if found is None:
            return find_position(text, path, document, keys)
        node = found[0]
    if not isinstance(node, yaml.ScalarNode):
        return find_position(text, path, document, keys)
    start = node.start_mark
    if node.style != "|" or line is None:
        return Position(path, start.line + 1, start.column + 1)
    content = text.split("\n")[start.line + 1 : node.end_mark.line + 1]
    indent = next((len(one) - len(one.lstrip(" ")) for one in content if one.strip()), 0)
    return Position(path, start.line + 1 + line, column + indent if column else None)


@lru_cache(maxsize=64)  # several messages are often about one file
def _compose(text: str) -> tuple[Any, ...]:
    # The reader has been over the text before, so it is known to be shallow enough for the composer.
    try:
        return tuple(yaml.compose_all(text, Loader=Loader))
    except yaml.YAMLError:
        return ()


def _child(node: Any, key: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return (node.value[key], node.value[key].start_mark) if -len(node.value) <= key < len(node.value) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    for name, value in reversed(node.value):
        if isinstance(name, yaml.ScalarNode) and name.value == key:
            return value, name.start_mark
    for name, value in node.value:  # field names of Kubernetes' typed objects match whatever their case
        if isinstance(name, yaml.ScalarNode) and name.value.lower() == str(key).lower():
            return value, name.start_mark
    for name, value in node.value:
        if isinstance(name, yaml.ScalarNode) and name.value == "<<":
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                found = _child(part, key)
                if found:
                    return found
    return None
