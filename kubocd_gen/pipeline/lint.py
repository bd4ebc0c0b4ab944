"""`kcd-gen lint`: what compiles here and now, and would not everywhere, or not tomorrow.

The sources are compiled as a build does it, so that all its errors and warnings are told, too. Nothing is written, and
no output is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kubocd_gen.compiler.helm_release import helm_release_name
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, Severity
from kubocd_gen.helm.engine import Helm
from kubocd_gen.model.compilation import CompiledRelease, RenderedModule, Resolved
from kubocd_gen.model.project import LOCK_FILE, Cluster, Project
from kubocd_gen.model.releases import Release
from kubocd_gen.packages.lock import Lock
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline import compile_cluster
from kubocd_gen.pipeline.build import Built
from kubocd_gen.pipeline.package_rendering import Texts
from kubocd_gen.pipeline.packages import vendor_layout
from kubocd_gen.pipeline.portability import Surroundings, template_problems
from kubocd_gen.pipeline.template_sources import of_package, of_release, packages_of

RULES = (
    "dns-function",
    "empty-lookup",
    "floating-tag",
    "helm-dependent",
    "literal-secret",
    "long-name",
    "not-locked",
    "unordered-list",
    "unsupported-function",
    "unused-context",
    "variable-in-manifest",
    "varying-function",
)
"""The codes that may be ignored. They are warnings or notes; the same code as an error stays one."""

_IN_TEMPLATES = ("template-error", "template-parse", "unsupported-function", "varying-function")
_FLOATING = "canary dev devel develop edge head latest main master nightly snapshot stable"
_HELM_NAME = 53  # of a Helm release, in characters
_LOCK = "run 'kcd-gen lock' and commit what it writes"
_LABEL = 63  # Flux writes a HelmRelease's name into a label


def lint(
    project: Project,
    packages: PackageSources,
    helm: Helm,
    *,
    lock: Lock | None,
    jobs: int,
    ignore: Collection[str] = (),
) -> list[Built]:
    """What was found in each cluster, in the order of the project; `ignore` are RULES that are not to be told."""
    vendored = _vendored(project)
    surroundings = Surroundings(hosts=project.hosts, helm=lock.helm if lock else None)

    def linted(cluster: Cluster) -> Built:
        findings = Problems(cluster.name)

        def inspect(resolved: Sequence[Resolved], texts: Mapping[str, Texts], findings: Problems) -> None:
            _templates(resolved, texts, surroundings, findings)
            for problem in _tags(resolved, lock, vendored):
                findings.warning(problem)

        compilation = compile_cluster(project, cluster, packages, helm, findings, inspect=inspect)
        for compiled in compilation.releases:
            for problem in _names(compiled):
                findings.warning(problem, release=compiled.release.key)
        told = tuple(one for one in findings if one.severity == "error" or one.code not in ignore)
        return Built(compilation, None, told)

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        try:
            return list(pool.map(linted, project.clusters))
        except BaseException:
            packages.close()  # the pool waits for its threads
            raise


def _vendored(project: Project) -> frozenset[str]:
    """The packages in the vendor layout; what is wrong with that the compilation says."""
    layout = vendor_layout(project)
    try:
        return frozenset(layout.references()) if layout else frozenset()
    except ProblemsError:
        return frozenset()


def _templates(
    resolved: Sequence[Resolved], texts: Mapping[str, Texts], surroundings: Surroundings, findings: Problems
) -> None:
    """The problems in templates; one of a package is told once, and none in a line in which the compilation failed."""
    failed = {(one.position.path, one.position.line) for one in findings if one.code in _IN_TEMPLATES and one.position}

    def tell(severity: Severity, problem: Problem, release: str | None = None) -> None:
        position = problem.position
        if position is None or (position.path, position.line) not in failed:
            (findings.note if severity == "note" else findings.warning)(problem, release=release)

    for one in resolved:
        for template in of_release(one.release):
            for severity, problem in template_problems(template, surroundings):
                tell(severity, problem, one.release.key)
    for reference, package in packages_of(resolved).items():
        for template in of_package(package, texts[reference]):
            for severity, problem in template_problems(template, surroundings):
                tell(severity, problem)


def _tags(resolved: Sequence[Resolved], lock: Lock | None, vendored: Collection[str]) -> Iterator[Problem]:
    """The packages that neither lock nor vendor layout ties to an image: each that a lock lacks, else their number.

    A tag that is there to be moved is told by itself.
    """
    users: dict[str, Resolved] = {}  # the first Release of each package
    for one in resolved:
        users.setdefault(one.package.reference, one)
    loose = []
    for reference, one in users.items():
        place = partial(one.release.position, "spec", "package", "tag")
        pinned = lock is not None and reference in lock.packages
        if lock is not None and not pinned:
            yield Problem("not-locked", f"package {reference} is not in {LOCK_FILE}", position=place(), hint=_LOCK)
        elif not pinned and reference not in vendored:
            loose.append(one)
        if not pinned and reference not in vendored and one.source.tag.lower() in _FLOATING.split():
            yield Problem(
                "floating-tag",
                f"the tag '{one.source.tag}' is there to be moved: another build may get another package",
                position=place(),
                hint=f"name a version, or let {LOCK_FILE} pin the image: kcd-gen lock",
            )
    if loose:
        first, others = loose[0], len(loose) - 1
        also = f"; so it is with {others} other package{'' if others == 1 else 's'}" if others else ""
        yield Problem(
            "not-locked",
            f"there is no {LOCK_FILE}: a build takes what the tag stands for at that time{also}",
            position=first.release.position("spec", "package", "tag"),
            hint=_LOCK,
        )


def _names(compiled: CompiledRelease) -> Iterator[Problem]:
    """Names that Flux can't live with, and those that Helm will refuse once the module is deployed."""
    release, package = compiled.release, compiled.rendered.resolved.package
    for module in compiled.rendered.package.modules:
        name = helm_release_name(release, module.name)
        position = release.position("metadata", "name")
        deployed = module.enabled and not release.suspended  # then a build refuses it
        if len(name) > _LABEL:
            yield Problem(
                "long-name",
                f"the HelmRelease '{name}' has a name of {len(name)} characters, and Flux keeps silent about one over "
                f"{_LABEL}",
                position=position,
                hint=f"shorten the Release's name by {len(name) - _LABEL}, or the module's in package {package.label}",
            )
        elif len(name) > _HELM_NAME and not (deployed or _names_itself(release, module)):
            then = "the Release is resumed" if release.suspended else f"the module '{module.name}' is enabled"
            yield Problem(
                "long-name",
                f"the name '{name}' has {len(name)} characters, and Helm takes {_HELM_NAME}: an error once {then}",
                position=position,
                hint="shorten the Release's name, or set 'releaseName' in a specPatch",
            )


def _names_itself(release: Release, module: RenderedModule) -> bool:
    """Whether a patch sets the name of the Helm release."""
    patches = [module.spec_patch, *(one.spec_patch for one in release.overrides if one.module == module.name)]
    return any(isinstance(patch, Mapping) and any(key.lower() == "releasename" for key in patch) for patch in patches)
