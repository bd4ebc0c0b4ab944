"""Admit a resource like the API server: defaults, then validation by the CRD's structural schema.

The schemas are those of `schemas/`, read with `kubocd_gen.package_data.schema(name)["schema"]`. The rules are from the
Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions" (defaulting, nullable, pruning) and
"Server-side field validation" (strict, as `kubectl apply` and Flux request it). This module must import fast: every
build uses it, for its Releases and for each HelmRelease that it emits.
"""

from __future__ import annotations

import functools
import math
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
    has_type,
    known_names,
    quoted,
    type_mismatch,
    type_name,
)
from kubocd_gen.schema.per_schema import PerSchema
from kubocd_gen.schema.structural_keywords import CHECKS, RULES, compiled

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


At = tuple["At", str | int] | None
"""A path as the path of the parent and the last key, because most paths are never needed as a tuple."""


def key_path(at: At) -> KeyPath:
    """Return the path as a tuple."""
    keys: list[str | int] = []
    while at is not None:
        at, key = at
        keys.append(key)
    return tuple(reversed(keys))


class _Findings(Violations):
    """The violations of one value, and the options of its admission."""

    def __init__(self, unknown_fields: UnknownFields, *, quote: bool) -> None:
        super().__init__()
        self.unknown_fields = unknown_fields
        self.quote = quote  # whether messages quote values


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
    found = _Findings(unknown_fields, quote=quote_values)
    try:
        return _admission(schema)(value, None, found), found
    except TooManyViolationsError:
        return value, found


def canonical_fields(value: Any, schema: Schema) -> Any:
    """Return the value with its keys in the spelling of the schema; keys match without regard to case.

    KuboCD decodes the spec of a HelmRelease with Go's `encoding/json`, which accepts `Install` for `install`. Go reads
    several spellings of one field in the order of their bytes: maps are merged, other values replace earlier ones.
    """
    return _canonical(schema)(value)


def _same(value: Any) -> Any:
    return value


