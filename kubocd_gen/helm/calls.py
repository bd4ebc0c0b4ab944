"""Which functions a template names, and where: what can be said of it before it is rendered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kubocd_gen.helm.lexer import Action, Kind, Token, TooManyTokensError, actions

# Functions that answer a whole number, which `range` takes from Go 1.24 on. Sprig's `ceil`, `floor` and `round` do not.
_WHOLE = "add add1 atoi biggest div int int64 len max min mod mul randInt sub toDecimal"
# What prints the items of a list in the order in which they come. `first` and `last` are left alone: they stand where
# a map has one key.
_IN_ORDER = """
    cat join mustToJson mustToPrettyJson mustToRawJson print printf println quote squote toJson toPrettyJson toRawJson
    toString toStrings toYaml
"""
_LONG = 1_000  # tokens of an action, beyond which its parentheses are not followed: the time grows with the square
_BEGINS = (Kind.LEFT_PAREN, Kind.PIPE, Kind.ASSIGN, Kind.KEYWORD)


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or the keyword `range`, in a template. `line` and `column` count from 1, columns in characters.

    `text` is its argument where that is a literal string.
    """

    name: str
    line: int
    column: int
    text: str | None = None


def calls(template: str) -> Iterator[Call]:
    """Every function that the template names, in order, whether or not a rendering comes to it."""
    place = _Places(template)
    for _, words in _actions(template):
        for index, token in enumerate(words):
            if token.kind is Kind.IDENTIFIER:
                yield Call(token.text, *place(token), _argument(words, index))


def whole_number_ranges(template: str) -> Iterator[Call]:
    """Each `range` over what is certainly a whole number."""
    place = _Places(template)
    for action, words in _actions(template):
        if action.keyword == "range" and len(words) <= _LONG and _is_whole(_after_declaration(words[1:])):
            yield Call(words[0].text, *place(words[0]))


def unordered_lists(template: str) -> Iterator[Call]:
    """Each `keys` and `values` whose result is printed as it comes, in Go's random order of maps."""
    place = _Places(template)
    for _, words in _actions(template):
        if len(words) > _LONG or any(word.text == "sortAlpha" for word in words):
            continue
        for index, word in enumerate(words):
            if word.kind is Kind.IDENTIFIER and word.text in ("keys", "values") and _is_printed(words, index):
                yield Call(word.text, *place(word))


class _Places:
    """Line and column of tokens that come in order, so that the text is read once, however many there are."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._seen = 0  # up to where lines are counted
        self._line = 1
        self._start = 0  # of the line

    def __call__(self, token: Token) -> tuple[int, int]:
        lines = self._text.count("\n", self._seen, token.start)
        if lines:
            self._line += lines
            self._start = self._text.rindex("\n", self._seen, token.start) + 1
        self._seen = token.start
        return self._line, token.start - self._start + 1


def _actions(template: str) -> Iterator[tuple[Action, list[Token]]]:
    """The actions, each with its tokens but white space."""
    if "{{" in template:
        with suppress(TooManyTokensError):  # which is an error of its own, once it is to be rendered
            for action in actions(template):
                yield action, [token for token in action.tokens if token.kind is not Kind.SPACE]


def _argument(tokens: Sequence[Token], index: int) -> str | None:
    """The literal string that the function at `index` is given, behind it or through a pipe."""
    if index + 1 < len(tokens) and (found := _literal(tokens[index + 1])) is not None:
        return found
    if index >= 2 and tokens[index - 1].kind is Kind.PIPE and (index == 2 or tokens[index - 3].kind in _BEGINS):
        return _literal(tokens[index - 2])
    return None


def _literal(token: Token) -> str | None:
    """The value of a string; None of one with escapes, which is not worth to be understood, and of other tokens."""
    if token.kind is Kind.RAW_STRING or (token.kind is Kind.STRING and "\\" not in token.text):
        return token.text[1:-1]
    return None


def _after_declaration(tokens: Sequence[Token]) -> Sequence[Token]:
    """The pipeline behind `$i, $x :=`."""
    at = next((index for index, token in enumerate(tokens) if token.kind is Kind.ASSIGN), -1)
    return tokens[at + 1 :]


def _is_whole(pipeline: Sequence[Token]) -> bool:
    """Whether the pipeline is a number without fraction or exponent, or ends in a function that answers one."""
    last = _last_command(pipeline)
    while last and last[0].kind is Kind.LEFT_PAREN and _closing(last, 0) == len(last) - 1:
        last = _last_command(last[1:-1])
    if not last:
        return False
    if last[0].kind is Kind.NUMBER:
        return len(last) == 1 and last[0].text.isdigit()
    return last[0].kind is Kind.IDENTIFIER and last[0].text in _WHOLE.split()


def _last_command(pipeline: Sequence[Token]) -> Sequence[Token]:
    depth, start = 0, 0
    for index, token in enumerate(pipeline):
        depth += (token.kind is Kind.LEFT_PAREN) - (token.kind is Kind.RIGHT_PAREN)
        if token.kind is Kind.PIPE and depth == 0:
            start = index + 1
    return pipeline[start:]


def _is_printed(tokens: Sequence[Token], index: int) -> bool:
    """Whether what the function at `index` answers goes to a function that prints, or is printed itself."""
    if index and tokens[index - 1].kind not in _BEGINS:
        return False  # an argument, not a call
    opening = _opening(tokens, index)
    end = len(tokens) if opening is None else _closing(tokens, opening)
    depth = 0
    for at in range(index, end):
        depth += (tokens[at].kind is Kind.LEFT_PAREN) - (tokens[at].kind is Kind.RIGHT_PAREN)
        if tokens[at].kind is Kind.PIPE and depth == 0:
            return at + 1 < end and tokens[at + 1].text in _IN_ORDER.split()
    if opening is None:
        return not any(token.kind in (Kind.ASSIGN, Kind.KEYWORD) for token in tokens)
    if end + 1 < len(tokens) and tokens[end + 1].kind is Kind.FIELD and tokens[end + 1].start == tokens[end].end:
        return False  # a field of it, which a list does not have
    return _takes_in_order(tokens, opening)


def _takes_in_order(tokens: Sequence[Token], opening: int) -> bool:
    """Whether the parenthesis at `opening` is an argument of a function that prints."""
    depth = 0
    for at in range(opening - 1, -1, -1):
        depth += (tokens[at].kind is Kind.RIGHT_PAREN) - (tokens[at].kind is Kind.LEFT_PAREN)
        begins = at == 0 or tokens[at - 1].kind in _BEGINS
        if depth == 0 and begins:
            return tokens[at].kind is Kind.IDENTIFIER and tokens[at].text in _IN_ORDER.split()
        if depth < 0:
            return False
    return False


def _opening(tokens: Sequence[Token], index: int) -> int | None:
    """The parenthesis that the token at `index` stands in."""
    depth = 0
    for at in range(index - 1, -1, -1):
        depth += (tokens[at].kind is Kind.RIGHT_PAREN) - (tokens[at].kind is Kind.LEFT_PAREN)
        if depth < 0:
            return at
    return None


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """The end of the parenthesis at `opening`; the end of the tokens where it is left open."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at].kind is Kind.LEFT_PAREN) - (tokens[at].kind is Kind.RIGHT_PAREN)
        if depth == 0:
            return at
    return len(tokens)
