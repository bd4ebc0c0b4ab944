"""Resolve the `$ref`s of a JSON Schema: only to locations in the schema itself, by JSON pointer or by `$id`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from kubocd_gen.budget.spending import Meter

Schema = dict[str, Any]


def identifier(raw: Mapping[str, Any]) -> str | None:
    """Return the URI, possibly relative, in `$id` of a raw schema, or in `id` as in draft 4; None if it has neither."""
    name = raw.get("id", raw.get("$id"))
    return name if isinstance(name, str) else None


def find_anchors(root: Mapping[str, Any], spend: Meter) -> dict[str, Any]:
    """Return the schemas by the URI that refers to them: the root by "", those with an `$id` by its absolute URI."""
    anchors: dict[str, Any] = {"": root}
    stack: list[tuple[Any, str]] = [(root, "")]
    while stack:
        node, base = stack.pop()
        spend(1 + len(base) // 64)
        if isinstance(node, list):
            stack.extend((item, base) for item in node)
        elif isinstance(node, dict):
            if name := identifier(node):
                base = urljoin(base, name)
                anchors.setdefault(base.removesuffix("#"), node)
            for keyword, value in node.items():
                # The keys below these are names that the author chose: a property can have the name `$id`.
                if keyword in ("properties", "patternProperties", "dependencies", "definitions"):
                    stack.extend((item, base) for item in (value.values() if isinstance(value, dict) else ()))
                elif keyword not in ("const", "enum", "default"):
                    stack.append((value, base))
    return anchors


def target(absolute: str, anchors: Mapping[str, Any]) -> tuple[Any, str] | None:
    """Return the raw schema at an absolute reference and the base URI of its references; None if it does not exist."""
    if absolute in anchors:
        return anchors[absolute], absolute
    document, pointer = urldefrag(absolute)
    if document not in anchors:
        return None
    node = anchors[document]
    if not pointer.startswith("/"):
        return node, document  # gojsonschema treats an unknown name like the empty pointer
    for part in unquote(pointer).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isascii() and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node, document


def endless(references: Mapping[str, Schema], spend: Meter) -> str | None:
    """Return a reference that leads back to itself for the same value, which would never end; None if there is none."""
    done: set[str] = set()
    for start in references:
        trail: set[str] = set()
        stack = [(start, False)]
        while stack:
            absolute, leaving = stack.pop()
            if leaving:
                trail.remove(absolute)
                done.add(absolute)
            elif absolute in trail:
                return absolute
            elif absolute not in done:
                trail.add(absolute)
                stack.append((absolute, True))
                stack.extend((reference, False) for reference in _same_value(references[absolute], spend))
    return None


def _same_value(schema: Schema, spend: Meter) -> Iterator[str]:
    """Yield the references that a schema applies to the same value as itself."""
    stack = [schema]
    while stack:
        node = stack.pop()
        spend()
        if "$ref" in node:
            yield node["$ref"]
        for keyword in ("allOf", "anyOf", "oneOf"):
            stack.extend(node.get(keyword, ()))
        stack.extend(node[keyword] for keyword in ("not", "if", "then", "else") if keyword in node)
        stack.extend(item for item in node.get("dependencies", {}).values() if not isinstance(item, list))
