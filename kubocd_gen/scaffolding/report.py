"""The output of the `init` commands: what was found, what was done with each file, and the next steps."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubocd_gen.editors.settings import SCHEMA_FILE
from kubocd_gen.files.paths import display_path, shown_path
from kubocd_gen.model.project import LOCK_FILE
from kubocd_gen.model.resources import KUBOCD_KINDS
from kubocd_gen.output.drift import difference
from kubocd_gen.package_data import page
from kubocd_gen.scaffolding.checkout import Contents
from kubocd_gen.scaffolding.files import ScaffoldFile
from kubocd_gen.scaffolding.repository import RepositoryPlan, is_service
from kubocd_gen.scaffolding.server import ServerPlan
from kubocd_gen.server.flux_roots import cluster_roots
from kubocd_gen.server.placement import Placement
from kubocd_gen.sources.documents import KUBOCD_CHART
from kubocd_gen.sources.flux_sync import lies_below, lists_file

_LISTED = 6  # items of a list that are shown
_NAMES = {"github": "GitHub", "gitlab": "GitLab"}


def found_lines(planned: RepositoryPlan) -> Iterator[str]:
    """Yield what was found in the checkout."""
    project, contents, hosting = planned.project, planned.contents, planned.hosting
    if contents is None:
        names = ", ".join(cluster.name for cluster in project.clusters)
        yield f"a project with the cluster{'s' if len(project.clusters) > 1 else ''} {names}"
    elif not contents.kinds:
        yield "no Releases, Contexts or Configs"
    else:
        for cluster in project.clusters:
            sources = ["" if source == "." else source for source in cluster.sources]
            files = [file for file in contents.kinds if any(lies_below(file, source) for source in sources)]
            yield f"{cluster.name}: {_counted(contents.counted(files))} in {', '.join(cluster.sources)}"
    if contents:
        yield from _other_contents(contents)
    yield from _applied_lines(planned)
    for cluster in () if planned.has_only_packages else project.clusters:
        if not cluster.delivery.has_server:
            yield f"{cluster.name}: charts reach Flux by 'delivery: {cluster.delivery.mode}', without a server"
        elif not is_service(cluster.repository_url):
            yield f"{cluster.name}: charts are served at {cluster.repository_url}, which is not a Service"
    if hosting.ci:
        yield f"CI system {_NAMES[hosting.ci]}, from {hosting.reason}"
    elif not planned.ci:
        yield "no CI system"


def _other_contents(contents: Contents) -> Iterator[str]:
    yield from (f"another project in {directory}, independent of this one" for directory in contents.projects)
    if contents.packages:
        yield f"{_number(len(contents.packages), 'package manifest')}: {', '.join(contents.packages)}"
    for layout in contents.layouts:
        used = layout == contents.vendor
        yield (
            f"packages in {layout}" if used else f"an image layout in {layout}, which is not used (see packages.vendor)"
        )


def _applied_lines(planned: RepositoryPlan) -> Iterator[str]:
    """Yield the directories that Flux applies, with the roots that no cluster uses, and the files of Argo CD."""
    found = _roots(planned)
    clusters = {root.path for root in cluster_roots(planned.syncs)} if planned.contents else set()
    for path, source, cluster in found:
        unused = ": no Releases, so it is not in the project" if cluster is None and path in clusters else ""
        yield f"Flux applies {path or '.'}, from {source}{unused}"
    if not found:
        yield "no directories that Flux applies"
    if planned.argo_cd:
        yield f"Argo CD's Applications in {', '.join(planned.argo_cd)}"


def _roots(planned: RepositoryPlan) -> list[tuple[str, str, str | None]]:
    """Return the path and the source of each root of Flux, and the cluster whose Kustomizations it applies, or None."""
    clusters = {one.sync.path: name for name, one in planned.placements.items() if one.sync}
    found = {(one.path, str(one.source)) for one in planned.syncs if one.is_root}
    return [(path, source, clusters.get(path)) for path, source in sorted(found)]


def scaffold_report(
    planned: RepositoryPlan | ServerPlan | None, steps: Sequence[str], *, force: bool, dry_run: bool
) -> dict[str, Any]:
    """Return the JSON report of the `init` commands; `planned` is None after an error."""
    files = [
        {"path": display_path(file.path, Path.cwd()), "change": _done(file, force=force)}
        for file in (planned.files if planned else ())
    ]
    found = _found(planned) if isinstance(planned, RepositoryPlan) else None
    return {"dryRun": dry_run, "found": found, "files": files, "next": list(steps)}


def _found(planned: RepositoryPlan) -> dict[str, Any]:
    contents, clusters = planned.contents, () if planned.has_only_packages else planned.project.clusters
    return {
        "clusters": [{"name": one.name, "sources": list(one.sources)} for one in clusters],
        "packages": list(contents.packages if contents else ()),
        "projects": list(contents.projects if contents else ()),
        "layouts": list(contents.layouts if contents else ()),
        "flux": [
            {"path": path or ".", "source": source, "cluster": cluster} for path, source, cluster in _roots(planned)
        ],
        "argoCD": list(planned.argo_cd),
        "ci": planned.hosting.ci,
    }


def _done(file: ScaffoldFile, *, force: bool) -> str:
    return ("replaced" if force else "kept") if file.change == "different" else file.change


def file_lines(files: Iterable[ScaffoldFile], *, force: bool, dry_run: bool) -> Iterator[str]:
    """Yield what is done with each file, and how it differs from the existing one."""
    for file in files:
        path = shown_path(file.path)
        replaced = file.change == "different" and force
        if file.change in ("different", "updated"):
            yield from difference(file.before, file.after, path)
        action = {
            "created": "Created",
            "updated": "Updated",
            "unchanged": "Unchanged",
            "different": "Replaced" if replaced else "Kept (differs; use --force to replace it):",
        }[file.change]
        if dry_run and file.change != "unchanged" and (replaced or file.change != "different"):
            action = f"Would {action.lower().removesuffix('d')}"
        yield f"{action} {path}"


def next_lines(planned: RepositoryPlan, *, image: str | None) -> Iterator[str]:
    """Yield the next steps for the user, in order; none if everything is as planned."""
    if planned.has_only_packages:
        yield f"kcd-gen package MANIFEST... --repo-prefix PREFIX   # see {page('packages')}"
        yield "run 'kcd-gen init' in the repository with the Releases"
        yield "kcd-gen init --cluster-name NAME   # if this repository will have Releases, too"
        return
    lists = [step for placement in planned.placements.values() for step in list_steps(placement, planned.root)]
    if planned.is_done:
        yield from lists
        return
    for addition in planned.additions:
        yield f"add to {shown_path(addition.path)}, {addition.where}:"
        yield from (f"    {line}" for line in addition.text.splitlines())
    if directories := _applied_sources(planned):
        yield f"read {page('migration')}: Flux also applies the Releases in {_listed(directories)} for a controller"
    for example in planned.examples:
        yield f"write your first Release; see the example in {shown_path(example)}"
    if not (planned.project.root / LOCK_FILE).exists():
        yield "kcd-gen lock   # pin every package tag to a digest"
    pushes = any(one.delivery.mode == "oci" for one in planned.project.clusters)
    yield f"kcd-gen build{' --push-charts' if pushes else ''}"
    schema = shlex.quote(shown_path(planned.project.root / SCHEMA_FILE))
    yield f"kcd-gen schema sources --output {schema}   # for editors"
    if planned.served:
        yield image_step(image, one_cluster=len(planned.project.clusters) == 1)
    if planned.needs_source:
        yield "kcd-gen init --install-from git+URL@COMMIT   # add the missing hook or CI file"
    else:
        yield "pre-commit install   # once in each clone, after pip install pre-commit"
    if not planned.ci and not planned.hosting.ci:
        yield "kcd-gen init --ci github   # or gitlab, if you use one of them"
    yield from lists
    yield "git add -A, git commit, git push"
    for placement in planned.placements.values():
        yield from apply_steps(placement, planned.root)
    yield from application_steps(planned.applications)


def list_steps(placement: Placement, root: Path) -> Iterator[str]:
    """Yield the step that makes Flux apply a cluster's Kustomizations, if their directory does not list them yet."""
    if placement.list_file and not lists_file(root / placement.list_file, Path(placement.file).name):
        yield f"add {Path(placement.file).name} to {shown_path(root / placement.list_file)}"


