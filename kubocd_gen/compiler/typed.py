"""A HelmRelease spec as Go's type of it prints it: field names as declared, durations normal, empty fields left out.

KuboCD assembles the spec as a tree, decodes it strictly into Flux's Go type and sends what that prints. So a patch may
say `Install:` or `9m` or `suspend: false`, and the cluster holds `install`, `9m0s` and nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kubocd_gen.package_data import schema
from kubocd_gen.schema.durations import DurationError, normal_duration
from kubocd_gen.schema.structural import Violation, admit, canonical_fields

# Pointers in Flux's Go types, of all kinds: false, 0 and "" are kept there, where a plain field would be left out.
_POINTERS = frozenset(
    {
        ("ignore",),  # of an OCIRepository
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
# What the YAML reader that stands between KuboCD's tree and Go's type refuses although JSON may hold it.
_REFUSED = frozenset(map(chr, (0x7F, *range(0x80, 0x85), *range(0x86, 0xA0), 0xFFFE, 0xFFFF)))
_DURATION = "(ms|s|m|h))+$"


@lru_cache(maxsize=4)
def flux_schema(name: str) -> Mapping[str, Any]:
    """The structural schema of one of Flux's kinds: `helmrelease-v2`, `helmrepository-v1` or `ocirepository-v1`."""
    loaded: Mapping[str, Any] = schema(f"flux/{name}")["schema"]
    return loaded


def typed_spec(kind: str, spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[Violation]]:
    """`spec` as Go's type for the Flux kind prints it, and everything for which KuboCD or Flux would refuse it."""
    fields = flux_schema(kind)["properties"]["spec"]
    violations: list[Violation] = []
    printed = _printed(canonical_fields(spec, fields), fields, (), violations)
    if violations:
        return {}, violations
    # Only for its violations: the API server fills its defaults in by itself.
    _, violations = admit(printed, fields)
    violations += _control_characters(printed, ())
    return printed, violations


def normal_spec(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec from a cluster, with the API server's defaults, printed the same way; what is wrong with it stays."""
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
            printed[key] = item  # unknown, which `admit` reports
            continue
        item = _printed(item, field, (*path, key), violations)
        pointer = (*path, key) in _POINTERS and item is not None
        if key in required or pointer or not _is_empty(item, field):
            printed[key] = item
    return printed


def _is_empty(value: Any, rules: Mapping[str, Any]) -> bool:
    """Whether Go's `omitempty` leaves the field out: null, and the zero of a type that is not a structure."""
    if value is None:
        return True
    if "x-kubernetes-preserve-unknown-fields" in rules:
        return False
    zeros: dict[str, Any] = {"boolean": False, "integer": 0, "number": 0, "string": "", "array": []}
    if "properties" not in rules:
        zeros["object"] = {}  # a plain map; a structure is a pointer, which is kept when it is empty
    zero = zeros.get(rules.get("type", ""))
    return type(value) is type(zero) and value == zero


def _control_characters(value: Any, path: tuple[str | int, ...]) -> list[Violation]:
    if isinstance(value, str):
        found = next((character for character in value if character in _REFUSED), None)
        if found is None:
            return []
        return [Violation(path, f"holds the character U+{ord(found):04X}, which KuboCD can't send", "invalid-value")]
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [violation for key, item in items for violation in _control_characters(item, (*path, key))]
