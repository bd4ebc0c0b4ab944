"""A Kubernetes resource as a source file has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.checkout.source_files import SourceFile
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import Fault

KUBOCD_GROUP = "kubocd.kubotal.io"


@dataclass(frozen=True, slots=True)
class Resource:
    """A Kubernetes resource of a source file, as it was written.

    `prefix` leads to it from the document's root (a `kind: List` holds its items). `spec_prefix` leads to what
    became its `spec` where it was made of something else: the values of a chart.
    """

    file: SourceFile
    document: int
    value: Mapping[str, Any]
    prefix: tuple[str | int, ...] = ()
    spec_prefix: tuple[str | int, ...] | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def group(self) -> str:
        """What stands before the slash of `apiVersion`, which may be forgotten."""
        return self.api_version.partition("/")[0]

    @property
    def api_version(self) -> str:
        return _text(self.value.get("apiVersion"))

    @property
    def kind(self) -> str:
        return _text(self.value.get("kind"))

    @property
    def metadata(self) -> Mapping[str, Any]:
        metadata = self.value.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}

    @property
    def name(self) -> str:
        return _text(self.metadata.get("name"))

    @property
    def namespace(self) -> str:
        """As written; empty where the resource does not say."""
        return _text(self.metadata.get("namespace"))

    @property
    def spec(self) -> Mapping[str, Any]:
        spec = self.value.get("spec")
        return spec if isinstance(spec, Mapping) else {}

    def position(self, *keys: str | int) -> Position:
        """The place of the value at `keys`, or of the innermost value on the way that exists."""
        if self.spec_prefix is not None and keys[:1] == ("spec",):
            path = (*self.spec_prefix, *keys[1:])
        else:
            path = (*self.prefix, *(keys if self.spec_prefix is None else ()))
        return find_position(self.file.text, self.file.path, self.document, path)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
