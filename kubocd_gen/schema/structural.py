"""What the API server does with a resource: defaults, then validation by the CRD's structural schema.

The schemas are those of `schemas/`, read with `kubocd_gen.package_data.schema(name)["schema"]`. The rules are the API
server's, from the Kubernetes documents «Extend the Kubernetes API with CustomResourceDefinitions» (defaulting,
nullable, pruning) and «Server-side field validation» (strict, as `kubectl apply` and Flux ask for it). Nothing is
imported that costs time: the same code admits the Releases of a build and checks each HelmRelease it emits.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from kubocd_gen.diagnostics.problems import MOST, Position, Problem, nearest
from kubocd_gen.diagnostics.wording import (
    HINTED,
    Path,
    at_least,
    at_most,
    has_type,
    known_names,
    not_among,
    quoted,
    type_mismatch,
    type_name,
)

Schema = Mapping[str, Any]
UnknownFields = Literal["error", "prune"]

_OPEN = "x-kubernetes-preserve-unknown-fields"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a value.

    `path` leads from the root to the place; that of a missing field ends with its name, so it may not exist.
    Messages of `admit` are predicates that follow the path: «spec.package.tag» + «is required».
    """

    path: Path
    message: str
    code: str
    hint: str | None = None

    def problem(self, message: str, position: Position, hint: str | None = None) -> Problem:
        """Return it as a problem: the caller knows the subject of the message, and where the value is written."""
        return Problem(self.code, message, position, self.hint or hint)


class TooManyViolationsError(Exception):
    """So many violations were found that no one reads more."""


class Violations(list[Violation]):
    """What was found so far. One who adds more than MOST is stopped by TooManyViolationsError."""

    def append(self, violation: Violation) -> None:
        if len(self) >= MOST:
            raise TooManyViolationsError
        super().append(violation)


@dataclass(frozen=True, slots=True)
class _Manner:
    """How values are admitted: what becomes of unknown fields, and whether messages quote values."""

    unknown_fields: UnknownFields
    quote: bool


def admit(
    value: Any, schema: Schema, *, unknown_fields: UnknownFields = "error", quote_values: bool = True
) -> tuple[Any, list[Violation]]:
    """The value as the API server would store it, and everything for which the API server would refuse it.

    A default fills a field that is absent or, where the field is not nullable, null; the null of another field that is
    not nullable drops the field. The result is a copy, except that what the schema leaves open
    (`x-kubernetes-preserve-unknown-fields`) is shared with `value`. With `unknown_fields="prune"` an unknown field is
    dropped in silence, as without strict validation; with "error" it is a violation and kept. Without `quote_values`
    no message repeats a value, only its type.

    Violations come in the order of the document. Codes: `unknown-field`, `invalid-type`, `missing-field`,
    `invalid-value`. No more than MOST are looked for.
    """
    found = Violations()
    try:
        return _admitted(value, schema, (), _Manner(unknown_fields, quote_values), found), found
    except TooManyViolationsError:
        return value, found


