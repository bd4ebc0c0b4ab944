"""The schemas of `schemas/` as documents of their own, in JSON Schema draft 7, which editors read best.

A resource's schema there is structural: its rules are what the API server and kcd-gen hold the resource to, in their
order and words. What only an editor has use for stands beside them under `x-kcd-gen-editor`, as keywords of draft 7:
rules that a build applies elsewhere, such as that of durations. `description` explains a field to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.diagnostics.problems import Problem, ProblemsError, nearest
from kubocd_gen.package_data import SITE, schema, schema_names
from kubocd_gen.schema.structural import PATTERNS

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
    """Where the schema of each kind of document lies below `schemas/`, by the kind's name: `release`, `project` …"""
    places = (*schema_names("kubocd"), *schema_names("kcd-gen"))
    return {place.rpartition("/")[2].rpartition("-")[0]: place for place in sorted(places)}


def document_schema(kind: str) -> Schema:
    """The whole schema of one kind of document, with its `$id`.

    Raises ProblemsError `usage` for another name.
    """
    known = kinds()
    if kind not in known:
        hint = nearest("did you mean '{}'?", kind, known) or f"there are: {', '.join(known)}"
        raise ProblemsError(Problem("usage", f"there is no schema '{kind}'", hint=hint))
    shipped = schema(known[kind])
    head = {"$schema": DIALECT, "$id": schema_url(kind)}
    if "schema" not in shipped:  # of a report: it is written in draft 7
        return head | {keyword: value for keyword, value in shipped.items() if keyword not in head}
    return head | {"title": shipped["kind"]} | resource_schema(known[kind])


def schema_url(kind: str) -> str:
    """The schema's `$id`: an identifier, and the future address of the schema. Nothing is there yet."""
    return f"{SITE}/schemas/{kinds()[kind]}.json"


def resource_schema(place: str) -> Schema:
    """The schema of a resource or file of kcd-gen's, for a document of exactly that kind."""
    shipped = schema(place)
    node = _node(shipped["schema"])
    if "kind" in node["properties"]:  # which the manifest of a package has none of
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
            wanted, hint = PATTERNS[structural["pattern"]]
            node["patternErrorMessage"] = f"must be {wanted}; {hint}"
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
    """A property; where it may be absent it may also be null, which the API server takes for absent."""
    node = _node(structural)
    types = node.get("type", [])
    if types and not required and "type" not in structural.get(_OWN, {}):
        node["type"] = [*([types] if isinstance(types, str) else types), "null"]
        if "enum" in node:
            node["enum"] = [*node["enum"], None]
    return node
