"""The commands of a template action: the parts between its pipes and parentheses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kubocd_gen.helm.lexer import Kind, Token

TAKES_NAME = frozenset({"define", "block", "template"})


@dataclass(slots=True)
class Word:
    """An operand: one term and the fields directly after it, such as `.a.b`, `$x.y`, `(…).z`, `"s"` or `upper`.

    `position` is the offset that Go reports: the second term of a chain, or the first token inside a parenthesis.
    """

    start: int
    end: int
    position: int
    function: str | None = None  # its name, if the word begins with one
    chained: bool = False


@dataclass(slots=True)
class Command:
    """A function or value and its arguments. If `piped`, another value is passed as the last argument."""

    piped: bool = False
    words: list[Word] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.words[-1].end


def commands(tokens: tuple[Token, ...]) -> Iterator[Command]:
    """Yield the commands of an action's pipelines, inner commands before the command that they are an argument of.

    Keywords and the names after `define`, `block` and `template` are not part of a command. Any tokens are accepted:
    in an action that Go refuses, every function must still be found, or Go would report the wrong name.
    """
    current = Command()
    outer: list[Command] = []
    named = False  # the next string is a template's name
    for token in tokens:
        if token.kind is Kind.SPACE:
            continue
        if token.kind is Kind.PIPE:
            if current.words:
                yield current
            current = Command(piped=True)
        elif token.kind in (Kind.ASSIGN, Kind.KEYWORD):
            if current.words:  # declared variables, or a syntax error
                yield current
            current = Command()
            named = token.text in TAKES_NAME
        elif named:
            if token.kind not in (Kind.STRING, Kind.RAW_STRING):
                break  # a syntax error
            named = False
        elif token.kind is Kind.RIGHT_PAREN:
            if current.words:
                yield current
            current = outer.pop()
            current.words[-1].end = token.end
        else:
            last = current.words[-1] if current.words else None
            if last is not None and token.kind is Kind.FIELD and token.start == last.end:
                last.position = last.position if last.chained else token.start
                last.chained = True
                last.end = token.end
                continue
            function = token.text if token.kind is Kind.IDENTIFIER else None
            if outer and not current.words and outer[-1].words[-1].position == outer[-1].words[-1].start:
                outer[-1].words[-1].position = token.start
            current.words.append(Word(token.start, token.end, token.start, function))
            if token.kind is Kind.LEFT_PAREN:
                outer.append(current)
                current = Command()
    for command in (current, *reversed(outer)):  # a parenthesis stays open only after a syntax error
        if command.words:
            yield command
