"""Admit a resource like the API server: defaults, then validation by the CRD's structural schema.

The schemas are those of `schemas/`, read with `kubocd_gen.package_data.schema(name)["schema"]`. The rules are from the
Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions" (defaulting, nullable, pruning) and
"Server-side field validation" (strict, as `kubectl apply` and Flux request it). This module must import fast: every
build uses it, for its Releases and for each HelmRelease that it emits.
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
    TYPE_WORDS,
    KeyPath,
    at_least,
    at_most,
    has_type,
    known_names,
    not_among,
    quoted,
    type_mismatch,
    type_name,
)
from kubocd_gen.schema.names import LABEL, LABEL_HINT, LABEL_PATTERN, SUBDOMAIN, SUBDOMAIN_HINT, SUBDOMAIN_PATTERN

Schema = Mapping[str, Any]
UnknownFields = Literal["error", "prune"]

_OPEN = "x-kubernetes-preserve-unknown-fields"


@dataclass(frozen=True, slots=True)
class Violation:
    """One error in a value.

    `path` is its path from the root; that of a missing field ends with its name. Messages of `admit` are predicates
    that follow the path: "spec.package.tag" + "is required".
    """

    path: KeyPath
    message: str
    code: str
    hint: str | None = None

    def problem(self, message: str, position: Position, hint: str | None = None) -> Problem:
        """Return the problem with `message`, which has a subject, and the hint of the violation or else `hint`."""
        return Problem(self.code, message, position, self.hint or hint)


class TooManyViolationsError(Exception):
    """The end of an admission with more than MOST violations."""


class Violations(list[Violation]):
    """The violations found so far, at most MOST."""

    def append(self, violation: Violation) -> None:
        """Add a violation. Raises TooManyViolationsError if there are MOST already."""
        if len(self) >= MOST:
            raise TooManyViolationsError
        super().append(violation)


@dataclass(frozen=True, slots=True)
class _Options:
    """Options of admission: the treatment of unknown fields, and whether messages quote values."""

    unknown_fields: UnknownFields
    quote: bool


def admit(
    value: Any, schema: Schema, *, unknown_fields: UnknownFields = "error", quote_values: bool = True
) -> tuple[Any, list[Violation]]:
    """Return the value as the API server would store it, and the violations for which it would reject the value.

    A default replaces an absent field and the null of a field that is not nullable; a null without default is dropped
    from such a field. The result is a copy, except for values below `x-kubernetes-preserve-unknown-fields`, which are
    shared with `value`. With `unknown_fields="prune"`, an unknown field is silently dropped, as without strict
    validation; with "error", it is kept and is a violation. Without `quote_values`, messages contain only the type of a
    value.

    Violations are in the order of the document, at most MOST. Codes: `unknown-field`, `invalid-type`, `missing-field`,
    `invalid-value`.
    """
    found = Violations()
    try:
        return _admitted(value, schema, (), _Options(unknown_fields, quote_values), found), found
    except TooManyViolationsError:
        return value, found


def canonical_fields(value: Any, schema: Schema) -> Any:
    """Return the value with its keys in the spelling of the schema; keys match without regard to case.

    KuboCD decodes the spec of a HelmRelease with Go's `encoding/json`, which accepts `Install` for `install`. Go reads
    several spellings of one field in the order of their bytes: maps are merged, other values replace earlier ones.
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
        entries.sort()  # Go's order matters only for a field in two spellings
    result: dict[str, Any] = {}
    for key, name in entries:
        field = properties.get(name, {})
        result[name] = _decode_onto(result.get(name), canonical_fields(fields[key], field), field)
    return result


def _decode_onto(below: Any, item: Any, schema: Schema) -> Any:
    """Decode `item` into a Go field with the value `below`: structs keep the fields that `item` does not set."""
    if isinstance(below, dict) and isinstance(item, dict) and _OPEN not in schema:
        properties = schema.get("properties", {})
        return below | {
            key: _decode_onto(below.get(key), value, properties.get(key, {})) for key, value in item.items()
        }
    return item


