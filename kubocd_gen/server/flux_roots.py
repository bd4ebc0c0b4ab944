"""Distinguish the clusters that Flux manages from a checkout: one for each root, with its directories and its name.

A root is a Kustomization that applies the directory of its own file, as `flux bootstrap` creates it, or the sync of a
FluxInstance. Two roots are never the same cluster, unless another root applies one of them under another name: then it
is a part of that cluster, such as the Kustomization of a tenant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from kubocd_gen.sources.flux_sync import Sync, lies_below

CLUSTERS = "clusters"
_LONGEST_NAME = 40  # characters; names of Kustomizations and files contain it
_OF_FLUX = ("flux", "flux-system", "fluxcd", "gitops")  # directories in a cluster's directory that don't name it


def cluster_roots(syncs: Sequence[Sync]) -> list[Sync]:
    """Return one root for each cluster, sorted by path. The root of a checkout is one only next to others."""
    candidates: dict[str, Sync] = {}
    for sync in sorted(syncs, key=lambda one: (one.path.count("/"), one.path, one.name, one.namespace, one.file)):
        if sync.is_root:
            candidates.setdefault(sync.path, sync)
    found = list(candidates.values())
    directories = {one.path for one in found}
    applied = {one.path: applied_by(one.path, syncs, directories) for one in found}
    accepted: list[Sync] = []
    for sync in found:
        parents = (one for one in accepted if any(lies_below(sync.file, path) for path in applied[one.path]))
        if all((one.namespace, one.name) == (sync.namespace, sync.name) for one in parents):
            accepted.append(sync)
    if len(accepted) == 1 and not accepted[0].path:
        return []
    return sorted(accepted, key=lambda one: one.path)


def home_of(path: str, others: Collection[str]) -> str:
    """Return the directory of the cluster whose root applies `path`: its parent if `path` is named after Flux.

    The parent must not contain one of the `others`, which are the paths of all roots.
    """
    parent, _, name = path.rpartition("/")
    if name not in _OF_FLUX or not parent or parent.rpartition("/")[2] == CLUSTERS:
        return path
    return path if any(one != path and lies_below(one, parent) for one in others) else parent


def applied_by(directory: str, syncs: Sequence[Sync], others: Collection[str]) -> frozenset[str]:
    """Return `directory` and all directories that the Kustomizations in it apply, recursively.

    `others` are directories of clusters; Kustomizations in another one than `directory` are not followed.
    """
    applied = {directory}
    remaining = list(syncs)
    while found := [one for one in remaining if is_below(one.file, applied, others, directory)]:
        applied |= {one.path for one in found if one.path and (one.path == directory or one.path not in others)}
        remaining = [one for one in remaining if one not in found]
    return frozenset(applied)


def is_below(file: str, directories: Collection[str], others: Collection[str], own: str) -> bool:
    """Return whether `file` is below one of `directories`, but not in a directory of `others` that it contains."""
    return any(
        lies_below(file, one)
        and not any(other not in (own, one) and lies_below(file, other) and lies_below(other, one) for other in others)
        for one in directories
    )


def name_of(text: str) -> str:
    """Convert `text` to a valid cluster name for files, Kustomizations and the command line; it can be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].rstrip("-")


def cluster_names(directories: Sequence[str], default: str) -> dict[str, str]:
    """Return a unique name for each directory, made of as few of its last components as make all names unique."""
    deepest = max((one.count("/") for one in directories), default=0) + 1
    for depth in range(1, deepest + 1):
        short = [name_of("-".join(one.split("/")[-depth:])) for one in directories]
        if len(set(short)) == len(short):
            break
    names: dict[str, str] = {}
    for directory, name in zip(directories, short, strict=True):
        preferred = name or default
        candidates = (preferred, *(f"{preferred}-{number}" for number in range(2, len(directories) + 2)))
        names[directory] = next(one for one in candidates if one not in names.values())
    return names


def roots_named(name: str, roots: Sequence[Sync]) -> list[Sync]:
    """Return the roots of the cluster `name`: those whose directory ends with its name, or else contains it."""
    paths = {one.path for one in roots}
    homes = [(one, home_of(one.path, paths).split("/")) for one in roots]
    ends = [one for one, parts in homes if any(_is_named(name, parts[start:]) for start in range(len(parts)))]
    return ends or [one for one, parts in homes if name in parts]


def _is_named(name: str, parts: Sequence[str]) -> bool:
    return name in ("-".join(parts), name_of("-".join(parts)))
