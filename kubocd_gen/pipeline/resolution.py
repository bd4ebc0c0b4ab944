"""The step that finds the package and the context of each Release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError, Tallies
from kubocd_gen.compiler.contexts import ContextTrees, select_contexts
from kubocd_gen.compiler.settings import Settings, package_source, with_package_interval
from kubocd_gen.diagnostics.problems import Position, Problems, ProblemsError
from kubocd_gen.model.compilation import PackageSourceSpec, Resolved, collecting
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import Config, ContextRef, Release
from kubocd_gen.oci.endpoints import Access, InsecureSetting
from kubocd_gen.oci.reference import Reference, parse_reference
from kubocd_gen.packages.image import PackageImage
from kubocd_gen.packages.manifest import read_package
from kubocd_gen.packages.source import PackageRequest, PackageSources
from kubocd_gen.schema.durations import parse_duration
from kubocd_gen.schema.package_schema import validate
from kubocd_gen.sources.cluster_resources import ClusterResources


def resolve(
    resources: ClusterResources,
    settings: Settings,
    packages: PackageSources,
    problems: Problems,
    trees: ContextTrees,
    tallies: Tallies,
) -> list[Resolved]:
    """Return the Releases that have a package and a valid context. The problems of the others go to `problems`."""
    configs = sorted(resources.configs, key=lambda config: config.name)
    releases = [with_package_interval(release, settings) for release in resources.releases]
    found = find_packages(releases, settings, packages, problems, tallies.budget)
    resolved = []
    for release in releases:
        if release.key not in found:
            continue
        with collecting(problems, release):
            resolved.append(_resolve(release, *found[release.key], settings, trees, configs, tallies.of(release.key)))
    return resolved


def find_packages(
    releases: Sequence[Release],
    settings: Settings,
    packages: PackageSources,
    problems: Problems,
    budget: Budget | None = None,
) -> Mapping[str, tuple[PackageSourceSpec, Package]]:
    """Return the package of each Release by the Release's key. Problems go to `problems`."""
    wanted = wanted_packages(releases, settings, problems)
    named: dict[PackageRequest, Release] = {}  # the first Release that uses each package
    for release, _, request in wanted:
        named.setdefault(request, release)
    fetched = packages.fetch_all(named)
    read: dict[PackageRequest, Package | ProblemsError] = {}
    for request, release in named.items():
        read[request] = package = _read(fetched[request].package, packages, budget)
        # Problems are shared between clusters, so they have no position yet. Finding it parses the Release again.
        if isinstance(package, ProblemsError):
            read[request] = package.at(release.position("spec", "package", "tag"))
        for warning in fetched[request].warnings:
            problems.warning(warning.at(release.position("spec", "package", "tag")))
    found = {}
    for release, source, request in wanted:
        package = read[request]
        if isinstance(package, ProblemsError):
            problems.error(package, release=release.key)
        else:
            found[release.key] = replace(source, origin=fetched[request].origin), package
    return found


def wanted_packages(
    releases: Sequence[Release], settings: Settings, problems: Problems
) -> list[tuple[Release, PackageSourceSpec, PackageRequest]]:
    """Return the package request of each Release after Config's redirects. Invalid references go to `problems`."""
    wanted = []
    for release in releases:
        try:
            source = package_source(release, settings)
            reference = parse_reference(f"{source.repository}:{source.tag}")
        except ProblemsError as error:
            problems.error(error.at(release.position("spec", "package", "repository")), release=release.key)
        else:
            written = _written_reference(release)
            access = _access(source.fields, "release" if source.fields is release.package else "redirect")
            request = PackageRequest(reference, access, written if written != reference else None)
            wanted.append((release, source, request))
    return wanted


def _written_reference(release: Release) -> Reference | None:
    """Return the reference of the Release's package before redirects; None if it is not a valid one."""
    try:
        return parse_reference(release.image)
    except ProblemsError:
        return None


def _access(fields: Mapping[str, Any], setting: InsecureSetting) -> Access:
    """Return the registry access from the OCIRepository fields. Secrets are not available; messages name them."""
    timeout = parse_duration(fields.get("timeout", "0s")) / 1e9
    secrets = ("secretRef", "certSecretRef", "proxySecretRef")
    return Access(
        insecure=bool(fields.get("insecure", False)),
        timeout=timeout if timeout > 0 else None,
        provider=fields.get("provider") or "generic",
        secrets=tuple(f"{name} {fields[name]['name']}" for name in secrets if name in fields),
        setting=setting,
    )


def package_of(request: PackageRequest, packages: PackageSources, budget: Budget) -> Package:
    """Return the package of a request. Raises ProblemsError."""
    package = _read(packages.fetch_all([request])[request].package, packages, budget)
    if isinstance(package, ProblemsError):
        raise package
    return package


def _read(
    image: PackageImage | ProblemsError, packages: PackageSources, budget: Budget | None
) -> Package | ProblemsError:
    if isinstance(image, ProblemsError):
        return image
    try:
        return packages.package(image, partial(read_package, budget=budget))
    except ProblemsError as errors:
        return errors


def report_unnamed(resources: ClusterResources, trees: ContextTrees, problems: Problems) -> bool:
    """Report the problems of Contexts that no Release uses. Return whether a Context has any problem.

    The API server rejects malformed ones, so they are errors. It accepts those without variables or with missing
    parents, so these are warnings.
    """
    known = {(one.code, one.position) for one in problems.unordered()}
    found = False
    for ref in sorted({*resources.broken_contexts, *(context.ref for context in resources.contexts)}):
        report = problems.error if ref in resources.broken_contexts else problems.warning
        try:
            trees.effective(ref, partial(Position, str(ref)))
        except BudgetExceededError as error:
            problems.error(error)
            return True
        except ProblemsError as errors:
            found = True
            for problem in errors.problems:
                if (problem.code, problem.position) not in known:
                    report(problem)
                    known.add((problem.code, problem.position))
    return found


def _resolve(
    release: Release,
    source: PackageSourceSpec,
    package: Package,
    settings: Settings,
    trees: ContextTrees,
    configs: Sequence[Config],
    budget: Budget,
) -> Resolved:
    refs, positions = select_contexts(release, settings, trees, configs)
    schema = package.context_schema
    context = trees.together(refs, positions, schema.defaults if schema else {})
    if schema is not None:
        found = [
            violation.problem(
                f"the context does not match the schema of package {package.label}: {violation.message}",
                trees.position_of(refs, violation.path) or release.position("spec", "contexts"),
                _merged_from(refs),
            )
            for violation in validate(schema, context, budget)
        ]
        if found:
            raise ProblemsError(*found)
    return Resolved(release, package, source, refs, context)


def _merged_from(refs: Sequence[ContextRef]) -> str:
    if not refs:
        return "the Release has no Context: add one to 'spec.contexts', or to 'defaultContexts' of a Config"
    return f"the context is merged from the Context{'' if len(refs) == 1 else 's'} {', '.join(map(str, refs))}"
