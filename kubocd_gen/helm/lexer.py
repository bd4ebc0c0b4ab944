"""The lexer of Go's text/template, as far as rewriting needs it.

It follows Go's `text/template/parse/lex.go` and is lenient where Go refuses: what it takes for tokens behind a mistake
does not matter, because Go stops at the mistake. What it must never do is to stop, or to misread, where Go reads on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    ASSIGN = auto()  # = and :=
    CHARACTER = auto()  # 'x'
    CONSTANT = auto()  # true, false, nil
    FIELD = auto()  # .x, and the dot alone
    IDENTIFIER = auto()
    KEYWORD = auto()
    LEFT_PAREN = auto()
    NUMBER = auto()
    OTHER = auto()  # any other printable character of ASCII
    PIPE = auto()
    RAW_STRING = auto()
    RIGHT_PAREN = auto()
    SPACE = auto()
    STRING = auto()
    VARIABLE = auto()  # $x, and $ alone


@dataclass(frozen=True, slots=True)
class Token:
    """`text[start:end]`, offsets in characters."""

    kind: Kind
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """What stands between `{{` and `}}`, comments excepted. `start` is the offset of `{{`, `end` the one behind `}}`;
    `trims` says that it is `-}}`. An action that Go's lexer refuses is the last: it is `broken`, and has the tokens
    before the mistake.
    """

    tokens: tuple[Token, ...]
    start: int
    end: int
    trims: bool
    broken: bool = False

    @property
    def keyword(self) -> str | None:
        """The keyword that the action begins with: `if`, `end`, …"""
        first = next((token for token in self.tokens if token.kind is not Kind.SPACE), None)
        return first.text if first is not None and first.kind is Kind.KEYWORD else None


_WORDS = {
    **dict.fromkeys(("true", "false", "nil"), Kind.CONSTANT),
    **dict.fromkeys(
        ("block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"), Kind.KEYWORD
    ),
}

_TOKEN = re.compile(
    r"""
      (?P<SPACE>[ \t\r\n]+)
    | (?P<ASSIGN>:?=)
    | (?P<PIPE>\|)
    | (?P<STRING>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<RAW_STRING>`[^`]*`)
    | (?P<CHARACTER>'(?:[^'\\\n]|\\[^\n])*')
    | (?P<VARIABLE>\$\w*)
    | (?P<NUMBER>[+-]?\.?[0-9](?:[eEpP][+-]|[.\w])*)
    | (?P<FIELD>\.\w*)
    | (?P<IDENTIFIER>\w+)
    | (?P<LEFT_PAREN>\()
    | (?P<RIGHT_PAREN>\))
    | (?P<OTHER>[!#-&(-_a-~])
    """,
    re.VERBOSE,
)
_COMMENT = re.compile(r"(?:-[ \t\r\n])?/\*")
_RIGHT = re.compile(r"[ \t\r\n]-\}\}|\}\}")


MOST_TOKENS = 100_000
"""Of a template. The longest that are known have some thousands."""


class TooManyTokens(Exception):
    """A template has more than MOST_TOKENS: what is made of them would fill memory."""


def actions(text: str) -> Iterator[Action]:
    """The actions of a template, in order, up to where Go's lexer would refuse the text. Raises TooManyTokens."""
    position = tokens = 0
    while (opening := text.find("{{", position)) >= 0:
        position = opening + 2
        if comment := _COMMENT.match(text, position):
            closing = text.find("*/", comment.end())
            right = _RIGHT.match(text, closing + 2) if closing >= 0 else None
            if right is None:
                return
            position = right.end()
            continue
        if text[position : position + 1] == "-" and text[position + 1 : position + 2] in tuple(" \t\r\n"):
            position += 1  # the space behind the trim marker is one more space inside
        action = _action(text, opening, position)
        tokens += len(action.tokens) + 1
        if tokens > MOST_TOKENS:
            raise TooManyTokens
        yield action
        if action.broken:
            return
        position = action.end


def unclosed(text: str) -> Action | None:
    """The innermost `if`, `range`, `with`, `define` or `block` that no `end` closes; None where all are closed."""
    inside: list[Action] = []
    for action in actions(text):
        if action.keyword in ("if", "range", "with", "define", "block"):
            inside.append(action)
        elif action.keyword == "end" and inside:
            inside.pop()
    return inside[-1] if inside else None


def _action(text: str, start: int, position: int) -> Action:
    tokens: list[Token] = []
    depth = 0
    while True:
        if right := _RIGHT.match(text, position):
            # Go refuses a right delimiter inside parentheses.
            return Action(tuple(tokens), start, right.end(), right.end() - right.start() > 2, broken=depth > 0)
        match = _TOKEN.match(text, position)
        if match is None:
            return Action(tuple(tokens), start, position, trims=False, broken=True)
        kind = Kind[match.lastgroup or ""]
        end = match.end()
        if kind is Kind.SPACE and text.startswith("-}}", end) and end - position > 1:
            end -= 1  # the last of several spaces belongs to the trim marker
        word = text[position:end]
        if kind is Kind.IDENTIFIER:
            kind = _WORDS.get(word, kind)
        elif kind is Kind.LEFT_PAREN:
            depth += 1
        elif kind is Kind.RIGHT_PAREN:
            depth -= 1
            if depth < 0:
                return Action(tuple(tokens), start, position, trims=False, broken=True)
        tokens.append(Token(kind, position, end, word))
        if len(tokens) > MOST_TOKENS:
            raise TooManyTokens
        position = end
