"""The function calls in a template and their positions, found without rendering it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kubocd_gen.helm.lexer import Action, Kind, Token, TooManyTokensError, actions

# Functions that return an integer, which `range` accepts from Go 1.24 on. Sprig's `ceil` and `floor` return floats.
_INT = frozenset(["atoi", "int", "len", "randInt"])
_INT64 = frozenset(["add", "add1", "biggest", "div", "int64", "max", "min", "mod", "mul", "sub", "toDecimal"])
# Functions whose output depends on the order of a list. `first` and `last` are left out: they are used on maps that
# have a single key.
_IN_ORDER = """
    cat join mustToJson mustToPrettyJson mustToRawJson print printf println quote squote toJson toPrettyJson toRawJson
    toString toStrings toYaml
"""
_VERSION = re.compile(r"[0-9|xX*]+(?:\.[0-9|xX*]+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
_LONG = 1_000  # tokens; parentheses of longer actions are not followed, because that takes quadratic time
_BEGINS = (Kind.LEFT_PAREN, Kind.PIPE, Kind.ASSIGN, Kind.KEYWORD)


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or the keyword `range`, in a template. `line` and `column` count from 1, columns in characters.

    `text` is the argument if it is a literal string.
    """

    name: str
    line: int
    column: int
    text: str | None = None


def calls(template: str) -> Iterator[Call]:
    """Yield every function that the template names, in order, whether or not a rendering reaches it."""
    position = _Positions(template)
    for _, words in _actions(template):
        for index, token in enumerate(words):
            if token.kind is Kind.IDENTIFIER:
                yield Call(token.text, *position(token), _argument(words, index))


def int64_ranges(template: str) -> Iterator[Call]:
    """Yield each `range` over the result of a function that returns an int64.

    A range over a number of Go's type int is rewritten for older versions of helm. The items of these are int64, too,
    and no function makes a list of int64.
    """
    position = _Positions(template)
    for action, words in _actions(template):
        if action.keyword == "range" and _is_range_over(words, _INT64, literal=False):
            yield Call(words[0].text, *position(words[0]))


def is_range_over_int(words: Sequence[Token]) -> bool:
    """Return whether `words`, the tokens of a `range` without white space, iterate over an int with one variable."""
    return _is_range_over(words, _INT, literal=True)


def _is_range_over(words: Sequence[Token], functions: Container[str], *, literal: bool) -> bool:
    assigned = next((index for index, word in enumerate(words) if word.kind is Kind.ASSIGN), 0)  # 2 for `$x :=`
    if assigned > 2 or len(words) > _LONG:  # with two variables, a range over an integer always fails
        return False
    last = _last_command(words[assigned + 1 :])
    while last and last[0].kind is Kind.LEFT_PAREN and _closing(last, 0) == len(last) - 1:
        last = _last_command(last[1:-1])
    if last and last[0].kind is Kind.NUMBER:
        return literal and len(last) == 1 and last[0].text.isdigit()
    return bool(last) and last[0].kind is Kind.IDENTIFIER and last[0].text in functions


def unordered_lists(template: str) -> Iterator[Call]:
    """Yield each `keys` and `values` whose result is printed unsorted, in Go's random map order."""
    position = _Positions(template)
    for _, words in _actions(template):
        if len(words) > _LONG or any(word.text == "sortAlpha" for word in words):
            continue
        for index, word in enumerate(words):
            if word.kind is Kind.IDENTIFIER and word.text in ("keys", "values") and _is_printed(words, index):
                yield Call(word.text, *position(word))


def mixes_prereleases(constraint: str) -> bool:
    """Return whether a group of a semver constraint has a prerelease in some of its parts, but not in all.

    Whether such a group matches a version with a prerelease depends on the version of helm (see `partials`).
    """
    for group in constraint.split("||"):
        found = ["-" in version.partition("+")[0] for version in _VERSION.findall(group)]
        if any(found) and not all(found):
            return True
    return False


