"""`kcd-gen lock` and `kcd-gen vendor`: find, pin and copy the packages of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

from kubocd_gen.budget.limits import Limits
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, has_errors, nearest, shown
from kubocd_gen.model.project import LOCK_FILE, Project
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.oci.reference import Reference, parse_reference
from kubocd_gen.packages.chart_index import indexed_charts
from kubocd_gen.packages.cosign import Cosign, verify_signature
from kubocd_gen.packages.image import PackageImage, read_parts
from kubocd_gen.packages.lock import Lock, Pin, changed_charts
from kubocd_gen.packages.remote import Remote, RemoteBlobs
from kubocd_gen.packages.source import PackageRequest, PackageSources
from kubocd_gen.pipeline import read_cluster
from kubocd_gen.pipeline.packages import closing_on_error
from kubocd_gen.pipeline.removals import mass_removal
from kubocd_gen.pipeline.resolution import wanted_packages

Vendored = Literal["copied", "unchanged", "failed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package that Releases use: the request, its first position in the sources, and how to verify its signature.

    `verifications` are the distinct `verify` blocks of the Releases, or of the Config redirects that replace them.
    """

    request: PackageRequest
    position: Position
    verifications: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return str(self.request.reference)


@dataclass(frozen=True, slots=True)
class Move:
    """A package whose pin changes. `old` or `new` is None if there is no such pin, or if it is not known."""

    name: str
    old: Pin | None
    new: Pin | None


def wanted_by(project: Project, problems: Problems) -> tuple[list[Wanted], bool]:
    """Return all packages of all clusters, sorted by name, and whether the sources were read completely."""
    found: dict[str, Wanted] = {}
    is_complete = True
    for cluster in project.clusters:
        cluster_problems = Problems(cluster.name)
        resources, settings, complete, *_ = read_cluster(project, cluster, cluster_problems)
        wanted = wanted_packages(resources.releases, settings, cluster_problems) if settings else ()
        for release, source, request in wanted:
            name = str(request.reference)
            known = found.get(name) or Wanted(request, release.position("spec", "package", "tag"))
            block = source.fields.get("verify")
            if block is not None and block not in known.verifications:
                known = replace(known, verifications=(*known.verifications, block))
            found[name] = known
        is_complete = is_complete and complete and not has_errors(cluster_problems)
        problems.take(cluster_problems)
    return [found[name] for name in sorted(found)], is_complete


def chosen(wanted: Sequence[Wanted], names: Iterable[str]) -> set[str]:
    """Return the names of the packages that match `names`: a reference, a repository, or the last part of a repository.

    Raises ProblemsError `unknown-package` for a name that matches no package.
    """
    spellings = {one.name: _spellings(one.request.reference) for one in wanted}
    selected = set()
    for name in names:
        matching = {one for one, spelled in spellings.items() if name in spelled}
        if not matching:
            known = {spelling for spelled in spellings.values() for spelling in spelled}
            raise ProblemsError.of(
                "unknown-package",
                f"no Release uses a package '{name}'",
                hint=nearest("did you mean '{}'?", name, known) or f"see {LOCK_FILE} for the packages in use",
            )
        selected |= matching
    return selected


def package_named(name: str, project: Project, problems: Problems) -> PackageRequest:
    """Return the package of a Release, `NAME` or `NAMESPACE/NAME`, or else the package with this name and any Release.

    The name of a package is its reference or repository, or the last part of either. Problems of the sources go to
    `problems` only if nothing is found. Raises ProblemsError `unknown-package`, and `ambiguous-package` if several
    packages match.
    """
    by_release: dict[str, set[PackageRequest]] = {}
    by_package: dict[str, set[PackageRequest]] = {}
    of_sources = Problems()
    for cluster in project.clusters:
        resources, settings, *_ = read_cluster(project, cluster, of_sources)
        for release, _, request in wanted_packages(resources.releases, settings, of_sources) if settings else ():
            for key in (release.name, release.key):
                by_release.setdefault(key, set()).add(request)
            for spelling in (*_spellings(request.reference), str(request.reference).rpartition("/")[2]):
                by_package.setdefault(spelling, set()).add(request)
    found = by_release.get(name) or by_package.get(name) or set()
    names = sorted({str(request.reference) for request in found})
    if not names:
        problems.take(of_sources)
        hint = nearest("did you mean '{}'?", name, [*by_release, *by_package])
        message = f"no Release or package of the project is called {shown(name)}"
        raise ProblemsError.of("unknown-package", message, hint=hint or "pass a reference registry/repository:tag")
    if len(names) > 1:
        message = f"{shown(name)} matches {len(names)} packages"
        raise ProblemsError.of("ambiguous-package", message, hint=f"use one of: {', '.join(names)}")
    return next(iter(found))


