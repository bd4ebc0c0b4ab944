"""Plan the files that `kcd-gen init server` writes for the clusters of a project.

The user owns them from then on: a file that was changed is shown and not replaced.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kubocd_gen.diagnostics.problems import Problems, has_errors
from kubocd_gen.files.paths import checkout_root
from kubocd_gen.model.delivery import FluxSource
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.scaffolding.files import ScaffoldFile, path_below, present
from kubocd_gen.scaffolding.patterns import (
    SOURCE_IGNORE,
    SOURCE_IGNORE_HEADING,
    SOURCE_IGNORE_INVENTORY,
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
    are the clusters whose charts something else serves, or that need no server; Flux applies only their releases.
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
    clusters: tuple[Cluster, ...] = ()
    without_server: frozenset[str] = frozenset()

    @property
    def one_cluster(self) -> bool:
        """Whether one cluster was selected."""
        return len(self.clusters) == 1

    @property
    def has_server(self) -> bool:
        """Whether a selected cluster has a chart server."""
        return any(one.name not in self.without_server for one in self.clusters)

    @property
    def pushes(self) -> bool:
        """Whether a selected cluster gets its charts from a registry."""
        return any(one.delivery.mode == "oci" for one in self.clusters)


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
    served = frozenset(one.name for one in clusters if one.delivery.has_server)
    request = replace(request, without_server=request.without_server | (outputs.keys() - served))
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
    with problems.collect():
        lines = _ignored_lines(clusters, outputs, present(root / SOURCE_IGNORE, root))
        heading = SOURCE_IGNORE_HEADING if served else SOURCE_IGNORE_INVENTORY
        files.append(pattern_file(root, SOURCE_IGNORE, lines, heading))
    if has_errors(problems):
        return None
    if not argo_cd:
        return ServerPlan(root, tuple(files), placements, (), tuple(clusters), frozenset(request.without_server))
    parts = [
        f"{outputs[one.name]}/{part}".lstrip("/")
        for one in clusters
        for part in ((MANIFESTS,) if one.name not in request.without_server else ()) + ("flux",)
    ]
    return ServerPlan(root, tuple(files), {}, tuple(parts), tuple(clusters), frozenset(request.without_server))


def _ignored_lines(clusters: Sequence[Cluster], outputs: Mapping[str, str], existing: bytes | None) -> list[str]:
    """Return the lines of `.sourceignore`: what Flux does not need, and the charts again if an earlier line has them.

    With `delivery: git`, source-controller must keep the charts.
    """
    found = {line.rstrip() for line in (existing or b"").decode("utf-8", "surrogateescape").splitlines()}
    lines = []
    for one in clusters:
        charts, inventory = (
            ignored_directory(f"{outputs[one.name]}/{name}".lstrip("/")) for name in ("hr", ".kcd-gen")
        )
        if one.delivery.has_server:
            lines.append(charts)
        elif one.delivery.writes_charts and charts in found:
            lines.append(f"!{charts}")
        lines.append(inventory)
    return lines


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
        mode=cluster.delivery.mode,
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
