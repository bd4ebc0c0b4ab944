"""Find what keeps Flux from getting the charts, as far as the checkout shows it.

A cluster can have settings that are not in the checkout. Therefore only what Git itself says is an error; what depends
on Flux's settings is a warning, and is only found if the checkout has Flux's manifests.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path

from kubocd_gen.archives.chart_members import read_chart_archive
from kubocd_gen.budget.limits import MIB
from kubocd_gen.checkout.files import CONFIGURATION
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, shown
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.files.paths import checkout_root, display_path
from kubocd_gen.git.path_rules import Match, ignored_by_rules, ignored_paths, in_lfs
from kubocd_gen.git.repository import find_repository
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.pipeline.kustomizations import surroundings
from kubocd_gen.pipeline.source_paths import path_in_source
from kubocd_gen.sources.flux_sync import Surroundings, Sync, lies_below

_SHOWN = 3  # namespaces that a message names
_LARGEST_CHART = 10 * MIB  # the default of source-controller's --helm-chart-max-size
_LARGE_ARTIFACT = 50 * MIB  # a rule of thumb: source-controller writes, and other controllers fetch, this per commit
_VERSION = b".Chart.Version"
_SOURCE_IGNORE = ".sourceignore"
_GIT_OUTCOMES = ("git-missing", "no-repository")  # without these, nothing is known about ignored files


def check_delivery(project: Project, compilation: Compilation, problems: Problems) -> None:
    """Report what keeps Flux from getting the charts of a compiled cluster. Reads only files of the checkout."""
    cluster = compilation.cluster
    if not (cluster.delivery.depends_on_flux and compilation.releases):
        return
    around = surroundings(project, problems)
    if cluster.delivery.mode == "artifact":
        for problem in _missing_features(cluster, around):
            problems.warning(problem)
        return
    for problem in _other_source(project, cluster, around.syncs):
        problems.warning(problem)
    for problem in _cross_namespace(compilation, around):
        problems.warning(problem)
    charts = [path for one in compilation.releases for path in one.charts()]
    top = checkout_root(cluster.output)
    if not charts or top is None:
        return
    directory = os.path.relpath(os.path.realpath(cluster.output), top)
    paths = [posixpath.normpath(f"{directory}/{path}") for path in charts]
    try:
        for problem in _left_out_by_git(project, cluster, top, paths):
            problems.error(problem)
        for problem in _left_out_by_flux(project, cluster, top, paths, around):
            problems.warning(problem)
    except ProblemsError as error:
        if error.problem.code not in _GIT_OUTCOMES:
            raise


def delivery_notes(compilation: Compilation) -> Iterator[Problem]:
    """Yield what users should know about the charts of a cluster and their delivery, for `lint`."""
    mode, position = compilation.cluster.delivery.mode, _position(compilation.cluster)
    archives = {
        (one.package.digest, name): one.package.files[name]
        for one in compilation.releases
        for name in one.chart_files
        if name.endswith(".tgz")
    }
    for (_, name), data in sorted(archives.items()):
        if compilation.cluster.delivery.writes_charts and len(data) > _LARGEST_CHART:
            message = f"the chart {quoted(name)} has {len(data) / MIB:.1f} MiB, more than Flux loads by default"
            hint = "start source-controller with a larger --helm-chart-max-size"
            yield Problem("large-chart", message, position, hint)
    total = sum(map(len, archives.values()))
    if mode == "git" and total > _LARGE_ARTIFACT:
        message = f"Flux packs {total / MIB:.0f} MiB of charts into an artifact for each commit"
        hint = "use 'delivery: oci' if this is slow, because it keeps the charts out of Git"
        yield Problem("large-artifact", message, position, hint)
    if mode in ("oci", "artifact"):
        printing = sorted({name for (_, name), data in archives.items() if _prints_version(data, name)})
        if printing:
            names = ", ".join(printing[:_SHOWN]) + (" …" if len(printing) > _SHOWN else "")
            charts = "1 chart uses it" if len(printing) == 1 else f"{len(printing)} charts use it"
            message = f"Flux appends '+<digest>' to the version of a chart, and {charts} in templates: {names}"
            hint = "if pods have the version as a label, they restart when the digest changes; see docs/delivery.md"
            yield Problem("chart-version-suffix", message, position, hint)


def _prints_version(archive: bytes, name: str) -> bool:
    """Return whether a template of a chart, or of its subcharts, uses the version of the chart."""
    try:
        members = read_chart_archive(archive, describe=name)
    except ProblemsError:
        return False  # the packages were checked before: only its limits are others
    return any("/templates/" in one.path and _VERSION in one.data for one in members)


def _position(cluster: Cluster) -> Position | None:
    return cluster.delivery_place() if cluster.delivery_place else None


def _missing_features(cluster: Cluster, around: Surroundings) -> Iterator[Problem]:
    """Yield what the manifests of Flux's controllers lack, if the checkout has them (`gotk-components.yaml`)."""
    components = around.features.get("components")
    if components is None:
        return
    if "external-artifact" not in around.features:
        message = "'delivery: artifact' needs a feature gate of helm-controller that no manifest in the checkout sets"
        hint = "patch its Deployment with the argument --feature-gates=ExternalArtifact=true; see docs/delivery.md"
        yield Problem("missing-feature-gate", message, Position(components), hint)
    if "source-watcher" not in around.features:
        message = "'delivery: artifact' needs source-watcher, which is not among Flux's components in the checkout"
        hint = "add it with 'flux bootstrap … --components-extra=source-watcher' (Flux 2.7 or newer)"
        yield Problem("missing-feature-gate", message, Position(components), hint)


