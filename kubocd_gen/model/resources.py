"""The resources of source files, and those of KuboCD as data classes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.checkout.discovery import SourceFile
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import Fault

KUBOCD_GROUP = "kubocd.kubotal.io"
KUBOCD_KINDS = ("Release", "Context", "Config")

_VERSION = re.compile(r"v[0-9]+((alpha|beta)[0-9]+)?")
_LONGEST_GROUP = 100  # characters that are compared
_SIMILAR = 0.75


@dataclass(frozen=True, slots=True)
class Resource:
    """A Kubernetes resource as written in a source file.

    `prefix` is its path in the document, not empty for an item of a `kind: List`. `spec_prefix` is the path of its
    `spec` if the resource comes from another object: the values of a chart. `digest` identifies the value; it is empty
    if the value is not plain JSON.
    """

    file: SourceFile
    document: int
    value: Mapping[str, Any]
    prefix: tuple[str | int, ...] = ()
    spec_prefix: tuple[str | int, ...] | None = None
    faults: tuple[Fault, ...] = ()
    digest: str = field(default="", compare=False)

    @property
    def group(self) -> str:
        """The part of `apiVersion` before the slash, or all of it if there is no slash."""
        return self.api_version.partition("/")[0]

    @property
    def is_kubocd(self) -> bool:
        """Whether this is a resource of KuboCD, or was meant to be one: its kind is, and its group nearly is.

        A misspelled group must not hide a Release, whose output would be removed. Without a group, it is one if it has
        a `spec`, which a kubeconfig (`kind: Config`) does not have.
        """
        if self.group == KUBOCD_GROUP:
            return True
        if self.kind not in KUBOCD_KINDS:
            return False
        if not self.api_version or _VERSION.fullmatch(self.api_version):
            return isinstance(self.value.get("spec"), Mapping)
        group = self.group[:_LONGEST_GROUP].lower()
        likeness = difflib.SequenceMatcher(None, KUBOCD_GROUP, group).ratio()
        return "kubocd" in group or "kubotal" in group or likeness > _SIMILAR

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


@dataclass(frozen=True, slots=True, order=True)
class ContextRef:
    """A reference to a Context. `namespace` is never empty: the referrer sets the default."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.name}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A resource of KuboCD, built once from the admitted values of its source file."""

    resource: Resource

    def position(self, *keys: str | int) -> Position:
        """Return the position of the value at `keys`, like `Resource.position`."""
        return self.resource.position(*keys)


@dataclass(frozen=True, slots=True)
class Context(Admitted):
    """A tree of shared variables. `context` is None if the resource has none; such a Context cannot be used."""

    ref: ContextRef
    parents: tuple[ContextRef, ...]
    context: Any


@dataclass(frozen=True, slots=True)
class Config(Admitted):
    """Global defaults. `spec` is the admitted value, with `defaultContexts` normalized."""

    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModuleOverride:
    """The overrides of a Release for one module. Durations are as Go prints them; `spec_patch` is None if absent."""

    module: str
    spec_patch: Any
    on_failure_strategy: str
    timeout: str | None
    interval: str | None


@dataclass(frozen=True, slots=True)
class Release(Admitted):
    """One deployment of one package, normalized.

    `package` is the admitted `spec.package` (repository, tag and the fields for Flux, durations as Go prints them).
    `model` is the whole object as Go serializes it, which templates get as `.Release`.
    """

    namespace: str
    name: str
    description: str
    package: Mapping[str, Any]
    contexts: tuple[ContextRef, ...]
    parameters: Any
    overrides: tuple[ModuleOverride, ...]
    roles: tuple[str, ...]
    dependencies: tuple[str, ...]
    target_namespace: str
    create_namespace: bool
    skip_default_context: bool
    suspended: bool
    protected: bool | None
    model: Mapping[str, Any]

    @property
    def key(self) -> str:
        """`namespace/name`, the name in messages and reports."""
        return f"{self.namespace}/{self.name}"

    @property
    def image(self) -> str:
        """The package image before redirects, `repository:tag`."""
        return f"{self.package['repository']}:{self.package['tag']}"


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class ImageRedirect:
    """An entry of a Config's `imageRedirects`. If not set, `image_pull_secrets` is None, a nil list in templates."""

    old_prefix: str
    new_prefix: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...] | None