def apply_steps(placement: Placement, root: Path) -> Iterator[str]:
    """Yield the command that applies a cluster's Kustomizations if Flux applies no directory of the checkout."""
    if placement.sync is None and not placement.list_file:
        file = shown_path(root / placement.file)
        yield f"kubectl apply -f {shlex.quote(file)}   # no Kustomization in the checkout applies it"


def application_steps(directories: Sequence[str]) -> Iterator[str]:
    """Yield the steps for a checkout that Argo CD applies, without Flux's Kustomizations."""
    for directory in directories:
        yield f"create an Argo CD Application for {directory}; see {page('deploying')}"


def image_step(image: str | None, *, one_cluster: bool) -> str:
    """Return the command that creates the image of the chart server."""
    selection = "" if one_cluster else " --cluster NAME"
    return f"kcd-gen image{selection} --base BASE --push {image or 'REPOSITORY'}:TAG   # see {page('image')} for BASE"


def _applied_sources(planned: RepositoryPlan) -> list[str]:
    """Return the directories that Flux applies and that contain sources with resources."""
    if not planned.contents or not planned.contents.kinds:
        return []
    sources = [source for cluster in planned.project.clusters for source in cluster.sources]
    paths = {one.path for one in planned.syncs if any(lies_below(source, one.path) for source in sources)}
    return sorted(path or "." for path in paths)


def _counted(counts: Mapping[str, int]) -> str:
    parts = [_number(counts[kind], kind) for kind in KUBOCD_KINDS if counts.get(kind)]
    if counts.get(KUBOCD_CHART):
        parts.append("KuboCD's chart")
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
