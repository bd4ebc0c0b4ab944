"""Fetch a module's chart from its source; each source is fetched once per run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kubocd_gen.archives.chart import Chart
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.charts.downloads import Credentials, Downloads
from kubocd_gen.packaging.charts.folder import Packed, Packer, chart_files
from kubocd_gen.packaging.charts.git import Git, GitTree
from kubocd_gen.packaging.charts.helm_repository import HelmRepositories
from kubocd_gen.packaging.charts.registry_chart import fetch_from_registry
from kubocd_gen.packaging.charts.sources import ChartSource, GitChart, HelmRepositoryChart, LocalChart, RegistryChart
from kubocd_gen.packaging.charts.trees import LocalTree
from kubocd_gen.processes.single_flight import SingleFlight


class Charts:
    """The charts of a run; safe to use from several threads. Errors have no position, because modules share them."""

    def __init__(
        self,
        network: Network,
        transport: Transport,
        registry: Registry,
        credentials: Credentials,
        helm: Path,
        scratch: Path,
    ) -> None:
        self._network = network
        self._registry = registry
        self._credentials = credentials
        self._helm = helm
        self._scratch = scratch
        self._git = Git(network, credentials)
        self._repositories = HelmRepositories(Downloads(transport, credentials), self._from_registry, network.limits)
        self._packed: SingleFlight[ChartSource, Packed] = SingleFlight(keep=True)
        self._commits: SingleFlight[tuple[str, str], GitTree] = SingleFlight(keep=True)

    def fetch(self, source: ChartSource) -> Packed:
        """Fetch the chart of `source`. Raises ProblemsError without a position."""
        return self._packed.get(source, lambda: self._fetch(source))

    def _fetch(self, source: ChartSource) -> Packed:
        if isinstance(source, HelmRepositoryChart):
            return Packed(self._repositories.fetch(source))
        if isinstance(source, RegistryChart):
            return Packed(fetch_from_registry(source, self._registry, self._network.limits))
        packer = Packer(self._helm, self._network, self._credentials)
        with tempfile.TemporaryDirectory(dir=self._scratch) as directory:  # noqa: TID251 - in a scratch directory
            if isinstance(source, GitChart):
                tree = self._commits.get((source.url, source.ref), lambda: self._commit(source))
                describe = f"the chart {source.path or '.'} of {source.url}"
                keep = chart_files(source.extra_prefixes)
                return packer.pack(tree, source.path, Path(directory), describe=describe, keep=keep)
            local, path = local_tree(source)
            return packer.pack(local, path, Path(directory), describe=f"the chart {source.path}")

    def _commit(self, source: GitChart) -> GitTree:
        return self._git.fetch(source, Path(tempfile.mkdtemp(dir=self._scratch)) / "store")

    def _from_registry(self, reference: str) -> Chart:
        return fetch_from_registry(RegistryChart(parse_reference(reference)), self._registry, self._network.limits)


def open_charts(network: Network, transport: Transport, registry: Registry, helm: Path, scratch: Path) -> Charts:
    """Return the charts of a run, with the credentials of its registries; `scratch` is an empty working directory."""

    def credentials(host: str) -> tuple[str, str] | None:
        found = registry.store.find(host)
        return (found.user, found.secret) if found and found.secret else None

    return Charts(network, transport, registry, credentials, helm, scratch)


def local_tree(source: LocalChart) -> tuple[LocalTree, str]:
    """Return the directories that a local chart can use, and the chart's own directory.

    Raises ProblemsError: `missing-chart` if it is not a directory with a Chart.yaml, `bad-chart` if its path follows a
    symlink out of the manifest's directory, `outside-checkout` if it is not in the manifest's checkout.
    """
    base = Path(os.path.realpath(source.directory))
    path = Path(os.path.normpath(base / source.path))
    real = Path(os.path.realpath(path))
    describe = f"the chart {source.path}"
    if real != path and not real.is_relative_to(base):
        raise ProblemsError.of(
            "bad-chart",
            f"{describe} is a symlink to {shown(str(real))}, outside the manifest's directory",
            hint="use the path of the directory itself",
        )
    if source.files is not None and not source.files.holds(real):
        raise ProblemsError(source.files.refusal(f"{describe}, a path of the manifest,", real))
    if not (real / "Chart.yaml").is_file():
        what = "has no Chart.yaml" if real.is_dir() else "is not a directory"
        hint = "set source.local.path to the chart's directory, relative to the manifest"
        raise ProblemsError.of("missing-chart", f"{describe} {what}", hint=hint)
    return LocalTree(describe, (base, real)), str(real)