@functools.cache
def _spellings(names: tuple[str, ...]) -> dict[str, str]:
    return {name.casefold(): name for name in names}


def _admitted(value: Any, schema: Schema, path: KeyPath, options: _Options, found: list[Violation]) -> Any:
    if value is None and schema.get("nullable"):
        return None
    before = len(found)
    types = _types(schema)
    if types and not has_type(value, types[0]) and not any(has_type(value, name) for name in types[1:]):
        message, hint = type_mismatch(types, value, quote=options.quote)
        shape = _shape_hint(schema, path, value, quote=options.quote)
        found.append(Violation(path, message, "invalid-type", shape or hint))
        return value
    if isinstance(value, dict) and ("properties" in schema or "additionalProperties" in schema):
        value = _admitted_map(value, schema, path, options, found)
    elif isinstance(value, list) and "items" in schema:
        items = schema["items"]
        value = [_admitted(item, items, (*path, i), options, found) for i, item in enumerate(value)]
    if not _CHECKED.isdisjoint(schema):
        for keyword, check in _CHECKS.items():
            if keyword in schema and (problem := check(value, schema[keyword], options.quote)):
                found.append(Violation(path, problem[0], "invalid-value", problem[1]))
    if len(found) == before:  # like the API server, evaluate rules only for otherwise valid values
        for rule in schema.get("x-kubernetes-validations", ()):
            holds, message = RULES[rule["rule"]]
            if not holds(value):
                found.append(Violation(path, message, "invalid-value"))
    return value


def _admitted_map(
    value: dict[str, Any], schema: Schema, path: KeyPath, options: _Options, found: list[Violation]
) -> dict[str, Any]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    result: dict[str, Any] = {}
    misspelled: set[str] = set()  # the fields that unknown ones are probably meant to be
    for key, item in value.items():
        field = properties.get(key, others)
        if field is None:
            if schema.get(_OPEN):
                result[key] = item
            elif options.unknown_fields == "error":
                result[key] = item
                close = nearest("{}", key, properties) if len(found) < HINTED else None
                misspelled.update((close,) if close else ())
                found.append(_unknown_field((*path, key), key, close, properties, hinted=len(found) < HINTED))
            continue
        if item is None and not field.get("nullable"):
            if "default" not in field:
                continue
            item = deepcopy(field["default"])
        result[key] = _admitted(item, field, (*path, key), options, found)
    for key, field in properties.items():
        if key not in value and "default" in field:
            result[key] = _admitted(deepcopy(field["default"]), field, (*path, key), options, found)
    for key in schema.get("required", ()):
        if key not in result and key not in misspelled:
            hint = _missing_hint(properties.get(key, {}))
            found.append(Violation((*path, key), "is required", "missing-field", hint))
    return result


def _shape_hint(schema: Schema, path: KeyPath, value: Any, *, quote: bool) -> str | None:
    """Return a hint for a value that should be a list or a map, and for a duration without unit; None for any other."""
    if schema.get("type") == "array":
        items: Schema = schema.get("items", {})
        if items.get("type") == "string" and isinstance(value, str) and quote:
            return f"write it as a list: [{value}]" if re.fullmatch(r"[\w./:-]{1,40}", value) else _LISTED
        return _LISTED
    if schema.get("type") == "object" and "properties" in schema:
        if required := schema.get("required"):
            return f"write it as a map with {' and '.join(map(quoted, required))}"
        return known_names("write it as a map with the fields", schema["properties"])
    if type_name(value) == "number" and path and str(path[-1]).lower().endswith(("interval", "timeout")):
        return "add a unit, such as 90s or 5m"
    return None


_LISTED = "write it as a list: start each item with '- '"

# Removed fields of KuboCD, and how to replace them.
_FORMER: Mapping[str, str] = {
    "specPatchByModule": "use 'moduleOverrides: [{module: NAME, specPatch: {…}}]', which replaces it since KuboCD v0.3",
}


def _missing_hint(schema: Schema) -> str | None:
    types = _types(schema)
    return f"set it to {TYPE_WORDS[types[0]]}" if len(types) == 1 else None


