"""`kcd-gen lint`: find sources that compile today but are not reproducible or portable.

The sources are compiled as in a build, so all of its errors and warnings are reported as well. The output is neither
read nor written.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kubocd_gen.compiler.helm_release import helm_release_name
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, has_errors
from kubocd_gen.helm.engine import Helm
from kubocd_gen.model.compilation import CompiledRelease, RenderedModule, Resolved
from kubocd_gen.model.project import LOCK_FILE, Cluster, Project
from kubocd_gen.model.resources import Release
from kubocd_gen.packages.lock import Lock
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline import compile_cluster
from kubocd_gen.pipeline.build import Built
from kubocd_gen.pipeline.delivery_checks import check_delivery, delivery_notes
from kubocd_gen.pipeline.namespaces import missing_target_namespaces
from kubocd_gen.pipeline.packages import closing_on_error, vendor_layout
from kubocd_gen.pipeline.portability import (
    Surroundings,
    TemplateText,
    package_templates,
    release_templates,
    template_problems,
)
from kubocd_gen.pipeline.rendering import Texts, packages_of
from kubocd_gen.processes.timing import timed

_log = logging.getLogger(__name__)

_IN_TEMPLATES = ("template-error", "template-parse", "unknown-host", "unsupported-function", "varying-function")
_FLOATING = frozenset(
    ("canary", "dev", "devel", "develop", "edge", "head", "latest", "main", "master", "nightly", "snapshot", "stable")
)
_HELM_NAME = 53  # longest name of a Helm release, in characters
_LOCK_HINT = f"run 'kcd-gen lock' and commit {LOCK_FILE}"
_LABEL = 63  # longest label value, which Flux uses for a HelmRelease's name


def lint(
    project: Project,
    packages: PackageSources,
    helm: Helm,
    *,
    lock: Lock | None,
    jobs: int,
    ignore: Collection[str] = (),
) -> list[Built]:
    """Check each cluster. Return the clusters in project order, without problems whose codes are in `ignore`."""
    vendored = _vendored(project)

    def linted(cluster: Cluster) -> Built:
        problems = Problems(cluster.name)
        surroundings = Surroundings(hosts=cluster.hosts, helm=lock.helm if lock else None)

        def inspect(resolved: Sequence[Resolved], texts: Mapping[str, Texts]) -> None:
            with timed(_log, "check templates", cluster.name, level=logging.DEBUG):
                _templates(resolved, texts, surroundings, problems)
            for problem in _tags(resolved, lock, vendored):
                problems.warning(problem)

        compilation = compile_cluster(project, cluster, packages, helm, problems, inspect=inspect, written=lambda: None)
        if not has_errors(problems):
            check_delivery(project, compilation, problems)
        for problem in delivery_notes(compilation):
            problems.note(problem)
        for compiled in compilation.releases:
            for problem in _names(compiled):
                problems.warning(problem, release=compiled.key)
        for release, problem in missing_target_namespaces(compilation):
            problems.warning(problem, release=release)
        reported = tuple(one for one in problems if one.severity == "error" or one.code not in ignore)
        return Built(compilation, None, reported)

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool, closing_on_error(packages):
        return list(pool.map(linted, project.clusters))


def _vendored(project: Project) -> frozenset[str]:
    """Return the references in the vendor layout; none if it is broken, which the compilation reports."""
    layout = vendor_layout(project)
    try:
        return frozenset(layout.references()) if layout else frozenset()
    except ProblemsError:
        return frozenset()


def _templates(
    resolved: Sequence[Resolved], texts: Mapping[str, Texts], surroundings: Surroundings, problems: Problems
) -> None:
    """Report the problems in templates: those of a package once, and none at a line where the compilation failed."""
    failed = {(one.position.path, one.position.line) for one in problems if one.code in _IN_TEMPLATES and one.position}

    def check(templates: Iterable[TemplateText], release: str | None = None) -> None:
        for template in templates:
            for problem in template_problems(template, surroundings):
                position = problem.position
                if position is None or (position.path, position.line) not in failed:
                    (problems.note if problem.severity == "note" else problems.warning)(problem, release=release)

    for one in resolved:
        check(release_templates(one.release), one.release.key)
    for reference, package in packages_of(resolved).items():
        check(package_templates(package, texts[reference]))


def _tags(resolved: Sequence[Resolved], lock: Lock | None, vendored: Collection[str]) -> Iterator[Problem]:
    """Yield problems of packages that neither the lock file nor the vendor layout ties to an image.

    With a lock file there is one for each missing package, without a lock file only one in all. Each tag with a name
    such as `latest`, which is meant to move, is reported as well.
    """
    users: dict[str, Resolved] = {}  # the first Release of each package
    for one in resolved:
        users.setdefault(one.package.reference, one)
    from_layout = {one.package.reference for one in resolved if _is_vendored(one, vendored)}
    loose = []
    for reference, one in users.items():
        position = partial(one.release.position, "spec", "package", "tag")
        pinned = lock is not None and reference in lock.packages
        if lock is not None and not pinned:
            yield Problem(
                "not-locked", f"package {reference} is not in {LOCK_FILE}", position=position(), hint=_LOCK_HINT
            )
        elif not pinned and reference not in from_layout:
            loose.append(one)
        if not pinned and reference not in from_layout and one.source.tag.lower() in _FLOATING:
            yield Problem(
                "floating-tag",
                f"the tag '{one.source.tag}' moves: each build can get a different package",
                position=position(),
                hint="use a version, or pin the digest with 'kcd-gen lock'",
            )
    if loose:
        first, others = loose[0], len(loose) - 1
        also = f" and of {others} other package{'' if others == 1 else 's'}" if others else ""
        yield Problem(
            "not-locked",
            f"{LOCK_FILE} does not exist, so each build looks up the tag of {first.package.reference}{also}",
            position=first.release.position("spec", "package", "tag"),
            hint=_LOCK_HINT,
        )


def _is_vendored(one: Resolved, vendored: Collection[str]) -> bool:
    """Return whether the vendor layout has the package, under its name as written or as redirected."""
    return one.package.reference in vendored or (
        one.source.origin is not None and one.source.origin.location == "vendor"
    )


def _names(compiled: CompiledRelease) -> Iterator[Problem]:
    """Yield problems of names that are too long for Flux, or that Helm will reject once the module is deployed."""
    release, package = compiled.release, compiled.package
    for module in compiled.rendered.package.modules:
        name = helm_release_name(release, module.name)
        position = release.position("metadata", "name")
        deployed = module.enabled and not release.suspended  # in this case the build reports an error
        if len(name) > _LABEL:
            yield Problem(
                "long-name",
                f"the HelmRelease name '{name}' has {len(name)} characters; Flux reports no status above {_LABEL}",
                position=position,
                hint=f"shorten the name of the Release, or of the module in {package.label}, by {len(name) - _LABEL}",
            )
        elif len(name) > _HELM_NAME and not (deployed or _names_itself(release, module)):
            then = "the Release is resumed" if release.suspended else f"the module '{module.name}' is enabled"
            yield Problem(
                "long-name",
                f"the name '{name}' has {len(name)} characters, but Helm accepts at most {_HELM_NAME}; "
                f"this is an error once {then}",
                position=position,
                hint="shorten the name of the Release, or set 'releaseName' in a specPatch",
            )


def _names_itself(release: Release, module: RenderedModule) -> bool:
    """Return whether a patch sets the name of the Helm release."""
    patches = [module.spec_patch, *(one.spec_patch for one in release.overrides if one.module == module.name)]
    return any(isinstance(patch, Mapping) and any(key.lower() == "releasename" for key in patch) for patch in patches)
