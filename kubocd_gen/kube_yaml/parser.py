"""libyaml as the parser: its events, with the colons that Go's YAML readers accept, and its errors.

Errors get positions and hints for people who write YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_CHANGES = 30  # replaced characters of a text; each costs another parse of the text before it
_MOST_REPEATED = 100_000  # events that are parsed again, for all changes together
_INNER_MARK = re.compile("[\n\r\x85\u2028\u2029]\ufeff")  # a mark inside the text, which libyaml skips
_IN_GO_TAGS = (",", "[", "]")
_COMMA_OR_BRACKET = re.compile(r"[,\[\]]")
_TAG = re.compile(r"(?:&[^\s,\[\]{}]*\s+)?(?:!<[^\s>]*>(?=\S)|(?=!(?!<)))(?P<tag>[^\s{}]*)")  # without a verbatim part
_TAG_ERRORS = ("did not find expected whitespace or line break", "did not find expected tag URI")

# Parts of libyaml's messages, and how to fix the cause.
_HINTS = {
    "did not find expected node content": "add the missing value or closing bracket",
    "mapping values are not allowed": "quote the value if it contains ': ', or fix the indentation",
    "cannot start any token": "quote a value that starts with this character",
    "did not find expected ',' or": "add the missing comma or closing bracket, or quote the string",
    "did not find expected alphabetic": "quote a string that starts with '&' or '*'",
    "found unexpected ':'": "quote the string",
    "unknown escape character": "double the backslash, or use single quotes",
    "did not find expected key": "fix the indentation, or quote the string",
    "did not find expected '-' indicator": "fix the indentation, or add the missing '-'",
    "could not find expected ':'": "write 'key: value', or indent the line if it continues a string",
    "found unexpected end of stream": "add the missing quotation mark",
    "control characters are not allowed": 'use an escape in double quotes, such as "\\x07"',
}

# libyaml's names of the parts of a document, and what a message says about an error in them.
_PARTS = {
    "a flow sequence": "in a flow sequence",
    "a flow mapping": "in a flow mapping",
    "a block mapping": "in a map",
    "a block collection": "in a list",
    "a plain scalar": "in an unquoted string",
    "a quoted scalar": "in a quoted string",
    "a block scalar": "in a string after '|' or '>'",
    "a simple key": "after a key",
}

_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>")  # conflict markers of Git


def events(text: str, *, keep_marks: bool = False) -> Iterator[Any]:
    """Yield PyYAML's events of `text`; their marks are positions in `text`. Raises yaml.YAMLError at an error.

    Go's readers differ from libyaml, so some characters are replaced by others of the same effect, and those of strings
    are restored in the events:
    - libyaml rejects `[a:]` and `{a:, b: 1}`, because a bracket or comma follows the colon. In Go, a colon is part of
      the string unless a space follows.
    - Only in Go, a comma or bracket can be part of a tag, as in `{!!null, a: 1}`, where the tag is `!!null,`.
    - libyaml skips a byte order mark at the start of a line. In Go, it is part of the line. (With `keep_marks`.)
    """
    free = (one for one in map(chr, range(0xE000, 0xF900)) if one not in text)
    restored: dict[str, str] = {}
    colon, source = "", text
    if keep_marks and inner_mark(text) is not None and (other := next(free, "")):
        restored[other] = "\ufeff"
        source = _INNER_MARK.sub(lambda found: found[0][:-1] + other, text)
    yielded = repeated = 0
    for attempt in range(_MOST_CHANGES + 1):
        try:
            for number, event in enumerate(iter(_Loader(source).get_event, None)):
                if number < yielded:
                    repeated += 1
                    continue
                if getattr(event, "tag", None) and (changed := _go_tag(source, event.start_mark.index)):
                    if attempt == _MOST_CHANGES or repeated + yielded > _MOST_REPEATED:
                        raise yaml.scanner.ScannerError(None, None, "too many tags contain a comma", event.start_mark)
                    source = changed
                    break
                if restored and type(event) is yaml.ScalarEvent:
                    for replacement, character in restored.items():
                        event.value = event.value.replace(replacement, character)
                yielded += 1
                yield event
            else:
                break
        except yaml.scanner.ScannerError as error:
            mark: Any = error.problem_mark
            index = mark.index if mark else -1
            if index < 0 or attempt == _MOST_CHANGES or repeated + yielded > _MOST_REPEATED:
                raise
            if error.problem == "found unexpected ':'" and (colon := colon or next(free, "")):
                restored[colon] = ":"
                source = f"{source[:index]}{colon}{source[index + 1 :]}"
            elif error.problem in _TAG_ERRORS and source[index : index + 1] in _IN_GO_TAGS:
                source = f"{source[:index]}.{source[index + 1 :]}"
            else:
                raise


def inner_mark(text: str) -> int | None:
    """Return the index of the first byte order mark at the start of a line, not of the text; None if there is none."""
    found = _INNER_MARK.search(text) if "\ufeff" in text else None
    return found.end() - 1 if found else None


def _go_tag(source: str, index: int) -> str | None:
    """Return `source` without commas and brackets in the tag of the node at `index`; None if its tag has none.

    A tag with such a character is not a known tag, so it does not matter which one replaces it.
    """
    found = _TAG.match(source, index)
    if found is None:
        return None
    start, end = found.span("tag")
    tag = source[start:end]
    return f"{source[:start]}{_COMMA_OR_BRACKET.sub('.', tag)}{source[end:]}" if _COMMA_OR_BRACKET.search(tag) else None


def too_deep(error: Exception) -> Any:
    """Return the mark at which PyYAML rejected nesting of 1,000 levels; None for any other error.

    PyYAML does so since 6.0.4. It looks ahead, and fails before our own lower limit sees the first bracket.
    """
    if isinstance(error, yaml.MarkedYAMLError) and error.problem == "exceeded maximum nesting depth":
        return error.problem_mark
    return None


class YamlError(ProblemsError):
    """An error in a text that is not valid YAML, or not YAML that Kubernetes accepts."""

    def __init__(self, message: str, *, code: str, position: Position | None = None, hint: str | None = None) -> None:
        super().__init__(Problem(code, message, position, hint))


def syntax_error(error: yaml.YAMLError | UnicodeEncodeError, text: str, path: str) -> YamlError:
    """Convert an error of libyaml, or of encoding `text` as UTF-8, into a YamlError with position and hint."""
    if isinstance(error, UnicodeEncodeError):
        problem, position = "a lone surrogate is not a valid character", position_at(text, path, error.start)
    elif isinstance(error, yaml.reader.ReaderError):
        before = text.encode("utf-8", "surrogatepass")[: error.position].decode("utf-8", "ignore")
        problem, position = error.reason, position_at(text, path, len(before))
    else:
        problem, position = _parser_problem(error, text, path)
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    line = "".join(text.splitlines()[position.line - 1 : position.line]) if position.line else ""
    if "cannot start any token" in problem and not line[: position.column].strip():
        problem, hint = "a tab cannot be used for indentation", "indent with spaces"
    elif "mapping values are not allowed" in problem and _lacks_colon(text, position.line):
        hint = "add the missing ':' to the line above, or fix the indentation"
    elif line.startswith(_CONFLICT):
        problem, hint = "this line is a conflict marker of Git", "resolve the merge conflict"
    return YamlError(f"invalid YAML: {problem}", code="bad-yaml", position=position, hint=hint)


def _lacks_colon(text: str, line: int | None) -> bool:
    """Return whether the line above `line`, counted from 1, has content but no colon."""
    above = "".join(text.splitlines()[line - 2 : line - 1]).strip() if line and line > 1 else ""
    return bool(above) and ":" not in above and not above.startswith(("#", "-"))


def _parser_problem(error: Any, text: str, path: str) -> tuple[str, Position]:
    """Return libyaml's message and its position, the opening quote or bracket if that is not closed."""
    problem, mark = getattr(error, "problem", None) or str(error), getattr(error, "problem_mark", None)
    context, opened = getattr(error, "context", None) or "", getattr(error, "context_mark", None)
    if opened and (mark is None or "found unexpected" in problem or "could not find" in problem):
        mark = opened
    part = next((words for name, words in _PARTS.items() if context.endswith(name)), None)
    if part:
        if opened and mark and opened.line < mark.line:
            part = f"{re.sub(r' an? ', ' the ', part, count=1)} that starts on line {opened.line + 1}"
        problem = f"{problem} {part}"
    if mark is None:
        return problem, Position(path)
    if mark.line >= len(text.splitlines()):  # libyaml reports the end of the text after the last line
        return problem, position_at(text, path, len(text.rstrip("\n")))
    return problem, Position(path, mark.line + 1, mark.column + 1)


def position_at(text: str, path: str, index: int) -> Position:
    """Return the position of the character at `index`."""
    return Position(path, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
