"""Format paths, values and types in messages, in the terms of people who write YAML."""

from __future__ import annotations

import difflib
import heapq
import json
from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from typing import Any

from kubocd_gen.diagnostics.problems import nearest, printable

KeyPath = tuple[str | int, ...]

TYPE_WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
}
_SHOWN = 60  # characters of a value in a message
_LISTED = 8  # known names that a hint lists
_COMPARED = 200  # known names up to which all are compared: the time grows with the number
_ALLOWED = 12  # allowed values that a message lists
HINTED = 20  # problems of one value with a similar name in the hint, which is slow to find


def dotted(path: KeyPath) -> str:
    """Format `('spec', 'contexts', 0, 'name')` as `spec.contexts[0].name`; special characters need brackets."""
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
    """Format a value for a message: a string in single quotes, any other value as JSON, truncated."""
    if isinstance(value, str):
        return f"'{_shortened(value)}'"
    try:
        return _shortened("".join(islice(json.JSONEncoder(ensure_ascii=False).iterencode(value), _SHOWN)))
    except (TypeError, ValueError, RecursionError):  # too deep for the encoder, or not JSON-like
        return "…"


def described(value: Any) -> str:
    """Format the type of a value, with the value of a scalar: `a number (5)`, `a string ('x')`, `a list`."""
    words = _type_words(value)
    return words if type_name(value) in ("array", "object", "null") else f"{words} ({quoted(value)})"


def _type_words(value: Any) -> str:
    name = type_name(value)
    return "a boolean" if name == "boolean" else TYPE_WORDS[name]


def type_name(value: Any) -> str:
    """Return the JSON Schema type of a JSON-like value; every number is a `number`."""
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
    """Return whether the value has the JSON Schema type; 1.0 is an integer, true is not a number."""
    if name == "integer":
        return type_name(value) == "number" and value == value // 1
    return type_name(value) == name


def comparable(value: Any) -> Hashable:
    """Return a key that is equal exactly for values that are equal in JSON: 1 and 1.0 are equal, 1 and true are not."""
    match value:
        case dict():
            return frozenset((key, comparable(item)) for key, item in value.items())
        case list():
            return tuple(comparable(item) for item in value)
        case bool():
            return (bool, value)  # no list has a type as an item
        case _:
            scalar: Hashable = value
            return scalar


def not_among(allowed: Sequence[Any], value: Any, *, quote: bool = True) -> tuple[str, str | None]:
    """Return the message for a value that is not one of `allowed`, and a hint with the most similar one or None."""
    hint = None
    if isinstance(value, str):
        hint = nearest("did you mean '{}'?", value, (one for one in allowed if isinstance(one, str)))
    words = [quoted(one) for one in allowed[:_ALLOWED]]
    if len(allowed) > _ALLOWED:
        words.append(f"{len(allowed) - _ALLOWED} others")
    return f"must be {_either(words)}{f', not {quoted(value)}' if quote else ''}", hint


def at_least(limit: float, size: float, unit: str | None = None, *, quote: bool = True) -> str:
    """Return `must be at least 1, not 0`; with a unit, `must have at least 2 items, not 1`."""
    return f"must {_limit('at least', limit, unit)}{f', not {quoted(size)}' if quote else ''}"


def at_most(limit: float, size: float, unit: str | None = None, *, quote: bool = True) -> str:
    """Return `must be at most 1, not 2`; with a unit, `must have at most 2 items, not 3`."""
    return f"must {_limit('at most', limit, unit)}{f', not {quoted(size)}' if quote else ''}"


def _limit(bound: str, limit: float, unit: str | None) -> str:
    if unit is None:
        return f"be {bound} {quoted(limit)}"
    return f"have {bound} {limit} {unit}{'' if limit == 1 else 's'}"


def type_mismatch(types: Sequence[str], value: Any, *, quote: bool = True) -> tuple[str, str | None]:
    """Return the message for a value that has none of the JSON Schema `types`, and a hint about quotes or None.

    Without `quote`, the message has only the type of the value.
    """
    hint = None
    if "string" in types and type_name(value) in ("number", "boolean"):
        hint = "quote the value"
    elif isinstance(value, str) and _unquoted_type(value) in types:
        hint = "remove the quotes"
    elif value is None:
        hint = "set a value, or remove the field"
    words = described(value) if quote else _type_words(value)
    return f"must be {_either([TYPE_WORDS[name] for name in types])}, not {words}", hint


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def known_names(what: str, names: Iterable[str], wanted: str = "") -> str | None:
    """Return a hint such as `known fields: a, b` with sorted names; None if there are no names.

    If there are more than eight names, it lists those most similar to `wanted` and the number of the others.
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
    """Return the type that the string would have without quotes, or None if it would be a string."""
    if text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return "boolean"
    digits = text.removeprefix("-")
    return "integer" if digits.isascii() and digits.isdigit() else None


def _shortened(text: str) -> str:
    return printable(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
