"""Plan the files that `kcd-gen init server` writes for the clusters of a project.

The user owns them from then on: a file that was changed is shown and not replaced.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kubocd_gen.diagnostics.problems import Problems, has_errors
from kubocd_gen.files.paths import checkout_root
from kubocd_gen.model.delivery import FluxSource
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.scaffolding.files import ScaffoldFile, path_below, present
from kubocd_gen.scaffolding.patterns import (
    SOURCE_IGNORE,
    SOURCE_IGNORE_HEADING,
    ignored_directory,
    pattern_file,
)
from kubocd_gen.server.container import MANIFESTS, configuration, containerfile
from kubocd_gen.server.manifests import KUSTOMIZATION, flux_kustomizations, image_entry, server_manifests
from kubocd_gen.server.placement import Placement, place
from kubocd_gen.server.service import service_of
from kubocd_gen.sources.flux_sync import find_applications, find_syncs


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """The options of `kcd-gen init server`.

    `directory` is for Flux's Kustomizations, `image` the repository of the server's image. `without_server`
    are the clusters whose charts something else serves; Flux applies only their releases.
    """

    image: str | None = None
    directory: Path | None = None
    source: FluxSource | None = None
    flux_namespace: str = "flux-system"
    with_containerfile: bool = False
    without_server: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """The planned files of the selected clusters; `placements` are by the name of the cluster.

    `applications` are directories for which Argo CD needs an Application: a checkout without Flux gets no
    Kustomizations, and has no placements.
    """

    root: Path
    files: tuple[ScaffoldFile, ...]
    placements: dict[str, Placement]
    applications: tuple[str, ...] = ()
    one_cluster: bool = True


def plan_server(
    project: Project, clusters: Sequence[Cluster], request: ServerRequest, problems: Problems
) -> ServerPlan | None:
    """Plan the files for `clusters`; returns None after errors, which are added to `problems`.

    Raises ProblemsError if the location of Flux's Kustomizations is unknown, or a path is outside the checkout.
    """
    root = checkout_root(project.root) or Path(os.path.realpath(project.root))
    outputs = {cluster.name: path_below(cluster.output, root) for cluster in clusters}
    directory = None if request.directory is None else path_below(request.directory, root)
    ignored = [cluster.output for cluster in project.clusters]
    syncs = find_syncs(root, ignored)
    alone = len(project.clusters) == 1
    placements = place(outputs, syncs, root, alone=alone, directory=directory, source=request.source)
    argo_cd = directory is None and not any(one.is_root for one in syncs) and find_applications(root, ignored)
    wanted: dict[str, str] = {}
    for cluster in clusters:
        with problems.collect():
            wanted |= _of_cluster(cluster, outputs[cluster.name], placements[cluster.name], root, request)
            if argo_cd:
                del wanted[placements[cluster.name].file]
    files = []
    for name, text in wanted.items():
        with problems.collect():
            files.append(ScaffoldFile(root / name, text.encode(), present(root / name, root)))
    lines = [ignored_directory(f"{one}/{name}".lstrip("/")) for one in outputs.values() for name in ("hr", ".kcd-gen")]
    with problems.collect():
        files.append(pattern_file(root, SOURCE_IGNORE, lines, SOURCE_IGNORE_HEADING))
    if has_errors(problems):
        return None
    if not argo_cd:
        return ServerPlan(root, tuple(files), placements, one_cluster=len(clusters) == 1)
    parts = [
        f"{outputs[one.name]}/{part}".lstrip("/")
        for one in clusters
        for part in ((MANIFESTS,) if one.name not in request.without_server else ()) + ("flux",)
    ]
    return ServerPlan(root, tuple(files), {}, tuple(parts), len(clusters) == 1)


def _of_cluster(
    cluster: Cluster, output: str, placement: Placement, root: Path, request: ServerRequest
) -> dict[str, str]:
    """Return the content of a cluster's files by path relative to `root`."""
    has_server = cluster.name not in request.without_server
    server = str(PurePosixPath(output, MANIFESTS))
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
    image = image_entry(written.decode("utf-8", "replace") if written else None, request.image)
    manifests = server_manifests(service, image=image, flux_namespace=request.flux_namespace)
    texts = {f"{server}/{name}": text for name, text in manifests.items()}
    texts[placement.file] = kustomizations
    if request.with_containerfile:
        texts[f"{server}/Containerfile"] = containerfile()
        texts |= {f"{server}/{PurePosixPath(path).name}": text for path, text in configuration().items()}
    return texts
