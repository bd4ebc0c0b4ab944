"""The last step: what crosses Releases, which are compiled or restored: unique names, and `dependsOn` by roles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from kubocd_gen.compiler.ordering import Absence, Party, order_by_roles
from kubocd_gen.diagnostics.problems import Position, Problem, Problems
from kubocd_gen.files.paths import FilePath
from kubocd_gen.model.compilation import Compilation, CompiledRelease
from kubocd_gen.model.finishing import Finish
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.model.resources import Release
from kubocd_gen.pipeline.suspended_providers import WrittenOutput, notes_of, still_provided
from kubocd_gen.sources.cluster_resources import ClusterResources


def assemble(
    resources: ClusterResources,
    compiled: Sequence[CompiledRelease],
    cluster_roles: frozenset[str],
    project: Project,
    cluster: Cluster,
    problems: Problems,
    *,
    complete: bool,
    written: WrittenOutput,
    files: Sequence[str] = (),
) -> Compilation:
    """Assemble the Releases of a cluster. Those that failed in an earlier step are in `failed`.

    `files` are the source files of Releases that are not in `resources`, because they were restored. `written` returns
    the output of an earlier build, from which the HelmReleases of suspended Releases are kept.
    """
    every = sorted(compiled, key=lambda one: (one.summary.namespace, one.summary.name))
    compiled = _without_clashes(every, problems)
    broken = _broken(resources, every, compiled)
    if project.dependencies == "order":
        compiled = _ordered(resources, compiled, broken.values(), cluster_roles, problems, written)
        broken = _broken(resources, every, compiled)
    return _compilation(resources, compiled, broken, cluster, complete=complete, files=files)


def unassembled(
    resources: ClusterResources,
    compiled: Sequence[CompiledRelease],
    cluster: Cluster,
    *,
    complete: bool,
    files: Sequence[str] = (),
) -> Compilation:
    """Return a compilation of these Releases; see `assemble`."""
    broken = _broken(resources, compiled, compiled)
    return _compilation(resources, compiled, broken, cluster, complete=complete, files=files)


def _compilation(
    resources: ClusterResources,
    compiled: Sequence[CompiledRelease],
    broken: Mapping[str, Release],
    cluster: Cluster,
    *,
    complete: bool,
    files: Sequence[str],
) -> Compilation:
    records = (*resources.releases, *resources.contexts, *resources.configs)
    files = [*files, *(one.resource.file.path for one in records)]
    return Compilation(
        cluster=cluster,
        releases=tuple(compiled),
        failed=tuple(sorted({*resources.failed, *broken})),
        broken=broken,
        complete=complete,
        files=frozenset(path.absolute for path in files if isinstance(path, FilePath)),
    )


def _broken(
    resources: ClusterResources, every: Sequence[CompiledRelease], valid: Sequence[CompiledRelease]
) -> dict[str, Release]:
    """Return the Releases that are not `valid` any more by their key: those of `resources`, and restored ones."""
    keys = {one.key for one in valid}
    broken = {release.key: release for release in resources.releases if release.key not in keys}
    return broken | {one.key: one.release for one in every if one.key not in keys and one.key not in broken}


def _without_clashes(compiled: Sequence[CompiledRelease], problems: Problems) -> list[CompiledRelease]:
    """Return the Releases whose resources are unique; report the others as `duplicate-resource`."""
    names = [name for one in compiled for name in one.summary.resources]
    if len({*names}) == len(names):  # nearly always
        return [*compiled]
    creators: dict[tuple[str, str, str], list[CompiledRelease]] = {}
    for one in compiled:
        for created in one.summary.resources:
            creators.setdefault(created, []).append(one)
    clashing: set[str] = set()
    for (kind, namespace, name), several in creators.items():
        if len(several) < 2:
            continue
        for one in several:
            clashing.add(one.key)
            others = [str(other.release.position("metadata", "name")) for other in several if other is not one]
            message = f"{one.key} would create the {kind} '{name}' in {namespace}, as would {' and '.join(others)}"
            hint = "rename one of the Releases or move it to another namespace"
            position = one.release.position("metadata", "name")
            problems.error(Problem("duplicate-resource", message, position, hint), release=one.key)
    return [one for one in compiled if one.key not in clashing]


def _ordered(
    resources: ClusterResources,
    compiled: Sequence[CompiledRelease],
    broken: Collection[Release],
    cluster_roles: frozenset[str],
    problems: Problems,
    written: WrittenOutput,
) -> list[CompiledRelease]:
    """Return the Releases with `dependsOn` on the HelmReleases that provide the roles they depend on."""
    parties, absent = [], dict[str, Absence]()
    kept = still_provided(compiled, cluster_roles, written)
    for one in compiled:
        key, summary, locate = one.key, one.summary, partial(_dependency, one)
        if key in kept:
            parties.append(Party(key, kept[key].roles, (), locate, kept[key].waits))
            continue
        if not summary.deploys:
            reason = "is suspended" if summary.suspended else "has no enabled module"
            absent.update(dict.fromkeys(summary.roles, Absence(f"{key} would provide it, but {reason}")))
        needs = () if summary.suspended else summary.dependencies
        parties.append(Party(key, summary.roles if summary.deploys else (), needs, locate))
    compiled_keys = {one.key for one in compiled}
    for release in sorted(broken, key=lambda release: (release.namespace, release.name)):
        absence = Absence(f"{release.key} would provide it, but has errors", release.key)
        absent.update(dict.fromkeys(release.roles, absence))
    unread = sorted({*resources.failed, *(release.key for release in broken)} - compiled_keys)
    order = order_by_roles(parties, cluster_roles, absent, unread)
    for key, errors in order.errors.items():
        problems.error(errors, release=key)
    for key, notes in order.notes.items():
        for note in notes:
            problems.note(note, release=key)
    for key, note in notes_of(kept, compiled, order):
        problems.note(note, release=key)
    names: dict[str, Sequence[Mapping[str, str]]] = {
        one.key: [
            {"name": name, "namespace": namespace}
            for kind, namespace, name in one.summary.resources
            if kind == "HelmRelease"
        ]
        for one in compiled
    }
    names |= {key: one.names for key, one in kept.items()}
    return [
        replace(one, finish=Finish(tuple(name for key in order.providers[one.key] for name in names[key])))
        for one in compiled
        if one.key in order.providers
    ]


def _dependency(one: CompiledRelease, role: str) -> Position:
    """Return where the Release depends on the role, or its package if the package has the dependency."""
    release = one.release
    if role in release.dependencies:
        return release.position("spec", "dependencies", release.dependencies.index(role))
    return release.position("spec", "package")
