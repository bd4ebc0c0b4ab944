"""Where the two Flux Kustomizations of a cluster go, and what they are called, judged by what Flux applies already."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.server.flux_sync import FLUX_NAMESPACE, KINDS, Source, Sync, lies_below, list_name

_FOLDER = "cluster"  # in the output, where no folder of Flux's is known
_FILE = "kcd-gen-kustomizations"
_DEFAULT = Source("GitRepository", FLUX_NAMESPACE, FLUX_NAMESPACE)


@dataclass(frozen=True, slots=True)
class Placement:
    """Paths are relative to the checkout's root. `sync` is what applies the folder of `file`, None where nothing does.

    `list_file` is the kustomization.yaml there that has to name the file, None where Flux takes all files.
    """

    file: str
    charts: str
    releases: str
    namespace: str
    source: Source
    sync: Sync | None
    list_file: str | None


def place(
    outputs: Mapping[str, str],
    syncs: Sequence[Sync],
    root: Path,
    *,
    alone: bool,
    folder: str | None = None,
    source: Source | None = None,
) -> dict[str, Placement]:
    """The place for each cluster of `outputs`, which are folders relative to the checkout at `root`.

    `alone` says that the project has no other cluster; `folder` and `source` are what the user wants. Raises
    ProblemsError: `ambiguous-flux-folder` where several folders could be meant, `applied-output` where Flux would apply
    the output a second time, as a part of such a folder.
    """
    found = {name: _sync(name, [one for one in syncs if one.is_root], folder, alone=alone) for name in outputs}
    folders = {}
    for name, output in outputs.items():
        sync = found[name]
        if sync:
            _check_output(output, sync, root)
        folders[name] = folder or (sync.path if sync else posixpath.join(output, _FOLDER))
    return {name: _placement(name, folders, found[name], syncs, root, source, alone=alone) for name in outputs}


def parse_source(text: str) -> Source | None:
    """`GitRepository/NAME` or `GitRepository/NAMESPACE/NAME`; None for anything else."""
    kind, _, rest = text.partition("/")
    namespace, _, name = rest.rpartition("/")
    return Source(kind, name, namespace or FLUX_NAMESPACE) if kind in KINDS and name and "/" not in namespace else None


def _placement(
    cluster: str,
    folders: Mapping[str, str],
    sync: Sync | None,
    syncs: Sequence[Sync],
    root: Path,
    source: Source | None,
    *,
    alone: bool,
) -> Placement:
    folder = folders[cluster]
    shared = list(folders.values()).count(folder) > 1
    file = posixpath.join(folder, f"{_FILE}.yaml" if alone else f"{_FILE}-{cluster}.yaml")
    namespace = sync.namespace if sync else FLUX_NAMESPACE
    others = [one for one in syncs if one.namespace == namespace and one.file != file and lies_below(one.file, folder)]
    taken = {one.name for one in others}
    prefix = f"{cluster}-" if shared or taken & {"charts", "releases"} else ""
    return Placement(
        file=file,
        charts=f"{prefix}charts",
        releases=f"{prefix}releases",
        namespace=namespace,
        source=source or (sync.source if sync else _DEFAULT),
        sync=sync,
        list_file=posixpath.join(folder, listed) if (listed := list_name(root / folder)) else None,
    )


def _check_output(output: str, sync: Sync, root: Path) -> None:
    if lies_below(output, sync.path) and not list_name(root / sync.path):
        raise ProblemsError(
            Problem(
                "applied-output",
                f"the output {shown(output)} is in {shown(sync.path or '.')}, which Flux applies (by {sync.file})",
                hint="move the output: its index.yaml files break Flux's build, and the rest would be applied twice",
            )
        )


def _sync(cluster: str, roots: Sequence[Sync], folder: str | None, *, alone: bool) -> Sync | None:
    """What applies the cluster's Flux folder, None where nothing in the checkout says so."""
    if folder is not None:
        above = [one for one in roots if lies_below(folder, one.path)]
        return max(above, key=lambda one: len(one.path), default=None)
    found = [one for one in roots if cluster in one.path.split("/")] or (list(roots) if alone else [])
    paths = sorted({one.path for one in found})
    if len(paths) > 1:
        raise ProblemsError(
            Problem(
                "ambiguous-flux-folder",
                f"Flux applies {', '.join(shown(path or '.') for path in paths)}; each could be for {shown(cluster)}",
                hint=f"say which it is: --cluster {cluster} --flux-dir {paths[0] or '.'}",
            )
        )
    return found[0] if found else None
