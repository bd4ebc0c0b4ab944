"""Compare two compilations by Release and resource, and with `--charts` also what their charts render to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.compiler.installed_charts import installed_chart
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.compiler.value_changes import changes
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diffing.dangers import helm_release_dangers, kept_dangers, release_dangers, uninstallation
from kubocd_gen.diffing.records import Danger, ReleaseDifference, ReleaseSide, ResourceDifference, Status
from kubocd_gen.helm.manifests import Installation, template
from kubocd_gen.helm.process import HelmPool
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.model.compilation import Compilation, CompiledRelease
from kubocd_gen.model.project import Cluster
from kubocd_gen.pipeline.kept_sources import keeps_sources
from kubocd_gen.pipeline.suspended import Suspended, Written

Document = Mapping[str, Any]
Documents = Sequence[Document]
Identity = tuple[str, str, str]  # kind, namespace, name
Manifests = Mapping[tuple[str, Identity, int], Document]  # by API group, identity, and number if there are several
# The digest of the package's index: it differs whenever the package does, so it is not worth showing.
_DERIVED = ("metadata", "annotations", "reconcile.fluxcd.io/requestedAt")
_ORDER = ("OCIRepository", "HelmRepository", "ArtifactGenerator", "HelmRelease")


def compare_clusters(
    cluster: str,
    old: Compilation | None,
    new: Compilation | None,
    manifests: Mapping[str, Sequence[ResourceDifference]],
    masks: Masks,
    unknown: Collection[str] = (),
) -> list[ReleaseDifference]:
    """Return the Releases of a cluster that differ: first the removed ones, then all others, by namespace and name.

    Flux uninstalls a removed Release. So it does one that is renamed or moved, and then installs it again.

    `old` or `new` is None if the cluster does not exist on that side. `manifests` are the differences between the
    rendered charts, by `namespace/name` of the Release. HelmReleases of the Releases in `unknown` are omitted, because
    these are suspended and their previous output is unknown.
    """
    before, after = _releases(old), _releases(new)
    found = []
    for key in sorted({*before, *after}, key=lambda one: one.split("/")):
        known = key not in unknown
        one = _compare(cluster, key, before.get(key), after.get(key), manifests.get(key, ()), masks, known=known)
        if one is not None:
            found.append(one)
    removed = [one for one in found if one.status == "removed"]
    added = [one for one in found if one.status == "added"]
    uninstalled = [
        replace(one, dangers=(Danger(*uninstallation(one, removed, added), cluster, one.key), *one.dangers))
        for one in removed
    ]
    return [*uninstalled, *(one for one in found if one.status != "removed")]


def delivery_note(old: Cluster, new: Cluster) -> Problem | None:
    """Return what another `delivery` means for the cluster, None if it is the same. Measured on real controllers."""
    before, after = old.delivery.mode, new.delivery.mode
    if before == after:
        return None
    suffixed = [mode in ("oci", "artifact") for mode in (before, after)]
    effect = "the version of its chart gets a suffix" if suffixed[1] else "the version of its chart loses its suffix"
    what = f"each HelmRelease is upgraded once, because {effect}" if any(suffixed) else "nothing is upgraded"
    message = f"cluster '{new.name}': charts reach Flux by 'delivery: {after}' instead of '{before}'; {what}"
    position = new.delivery_place() if new.delivery_place else None
    return Problem("delivery-changed", message, position, "see docs/delivery.md for the order of the steps")


def _releases(compilation: Compilation | None) -> dict[str, CompiledRelease]:
    return {one.key: one for one in compilation.releases} if compilation else {}


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
    sides = [_resources(one) for one in (old, new)]
    for identity in sorted({*sides[0], *sides[1]}, key=lambda one: (_ORDER.index(one[0]), one[1:])):
        kind, namespace, name = identity
        if kind == "HelmRelease" and not known:
            continue
        first, second = (side.get(identity) for side in sides)
        if kind == "HelmRelease" and old is not None and new is not None and old.delivery.mode != new.delivery.mode:
            # Each has the same chart from another source, which the added and removed sources show.
            first, second = (one and {**one, "spec": _spec(one, side)} for one, side in ((first, old), (second, new)))
        difference = _difference(identity, first, second, masks)
        if first is not None and second is not None and kind == "HelmRelease":
            # Even if it is the same: its chart can be another one, in the source that it refers to.
            changed = difference.changes if difference else ()
            dangers += helm_release_dangers(name, namespace, _spec(first, old), _spec(second, new), changed)
        if difference is None:
            continue
        resources.append(difference)
        if after is not None and after.suspended and kind == "HelmRelease":
            dangers += kept_dangers(name, difference.status, _spec(second, new) or _spec(first, old))
    if before == after and not resources and not manifests:
        return None
    namespace, _, name = key.partition("/")
    found = tuple(Danger(code, message, cluster, key) for code, message in dict.fromkeys(dangers))
    return ReleaseDifference(cluster, namespace, name, before, after, (*resources, *manifests), found)


def _spec(document: Document | None, one: CompiledRelease | None) -> Document:
    """Return the spec of a HelmRelease with name and version of its chart, however it refers to the chart."""
    if document is None or one is None:
        return {}
    chart = installed_chart(document, one.documents, one.package.files)
    spec = {key: value for key, value in document["spec"].items() if key != "chartRef"}
    return {**spec, "chart": {"spec": {"chart": chart.name, "version": chart.version}}}


def _resources(one: CompiledRelease | None) -> dict[Identity, Document]:
    return {
        (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]): document
        for document in (one.documents if one else ())
    }


def _difference(
    identity: Identity, old: Document | None, new: Document | None, masks: Masks, rendered_by: str | None = None
) -> ResourceDifference | None:
    if old is None or new is None:
        status: Status = "added" if old is None else "removed"
        whole = masks.value(new if old is None else old)
        return ResourceDifference(*identity, status, rendered_by=rendered_by, value=whole)
    found = tuple(one for one in changes(old, new, masks=masks) if rendered_by or one.path != _DERIVED)
    return ResourceDifference(*identity, "changed", found, rendered_by) if found else None


def _side(one: CompiledRelease | None) -> ReleaseSide | None:
    if one is None:
        return None
    charts = {}
    for document in one.helm_releases:
        chart = installed_chart(document, one.documents, one.package.files)
        charts[document["metadata"]["name"]] = f"{chart.name} {chart.version}".strip()
    summary = one.summary
    return ReleaseSide(summary.image, summary.digest, summary.protected, summary.suspended, charts)


def _is_suspended(*sides: CompiledRelease | None) -> bool:
    """Return whether the Release is suspended on a side.

    The HelmReleases of this side are from an earlier build then, and its package does not necessarily contain their
    charts.
    """
    return any(one is not None and one.summary.suspended for one in sides)


def with_written(
    old: Compilation | None,
    new: Compilation | None,
    outputs: tuple[Written | None, Written | None],
    problems: Problems,
) -> tuple[Compilation | None, Compilation | None, frozenset[str]]:
    """Return both sides with the written HelmReleases of suspended Releases, and the Releases where these are unknown.

    `outputs` are None for a side without a readable output. A Release that becomes suspended keeps the HelmReleases
    that the old side has written, regardless of its sources, so the new side is compared with those. HelmReleases that
    the new side cannot keep are an error in `problems`.
    """
    sides = [_releases(side) for side in (old, new)]
    found: tuple[dict[str, Documents], dict[str, Documents]] = {}, {}
    unknown = set[str]()
    pairs = {key: (sides[0].get(key), sides[1].get(key)) for key in sorted({*sides[0], *sides[1]})}
    suspended = {key: pair for key, pair in pairs.items() if _is_suspended(*pair)}
    if outputs[0] is not None:
        outputs[0].prepare(before.release for before, _ in suspended.values() if before is not None)
    for key, (before, after) in suspended.items():
        first = _old(before, outputs[0]) if before else ()
        second: Documents | None = ()
        if after is not None and after.summary.suspended:
            second = _new(after, outputs[1], problems)
            if second is None and first is not None and outputs[0] is not None:
                second = ()  # the file was removed
        if first is None or second is None:
            unknown.add(key)
            continue
        if before is not None:
            found[0][key] = first
        if after is not None and after.summary.suspended:
            found[1][key] = second
    return _with(old, found[0]), _with(new, found[1]), frozenset(unknown)


def _old(one: CompiledRelease, output: Written | None) -> Documents | None:
    """Return the HelmReleases that the old side has written; none if its file is invalid; None if not known."""
    try:
        written = output.documents(Suspended.of(one)) if output else None
    except ProblemsError as error:
        if error.problem.code != "suspended-output":
            raise
        return ()
    if written is None and not one.summary.suspended:
        return one.documents if keeps_sources(one.delivery) else one.helm_releases
    return () if written is None and output else written


def _new(one: CompiledRelease, output: Written | None, problems: Problems) -> Documents | None:
    try:
        return output.documents(Suspended.of(one)) if output else None
    except ProblemsError as error:
        problems.error(error, release=one.key)
        return None


def _with(compilation: Compilation | None, written: Mapping[str, Documents]) -> Compilation | None:
    """Return the compilation with the HelmReleases of some Releases replaced."""
    if compilation is None or not written:
        return compilation
    return replace(compilation, releases=tuple(_keeping(one, written) for one in compilation.releases))


def _keeping(one: CompiledRelease, written: Mapping[str, Documents]) -> CompiledRelease:
    if one.key not in written:
        return one
    sources = [document for document in one.documents if document["kind"] != "HelmRelease"]
    if keeps_sources(one.delivery):
        sources = []
    return one.with_documents((*sources, *written[one.key]))


def compare_manifests(
    old: Compilation | None,
    new: Compilation | None,
    helm: HelmPool,
    problems: tuple[Problems, Problems],
    masks: Masks,
) -> dict[str, list[ResourceDifference]]:
    """Return the resources of charts that differ, by the key of the Release.

    A chart is only rendered if its archive, values or other inputs differ. If it is not in the package, this is a note;
    if helm can't render it, this is an error. Both are added to the `problems` of a side.
    """
    before, after = _releases(old), _releases(new)
    pairs = []
    for key in sorted({*before, *after}):
        both = (before.get(key), after.get(key))
        names = {document["metadata"]["name"] for one in both if one for document in one.helm_releases}
        for name in () if _is_suspended(*both) else sorted(names):
            installations = [_installation(one, name) for one in both]
            if installations[0] == installations[1]:
                continue
            if problem := _from_elsewhere(name, installations, both):
                problems[1].note(problem, release=key)
            else:
                pairs.append((key, name, list(zip(both, installations, strict=True))))
    with ThreadPoolExecutor(max_workers=helm.jobs) as pool:
        sides = [[pool.submit(_manifests, helm, name, *side) for side in both] for _, name, both in pairs]
        rendered = [[one.result() for one in futures] for futures in sides]
    found: dict[str, list[ResourceDifference]] = {}
    for (key, name, _), both_sides in zip(pairs, rendered, strict=True):
        for one, side in zip(both_sides, problems, strict=True):
            if isinstance(one, Problem):
                side.error(one, release=key)
        first, second = both_sides
        if isinstance(first, Problem) or isinstance(second, Problem):
            continue
        for identity in sorted({*first, *second}):
            difference = _difference(identity[1], first.get(identity), second.get(identity), masks, name)
            if difference is not None:
                found.setdefault(key, []).append(difference)
    return found


def _installation(one: CompiledRelease | None, name: str) -> Installation | None:
    """Return what the HelmRelease `name` of a Release installs, None if it does not exist."""
    documents = [document for document in (one.helm_releases if one else ()) if document["metadata"]["name"] == name]
    if one is None or not documents:
        return None
    spec = documents[0]["spec"]
    files = one.package.files
    chart = installed_chart(documents[0], one.documents, files)
    install = spec.get("install") or {}
    return Installation(
        archive=files.get(chart.file, b""),
        release_name=spec.get("releaseName") or name,
        namespace=spec.get("targetNamespace") or documents[0]["metadata"]["namespace"],
        values=spec.get("values") or {},
        crds=install.get("crds") != "Skip" and not install.get("skipCRDs"),
    )


def _from_elsewhere(
    name: str, installations: Sequence[Installation | None], sides: Sequence[CompiledRelease | None]
) -> Problem | None:
    """Return a note if a HelmRelease takes its chart from another source than its package, because a patch says so."""
    for one, side in zip(installations, sides, strict=True):
        if one is not None and side is not None and not one.archive:
            message = f"HelmRelease '{name}': its chart is not in the package, so its manifests are not compared"
            position = side.release.position("metadata", "name")
            return Problem("chart-not-in-package", message, position, "compare what it renders with 'helm template'")
    return None


def _manifests(
    helm: HelmPool, name: str, one: CompiledRelease | None, installation: Installation | None
) -> Manifests | Problem:
    """Return what a chart renders to, or the problem if helm can't render it."""
    if one is None or installation is None:
        return {}
    try:
        return read_manifests(template(helm, installation), name, installation.namespace, helm.budget)
    except ProblemsError as error:
        return replace(
            error.problem,
            message=f"HelmRelease '{name}': {error.problem.message}",
            position=one.release.position("metadata", "name"),
            hint=error.problem.hint or "omit --charts to compare only its values",
        )


def read_manifests(text: str, name: str, namespace: str, budget: Budget) -> Manifests:
    """Return the resources in `text`, what the chart of the HelmRelease `name` renders to in `namespace`."""
    found: dict[tuple[str, Identity, int], Document] = {}
    counts: Counter[tuple[str, Identity]] = Counter()
    for document in read_documents(text, name, budget=budget):
        if document.error is not None:
            message = f"the rendered chart is not valid YAML: {document.error.problem.message}"
            raise ProblemsError.of("chart-failed", message)
        for resource in _items(document.value):
            metadata = resource.get("metadata")
            metadata = metadata if isinstance(metadata, Mapping) else {}
            group, slash, _ = str(resource.get("apiVersion", "")).partition("/")
            identity = (
                str(resource.get("kind", "")),
                str(metadata.get("namespace") or namespace),
                str(metadata.get("name") or metadata.get("generateName") or ""),
            )
            key = (group if slash else "", identity)
            found[*key, counts[key]] = resource
            counts[key] += 1
    return found


def _items(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        return ()
    items = value.get("items")
    if value.get("kind") == "List" and isinstance(items, list):
        return [item for item in items if isinstance(item, Mapping)]
    return [value]
