"""The Namespace objects of a checkout, and the namespaces that the `kubocd-ctrl` chart creates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubocd_gen.model.resources import Resource

NAMESPACE_TEXT = re.compile(r"""kind["']?\s*:\s*["']?Namespace\b""")
"""What a file with a Namespace contains."""

NAMESPACE_MENTION = re.compile(NAMESPACE_TEXT.pattern.encode())


@dataclass(frozen=True, slots=True)
class NamespaceFile:
    """A file of the checkout with a Namespace. `display` is its name in messages."""

    name: str
    path: Path
    display: str


def is_namespace(resource: Resource) -> bool:
    """Return whether the resource is a Namespace of Kubernetes."""
    return resource.kind == "Namespace" and resource.api_version == "v1"


def namespace_names(value: Any) -> Iterator[str]:
    """Yield the names of the Namespaces in a document, which can be a List."""
    if not isinstance(value, Mapping):
        return
    items = value.get("items")
    if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
        for item in items:
            yield from namespace_names(item)
    elif value.get("kind") == "Namespace" and value.get("apiVersion") == "v1":
        metadata = value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        if isinstance(name, str):
            yield name


def chart_namespaces(release: Resource, target: str) -> Iterator[str]:
    """Yield the namespaces that an installation of the `kubocd-ctrl` chart creates.

    These are the chart's `extraNamespaces`, a list of maps with a `name`, and the namespace `target` if Helm creates
    it.
    """
    install = release.spec.get("install")
    if isinstance(install, Mapping) and install.get("createNamespace") is True and target:
        yield target
    values = release.spec.get("values")
    extra = values.get("extraNamespaces") if isinstance(values, Mapping) else None
    for item in extra if isinstance(extra, list) else ():
        name = item.get("name") if isinstance(item, Mapping) else None
        if isinstance(name, str):
            yield name
