"""The parameters of a Release: what is written as the text that is rendered, and the rendered text as a map."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.kube_yaml.errors import YamlError
from kubocd_gen.kube_yaml.reader import read_document


def parameters_text(parameters: Any) -> str | None:
    """The template that `spec.parameters` stands for; None where there are none.

    A map is its compact JSON, keys sorted, `<`, `>` and `&` escaped as Go escapes them. A string is the template
    itself, but only one with a line break in it: KuboCD takes any other for its quoted JSON.
    """
    if parameters is None:
        return None
    if isinstance(parameters, str) and "\\n" in json.dumps(parameters, ensure_ascii=False):
        return parameters
    return go_json(parameters)


def go_json(value: Any) -> str:
    """`value` as Go's `json.Marshal` prints it."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def way_in_json(value: Any, index: int) -> tuple[str | int, ...]:
    """The keys that lead to the value in which the character at `index` of `go_json(value)` stands."""
    entries: list[tuple[str | int, Any, int]]  # the key, the value, and how much stands between the one before and it
    match value:
        case dict():
            entries = [(key, value[key], len(go_json(key)) + 1) for key in sorted(value)]
        case list():
            entries = [(number, item, 0) for number, item in enumerate(value)]
        case _:
            entries = []
    begin = 1
    if index < begin:
        return ()
    for key, item, before in entries:
        begin += before
        end = begin + len(go_json(item))
        if index < end:
            return (key, *way_in_json(item, max(0, index - begin)))
        begin = end + 1
    return ()


def line_of_key(template: str, key: str) -> int | None:
    """The line, from 1, of a template of YAML that sets `key`; None where there is none, or several."""
    entry = re.compile(rf"""\s*(?:- +)*(["']?){re.escape(key)}\1\s*:(?:\s|$)""")
    found = [number for number, line in enumerate(template.split("\n"), 1) if entry.match(line)]
    return found[0] if len(found) == 1 else None


def parse_map(text: str, what: str, budget: Budget | None = None) -> Mapping[str, Any]:
    """The map that a rendered text holds; an empty text or null is an empty one.

    Only the first YAML document counts, and of a key given twice the last. `what` names the text in messages.
    Raises ProblemsError where the text is not YAML or not a map.
    """
    value = parse_rendered(text, what, budget=budget)
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a string" if isinstance(value, str) else "a single value"
        raise ProblemsError(
            Problem("bad-rendering", f"{what} must render to a map, but renders to {kind}", hint=rendered_hint(text))
        )
    return value


def parse_rendered(text: str, what: str, *, exact_integers: bool = False, budget: Budget | None = None) -> Any:
    """The first YAML document of a rendered text.

    Raises ProblemsError, with the line as it was rendered, for bad YAML.
    """
    try:
        return read_document(text, what, exact_integers=exact_integers, budget=budget)
    except YamlError as error:
        line = error.problem.position.line if error.problem.position else None
        shown = rendered_hint(text, line)
        raise ProblemsError(
            Problem(
                "bad-rendering",
                f"{what} does not render to YAML: {error.problem.message.removeprefix('this is not YAML: ')}",
                hint=f"{error.problem.hint}; {shown}" if error.problem.hint else shown,
            )
        ) from error


def rendered_hint(text: str, line: int | None = None) -> str:
    """The rendered line that a message is about, shortened; the first one where there is none."""
    lines = text.split("\n")
    if line is None or line > len(lines) or not lines[line - 1].strip():
        line = next((number for number, one in enumerate(lines, 1) if one.strip()), None)
    if line is None:
        return "it renders to nothing"
    shown = lines[line - 1].rstrip()
    return f"line {line} of what it renders is: {shown[:120]}{'…' if len(shown) > 120 else ''}"
