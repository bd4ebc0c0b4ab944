"""What differs between two compilations, as data. Values are as they may be shown: secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubocd_gen.compiler.value_changes import Change

Status = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Side:
    """A Release as it is on one side. `charts` are `name version` by HelmRelease."""

    package: str
    digest: str
    protected: bool
    suspended: bool
    charts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResourceDifference:
    """A Kubernetes resource that differs. `rendered_by` is the HelmRelease of whose chart it comes, None for Flux's.

    `value` is the whole resource where it was added or removed.
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
        """`HelmRelease podinfo1-main`, and for what a chart makes also where."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.rendered_by else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Danger:
    """A change that may cost data or a service; `code` is kebab-case and stable."""

    code: str
    message: str
    cluster: str
    release: str


@dataclass(frozen=True, slots=True)
class ReleaseDifference:
    """A Release that differs; `old` is None where it was added, `new` where it was removed."""

    cluster: str
    namespace: str
    name: str
    old: Side | None
    new: Side | None
    resources: tuple[ResourceDifference, ...]
    dangers: tuple[Danger, ...]

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def status(self) -> Status:
        return "added" if self.old is None else "removed" if self.new is None else "changed"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that differs. `revision` is what the working tree is compared with, `commit` its id.

    `totals` are how many Releases each side has; `releases` are those that differ, by cluster, namespace and name.
    """

    revision: str
    commit: str
    totals: tuple[int, int]
    releases: tuple[ReleaseDifference, ...]
    charts: bool  # whether the charts' manifests were compared

    @property
    def dangers(self) -> tuple[Danger, ...]:
        return tuple(danger for release in self.releases for danger in release.dangers)

    def count(self, status: Status) -> int:
        return sum(release.status == status for release in self.releases)

    @property
    def values(self) -> int:
        """How many values of resources that stay differ."""
        return sum(len(resource.changes) for release in self.releases for resource in release.resources)

    @property
    def clusters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(release.cluster for release in self.releases))
