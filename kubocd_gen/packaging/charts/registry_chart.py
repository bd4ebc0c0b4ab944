"""Charts from OCI registries, as `helm push` writes them."""

from __future__ import annotations

from kubocd_gen.archives.chart import Chart, read_chart
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.oci.descriptors import CONFIG_TYPE, MANIFEST_TYPE, JsonSource
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.charts.sources import RegistryChart

CHART_CONFIG_TYPE = "application/vnd.cncf.helm.config.v1+json"
CHART_CONTENT_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_OLD_CONTENT_TYPE = "application/tar+gzip"  # helm before 3.7


def fetch_from_registry(source: RegistryChart, registry: Registry, limits: Limits = LIMITS) -> Chart:
    """Fetch the chart; its archive is not changed, and a provenance file is ignored.

    Raises ProblemsError: `bad-chart` if the image is not a Helm chart, and the errors of the registry.
    """
    reference = source.reference
    access = Access(insecure=source.insecure)
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
    return read_chart(archive, describe=f"the chart {reference}", limits=limits)
