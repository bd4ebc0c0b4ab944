"""The commands of an action: what stands between its pipes and parentheses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kubocd_gen.helm.lexer import Kind, Token

TAKES_NAME = frozenset({"define", "block", "template"})


@dataclass(slots=True)
class Word:
    """An operand: one term with the fields that follow it without a space, `.a.b`, `$x.y`, `(…).z`, `"s"`, `upper`.

    `position` is where Go says that it is: the second term of a chain, the first token inside a parenthesis.
    """

    start: int
    end: int
    position: int
    function: str | None = None  # the name, where the word begins with one
    chained: bool = False


@dataclass(slots=True)
class Command:
    """A function or a value and its arguments. `piped`: another value comes in as the last argument."""

    piped: bool = False
    words: list[Word] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.words[-1].end


def commands(tokens: tuple[Token, ...]) -> Iterator[Command]:
    """The commands of an action's pipelines, inner ones before the one that they are an argument of.

    Keywords and the names that `define`, `block` and `template` take are no part of a command. It works on any tokens:
    where Go would refuse them, each function must still be found, or Go complains of its name instead.
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
            if current.words:  # declared variables, or what Go refuses
                yield current
            current = Command()
            named = token.text in TAKES_NAME
        elif named:
            if token.kind not in (Kind.STRING, Kind.RAW_STRING):
                break  # Go refuses it
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
    for command in (current, *reversed(outer)):  # parentheses are left open only where Go refuses the text
        if command.words:
            yield command
