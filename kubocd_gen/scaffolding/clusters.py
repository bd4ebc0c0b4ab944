"""Determine the clusters of a checkout, and which of its directories belong to each, and make them a project.

Paths are posix paths relative to the checkout's root. A cluster is a directory with a Flux Kustomization that applies
itself, together with everything that this applies in turn. Without Kustomizations, each `clusters/<name>` is a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.model.project import PROJECT_FILE, Cluster, Project
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.checkout import Contents
from kubocd_gen.sources.flux_sync import Sync, lies_below, list_name

_CLUSTERS = "clusters"
_LONGEST_NAME = 40  # characters; names of Kustomizations and files contain it
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


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """A cluster, the source files to compile for it, and the directories that belong to it alone."""

    name: str
    directories: frozenset[str]
    files: frozenset[str]


def find_clusters(files: Iterable[str], syncs: Sequence[Sync], default: str) -> list[ClusterFiles]:
    """Return the clusters with resources in `files`, sorted by name; if there are none, one called `default`.

    Files that belong to no cluster belong to all. Without files, return the clusters that Flux applies.
    """
    every = frozenset(files)
    flux = {_cluster_directory(sync.path) or sync.path for sync in syncs if sync.is_root and sync.path}
    directories = sorted(flux | {directory for file in every if (directory := _cluster_directory(file))})
    applied = {directory: _applied(directory, syncs) for directory in directories}
    own = {directory: _below(applied[directory], every) for directory in directories}
    if any(own.values()):
        own = {directory: found for directory, found in own.items() if found}
    if not own:
        return [ClusterFiles(default, frozenset(), every)]
    shared = every.difference(*own.values())
    names = _names(list(own), default)
    return sorted(
        (ClusterFiles(names[directory], applied[directory], found | shared) for directory, found in own.items()),
        key=lambda cluster: cluster.name,
    )


def sources_of(cluster: ClusterFiles, files: Iterable[str]) -> list[str]:
    """Return the smallest set of directories and files with the cluster's files and no other cluster's, sorted.

    `files` are those of all clusters. Directories are preferred, so files that are added later are read, too. The file
    `.` stands for a name that a project file can't contain; the whole checkout is the source then.
    """
    if "." in cluster.files:
        return ["."]
    directories = {
        directory for directory in cluster.directories if any(lies_below(file, directory) for file in cluster.files)
    }
    found = [one for one in directories if not any(one != other and lies_below(one, other) for other in directories)]
    own = _below(cluster.directories, cluster.files)
    return sorted(found + _cover("", cluster.files - own, frozenset(files) - own))


def name_of(text: str) -> str:
    """Convert `text` to a valid cluster name for files, Kustomizations and the command line; it can be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].rstrip("-")


def _cluster_directory(path: str) -> str | None:
    """Return the parent of `path` that ends with `clusters/<name>`, or None."""
    parts = path.split("/")
    for index, part in enumerate(parts[:-1]):
        if part == _CLUSTERS and (index + 2 < len(parts) or "." not in parts[index + 1]):
            return "/".join(parts[: index + 2])
    return None


def _applied(directory: str, syncs: Sequence[Sync]) -> frozenset[str]:
    """Return the directory and all directories that the Kustomizations in it apply, recursively."""
    applied = {directory}
    remaining = list(syncs)
    while found := [one for one in remaining if any(lies_below(one.file, path) for path in applied)]:
        applied |= {one.path for one in found if one.path}
        remaining = [one for one in remaining if one not in found]
    return frozenset(applied)


def _below(directories: Iterable[str], files: frozenset[str]) -> frozenset[str]:
    return frozenset(file for file in files if any(lies_below(file, directory) for directory in directories))


def _names(directories: Sequence[str], default: str) -> dict[str, str]:
    """Return a unique name for each directory: its last component if that is unique, otherwise its whole path."""
    short = [name_of(directory.rpartition("/")[2]) for directory in directories]
    names: dict[str, str] = {}
    for directory, name in zip(directories, short, strict=True):
        preferred = (name if short.count(name) == 1 else name_of(directory)) or default
        candidates = (preferred, *(f"{preferred}-{number}" for number in range(2, len(directories) + 2)))
        names[directory] = next(one for one in candidates if one not in names.values())
    return names


def _cover(directory: str, wanted: frozenset[str], files: frozenset[str]) -> list[str]:
    """Return the directories below `directory` and the files that contain the `wanted` of `files` and no others."""
    below = {file for file in files if lies_below(file, directory)}
    if not below & wanted:
        return []
    if directory and below <= wanted:
        return [directory]
    depth = len(directory) + 1 if directory else 0
    found = []
    for part in sorted({file[depth:].partition("/")[0] for file in below}):
        found += _cover(f"{directory}/{part}".lstrip("/"), wanted, files)
    return found