def lock_packages(
    wanted: Sequence[Wanted],
    old: Lock,
    packages: PackageSources,
    problems: Problems,
    *,
    update: Callable[[str], bool],
    prune: bool,
    allow_chart_change: bool = False,
) -> tuple[Mapping[str, Pin], list[Move]]:
    """Return the pins of all `wanted` packages and the changes since `old`. Problems go to `problems`.

    A package keeps its pin unless `update` returns True for its name. With `prune`, unused pins are removed.
    """
    requested = [one for one in wanted if one.name not in old.packages or update(one.name)]
    fetched = packages.fetch_all(one.request for one in requested)
    fresh: dict[str, Pin] = {}
    for one in requested:
        image = fetched[one.request].package
        if isinstance(image, ProblemsError):
            problems.error(image.at(one.position))
            continue
        pin = _pin(image)
        before = old.packages.get(one.name)
        for chart in changed_charts(before, pin) if before and not allow_chart_change else ():
            message = f"the new {one.name} contains a different chart {chart.name} {chart.version} than the locked one"
            hint = (
                "Flux does not roll out a chart with the same version; use a package whose chart has a new version, "
                "or accept it with --allow-chart-change"
            )
            problems.error(Problem("changed-chart", message, one.position, hint))
        fresh[one.name] = pin
    names = {one.name for one in wanted}
    pins = {name: pin for name, pin in old.packages.items() if name in names or not prune} | fresh
    moves = [
        Move(name, old.packages.get(name), pins.get(name))
        for name in sorted({*old.packages, *pins})
        if old.packages.get(name) != pins.get(name)
    ]
    return pins, moves


def refuse_mass_removal(before: Iterable[str], after: Iterable[str], allowed: int, subject: str) -> None:
    """Raise ProblemsError `mass-removal` if most of the packages `before` are not in `after`, in any version.

    Packages that are replaced by as many others, for example of another registry, are not removed.
    """
    old, new = ({name.rpartition(":")[0] for name in names} for names in (before, after))
    if len(new) >= len(old):
        return
    if error := mass_removal(old - new, len(old), allowed, subject, "package"):
        raise ProblemsError(error)


def stale_packages(wanted: Sequence[Wanted], lock: Lock, *, prune: bool) -> list[Move]:
    """Return the packages that the lock file lacks, without looking them up, and with `prune` its unused ones."""
    names = {one.name for one in wanted}
    stale = names ^ lock.packages.keys() if prune else names - lock.packages.keys()
    return [Move(name, lock.packages.get(name), None) for name in sorted(stale)]


def verify_packages(
    wanted: Sequence[Wanted], pins: Mapping[str, Pin], cosign: Cosign, problems: Problems, *, jobs: int
) -> None:
    """Verify the signatures of all pinned packages whose Releases require it. Problems go to `problems`."""
    checks = [(one, block) for one in wanted if one.name in pins for block in one.verifications]

    def check(one: Wanted, block: Mapping[str, Any]) -> ProblemsError | None:
        request = one.request
        try:
            verify_signature(request.reference, pins[one.name].manifest.digest, block, cosign, request.access)
        except ProblemsError as error:
            return error.at(one.position)
        return None

    with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(checks)))) as pool:
        for error in pool.map(lambda pair: check(*pair), checks):
            if error is not None:
                problems.error(error)


def vendor_packages(
    lock: Lock,
    wanted: Sequence[Wanted],
    layout: OciLayout,
    writer: LayoutWriter,
    remote: Remote,
    problems: Problems,
    *,
    limits: Limits,
    jobs: int,
) -> Mapping[str, Vendored]:
    """Copy every locked package into the vendor layout and return what was done with each, by name.

    A merge conflict in the layout's index is resolved first: the names of all locked packages are written again.
    `layout` and `writer` use the same directory. Problems go to `problems`.
    """
    access = {one.name: one.request.access for one in wanted}
    position = {one.name: one.position for one in wanted}

    def copy(name: str) -> bool | ProblemsError:
        try:
            reference = parse_reference(name)
            blobs = remote.blobs(reference, access.get(name, Access()))
            return _vendor(reference, lock.packages[name], layout, writer, blobs, limits)
        except ProblemsError as error:
            return error.at(position.get(name))

    names = sorted(lock.packages)
    writer.resolve_conflict(names)
    with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(names)))) as pool, closing_on_error(remote):
        outcomes = list(pool.map(copy, names))
    for outcome in outcomes:
        if isinstance(outcome, ProblemsError):
            problems.error(outcome)
    words: Mapping[object, Vendored] = {True: "copied", False: "unchanged"}
    return {name: words.get(outcome, "failed") for name, outcome in zip(names, outcomes, strict=True)}


def _vendor(
    reference: Reference, pin: Pin, layout: OciLayout, writer: LayoutWriter, blobs: RemoteBlobs, limits: Limits
) -> bool:
    def copy(descriptor: Descriptor) -> bool:
        limit = limits.manifest if descriptor.is_manifest else limits.layer
        try:
            layout.read_blob(descriptor, limit=limit)
        except ProblemsError as error:
            if error.problem.code != "corrupt-blob":
                raise
            # missing or damaged: replace it
            writer.put_blob(blobs.read_blob(descriptor, limit=limit), descriptor.media_type)
            return True
        return False

    copied = copy(pin.manifest)
    config, layer = read_parts(reference, pin.manifest, layout, limits)
    # Tag the manifest last, so that concurrent readers of the layout never see an incomplete image.
    copied = copy(config) | copy(layer) | copied
    return writer.tag(reference, pin.manifest) or copied


def _pin(image: PackageImage) -> Pin:
    # The lock file stores no annotations, such as a layer's title, and a pin must equal what is read back from it.
    manifest, layer = (replace(one, annotations={}) for one in (image.manifest, image.layer))
    return Pin(manifest, layer, indexed_charts(image.files))


def _spellings(reference: Reference) -> tuple[str, str, str]:
    repository = f"{reference.registry}/{reference.repository}"
    return str(reference), repository, repository.rpartition("/")[2]
