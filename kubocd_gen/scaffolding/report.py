"""What the `init` commands say: what was found, what is done with each file, and what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kubocd_gen.editors.settings import SCHEMA_FILE
from kubocd_gen.files.paths import display_path
from kubocd_gen.model.project import LOCK_FILE
from kubocd_gen.output.drift import difference
from kubocd_gen.package_data import page
from kubocd_gen.scaffolding.checkout import KINDS
from kubocd_gen.scaffolding.files import ScaffoldFile
from kubocd_gen.scaffolding.repository import Beginning, is_service
from kubocd_gen.server.flux_sync import lies_below
from kubocd_gen.server.placement import Placement
from kubocd_gen.sources.documents import KUBOCD_CHART

_MANY = 6  # of a list that is told
_NAMES = {"github": "GitHub", "gitlab": "GitLab"}


def found_lines(beginning: Beginning) -> Iterator[str]:
    """What the checkout says of itself."""
    project, contents, hosting = beginning.project, beginning.contents, beginning.hosting
    if contents is None:
        names = _listed([cluster.name for cluster in project.clusters])
        yield f"a project with the cluster{'s' if len(project.clusters) > 1 else ''} {names}"
    elif not contents.kinds:
        yield "no Release, Context or Config"
    else:
        for cluster in project.clusters:
            sources = ["" if source == "." else source for source in cluster.sources]
            files = [file for file in contents.kinds if any(lies_below(file, source) for source in sources)]
            yield f"{cluster.name}: {_counted(contents.counted(files))} in {_listed(cluster.sources)}"
    for folder in contents.projects[:_MANY] if contents else ():
        yield f"another project in {folder}, which this one is no part of"
    if contents and contents.vendor:
        yield f"packages in {contents.vendor}"
    applied = sorted({f"{one.path or '.'}, from {one.source}" for one in beginning.syncs if one.is_root})
    yield from (f"Flux applies {one}" for one in applied[:_MANY])
    if not applied:
        yield "nothing that Flux applies"
    for cluster in project.clusters:
        if not is_service(cluster.repository_url):
            yield f"{cluster.name}: charts are served at {cluster.repository_url}, which is no Service of the cluster"
    if hosting.ci:
        yield f"{_NAMES[hosting.ci]}'s CI, by {hosting.reason}"
    elif not beginning.ci:
        yield "nothing that says whose CI there is"


def file_lines(files: Iterable[ScaffoldFile], *, force: bool, dry_run: bool) -> Iterator[str]:
    """What is done with each file, and how it differs from what was there."""
    for file in files:
        path = display_path(file.path, Path.cwd())
        replaced = file.change == "different" and force
        if file.change in ("different", "updated"):
            yield from difference(file.before, file.after, path)
        said = {
            "created": "Created",
            "updated": "Updated",
            "unchanged": "Unchanged",
            "different": "Replaced" if replaced else "Left alone, for it differs (--force replaces it):",
        }[file.change]
        if dry_run and file.change != "unchanged" and (replaced or file.change != "different"):
            said = f"Would {said.lower().removesuffix('d')}"
        yield f"{said} {path}"


def next_lines(beginning: Beginning, *, image: str | None) -> Iterator[str]:
    """What is left to the user, in order."""
    for addition in beginning.additions:
        yield f"add to {display_path(addition.path, Path.cwd())}, {addition.where}:"
        yield from (f"    {line}" for line in addition.text.splitlines())
    if folders := _applied_sources(beginning):
        yield f"read {page('migration')}: Flux hands the Releases in {_listed(folders)} to a controller, too"
    for example in beginning.examples:
        yield f"write a first Release: {display_path(example, Path.cwd())} shows how"
    if not (beginning.project.root / LOCK_FILE).exists():
        yield "kcd-gen lock   # pins every package tag to the image that it stands for"
    yield "kcd-gen build"
    schema = shlex.quote(display_path(beginning.project.root / SCHEMA_FILE, Path.cwd()))
    yield f"kcd-gen schema sources --output {schema}   # for editors"
    if beginning.served:
        yield image_step(image, one_cluster=len(beginning.project.clusters) == 1)
    if beginning.needs_source:
        yield "kcd-gen init --install-from git+URL@COMMIT   # adds what is missing of hook and CI: URL is of your copy"
    else:
        yield "pre-commit install   # once in each clone, after pip install pre-commit"
    if not beginning.ci and not beginning.hosting.ci:
        yield "kcd-gen init --ci github   # or gitlab, where one of these is your CI"
    for placement in beginning.placements.values():
        yield from list_steps(placement, beginning.root)
    yield "git add -A, git commit, git push"
    for placement in beginning.placements.values():
        yield from apply_steps(placement, beginning.root)


def list_steps(placement: Placement, root: Path) -> Iterator[str]:
    """What the user has to do for Flux to see the Kustomizations of a cluster in a folder that it applies."""
    if placement.list_file:
        yield f"list {Path(placement.file).name} in {display_path(root / placement.list_file, Path.cwd())}"


def apply_steps(placement: Placement, root: Path) -> Iterator[str]:
    """What applies the Kustomizations of a cluster where no folder is known that Flux applies."""
    if placement.sync is None and not placement.list_file:
        file = display_path(root / placement.file, Path.cwd())
        yield f"kubectl apply -f {shlex.quote(file)}   # no Kustomization in the checkout applies it"


def image_step(image: str | None, *, one_cluster: bool) -> str:
    """The command that makes the server's image."""
    chosen = "" if one_cluster else " --cluster NAME"
    return f"kcd-gen image{chosen} --base BASE --push {image or 'REPOSITORY'}:TAG   # which BASE: {page('image')}"


def _applied_sources(beginning: Beginning) -> list[str]:
    """The folders that Flux applies with sources in them that hold resources."""
    if not beginning.contents or not beginning.contents.kinds:
        return []
    sources = [source for cluster in beginning.project.clusters for source in cluster.sources]
    paths = {one.path for one in beginning.syncs if any(lies_below(source, one.path) for source in sources)}
    return sorted(path or "." for path in paths)


def _counted(counts: Mapping[str, int]) -> str:
    parts = [f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}" for kind in KINDS if counts.get(kind)]
    if counts.get(KUBOCD_CHART):
        parts.append("KuboCD's chart")
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
