"""The project file for a checkout that has none, made of what is found there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kubocd_gen.model.project import PROJECT_FILE, Cluster, Project
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.checkout import Contents
from kubocd_gen.scaffolding.clusters import ClusterFiles, find_clusters, sources_of
from kubocd_gen.server.flux_sync import Sync, lies_below, list_name

_OUTPUTS = ("deploy", "compiled", "kcd-gen")  # the first that nobody else has in use
_SOURCES = ("clusters", "kubocd")  # likewise, for a cluster without any resource yet


def found_project(root: Path, contents: Contents, syncs: Sequence[Sync], default: str) -> Project:
    """The project of the checkout at `root`. A cluster to which nothing gives a name is called `default`."""
    clusters = find_clusters(contents.kinds, syncs, default)
    alone = len(clusters) == 1
    return Project(
        root=root,
        clusters=tuple(
            Cluster(
                name=one.name,
                sources=tuple(_sources(one, root, contents, syncs)),
                output=root / _output(one.name, root, contents, alone=alone),
                kubocd_namespace=contents.namespace(one.files),
            )
            for one in clusters
        ),
        vendor=root / contents.vendor if contents.vendor else None,
    )


def project_text(project: Project, modeline: str) -> str:
    """The text of kcd-gen.yaml; `modeline` tells editors which schema it has."""
    clusters = [
        {
            "name": one.name,
            "sources": one.sources,
            "output": one.output.relative_to(project.root).as_posix(),
            "kubocd_namespace": one.kubocd_namespace,
        }
        for one in project.clusters
    ]
    vendor = project.vendor.relative_to(project.root).as_posix() if project.vendor else None
    template = scaffolds("init").get_template(f"{PROJECT_FILE}.j2")
    return template.render(modeline=modeline, clusters=clusters, vendor=vendor)


def _sources(cluster: ClusterFiles, root: Path, contents: Contents, syncs: Sequence[Sync]) -> list[str]:
    if cluster.files:
        return sources_of(cluster, contents.kinds)
    # Where Flux applies a folder as a whole, it would hand the Releases to a cluster that does not know their kind.
    applied = [one.path for one in syncs if not list_name(root / one.path)]
    folders = [f"{parent}/{cluster.name}" for parent in _SOURCES]
    return [next((one for one in folders if not any(lies_below(one, path) for path in applied)), folders[-1])]


def _output(cluster: str, root: Path, contents: Contents, *, alone: bool) -> str:
    """The folder that a build has written already, else one that is free."""
    if alone and len(contents.outputs) == 1 and contents.outputs[0] != ".":
        return contents.outputs[0]
    for parent in _OUTPUTS:
        path = f"{parent}/{cluster}"
        if path in contents.outputs or not (root / path).exists():
            return path
    return f"{_OUTPUTS[0]}/{cluster}"
