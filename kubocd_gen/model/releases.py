"""KuboCD's resources as data classes, built once from the admitted values of the source files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.model.resources import Resource


@dataclass(frozen=True, slots=True, order=True)
class ContextRef:
    """A reference to a Context. `namespace` is never empty: the referrer sets the default."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.name}"


@dataclass(frozen=True, slots=True)
class Context:
    """A tree of shared variables. `context` is None if the resource has none; such a Context cannot be used."""

    resource: Resource
    ref: ContextRef
    parents: tuple[ContextRef, ...]
    context: Any

    def position(self, *keys: str | int) -> Position:
        """Return the position of the value at `keys`, like `Resource.position`."""
        return self.resource.position(*keys)


@dataclass(frozen=True, slots=True)
class Config:
    """Global defaults. `spec` is the admitted value, with `defaultContexts` normalized."""

    resource: Resource
    name: str
    spec: Mapping[str, Any]

    def position(self, *keys: str | int) -> Position:
        """Return the position of the value at `keys`, like `Resource.position`."""
        return self.resource.position(*keys)


@dataclass(frozen=True, slots=True)
class ModuleOverride:
    """The overrides of a Release for one module. Durations are as Go prints them; `spec_patch` is None if absent."""

    module: str
    spec_patch: Any
    on_failure_strategy: str
    timeout: str | None
    interval: str | None


@dataclass(frozen=True, slots=True)
class Release:
    """One deployment of one package, normalized.

    `package` is the admitted `spec.package` (repository, tag and the fields for Flux, durations as Go prints them).
    `model` is the whole object as Go serializes it, which templates get as `.Release`.
    """

    resource: Resource
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

    def position(self, *keys: str | int) -> Position:
        """Return the position of the value at `keys`, like `Resource.position`."""
        return self.resource.position(*keys)
