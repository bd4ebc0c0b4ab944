"""Convert the schemas of `schemas/` to standalone documents in JSON Schema draft 7, which editors support best.

The schema of a resource is structural: it has the rules that the API server and kcd-gen check, in their order and with
their messages. The key `x-kcd-gen-editor` adds keywords of draft 7 that only editors use, for rules that a build checks
elsewhere, such as the format of durations. Both use `description`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.diagnostics.problems import ProblemsError, nearest
from kubocd_gen.package_data import SITE, schema, schema_names
from kubocd_gen.schema.structural_keywords import PATTERNS

Schema = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
_OWN = "x-kcd-gen-editor"
_KEPT = (
    "title",
    "description",
    "default",
    "enum",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
)


def kinds() -> dict[str, str]:
    """Return the path below `schemas/` of the schema of each kind of document, such as `release` or `project`."""
    paths = (*schema_names("kubocd"), *schema_names("kcd-gen"))
    return {path.rpartition("/")[2].rpartition("-")[0]: path for path in sorted(paths)}


def document_schema(kind: str) -> Schema:
    """Return the schema of one kind of document, with its `$id`. Raises ProblemsError `usage` for an unknown kind."""
    known = kinds()
    if kind not in known:
        hint = nearest("did you mean '{}'?", kind, known) or f"use one of: {', '.join(known)}"
        raise ProblemsError.of("usage", f"unknown schema '{kind}'", hint=hint)
    shipped = schema(known[kind])
    head = {"$schema": DIALECT, "$id": schema_url(kind)}
    if "schema" not in shipped:  # the schema of a report, which is already in draft 7
        return head | {keyword: value for keyword, value in shipped.items() if keyword not in head}
    return head | {"title": shipped["kind"]} | resource_schema(known[kind])


def schema_url(kind: str) -> str:
    """Return the schema's `$id`: an identifier and the planned URL of the schema, which is not published yet."""
    return f"{SITE}/schemas/{kinds()[kind]}.json"


def resource_schema(path: str) -> Schema:
    """Return the schema of a resource or of a file of kcd-gen, from `path` below `schemas/`."""
    shipped = schema(path)
    node = _node(shipped["schema"])
    if "kind" in node["properties"]:  # a package manifest has no kind
        for name, value in {"apiVersion": f"{shipped['group']}/{shipped['version']}", "kind": shipped["kind"]}.items():
            node["properties"][name] |= {"type": "string", "enum": [value]}
        node["required"] = list(dict.fromkeys(["apiVersion", "kind", *node["required"]]))
    return node


def _node(structural: Mapping[str, Any]) -> Schema:
    own: Mapping[str, Any] = structural.get(_OWN, {})
    node: Schema = {}
    if "type" in structural:
        node["type"] = structural["type"]
    elif structural.get("x-kubernetes-int-or-string"):
        node["type"] = ["integer", "string"]
    node |= {keyword: structural[keyword] for keyword in _KEPT if keyword in structural}
    if "pattern" in structural:
        node["pattern"] = structural["pattern"]
        if structural["pattern"] in PATTERNS:
            expected, hint = PATTERNS[structural["pattern"]]
            node["patternErrorMessage"] = f"must be {expected}; {hint}"
    others = structural.get("additionalProperties")
    if "properties" in structural:
        required = [name for name in structural.get("required", ()) if "default" not in structural["properties"][name]]
        node["properties"] = {
            name: _field(child, required=name in required or name in own.get("required", ()))
            for name, child in structural["properties"].items()
        }
        node["required"] = required
        node["additionalProperties"] = False
    if others is not None:
        node["additionalProperties"] = _node(others)
    if "items" in structural:
        node["items"] = _node(structural["items"])
    return {**node, **own}


def _field(structural: Mapping[str, Any], *, required: bool) -> Schema:
    """Return the schema of a property; an optional property accepts null, which the API server treats as absent."""
    node = _node(structural)
    types = node.get("type", [])
    if types and not required and "type" not in structural.get(_OWN, {}):
        node["type"] = [*([types] if isinstance(types, str) else types), "null"]
        if "enum" in node:
            node["enum"] = [*node["enum"], None]
    return node
