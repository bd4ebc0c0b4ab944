"""The files that `kcd-gen init server` writes for the clusters of a project, planned in memory and then written.

They are the user's from then on: one that was changed since is shown and left alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from kubocd_gen.diagnostics import Findings, KcdError, KcdErrors, Position
from kubocd_gen.files import write_whole
from kubocd_gen.project import Cluster, Project
from kubocd_gen.server.containerfile import containerfile
from kubocd_gen.server.flux_sync import Source, find_syncs
from kubocd_gen.server.manifests import KUSTOMIZATION, flux_kustomizations, image_entry, server_manifests
from kubocd_gen.server.nginx import configuration
from kubocd_gen.server.placement import Placement, place
from kubocd_gen.server.places import FOLDER
from kubocd_gen.server.service import service_of
from kubocd_gen.server.source_ignore import NAME as SOURCE_IGNORE
from kubocd_gen.server.source_ignore import ignored_folder, with_lines
from kubocd_gen.sources.discovery import checkout_root, display_path

Change = Literal["created", "updated", "unchanged", "different"]
_RECORDS = ".kcd-gen"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user says of the scaffold. `folder` is Flux's, `image` the repository of the server's image."""

    image: str | None = None
    folder: Path | None = None
    source: Source | None = None
    flux_namespace: str = "flux-system"
    with_containerfile: bool = False


@dataclass(frozen=True, slots=True)
class ScaffoldFile:
    """A file as it is to be, and as it is (None: not there). With `is_shared` it is added to, never replaced."""

    path: Path
    after: bytes
    before: bytes | None
    is_shared: bool = False

    @property
    def change(self) -> Change:
        if self.before is None:
            return "created"
        if self.before == self.after:
            return "unchanged"
        return "updated" if self.is_shared else "different"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Everything for the clusters that were asked for; `placements` by the cluster's name."""

    root: Path
    files: tuple[ScaffoldFile, ...]
    placements: dict[str, Placement]


def plan(project: Project, clusters: Sequence[Cluster], wish: Wish, findings: Findings) -> Scaffold | None:
    """The files for `clusters`; None where there were errors, all of which are in `findings`."""
    root = checkout_root(project.root) or Path(os.path.realpath(project.root))
    try:
        outputs = {cluster.name: _below(cluster.output, root) for cluster in clusters}
        folder = None if wish.folder is None else _below(wish.folder, root)
        syncs = find_syncs(root, [cluster.output for cluster in project.clusters])
        alone = len(project.clusters) == 1
        placements = place(outputs, syncs, root, alone=alone, folder=folder, source=wish.source)
    except KcdError as error:
        findings.error(error)
        return None
    wanted: dict[str, str] = {}
    for cluster in clusters:
        try:
            wanted |= _of_cluster(cluster, outputs[cluster.name], placements[cluster.name], root, wish)
        except KcdError as error:
            findings.error(error)
    ignored = [ignored_folder(f"{one}/{name}".lstrip("/")) for one in outputs.values() for name in ("hr", _RECORDS)]
    files = []
    for name, text in wanted.items():
        try:
            files.append(ScaffoldFile(root / name, text.encode(), _read(root / name, root)))
        except KcdError as error:
            findings.error(error)
    try:
        before = _read(root / SOURCE_IGNORE, root)
        after = with_lines(before.decode("utf-8", "surrogateescape") if before else None, ignored)
        encoded = after.encode("utf-8", "surrogateescape")
        files.append(ScaffoldFile(root / SOURCE_IGNORE, encoded, before, is_shared=True))
    except KcdError as error:
        findings.error(error)
    if any(one.severity == "error" for one in findings):
        return None
    return Scaffold(root, tuple(files), placements)


def write(scaffold: Scaffold, *, force: bool) -> None:
    """Write what is new or added to, and with `force` what is different. Raises KcdErrors; each file is whole."""
    errors = []
    for file in scaffold.files:
        if file.change == "unchanged" or (file.change == "different" and not force):
            continue
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file.path, file.after)
        except OSError as error:
            errors.append(_unusable(file.path, "can't be written", error))
    if errors:
        raise KcdErrors(errors)


def _of_cluster(cluster: Cluster, output: str, placement: Placement, root: Path, wish: Wish) -> dict[str, str]:
    """The texts of a cluster's files by their paths, relative to `root`."""
    service = service_of(cluster.repository_url, cluster.url_place() if cluster.url_place else None)
    server = str(PurePosixPath(output, FOLDER))
    written = _read(root / server / KUSTOMIZATION, root)
    image = image_entry(written.decode("utf-8", "replace") if written else None, wish.image)
    manifests = server_manifests(service, image=image, flux_namespace=wish.flux_namespace)
    texts = {f"{server}/{name}": text for name, text in manifests.items()}
    texts[placement.file] = flux_kustomizations(
        charts=placement.charts,
        releases=placement.releases,
        namespace=placement.namespace,
        source=placement.source,
        server_path=server,
        releases_path=str(PurePosixPath(output, "flux")),
        service_account=placement.sync.service_account if placement.sync else None,
    )
    if wish.with_containerfile:
        texts[f"{server}/Containerfile"] = containerfile()
        texts |= {f"{server}/{PurePosixPath(path).name}": text for path, text in configuration().items()}
    return texts


def _below(path: Path, root: Path) -> str:
    """`path` relative to the checkout, posix, "" for the checkout itself. Raises KcdError `outside-checkout`."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        raise KcdError(
            f"{display_path(path, Path.cwd())} is not in the checkout {root}",
            code="outside-checkout",
            hint="Flux applies folders of one checkout; write the output, and Flux's folder, in that of the project",
        )
    relative = real.relative_to(root).as_posix()
    return "" if relative == "." else relative


def _read(path: Path, root: Path) -> bytes | None:
    """What is at `path`, None where nothing is. Raises KcdError for what is no file, or lies elsewhere by a link."""
    if path.is_symlink() or not Path(os.path.realpath(path.parent)).is_relative_to(root):
        raise KcdError(
            "this is a link, and what it leads to is not for kcd-gen to write",
            code="unusable-file",
            position=Position(display_path(path, Path.cwd())),
            hint="put a file in its place, or take it away",
        )
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, "can't be read", error) from error


def _unusable(path: Path, what: str, error: OSError) -> KcdError:
    position = Position(display_path(path, Path.cwd()))
    return KcdError(f"the file {what}: {error.strerror or error}", code="unusable-file", position=position)
