"""The files that `kcd-gen init server` writes for the clusters of a project, planned in memory and then written.

They are the user's from then on: one that was changed since is shown and left alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.files.paths import checkout_root
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.scaffolding.files import ScaffoldFile, path_below, present
from kubocd_gen.scaffolding.pattern_lines import pattern_file
from kubocd_gen.scaffolding.source_ignore import HEADING, ignored_folder
from kubocd_gen.scaffolding.source_ignore import NAME as SOURCE_IGNORE
from kubocd_gen.server.containerfile import containerfile
from kubocd_gen.server.flux_sync import Source, find_syncs
from kubocd_gen.server.layout import FOLDER
from kubocd_gen.server.manifests import KUSTOMIZATION, flux_kustomizations, image_entry, server_manifests
from kubocd_gen.server.nginx import configuration
from kubocd_gen.server.placement import Placement, place
from kubocd_gen.server.service import service_of

_RECORDS = ".kcd-gen"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user says of the scaffold. `folder` is Flux's, `image` the repository of the server's image.

    `without_server` names the clusters whose charts something else serves: Flux applies their releases alone.
    """

    image: str | None = None
    folder: Path | None = None
    source: Source | None = None
    flux_namespace: str = "flux-system"
    with_containerfile: bool = False
    without_server: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Everything for the clusters that were asked for; `placements` by the cluster's name."""

    root: Path
    files: tuple[ScaffoldFile, ...]
    placements: dict[str, Placement]


def plan(project: Project, clusters: Sequence[Cluster], wish: Wish, findings: Problems) -> Scaffold | None:
    """The files for `clusters`; None where there were errors, all of which are in `findings`."""
    root = checkout_root(project.root) or Path(os.path.realpath(project.root))
    try:
        outputs = {cluster.name: path_below(cluster.output, root) for cluster in clusters}
        folder = None if wish.folder is None else path_below(wish.folder, root)
        syncs = find_syncs(root, [cluster.output for cluster in project.clusters])
        alone = len(project.clusters) == 1
        placements = place(outputs, syncs, root, alone=alone, folder=folder, source=wish.source)
    except ProblemsError as error:
        findings.error(error)
        return None
    wanted: dict[str, str] = {}
    for cluster in clusters:
        try:
            wanted |= _of_cluster(cluster, outputs[cluster.name], placements[cluster.name], root, wish)
        except ProblemsError as error:
            findings.error(error)
    ignored = [ignored_folder(f"{one}/{name}".lstrip("/")) for one in outputs.values() for name in ("hr", _RECORDS)]
    files = []
    for name, text in wanted.items():
        try:
            files.append(ScaffoldFile(root / name, text.encode(), present(root / name, root)))
        except ProblemsError as error:
            findings.error(error)
    try:
        files.append(pattern_file(root, SOURCE_IGNORE, ignored, HEADING))
    except ProblemsError as error:
        findings.error(error)
    if any(one.severity == "error" for one in findings):
        return None
    return Scaffold(root, tuple(files), placements)


def _of_cluster(cluster: Cluster, output: str, placement: Placement, root: Path, wish: Wish) -> dict[str, str]:
    """The texts of a cluster's files by their paths, relative to `root`."""
    has_server = cluster.name not in wish.without_server
    server = str(PurePosixPath(output, FOLDER))
    kustomizations = flux_kustomizations(
        charts=placement.charts if has_server else None,
        releases=placement.releases,
        namespace=placement.namespace,
        source=placement.source,
        server_path=server,
        releases_path=str(PurePosixPath(output, "flux")),
        service_account=placement.sync.service_account if placement.sync else None,
    )
    if not has_server:
        return {placement.file: kustomizations}
    service = service_of(cluster.repository_url, cluster.url_place() if cluster.url_place else None)
    written = present(root / server / KUSTOMIZATION, root)
    image = image_entry(written.decode("utf-8", "replace") if written else None, wish.image)
    manifests = server_manifests(service, image=image, flux_namespace=wish.flux_namespace)
    texts = {f"{server}/{name}": text for name, text in manifests.items()}
    texts[placement.file] = kustomizations
    if wish.with_containerfile:
        texts[f"{server}/Containerfile"] = containerfile()
        texts |= {f"{server}/{PurePosixPath(path).name}": text for path, text in configuration().items()}
    return texts
