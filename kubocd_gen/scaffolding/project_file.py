"""Create the project file for a checkout that has none, from its contents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kubocd_gen.model.project import PROJECT_FILE, Cluster, Project
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.checkout import Contents
from kubocd_gen.scaffolding.clusters import ClusterFiles, find_clusters, sources_of
from kubocd_gen.server.flux_sync import Sync, lies_below, list_name

_OUTPUTS = ("deploy", "compiled", "kcd-gen")  # the first that is not in use
_SOURCES = ("clusters", "kubocd")  # likewise, for a cluster without resources


def found_project(root: Path, contents: Contents, syncs: Sequence[Sync], default: str) -> Project:
    """Return the project for the checkout at `root`. A cluster without a name is called `default`."""
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
    """Return the content of kcd-gen.yaml; `modeline` is the comment that selects its schema in editors."""
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
    # If Flux applies a whole directory, it would apply the Releases in it to a cluster without KuboCD's CRDs.
    applied = [one.path for one in syncs if not list_name(root / one.path)]
    directories = [f"{parent}/{cluster.name}" for parent in _SOURCES]
    return [next((one for one in directories if not any(lies_below(one, path) for path in applied)), directories[-1])]


def _output(cluster: str, root: Path, contents: Contents, *, alone: bool) -> str:
    """Return the directory of an existing output, otherwise an unused one."""
    if alone and len(contents.outputs) == 1 and contents.outputs[0] != ".":
        return contents.outputs[0]
    for parent in _OUTPUTS:
        path = f"{parent}/{cluster}"
        if path in contents.outputs or not (root / path).exists():
            return path
    return f"{_OUTPUTS[0]}/{cluster}"
