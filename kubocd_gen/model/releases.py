"""KuboCD's resources as records: what raw mappings become once, at the edge, after the API server's admission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.model.resources import Resource


@dataclass(frozen=True, slots=True, order=True)
class ContextRef:
    """A Context by name; `namespace` is filled in by the one who refers to it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.name}"


@dataclass(frozen=True, slots=True)
class Context:
    """A tree of shared variables. `context` is None where the resource has none, which no one can use."""

    resource: Resource
    ref: ContextRef
    parents: tuple[ContextRef, ...]
    context: Any

    def position(self, *keys: str | int) -> Position:
        return self.resource.position(*keys)


@dataclass(frozen=True, slots=True)
class Config:
    """Global defaults. `spec` is as admitted, with `defaultContexts` groomed."""

    resource: Resource
    name: str
    spec: Mapping[str, Any]

    def position(self, *keys: str | int) -> Position:
        return self.resource.position(*keys)


@dataclass(frozen=True, slots=True)
class ModuleOverride:
    """What a Release changes in one module. Durations are as Go prints them; `spec_patch` is None where absent."""

    module: str
    spec_patch: Any
    on_failure_strategy: str
    timeout: str | None
    interval: str | None


@dataclass(frozen=True, slots=True)
class Release:
    """One deployment of one package, groomed.

    `package` is `spec.package` as admitted (repository, tag and Flux's own fields, durations as Go prints them).
    `model` is the whole object as Go serialises it again: what templates see as `.Release`.
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
        """`namespace/name`, as messages and reports name it."""
        return f"{self.namespace}/{self.name}"

    @property
    def image(self) -> str:
        """The package image that the Release asks for, `repository:tag`."""
        return f"{self.package['repository']}:{self.package['tag']}"

    def position(self, *keys: str | int) -> Position:
        return self.resource.position(*keys)
