"""Read plain YAML documents without libyaml: block maps and lists, scalars, and flow collections on one line.

libyaml creates an object for each event, which costs more than everything else. This reader splits the text into lines
instead. It accepts only what it knows to be read by libyaml in the same way; anything else, every error included,
raises NotPlainError, and the caller reads the text with libyaml. Doubt means libyaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubocd_gen.kube_yaml.plain_scalars import (
    ALIAS,
    Flow,
    NotPlainError,
    anchored,
    block,
    plain_key,
    plain_scalar,
    quoted,
    unfolded,
)
from kubocd_gen.kube_yaml.scalars import WORDS

_DEEPEST = 50  # levels of maps and lists; deeper documents are rare, and libyaml's reader has the exact limit

# Characters that libyaml rejects or takes for a line break, tabs, and byte order marks.
_UNUSUAL = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_KEY = re.compile(r"[A-Za-z0-9_./](?:[\w ./:$()@+*=~,;-]{0,200}[\w./$()@+*=~-])?", re.ASCII)
_QUOTED_KEY = re.compile(r"""("[^"\\]{0,500}"|'[^']{0,500}'):(?: +|\Z)""")
_NO_CONTENT = re.compile(r" *(?:#|\Z)")
_NOT_PLAIN = frozenset("?:,[]{}#&*!|>'\"%@`")  # a scalar that starts with one of these is not plain, or not for us
_QUOTES_AND_BRACKETS = frozenset("\"'[{")
_NUMERIC = frozenset("0123456789+-.")
_LONGEST = 1024 * 1024  # characters of a document, because its lines are in memory twice
_MOST_EXPANDED = 10_000  # nodes for which the aliases of a document count
_MOST_KEYS = 4096  # whose values as keys are cached

_keys: dict[str, str] = {}  # the keys of resources are few


def plain_documents(text: str, *, exact_integers: bool) -> Iterator[tuple[Any, int, int]]:
    """Yield value, first line and number of libyaml's events of each document; at the end None, 0 and one event.

    Values of aliases count like events. Raises NotPlainError at a document that libyaml must read.
    """
    if not text.replace("\n", "").isprintable():
        text = text.replace("\r\n", "\n")
        if _UNUSUAL.search(text):
            raise NotPlainError
    events = 3  # start of the stream, start and end of the document
    for line, is_explicit, lines in _parts(text):
        if not is_explicit:
            line = next((number for number, one in enumerate(lines, 1) if not _NO_CONTENT.match(one)), 0)
            if not line:
                continue
        value, nodes = _document(lines, exact_integers)
        yield value, line, nodes + events
        events = 2
    yield None, 0, events - 1


def _parts(text: str) -> Iterator[tuple[int, bool, list[str]]]:
    """Yield the line `---` before each document, whether there is one, and the lines of the document.

    The last line of a document is what follows its last line break.
    """
    is_explicit = text.startswith("---\n")
    start, number = (4, 1) if is_explicit else (0, 0)
    while True:
        end = text.find("\n---\n", max(start - 1, 0)) + 1
        if (end or len(text)) - start > _LONGEST:
            raise NotPlainError
        lines = (text[start:end] if end else text[start:]).split("\n")
        yield number, is_explicit, lines
        if not end:
            return
        start, number, is_explicit = end + 4, number + len(lines), True


