"""Summarize a package for `kcd-gen dump`: the values that users can set, modules, charts and sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kubocd_gen.model.package import Package, TemplateSource
from kubocd_gen.oci.descriptors import sha256

_DEEPEST = 12  # levels of a schema that are shown; a recursive schema has no end


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter or a value of the context. `default` is JSON, or "" if there is none."""

    name: str  # dotted path; `[]` means an item of a list
    type: str
    default: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Contents:
    """A package as `kcd-gen dump` shows it. Templates are not rendered."""

    name: str
    tag: str
    reference: str | None
    digest: str | None
    size: int | None  # bytes of the content layer
    description: str
    protected: bool
    roles: Any
    dependencies: Any
    parameters: tuple[Value, ...]
    context: tuple[Value, ...] | None  # None: any context is accepted
    modules: tuple[Mapping[str, Any], ...]
    charts: tuple[Mapping[str, Any], ...]
    files: tuple[Mapping[str, Any], ...]
    manifest: str


def contents(
    package: Package, fields: Mapping[str, Any], *, reference: str | None = None, size: int | None = None
) -> Contents:
    """Return the contents of a package; `fields` are those of its manifest. Without an image there are no charts."""
    archives = {name: data for name, data in package.files.items() if name.endswith(".tgz")}
    schema = package.context_schema
    return Contents(
        name=package.name,
        tag=package.tag,
        reference=reference,
        digest=package.digest or None,
        size=size,
        description=package.description.text,
        protected=package.protected,
        roles=_template(package.roles),
        dependencies=_template(package.dependencies),
        parameters=tuple(schema_values(package.parameters_schema.schema)),
        context=None if schema is None else tuple(schema_values(schema.schema)),
        modules=tuple(
            {
                "name": module.name,
                "chart": asdict(package.charts[module.name]) if module.name in package.charts else None,
                "source": {kind: value for kind, value in (read.get("source") or {}).items() if value is not None},
                "enabled": module.enabled.text,
                "targetNamespace": module.target_namespace.text,
                "dependsOn": _template(module.depends_on),
            }
            for module, read in zip(package.modules, fields["modules"], strict=True)
        ),
        charts=tuple(
            {"file": name, "size": len(data), "digest": sha256(data)} for name, data in sorted(archives.items())
        ),
        files=tuple({"name": name, "size": len(data)} for name, data in package.files.items()),
        manifest=package.text,
    )


def schema_values(schema: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[Value]:
    """Yield each property of an object's JSON Schema, followed by its nested properties, in the schema's order."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or depth > _DEEPEST:
        return
    required = schema.get("required")
    for key, node in properties.items():
        if not isinstance(node, dict):
            continue
        name = f"{prefix}{key}"
        yield Value(
            name=name,
            type=_type(node),
            default="" if node.get("default") is None else json.dumps(node["default"], ensure_ascii=False),
            required=isinstance(required, list) and key in required,
            description=str(node.get("description") or node.get("title") or "").strip(),
        )
        yield from schema_values(node, f"{name}.", depth + 1)
        if isinstance(items := node.get("items"), dict):
            yield from schema_values(items, f"{name}[].", depth + 1)


def _type(node: Mapping[str, Any]) -> str:
    if isinstance(enum := node.get("enum"), list):
        return "|".join(json.dumps(one, ensure_ascii=False) if not isinstance(one, str) else one for one in enum)
    kind = node.get("type", "any")
    if isinstance(kind, list):
        return "|".join(map(str, kind))
    items = node.get("items")
    if kind == "array" and isinstance(items, dict):
        return f"array of {_type(items)}"
    return str(kind)


def _template(source: TemplateSource) -> Any:
    """Return the tree or the text of a template; an empty list if the text is one."""
    if source.tree is not None:
        return source.tree
    return [] if source.text == "[]" else source.text
