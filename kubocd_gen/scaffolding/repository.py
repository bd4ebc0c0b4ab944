"""Plan the files that `kcd-gen init` writes for a checkout: the project file and the files of its integrations."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kubocd_gen.checkout.files import PROJECT
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, has_errors, shown
from kubocd_gen.editors.settings import SCHEMA_FILE, VSCODE_EXTENSION, modeline, vscode_extensions, vscode_settings
from kubocd_gen.files.paths import checkout_root, display_path
from kubocd_gen.model.delivery import SERVER, ChartRepository, Delivery, Mode
from kubocd_gen.model.project import ONLY_CLUSTER, PROJECT_FILE, Cluster, Flags, Project
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.checkout import Contents, find_contents
from kubocd_gen.scaffolding.ci import (
    GITHUB_WORKFLOWS,
    GITLAB_FILE,
    HOOKS_FILE,
    CiSystem,
    Hosting,
    ci_files,
    find_hosting,
    hook,
)
from kubocd_gen.scaffolding.clusters import found_project, project_text
from kubocd_gen.scaffolding.files import Addition, ScaffoldFile, path_below, present
from kubocd_gen.scaffolding.install_source import InstallSource
from kubocd_gen.scaffolding.patterns import (
    ATTRIBUTES,
    ATTRIBUTES_HEADING,
    line_for_directory,
    line_for_file,
    lines_for_output,
    pattern_file,
)
from kubocd_gen.scaffolding.server import ServerRequest, plan_server
from kubocd_gen.server.placement import Placement, place
from kubocd_gen.server.service import service_of
from kubocd_gen.sources.delivery_settings import contradiction
from kubocd_gen.sources.flux_sync import Sync, find_applications, find_syncs
from kubocd_gen.sources.project_file import load_project, project_path

EXAMPLE = "releases.yaml"
_EDITOR = ".vscode"


@dataclass(frozen=True, slots=True)
class RepositoryRequest:
    """The options of `kcd-gen init`. `cluster_name` is used for a cluster without a name of its own.

    With `cluster_name`, a repository with nothing but packages is set up for a cluster, too. Without `install_from`,
    neither the hook nor the CI file is written. `delivery` and `chart_repository` are for a new project file.
    """

    ci: CiSystem | Literal["none"] | None = None
    image: str | None = None
    with_server: bool = True
    cluster_name: str | None = None
    delivery: Mode | None = None
    chart_repository: str | None = None
    install_from: InstallSource | None = None


@dataclass(frozen=True, slots=True)
class RepositoryPlan:
    """The contents of a checkout, and the files to write.

    `contents` is None if a project file exists, which defines everything. `syncs` are the Kustomizations of the
    checkout, and `argo_cd` its files with Applications. `placements` are the locations of Flux's Kustomizations by
    cluster, without clusters whose location is unknown; `applications` are the directories that Argo CD must apply
    instead. `served` are the clusters whose charts are served in the cluster. `needs_source` is set if the hook or the
    CI file is missing, because the source from which to install kcd-gen is unknown.
    """

    root: Path
    project: Project
    contents: Contents | None
    syncs: tuple[Sync, ...]
    argo_cd: tuple[str, ...]
    hosting: Hosting
    ci: CiSystem | None
    files: tuple[ScaffoldFile, ...]
    additions: tuple[Addition, ...]
    placements: dict[str, Placement] = field(default_factory=dict)
    applications: tuple[str, ...] = ()
    served: frozenset[str] = frozenset()
    needs_source: bool = False

    @property
    def has_only_packages(self) -> bool:
        """Whether nothing is planned, because the checkout has packages and nothing to compile."""
        return not self.files and not self.additions

    @property
    def is_done(self) -> bool:
        """Whether every file is as planned."""
        return not self.additions and all(file.change == "unchanged" for file in self.files)

    @property
    def examples(self) -> tuple[Path, ...]:
        """The new files with an example of a Release."""
        return tuple(file.path for file in self.files if file.path.name == EXAMPLE and file.before is None)


def plan_repository(
    directory: Path, request: RepositoryRequest, problems: Problems, allow_outside: tuple[Path, ...] = ()
) -> RepositoryPlan | None:
    """Plan the files for the checkout of `directory`; returns None after errors, which are added to `problems`.

    Raises ProblemsError `no-repository` outside a checkout, and the errors of `load_project` for an existing project,
    of paths outside the checkout, and of the location of Flux's Kustomizations.
    """
    root = checkout_root(directory)
    if root is None:
        hint = "run 'git init' first, because Flux applies the files from a Git repository"
        raise ProblemsError.of("no-repository", f"'{directory}' is not in a Git working tree", hint=hint)
    project, contents = _project(directory, root, request, allow_outside)
    outside = [cluster.output for cluster in project.clusters]
    syncs, argo_cd = tuple(find_syncs(root, outside)), tuple(find_applications(root, outside))
    hosting = find_hosting(root)
    if contents and contents.packages and not contents.kinds and not syncs and not request.cluster_name:
        return RepositoryPlan(root, project, contents, syncs, argo_cd, hosting, None, (), ())
    ci = hosting.ci if request.ci is None else None if request.ci == "none" else request.ci
    outputs = {cluster.name: path_below(cluster.output, root) for cluster in project.clusters}
    project_directory = path_below(project.root, root)
    parts: list[ScaffoldFile | Addition] = []
    with problems.collect():
        parts += _of_project(directory, project, root, is_new=contents is not None)
    with problems.collect():
        parts += hook(root, project_directory, request.install_from)
    with problems.collect():
        parts += ci_files(hosting, ci, root, project_directory, request.install_from) if ci else ()
    with problems.collect():
        parts.append(pattern_file(root, ATTRIBUTES, _attribute_lines(project, root), ATTRIBUTES_HEADING))
    if not _ignored(hosting, f"{_EDITOR}/settings.json"):
        sources = list(dict.fromkeys(source for cluster in project.clusters for source in cluster.sources))
        with problems.collect():
            parts += _editor_files(root, project_directory, sources)
    for output in outputs.values():
        _warn_of_ignored(hosting, output, problems)
    served = frozenset(
        one.name
        for one in project.clusters
        if request.with_server and one.delivery.has_server and is_service(one.repository_url)
    )
    placed = _placed(project, outputs, syncs, root, problems)
    flux = None
    if placed:
        others = frozenset(one.name for one in placed) - served
        flux = plan_server(project, placed, ServerRequest(image=request.image, without_server=others), problems)
    if has_errors(problems):
        return None
    parts += flux.files if flux else ()
    return RepositoryPlan(
        root=root,
        project=project,
        contents=contents,
        syncs=syncs,
        argo_cd=argo_cd,
        hosting=hosting,
        ci=ci,
        files=tuple(one for one in parts if isinstance(one, ScaffoldFile)),
        additions=tuple(one for one in parts if isinstance(one, Addition)),
        placements=flux.placements if flux else {},
        applications=flux.applications if flux else (),
        served=served,
        needs_source=request.install_from is None and not _runs_kcd_gen(parts, root, ci),
    )


def _runs_kcd_gen(parts: Sequence[ScaffoldFile | Addition], root: Path, ci: CiSystem | None) -> bool:
    """Return whether `parts` contains the file of the hook and, if there is a CI system, its file."""
    paths = {part.path for part in parts}
    ours = {"github": root / GITHUB_WORKFLOWS, "gitlab": root / GITLAB_FILE}
    return root / HOOKS_FILE in paths and (ci is None or any(path.is_relative_to(ours[ci]) for path in paths))


def _project(
    directory: Path, root: Path, request: RepositoryRequest, allow_outside: tuple[Path, ...]
) -> tuple[Project, Contents | None]:
    """Return the existing project and None, or a new project and the contents of the checkout that it is based on.

    Raises ProblemsError `usage` if an existing project has another delivery than the one in the request.
    """
    if _project_file(directory, root):
        project = load_project(Flags(allow_outside=allow_outside), directory)
        other = [one.name for one in project.clusters if request.delivery not in (None, one.delivery.mode)]
        if other:
            message = f"--delivery {request.delivery}: the project file exists and has another delivery"
            hint = f"set 'delivery: {request.delivery}' in {PROJECT_FILE}, then run 'kcd-gen init' without the flag"
            raise ProblemsError.of("usage", message, hint=hint)
        return project, None
    contents = find_contents(root)
    syncs = find_syncs(root, [root / output for output in contents.outputs])
    cluster_name = request.cluster_name or ONLY_CLUSTER
    return found_project(root, contents, syncs, cluster_name, _delivery(request, syncs)), contents


def _delivery(request: RepositoryRequest, syncs: Sequence[Sync]) -> Delivery:
    """Return the delivery for a new project file. Raises ProblemsError if it can't work."""
    repository = ChartRepository(request.chart_repository) if request.chart_repository else None
    roots = {one.source for one in syncs if one.is_root}
    source = roots.pop() if len(roots) == 1 else SERVER.source
    delivery = Delivery(request.delivery or SERVER.mode, source, repository)
    if repository and delivery.mode != "oci":
        raise ProblemsError.of("usage", "--chart-repository requires --delivery oci", hint="add --delivery oci")
    if problem := contradiction(delivery):
        raise ProblemsError(problem)
    return delivery