def _document(lines: list[str], exact_integers: bool) -> tuple[Any, int]:
    """Return the value of a document, and the number of libyaml's events for it.

    Each key and item starts with the value null, which is replaced by what follows: `is_open` is set as long as
    that can be on the next line. The root is the item of a list in column -1.
    """
    at, end = 0, len(lines)
    anchors: dict[str, tuple[Any, int]] = {}  # of scalars: value, and the number of nodes for which it counts
    expansion = 0
    value: Any = [None]
    root, indent, is_map, is_open = value, -1, False, True
    above: list[tuple[int, Any, bool]] = []  # indent, value, and whether it is a map
    name = ""
    nodes = 1
    unfinished = ""  # the plain scalar that the next line can continue
    while at < end:
        line = lines[at]
        at += 1
        content = line.lstrip(" ")
        if not content:
            continue
        column = len(line) - len(content)
        first = content[0]
        if first == "#":
            unfinished = ""
            continue
        if not column and first in "-." and line.startswith(("---", "...")):
            raise NotPlainError
        if column > indent and not is_open:
            if not unfinished:
                raise NotPlainError
            at -= 1
            while not lines[at - 1].lstrip(" "):  # the line breaks are part of the scalar
                at -= 1
            unfinished, at = unfolded(unfinished, lines, at, indent)
            scalar = plain_scalar(unfinished, exact_integers=exact_integers)
            unfinished = ""
            if is_map:
                value[name] = scalar
            else:
                value[-1] = scalar
            continue
        while first == "-" and (content == "-" or content[1] == " "):
            if is_open and (column > indent or (is_map and column == indent)):
                above.append((indent, value, is_map))
                item: list[Any] = []
                if is_map:
                    value[name] = item
                else:
                    value[-1] = item
                value, indent, is_map = item, column, False
                nodes += 1
                if len(above) > _DEEPEST:
                    raise NotPlainError
            else:
                while indent > column:
                    indent, value, is_map = above.pop()
                if indent != column or is_map:
                    raise NotPlainError
            value.append(None)
            nodes += 1
            is_open = True
            rest = content[1:].lstrip(" ")
            column += len(content) - len(rest)
            content = rest
            first = content[:1]
        if not first or first == "#":  # an item that starts on the next line
            unfinished = ""
            continue
        key, colon, text = content.partition(": ")
        if colon and first not in _QUOTES_AND_BRACKETS:
            text = text.lstrip(" ")
        elif first == '"' or first == "'":
            found = _QUOTED_KEY.match(content)
            if found:
                key, colon, text = found[1], ":", content[found.end() :]
            else:
                colon, text = "", content
        elif content[-1] == ":" and not colon:
            key, colon, text = content[:-1], ":", ""
        else:
            colon, text = "", content
        if colon:
            if is_open and column > indent:
                above.append((indent, value, is_map))
                entries: dict[str, Any] = {}
                if is_map:
                    value[name] = entries
                else:
                    value[-1] = entries
                value, indent, is_map = entries, column, True
                nodes += 1
                if len(above) > _DEEPEST:
                    raise NotPlainError
            else:
                while indent > column or (not is_map and indent == column):
                    indent, value, is_map = above.pop()
                if indent != column:
                    raise NotPlainError
            name = _keys.get(key) or _key(key)
            if name in value:
                raise NotPlainError
            nodes += 2
            if not text or text[0] == "#":
                value[name] = None
                is_open = True
                unfinished = ""
                continue
        elif not is_open or column <= indent:
            raise NotPlainError
        is_open = False
        first = text[0]
        if first in _NOT_PLAIN:
            unfinished = ""
            if first == '"' or first == "'":
                scalar, at = quoted(text, lines, at, indent)
            elif first == "[" or first == "{":
                flow = Flow(text, deepest=_DEEPEST - len(above), exact_integers=exact_integers)
                scalar = flow.value
                nodes += flow.nodes - 1
            elif first == "|" or first == ">":
                scalar, at = block(text, lines, at, indent)
            elif first == "&":
                anchor, scalar, weight, at = anchored(text, lines, at, indent, exact_integers=exact_integers)
                anchors[anchor] = scalar, weight
            elif first == "*" and (found := ALIAS.match(text)) and found[1] in anchors:
                scalar, weight = anchors[found[1]]
                nodes += weight
                expansion += weight
                if expansion > _MOST_EXPANDED:
                    raise NotPlainError
            else:
                raise NotPlainError
        else:
            if text[-1] == " ":
                text = text.rstrip(" ")
            unfinished = text
            if " #" in text:
                text = text[: text.index(" #")].rstrip(" ")
                unfinished = ""
            if ": " in text or text[-1] == ":":
                raise NotPlainError
            if first in _NUMERIC:
                if first == "-" and text[1:2] in (" ", ""):
                    raise NotPlainError
                scalar = plain_scalar(text, exact_integers=exact_integers)
            else:
                scalar = WORDS.get(text, text)
        if is_map:
            value[name] = scalar
        else:
            value[-1] = scalar
    return root[0], nodes


def _key(text: str) -> str:
    """Return a key, with or without quotes."""
    if text.startswith(("'", '"')):
        key = text[1:-1]
    elif _KEY.fullmatch(text):
        key = plain_key(text)
    else:
        raise NotPlainError
    if len(_keys) < _MOST_KEYS:
        _keys[text] = key
    return key
