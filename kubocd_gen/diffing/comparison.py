"""Compare two compilations by Release and resource, and with `--charts` also what their charts render to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.compiler.value_changes import changes
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diffing.dangers import helm_release_dangers, kept_dangers, release_dangers
from kubocd_gen.diffing.records import Danger, ReleaseDifference, ResourceDifference, Side, Status
from kubocd_gen.helm.manifests import Installation, template
from kubocd_gen.helm.pool import HelmPool
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.model.compilation import Compilation, CompiledRelease
from kubocd_gen.pipeline.suspended import Document, Written

Identity = tuple[str, str, str]  # kind, namespace, name
# The digest of the package's index: it differs whenever the package does, so it is not worth showing.
_DERIVED = ("metadata", "annotations", "reconcile.fluxcd.io/requestedAt")
_ORDER = ("OCIRepository", "HelmRepository", "HelmRelease")
Documents = Sequence[Document]
Identity = tuple[str, str, str, str]  # API group, kind, namespace, name
Manifests = Mapping[Identity, Mapping[str, Any]]


def compare_clusters(
    cluster: str,
    old: Compilation | None,
    new: Compilation | None,
    manifests: Mapping[str, Sequence[ResourceDifference]],
    masks: Masks,
    unknown: Collection[str] = (),
) -> list[ReleaseDifference]:
    """Return the Releases of a cluster that differ, sorted by namespace and name.

    `old` or `new` is None if the cluster does not exist on that side. `manifests` are the differences between the
    rendered charts, by `namespace/name` of the Release. HelmReleases of the Releases in `unknown` are omitted, because
    these are suspended and their previous output is unknown.
    """
    before, after = (_releases(one) for one in (old, new))
    found = []
    for key in sorted({*before, *after}, key=lambda one: one.split("/")):
        known = key not in unknown
        one = _compare(cluster, key, before.get(key), after.get(key), manifests.get(key, ()), masks, known=known)
        if one is not None:
            found.append(one)
    return found


def helm_releases(one: CompiledRelease | None) -> dict[str, Mapping[str, Any]]:
    """Return the HelmReleases of a Release by name."""
    documents = one.documents if one else ()
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == "HelmRelease"}


def _releases(compilation: Compilation | None) -> dict[str, CompiledRelease]:
    return {one.release.key: one for one in compilation.releases} if compilation else {}


def _compare(
    cluster: str,
    key: str,
    old: CompiledRelease | None,
    new: CompiledRelease | None,
    manifests: Sequence[ResourceDifference],
    masks: Masks,
    *,
    known: bool,
) -> ReleaseDifference | None:
    before, after = _side(old), _side(new)
    dangers = list(release_dangers(before, after))
    resources = []
    for identity, first, second in _pairs(old, new):
        if identity[0] == "HelmRelease" and not known:
            continue
        difference = _resource(identity, first, second, masks)
        if difference is None:
            continue
        resources.append(difference)
        if after is not None and after.suspended and identity[0] == "HelmRelease":
            dangers += kept_dangers(identity[2], difference.status, first or second or {})
        if first is not None and second is not None and identity[0] == "HelmRelease":
            dangers += helm_release_dangers(identity[2], identity[1], first["spec"], second["spec"], difference.changes)
    if before == after and not resources and not manifests:
        return None
    namespace, _, name = key.partition("/")
    return ReleaseDifference(
        cluster,
        namespace,
        name,
        before,
        after,
        (*resources, *manifests),
        tuple(Danger(code, message, cluster, key) for code, message in dict.fromkeys(dangers)),
    )


def _pairs(
    old: CompiledRelease | None, new: CompiledRelease | None
) -> Iterator[tuple[Identity, Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """Yield the resources of both sides by identity, in the order of the output files."""
    sides = [_resources(one) for one in (old, new)]
    for identity in sorted({*sides[0], *sides[1]}, key=lambda one: (_ORDER.index(one[0]), one[1:])):
        yield identity, sides[0].get(identity), sides[1].get(identity)


def _resources(one: CompiledRelease | None) -> dict[Identity, Mapping[str, Any]]:
    return {
        (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]): document
        for document in (one.documents if one else ())
    }


def _resource(
    identity: Identity, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, masks: Masks
) -> ResourceDifference | None:
    if old is None or new is None:
        whole = masks.value(new if old is None else old)
        return ResourceDifference(*identity, "added" if old is None else "removed", value=whole)
    found = tuple(one for one in changes(old, new, masks=masks) if one.path != _DERIVED)
    return ResourceDifference(*identity, "changed", found) if found else None


def _side(one: CompiledRelease | None) -> Side | None:
    if one is None:
        return None
    charts = {}
    for name, document in helm_releases(one).items():
        chart = document["spec"].get("chart", {}).get("spec", {})
        charts[name] = f"{chart.get('chart', '')} {chart.get('version', '')}".strip()
    release = one.release
    package = one.rendered.resolved.package
    return Side(release.image, package.digest, one.protected, release.suspended, charts)


def with_written(
    old: Compilation | None,
    new: Compilation | None,
    outputs: tuple[Written | None, Written | None],
    findings: Problems,
) -> tuple[Compilation | None, Compilation | None, frozenset[str]]:
    """Return both sides with the written HelmReleases of suspended Releases, and the Releases where these are unknown.

    `outputs` are None for a side without a readable output. A Release that becomes suspended keeps the HelmReleases
    that the old side has written, regardless of its sources, so the new side is compared with those. HelmReleases that
    the new side cannot keep are an error in `findings`.
    """
    sides = [{one.release.key: one for one in side.releases} if side else {} for side in (old, new)]
    found: tuple[dict[str, Documents], dict[str, Documents]] = {}, {}
    unknown = set[str]()
    for key in sorted({*sides[0], *sides[1]}):
        before, after = sides[0].get(key), sides[1].get(key)
        if not any(one is not None and one.release.suspended for one in (before, after)):
            continue
        first = _old(before, outputs[0]) if before else ()
        second: Documents | None = ()
        if after is not None and after.release.suspended:
            second = _new(after, outputs[1], findings)
            if second is None and first is not None and outputs[0] is not None:
                second = ()  # the file was removed
        if first is None or second is None:
            unknown.add(key)
            continue
        if before is not None:
            found[0][key] = first
        if after is not None and after.release.suspended:
            found[1][key] = second
    return _with(old, found[0]), _with(new, found[1]), frozenset(unknown)


def _old(one: CompiledRelease, output: Written | None) -> Documents | None:
    """Return the HelmReleases that the old side has written; none if its file is invalid; None if not known."""
    try:
        written = output.helm_releases(one.release) if output else None
    except ProblemsError as error:
        if error.problem.code != "suspended-output":
            raise
        return ()
    if written is None and not one.release.suspended:
        return [document for document in one.documents if document["kind"] == "HelmRelease"]
    return () if written is None and output else written


def _new(one: CompiledRelease, output: Written | None, findings: Problems) -> Documents | None:
    try:
        return output.helm_releases(one.release) if output else None
    except ProblemsError as error:
        findings.error(error, release=one.release.key)
        return None


def _with(compilation: Compilation | None, written: Mapping[str, Documents]) -> Compilation | None:
    """Return the compilation with the HelmReleases of some Releases replaced."""
    if compilation is None or not written:
        return compilation
    releases = tuple(
        replace(one, documents=(*_sources(one), *written[one.release.key])) if one.release.key in written else one
        for one in compilation.releases
    )
    return replace(compilation, releases=releases)


def _sources(one: CompiledRelease) -> Documents:
    return [document for document in one.documents if document["kind"] != "HelmRelease"]


def compare_manifests(
    old: Compilation | None,
    new: Compilation | None,
    helm: HelmPool,
    findings: tuple[Problems, Problems],
    masks: Masks,
) -> dict[str, list[ResourceDifference]]:
    """Return the resources of charts that differ, by the key of the Release.

    A chart is only rendered if its archive, values or other inputs differ. If helm can't render a chart, it is not
    compared, and an error is added to the `findings` of that side.
    """
    before, after = (
        {one.release.key: one for one in compilation.releases} if compilation else {} for compilation in (old, new)
    )
    pairs = [
        (key, name, (before.get(key), after.get(key)))
        for key in sorted({*before, *after})
        for name in sorted({*helm_releases(before.get(key)), *helm_releases(after.get(key))})
        if not _same(before.get(key), after.get(key), name) and not _on_hold(before.get(key), after.get(key))
    ]
    with ThreadPoolExecutor(max_workers=helm.jobs) as pool:
        sides = [
            [pool.submit(_manifests, helm, one, name, findings[side]) for side, one in enumerate(both)]
            for _, name, both in pairs
        ]
        rendered = [tuple(one.result() for one in futures) for futures in sides]
    found: dict[str, list[ResourceDifference]] = {}
    for (key, name, _), (first, second) in zip(pairs, rendered, strict=True):
        if first is not None and second is not None:
            found.setdefault(key, []).extend(_compare(name, first, second, masks))
    return found


def _on_hold(old: CompiledRelease | None, new: CompiledRelease | None) -> bool:
    """Return whether a side is suspended.

    Its HelmReleases are from an earlier build then, and its package does not necessarily contain their charts.
    """
    return any(one is not None and one.release.suspended for one in (old, new))


def _same(old: CompiledRelease | None, new: CompiledRelease | None, name: str) -> bool:
    first, second = (_installation(one, name) for one in (old, new))
    return first == second


def _installation(one: CompiledRelease | None, name: str) -> Installation | None:
    document = helm_releases(one).get(name)
    if one is None or document is None:
        return None
    spec, metadata = document["spec"], document["metadata"]
    chart = spec["chart"]["spec"]
    install = spec.get("install") or {}
    return Installation(
        archive=one.rendered.resolved.package.files.get(f"{chart['chart']}-{chart.get('version')}.tgz", b""),
        release_name=spec.get("releaseName") or name,
        namespace=spec.get("targetNamespace") or metadata["namespace"],
        values=spec.get("values") or {},
        crds=install.get("crds") != "Skip" and not install.get("skipCRDs"),
    )


def _manifests(helm: HelmPool, one: CompiledRelease | None, name: str, findings: Problems) -> Manifests | None:
    installation = _installation(one, name)
    if one is None or installation is None:
        return {}
    try:
        return _read(template(helm, installation), name, installation.namespace, helm.budget)
    except ProblemsError as error:
        findings.error(
            Problem(
                error.problem.code,
                f"HelmRelease '{name}': {error.problem.message}",
                position=one.release.position("metadata", "name"),
                hint=error.problem.hint or "omit --charts to compare only its values",
            ),
            release=one.release.key,
        )
        return None


def _read(text: str, name: str, namespace: str, budget: Budget) -> Manifests:
    found: dict[Identity, Mapping[str, Any]] = {}
    for document in read_documents(text, name, budget=budget):
        if document.error is not None:
            raise ProblemsError.of(
                "chart-failed", f"the rendered chart is not valid YAML: {document.error.problem.message}"
            )
        for resource in _items(document.value):
            metadata = resource.get("metadata")
            metadata = metadata if isinstance(metadata, Mapping) else {}
            group, slash, _ = str(resource.get("apiVersion", "")).partition("/")
            label = str(metadata.get("name") or metadata.get("generateName") or "")
            identity = (
                group if slash else "",
                str(resource.get("kind", "")),
                str(metadata.get("namespace") or namespace),
                label,
            )
            while identity in found:
                identity = (*identity[:3], f"{identity[3]}'")
            found[identity] = resource
    return found


def _items(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        return ()
    items = value.get("items")
    if value.get("kind") == "List" and isinstance(items, list):
        return [item for item in items if isinstance(item, Mapping)]
    return [value]


def _compare(helm_release: str, old: Manifests, new: Manifests, masks: Masks) -> list[ResourceDifference]:
    found = []
    for identity in sorted({*old, *new}):
        _, kind, namespace, name = identity
        first, second = old.get(identity), new.get(identity)
        if first is None or second is None:
            whole = masks.value(second if first is None else first)
            status: Status = "added" if first is None else "removed"
            found.append(ResourceDifference(kind, namespace, name, status, rendered_by=helm_release, value=whole))
        elif changed := tuple(changes(first, second, masks=masks)):
            found.append(ResourceDifference(kind, namespace, name, "changed", changed, rendered_by=helm_release))
    return found