def _project_file(directory: Path, root: Path) -> Path | None:
    """Return the project file that commands find from `directory`, if it is inside the checkout."""
    try:
        path = project_path(Flags(), directory)
    except ProblemsError:
        return None
    return path if Path(os.path.realpath(path.parent)).is_relative_to(root) else None


def _of_project(directory: Path, project: Project, root: Path, *, is_new: bool) -> Iterator[ScaffoldFile]:
    """Yield the project file and, for a cluster without resources, a file with an example of a Release."""
    if path := None if is_new else _project_file(directory, root):
        existing = project.files.read(path, display_path(path, Path.cwd()), PROJECT)
        yield ScaffoldFile(path, existing, existing)
        return
    text = project_text(project, modeline())
    yield ScaffoldFile(root / PROJECT_FILE, text.encode(), present(root / PROJECT_FILE, root))
    for cluster in project.clusters:
        (first, *more) = cluster.sources
        if not more and not os.path.lexists(root / first):
            path = root / first / EXAMPLE
            text = scaffolds("init").get_template("release.yaml.j2").render()
            yield ScaffoldFile(path, text.encode(), present(path, root))


def _editor_files(root: Path, directory: str, sources: Iterable[str]) -> Iterator[ScaffoldFile | Addition]:
    """Yield the settings and extensions of VS Code, or additions to existing files. For other editors see the docs.

    `directory` is the project's directory relative to the checkout at `root`. Raises ProblemsError `unusable-file`.
    """
    for name, content, mention in (
        ("settings.json", vscode_settings(sources, directory=directory), SCHEMA_FILE),
        ("extensions.json", vscode_extensions(), VSCODE_EXTENSION),
    ):
        path = root / _EDITOR / name
        before = present(path, root)
        text = json.dumps(content, indent=2) + "\n"
        if before is None or mention.encode() in before:
            yield ScaffoldFile(path, text.encode() if before is None else before, before)
        else:
            yield Addition(path, "inside the braces", "\n".join(text.splitlines()[1:-1]) + "\n")


