"""Fetch the charts of modules as reproducible archives; each source is fetched once per run."""

from __future__ import annotations

import itertools
from pathlib import Path
from urllib.parse import SplitResult

from kubocd_gen.archives.chart import Chart, read_chart
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.descriptors import CONFIG_TYPE, MANIFEST_TYPE, JsonSource
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.directory import Packed, Packer, Tree, chart_files, everything, local_tree
from kubocd_gen.packaging.git import Git, GitTree
from kubocd_gen.packaging.helm_repository import Credentials, HelmRepositories
from kubocd_gen.packaging.manifest_file import ChartSource, GitChart, HelmRepositoryChart, RegistryChart
from kubocd_gen.processes.children import scratch
from kubocd_gen.processes.single_flight import SingleFlight

CHART_CONFIG_TYPE = "application/vnd.cncf.helm.config.v1+json"
CHART_CONTENT_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_OLD_CONTENT_TYPE = "application/tar+gzip"  # helm before 3.7


class Charts:
    """The charts of a run; safe to use from several threads. Errors have no position, because modules share them."""

    def __init__(
        self,
        network: Network,
        transport: Transport,
        registry: Registry,
        credentials: Credentials,
        helm: Path,
        directory: Path,
    ) -> None:
        self._network = network
        self._registry = registry
        self._credentials = credentials
        self._helm = helm
        self._scratch = directory
        self._numbers = itertools.count()
        self._git = Git(network, credentials)
        self._repositories = HelmRepositories(
            transport, credentials, self._from_registry, network.limits, network.budget
        )
        self._packed: SingleFlight[ChartSource, Packed] = SingleFlight(keep=True)
        self._commits: SingleFlight[tuple[str, str], GitTree] = SingleFlight(keep=True)

    def fetch(self, source: ChartSource) -> Packed:
        """Fetch the chart of `source`. Raises ProblemsError without a position."""
        return self._packed.get(source, lambda: self._fetch(source))

    def _fetch(self, source: ChartSource) -> Packed:
        if isinstance(source, HelmRepositoryChart):
            return Packed(self._repositories.fetch(source))
        if isinstance(source, RegistryChart):
            return Packed(fetch_from_registry(source, self._registry, self._network.limits, self._network.budget))
        tree: Tree
        if isinstance(source, GitChart):
            tree = self._commits.get((source.url, source.ref), lambda: self._commit(source))
            path, keep = source.path, chart_files(source.extra_prefixes)
            describe = f"the chart {path or '.'} of {source.url}"
        else:
            tree, path = local_tree(source)
            keep, describe = everything, f"the chart {source.path}"
        with scratch("kcd-gen-chart-") as directory:
            packer = Packer(self._helm, self._network, self._credentials, tree, directory, describe)
            return packer.pack(path, keep)

    def _commit(self, source: GitChart) -> GitTree:
        return self._git.fetch(source, self._scratch / f"store-{next(self._numbers)}")

    def _from_registry(self, reference: str) -> Chart:
        source = RegistryChart(parse_reference(reference))
        return fetch_from_registry(source, self._registry, self._network.limits, self._network.budget)


def open_charts(network: Network, transport: Transport, registry: Registry, helm: Path, directory: Path) -> Charts:
    """Return the charts of a run, with the credentials of its registries; `directory` is empty, for temporary files."""

    def credentials(url: SplitResult) -> tuple[str, str] | None:
        if url.scheme == "oci":
            found = registry.store.find(url.netloc, url.path.strip("/"))
        else:
            found = registry.store.find(url.netloc, scheme=url.scheme)
        return (found.user, found.secret) if found and found.secret else None

    return Charts(network, transport, registry, credentials, helm, directory)


def fetch_from_registry(
    source: RegistryChart, registry: Registry, limits: Limits = LIMITS, budget: Budget | None = None
) -> Chart:
    """Fetch the chart; its archive is not changed, and a provenance file is ignored.

    Raises ProblemsError: `bad-chart` if the image is not a Helm chart, and the errors of the registry.
    """
    reference = source.reference
    access = Access(insecure=source.insecure, setting="module")
    descriptor, data = registry.read_manifest(reference, None, access)
    json = JsonSource(f"the manifest of {reference}", "bad-chart")
    manifest = json.read(data)
    json.check_schema_version(manifest)
    config = manifest.get("config")
    kind = config.get("mediaType") if isinstance(config, dict) else None
    if descriptor.media_type != MANIFEST_TYPE or kind != CHART_CONFIG_TYPE:
        actual = "it is a KuboCD package" if kind == CONFIG_TYPE else f"its config has the type {shown(str(kind))}"
        raise ProblemsError.of("bad-chart", f"{reference} is not a Helm chart: {actual}")
    layers = manifest.get("layers")
    listed = layers if isinstance(layers, list) else []
    parts = [json.descriptor(layer, f"a layer of {reference}") for layer in listed]
    contents = [part for part in parts if part.media_type in (CHART_CONTENT_TYPE, _OLD_CONTENT_TYPE)]
    if len(contents) != 1:
        message = f"{reference} must have exactly one chart layer, not {len(contents)}"
        raise ProblemsError.of("bad-chart", message)
    archive = registry.read_blob(reference, contents[0], access, limit=limits.layer)
    return read_chart(archive, describe=f"the chart {reference}", limits=limits, budget=budget)