def _canonical_node(schema: Schema) -> Callable[[Any], Any]:
    """Return the function that does this for the values of one schema."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    additional = None if properties else schema.get("additionalProperties")
    others = _canonical_node(additional) if additional else _same
    items = _canonical_node(schema["items"]) if "items" in schema else _same
    if not properties and others is _same and items is _same:
        return _same
    fields: dict[str, Callable[[Any], Any]] = {}

    def field(key: str) -> Callable[[Any], Any]:
        if key not in fields:
            fields[key] = _canonical_node(properties[key])
        return fields[key]

    def canonical(value: Any) -> Any:
        if isinstance(value, list):
            return value if items is _same else [items(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not properties:
            return value if others is _same else {key: others(item) for key, item in value.items()}
        result: dict[str, Any] = {}
        for key, item in value.items():
            if key not in properties:
                return respelled(value)
            child = fields.get(key) or field(key)
            result[key] = item if child is _same else child(item)
        return result

    def respelled(value: dict[str, Any]) -> dict[str, Any]:
        spellings = _spellings(tuple(properties))
        entries = [(key, key if key in properties else spellings.get(key.casefold(), key)) for key in value]
        if len({name for _, name in entries}) < len(entries):
            entries.sort()  # Go's order matters only for a field in two spellings
        result: dict[str, Any] = {}
        for key, name in entries:
            item = field(name)(value[key]) if name in properties else value[key]
            result[name] = _decode_onto(result.get(name), item, properties.get(name, {}))
        return result

    return canonical


_canonical = PerSchema(_canonical_node)


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


# Returns the admitted value and appends to the findings. Schemas are compiled into such functions: most of the time,
# interpreting one takes is spent in looking up what does not depend on the value.
_Admit = Callable[[Any, At, _Findings], Any]


def _as_is(value: Any, at: At, found: _Findings) -> Any:
    return value


def _node(schema: Schema) -> _Admit:
    """Return the function that admits the values of a schema."""
    types = _types(schema)
    exact = _EXACT.get(types[0]) if types else None
    is_map = "properties" in schema or "additionalProperties" in schema
    fields = _fields(schema) if is_map else None
    items = _node(schema["items"]) if "items" in schema else None
    checks = [(check, schema[keyword]) for keyword, check in CHECKS.items() if keyword in schema]
    rules = [RULES[rule["rule"]] for rule in schema.get("x-kubernetes-validations", ())]
    nullable = bool(schema.get("nullable"))
    if not (types or fields or items or checks or rules):
        return _as_is

    def admitted(value: Any, at: At, found: _Findings) -> Any:
        if value is None and nullable:
            return None
        before = len(found)
        if type(value) is not exact and types and not any(has_type(value, name) for name in types):
            message, hint = type_mismatch(types, value, quote=found.quote)
            path = key_path(at)
            shape = _shape_hint(schema, path, value, quote=found.quote)
            found.append(Violation(path, message, "invalid-type", shape or hint))
            return value
        if fields is not None and isinstance(value, dict):
            value = fields(value, at, found)
        elif items is not None and isinstance(value, list):
            value = [items(item, (at, i), found) for i, item in enumerate(value)]
        for check, wanted in checks:
            if problem := check(value, wanted, found.quote):
                found.append(Violation(key_path(at), problem[0], "invalid-value", problem[1]))
        if rules and len(found) == before:  # like the API server, evaluate rules only for otherwise valid values
            for holds, message in rules:
                if not holds(value):
                    found.append(Violation(key_path(at), message, "invalid-value"))
        return value

    if types == ("string",) and not rules and _OF_STRINGS.issuperset(CHECKS.keys() & schema.keys()):
        return _string(schema, admitted)
    if types == ("object",) and fields is not None and not checks and not rules:
        return lambda value, at, found: (fields if type(value) is dict else admitted)(value, at, found)
    return admitted


_EXACT: Mapping[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
_OF_STRINGS = frozenset({"enum", "pattern", "minLength", "maxLength"})


def _string(schema: Schema, otherwise: _Admit) -> _Admit:
    """Return the function that accepts a valid string, and leaves any other value to `otherwise`."""
    if _OF_STRINGS.isdisjoint(schema):
        return lambda value, at, found: value if type(value) is str else otherwise(value, at, found)
    search = compiled(schema["pattern"]).search if "pattern" in schema else None
    allowed = schema.get("enum")
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)

    def admitted(value: Any, at: At, found: _Findings) -> Any:
        if (
            type(value) is str
            and least <= len(value) <= most
            and (search is None or search(value))
            and (allowed is None or value in allowed)
        ):
            return value
        return otherwise(value, at, found)

    return admitted


def _fields(schema: Schema) -> Callable[[dict[str, Any], At, _Findings], dict[str, Any]]:
    """Return the function that admits the fields of a map."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others: Schema | None = schema.get("additionalProperties")
    other = None if others is None else _node(others)
    defaults = [(key, field) for key, field in properties.items() if "default" in field]
    required = schema.get("required", ())
    known: dict[str, _Admit] = {}
    unnamed = None if properties else other

    def field_of(key: str) -> _Admit | None:
        if key not in properties:
            return other
        known[key] = _node(properties[key])
        return known[key]

    def admitted(value: dict[str, Any], at: At, found: _Findings) -> dict[str, Any]:
        result: dict[str, Any] = {}
        misspelled: list[str] = []  # the fields that unknown ones are probably meant to be
        for key, item in value.items():
            field = known.get(key, unnamed) or field_of(key)
            if field is None:
                if schema.get(_OPEN):
                    result[key] = item
                elif found.unknown_fields == "error":
                    result[key] = item
                    hinted = len(found) < HINTED
                    close = nearest("{}", key, properties) if hinted else None
                    misspelled += (close,) if close else ()
                    found.append(_unknown_field(key_path((at, key)), key, close, properties, hinted=hinted))
                continue
            if item is None:
                rules = properties.get(key, others) or {}
                if not rules.get("nullable"):
                    if "default" not in rules:
                        continue
                    item = deepcopy(rules["default"])
            result[key] = field(item, (at, key), found)
        for key, rules in defaults:
            if key not in value and (field := known.get(key) or field_of(key)) is not None:
                result[key] = field(deepcopy(rules["default"]), (at, key), found)
        for key in required:
            if key not in result and key not in misspelled:
                hint = _missing_hint(properties.get(key, {}))
                found.append(Violation(key_path((at, key)), "is required", "missing-field", hint))
        return result

    return admitted


_admission = PerSchema(_node)


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
