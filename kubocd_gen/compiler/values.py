"""Values as KuboCD handles them: merged, pruned, printed as JSON, and read from rendered templates."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.kube_yaml.scalars import NODE_TEXT
from kubocd_gen.schema.go_strings import has_invalid_utf8, valid_utf8


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `over` merged onto `base`: maps merge deeply; any other value, null included, replaces the one below.

    Neither argument changes; parts that need no merge are shared with the result.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if below is not None and isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merge(below, value)
        merged[key] = value
    return merged


def spend_values(value: Any, budget: Budget) -> None:
    """Count the values of a merged tree. Raises BudgetExceededError.

    A part that several trees share was counted once when it was read, but is emitted once for each tree.
    """
    meter = budget.meter("yaml-values")
    pending = [value]
    while pending:
        item = pending.pop()
        meter(1 + len(item) // NODE_TEXT if isinstance(item, str) else 1)
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    meter.settle()


def strip_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop nulls and maps that are or become empty, at every depth.

    KuboCD prunes the rendered `values` and `specPatch` of a module, because a `{{ with }}` block that prints nothing
    must leave no key. Empty lists stay; a list loses its nulls and the maps that become empty.
    """
    stripped: dict[str, Any] = {}
    for key, value in values.items():
        kind = type(value)
        if kind is dict:
            value = strip_empty(value)
            if not value:
                continue
        elif kind not in _SCALARS:
            value = _stripped(value)
            if value is None or value == {}:
                continue
        stripped[key] = value
    return stripped


_SCALARS = frozenset({str, bool, int, float})


def _stripped(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Mapping):
        return strip_empty(value)
    if isinstance(value, list):
        return [item for item in map(_stripped, value) if item is not None and item != {}]
    return value


def parameters_text(parameters: Any) -> str | None:
    """Return the template of `spec.parameters`, or None if there are none.

    The template of a map is its compact JSON as Go prints it. A string with a line break is the template itself; KuboCD
    encodes any other string as JSON, quotes included.
    """
    if parameters is None:
        return None
    if isinstance(parameters, str) and "\\n" in json.dumps(parameters, ensure_ascii=False):
        return parameters
    return go_json(parameters)


def go_json(value: Any) -> str:
    """Return `value` as Go's `json.Marshal` prints it: compact, keys sorted, `<`, `>` and `&` escaped."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def way_in_json(value: Any, index: int) -> tuple[str | int, ...]:
    """Return the path of the innermost value that contains the character at `index` of `go_json(value)`."""
    entries: list[tuple[str | int, Any, int]]  # key, value, and the number of characters of the key before the value
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
    """Return the line, from 1, of a YAML template that sets `key`; None if no line or more than one does."""
    entry = re.compile(rf"""\s*(?:- +)*(["']?){re.escape(key)}\1\s*:(?:\s|$)""")
    found = [number for number, line in enumerate(template.split("\n"), 1) if entry.match(line)]
    return found[0] if len(found) == 1 else None


def parse_map(text: str, what: str, budget: Budget | None = None) -> Mapping[str, Any]:
    """Return the map in a rendered text, empty for an empty text or null.

    Only the first YAML document and the last of duplicate keys count. `what` names the template in messages. Raises
    ProblemsError if the text is not valid YAML or not a map.
    """
    value = parse_rendered(text, what, budget=budget)
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a string" if isinstance(value, str) else "a scalar"
        raise ProblemsError.of(
            "bad-rendering", f"{what} must render to a map, but renders to {kind}", hint=rendered_hint(text)
        )
    return value


def parse_rendered(text: str, what: str, *, exact_integers: bool = False, budget: Budget | None = None) -> Any:
    """Return the value of the first YAML document of a rendered text.

    `what` names the template in messages. Raises ProblemsError, with the rendered line as its hint, for invalid YAML.
    Bytes that are not UTF-8 are invalid everywhere, in comments too.
    """
    if has_invalid_utf8(text):
        raise ProblemsError(invalid_utf8(text, what))
    try:
        return read_document(text, what, exact_integers=exact_integers, keep_marks=True, budget=budget)
    except YamlError as error:
        line = error.problem.position.line if error.problem.position else None
        shown = rendered_hint(text, line)
        raise ProblemsError.of(
            "bad-rendering",
            f"{what} does not render to valid YAML: {error.problem.message.removeprefix('invalid YAML: ')}",
            hint=f"{error.problem.hint}; {shown}" if error.problem.hint else shown,
        ) from error


def invalid_utf8(text: str, what: str) -> Problem:
    """Return the problem of a rendered text with bytes that are not UTF-8. The hint quotes the first line with one."""
    line = next(number for number, one in enumerate(text.split("\n"), 1) if has_invalid_utf8(one))
    hint = f"don't cut characters with trunc or substr, and don't decode binary data; {rendered_hint(text, line)}"
    return Problem("bad-rendering", f"{what} renders to bytes that are not valid UTF-8", hint=hint)


def rendered_hint(text: str, line: int | None = None) -> str:
    """Return a hint that quotes the rendered line `line`, shortened; the first line with content if it is None."""
    lines = valid_utf8(text).split("\n")
    if line is None or line > len(lines) or not lines[line - 1].strip():
        line = next((number for number, one in enumerate(lines, 1) if one.strip()), None)
    if line is None:
        return "the rendered template is empty"
    shown = lines[line - 1].rstrip()
    return f"line {line} of the rendered template: {shown[:120]}{'…' if len(shown) > 120 else ''}"
