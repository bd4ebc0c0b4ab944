"""Normalize the specs of Flux resources like Flux's Go types: field names, durations, no empty fields.

KuboCD merges the spec as a tree, decodes it strictly into Flux's Go type, and sends the JSON of that. A patch can
therefore have `Install:`, `9m` or `suspend: false`: the cluster gets `install`, `9m0s` and no `suspend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kubocd_gen.package_data import schema
from kubocd_gen.schema.durations import DurationError, normal_duration
from kubocd_gen.schema.structural import Violation, admit, canonical_fields

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
# Characters that are valid in JSON, but not in the YAML through which KuboCD decodes its tree into the Go type.
_REFUSED = frozenset(map(chr, (0x7F, *range(0x80, 0x85), *range(0x86, 0xA0), 0xFFFE, 0xFFFF)))
_DURATION = "(ms|s|m|h))+$"


@lru_cache(maxsize=4)
def flux_schema(name: str) -> Mapping[str, Any]:
    """Return the structural schema of a Flux kind: `helmrelease-v2`, `helmrepository-v1` or `ocirepository-v1`."""
    loaded: Mapping[str, Any] = schema(f"flux/{name}")["schema"]
    return loaded


def typed_spec(kind: str, spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[Violation]]:
    """Return `spec` as the Go type of the Flux kind prints it, and everything for which KuboCD or Flux rejects it.

    `kind` is a name that `flux_schema` takes. The spec is empty if a field cannot be decoded.
    """
    fields = flux_schema(kind)["properties"]["spec"]
    violations: list[Violation] = []
    printed = _printed(canonical_fields(spec, fields), fields, (), violations)
    if violations:
        return {}, violations
    # Only for the violations: the API server sets the defaults itself.
    _, violations = admit(printed, fields)
    violations += _control_characters(printed, ())
    return printed, violations


def normal_spec(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec from a cluster in the same form, with the API server's defaults; invalid values stay."""
    fields = flux_schema(kind)["properties"]["spec"]
    admitted, _ = admit(canonical_fields(spec, fields), fields)
    printed: dict[str, Any] = _printed(admitted, fields, (), [])
    return printed


def _printed(value: Any, rules: Mapping[str, Any], path: tuple[str | int, ...], violations: list[Violation]) -> Any:
    if isinstance(value, list) and "items" in rules:
        return [_printed(item, rules["items"], (*path, i), violations) for i, item in enumerate(value)]
    if isinstance(value, str) and rules.get("pattern", "").endswith(_DURATION):
        try:
            return normal_duration(value)
        except DurationError as error:
            violations.append(Violation(path, str(error), "invalid-duration", error.hint))
            return value
    if not isinstance(value, dict) or "properties" not in rules:
        return value
    required = rules.get("required", ())
    printed = {}
    for key, item in value.items():
        field = rules["properties"].get(key)
        if field is None:
            printed[key] = item  # `admit` reports unknown fields
            continue
        item = _printed(item, field, (*path, key), violations)
        pointer = (*path, key) in _POINTERS and item is not None
        if key in required or pointer or not _is_empty(item, field):
            printed[key] = item
    return printed


def _is_empty(value: Any, rules: Mapping[str, Any]) -> bool:
    """Return whether Go's `omitempty` omits the field: null, and the zero value of a type that is not a struct."""
    if value is None:
        return True
    if "x-kubernetes-preserve-unknown-fields" in rules:
        return False
    zeros: dict[str, Any] = {"boolean": False, "integer": 0, "number": 0, "string": "", "array": []}
    if "properties" not in rules:
        zeros["object"] = {}  # a map; structs are pointers and are kept when they are empty
    zero = zeros.get(rules.get("type", ""))
    return type(value) is type(zero) and value == zero


def _control_characters(value: Any, path: tuple[str | int, ...]) -> list[Violation]:
    if isinstance(value, str):
        found = next((character for character in value if character in _REFUSED), None)
        if found is None:
            return []
        message = f"contains the character U+{ord(found):04X}, which KuboCD cannot send"
        return [Violation(path, message, "invalid-value")]
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [violation for key, item in items for violation in _control_characters(item, (*path, key))]
