"""The files that `kcd-gen init` writes for a checkout, planned in memory: the project, and all that works with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.checkout.files import PROJECT
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.editors.settings import SCHEMA_FILE, modeline
from kubocd_gen.files.paths import checkout_root, display_path
from kubocd_gen.model.project import PROJECT_FILE, Cluster, Flags, Project
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding import attributes
from kubocd_gen.scaffolding.checkout import Contents, find_contents
from kubocd_gen.scaffolding.ci import HOOKS_FILE, ci_files, hook
from kubocd_gen.scaffolding.editor import EDITOR_FOLDER, editor_files
from kubocd_gen.scaffolding.files import Addition, ScaffoldFile, path_below, present
from kubocd_gen.scaffolding.hosting import GITHUB_WORKFLOWS, GITLAB_FILE, CiSystem, Hosting, find_hosting
from kubocd_gen.scaffolding.installation import InstallSource
from kubocd_gen.scaffolding.pattern_lines import pattern_file
from kubocd_gen.scaffolding.project_file import found_project, project_text
from kubocd_gen.scaffolding.server import Wish, plan
from kubocd_gen.server.flux_sync import Sync, find_syncs
from kubocd_gen.server.placement import Placement, place
from kubocd_gen.server.service import service_of
from kubocd_gen.sources.project_file import load_project, project_path

EXAMPLE = "releases.yaml"


@dataclass(frozen=True, slots=True)
class RepositoryWish:
    """What the user says. `cluster_name` is for a cluster to which nothing else gives a name.

    Without `install_from`, neither hook nor CI is written.
    """

    ci: CiSystem | Literal["none"] | None = None
    image: str | None = None
    with_server: bool = True
    cluster_name: str = "default"
    install_from: InstallSource | None = None


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was found in a checkout, and what is to be written there.

    `contents` is None where there was a project file, which then says it all. `placements` are those of Flux's
    Kustomizations by cluster, without those whose place is not known; `served` names the clusters whose charts a
    server in the cluster has. With `needs_source`, the hook or the CI's file is missing, because nothing says where
    they are to install kcd-gen from.
    """

    root: Path
    project: Project
    contents: Contents | None
    syncs: tuple[Sync, ...]
    hosting: Hosting
    ci: CiSystem | None
    files: tuple[ScaffoldFile, ...]
    additions: tuple[Addition, ...]
    placements: dict[str, Placement]
    served: frozenset[str]
    needs_source: bool

    @property
    def examples(self) -> tuple[Path, ...]:
        """The files that show how a Release is written."""
        return tuple(file.path for file in self.files if file.path.name == EXAMPLE and file.before is None)


def plan_repository(
    directory: Path, wish: RepositoryWish, findings: Problems, allow_outside: tuple[Path, ...] = ()
) -> Beginning | None:
    """The files for the checkout of `directory`; None where there were errors, all of which are in `findings`.

    Raises ProblemsError `no-repository` outside of a checkout, and what `load_project` does of a project file that is
    there.
    """
    root = checkout_root(directory)
    if root is None:
        hint = "make it one with 'git init': what kcd-gen writes is reviewed, and applied, from there"
        raise ProblemsError(Problem("no-repository", f"{directory} is in no Git working tree", hint=hint))
    project, contents = _project(directory, root, wish.cluster_name, allow_outside)
    syncs = tuple(find_syncs(root, [cluster.output for cluster in project.clusters]))
    hosting = find_hosting(root)
    ci = hosting.ci if wish.ci is None else None if wish.ci == "none" else wish.ci
    if (paths := _paths(project, root, findings)) is None:
        return None
    folder, outputs = paths
    sources = list(dict.fromkeys(source for cluster in project.clusters for source in cluster.sources))
    parts: list[ScaffoldFile | Addition] = []
    makers: tuple[Callable[[], Iterable[ScaffoldFile | Addition]], ...] = (
        lambda: _of_project(directory, project, root, is_new=contents is not None),
        lambda: hook(root, folder, wish.install_from),
        lambda: ci_files(hosting, ci, root, folder, wish.install_from) if ci else [],
        lambda: [pattern_file(root, attributes.NAME, _attribute_lines(project, root), attributes.HEADING)],
        lambda: [] if _ignored(hosting, f"{EDITOR_FOLDER}/settings.json") else editor_files(root, folder, sources),
    )
    for make in makers:
        try:
            parts.extend(make())
        except ProblemsError as error:
            findings.error(error)
    for output in outputs.values():
        _warn_of_ignored(hosting, output, findings)
    served = frozenset(one.name for one in project.clusters if wish.with_server and is_service(one.repository_url))
    placed = _placed(project, outputs, syncs, root, findings)
    flux = None
    if placed:
        others = frozenset(one.name for one in placed) - served
        flux = plan(project, placed, Wish(image=wish.image, without_server=others), findings)
    if any(one.severity == "error" for one in findings):
        return None
    parts += flux.files if flux else ()
    return Beginning(
        root=root,
        project=project,
        contents=contents,
        syncs=syncs,
        hosting=hosting,
        ci=ci,
        files=tuple(one for one in parts if isinstance(one, ScaffoldFile)),
        additions=tuple(one for one in parts if isinstance(one, Addition)),
        placements=flux.placements if flux else {},
        served=served,
        needs_source=wish.install_from is None and not _runs_kcd_gen(parts, root, ci),
    )


