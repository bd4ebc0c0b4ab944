"""What one step of the walk hands to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.model.package import Package
from kubocd_gen.model.project import Cluster
from kubocd_gen.model.releases import ContextRef, Release


def at_release(error: BudgetExceededError, release: Release) -> BudgetExceededError:
    """Return the error at the Release with which the budget was used up, unless it has the location of a file."""
    return error.at(release.position("metadata", "name"))


@dataclass(frozen=True, slots=True)
class PackageSourceSpec:
    """Where a Release's package is pulled from after redirects, with the fields of its OCIRepository."""

    repository: str
    tag: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RenderedModule:
    """A module's fields as KuboCD reads them. Durations are as Go prints them, None where the module gives none."""

    name: str
    values: Mapping[str, Any]
    spec_patch: Mapping[str, Any]
    timeout: str | None
    interval: str | None
    target_namespace: str
    enabled: bool
    depends_on: tuple[str, ...]
    on_failure_strategy: str


@dataclass(frozen=True, slots=True)
class RenderedPackage:
    """A package as one Release renders it. Roles and dependencies are the package's own, in its order."""

    usage: Mapping[str, str]
    roles: tuple[str, ...]
    dependencies: tuple[str, ...]
    description: str
    modules: tuple[RenderedModule, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A Release with its package and its context. `context` is one object for all Releases with the same value."""

    release: Release
    package: Package
    source: PackageSourceSpec
    contexts: tuple[ContextRef, ...]
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WithParameters:
    """A resolved Release with its effective parameters; `parameters_text` is their template, None without one."""

    resolved: Resolved
    parameters_text: str | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A Release whose every template is rendered and read."""

    resolved: Resolved
    parameters: Mapping[str, Any]
    package: RenderedPackage


@dataclass(frozen=True, slots=True)
class CompiledRelease:
    """A Release with its Flux resources. Roles and dependencies are the package's and its own, sorted, without repeats.

    `documents` are in the order OCIRepository, HelmRepository, HelmReleases.
    """

    rendered: Rendered
    roles: tuple[str, ...]
    dependencies: tuple[str, ...]
    protected: bool
    documents: tuple[Mapping[str, Any], ...]

    @property
    def release(self) -> Release:
        return self.rendered.resolved.release

    def charts(self) -> dict[str, bytes]:
        """Its Helm repository: the index and the archives, named `hr/<namespace>/<release>/<file>`, sorted."""
        files = self.rendered.resolved.package.files
        folder = f"hr/{self.release.namespace}/{self.release.name}"
        names = [name for name in sorted(files) if name == "index.yaml" or name.endswith(".tgz")]
        return {f"{folder}/{name}": files[name] for name in names}


@dataclass(frozen=True, slots=True)
class Compilation:
    """What a cluster compiles to, in memory.

    `failed` are the Releases with errors, as `namespace/name`, sorted; those that were admitted are in `broken`.
    `complete` is False where a source could not be read: there may be Releases that are not known.
    """

    cluster: Cluster
    releases: tuple[CompiledRelease, ...]
    failed: tuple[str, ...]
    broken: Mapping[str, Release]
    complete: bool
