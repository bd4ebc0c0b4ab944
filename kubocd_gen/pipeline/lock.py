"""`kcd-gen lock` and `kcd-gen vendor`: which packages a project's sources want, pinned, and copied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from kubocd_gen.budget.limits import Limits
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, nearest
from kubocd_gen.model.project import LOCK_FILE, Project
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.oci.reference import Reference, parse_reference
from kubocd_gen.packages.chart_index import IndexedChart, indexed_charts
from kubocd_gen.packages.cosign import Cosign, verify_signature
from kubocd_gen.packages.image import read_parts
from kubocd_gen.packages.lock import Lock, Pin, changed_charts
from kubocd_gen.packages.remote import Remote, RemoteBlobs
from kubocd_gen.packages.source import PackageImage, PackageRequest, PackageSources
from kubocd_gen.pipeline import read_cluster
from kubocd_gen.pipeline.resolution import wanted_packages

_MINOR = re.compile(r"[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package that Releases ask for: how, from where in the sources, and how its signature is to be checked.

    `verifications` are the distinct `verify` blocks of the Releases (or of the redirects of Config that stand in).
    """

    request: PackageRequest
    position: Position
    verifications: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return str(self.request.reference)


@dataclass(frozen=True, slots=True)
class Move:
    """A package whose pin changes; None where it had none before, has none any more, or is not known."""

    name: str
    old: Pin | None
    new: Pin | None


def wanted_by(project: Project, findings: Problems) -> tuple[list[Wanted], bool]:
    """Every package of every cluster, by name, and whether the sources could be read to the last Release."""
    found: dict[str, Wanted] = {}
    whole = True
    for cluster in project.clusters:
        here = Problems(cluster.name)
        resources, settings, complete = read_cluster(project, cluster, here)
        for release, source, request in wanted_packages(resources.releases, settings, here) if settings else ():
            name = str(request.reference)
            known = found.get(name)
            blocks = known.verifications if known else ()
            block = source.fields.get("verify")
            if block is not None and block not in blocks:
                blocks = (*blocks, block)
            place = known.position if known else release.position("spec", "package", "tag")
            found[name] = Wanted(known.request if known else request, place, blocks)
        whole = whole and complete and not any(one.severity == "error" for one in here)
        findings.take(here)
    return [found[name] for name in sorted(found)], whole


def chosen(wanted: Sequence[Wanted], names: Iterable[str]) -> set[str]:
    """The packages that a user means by `names`: a reference, its repository, or the repository's last part.

    Raises ProblemsError `unknown-package` for a name that fits none.
    """
    meant = set()
    for name in names:
        fitting = {one.name for one in wanted if name in _spellings(one.request.reference)}
        if not fitting:
            known = {spelling for one in wanted for spelling in _spellings(one.request.reference)}
            raise ProblemsError(
                Problem(
                    "unknown-package",
                    f"no Release asks for a package '{name}'",
                    hint=nearest("did you mean '{}'?", name, known) or f"{LOCK_FILE} lists those that are",
                )
            )
        meant |= fitting
    return meant


def lock_packages(
    wanted: Sequence[Wanted],
    old: Lock,
    packages: PackageSources,
    findings: Problems,
    *,
    update: Callable[[str], bool],
    prune: bool,
    allow_chart_change: bool = False,
) -> tuple[Mapping[str, Pin], list[Move]]:
    """The pins of all `wanted`, and what moved against `old`; problems go to `findings`.

    A package that has a pin keeps it unless `update` says so of its name. With `prune`, pins that nobody wants go.
    """
    asked = [one for one in wanted if one.name not in old.packages or update(one.name)]
    fetched = packages.fetch_all(one.request for one in asked)
    fresh: dict[str, Pin] = {}
    for one in asked:
        got = fetched[one.request].package
        if isinstance(got, ProblemsError):
            findings.error(got.at(one.position))
            continue
        pin = _pin(got)
        before = old.packages.get(one.name)
        changed = changed_charts(before, pin) if before and not allow_chart_change else []
        for chart in changed:
            findings.error(_changed_chart(one, chart))
        fresh[one.name] = pin
    names = {one.name for one in wanted}
    pins = {name: pin for name, pin in old.packages.items() if name in names or not prune} | fresh
    moves = [
        Move(name, old.packages.get(name), pins.get(name))
        for name in sorted({*old.packages, *pins})
        if old.packages.get(name) != pins.get(name)
    ]
    return pins, moves


