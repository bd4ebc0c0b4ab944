"""Scalars and flow collections of plain documents; see `plain_documents`.

Functions that can continue on further lines get the lines of the text, the number of lines that were read, and the
column of the map or list that contains the value. They return the value and the new number of lines.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from kubocd_gen.kube_yaml.scalars import NODE_TEXT, float64, key_text, resolve_plain

_PLAIN_DOUBLE = re.compile(r'"([^"\\]*)" *(?: #.*)?\Z')
_PLAIN_SINGLE = re.compile(r"'([^']*)' *(?: #.*)?\Z")
_TO_DOUBLE = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+')  # up to the closing quote, or a backslash at the end of the line
_TO_SINGLE = re.compile(r"[^']*+(?:''[^']*+)*+")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {
    '"': '"',
    "\\": "\\",
    " ": " ",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
}
_AFTER = re.compile(r"(?: *| +#.*)\Z")  # what can follow a finished value
_FLOW = re.compile(
    r""" *(?:(?P<mark>[\[\]{},])|(?P<quoted>"[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^']*')(?P<colon>:)?"""
    r"""|(?P<plain>-{0,2}[\w./](?:[\w./@%+=-]|[ :](?=[\w./@%+=-]))*)(?P<key>: )?)""",
    re.ASCII,
)
_SIMPLE = re.compile(r"(-?[\w./](?:[\w./@%+=-]|[ :](?=[\w./@%+=-]))*) *\Z", re.ASCII)
_ANCHOR = re.compile(r"&([A-Za-z0-9_-]+) +")
ALIAS = re.compile(r"\*([A-Za-z0-9_-]+)(?: *| +#.*)\Z")
_MOST_IN_KEY = 500  # characters; libyaml has a limit of 1,024 for keys with quotes and escapes


class NotPlainError(Exception):
    """Something that libyaml must read."""


def plain_scalar(text: str, *, exact_integers: bool) -> Any:
    """Return the value of a scalar without quotes."""
    value = resolve_plain(text)
    if type(value) is float and not math.isfinite(value):
        raise NotPlainError
    if exact_integers or (type(value) is not int and type(value) is not float):
        return value
    return float64(value)


def plain_key(text: str) -> str:
    """Return a scalar without quotes as a key."""
    value = resolve_plain(text)
    key = key_text(value)
    if key is None or (type(value) is int and value >= 2**63) or len(text) > _MOST_IN_KEY:
        raise NotPlainError
    return key


def unfolded(text: str, lines: Sequence[str], at: int, column: int) -> tuple[str, int]:
    """Return the text of a scalar without quotes that starts with `text` and continues on the next lines."""
    parts = [text]
    blank = 0
    while at < len(lines):
        content = lines[at].lstrip(" ")
        if content:
            if len(lines[at]) - len(content) <= column or content[0] == "#":
                break
            content = content.rstrip(" ")
            if column < 0 or ": " in content or content[-1] == ":" or " #" in content:
                raise NotPlainError
            parts += ("\n" * blank or " ", content)
            blank = 0
        else:
            blank += 1
        at += 1
    return "".join(parts), at


def quoted(text: str, lines: Sequence[str], at: int, column: int) -> tuple[str, int]:
    """Return the value of a scalar in quotes; `text` is its first line."""
    is_double = text[0] == '"'
    found = (_PLAIN_DOUBLE if is_double else _PLAIN_SINGLE).match(text)
    if found:
        return found[1], at
    to_quote = _TO_DOUBLE if is_double else _TO_SINGLE
    parts: list[str] = []
    line, start = text, 1
    while True:
        end = to_quote.match(line, start).end()  # type: ignore[union-attr]  # matches always
        if end < len(line) and line[end] == text[0]:
            break
        parts.append(line[start:])
        if column < 0 or at == len(lines):
            raise NotPlainError
        line = lines[at]
        at += 1
        start = len(line) - len(line.lstrip(" "))
        if start <= column and start < len(line):
            raise NotPlainError
    if not _AFTER.match(line, end + 1):
        raise NotPlainError
    parts.append(line[start:end])
    joined = _joined(parts, is_double) if len(parts) > 1 else parts[0]
    return (_ESCAPE.sub(_unescaped, joined) if "\\" in joined else joined) if is_double else joined.replace(
        "''", "'"
    ), at


def _joined(parts: Sequence[str], is_double: bool) -> str:
    """Join the lines of a scalar in quotes, which have lost their indentation, but not the spaces at their end."""
    joined: list[str] = []
    breaks, last = 0, len(parts) - 1
    is_escaped = False  # the line break after the last text
    for number, part in enumerate(parts):
        kept = part if number == last else part.rstrip(" ")
        if number:
            breaks += 1
            if not kept and number < last:
                continue
            joined.append("\n" * (breaks - 1) or ("" if is_escaped else " "))
            breaks = 0
        is_escaped = False
        if is_double and number < last and (len(kept) - len(kept.rstrip("\\"))) % 2:
            if kept != part:  # an escaped space at the end of a line
                raise NotPlainError
            kept, is_escaped = kept[:-1], True
        joined.append(kept)
    return "".join(joined)


def _between_quotes(string: str) -> str:
    """Return the value of a scalar in quotes that is on one line."""
    return _ESCAPE.sub(_unescaped, string[1:-1]) if "\\" in string and string[0] == '"' else string[1:-1]


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code is None:
        if found[3] not in _ESCAPES:
            raise NotPlainError
        return _ESCAPES[found[3]]
    if 0xD800 <= int(code, 16) <= 0xDFFF:
        raise NotPlainError
    return chr(int(code, 16))


def block(header: str, lines: Sequence[str], at: int, column: int) -> tuple[str, int]:
    """Return the value of a literal (`|`) or folded (`>`) scalar; `header` is its first line."""
    header = header.rstrip(" ")
    first, end = at, len(lines)
    while first < end and not lines[first].lstrip(" "):
        first += 1
    if first == end or column < 0 or header[1:] not in ("", "-", "+"):
        raise NotPlainError
    width = len(lines[first]) - len(lines[first].lstrip(" "))
    if width <= column or any(len(line) > width for line in lines[at:first]):
        raise NotPlainError
    body: list[str] = []
    margin = " " * width
    ending = "\n"
    number = end
    for number in range(first, end):
        line = lines[number]
        if not line.startswith(margin) and line.lstrip(" "):
            break
        body.append(line[width:])
    else:
        number = end
        if not lines[-1]:  # not a line, but what follows the last line break
            body.pop()
        elif lines[-1].lstrip(" "):
            ending = ""
        else:
            raise NotPlainError
    lines_read = len(body)
    while not body[-1]:
        body.pop()
    if header[1:] == "-":
        ending = ""
    elif header[1:] == "+":
        ending += "\n" * (lines_read - len(body))
    text = "\n".join(body) if header[0] == "|" else _folded(body)
    return "\n" * (first - at) + text + ending, number


def anchored(
    text: str, lines: Sequence[str], at: int, column: int, *, exact_integers: bool
) -> tuple[str, Any, int, int]:
    """Return the anchor of a scalar, its value, for how many nodes it counts, and the new number of lines."""
    found = _ANCHOR.match(text)
    if found is None:
        raise NotPlainError
    text = text[found.end() :]
    value: Any
    if text[:1] in ("'", '"'):
        value, at = quoted(text, lines, at, column)
        text = value
    elif text[:1] in ("|", ">"):
        value, at = block(text, lines, at, column)
        text = value
    elif simple := _SIMPLE.match(text):
        text = simple[1]
        value = plain_scalar(text, exact_integers=exact_integers)
    else:
        raise NotPlainError
    return found[1], value, 1 + len(text) // NODE_TEXT, at


def _folded(lines: Sequence[str]) -> str:
    """Join the lines of a folded scalar. The line breaks next to a line that is indented further are kept."""
    parts = [lines[0]]
    is_indented = lines[0][0] == " "
    blank = 0
    for line in lines[1:]:
        if not line:
            blank += 1
            continue
        was_indented, is_indented = is_indented, line[0] == " "
        parts += ("\n" * (blank + 1) if is_indented or was_indented else "\n" * blank or " ", line)
        blank = 0
    return "".join(parts)


class Flow:
    """A flow collection on one line: `value`, and `nodes`, the number of libyaml's events for it."""

    __slots__ = ("_at", "_deepest", "_exact_integers", "_text", "nodes", "value")

    def __init__(self, text: str, *, deepest: int, exact_integers: bool) -> None:
        self._text, self._exact_integers, self._deepest = text, exact_integers, deepest
        self._at = self.nodes = 0
        self.value = self._node(self._token())
        if not _AFTER.match(text, self._at):
            raise NotPlainError

    def _token(self) -> re.Match[str]:
        found = _FLOW.match(self._text, self._at)
        if found is None:
            raise NotPlainError
        self._at = found.end()
        return found

    def _node(self, token: re.Match[str]) -> Any:
        mark, string, colon, plain, key = token.groups()
        if plain is not None and key is None:
            self.nodes += 1
            return plain_scalar(plain, exact_integers=self._exact_integers)
        if string is not None and colon is None:
            self.nodes += 1
            return _between_quotes(string)
        if mark not in ("[", "{") or not self._deepest:
            raise NotPlainError
        self._deepest -= 1
        self.nodes += 2
        value: Any = self._items() if mark == "[" else self._entries()
        self._deepest += 1
        return value

    def _items(self) -> list[Any]:
        items: list[Any] = []
        token = self._token()
        if token[1] == "]":
            return items
        while True:
            items.append(self._node(token))
            mark = self._token()[1]
            if mark == "]":
                return items
            if mark != ",":
                raise NotPlainError
            token = self._token()

    def _entries(self) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        token = self._token()
        if token[1] == "}":
            return entries
        while True:
            _, string, colon, plain, end = token.groups()
            if colon and len(string) <= _MOST_IN_KEY:
                key = _between_quotes(string)
            elif end:
                key = plain_key(plain)
            else:
                raise NotPlainError
            if key in entries:
                raise NotPlainError
            self.nodes += 1
            entries[key] = self._node(self._token())
            mark = self._token()[1]
            if mark == "}":
                return entries
            if mark != ",":
                raise NotPlainError
            token = self._token()
