"""The namespaces of Releases: which of them the output has to create, because nothing else does.

A Release in a namespace that does not exist stops everything that its Flux Kustomization applies. So the output has a
Namespace for it, unless a manifest of the checkout or the `kubocd-ctrl` chart creates one, or the project says that
namespaces exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.files.paths import FilePath, display_path
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.kustomize.kustomization import Kustomizations
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.finishing import MANAGED_BY
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.output.inventory import NAMESPACES
from kubocd_gen.output.plan import OutputFile
from kubocd_gen.output.resource_changes import resource_changes
from kubocd_gen.sources.cluster_resources import ClusterResources
from kubocd_gen.sources.flux_sync import Surroundings, Sync, list_name, lists_file
from kubocd_gen.sources.namespace_objects import NAMESPACE_MENTION, namespace_names
from kubocd_gen.sources.yaml_files import maps_in

IN_EVERY_CLUSTER = {
    **dict.fromkeys(("default", "kube-system", "kube-public", "kube-node-lease"), "Kubernetes"),
    "flux-system": "Flux",
}
"""Namespaces that exist before anything is applied, with what creates them."""

_SUFFIXES = (".yaml", ".yml")
_ANNOTATIONS = {
    # A namespace is never deleted because its last Release is removed: it can contain other objects.
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
    # Flux takes over fields that kubectl has set, and removes those that the manifest lacks, such as the labels of
    # Pod Security Admission, or `helm.sh/resource-policy: keep`. It leaves a namespace that exists alone with this.
    "kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent",
}


def emitted_namespaces(names: Iterable[str], existing: Mapping[str, str] | None) -> list[str]:
    """Return those of the namespaces that the output creates, sorted. `existing` is that of a Compilation."""
    return [] if existing is None else sorted({*names} - existing.keys())


def namespaces_of(compilation: Compilation) -> frozenset[str]:
    """Return the namespaces of all Releases, also of those that failed."""
    failed = (key.partition("/")[0] for key in compilation.failed)
    return frozenset((*(one.summary.namespace for one in compilation.releases), *failed))


def namespaces_file(names: Iterable[str]) -> OutputFile:
    """Return `flux/namespaces.yaml` with these namespaces, which are sorted."""
    return OutputFile(NAMESPACES, emit_documents([_namespace(name) for name in names]).encode())


def is_as_written(content: bytes) -> bool:
    """Return whether the content of `flux/namespaces.yaml` is what kcd-gen writes for its namespaces.

    Which ones these are depends on the sources, so a file with others was not necessarily edited.
    """
    return namespaces_file(one.name for one in resource_changes(NAMESPACES, None, content)).content == content


def _namespace(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": dict([MANAGED_BY]), "annotations": _ANNOTATIONS},
    }


def missing_target_namespaces(compilation: Compilation) -> Iterator[tuple[str, Problem]]:
    """Yield a problem, with the key of its Release, for each target namespace that nothing in the checkout creates.

    Helm fails to install into it, and Flux does not try again when it is created later.
    """
    if compilation.existing_namespaces is None:
        return
    targets = [
        (one.release, document["metadata"]["name"], document["spec"])
        for one in compilation.releases
        for document in one.helm_releases
    ]
    created = {spec.get("targetNamespace") for _, _, spec in targets if _creates_target(spec)}
    known = {*compilation.existing_namespaces, *namespaces_of(compilation), *created}
    for release, name, spec in targets:
        target = spec.get("targetNamespace")
        if target and target not in known:
            message = f"HelmRelease '{name}' is installed into the namespace '{target}', which nothing creates"
            hint = "set 'createNamespace: true' in the Release, or add a Namespace to the sources"
            position = release.position("spec", "targetNamespace")
            yield release.key, Problem("missing-namespace", message, position, hint)


def _creates_target(spec: Mapping[str, Any]) -> bool:
    install = spec.get("install")
    return isinstance(install, Mapping) and install.get("createNamespace") is True


def existing_namespaces(
    project: Project, cluster: Cluster, resources: ClusterResources, syncs: Sequence[Sync], around: Surroundings
) -> Mapping[str, str] | None:
    """Return the namespaces that something else than the output creates, each with what creates it.

    Returns None if nothing has to be created because the project says so. `syncs` are the Flux Kustomizations of the
    checkout, and `around` is what else it contains.
    """
    if cluster.namespaces == "external":
        return None
    found = {**resources.created_namespaces, **IN_EVERY_CLUSTER}
    for name, file in _beside_output(project, cluster):
        found.setdefault(name, file)
    missing = [one for one in around.namespaces if one.name not in found]
    if missing:
        applied = _Applied(project, cluster, syncs)
        for one in missing:
            if applied.has(one.path):
                found.setdefault(one.name, one.display)
    return found


def find_beside_outputs(project: Project) -> None:
    """Find the namespaces in `server/` of the outputs of a working tree, which then also count for its revisions."""
    for cluster in project.clusters:
        _beside_output(project, cluster)


def _beside_output(project: Project, cluster: Cluster) -> list[tuple[str, str]]:
    """Return the namespaces in `server/` of the output, which `init server` writes, each with its file.

    For a revision, these are the ones of the working tree, as for everything outside of the sources.
    """
    found: list[tuple[str, str]] = project.surroundings.get(
        f"server of {cluster.name}", lambda: [] if project.origin else _in_server(project, cluster)
    )
    return found


def _in_server(project: Project, cluster: Cluster) -> list[tuple[str, str]]:
    directory = cluster.output / "server"
    if not directory.is_dir() or not project.files.holds(Path(os.path.realpath(directory))):
        return []
    listing = list_name(directory)
    found = []
    for path in sorted(directory.iterdir()):
        is_applied = listing is None or lists_file(directory / listing, path.name)
        if path.suffix in _SUFFIXES and is_applied and not path.is_symlink():
            display = display_path(path, project.root)
            for value in maps_in(path, display, (NAMESPACE_MENTION,), project.files):
                found += [(name, display) for name in namespace_names(value)]
    return found


class _Applied:
    """The files of the checkout that Flux applies to the same cluster as the output.

    These are the files of the Kustomizations that apply the output, of those that apply these, and of all that they
    apply. If no Kustomization in the checkout applies the output, every file counts, because it is not known.
    """

    def __init__(self, project: Project, cluster: Cluster, syncs: Sequence[Sync]) -> None:
        self._top = Path(os.path.realpath(project.files.root))
        self._whole: set[Path] = set()  # directories without a kustomization, of which Flux applies all files
        self._listing: dict[Path, set[Path]] = {}  # by a path, the directories whose kustomizations list it
        directories = {id(sync): Path(os.path.realpath(self._top / sync.path)) for sync in syncs}
        reader = Kustomizations(project.root, project.files, project.budget)
        for directory in {*directories.values()}:
            self._add(directory, reader)
        declared: dict[Path, list[Path]] = {}  # by a directory, the files with the Kustomizations that apply it
        applies: dict[Path, list[Path]] = {}  # by a directory, those that the Kustomizations in it apply
        for sync in syncs:
            file, directory = self._file(sync), directories[id(sync)]
            declared.setdefault(directory, []).append(file)
            for one in self._covering(file):
                applies.setdefault(one, []).append(directory)
        self._applied: set[Path] = set()
        waiting = [Path(os.path.realpath(cluster.output)) / "flux"]
        while waiting:
            for directory in self._covering(waiting.pop()) - self._applied:
                self._applied.add(directory)
                waiting += declared.get(directory, ())
        waiting = [*self._applied]
        while waiting:
            for directory in {*applies.get(waiting.pop(), ())} - self._applied:
                self._applied.add(directory)
                waiting.append(directory)

    def has(self, file: Path) -> bool:
        """Return whether Flux applies the file, as far as it is known."""
        return not self._applied or not self._applied.isdisjoint(self._covering(Path(os.path.realpath(file))))

    def _add(self, directory: Path, reader: Kustomizations) -> None:
        start = reader.at(directory)
        if start is None:
            self._whole.add(directory)
            return
        files, kustomizations = reader.reached(start)
        for one in (*files, *(below.directory for below in kustomizations)):
            self._listing.setdefault(one, set()).add(directory)

    def _covering(self, path: Path) -> set[Path]:
        """Return the directories whose Kustomizations apply a file, or a directory with a kustomization."""
        return {one for one in (path, *path.parents) if one in self._whole} | self._listing.get(path, set())

    def _file(self, sync: Sync) -> Path:
        path = sync.resource.file.path if sync.resource else sync.file
        return Path(os.path.realpath(path.absolute if isinstance(path, FilePath) else self._top / sync.file))
