"""The differences between two compilations as data. Secret values are already masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubocd_gen.compiler.value_changes import Change

Status = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class ReleaseSide:
    """A Release on one side. `charts` maps each HelmRelease to the `name version` of its chart."""

    package: str
    digest: str
    protected: bool
    suspended: bool
    charts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResourceDifference:
    """A Kubernetes resource that differs.

    `rendered_by` is the HelmRelease whose chart contains the resource, None for Flux resources. `value` is the whole
    resource if it was added or removed, otherwise None.
    """

    kind: str
    namespace: str
    name: str
    status: Status
    changes: tuple[Change, ...] = ()
    rendered_by: str | None = None
    value: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """The kind and name, such as `HelmRelease podinfo1-main`; for a resource of a chart also its namespace."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.rendered_by else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Danger:
    """A change that can cause data loss or an outage; `code` is kebab-case and stable."""

    code: str
    message: str
    cluster: str
    release: str


@dataclass(frozen=True, slots=True)
class ReleaseDifference:
    """A Release that differs; `old` is None if it was added, `new` is None if it was removed."""

    cluster: str
    namespace: str
    name: str
    old: ReleaseSide | None
    new: ReleaseSide | None
    resources: tuple[ResourceDifference, ...]
    dangers: tuple[Danger, ...]

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def status(self) -> Status:
        return "added" if self.old is None else "removed" if self.new is None else "changed"


@dataclass(frozen=True, slots=True)
class NamespaceDifference:
    """A namespace that the output creates on one side only.

    `created_by` is what creates a removed one on the new side, "" if nothing in the checkout does.
    """

    cluster: str
    name: str
    status: Literal["added", "removed"]
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences between two sides. `commit` is the full commit ID of `revision`, empty for a directory.

    `totals` are the numbers of Releases on each side; `releases` are those that differ, sorted by cluster, removed
    ones first, namespace and name.
    """

    revision: str
    commit: str
    totals: tuple[int, int]
    releases: tuple[ReleaseDifference, ...]
    charts: bool  # whether the charts' manifests were compared
    several: bool = False  # whether the project has several clusters, which are named then
    until: str | None = None  # the revision that is compared with `revision` instead of the working tree
    namespaces: tuple[NamespaceDifference, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        return bool(self.releases or self.namespaces)

    @property
    def dangers(self) -> tuple[Danger, ...]:
        return tuple(danger for release in self.releases for danger in release.dangers)

    def count(self, status: Status) -> int:
        """Return the number of Releases with that status."""
        return sum(release.status == status for release in self.releases)

    @property
    def values(self) -> int:
        """The number of values that differ in resources that exist on both sides."""
        return sum(len(resource.changes) for release in self.releases for resource in release.resources)
