"""Positions in a user's template, from the line, column or message that Go reports."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import NamedTuple

from kubocd_gen.helm.lexer import Action, Kind, actions
from kubocd_gen.helm.rewrite import Rewritten
from kubocd_gen.helm.template import Template, TemplateFailure

_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_CHARACTER = re.compile(r"(?:bad character|unrecognized character in action:?) U\+([0-9A-F]+)")
_NAMED = (Kind.IDENTIFIER, Kind.VARIABLE, Kind.OTHER)  # tokens that Go's parser refuses by their text


def error_at(
    template: Template, offset: int, message: str, hint: str | None = None, code: str = "template-error"
) -> TemplateFailure:
    """Return an error at an offset in the template's source, with the line and column in its text or header."""
    in_header = offset < len(template.header)
    text = template.header if in_header else template.text
    offset -= 0 if in_header else len(template.header)
    before = text[:offset]
    return TemplateFailure(
        message,
        before.count("\n") + 1,
        offset - (before.rfind("\n") + 1) + 1,
        in_header,
        hint,
        code,
    )


def offset_of(rewritten: Rewritten, line: int, column: int) -> int:
    """Return the offset in the source, in characters, for Go's line (from 1) and column (in bytes, from 0)."""
    start = 0
    for _ in range(line - 1):
        start = rewritten.text.find("\n", start) + 1
    end = rewritten.text.find("\n", start)
    text = rewritten.text[start : end if end >= 0 else None]
    return rewritten.source_offset(start + len(text.encode()[:column].decode("utf-8", "ignore")))


class Line(NamedTuple):
    """A line of a template's text, or of its header."""

    line: int
    in_header: bool


def line_of(template: Template, line: int) -> Line:
    """Convert a line of the source to a line of the text or of the header.

    The last line of the header can be the first of the text; it then counts as the header's if only that has an action.
    """
    above = template.header.count("\n")
    header_end = template.header.rpartition("\n")[2]
    shared_by_header = "{{" in header_end and "{{" not in template.text.partition("\n")[0]
    if line <= above or (line == above + 1 and shared_by_header):
        return Line(line, in_header=True)
    lines = template.text.count("\n") + (not template.text.endswith("\n"))
    return Line(min(line - above, max(lines, 1)), in_header=False)


def stopped_at(source: str, line: int, message: str) -> int | None:
    """Return the offset at which Go's parser stopped, given the line that it reports; None if that is not certain.

    It is the first token that the message names, the action with the lexical error, or the only action on the line.
    """
    lines = source.split("\n")
    start = sum(len(one) + 1 for one in lines[: line - 1])
    end = start + len("".join(lines[line - 1 : line]))
    begun = takewhile(lambda action: action.start < end, actions(source))
    here = [action for action in begun if action.end > start]
    if quoted := _QUOTED.search(message):
        word = re.sub(r"\\(.)", r"\1", quoted[0][1:-1])
        for action in here:
            for token in action.tokens:
                if token.kind in _NAMED and token.text == word:
                    return token.start
    if character := _CHARACTER.match(message):
        refused = chr(int(character[1], 16))
        here = [action for action in here if action.broken or _holds(action, refused)][:1]
    if here and (here[-1].broken or len(here) == 1):
        return here[-1].start
    return None


def _holds(action: Action, character: str) -> bool:
    """Return whether `character` is part of a name in the action, where Go can refuse it."""
    return any(character in token.text for token in action.tokens if token.kind in (*_NAMED, Kind.FIELD))