def _attribute_lines(project: Project, root: Path) -> list[str]:
    lines = [line for cluster in project.clusters for line in lines_for_output(path_below(cluster.output, root))]
    vendor = Path(os.path.realpath(project.vendor)) if project.vendor else None
    if vendor and vendor.is_relative_to(root):
        lines.append(line_for_directory(path_below(vendor, root)))
    return [*lines, line_for_file(path_below(project.root / SCHEMA_FILE, root))]


def _ignored(hosting: Hosting, path: str) -> tuple[str, int, str] | None:
    return hosting.repository.ignored_by(path) if hosting.repository else None


def _warn_of_ignored(hosting: Hosting, output: str, problems: Problems) -> None:
    """Warn if Git ignores files that a build writes, because a check in CI would miss them."""
    for example in ("flux/default/web.yaml", "hr/default/web/web-1.0.0.tgz", ".kcd-gen/default/web.list"):
        path = f"{output}/{example}".lstrip("/")
        if match := _ignored(hosting, path):
            file, line, pattern = match
            problems.warning(
                Problem(
                    "ignored-output",
                    f"the pattern {shown(pattern)} makes Git ignore files that a build writes, such as '{path}'",
                    position=Position(file, line, 1),
                    hint=f"remove the line, or add '!/{output}/**' at the end of .gitignore",
                )
            )
            return


def _placed(
    project: Project, outputs: Mapping[str, str], syncs: Sequence[Sync], root: Path, problems: Problems
) -> list[Cluster]:
    """Return the clusters for which the location of Flux's Kustomizations is known; warn about the others."""
    placed = []
    for cluster in project.clusters:
        try:
            place({cluster.name: outputs[cluster.name]}, syncs, root, alone=len(project.clusters) == 1)
        except ProblemsError as error:
            if error.problem.code == "ambiguous-flux-folder":
                problems.warning(error)
                continue
        placed.append(cluster)  # other errors are reported by the plan for all clusters
    return placed


def is_service(url: str) -> bool:
    """Return whether a repositoryURL is the URL of a Service, for which a chart server can be written."""
    try:
        service_of(url)
    except ProblemsError:
        return False
    return True
