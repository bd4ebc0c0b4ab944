"""The lexer of Go's text/template: an exact port of `text/template/parse/lex.go`, Go 1.21 (helm 3.14) to 1.26 (helm 4).

Rewritten templates share a helm process with templates of other packages, so a token that Go sees and this lexer misses
would be a security hole. Two rules prevent that:

- Nothing depends on Python's Unicode tables. There are four space characters and ten digits, and every character from
  U+0080 on is a letter. Go uses its own Unicode tables, which change between versions, and refuses the template at such
  a character if it is neither a letter nor a digit. So a name ends here where it ends in Go, or Go refuses it.
- Where Go's lexer refuses the template, this one stops. The action is `broken`, and the template must not be rendered
  with others: `Rewritten.readable` is False.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple


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


class Token(NamedTuple):  # a tuple because there can be many
    """`text[start:end]`, offsets in characters."""

    kind: Kind
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """The part between `{{` and `}}`, except comments. `start` is the offset of `{{`, `end` the offset after `}}`.

    `trims` is True for `-}}`. An action or comment that Go's lexer refuses is the last one: it is `broken` and has the
    tokens before the error.
    """

    tokens: tuple[Token, ...]
    start: int
    end: int
    trims: bool
    broken: bool = False

    @property
    def keyword(self) -> str | None:
        """The keyword at the start of the action, such as `if` or `end`; None if there is none."""
        first = next((token for token in self.tokens if token.kind is not Kind.SPACE), None)
        return first.text if first is not None and first.kind is Kind.KEYWORD else None


_KINDS: dict[str | None, Kind] = {kind.name: kind for kind in Kind}
_WORDS = {
    **dict.fromkeys(("true", "false", "nil"), Kind.CONSTANT),
    **dict.fromkeys(
        ("block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"), Kind.KEYWORD
    ),
}

# lexIdentifier, lexFieldOrVariable: letters, then a character that atTerminator accepts; otherwise Go reports an error.
_LETTER = r"[0-9A-Za-z_\x80-\U0010ffff]"
_CLOSING = r"[ \t\r\n]-\}\}|\}\}"
_NAME_END = r"(?=[ \t\r\n.,|:()]|\}\}|\Z)"
# scanNumber. It never backtracks and accepts `+`, `0x` and `1_`, which Go's parser refuses later.
_SCAN = rf"""
    (?>[+-]?(?>
        0[xX][0-9A-Fa-f_]*(?:\.[0-9A-Fa-f_]*)?(?:[pP][+-]?[0-9_]*)?
      | 0[oO][0-7_]*(?:\.[0-7_]*)?
      | 0[bB][01_]*(?:\.[01_]*)?
      | [0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?
    )i?)(?!{_LETTER})
"""
_TOKEN = re.compile(
    rf"""
      (?P<RIGHT>{_CLOSING})
    | (?P<SPACE>[ \t\r\n]+)
    | (?P<ASSIGN>:?=)
    | (?P<PIPE>\|)
    | (?P<STRING>"(?:[^"\\\n]++|\\[^\n])*+")
    | (?P<RAW_STRING>`[^`]*`)
    | (?P<CHARACTER>'(?:[^'\\\n]++|\\[^\n])*+')
    | (?P<VARIABLE>\${_LETTER}*+{_NAME_END})
    | (?P<FIELD>\.(?![0-9]){_LETTER}*+{_NAME_END})
    | (?P<NUMBER>(?=[-+0-9]|\.[0-9]){_SCAN}(?:(?![-+])|{_SCAN}(?<=i)))
    | (?P<IDENTIFIER>(?![0-9]){_LETTER}++{_NAME_END})
    | (?P<LEFT_PAREN>\()
    | (?P<RIGHT_PAREN>\))
    | (?P<OTHER>[]!\#%&*,/;<>?@[\\^{{}}~])
    """,
    re.VERBOSE,
)
_COMMENT = re.compile(r"(?:-[ \t\r\n])?/\*")
_RIGHT = re.compile(_CLOSING)


MOST_TOKENS = 100_000
"""The maximum number of tokens in a template. The longest known templates have some thousands."""


class TooManyTokensError(Exception):
    """A template has more than MOST_TOKENS tokens, which could exhaust memory."""


def actions(text: str) -> Iterator[Action]:
    """Yield the actions of a template in order, up to the first lexical error. Raises TooManyTokensError."""
    position = tokens = 0
    while (opening := text.find("{{", position)) >= 0:
        position = opening + 2
        if comment := _COMMENT.match(text, position):
            closing = text.find("*/", comment.end())
            right = _RIGHT.match(text, closing + 2) if closing >= 0 else None
            if right is None:
                yield Action((), opening, len(text) if closing < 0 else closing + 2, trims=False, broken=True)
                return
            position = right.end()
            continue
        if text[position : position + 1] == "-" and text[position + 1 : position + 2] in tuple(" \t\r\n"):
            position += 1  # like Go, treat the space after the trim marker as part of the action
        action = _action(text, opening, position)
        tokens += len(action.tokens) + 1
        if tokens > MOST_TOKENS:
            raise TooManyTokensError
        yield action
        if action.broken:
            return
        position = action.end


def unclosed(text: str) -> Action | None:
    """Return the innermost `if`, `range`, `with`, `define` or `block` without an `end`; None if all are closed."""
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
        match = _TOKEN.match(text, position)
        if match is None:
            return Action(tuple(tokens), start, position, trims=False, broken=True)
        end = match.end()
        kind = _KINDS.get(match.lastgroup)
        if kind is None:  # Go refuses a right delimiter inside parentheses
            return Action(tuple(tokens), start, end, end - position > 2, broken=depth > 0)
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
            raise TooManyTokensError
        position = end