def _runs_kcd_gen(parts: Sequence[ScaffoldFile | Addition], root: Path, ci: CiSystem | None) -> bool:
    """Whether both the hook and the CI, if there is one, have a file among `parts`."""
    paths = {part.path for part in parts}
    ours = {"github": root / GITHUB_WORKFLOWS, "gitlab": root / GITLAB_FILE}
    return root / HOOKS_FILE in paths and (ci is None or any(path.is_relative_to(ours[ci]) for path in paths))


def _project(
    directory: Path, root: Path, cluster_name: str, allow_outside: tuple[Path, ...]
) -> tuple[Project, Contents | None]:
    """The project that there is, or the one that the contents of the checkout, which come with it, make."""
    if _project_file(directory, root):
        return load_project(Flags(allow_outside=allow_outside), directory), None
    contents = find_contents(root)
    syncs = find_syncs(root, [root / output for output in contents.outputs])
    return found_project(root, contents, syncs, cluster_name), contents


def _project_file(directory: Path, root: Path) -> Path | None:
    """The project file that commands find, as long as it lies in the checkout."""
    try:
        path = project_path(Flags(), directory)
    except ProblemsError:
        return None
    return path if Path(os.path.realpath(path.parent)).is_relative_to(root) else None


def _paths(project: Project, root: Path, findings: Problems) -> tuple[str, dict[str, str]] | None:
    """The project's folder and the clusters' outputs, relative to the checkout; None where one lies elsewhere."""
    try:
        outputs = {cluster.name: path_below(cluster.output, root) for cluster in project.clusters}
        return path_below(project.root, root), outputs
    except ProblemsError as error:
        findings.error(error)
        return None


def _of_project(directory: Path, project: Project, root: Path, *, is_new: bool) -> Iterator[ScaffoldFile]:
    """The project file; and for a cluster without resources, a file that shows how a Release is written."""
    if path := None if is_new else _project_file(directory, root):
        there = project.files.read(path, display_path(path, Path.cwd()), PROJECT)
        yield ScaffoldFile(path, there, there)
        return
    text = project_text(project, modeline())
    yield ScaffoldFile(root / PROJECT_FILE, text.encode(), present(root / PROJECT_FILE, root))
    for cluster in project.clusters:
        (first, *more) = cluster.sources
        if not more and not os.path.lexists(root / first):
            path = root / first / EXAMPLE
            text = scaffolds("init").get_template("release.yaml.j2").render()
            yield ScaffoldFile(path, text.encode(), present(path, root))


def _attribute_lines(project: Project, root: Path) -> list[str]:
    lines = [
        line for cluster in project.clusters for line in attributes.lines_for_output(path_below(cluster.output, root))
    ]
    vendor = Path(os.path.realpath(project.vendor)) if project.vendor else None
    if vendor and vendor.is_relative_to(root):
        lines.append(attributes.line_for_folder(path_below(vendor, root)))
    return [*lines, attributes.line_for_file(path_below(project.root / SCHEMA_FILE, root))]


def _ignored(hosting: Hosting, path: str) -> tuple[str, int, str] | None:
    return hosting.repository.ignored_by(path) if hosting.repository else None


def _warn_of_ignored(hosting: Hosting, output: str, findings: Problems) -> None:
    """Whether Git would leave out what a build writes: a check in CI would then find it missing."""
    for example in ("flux/default/web.yaml", "hr/default/web/web-1.0.0.tgz", ".kcd-gen/default/web.list"):
        path = f"{output}/{example}".lstrip("/")
        if said := _ignored(hosting, path):
            file, line, pattern = said
            findings.warning(
                Problem(
                    "ignored-output",
                    f"{shown(pattern)} has Git leave out what a build writes, such as {path}",
                    position=Position(file, line, 1),
                    hint=f"take the line away, or let '!/{output}/**' stand at the end of .gitignore",
                )
            )
            return


def _placed(
    project: Project, outputs: Mapping[str, str], syncs: Sequence[Sync], root: Path, findings: Problems
) -> list[Cluster]:
    """The clusters for which it is known where Flux's Kustomizations go. That it is not is a warning."""
    placed = []
    for cluster in project.clusters:
        try:
            place({cluster.name: outputs[cluster.name]}, syncs, root, alone=len(project.clusters) == 1)
        except ProblemsError as error:
            if error.problem.code == "ambiguous-flux-folder":
                findings.warning(error)
                continue
        placed.append(cluster)  # of any other error, the plan for all of them tells
    return placed


def is_service(url: str) -> bool:
    """Whether a repositoryURL is a Service's, so that a server for it can be written."""
    try:
        service_of(url)
    except ProblemsError:
        return False
    return True
