"""What is wrong with a text that is not YAML: libyaml's findings in the words of someone who writes YAML."""

from __future__ import annotations

from typing import Any

import yaml

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError

# libyaml's words for what goes wrong most often, and the way out.
_HINTS = {
    "did not find expected node content": "a value or a closing bracket is missing",
    "mapping values are not allowed": "a value that contains ': ' must be quoted; or the line is indented wrongly",
    "cannot start any token": "a value that starts with such a character must be quoted",
    "did not find expected ',' or": "a comma or the closing bracket is missing; or it is a string that must be quoted",
    "did not find expected alphabetic": "a string that starts with '&' or '*' must be quoted",
    "found unexpected ':'": "quote the string",
    "unknown escape character": "write a backslash twice, or use single quotes",
    "did not find expected key": "the line is indented wrongly, or a string near it must be quoted",
    "did not find expected '-' indicator": "the line is indented wrongly, or lacks its '-'",
    "could not find expected ':'": "write 'key: value', or indent the line as the rest of a string",
    "found unexpected end of stream": "a quotation mark is missing",
    "control characters are not allowed": 'write it as an escape between double quotes, such as "\\x07"',
}


# Its words for what it was reading, and those of people who write YAML.
_PARTS = {
    "a flow sequence": "a list in brackets",
    "a flow mapping": "a map in braces",
    "a block mapping": "a map",
    "a block collection": "a list",
    "a plain scalar": "an unquoted string",
    "a quoted scalar": "a quoted string",
    "a block scalar": "a string after '|' or '>'",
    "a simple key": "a key",
    "a flow node": "a value",
    "a block node": "a value",
}

_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>")  # what Git leaves in a file


def too_deep(error: Exception) -> Any:
    """The mark where libyaml refused a nest of a thousand levels, None where it refused something else.

    PyYAML does so since 6.0.4, as it looks ahead: our own limits are lower, but not one bracket has come out by then.
    """
    if isinstance(error, yaml.MarkedYAMLError) and error.problem == "exceeded maximum nesting depth":
        return error.problem_mark
    return None


class YamlError(ProblemsError):
    """A text that is not YAML, or not YAML that Kubernetes accepts."""

    def __init__(self, message: str, *, code: str, position: Position | None = None, hint: str | None = None) -> None:
        super().__init__(Problem(code, message, position, hint))


def syntax_error(error: yaml.YAMLError | UnicodeEncodeError, text: str, path: str) -> YamlError:
    """What libyaml says is wrong with `text`, in the words of someone who writes YAML, with the way out."""
    if isinstance(error, UnicodeEncodeError):
        problem, position = "half a surrogate pair is no character", position_at(text, path, error.start)
    elif isinstance(error, yaml.reader.ReaderError):
        before = text.encode("utf-8", "surrogatepass")[: error.position].decode("utf-8", "ignore")
        problem, position = error.reason, position_at(text, path, len(before))
    else:
        problem, position = _parser_problem(error, text, path)
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    line = "".join(text.splitlines()[position.line - 1 : position.line]) if position.line else ""
    if "cannot start any token" in problem and not line[: position.column].strip():
        problem, hint = "a tab can't indent", "indent with spaces"
    elif line.startswith(_CONFLICT):
        hint = "this is a conflict of a Git merge; resolve it"
    return YamlError(f"this is not YAML: {problem}", code="bad-yaml", position=position, hint=hint)


def _parser_problem(error: Any, text: str, path: str) -> tuple[str, Position]:
    """What libyaml's parser says, and where: at the opening quote or bracket if something ends too early."""
    problem, mark = getattr(error, "problem", None) or str(error), getattr(error, "problem_mark", None)
    context, begun = getattr(error, "context", None) or "", getattr(error, "context_mark", None)
    if begun and (mark is None or "found unexpected" in problem or "could not find" in problem):
        mark = begun
    part = next((words for name, words in _PARTS.items() if context.endswith(name)), None)
    if part:
        since = f" that begins in line {begun.line + 1}" if begun and mark and begun.line < mark.line else ""
        problem = f"{problem} while reading {part}{since}"
    if mark is None:
        return problem, Position(path)
    if mark.line >= len(text.splitlines()):  # the end, which lies behind the last line
        return problem, position_at(text, path, len(text.rstrip("\n")))
    return problem, Position(path, mark.line + 1, mark.column + 1)


def position_at(text: str, path: str, index: int) -> Position:
    """The place of the character at `index`."""
    return Position(path, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
