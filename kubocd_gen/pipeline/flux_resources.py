"""The Flux resources of each Release, one by one, from its rendered templates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kubocd_gen.compiler.delivery import deliver
from kubocd_gen.compiler.flux_objects import helm_release, helm_repository, oci_repository
from kubocd_gen.compiler.helm_release import helm_release_specs
from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.model.compilation import ChartFile, CompiledRelease, NewContent, Rendered, Summary, collecting
from kubocd_gen.model.finishing import requesting
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.model.resources import Config, Release
from kubocd_gen.oci.descriptors import sha256
from kubocd_gen.pipeline.kept_sources import keeps_sources
from kubocd_gen.schema.flux import violations
from kubocd_gen.schema.names import LABEL, SUBDOMAIN, is_label, is_subdomain


def compile_releases(
    rendered: Sequence[Rendered],
    settings: Settings,
    configs: Sequence[Config],
    project: Project,
    cluster: Cluster,
    charts_path: str,
    problems: Problems,
) -> list[CompiledRelease]:
    """Return the Releases with their Flux resources. The problems of the others go to `problems`.

    `charts_path` is the path of the cluster's output in Flux's source.
    """
    configs = sorted(configs, key=lambda config: config.name)
    compiled: list[CompiledRelease] = []
    for one in rendered:
        _warn_of_unknown_overrides(one, problems)
        with collecting(problems, one.resolved.release):
            compiled.append(_compile(one, settings, configs, cluster, project, charts_path))
    _warn_of_names(compiled, problems)
    return compiled


def _compile(
    one: Rendered,
    settings: Settings,
    configs: Sequence[Config],
    cluster: Cluster,
    project: Project,
    charts_path: str,
) -> CompiledRelease:
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
