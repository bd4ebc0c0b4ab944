"""Each Release with its package and its context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubocd_gen.compiler.contexts import ContextTrees, select_contexts
from kubocd_gen.compiler.images import PackageSourceSpec, package_source
from kubocd_gen.compiler.package_schema import validate
from kubocd_gen.compiler.settings import Settings, combine_configs
from kubocd_gen.diagnostics import Findings, KcdError, KcdErrors, Position
from kubocd_gen.packages.manifest import Package, read_package
from kubocd_gen.packages.reference import Reference, parse_reference
from kubocd_gen.packages.source import PackageImage, PackageSources
from kubocd_gen.pipeline.records import Resolved
from kubocd_gen.sources.fleet import Fleet
from kubocd_gen.sources.records import ContextRef, Release


def settings_of(fleet: Fleet, findings: Findings) -> Settings | None:
    """The cluster's Configs as one; None where one is invalid, which stops every Release."""
    broken = list(fleet.broken_configs)
    if not broken:
        try:
            return combine_configs(fleet.configs, fleet.kubocd_namespace)
        except KcdErrors as errors:
            broken.append(errors)
    for one in broken:
        findings.error(one)
        for release in fleet.releases:
            findings.error(one, release=release.key)
    return None


def resolve(fleet: Fleet, settings: Settings, packages: PackageSources, findings: Findings) -> list[Resolved]:
    """The Releases of `fleet` whose package is there and whose context is whole and fits the package's schema."""
    trees = ContextTrees(fleet.contexts, fleet.broken_contexts)
    found = _packages(fleet.releases, settings, packages, findings)
    resolved = []
    for release in fleet.releases:
        if release.key not in found:
            continue
        source, package = found[release.key]
        try:
            resolved.append(_resolve(release, source, package, settings, trees, fleet))
        except KcdErrors as errors:
            findings.error(errors, release=release.key)
    return resolved


def _packages(
    releases: Sequence[Release], settings: Settings, packages: PackageSources, findings: Findings
) -> Mapping[str, tuple[PackageSourceSpec, Package]]:
    """The package of each Release, by the Release's key."""
    wanted: dict[str, tuple[Release, PackageSourceSpec, Reference]] = {}
    for release in releases:
        at = release.position("spec", "package", "repository")
        try:
            source = package_source(release, settings)
            wanted[release.key] = release, source, parse_reference(f"{source.repository}:{source.tag}")
        except KcdError as error:
            findings.error(_at(error, at), release=release.key)
    images = packages.fetch_all(reference for _, _, reference in wanted.values())
    read: dict[Reference, Package | KcdErrors] = {reference: _read(image) for reference, image in images.items()}
    found = {}
    for key, (release, source, reference) in wanted.items():
        package = read[reference]
        if isinstance(package, KcdErrors):
            at = release.position("spec", "package", "tag")
            findings.error(KcdErrors(_at(error, at) for error in package.errors), release=key)
        else:
            found[key] = source, package
    return found


def _read(image: PackageImage | KcdError) -> Package | KcdErrors:
    if isinstance(image, KcdError):
        return KcdErrors([image])
    try:
        return read_package(image)
    except KcdErrors as errors:
        return errors


def _at(error: KcdError, position: Position) -> KcdError:
    """The error, placed at `position` where it has no place of its own."""
    if error.position is not None:
        return error
    error.position = position
    return error


def _resolve(
    release: Release,
    source: PackageSourceSpec,
    package: Package,
    settings: Settings,
    trees: ContextTrees,
    fleet: Fleet,
) -> Resolved:
    config = fleet.configs[-1].position("spec") if fleet.configs else release.position("spec")
    refs, positions = select_contexts(release, settings, trees, config)
    schema = package.context_schema
    context = trees.together(refs, positions, schema.defaults if schema else {})
    if schema is not None:
        violations = validate(schema, context)
        if violations:
            raise KcdErrors(
                KcdError(
                    f"the context does not fit package {package.label}: {violation.message}",
                    code=violation.code,
                    position=trees.place(refs, violation.path) or release.position("spec", "contexts"),
                    hint=violation.hint or _merged_from(refs),
                )
                for violation in violations
            )
    return Resolved(release, package, source, refs, context)


def _merged_from(refs: Sequence[ContextRef]) -> str:
    return f"the context is merged from {', '.join(map(str, refs))}" if refs else "the Release has no context"