def _other_source(project: Project, cluster: Cluster, syncs: Iterable[Sync]) -> Iterator[Problem]:
    """Yield a problem if Flux applies the output from another source than the charts'."""
    path = posixpath.normpath(f"{path_in_source(cluster, project) or ''}/flux")
    applying = [one for one in syncs if lies_below(path, one.path) and not one.is_root]
    for one in applying[:1]:
        if one.source != cluster.delivery.source:
            message = (
                f"Flux applies the output of cluster '{cluster.name}' from {one.source} (see {one.file}), but the "
                f"HelmReleases take their charts from {cluster.delivery.source}"
            )
            yield Problem("other-flux-source", message, _position(cluster), f"set 'fluxSource: {one.source.flag}'")


def _cross_namespace(compilation: Compilation, around: Surroundings) -> Iterator[Problem]:
    file = around.features.get("no-cross-namespace")
    source = compilation.cluster.delivery.source
    namespaces = sorted({one.summary.namespace for one in compilation.releases} - {source.namespace})
    if file is None or not namespaces:
        return
    names = ", ".join(namespaces[:_SHOWN]) + (" …" if len(namespaces) > _SHOWN else "")
    message = f"{file} turns on --no-cross-namespace-refs, so HelmReleases in {names} can't take charts from {source}"
    hint = "use 'delivery: oci', whose sources are in the namespaces of the Releases"
    yield Problem("cross-namespace-source", message, _position(compilation.cluster), hint)


def _left_out_by_git(project: Project, cluster: Cluster, top: Path, paths: list[str]) -> Iterator[Problem]:
    """Yield the rules of Git that keep charts out of commits, each once."""
    repository = find_repository(top, offline=project.offline)
    directory = os.path.relpath(os.path.realpath(cluster.output), top)
    again = posixpath.normpath(f"/{directory}/hr/**")
    for match, count in _by_rule(ignored_paths(repository, paths)):
        position = Position(display_path(top / match.file, project.root), match.line, 1)
        message = f"the pattern {shown(match.pattern)} makes Git ignore {_charts(match, count)}, which Flux needs"
        hint = "remove the line"  # if it matches a directory, Git ignores what includes files in it again
        if not ignored_paths(repository, [f"{parent}/" for parent in _parents(match.path) if parent]):
            hint += f", or add '!{again}' at the end of .gitignore"
        yield Problem("chart-not-in-git", message, position, hint)
    pointers = in_lfs(repository, paths)
    if pointers:
        message = f"Git LFS would store {_charts(Match(pointers[0], '', 0, ''), len(pointers))} as pointers, and Flux "
        message += "does not fetch what they point to"
        position = Position(display_path(top / ".gitattributes", project.root))
        hint = "add '*.tgz -filter' for this directory to .gitattributes"
        yield Problem("chart-not-in-git", message, position, hint)


def _left_out_by_flux(
    project: Project, cluster: Cluster, top: Path, paths: list[str], around: Surroundings
) -> Iterator[Problem]:
    """Yield the rules that keep charts out of the artifact of source-controller, each once.

    These are the `.sourceignore` files on the way to the charts, and after them `spec.ignore` of the source object.
    """
    rules: dict[str, bytes] = {}
    parents = {parent for path in paths for parent in _parents(path)}
    for parent in sorted(parents):
        file = top / parent / _SOURCE_IGNORE
        if os.path.lexists(file):
            display = display_path(file, project.root)
            try:
                rules[parent] = project.files.read(file, display, CONFIGURATION)
            except OSError as error:
                message = f"cannot find out which charts Flux leaves out: {error.strerror or error}"
                hint = "make it a regular file that is not too large, or remove it"
                yield Problem("unreadable-source", message, Position(display), hint)
    names = {one: display_path(top / one / _SOURCE_IGNORE, project.root) for one in rules}
    own = rules.get("", b"")
    own += b"\n" if own and not own.endswith(b"\n") else b""
    ignoring = next((one for one in around.sources if one.source == cluster.delivery.source and one.ignore), None)
    if ignoring and ignoring.ignore:
        rules[""] = own + ignoring.ignore.encode()
    if not rules:
        return
    for match, count in _by_rule(ignored_by_rules(rules, paths, os.environ)):
        message = f"the pattern {shown(match.pattern)} makes Flux leave out {_charts(match, count)}"
        if ignoring and match.file == "" and match.line > own.count(b"\n"):
            position = ignoring.resource.position("spec", "ignore")
        else:
            position = Position(names[match.file], match.line, 1)
        yield Problem("chart-ignored-by-flux", message, position, "remove the pattern: Flux needs the charts")


def _parents(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _by_rule(matches: Iterable[Match]) -> Iterator[tuple[Match, int]]:
    """Yield the first match of each rule, and how many there are."""
    found: dict[tuple[str, int], list[Match]] = {}
    for one in matches:
        found.setdefault((one.file, one.line), []).append(one)
    for several in found.values():
        yield several[0], len(several)


def _charts(match: Match, count: int) -> str:
    return f"the chart {quoted(match.path)}" if count == 1 else f"{count} charts, such as {quoted(match.path)}"