class _Positions:
    """Lines and columns of tokens that are passed in order, so the template is scanned only once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._seen = 0  # offset up to which lines are counted
        self._line = 1
        self._start = 0  # offset of the current line

    def __call__(self, token: Token) -> tuple[int, int]:
        lines = self._text.count("\n", self._seen, token.start)
        if lines:
            self._line += lines
            self._start = self._text.rindex("\n", self._seen, token.start) + 1
        self._seen = token.start
        return self._line, token.start - self._start + 1


def _actions(template: str) -> Iterator[tuple[Action, list[Token]]]:
    """Yield the actions, each with its tokens without white space."""
    if "{{" in template:
        with suppress(TooManyTokensError):  # reported when the template is rendered or checked
            for action in actions(template):
                yield action, [token for token in action.tokens if token.kind is not Kind.SPACE]


def _argument(tokens: Sequence[Token], index: int) -> str | None:
    """Return the literal string passed to the function at `index`, as first argument or through a pipe."""
    if index + 1 < len(tokens) and (found := _literal(tokens[index + 1])) is not None:
        return found
    if index >= 2 and tokens[index - 1].kind is Kind.PIPE and (index == 2 or tokens[index - 3].kind in _BEGINS):
        return _literal(tokens[index - 2])
    return None


def _literal(token: Token) -> str | None:
    """Return the value of a string token; None if it has escapes, or for other tokens."""
    if token.kind is Kind.RAW_STRING or (token.kind is Kind.STRING and "\\" not in token.text):
        return token.text[1:-1]
    return None


def _depth(token: Token) -> int:
    return (token.kind is Kind.LEFT_PAREN) - (token.kind is Kind.RIGHT_PAREN)


def _last_command(pipeline: Sequence[Token]) -> Sequence[Token]:
    depth, start = 0, 0
    for index, token in enumerate(pipeline):
        depth += _depth(token)
        if token.kind is Kind.PIPE and depth == 0:
            start = index + 1
    return pipeline[start:]


def _is_printed(tokens: Sequence[Token], index: int) -> bool:
    """Return whether the result of the function at `index` is printed, directly or by another function."""
    if index and tokens[index - 1].kind not in _BEGINS:
        return False  # an argument, not a call
    opening = _opening(tokens, index)
    end = len(tokens) if opening is None else _closing(tokens, opening)
    depth = 0
    for at in range(index, end):
        depth += _depth(tokens[at])
        if tokens[at].kind is Kind.PIPE and depth == 0:
            return at + 1 < end and tokens[at + 1].text in _IN_ORDER.split()
    if opening is None:
        return not any(token.kind in (Kind.ASSIGN, Kind.KEYWORD) for token in tokens)
    if end + 1 < len(tokens) and tokens[end + 1].kind is Kind.FIELD and tokens[end + 1].start == tokens[end].end:
        return False  # a field access, which fails for a list
    return _takes_in_order(tokens, opening)


def _takes_in_order(tokens: Sequence[Token], opening: int) -> bool:
    """Return whether the parenthesis at `opening` is an argument of a function that prints lists in order."""
    depth = 0
    for at in range(opening - 1, -1, -1):
        depth -= _depth(tokens[at])
        if depth == 0 and (at == 0 or tokens[at - 1].kind in _BEGINS):
            return tokens[at].kind is Kind.IDENTIFIER and tokens[at].text in _IN_ORDER.split()
        if depth < 0:
            return False
    return False


def _opening(tokens: Sequence[Token], index: int) -> int | None:
    """Return the index of the parenthesis around the token at `index`; None if there is none."""
    depth = 0
    for at in range(index - 1, -1, -1):
        depth += _depth(tokens[at])
        if depth > 0:
            return at
    return None


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """Return the index that closes the parenthesis at `opening`; the number of tokens if nothing closes it."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += _depth(tokens[at])
        if depth == 0:
            return at
    return len(tokens)
