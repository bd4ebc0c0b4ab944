"""Print a spec as Flux's Go type prints it, for a spec whose fields have their own spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubocd_gen.kube_yaml.scalars import number_text
from kubocd_gen.schema.durations import DurationError, normal_duration
from kubocd_gen.schema.per_schema import PerSchema
from kubocd_gen.schema.structural import At, Schema, Violation, admit, key_path

# Pointer fields of Flux's Go types, of all kinds: false, 0 and "" are kept in them, but omitted from plain fields.
_POINTERS = frozenset(
    {
        ("ignore",),  # a field of OCIRepository
        ("maxHistory",),
        ("persistentClient",),
        ("install", "remediation", "ignoreTestFailures"),
        ("install", "remediation", "remediateLastFailure"),
        ("upgrade", "remediation", "ignoreTestFailures"),
        ("upgrade", "remediation", "remediateLastFailure"),
        ("upgrade", "remediation", "strategy"),
        ("test", "filters"),
        ("uninstall", "deletionPropagation"),
    }
)
_DURATION = "(ms|s|m|h))+$"
# The zero values that `omitempty` omits. They are the values of these types that are false.
_ZEROS: Mapping[str, Any] = {"boolean": False, "integer": 0, "number": 0, "string": ""}

# Returns the printed value and appends to the violations.
_Print = Callable[[Any, At, list[Violation]], Any]
_Fields = tuple[str, ...] | None  # the names of the fields above a value; None below a list or a map of any keys


def printed(spec: Any, rules: Schema) -> tuple[Any, list[Violation]]:
    """Return a spec as its Go type prints it, and everything that cannot be decoded.

    `rules` is the schema of the spec. Parts that Go does not change are shared with the result.
    """
    violations: list[Violation] = []
    return _printer(rules)(spec, None, violations), violations


def _as_is(value: Any, at: At, violations: list[Violation]) -> Any:
    return value


def _node(rules: Schema, names: _Fields) -> _Print:
    kind = rules.get("type", "")
    items = _element(rules["items"]) if "items" in rules else None
    if kind == "string":
        own: _Print = _duration if rules.get("pattern", "").endswith(_DURATION) else _string
    elif kind == "integer":
        own = _integer
    elif "properties" in rules:
        own = _struct(rules, names)
    else:
        own = _map(rules.get("additionalProperties"))
    if items is None:
        return own

    def listed(value: Any, at: At, violations: list[Violation]) -> Any:
        if not isinstance(value, list):
            return own(value, at, violations)
        return [items(item, (at, index), violations) for index, item in enumerate(value)]

    return listed


def _element(rules: Schema) -> _Print:
    """Return the printer of an item of a list or an entry of a map. Go decodes null as the zero value of the type."""
    node = _node(rules, None)
    if node is _as_is and _zero(rules) is None:
        return _as_is

    def element(value: Any, at: At, violations: list[Violation]) -> Any:
        if value is None:
            value = {} if "properties" in rules else _zero(rules)
        return node(value, at, violations)

    return element


def _map(rules: Schema | None) -> _Print:
    element = _element(rules) if rules else _as_is
    if element is _as_is:
        return _as_is

    def mapped(value: Any, at: At, violations: list[Violation]) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: element(item, (at, key), violations) for key, item in value.items()}

    return mapped


def _struct(rules: Schema, names: _Fields) -> _Print:
    properties: Mapping[str, Schema] = rules["properties"]
    required: tuple[str, ...] = tuple(rules.get("required", ()))
    kept = {*required, *(key for key in properties if names is not None and (*names, key) in _POINTERS)}
    omitted = {key: _zero_type(field) for key, field in properties.items() if key not in kept}
    zeros = {key: _zero(properties[key]) for key in required}
    known: dict[str, _Print] = {}

    def print_of(key: str) -> _Print | None:
        if key in properties:
            known[key] = _node(properties[key], None if names is None else (*names, key))
        return known.get(key)

    def struct(value: Any, at: At, violations: list[Violation]) -> Any:
        if not isinstance(value, dict):
            return value
        result: dict[str, Any] = {}
        for key, item in value.items():
            field = known.get(key) or print_of(key)
            if field is None:
                result[key] = item  # `admit` reports unknown fields
                continue
            item = field(item, (at, key), violations)
            # Go's `omitempty` omits null, and the zero value of a type that is not a struct.
            if item is not None and (item or omitted.get(key) is not type(item)):
                result[key] = item
        for key, zero in zeros.items():  # Go prints such a field even if it is not set
            if key in result:
                continue
            if zero is not None:
                result[key] = zero
            elif "default" in properties[key]:  # which the API server does not apply to what Go prints
                violations.append(Violation(key_path((at, key)), "is required", "missing-field", "set it to a string"))
        return result

    return struct


def _zero_type(rules: Schema) -> type | None:
    """Return the type of the zero value that is omitted; None for a struct, which is a pointer, and for any JSON."""
    kind = rules.get("type", "")
    if "x-kubernetes-preserve-unknown-fields" in rules or (kind == "object" and "properties" in rules):
        return None
    return {"boolean": bool, "integer": int, "number": int, "string": str, "array": list, "object": dict}.get(kind)


def _zero(rules: Schema) -> Any:
    """Return the zero value of a Go type that is neither a struct nor a pointer; None if the CRD does not accept it."""
    zero = _ZEROS.get(rules.get("type", ""))
    return None if zero is None or admit(zero, rules)[1] else zero


def _integer(value: Any, at: At, violations: list[Violation]) -> Any:
    if isinstance(value, int | float) and not -(2**63) <= value < 2**63:
        message = f"must be an integer of at most 64 bits, not {value}"
        violations.append(Violation(key_path(at), message, "invalid-value", "use a smaller number"))
    return value


def _string(value: Any, at: At, violations: list[Violation]) -> Any:
    """Return the value of a Go field of type string, into which sigs.k8s.io/yaml converts a number or boolean.

    It does not convert to a type that reads JSON itself, like a duration (`convertToJSONableObject`).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, int | float) else value


def _duration(value: Any, at: At, violations: list[Violation]) -> Any:
    """Return the value of a Go field of type `metav1.Duration`."""
    if not isinstance(value, str):
        return value
    try:
        return normal_duration(value)
    except DurationError as error:
        violations.append(Violation(key_path(at), str(error), "invalid-duration", error.hint))
        return value


_printer = PerSchema(lambda rules: _node(rules, ()))