def stale_packages(wanted: Sequence[Wanted], lock: Lock, *, prune: bool) -> list[Move]:
    """The packages that the lock lacks, which are not looked at, and with `prune` those in it that nobody wants."""
    names = {one.name for one in wanted}
    stale = names ^ lock.packages.keys() if prune else names - lock.packages.keys()
    return [Move(name, lock.packages.get(name), None) for name in sorted(stale)]


def verify_packages(
    wanted: Sequence[Wanted], pins: Mapping[str, Pin], cosign: Cosign, findings: Problems, *, jobs: int
) -> None:
    """Check the signature of every pinned package whose Releases ask for it; problems go to `findings`."""
    checks = [(one, block) for one in wanted if one.name in pins for block in one.verifications]

    def check(one: Wanted, block: Mapping[str, Any]) -> ProblemsError | None:
        request = one.request
        try:
            digest = pins[one.name].manifest.digest
            verify_signature(request.reference, digest, block, cosign, request.access)
        except ProblemsError as error:
            return error.at(one.position)
        return None

    with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(checks)))) as pool:
        for error in pool.map(lambda pair: check(*pair), checks):
            if error is not None:
                findings.error(error)


def vendor_packages(
    lock: Lock,
    wanted: Sequence[Wanted],
    layout: OciLayout,
    writer: LayoutWriter,
    remote: Remote,
    findings: Problems,
    *,
    limits: Limits,
    jobs: int,
) -> list[str]:
    """Copy every locked package into the layout; the names of those that it did not have so. Problems to `findings`.

    `layout` and `writer` are one folder, read and written.
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
    with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(names)))) as pool:
        try:
            outcomes = list(pool.map(copy, names))
        except BaseException:
            remote.close()
            raise
    for outcome in outcomes:
        if isinstance(outcome, ProblemsError):
            findings.error(outcome)
    return [name for name, outcome in zip(names, outcomes, strict=True) if outcome is True]


def other_helm(lock: Lock | None, version: str) -> Problem | None:
    """The problem where another minor version of helm is in use than the lock was made with."""
    if lock is None or lock.helm is None or lock.helm == minor(version):
        return None
    return Problem(
        "other-helm",
        f"{LOCK_FILE} was written with helm {lock.helm}, and this is helm {version}",
        hint=f"another helm may print other bytes: use helm {lock.helm}, or run 'kcd-gen lock' and review what changes",
    )


def minor(version: str) -> str | None:
    """`3.17` of `3.17.3`; None for a version of another shape."""
    found = _MINOR.match(version)
    return found.group() if found else None


def _vendor(
    reference: Reference, pin: Pin, layout: OciLayout, writer: LayoutWriter, blobs: RemoteBlobs, limits: Limits
) -> bool:
    def copy(descriptor: Descriptor) -> bool:
        limit = limits.manifest if descriptor.is_manifest else limits.layer
        try:
            layout.read_blob(descriptor, limit=limit)
        except ProblemsError:  # missing, or damaged: the writer replaces it
            writer.put_blob(blobs.read_blob(descriptor, limit=limit), descriptor.media_type)
            return True
        return False

    copied = copy(pin.manifest)
    config, layer = read_parts(reference, pin.manifest, layout, limits)
    # The manifest is named last: who reads the layout meanwhile finds a whole image under a name, or no name.
    copied = copy(config) | copy(layer) | copied
    return writer.tag(reference, pin.manifest) or copied


def _pin(image: PackageImage) -> Pin:
    # Without annotations, such as a layer's title: the lock holds none, and a pin must equal what is read back.
    manifest, layer = (replace(one, annotations={}) for one in (image.manifest, image.layer))
    return Pin(manifest, layer, indexed_charts(image.files))


def _changed_chart(one: Wanted, chart: IndexedChart) -> Problem:
    return Problem(
        "changed-chart",
        f"the new {one.name} holds other bytes as chart {chart.name} {chart.version} than the locked one",
        position=one.position,
        hint="Flux would never roll it out; ask for a package whose chart has a version of its own, "
        "or take it with --allow-chart-change",
    )


def _spellings(reference: Reference) -> tuple[str, str, str]:
    repository = f"{reference.registry}/{reference.repository}"
    return str(reference), repository, repository.rpartition("/")[2]
