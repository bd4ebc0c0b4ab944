"""The files that the builds of a project read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.checkout.discovery import SUFFIXES
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.files.paths import checkout_root
from kubocd_gen.model.project import STDIN, Cluster, Project

_WRITTEN = ("flux", "hr")  # the directories of an output that a build writes, and that are not hidden
_SERVER = "server"  # the directory of an output that `init` and `image` write
_RULES = (".gitignore", ".gitattributes", ".sourceignore")  # with 'delivery: git', they decide which charts Flux gets
_LARGEST_POINTER = 4096


@dataclass(frozen=True, slots=True)
class Watched:
    """The files that a build reads: single files, and sources as given in a project, except those in `ignored`.

    In directories and globs, only files with one of `suffixes` count. Builds also read the YAML files of the directory
    `around`, to find kustomizations, Flux's resources and namespaces. While the file `lock` exists, Git changes files.
    """

    files: tuple[Path, ...]
    root: Path
    sources: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()
    around: Path | None = None
    readable: CheckoutFiles | None = None
    suffixes: tuple[str, ...] = SUFFIXES
    limits: Limits = LIMITS
    lock: Path | None = None


def watched(project: Project, project_file: Path | None) -> Watched:
    """Return the files that the builds of a project read; `project_file` is None for a project given by flags."""
    files = [project.lock_path]
    if project_file:
        files.append(project_file)
    if project.vendor:  # its blobs are named by their digest and never change
        files += [project.vendor / "index.json", project.vendor / "oci-layout"]
    if project.ca_file:
        files.append(project.ca_file)
    files += [rules for cluster in project.clusters for rules in _rules(cluster)]
    sources = [source for cluster in project.clusters for source in cluster.sources if source != STDIN]
    sources += [str(cluster.output / _SERVER) for cluster in project.clusters]
    # kustomize reads files of any name, for example for a ConfigMap
    any_name = any(cluster.rendered for cluster in project.clusters)
    ignored = [cluster.output / name for cluster in project.clusters for name in _WRITTEN]
    return Watched(
        tuple(files),
        project.root,
        tuple(dict.fromkeys(sources)),
        (*ignored, *([project.vendor] if project.vendor else [])),
        project.files.root,
        project.files,
        ("",) if any_name else (*SUFFIXES, "Kustomization"),
        project.limits,
        _git_lock(project.root),
    )


def _rules(cluster: Cluster) -> Iterator[Path]:
    """Yield the files with rules about the charts in the output, also those that do not exist."""
    if not cluster.delivery.depends_on_flux:
        return
    top = checkout_root(cluster.output)
    output = Path(os.path.realpath(cluster.output))
    for directory in (output / "hr", output, *output.parents):
        if top is None or not directory.is_relative_to(top):
            return
        yield from (directory / name for name in _RULES)


def _git_lock(directory: Path) -> Path | None:
    """Return the file that Git creates while it changes the files of the working tree that `directory` is in."""
    top = checkout_root(directory)
    if top is None:
        return None
    store = top / ".git"
    try:
        if store.is_file():  # of a linked working tree or a submodule
            with store.open("rb") as file:
                pointer = file.read(_LARGEST_POINTER)
            store = top / os.fsdecode(pointer.removeprefix(b"gitdir:").strip())
        return store / "index.lock"
    except (OSError, ValueError):
        return None
