"""Translate regular expressions from RE2 to the syntax that the engines of JavaScript, Java and Python share.

KuboCD's patterns are RE2. The engine of an editor supports most of its syntax, interprets some of it differently, and
can fail on the rest. A translated pattern has the same meaning in all engines; others are only checked by the build.
"""

from __future__ import annotations

import re

_SPACE = r"\t\n\f\r "
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "space": r"\t\n\x0b\f\r ",
    "upper": "A-Z",
    "word": r"0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": _SPACE}
_CLASS_ESCAPES = tuple(f"\\{letter}" for letter in _CLASSES)
_SAME = "tnfr"  # control characters with the same escape in all engines
_ANCHORS = {"A": "^", "z": "$"}
_SYNTAX = r"\^$.|?*+()[]{}"
_SYNTAX_INSIDE = r"\^[]-|"  # of a class
_QUANTIFIER = re.compile(r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??")
_GROUP = re.compile(r"\((?:\?:|\?P?<[A-Za-z_][A-Za-z0-9_]*>)?")


def portable(pattern: str) -> str | None:
    """Translate `pattern`, which must be valid RE2. Returns None if there is no portable translation."""
    if "&&" in pattern or "~~" in pattern:  # operators on character classes in some engines
        return None
    try:
        return _Translator(pattern).whole()
    except _UnknownPatternError:
        return None


class _UnknownPatternError(Exception):
    """Syntax that engines interpret differently or do not support."""


class _Translator:
    """A single pass over a pattern.

    Groups lose their names, and `.` becomes a class: RE2 excludes only `\\n` from it, other engines more line breaks.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def whole(self) -> str:
        parts = [""]
        while self.at < len(self.pattern):
            repeated = _QUANTIFIER.match(self.pattern, self.at)
            if repeated and parts[-1] in _ANCHORS.values():
                raise _UnknownPatternError  # only RE2 accepts a repeated anchor
            parts.append(self.piece())
        return "".join(parts)

    def take(self, count: int = 1) -> str:
        taken = self.pattern[self.at : self.at + count]
        if len(taken) < count:
            raise _UnknownPatternError
        self.at += count
        return taken

    def piece(self) -> str:
        if found := _QUANTIFIER.match(self.pattern, self.at):
            self.at = found.end()
            if _QUANTIFIER.match(self.pattern, self.at) or self.pattern.startswith("+", self.at):
                raise _UnknownPatternError  # RE2 accepts `a**`; in other engines it is an error or possessive
            return found[0]
        if found := _GROUP.match(self.pattern, self.at):
            if self.pattern.startswith("(?", self.at) and not found[0].startswith("(?"):
                raise _UnknownPatternError  # flags
            self.at = found.end()
            return "(?:"
        if self.pattern[self.at] == "[":
            return self.bracket()
        if self.pattern[self.at] == "\\":
            return self.escape(inside=False)
        character = self.take()
        if character == ".":
            return r"[^\n]"
        return character if character in "^$|)" else _literal(character, _SYNTAX)

    def bracket(self) -> str:
        self.take()
        parts = ["["]
        if self.pattern.startswith("^", self.at):
            parts.append(self.take())
        start = self.at
        while self.at == start or not self.pattern.startswith("]", self.at):
            if self.pattern.startswith("[:", self.at):
                name = self.pattern[self.at + 2 : self.pattern.find(":]", self.at)]
                if name not in _POSIX:
                    raise _UnknownPatternError
                self.take(len(name) + 4)
                parts.append(_POSIX[name])
                continue
            is_class = self.pattern[self.at : self.at + 2] in _CLASS_ESCAPES
            parts.append(self.member())
            if (
                not is_class  # after a class, `-` is a literal
                and self.pattern.startswith("-", self.at)
                and self.pattern[self.at + 1 : self.at + 2] not in ("", "]")
            ):
                parts += [self.take(), self.member()]
        return "".join([*parts, self.take()])

    def member(self) -> str:
        """Translate one member of a bracket expression: a character or a class."""
        if self.pattern.startswith("\\", self.at):
            return self.escape(inside=True)
        return _literal(self.take(), _SYNTAX_INSIDE)

    def escape(self, *, inside: bool) -> str:
        self.take()
        character = self.take()
        if character in _CLASSES:
            return _CLASSES[character] if inside else f"[{_CLASSES[character]}]"
        if character.lower() in _CLASSES and not inside:
            return f"[^{_CLASSES[character.lower()]}]"
        if character in _SAME:
            return f"\\{character}"
        if character in _ANCHORS and not inside:
            return _ANCHORS[character]
        if character == "x" and (found := re.compile(r"[0-9A-Fa-f]{2}").match(self.pattern, self.at)):
            self.at = found.end()
            return f"\\x{found[0].lower()}"
        if not character.isascii() or character.isalnum() or character == "_":
            raise _UnknownPatternError  # for example, \b depends on the engine's letters, and the syntax of \p differs
        return _literal(character, _SYNTAX_INSIDE if inside else _SYNTAX)


def _literal(character: str, syntax: str) -> str:
    if ord(character) > 0xFFFF:
        raise _UnknownPatternError  # two characters (a surrogate pair) in some engines
    return f"\\{character}" if character in syntax else character
