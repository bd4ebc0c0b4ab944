"""Choose the file and the names of a cluster's two Flux Kustomizations, based on what Flux applies already."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.model.delivery import FLUX_NAMESPACE, FluxSource
from kubocd_gen.server.flux_roots import cluster_roots, roots_named
from kubocd_gen.sources.flux_sync import Sync, lies_below, list_name

_DIRECTORY = "cluster"  # in the output, if no directory that Flux applies is known
_FILE = "kcd-gen-kustomizations"
_DEFAULT = FluxSource("GitRepository", FLUX_NAMESPACE, FLUX_NAMESPACE)


@dataclass(frozen=True, slots=True)
class Placement:
    """The file and names of the Kustomizations. Paths are relative to the checkout's root.

    `sync` is the Kustomization that applies the directory of `file`, or None. `list_file` is the kustomization.yaml
    that must list the file, or None if Flux applies all files.
    """

    file: str
    charts: str
    releases: str
    namespace: str
    source: FluxSource
    sync: Sync | None
    list_file: str | None


def place(
    outputs: Mapping[str, str],
    syncs: Sequence[Sync],
    root: Path,
    *,
    alone: bool,
    directory: str | None = None,
    source: FluxSource | None = None,
) -> dict[str, Placement]:
    """Return the placement for each cluster of `outputs`, which are directories relative to the checkout at `root`.

    `alone` is set if the project has no other cluster; `directory` and `source` are given by the user. Raises
    ProblemsError `ambiguous-flux-folder` if several directories are possible, and `applied-output` if Flux would apply
    the output again as a part of such a directory.
    """
    roots = cluster_roots(syncs) or [one for one in syncs if one.is_root]
    found = {name: _sync(name, roots, directory, alone=alone) for name in outputs}
    directories = {}
    for name, output in outputs.items():
        sync = found[name]
        if sync:
            _check_output(output, sync, root)
        directories[name] = directory or (sync.path if sync else posixpath.join(output, _DIRECTORY))
    return {name: _placement(name, directories, found[name], syncs, root, source, alone=alone) for name in outputs}


def _placement(
    cluster: str,
    directories: Mapping[str, str],
    sync: Sync | None,
    syncs: Sequence[Sync],
    root: Path,
    source: FluxSource | None,
    *,
    alone: bool,
) -> Placement:
    directory = directories[cluster]
    shared = list(directories.values()).count(directory) > 1
    file = posixpath.join(directory, f"{_FILE}.yaml" if alone else f"{_FILE}-{cluster}.yaml")
    namespace = sync.namespace if sync else FLUX_NAMESPACE
    others = [one for one in syncs if one.namespace == namespace and one.file != file]
    taken = {one.name for one in others if lies_below(one.file, directory)}
    prefix = f"{cluster}-" if shared or taken & {"charts", "releases"} else ""
    return Placement(
        file=file,
        charts=f"{prefix}charts",
        releases=f"{prefix}releases",
        namespace=namespace,
        source=source or (sync.source if sync else _DEFAULT),
        sync=sync,
        list_file=posixpath.join(directory, listed) if (listed := list_name(root / directory)) else None,
    )


def _check_output(output: str, sync: Sync, root: Path) -> None:
    if lies_below(output, sync.path) and not list_name(root / sync.path):
        raise ProblemsError.of(
            "applied-output",
            f"the output {shown(output)} is inside {shown(sync.path or '.')}, which Flux applies (see {sync.file})",
            hint="move the output out of that directory: Flux cannot build its index.yaml files, and would apply the "
            "other files twice",
        )


def _sync(cluster: str, roots: Sequence[Sync], directory: str | None, *, alone: bool) -> Sync | None:
    """Return the Kustomization that applies the cluster's Flux directory, or None if the checkout has none."""
    if directory is not None:
        parents = [one for one in roots if lies_below(directory, one.path)]
        return max(parents, key=lambda one: len(one.path), default=None)
    found = roots_named(cluster, roots) or (list(roots) if alone else [])
    paths = sorted({one.path for one in found})
    if len(paths) > 1:
        candidates = ", ".join(shown(path or ".") for path in paths)
        raise ProblemsError.of(
            "ambiguous-flux-folder",
            f"several directories can be the Flux directory of the cluster {shown(cluster)}: {candidates}",
            hint=f"choose one, for example: --cluster {cluster} --flux-dir {paths[0] or '.'}",
        )
    return found[0] if found else None
