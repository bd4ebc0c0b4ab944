"""The compilation of one cluster's Releases: what an earlier run knows is restored, everything else is compiled."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from kubocd_gen.diagnostics.problems import Problem, Problems
from kubocd_gen.model.compilation import Compilation, CompiledRelease, Resolved
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.pipeline.assembly import assemble, unassembled
from kubocd_gen.pipeline.cluster_settings import report_broken_configs, settings_of
from kubocd_gen.pipeline.source_paths import path_in_source
from kubocd_gen.processes.timing import timed
from kubocd_gen.sources.cluster_resources import ClusterResources, admit_releases
from kubocd_gen.state.store import StateDoubtError

if TYPE_CHECKING:
    from kubocd_gen.compiler.settings import Settings
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.model.package import Package
    from kubocd_gen.model.resources import Release, Resource
    from kubocd_gen.packages.source import PackageRequest, PackageSources
    from kubocd_gen.pipeline.known_releases import KnownReleases, Restored
    from kubocd_gen.pipeline.merging import Shards
    from kubocd_gen.pipeline.rendering import Texts
    from kubocd_gen.pipeline.suspended import Written
    from kubocd_gen.pipeline.suspended_providers import WrittenOutput
    from kubocd_gen.state.store import State

_log = logging.getLogger("kubocd_gen.pipeline")

Inspect: TypeAlias = "Callable[[Sequence[Resolved], Mapping[str, Texts]], None]"


class Definitions(NamedTuple):
    """What a cluster's sources define, before its Releases are admitted.

    `complete` tells whether all sources were read: if not, there can be more Releases. `substituted` tells whether Flux
    substitutes variables in the cluster's output. `existing_namespaces` are those of a Compilation. `contents` are the
    digests of source files by their name, of those that a state can know.
    """

    resources: ClusterResources
    complete: bool
    substituted: bool
    existing_namespaces: Mapping[str, str] | None
    contents: Mapping[str, str]

    def restricted(self, wanted: Callable[[str], bool], default_namespace: str) -> Definitions:
        """Return the definitions with only the Releases whose key is `wanted`."""
        pending = (one for one in self.resources.pending if wanted(f"{one.namespace or default_namespace}/{one.name}"))
        return self._replace(resources=replace(self.resources, pending=tuple(pending)))


def admitted(
    resources: ClusterResources, default_namespace: str, problems: Problems
) -> tuple[ClusterResources, Settings | None]:
    """Return the resources with their Releases, and the settings; None if a Config is invalid."""
    resources = admit_releases(resources, default_namespace, problems)
    settings = settings_of(resources)
    if isinstance(settings, tuple):
        report_broken_configs(settings, resources, problems)
        return resources, None
    return resources, settings


@dataclass(frozen=True, slots=True)
class CompileRun:
    """The compilation of what `read` defines.

    If it is `partial`, other Releases are compiled elsewhere, so nothing that crosses Releases is computed. `shards`
    have compiled Releases elsewhere.
    """

    project: Project
    cluster: Cluster
    packages: PackageSources
    helm: Helm
    problems: Problems
    read: Definitions
    partial: bool = False
    shards: Shards | None = None

    def compile(self, state: State | None, written: WrittenOutput | None, inspect: Inspect | None) -> Compilation:
        """Return the compilation; see `compile_cluster`. Raises ProblemsError `bad-shard`, which ends the run."""
        settings = settings_of(self.read.resources)
        if isinstance(settings, tuple):
            resources, _ = admitted(self.read.resources, self.cluster.namespace, self.problems)
            return self._assembled(resources, (), frozenset(), written)
        known = self._known(state, settings) if state is not None else None
        if self.shards is not None and state is not None:
            self.shards.add_to(known, self, settings)
        restored = self._restored(known, settings) if known else {}
        if self.shards is not None:
            self.shards.note(self.cluster.name, restored)
        with timed(_log, "admit", self.cluster.name, level=logging.DEBUG):
            resources = admit_releases(self.read.resources, self.cluster.namespace, self.problems, restored.keys())
        from kubocd_gen.pipeline.secret_search import SecretSearch

        search = SecretSearch()
        search.left -= sum(one.searched for one in restored.values())
        has_definitions = known is not None and known.report_definitions(search, self.problems)
        compiled: Iterable[CompiledRelease] = ()
        unknown: frozenset[str] = frozenset()
        if resources.releases or not has_definitions:
            from kubocd_gen.pipeline.new_releases import NewReleases

            new = NewReleases(self, resources, settings, known, search)
            compiled, unknown = new.compile(inspect)
            if not has_definitions:
                new.check_definitions()
        if restored and not search.is_complete:
            raise StateDoubtError("the secrets that an earlier run has found depend on the order of the sources")
        if known is not None:
            known.report(restored, self.problems)
        if not self.partial:
            self._warn_of_unused(resources, restored, settings)
        every = [*compiled, *(one.compiled for one in restored.values())]
        compilation = self._assembled(
            resources, every, settings.cluster_roles, written, files=[one.file for one in restored.values()]
        )
        return replace(compilation, unknown_hosts=unknown, state=known)

    def _known(self, state: State, settings: Settings) -> KnownReleases | None:
        from kubocd_gen.packages.known import KnownPackages
        from kubocd_gen.pipeline.known_releases import KnownReleases

        packages = KnownPackages(state, self.packages)
        known = KnownReleases(
            state, self.project, self.cluster, packages, self.read.contents, str(self.helm.pool.binary)
        )
        return known if known.begin(self.read.resources, self.charts_path) else None

    @property
    def charts_path(self) -> str:
        """The path of the output in Flux's source; a build refuses an output outside of it."""
        return path_in_source(self.cluster, self.project) or "."

    def admitted_release(self, resource: Resource, settings: Settings) -> Release:
        """Return a Release as it is compiled. Raises ProblemsError."""
        from kubocd_gen.compiler.settings import with_package_interval
        from kubocd_gen.sources.admission import admit_release

        return with_package_interval(admit_release(resource, self.cluster.namespace), settings)

    def _restored(self, known: KnownReleases, settings: Settings) -> dict[str, Restored]:
        def admit(resource: Resource) -> Release:
            return self.admitted_release(resource, settings)

        def read_package(request: PackageRequest) -> Package:
            from kubocd_gen.pipeline.resolution import package_of

            return package_of(request, self.packages, self.project.budget)

        with timed(_log, "restore", self.cluster.name, level=logging.DEBUG):
            return known.restore(self.read.resources, self.project.budget, admit, read_package)

    def _warn_of_unused(
        self, resources: ClusterResources, restored: Mapping[str, Restored], settings: Settings
    ) -> None:
        from kubocd_gen.pipeline.unused_contexts import warn_of_unused

        if not (resources.releases or restored):
            return
        others = (ref for one in restored.values() for ref in one.contexts)
        warn_of_unused(resources, others, settings, self.problems, complete=self.read.complete)

    def _assembled(
        self,
        resources: ClusterResources,
        compiled: Sequence[CompiledRelease],
        cluster_roles: frozenset[str],
        written: WrittenOutput | None,
        files: Sequence[str] = (),
    ) -> Compilation:
        if self.partial:
            return unassembled(resources, compiled, self.cluster, complete=self.read.complete, files=files)

        def on_disk_output() -> Written | None:
            from kubocd_gen.pipeline.suspended import on_disk

            return on_disk(self.cluster.output, self.project)

        with timed(_log, "assemble", self.cluster.name, level=logging.DEBUG):
            return assemble(
                resources,
                compiled,
                cluster_roles,
                self.project,
                self.cluster,
                self.problems,
                complete=self.read.complete,
                written=written or on_disk_output,
                files=files,
            )


def problems_by_release(problems: Problems) -> Mapping[str, list[Problem]]:
    """Return the problems found so far by the key of their Release."""
    found: defaultdict[str, list[Problem]] = defaultdict(list)
    for one in problems.unordered():
        if one.release is not None:
            found[one.release].append(one)
    return found