def _unknown_field(
    path: KeyPath, key: str, close: str | None, properties: Mapping[str, Schema], *, hinted: bool
) -> Violation:
    if close:
        hint: str | None = f"did you mean '{close}'?"
    else:
        hint = _FORMER.get(key) or known_names("known fields", properties, key if hinted else "")
    return Violation(path, "is not a known field", "unknown-field", hint)


def _types(schema: Schema) -> tuple[str, ...]:
    if "type" in schema:
        return (schema["type"],)
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    if schema.get("x-kcd-gen-string-or-object"):  # kcd-gen's own, for the project file
        return ("string", "object")
    return ()


_Message = tuple[str, str | None] | None
Check = Callable[[Any, Any, bool], _Message]  # the value, the keyword's value, whether the message quotes the value

# The patterns of the shipped schemas in words, each with a hint.
PATTERNS: Mapping[str, tuple[str, str]] = {
    r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$": ("a duration in h, m, s and ms", "use a duration such as 90s, 5m or 1h30m"),
    r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$": (
        "a duration in m, s and ms",
        "use a duration such as 90s or 60m; hours are not supported here",
    ),
    r"^https?://.+": ("an http:// or https:// URL", "use a complete URL such as https://charts.example.com"),
    LABEL_PATTERN: (LABEL, LABEL_HINT),
    SUBDOMAIN_PATTERN: (SUBDOMAIN, SUBDOMAIN_HINT),
}


def _enum(value: Any, allowed: list[Any], quote: bool) -> _Message:
    return None if value in allowed else not_among(allowed, value, quote=quote)


def _pattern(value: Any, pattern: str, quote: bool) -> _Message:
    if _compiled(pattern).search(value):
        return None
    if pattern in PATTERNS:
        wanted, hint = PATTERNS[pattern]
        return f"must be {wanted}{f', not {quoted(value)}' if quote else ''}", hint
    return f"must match '{pattern}'{f', but {quoted(value)} does not' if quote else ''}", None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Go's `$` matches only at the end of the text, Python's also before a final newline. Otherwise the patterns of the
    # shipped schemas match the same in both, as a test checks, so there is no need to import RE2.
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


def _bound(holds: Callable[[float, float], bool], words: Callable[..., str], unit: str | None = None) -> Check:
    def check(value: Any, limit: float, quote: bool) -> _Message:
        size = value if unit is None else len(value)
        return None if holds(size, limit) else (words(limit, size, unit, quote=quote or unit is not None), None)

    return check


# A structural schema has each keyword only with its own type. Lengths are in characters (the API server's message says
# bytes, but it counts characters).
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

_CHECKED = frozenset(_CHECKS)

Rule = tuple[Callable[[Mapping[str, Any]], bool], str]

# The CEL rules of the shipped schemas, each as a function with its message.
RULES: Mapping[str, Rule] = {
    "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))": (
        lambda spec: ("chart" in spec) != ("chartRef" in spec),
        "must have either 'chart' or 'chartRef', but not both",
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
    "!has(self.serviceAccountName) || (has(self.provider) && self.provider == 'azure')": (
        lambda spec: "serviceAccountName" not in spec or spec.get("provider") == "azure",
        "can have 'serviceAccountName' only with the provider 'azure'",
    ),
    "!has(self.serviceAccountName) || (has(self.provider) && (self.provider == 'azure' || self.provider == 'aws'))": (
        lambda spec: "serviceAccountName" not in spec or spec.get("provider") in ("azure", "aws"),
        "can have 'serviceAccountName' only with the provider 'azure' or 'aws'",
    ),
    "has(self.pathPattern) && size(self.pathPattern) > 0 || self.artifacts.all(a, a.name.matches("
    rf"'{SUBDOMAIN_PATTERN.replace(chr(92), chr(92) * 2)}'))": (
        lambda spec: (
            bool(spec.get("pathPattern"))
            or all(_compiled(SUBDOMAIN_PATTERN).search(artifact["name"]) for artifact in spec["artifacts"])
        ),
        "must have a 'pathPattern', or artifacts whose names are RFC 1123 subdomains",
    ),
}
