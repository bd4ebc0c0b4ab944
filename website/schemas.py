"""The pages of the files that people write and programs read, from their JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.editors.shipped import document_schema, kinds
from kubocd_gen.package_data import schema
from website.prose import prose

FOLDER = "reference/files"
# Title of each page, and where there is more to read, by the name of the kind; in this order.
PAGES = {
    "project": ("kcd-gen.yaml", ""),
    "lock": ("kcd-gen.lock", "lock.md"),
    "release": ("Release", ""),
    "context": ("Context", ""),
    "config": ("Config", ""),
    "package": ("Package", "packages.md"),
    "report": ("Report", ""),
    "comparison": ("Comparison", "diff.md"),
    "dump": ("Dump", "packages.md"),
    "image": ("Image", "image.md"),
    "migration": ("Migration", "migration.md"),
}
# Of Kubernetes' metadata, what people write.
_METADATA = ("name", "namespace", "labels", "annotations")
_PLURALS = {"string": "strings", "integer": "integers", "object": "maps", "array": "lists", "boolean": "booleans"}


def schema_files() -> dict[str, str]:
    """The schemas as `kcd-gen schema` prints them, by their paths on the site, which their `$id`s say."""
    return {f"schemas/{place}.json": json.dumps(document_schema(kind), indent=1) for kind, place in kinds().items()}


def schema_pages() -> dict[str, str]:
    """The Markdown of each page by its path: an overview, and one a schema. A schema without a page is a mistake."""
    if lacking := kinds().keys() ^ PAGES.keys():
        raise ValueError(f"website/schemas.py and schemas/ differ in: {', '.join(sorted(lacking))}")
    pages = {f"{FOLDER}/{kind}.md": "\n".join(_page(kind, *PAGES[kind])) for kind in PAGES}
    index = ["# Files and reports\n", "Made from the JSON Schemas that kcd-gen itself checks with.\n"]
    index.append("| file | what it is |\n|---|---|")
    for kind, (title, _) in PAGES.items():
        index.append(f"| [{title}]({kind}.md) | {prose(document_schema(kind)['description'])} |")
    return {f"{FOLDER}/index.md": "\n".join(index), **pages}


def _page(kind: str, title: str, guide: str) -> Iterator[str]:
    place = kinds()[kind]
    stored = schema(place)
    rules = stored.get("schema", stored)  # a structural schema stands beside its group and kind
    yield f"# {title}\n\n{prose(rules['description'])}\n"
    more = f" There is more in [{guide.removesuffix('.md')}](../../{guide})." if guide else ""
    yield f"For editors and other programs: [its schema](../../schemas/{place}.json).{more}\n"
    yield "| field | type | what it is |\n|---|---|---|"
    for path, field, required in _fields(rules, "", rules):
        said = [prose(_about(field)), "Required." if required else ""]
        said.append(f"The default is `{json.dumps(field['default'])}`." if "default" in field else "")
        yield f"| `{path}` | {_type(field)} | {' '.join(filter(None, said))} |"


def _fields(
    schema: Mapping[str, Any], path: str, root: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Each field below `path` as its path, its schema and whether it must be there; parents before children."""
    for inner in _variants(schema, root):
        required = inner.get("required", ())
        for name, stored in inner.get("properties", {}).items():
            if path == "metadata" and name not in _METADATA:
                continue
            field = _resolved(stored, root)
            here = f"{path}.{name}" if path else name
            yield here, field, name in required
            yield from _fields(field, here, root)
        if isinstance(items := inner.get("items"), Mapping):
            yield from _fields(_resolved(items, root), f"{path}[]", root)
        if isinstance(values := inner.get("additionalProperties"), Mapping):
            yield from _fields(_resolved(values, root), f"{path}.*", root)


def _variants(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema itself, and what its alternatives say in addition."""
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    return [schema, *(_resolved(one, root) for one in alternatives)]


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` stands for, with what stands beside it; `true`, which takes anything, as a schema without rules."""
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" not in schema:
        return schema
    target: Any = root
    for key in schema["$ref"].removeprefix("#/").split("/"):
        target = target[key]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _type(field: Mapping[str, Any]) -> str:
    """`string`, `list of strings`, `"order" or "ignore"`."""
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


def _many(what: str, inside: object) -> str:
    inner = inside.get("type") if isinstance(inside, Mapping) else None
    return f"{what} of {_PLURALS[inner]}" if isinstance(inner, str) else what


def _about(field: Mapping[str, Any]) -> str:
    """The field's description, else that of what it is a list or map of."""
    for rules in (field, field.get("items"), field.get("additionalProperties")):
        if isinstance(rules, Mapping) and "description" in rules:
            return str(rules["description"])
    return ""
