"""Generate the reference pages of files and reports from their JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.editors.shipped import document_schema, kinds
from kubocd_gen.package_data import schema
from website.prose import prose

DIRECTORY = "reference/files"
# Title and guide of each page by the kind of document, in the order of the navigation.
PAGES = {
    "project": ("kcd-gen.yaml", ""),
    "lock": ("kcd-gen.lock", "lock.md"),
    "release": ("Release", ""),
    "context": ("Context", ""),
    "config": ("Config", ""),
    "package": ("Package", "packages.md"),
    "report": ("Report", ""),
    "comparison": ("Comparison", "diff.md"),
    "helm-comparison": ("HelmComparison", "helm.md"),
    "dump": ("Dump", "packages.md"),
    "image": ("Image", "image.md"),
    "scaffold": ("Scaffold", "init.md"),
    "cache": ("Cache", "lock.md"),
    "migration": ("Migration", "migration.md"),
}
# Fields of Kubernetes metadata that users write.
_METADATA = ("name", "namespace", "labels", "annotations")
_PLURALS = {"string": "strings", "integer": "integers", "object": "maps", "array": "lists", "boolean": "booleans"}


def schema_files() -> dict[str, str]:
    """Return the schemas as `kcd-gen schema` prints them, by the paths on the site that their `$id`s contain."""
    return {f"schemas/{path}.json": json.dumps(document_schema(kind), indent=1) for kind, path in kinds().items()}


def schema_pages() -> dict[str, str]:
    """Return the Markdown of each page by path: an overview, and a page for each schema.

    Raises ValueError if a schema has no page, or a page no schema.
    """
    if difference := kinds().keys() ^ PAGES.keys():
        raise ValueError(f"PAGES of website/schemas.py and schemas/ differ in: {', '.join(sorted(difference))}")
    pages = {f"{DIRECTORY}/{kind}.md": "\n".join(_page(kind, *PAGES[kind])) for kind in PAGES}
    index = ["# Files and reports\n", "This reference is generated from the JSON Schemas that kcd-gen uses.\n"]
    index.append("| file | description |\n|---|---|")
    for kind, (title, _) in PAGES.items():
        index.append(f"| [{title}]({kind}.md) | {prose(document_schema(kind)['description'])} |")
    return {f"{DIRECTORY}/index.md": "\n".join(index), **pages}


def _page(kind: str, title: str, guide: str) -> Iterator[str]:
    file = kinds()[kind]
    stored = schema(file)
    rules = stored.get("schema", stored)  # the file of a structural schema also has its group and kind
    yield f"# {title}\n\n{prose(rules['description'])}\n"
    more = f" See also [{guide.removesuffix('.md')}](../../{guide})." if guide else ""
    yield f"Editors and other programs can use the [JSON Schema](../../schemas/{file}.json).{more}\n"
    yield "| field | type | description |\n|---|---|---|"
    for path, field, required in _fields(rules, "", rules):
        sentences = [prose(_about(field)), "Required." if required else ""]
        sentences.append(f"The default is `{json.dumps(field['default'])}`." if "default" in field else "")
        yield f"| `{path}` | {_type(field)} | {' '.join(filter(None, sentences))} |"


def _fields(
    schema: Mapping[str, Any], path: str, root: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield the path and schema of each field below `path`, and whether it is required; parents before children."""
    for inner in _variants(schema, root):
        required = inner.get("required", ())
        for name, stored in inner.get("properties", {}).items():
            if path == "metadata" and name not in _METADATA:
                continue
            field = _resolved(stored, root)
            child = f"{path}.{name}" if path else name
            yield child, field, name in required
            yield from _fields(field, child, root)
        if isinstance(items := inner.get("items"), Mapping):
            yield from _fields(_resolved(items, root), f"{path}[]", root)
        if isinstance(values := inner.get("additionalProperties"), Mapping):
            yield from _fields(_resolved(values, root), f"{path}.*", root)


def _variants(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schema and its alternatives, which can define additional fields."""
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    return [schema, *(_resolved(one, root) for one in alternatives)]


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve a `$ref` and merge its sibling keywords; return `true`, which accepts anything, as an empty schema."""
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" not in schema:
        return schema
    target: Any = root
    for key in schema["$ref"].removeprefix("#/").split("/"):
        target = target[key]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _type(field: Mapping[str, Any]) -> str:
    """Return the type of a field, such as `string`, `list of strings`, `"order" or "ignore"`."""
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    types = field.get("type", [])
    match [types] if isinstance(types, str) else types:
        case ["array"]:
            return _many("list", field.get("items"))
        case ["object"]:
            return _many("map", field.get("additionalProperties"))
        case [*one_of] if one_of:
            return " or ".join(one_of)
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    return "anything" if field.get("x-kubernetes-preserve-unknown-fields") else ""


def _many(collection: str, items: object) -> str:
    inner = items.get("type") if isinstance(items, Mapping) else None
    return f"{collection} of {_PLURALS[inner]}" if isinstance(inner, str) else collection


def _about(field: Mapping[str, Any]) -> str:
    """Return the field's description, or that of the items of a list or map."""
    for rules in (field, field.get("items"), field.get("additionalProperties")):
        if isinstance(rules, Mapping) and "description" in rules:
            return str(rules["description"])
    return ""