def canonical_fields(value: Any, schema: Schema) -> Any:
    """The value with its keys spelled as the schema spells them, whatever their case.

    KuboCD decodes a HelmRelease's spec with Go's `encoding/json`, which takes `Install` for `install`. Where several
    spellings of one field occur, Go reads them in the order of their bytes, maps on top of each other, and a later
    value of another type replaces.
    """
    if isinstance(value, list) and "items" in schema:
        return [canonical_fields(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    if not properties:
        return {key: canonical_fields(item, others) for key, item in value.items()} if others else value
    fields: dict[str, Any] = value
    spellings = _spellings(tuple(properties))
    entries = [(key, key if key in properties else spellings.get(key.casefold(), key)) for key in fields]
    if len({name for _, name in entries}) < len(entries):
        entries.sort()  # only a field in two spellings needs Go's order; else the author's own is kept
    result: dict[str, Any] = {}
    for key, name in entries:
        field = properties.get(name, {})
        result[name] = _on_top(result.get(name), canonical_fields(fields[key], field), field)
    return result


def _on_top(below: Any, item: Any, schema: Schema) -> Any:
    """`item` decoded into a Go field that holds `below`: structures keep what the new value does not name."""
    if isinstance(below, dict) and isinstance(item, dict) and _OPEN not in schema:
        properties = schema.get("properties", {})
        return below | {key: _on_top(below.get(key), value, properties.get(key, {})) for key, value in item.items()}
    return item


@functools.cache
def _spellings(names: tuple[str, ...]) -> dict[str, str]:
    return {name.casefold(): name for name in names}


def _admitted(value: Any, schema: Schema, path: Path, manner: _Manner, found: list[Violation]) -> Any:
    if value is None and schema.get("nullable"):
        return None
    before = len(found)
    types = _types(schema)
    if types and not any(has_type(value, name) for name in types):
        message, hint = type_mismatch(types, value, quote=manner.quote)
        shape = _shape_hint(schema, path, value, quote=manner.quote)
        found.append(Violation(path, message, "invalid-type", shape or hint))
        return value
    if isinstance(value, dict) and ("properties" in schema or "additionalProperties" in schema):
        value = _admitted_map(value, schema, path, manner, found)
    elif isinstance(value, list) and "items" in schema:
        items = schema["items"]
        value = [_admitted(item, items, (*path, i), manner, found) for i, item in enumerate(value)]
    for keyword, check in _CHECKS.items():
        if keyword in schema and (problem := check(value, schema[keyword], manner.quote)):
            found.append(Violation(path, problem[0], "invalid-value", problem[1]))
    if len(found) == before:  # as in the API server, the rules see only what is otherwise valid
        for rule in schema.get("x-kubernetes-validations", ()):
            holds, message = RULES[rule["rule"]]
            if not holds(value):
                found.append(Violation(path, message, "invalid-value"))
    return value


def _admitted_map(
    value: dict[str, Any], schema: Schema, path: Path, manner: _Manner, found: list[Violation]
) -> dict[str, Any]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    result: dict[str, Any] = {}
    for key, item in value.items():
        field = properties.get(key, others)
        if field is None:
            if schema.get(_OPEN):
                result[key] = item
            elif manner.unknown_fields == "error":
                result[key] = item
                found.append(_unknown_field((*path, key), key, properties, hinted=len(found) < HINTED))
            continue
        if item is None and not field.get("nullable"):
            if "default" not in field:
                continue
            item = deepcopy(field["default"])
        result[key] = _admitted(item, field, (*path, key), manner, found)
    for key, field in properties.items():
        if key not in value and "default" in field:
            result[key] = _admitted(deepcopy(field["default"]), field, (*path, key), manner, found)
    for key in schema.get("required", ()):
        if key not in result:
            found.append(Violation((*path, key), "is required", "missing-field"))
    return result


def _shape_hint(schema: Schema, path: Path, value: Any, *, quote: bool) -> str | None:
    """The way out where something simpler or other than a list or a map is given, or a duration without its unit."""
    if schema.get("type") == "array":
        items: Schema = schema.get("items", {})
        if items.get("type") == "string" and isinstance(value, str) and quote:
            return f"write it as a list: [{value}]" if re.fullmatch(r"[\w./:-]{1,40}", value) else _LISTED
        return _LISTED
    if schema.get("type") == "object" and "properties" in schema:
        if required := schema.get("required"):
            return f"it is a map with {' and '.join(map(quoted, required))}"
        return known_names("its fields are", schema["properties"])
    if type_name(value) == "number" and path and str(path[-1]).lower().endswith(("interval", "timeout")):
        return "write it with its unit, such as 90s or 5m"
    return None


_LISTED = "it is a list: begin each item with '- '"

# Fields that KuboCD has had, and what took their place.
_FORMER: Mapping[str, str] = {
    "specPatchByModule": "since KuboCD v0.3 it is a list: 'moduleOverrides: [{module: NAME, specPatch: {…}}]'",
}


def _unknown_field(path: Path, key: str, properties: Mapping[str, Schema], *, hinted: bool) -> Violation:
    close = nearest("did you mean '{}'?", key, properties) if hinted else None
    hint = close or _FORMER.get(key) or known_names("the fields here are", properties, key if hinted else "")
    return Violation(path, "is not a known field", "unknown-field", hint)


def _types(schema: Schema) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if "type" in schema else ()


_Message = tuple[str, str | None] | None
Check = Callable[[Any, Any, bool], _Message]  # a value, what the schema says, whether the message quotes the value

# What the patterns of the shipped schemas ask for, for those who don't read patterns, and the way out.
PATTERNS: Mapping[str, tuple[str, str]] = {
    r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$": ("a duration of h, m, s and ms", "write it like 90s, 5m or 1h30m"),
    r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$": (
        "a duration of m, s and ms",
        "write it like 90s or 60m; hours are not taken here",
    ),
    r"^https?://.+": ("an http:// or https:// address", "write it whole, such as https://charts.example.com"),
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": ("a name", "a name is lower-case letters, digits, and '-' inside"),
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": (
        "a name",
        "a name is lower-case letters, digits, and '-' and '.' inside",
    ),
}


