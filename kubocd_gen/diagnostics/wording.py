"""How messages about values speak: places, values and types in the words of someone who writes YAML."""

from __future__ import annotations

import difflib
import heapq
import json
from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from typing import Any

from kubocd_gen.diagnostics.problems import nearest, printable

Path = tuple[str | int, ...]

TYPE_WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
}
_SHOWN = 60  # characters of a value that a message quotes
_LISTED = 8  # a longer list of known names helps nobody
_COMPARED = 200  # of more names none are compared: the time grows with the number
_ALLOWED = 12  # allowed values that a message lists
HINTED = 20  # problems of one value that get a nearest name, which is slow to find; more only a hostile file has


def dotted(path: Path) -> str:
    """`('spec', 'contexts', 0, 'name')` as `spec.contexts[0].name`; a key that is no plain word stands in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and all(character.isalnum() or character in "_-$/" for character in part):
            text += f".{part}" if text else part
        else:
            text += f'["{_shortened(part)}"]'
    return text


def quoted(value: Any) -> str:
    """A scalar as a user would write it: strings in single quotes, the others as JSON; maps and lists as short JSON."""
    if isinstance(value, str):
        return f"'{_shortened(value)}'"
    try:
        return _shortened("".join(islice(json.JSONEncoder(ensure_ascii=False).iterencode(value), _SHOWN)))
    except (TypeError, ValueError, RecursionError):  # deeper than the encoder goes, or not JSON at all
        return "…"


def described(value: Any) -> str:
    """The type of a value, and the value where it is a scalar: `a number (5)`, `a string ('x')`, `a list`."""
    words = _type_words(value)
    return words if type_name(value) in ("array", "object", "null") else f"{words} ({quoted(value)})"


def _type_words(value: Any) -> str:
    name = type_name(value)
    return "a boolean" if name == "boolean" else TYPE_WORDS[name]


def type_name(value: Any) -> str:
    """The JSON Schema type of a JSON-like value; every number is a `number`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def has_type(value: Any, name: str) -> bool:
    """Whether the value is of the JSON Schema type; 1.0 is an integer, true is no number."""
    if name == "integer":
        return type_name(value) == "number" and value == value // 1
    return type_name(value) == name


def comparable(value: Any) -> Hashable:
    """Equal exactly where JSON has the values equal: 1 and 1.0 are, 1 and true are not."""
    match value:
        case dict():
            return frozenset((key, comparable(item)) for key, item in value.items())
        case list():
            return tuple(comparable(item) for item in value)
        case bool():
            return ("boolean", value)
        case _:
            scalar: Hashable = value
            return scalar


def not_among(allowed: Sequence[Any], value: Any, *, quote: bool = True) -> tuple[str, str | None]:
    """The predicate of a value that is none of the allowed ones, and the one that it looks most like."""
    hint = None
    if isinstance(value, str):
        hint = nearest("did you mean '{}'?", value, (one for one in allowed if isinstance(one, str)))
    words = [quoted(one) for one in allowed[:_ALLOWED]]
    if len(allowed) > _ALLOWED:
        words.append(f"{len(allowed) - _ALLOWED} others")
    return f"must be {_either(words)}{f', not {quoted(value)}' if quote else ''}", hint


def at_least(limit: float, size: float, unit: str | None = None, *, quote: bool = True) -> str:
    """`must be at least 1, not 0`; with a unit `must have at least 2 items, not 1`."""
    return f"must {_limit('at least', limit, unit)}{f', not {quoted(size)}' if quote else ''}"


def at_most(limit: float, size: float, unit: str | None = None, *, quote: bool = True) -> str:
    """`must be at most 1, not 2`; with a unit `must have at most 2 items, not 3`."""
    return f"must {_limit('at most', limit, unit)}{f', not {quoted(size)}' if quote else ''}"


def _limit(bound: str, limit: float, unit: str | None) -> str:
    if unit is None:
        return f"be {bound} {quoted(limit)}"
    return f"have {bound} {limit} {unit}{'' if limit == 1 else 's'}"


def type_mismatch(types: Sequence[str], value: Any, *, quote: bool = True) -> tuple[str, str | None]:
    """The predicate of a value that has none of the JSON Schema `types`, and the way out if it only lacks quotes.

    Without `quote` the value itself is left out.
    """
    hint = None
    if "string" in types and type_name(value) in ("number", "boolean"):
        hint = "put it in quotes"
    elif isinstance(value, str) and _unquoted_type(value) in types:
        hint = "write it without quotes"
    words = described(value) if quote else _type_words(value)
    return f"must be {_either([TYPE_WORDS[name] for name in types])}, not {words}", hint


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def known_names(what: str, names: Iterable[str], wanted: str = "") -> str | None:
    """`the fields here are: a, b`, sorted; None where there are none.

    Of more than a reader takes in, those that look most like `wanted`, and how many others there are.
    """
    known = list(names)
    if not known:
        return None
    more = len(known) - _LISTED
    if more <= 0:
        return f"{what}: {', '.join(sorted(known))}"
    shown = heapq.nsmallest(_LISTED, known)
    if wanted and len(known) <= _COMPARED:
        candidates = [name for name in sorted(known) if len(name) <= _SHOWN]
        shown = difflib.get_close_matches(wanted[:_SHOWN], candidates, n=_LISTED, cutoff=0.0) or shown
    return f"{what}: {', '.join(sorted(shown))} and {more} more"


def _unquoted_type(text: str) -> str | None:
    """The type that the text would have without quotes."""
    if text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return "boolean"
    digits = text.removeprefix("-")
    return "integer" if digits.isascii() and digits.isdigit() else None


def _shortened(text: str) -> str:
    return printable(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
