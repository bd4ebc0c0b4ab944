"""Flux's post-build variable substitution: `${NAME}` and the string operations of Bash.

The rules are those of https://fluxcd.io/flux/components/kustomize/kustomizations/#post-build-variable-substitution and
of the library it uses, github.com/fluxcd/pkg/envsubst: an unset variable is empty, `$${NAME}` is the text `${NAME}`,
and `$NAME` is not a variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SLICE = re.compile(r":\s*(-?[0-9]{1,9})(?::\s*([0-9]{1,9}))?")
_DEEPEST = 20
_LARGEST = 16 << 20  # characters of the result, as of a source file
_CASES: Mapping[str, Callable[[str], str]] = {
    "": lambda text: text,
    "^^": str.upper,
    ",,": str.lower,
    "^": lambda text: text[:1].upper() + text[1:],
    ",": lambda text: text[:1].lower() + text[1:],
}


class SubstitutionError(ValueError):
    """A `${…}` that Flux rejects or that is not supported. The message is a clause without a subject."""


def has_variable(value: Any) -> bool:
    """Return whether a string in `value` contains `${`."""
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, Mapping):
        return any(has_variable(key) or has_variable(item) for key, item in value.items())
    return isinstance(value, list) and any(map(has_variable, value))


def substitute(text: str, values: Mapping[str, str], _depth: int = 0) -> str:
    """Return `text` with its variables replaced. Raises SubstitutionError."""
    if _depth > _DEEPEST:
        raise SubstitutionError(f"nests more than {_DEEPEST} variables")
    out: list[str] = []
    at = size = 0
    while (start := text.find("$", at)) >= 0:
        out.append(text[at:start])
        if text.startswith("$${", start):
            end = _closing(text, start + 3)
            out.append(text[start + 1 : end + 1])
            at = end + 1
        elif text.startswith("${", start):
            end = _closing(text, start + 2)
            out.append(_value(text[start + 2 : end], values, _depth))
            at = end + 1
            size += len(out[-1])
            if size > _LARGEST:
                raise SubstitutionError(f"expands to more than {_LARGEST >> 20} MiB")
        else:
            out.append("$")
            at = start + 1
    return "".join([*out, text[at:]])


def _closing(text: str, start: int) -> int:
    depth = 1
    for index in range(start, len(text)):
        if text.startswith("${", index):
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    raise SubstitutionError("has no closing brace")


def _value(expression: str, values: Mapping[str, str], depth: int) -> str:
    counted = expression.startswith("#")
    match = _NAME.match(expression, int(counted))
    if match is None:
        raise SubstitutionError(f"'${{{expression[:60]}}}' has no valid variable name")
    value, rest = values.get(match[0], ""), expression[match.end() :]
    if counted:
        if rest:
            raise SubstitutionError(f"'${{{expression[:60]}}}' is not a supported operation")
        return str(len(value.encode()))
    if rest in _CASES:
        return _CASES[rest](value)
    for operator in (":=", ":-", "=", "-"):
        if rest.startswith(operator):
            return value or substitute(rest[len(operator) :], values, depth + 1)
    if slice_ := _SLICE.fullmatch(rest):
        first, length = int(slice_[1]), slice_[2]
        first = max(0, len(value) + first) if first < 0 else first
        return value[first:] if length is None else value[first : first + int(length)]
    if rest.startswith("/"):
        return _replaced(value, rest, values, depth, expression)
    for operator in ("##", "#", "%%", "%"):
        if rest.startswith(operator):
            return _trimmed(value, operator, rest[len(operator) :], expression)
    raise SubstitutionError(f"'${{{expression[:60]}}}' is not a supported operation")


def _replaced(value: str, rest: str, values: Mapping[str, str], depth: int, expression: str) -> str:
    mode = next(one for one in ("//", "/#", "/%", "/") if rest.startswith(one))
    old, slash, new = rest[len(mode) :].partition("/")
    if not old:
        raise SubstitutionError(f"'${{{expression[:60]}}}' replaces nothing")
    new = substitute(new, values, depth + 1) if slash else ""
    if value.count(old) * len(new) > _LARGEST:
        raise SubstitutionError(f"expands to more than {_LARGEST >> 20} MiB")
    if mode == "//":
        return value.replace(old, new)
    if mode == "/#":
        return new + value[len(old) :] if value.startswith(old) else value
    if mode == "/%":
        return value[: -len(old)] + new if value.endswith(old) else value
    return value.replace(old, new, 1)


def _trimmed(value: str, operator: str, pattern: str, expression: str) -> str:
    if any(character in pattern for character in "*?[\\"):
        raise SubstitutionError(f"the pattern in '${{{expression[:60]}}}' is not supported")
    return value.removeprefix(pattern) if operator.startswith("#") else value.removesuffix(pattern)
