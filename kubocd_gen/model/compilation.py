"""The results that one step of a compilation passes to the next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.model.finishing import NO_FINISH, Finish

if TYPE_CHECKING:
    from kubocd_gen.model.delivery import Delivery
    from kubocd_gen.model.package import Package
    from kubocd_gen.model.project import Cluster
    from kubocd_gen.model.resources import ContextRef, Release


@contextmanager
def collecting(problems: Problems, release: Release) -> Iterator[None]:
    """Add the ProblemsError that the block raises to `problems`, as errors of the Release.

    An exhausted limit of the run is reported at the Release that exhausted it, unless it has a position already.
    """
    try:
        yield
    except BudgetExceededError as error:
        problems.error(error.at(release.position("metadata", "name")), release=release.key)
    except ProblemsError as error:
        problems.error(error, release=release.key)


@dataclass(frozen=True, slots=True)
class PackageOrigin:
    """Where a package was found, and the reference under which: as written, or as the Configs redirect it."""

    location: Literal["vendor", "cache", "registry"]
    reference: str


@dataclass(frozen=True, slots=True)
class PackageSourceSpec:
    """The image of a Release's package after redirects, with the fields of its OCIRepository.

    `origin` is known once the package was fetched.
    """

    repository: str
    tag: str
    fields: Mapping[str, Any]
    origin: PackageOrigin | None = None


@dataclass(frozen=True, slots=True)
class RenderedModule:
    """The rendered fields of a module. Durations are strings as Go prints them, or None if the module sets none.

    `create_namespace` is the Release's `createNamespace` if templates can have changed it, otherwise None.
    """

    name: str
    values: Mapping[str, Any]
    spec_patch: Mapping[str, Any]
    timeout: str | None
    interval: str | None
    target_namespace: str
    enabled: bool
    depends_on: tuple[str, ...]
    on_failure_strategy: str
    create_namespace: bool | None = None


@dataclass(frozen=True, slots=True)
class RenderedPackage:
    """A package rendered for one Release. Roles and dependencies are those of the package only, in its order."""

    usage: Mapping[str, str]
    roles: tuple[str, ...]
    dependencies: tuple[str, ...]
    description: str
    modules: tuple[RenderedModule, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A Release with its package and its context. Releases with equal contexts share one `context` object."""

    release: Release
    package: Package
    source: PackageSourceSpec
    contexts: tuple[ContextRef, ...]
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WithParameters:
    """A resolved Release with its effective parameters; `parameters_text` is their template or None."""

    resolved: Resolved
    parameters_text: str | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A Release with all of its templates rendered and parsed."""

    resolved: Resolved
    parameters: Mapping[str, Any]
    package: RenderedPackage


@dataclass(frozen=True, slots=True)
class ChartFile:
    """A file through which Flux gets charts: its SHA-256 in hexadecimal digits, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What other Releases, the plan and the report need to know of a compiled Release.

    Roles and dependencies are those of the package and of the Release, sorted, without duplicates. `deploys` tells
    whether it has an enabled module and is not suspended. `package` is the name of the package in messages, and `image`
    its reference in the Release. `contexts` are those that were merged, in order. `resources` are kind, namespace and
    name of everything that it creates, and `charts` the files of the package through which Flux gets the charts, by
    name, sorted: the whole Helm repository if a server serves it, otherwise the archives that the HelmReleases install.
    """

    namespace: str
    name: str
    suspended: bool
    protected: bool
    deploys: bool
    roles: tuple[str, ...]
    dependencies: tuple[str, ...]
    package: str
    image: str
    digest: str
    origin: PackageOrigin | None
    description: str
    usage: Mapping[str, str]
    contexts: tuple[str, ...]
    resources: tuple[tuple[str, str, str], ...]
    charts: Mapping[str, ChartFile]

    @property
    def key(self) -> str:
        """`namespace/name`, the name in messages and reports."""
        return f"{self.namespace}/{self.name}"


class Content(Protocol):
    """The parts of a compiled Release that are only needed if it is new, has changed, or has problems."""

    @property
    def release(self) -> Release:
        """The Release."""
        ...

    @property
    def package(self) -> Package:
        """Its package."""
        ...

    @property
    def documents(self) -> tuple[Mapping[str, Any], ...]:
        """Its Flux resources without `Finish`: the sources of its charts, OCIRepository first, and the HelmReleases."""
        ...


@dataclass(frozen=True, slots=True)
class NewContent:
    """The content of a Release that was compiled in this run."""

    rendered: Rendered
    documents: tuple[Mapping[str, Any], ...]

    @property
    def release(self) -> Release:
        """The Release."""
        return self.rendered.resolved.release

    @property
    def package(self) -> Package:
        """Its package."""
        return self.rendered.resolved.package


def documents_text(documents: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Return the resources of a Release as JSON; None for NaN, which JSON does not have.

    They consist of the types that JSON has: a HelmRelease is typed like Flux's Go type, and its maps are sorted.
    """
    try:
        return json.dumps(documents, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class PackedContent:
    """The content of a Release that a copy of this process has compiled; `packed` are its resources as JSON."""

    release: Release
    package: Package
    packed: bytes

    @property
    def documents(self) -> tuple[Mapping[str, Any], ...]:
        """Its Flux resources without `Finish`."""
        return tuple(json.loads(self.packed))


@dataclass(frozen=True, slots=True)
class CompiledRelease:
    """A Release with its Flux resources. `printed` is its Flux file without `Finish`, if it is known."""

    summary: Summary
    delivery: Delivery
    content: Content
    finish: Finish = NO_FINISH
    printed: bytes | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """`namespace/name`, the name in messages and reports."""
        return self.summary.key

    @property
    def release(self) -> Release:
        """The Release that was compiled."""
        return self.content.release

    @property
    def package(self) -> Package:
        """Its package."""
        return self.content.package

    @property
    def rendered(self) -> Rendered:
        """Its rendered templates; only of a Release that was compiled in this run."""
        assert isinstance(self.content, NewContent)
        return self.content.rendered

    @property
    def documents(self) -> tuple[Mapping[str, Any], ...]:
        """Its resources: the sources of its charts, OCIRepository first, and then the HelmReleases."""
        documents = self.content.documents
        return documents if self.finish == NO_FINISH else tuple(map(self.finish.applied, documents))

    @property
    def helm_releases(self) -> tuple[Mapping[str, Any], ...]:
        """Its documents that are HelmReleases."""
        return tuple(document for document in self.documents if document["kind"] == "HelmRelease")

    @property
    def chart_files(self) -> tuple[str, ...]:
        """The names of the files of the package through which Flux gets the charts."""
        return tuple(self.summary.charts)

    @property
    def written_charts(self) -> dict[str, ChartFile]:
        """The charts in the output by `hr/<namespace>/<release>/<file>`, sorted."""
        directory = f"hr/{self.summary.namespace}/{self.summary.name}"
        charts = self.summary.charts if self.delivery.writes_charts else {}
        return {f"{directory}/{name}": file for name, file in charts.items()}

    def charts(self) -> dict[str, bytes]:
        """Return the content of the charts in the output by their path, sorted."""
        files = self.package.files if self.delivery.writes_charts else {}
        return {path: files[path.rpartition("/")[2]] for path in self.written_charts}

    def with_documents(self, documents: tuple[Mapping[str, Any], ...]) -> CompiledRelease:
        """Return the Release with other resources, which nothing changes any more."""
        return replace(self, content=NewContent(self.rendered, documents), finish=NO_FINISH, printed=None)


@dataclass(frozen=True, slots=True)
class Compilation:
    """The compiled Releases of a cluster, in memory.

    `failed` are the sorted keys, `namespace/name`, of the Releases with errors; `broken` are those of them that were
    admitted. `complete` is False if a source could not be read and can contain other Releases. `files` are the source
    files of the Releases, Contexts and Configs; they are unknown for a revision. `unknown_hosts` are the host names
    that templates ask for and that have no address. `existing_namespaces` are those that the output does not create,
    with what creates them; None if it creates none at all.
    """

    cluster: Cluster
    releases: tuple[CompiledRelease, ...]
    failed: tuple[str, ...]
    broken: Mapping[str, Release]
    complete: bool
    files: frozenset[Path] = frozenset()
    unknown_hosts: frozenset[str] = frozenset()
    existing_namespaces: Mapping[str, str] | None = None
    state: Any = None  # the `KnownReleases` of the pipeline, if there are any

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all Releases."""
        return frozenset((*(one.key for one in self.releases), *self.failed))
