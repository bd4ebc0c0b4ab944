"""A Kubernetes resource of a source file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.checkout.discovery import SourceFile
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import Fault

KUBOCD_GROUP = "kubocd.kubotal.io"


@dataclass(frozen=True, slots=True)
class Resource:
    """A Kubernetes resource as written in a source file.

    `prefix` is its path in the document, not empty for an item of a `kind: List`. `spec_prefix` is the path of its
    `spec` if the resource comes from another object: the values of a chart.
    """

    file: SourceFile
    document: int
    value: Mapping[str, Any]
    prefix: tuple[str | int, ...] = ()
    spec_prefix: tuple[str | int, ...] | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def group(self) -> str:
        """The part of `apiVersion` before the slash, or all of it if there is no slash."""
        return self.api_version.partition("/")[0]

    @property
    def api_version(self) -> str:
        """`apiVersion` as written; empty if it is absent or not a string."""
        return _string(self.value.get("apiVersion"))

    @property
    def kind(self) -> str:
        """`kind` as written; empty if it is absent or not a string."""
        return _string(self.value.get("kind"))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """`metadata` as written; empty if it is absent or not a map."""
        metadata = self.value.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}

    @property
    def name(self) -> str:
        """`metadata.name` as written; empty if it is absent or not a string."""
        return _string(self.metadata.get("name"))

    @property
    def namespace(self) -> str:
        """`metadata.namespace` as written; empty if it is absent or not a string."""
        return _string(self.metadata.get("namespace"))

    @property
    def spec(self) -> Mapping[str, Any]:
        """`spec` as written; empty if it is absent or not a map."""
        spec = self.value.get("spec")
        return spec if isinstance(spec, Mapping) else {}

    def position(self, *keys: str | int) -> Position:
        """Return the position of the value at `keys`, or of the innermost parent that exists."""
        if self.spec_prefix is not None and keys[:1] == ("spec",):
            path = (*self.spec_prefix, *keys[1:])
        else:
            path = (*self.prefix, *(keys if self.spec_prefix is None else ()))
        return find_position(self.file.text, self.file.path, self.document, path)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
