"""The last step: the Flux resources of each Release, and `dependsOn` between Releases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubocd_gen.compiler.ordering import Absence, Party, order_by_roles
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.files.paths import FilePath, checkout_root, shown_path
from kubocd_gen.model.compilation import (
    ChartFile,
    Compilation,
    CompiledRelease,
    NewContent,
    Rendered,
    Summary,
    collecting,
)
from kubocd_gen.model.finishing import Finish, requesting
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.model.resources import Config, Release
from kubocd_gen.oci.descriptors import sha256
from kubocd_gen.pipeline.kept_sources import keeps_sources
from kubocd_gen.pipeline.suspended_providers import WrittenOutput, notes_of, still_provided
from kubocd_gen.schema.names import LABEL, SUBDOMAIN, is_label, is_subdomain
from kubocd_gen.sources.cluster_resources import ClusterResources

if TYPE_CHECKING:
    from kubocd_gen.compiler.settings import Settings


def assemble(
    resources: ClusterResources,
    settings: Settings,
    rendered: Sequence[Rendered],
    project: Project,
    cluster: Cluster,
    problems: Problems,
    *,
    complete: bool,
    written: WrittenOutput,
) -> Compilation:
    """Assemble the Flux resources of all Releases. Releases that failed in an earlier step are in `failed`.

    `written` returns the output of an earlier build, from which the HelmReleases of suspended Releases are kept.
    """
    configs = sorted(resources.configs, key=lambda config: config.name)
    charts_path = path_in_source(cluster, project) or "."  # a build refuses an output outside of the source
    compiled: list[CompiledRelease] = []
    for one in rendered:
        _warn_of_unknown_overrides(one, problems)
        with collecting(problems, one.resolved.release):
            compiled.append(_compile(one, settings, configs, cluster, project, charts_path))
    _warn_of_names(compiled, problems)
    compiled = _without_clashes(compiled, problems)
    if project.dependencies == "order":
        compiled = _ordered(resources, compiled, settings, problems, written)
    compiled_keys = {one.key for one in compiled}
    records = (*resources.releases, *resources.contexts, *resources.configs)
    broken = {release.key: release for release in resources.releases if release.key not in compiled_keys}
    return Compilation(
        cluster=cluster,
        releases=tuple(compiled),
        failed=tuple(sorted({*resources.failed, *broken})),
        broken=broken,
        complete=complete,
        files=frozenset(path.absolute for one in records if isinstance(path := one.resource.file.path, FilePath)),
    )


def _compile(
    one: Rendered,
    settings: Settings,
    configs: Sequence[Config],
    cluster: Cluster,
    project: Project,
    charts_path: str,
) -> CompiledRelease:
    from kubocd_gen.compiler.delivery import deliver
    from kubocd_gen.compiler.flux_objects import helm_release, helm_repository, oci_repository
    from kubocd_gen.compiler.helm_release import helm_release_specs

    release, package, delivery = one.resolved.release, one.resolved.package, cluster.delivery
    protected = release.protected if release.protected is not None else package.protected
    interval = release.package["interval"]
    # The HelmReleases of a suspended Release are neither created nor changed, so their errors do not matter.
    specs: Sequence[tuple[str, Mapping[str, Any]]] = (
        []
        if release.suspended
        else helm_release_specs(release, package, one.package, settings, configs, interval, cluster.flux_version)
    )
    documents = list[Mapping[str, Any]]()
    # A suspended Release keeps the sources of its HelmReleases, unless these sources are for all versions of a chart.
    is_kept = release.suspended and keeps_sources(delivery)
    emitted = delivery.needs_package_image if project.emit_oci_repository is None else project.emit_oci_repository
    if emitted and not is_kept:
        pinned = package.digest if project.pin_digest else None
        image = oci_repository(release, one.resolved.source, interval, protected=protected, digest=pinned)
        # A change of the annotation makes Flux look the tag up at once, if it was moved.
        documents.append(requesting(image, package.digest) if delivery.mode == "artifact" else image)
    if delivery.has_server:
        digest = sha256(package.files["index.yaml"])
        documents.append(helm_repository(release, cluster.repository_url, interval, digest, protected=protected))
        files = [name for name in sorted(package.files) if name == "index.yaml" or name.endswith(".tgz")]
    else:
        delivered = deliver(
            release,
            package,
            delivery,
            specs,
            interval=interval,
            charts_path=f"{charts_path}/hr/{release.namespace}/{release.name}",
            protected=protected,
        )
        documents += delivered.sources
        specs, files = delivered.specs, list(delivered.files)
    _check_sources(release, documents, cluster)
    documents += [helm_release(release, name, spec, protected=protected) for name, spec in specs]
    return CompiledRelease(
        _summary(one, documents, files, protected=protected), delivery, NewContent(one, tuple(documents))
    )


def _summary(
    one: Rendered, documents: Sequence[Mapping[str, Any]], files: Sequence[str], *, protected: bool
) -> Summary:
    resolved, release, package = one.resolved, one.resolved.release, one.resolved.package
    return Summary(
        namespace=release.namespace,
        name=release.name,
        suspended=release.suspended,
        protected=protected,
        deploys=not release.suspended and any(module.enabled for module in one.package.modules),
        roles=tuple(sorted({*one.package.roles, *release.roles})),
        dependencies=tuple(sorted({*one.package.dependencies, *release.dependencies})),
        package=package.label,
        image=release.image,
        digest=package.digest,
        origin=resolved.source.origin,
        description=release.description or one.package.description,
        usage=one.package.usage,
        contexts=tuple(map(str, resolved.contexts)),
        resources=tuple(_created(documents)),
        charts={name: _chart_file(package.files[name]) for name in files},
    )


def _created(documents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, namespace and name of everything that the resources of a Release create."""
    for document in documents:
        metadata = document["metadata"]
        yield document["kind"], metadata["namespace"], metadata["name"]
        if document["kind"] == "ArtifactGenerator":
            for artifact in document["spec"]["artifacts"]:
                yield "ExternalArtifact", metadata["namespace"], artifact["name"]


