"""Determine the clusters of a checkout, and which of its directories belong to each, and make them a project.

Paths are posix paths relative to the checkout's root. Each root of Flux is a cluster, together with everything that it
applies. Without Flux, each `clusters/<name>` is a cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.model.delivery import SERVER, Delivery
from kubocd_gen.model.project import PROJECT_FILE, Cluster, Project
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.checkout import Contents
from kubocd_gen.server.flux_roots import CLUSTERS, applied_by, cluster_names, cluster_roots, home_of, is_below
from kubocd_gen.sources.flux_sync import Sync, lies_below, list_name

_OUTPUTS = ("deploy", "compiled", "kcd-gen")  # the first that is not in use
_SOURCES = (CLUSTERS, "kubocd")  # likewise, for a cluster without resources


def found_project(
    root: Path, contents: Contents, syncs: Sequence[Sync], default: str, delivery: Delivery = SERVER
) -> Project:
    """Return the project for the checkout at `root`. A cluster without a name is called `default`."""
    releases = [file for file, kinds in contents.kinds.items() if kinds["Release"]]
    clusters = find_clusters(contents.kinds, syncs, default, releases=releases, same=contents.same)
    alone = len(clusters) == 1
    return Project(
        root=root,
        clusters=tuple(
            Cluster(
                name=one.name,
                sources=tuple(_sources(one, root, contents, syncs)),
                output=root / _output(one.name, root, contents, alone=alone),
                kubocd_namespace=contents.namespace(one.files),
                delivery=delivery,
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
    delivery = project.clusters[0].delivery
    template = scaffolds("init").get_template(f"{PROJECT_FILE}.j2")
    return template.render(modeline=modeline, clusters=clusters, vendor=vendor, delivery=delivery, default=SERVER)


def _sources(cluster: ClusterFiles, root: Path, contents: Contents, syncs: Sequence[Sync]) -> list[str]:
    if cluster.files:
        return sources_of(cluster, contents.kinds)
    # If Flux applies a whole directory, it would apply the Releases in it to a cluster without KuboCD's CRDs.
    applied = [one.path for one in syncs if not list_name(root / one.path)]
    directories = [f"{parent}/{cluster.name}" for parent in _SOURCES]
    if cluster.directories and directories[0] not in cluster.directories:
        return directories[1:]
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
    """A cluster, the source files to compile for it, and the directories that belong to it alone.

    `others` are the directories of all clusters.
    """

    name: str
    directories: frozenset[str]
    files: frozenset[str]
    others: frozenset[str] = frozenset()


def find_clusters(
    files: Iterable[str],
    syncs: Sequence[Sync],
    default: str,
    *,
    releases: Iterable[str] | None = None,
    same: Iterable[frozenset[str]] = (),
) -> list[ClusterFiles]:
    """Return the clusters with resources in `files`, sorted by name; if there are none, one called `default`.

    Each root of Flux is a cluster. Files that Flux does not apply belong to the cluster of their `clusters/<name>`. A
    file of no cluster belongs to all clusters next to it. Without files, return the clusters that Flux applies.

    Args:
        files: The files with resources.
        syncs: The Kustomizations of the checkout.
        default: The name of a cluster that has no directory of its own.
        releases: The files with Releases; by default all. A cluster of Flux without any is left out.
        same: Sets of files that define the same resource, which can't be in one cluster.
    """
    every = frozenset(files)
    deployed = every if releases is None else frozenset(releases)
    paths = {one.path for one in cluster_roots(syncs)}
    homes = {home_of(path, paths) for path in paths}
    applied = {home: applied_by(home, syncs, homes) for home in homes}
    of_flux = frozenset(file for home in homes for file in _own(home, applied, every))
    for directory in _conventional(every - of_flux, [group - of_flux for group in same]):
        if not any(lies_below(home, directory) or lies_below(directory, home) for home in homes):
            applied[directory] = applied_by(directory, syncs, homes)
    own = {directory: _own(directory, applied, every) for directory in sorted(applied)}
    names = cluster_names(list(own), default)
    unshared = {directory for directory, found in own.items() if found}
    for file in every.difference(*own.values()):
        for directory in _next_to(file, own):
            own[directory] |= {file}
    if kept := [directory for directory, found in own.items() if directory in unshared or found & deployed]:
        own = {directory: own[directory] for directory in kept}
    if not own:
        return [ClusterFiles(default, frozenset(), every)]
    return sorted(
        (
            ClusterFiles(names[directory], applied[directory], found, frozenset(applied))
            for directory, found in own.items()
        ),
        key=lambda cluster: cluster.name,
    )


def sources_of(cluster: ClusterFiles, files: Iterable[str]) -> list[str]:
    """Return the smallest set of directories and files with the cluster's files and no other cluster's, sorted.

    `files` are those of all clusters. Directories are preferred, so files that are added later are read, too. The file
    `.` stands for a name that a project file can't contain; the whole checkout is the source then.
    """
    if "." in cluster.files:
        return ["."]
    every = frozenset(files)
    directories = {
        one for one in cluster.directories if one and (below := _below(one, every)) and below <= cluster.files
    }
    found = [one for one in directories if not any(one != other and lies_below(one, other) for other in directories)]
    own = frozenset(file for one in found for file in _below(one, every))
    return sorted(found + _cover("", cluster.files - own, every - own, cluster.others))


def _conventional(files: frozenset[str], same: Iterable[frozenset[str]]) -> set[str]:
    """Return the directories `clusters/<name>` of `files`, or those below that define the same resources.

    `clusters/<region>/<name>` is such a layout: the regions have no files of their own.
    """
    groups = list(same)
    found = {directory for file in files if (directory := _cluster_directory(file))}
    while True:
        parts = {directory: {_child(file, directory) for file in _below(directory, files)} for directory in found}
        regions = {directory for directory in found if None not in parts[directory]}
        twice = {one for one in regions if any(len({_child(file, one) for file in _below(one, g)}) > 1 for g in groups)}
        parents = {one.rpartition("/")[0] for one in twice}
        split = {one for one in regions if one.rpartition("/")[0] in parents}
        if not split:
            return found
        found = (found - split).union(*({part for part in parts[one] if part} for one in split))


def _child(file: str, directory: str) -> str | None:
    """Return the subdirectory of `directory` that contains `file`, or None if it is in `directory` itself."""
    name, _, rest = file[len(directory) + 1 :].partition("/")
    return f"{directory}/{name}" if rest else None


def _cluster_directory(path: str) -> str | None:
    """Return the parent of `path` that ends with `clusters/<name>`, or None."""
    parts = path.split("/")
    for index, part in enumerate(parts[:-1]):
        if part == CLUSTERS and (index + 2 < len(parts) or "." not in parts[index + 1]):
            return "/".join(parts[: index + 2])
    return None


def _own(directory: str, applied: Mapping[str, frozenset[str]], files: frozenset[str]) -> frozenset[str]:
    """Return the files of the cluster in `directory`, without those of clusters in its subdirectories."""
    return frozenset(file for file in files if is_below(file, applied[directory], applied.keys(), directory))


def _next_to(file: str, clusters: Iterable[str]) -> list[str]:
    """Return the clusters in the closest directory above `file` that contains any, and all if there is none."""
    parent = file
    while parent:
        parent = parent.rpartition("/")[0]
        if found := [one for one in clusters if lies_below(one, parent)]:
            return found
    return list(clusters)


def _below(directory: str, files: Iterable[str]) -> frozenset[str]:
    return frozenset(file for file in files if lies_below(file, directory))


def _cover(directory: str, wanted: frozenset[str], files: frozenset[str], clusters: Collection[str]) -> list[str]:
    """Return the directories below `directory` and the files that contain the `wanted` of `files` and no others.

    No directory contains one of `clusters`, to which files can be added later.
    """
    below = _below(directory, files)
    if not below & wanted:
        return []
    if directory in files or (
        directory and below <= wanted and not any(lies_below(one, directory) for one in clusters)
    ):
        return [directory]
    depth = len(directory) + 1 if directory else 0
    found = []
    for part in sorted({file[depth:].partition("/")[0] for file in below}):
        found += _cover(f"{directory}/{part}".lstrip("/"), wanted, files, clusters)
    return found