def _enum(value: Any, allowed: list[Any], quote: bool) -> _Message:
    return None if value in allowed else not_among(allowed, value, quote=quote)


def _pattern(value: Any, pattern: str, quote: bool) -> _Message:
    if _compiled(pattern).search(value):
        return None
    if pattern in PATTERNS:
        wanted, hint = PATTERNS[pattern]
        return f"must be {wanted}{f', not {quoted(value)}' if quote else ''}", hint
    return f"must match '{pattern}'{f', which {quoted(value)} does not' if quote else ''}", None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Go's `$` is the end of the text, Python's also stands before a last newline. Beyond that the patterns of the
    # shipped schemas mean the same to both (a test holds them to it), so RE2 and its import are not needed.
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


def _bound(holds: Callable[[float, float], bool], words: Callable[..., str], unit: str | None = None) -> Check:
    def check(value: Any, limit: float, quote: bool) -> _Message:
        size = value if unit is None else len(value)
        return None if holds(size, limit) else (words(limit, size, unit, quote=quote or unit is not None), None)

    return check


# Each applies to the one type that its keyword is written for in a structural schema. Lengths count characters, not
# bytes (though the API server's message says bytes).
_CHECKS: Mapping[str, Check] = {
    "enum": _enum,
    "pattern": _pattern,
    "minLength": _bound(operator.ge, at_least, "character"),
    "maxLength": _bound(operator.le, at_most, "character"),
    "minimum": _bound(operator.ge, at_least),
    "maximum": _bound(operator.le, at_most),
    "minItems": _bound(operator.ge, at_least, "item"),
    "maxItems": _bound(operator.le, at_most, "item"),
}

Rule = tuple[Callable[[Mapping[str, Any]], bool], str]

# The CEL rules of the shipped schemas, by their text, each with what it asks for.
RULES: Mapping[str, Rule] = {
    "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))": (
        lambda spec: ("chart" in spec) != ("chartRef" in spec),
        "must have either 'chart' or 'chartRef', and not both",
    ),
    "!has(self.retryInterval) || self.name != 'RemediateOnFailure'": (
        lambda strategy: "retryInterval" not in strategy or strategy["name"] != "RemediateOnFailure",
        "cannot have 'retryInterval' with the strategy 'RemediateOnFailure'",
    ),
    "!has(self.retryInterval) || self.name == 'RetryOnFailure'": (
        lambda strategy: "retryInterval" not in strategy or strategy["name"] == "RetryOnFailure",
        "can have 'retryInterval' only with the strategy 'RetryOnFailure'",
    ),
    "has(self.configMapRef) || has(self.secretRef)": (
        lambda reference: "configMapRef" in reference or "secretRef" in reference,
        "must have 'configMapRef' or 'secretRef'",
    ),
    "!has(self.configMapRef) || !has(self.secretRef)": (
        lambda reference: not ("configMapRef" in reference and "secretRef" in reference),
        "cannot have both 'configMapRef' and 'secretRef'",
    ),
}
