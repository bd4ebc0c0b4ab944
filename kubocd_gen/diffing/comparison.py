"""Compare two compilations by Release and resource."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.compiler.value_changes import changes
from kubocd_gen.diffing.dangers import helm_release_dangers, kept_dangers, release_dangers
from kubocd_gen.diffing.records import Danger, ReleaseDifference, ResourceDifference, Side
from kubocd_gen.model.compilation import Compilation, CompiledRelease

Identity = tuple[str, str, str]  # kind, namespace, name
# The digest of the package's index: it differs whenever the package does, so it is not worth showing.
_DERIVED = ("metadata", "annotations", "reconcile.fluxcd.io/requestedAt")
_ORDER = ("OCIRepository", "HelmRepository", "HelmRelease")


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
