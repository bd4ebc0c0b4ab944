"""Which clusters a checkout holds, and which of its folders belong to each: functions over paths, without I/O.

Paths are relative to the checkout's root, posix. Flux says it best: a cluster is a folder in which a Kustomization
applies itself, and what that applies leads on. Where Flux says nothing, `clusters/<name>` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubocd_gen.server.flux_sync import Sync, lies_below

_CLUSTERS = "clusters"
_LONGEST_NAME = 40  # Kustomizations and files are called after it


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """A cluster, the files that are to be compiled for it, and the folders that are its own."""

    name: str
    folders: frozenset[str]
    files: frozenset[str]


def find_clusters(files: Iterable[str], syncs: Sequence[Sync], default: str) -> list[ClusterFiles]:
    """The clusters whose resources lie in `files`, sorted by name; at least one, if need be called `default`.

    Files that belong to no cluster belong to all. Without files, the clusters are those that Flux knows.
    """
    every = frozenset(files)
    flux = {_cluster_folder(sync.path) or sync.path for sync in syncs if sync.is_root and sync.path}
    folders = sorted(flux | {folder for file in every if (folder := _cluster_folder(file))})
    applied = {folder: _applied(folder, syncs) for folder in folders}
    own = {folder: _below(applied[folder], every) for folder in folders}
    if any(own.values()):
        own = {folder: found for folder, found in own.items() if found}
    if not own:
        return [ClusterFiles(default, frozenset(), every)]
    shared = every.difference(*own.values())
    names = _names(list(own), default)
    return sorted(
        (ClusterFiles(names[folder], applied[folder], found | shared) for folder, found in own.items()),
        key=lambda cluster: cluster.name,
    )


def sources_of(cluster: ClusterFiles, files: Iterable[str]) -> list[str]:
    """The fewest folders and files that hold the cluster's files and none that are another's, sorted.

    `files` are those of all clusters. A folder is taken whole, so that what comes into it later is read, too. A file
    `.` is one that can't be named: the whole checkout is the source then.
    """
    if "." in cluster.files:
        return ["."]
    folders = {folder for folder in cluster.folders if any(lies_below(file, folder) for file in cluster.files)}
    found = [one for one in folders if not any(one != other and lies_below(one, other) for other in folders)]
    own = _below(cluster.folders, cluster.files)
    return sorted(found + _cover("", cluster.files - own, frozenset(files) - own))


def name_of(text: str) -> str:
    """`text` as a name that fits wherever a cluster's name goes: files, Kustomizations, the command line; or empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].rstrip("-")


def _cluster_folder(path: str) -> str | None:
    """`clusters/<name>` on the way to `path`, with what is above it; None where there is none."""
    parts = path.split("/")
    for index, part in enumerate(parts[:-1]):
        if part == _CLUSTERS and (index + 2 < len(parts) or "." not in parts[index + 1]):
            return "/".join(parts[: index + 2])
    return None


def _applied(folder: str, syncs: Sequence[Sync]) -> frozenset[str]:
    """The folder, and those that the Kustomizations in it apply, and those that the ones there apply in turn."""
    applied = {folder}
    left = list(syncs)
    while found := [one for one in left if any(lies_below(one.file, path) for path in applied)]:
        applied |= {one.path for one in found if one.path}
        left = [one for one in left if one not in found]
    return frozenset(applied)


def _below(folders: Iterable[str], files: frozenset[str]) -> frozenset[str]:
    return frozenset(file for file in files if any(lies_below(file, folder) for folder in folders))


def _names(folders: Sequence[str], default: str) -> dict[str, str]:
    """A name for each folder: its own, where that is enough to tell them apart, else that of its whole path."""
    short = [name_of(folder.rpartition("/")[2]) for folder in folders]
    names: dict[str, str] = {}
    for folder, name in zip(folders, short, strict=True):
        wanted = (name if short.count(name) == 1 else name_of(folder)) or default
        tries = (wanted, *(f"{wanted}-{number}" for number in range(2, len(folders) + 2)))
        names[folder] = next(one for one in tries if one not in names.values())
    return names


def _cover(folder: str, wanted: frozenset[str], files: frozenset[str]) -> list[str]:
    """Folders below `folder`, and files, that hold the `wanted` of `files` and no other."""
    here = {file for file in files if lies_below(file, folder)}
    if not here & wanted:
        return []
    if folder and here <= wanted:
        return [folder]
    depth = len(folder) + 1 if folder else 0
    found = []
    for part in sorted({file[depth:].partition("/")[0] for file in here}):
        found += _cover(f"{folder}/{part}".lstrip("/"), wanted, files)
    return found