@lru_cache(maxsize=4096)
def _chart_file(data: bytes) -> ChartFile:
    """Return the digest of a chart, which many Releases of a package share."""
    return ChartFile(hashlib.sha256(data).hexdigest(), len(data))


def _check_sources(release: Release, documents: Sequence[Mapping[str, Any]], cluster: Cluster) -> None:
    """Raise ProblemsError if the cluster's version of Flux rejects a resource from which the HelmReleases get charts.

    Specs of HelmReleases are validated with the positions of their layers. Names are warnings: see `_warn_of_names`.
    """
    from kubocd_gen.schema.flux import violations

    problems = [
        violation.problem(
            f"{document['kind']} {quoted(document['metadata']['name'])}: {dotted(violation.path)} {violation.message}",
            release.position("spec", "package"),
        )
        for document in documents
        for violation in violations(document, cluster.flux_version)
        if violation.path[:1] != ("metadata",)
    ]
    if problems:
        raise ProblemsError(*problems)


def path_in_source(cluster: Cluster, project: Project) -> str | None:
    """Return the path of the cluster's output in Flux's source: `./deploy/prod`, relative to the repository's root.

    Returns None if no repository contains the output. A revision's files are in a temporary directory without Git,
    which is the root of its checkout.
    """
    output = Path(os.path.realpath(cluster.output))
    top = checkout_root(output) or project.files.root
    return f"./{os.path.relpath(output, top)}".removesuffix("/.") if output.is_relative_to(top) else None


def outside_git(cluster: Cluster) -> Problem:
    """Return the error for an output with charts that is in no Git repository."""
    position = cluster.delivery_place() if cluster.delivery_place else None
    message = (
        f"cluster '{cluster.name}': 'delivery: git' needs an output in a Git repository, whose root is that of Flux's "
        f"source, but '{shown_path(cluster.output)}' is in none"
    )
    hint = "run 'git init' where the root of the repository is, or choose an output in a repository"
    return Problem("no-repository", message, position, hint)


def _warn_of_unknown_overrides(one: Rendered, problems: Problems) -> None:
    """Warn of overrides of unknown modules. KuboCD ignores them, but most often the name is misspelled."""
    release, package = one.resolved.release, one.resolved.package
    known = [module.name for module in package.modules]
    for index, override in enumerate(release.overrides):
        if override.module not in known:
            message = (
                f"the override of module '{override.module}' has no effect: package {package.label} has no such module"
            )
            position = release.position("spec", "moduleOverrides", index, "module")
            close = nearest("did you mean '{}'?", override.module, known)
            hint = close or f"its modules are: {', '.join(known)}"
            problems.warning(Problem("unknown-module-override", message, position, hint), release=release.key)


def _warn_of_names(compiled: Sequence[CompiledRelease], problems: Problems) -> None:
    """Warn of names that packages and patches result in, and that Kubernetes or Helm rejects. KuboCD accepts any."""
    for one in compiled:
        package = one.summary.package
        for document in one.documents:
            kind, name = document["kind"], document["metadata"]["name"]
            for field, text, is_valid, rule in _names_in(document):
                if is_valid(text):
                    continue
                message = f"the {field} of {kind} {quoted(name)} must be {rule}, not {quoted(text)}"
                hint = f"correct it in the Release, in package {package}, or in the patch that sets it"
                position = one.release.position("metadata", "name")
                problems.warning(Problem("invalid-name", message, position, hint), release=one.key)


def _names_in(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Callable[[str], bool], str]]:
    """Yield the names in a resource: what each is, the name, whether it is valid, and the rule."""
    yield "name", document["metadata"]["name"], is_subdomain, SUBDOMAIN
    if document["kind"] == "HelmRelease":
        spec = document["spec"]
        if spec.get("releaseName") != document["metadata"]["name"]:
            yield "releaseName", spec.get("releaseName", "a"), is_subdomain, SUBDOMAIN
        for field in ("targetNamespace", "storageNamespace"):
            yield field, spec.get(field, "a"), is_label, LABEL


def _without_clashes(compiled: Sequence[CompiledRelease], problems: Problems) -> list[CompiledRelease]:
    """Return the Releases whose resources are unique; report the others as `duplicate-resource`."""
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
    settings: Settings,
    problems: Problems,
    written: WrittenOutput,
) -> list[CompiledRelease]:
    """Return the Releases with `dependsOn` on the HelmReleases that provide the roles they depend on."""
    parties, absent = [], dict[str, Absence]()
    kept = still_provided(compiled, settings.cluster_roles, written)
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
    for release in resources.releases:
        if release.key not in compiled_keys:
            absence = Absence(f"{release.key} would provide it, but has errors", release.key)
            absent.update(dict.fromkeys(release.roles, absence))
    unread = sorted({*resources.failed, *(release.key for release in resources.releases)} - compiled_keys)
    order = order_by_roles(parties, settings.cluster_roles, absent, unread)
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
