"""The pages of the files that people write and programs read, from their JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from website.prose import prose

FOLDER = "reference/files"
# Title and introduction of each page, by the schema's file.
PAGES = {
    "kcd-gen/project-v1alpha1": ("kcd-gen.yaml", "The project file, found from the current directory upward."),
    "kcd-gen/lock-v1alpha1": ("kcd-gen.lock", "What `kcd-gen lock` writes; see [lock](../../lock.md)."),
    "kubocd/release-v1alpha1": ("Release", "A package that is to be installed, with its parameters."),
    "kubocd/context-v1alpha1": ("Context", "Values that Releases of a cluster or namespace share."),
    "kubocd/config-v1alpha1": ("Config", "Settings of the cluster, in KuboCD's namespace."),
    "kubocd/package-v1alpha1": (
        "Package",
        "The manifest from which [`kcd-gen package`](../../packages.md) makes an image.",
    ),
    "kcd-gen/report-v1alpha1": ("Report", "What `--format json` prints of `build`, `lock` and `package`."),
    "kcd-gen/comparison-v1alpha1": (
        "Comparison",
        "What `kcd-gen diff --format json` prints; see [diff](../../diff.md).",
    ),
    "kcd-gen/dump-v1alpha1": ("Dump", "What `kcd-gen dump --format json` prints; see [packages](../../packages.md)."),
    "kcd-gen/image-v1alpha1": ("Image", "What `kcd-gen image --format json` prints; see [image](../../image.md)."),
    "kcd-gen/migration-v1alpha1": (
        *("Migration", "What `kcd-gen migrate check --format json` prints; see [migration](../../migration.md)."),
    ),
}
# Of Kubernetes' metadata, what people write.
_PLURALS = {"string": "strings", "integer": "integers", "object": "maps", "array": "lists", "boolean": "booleans"}
_METADATA = ("name", "namespace", "labels", "annotations")


def schema_pages(folder: Path) -> dict[str, str]:
    """The Markdown of each page by its path, for the schemas in `folder`: an overview, and one a schema.

    A schema that has no page, those of Flux aside, is a mistake here.
    """
    found = {path.relative_to(folder).as_posix().removesuffix(".json") for path in folder.rglob("*.json")}
    if lacking := {name for name in found if not name.startswith("flux/")} ^ set(PAGES):
        raise ValueError(f"website/schemas.py and schemas/ differ in: {', '.join(sorted(lacking))}")
    index = ["# Files and reports\n", "Made from the JSON Schemas that kcd-gen itself checks with.\n"]
    index.append("| file | what it is |\n|---|---|")
    pages = {}
    for name, (title, about) in PAGES.items():
        file = f"{name.rpartition('/')[2].removesuffix('-v1alpha1')}.md"
        index.append(f"| [{title}]({file}) | {about} |")
        schema = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        pages[f"{FOLDER}/{file}"] = "\n".join(_page(title, about, name, schema))
    return {f"{FOLDER}/index.md": "\n".join(index), **pages}


def _page(title: str, about: str, name: str, stored: Mapping[str, Any]) -> Iterator[str]:
    schema = stored.get("schema", stored)  # a structural schema stands beside its group and kind
    yield f"# {title}\n\n{about}"
    yield f"Its schema: [{name}.json](../../schemas/{name}.json).\n"
    if text := schema.get("description"):
        yield f"{prose(text)}\n"
    yield "| field | type | what it is |\n|---|---|---|"
    for path, field, required in _fields(schema, "", schema):
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
    for schema in (field, field.get("items"), field.get("additionalProperties")):
        if isinstance(schema, Mapping) and "description" in schema:
            return str(schema["description"])
    return ""
