"""A chart as an OCI artifact, as `helm push` makes one, but with the same digest every time.

Helm writes the time into the annotations of the manifest. Without it, and with a config of name and version alone, the
digest follows from the archive, so a build knows it without asking a registry.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from kubocd_gen.oci.descriptors import MANIFEST_TYPE, Descriptor, sha256

CHART_CONFIG_TYPE = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

_TAG_VERSION = 100  # characters of the version in a tag; a tag has at most 128
_TAG_DIGEST = 12  # hexadecimal digits of the archive's digest in a tag
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class ChartArtifact:
    """The artifact of one chart archive, complete: nothing of it depends on where it is pushed."""

    chart: str
    version: str
    archive: bytes
    layer: Descriptor
    config: Descriptor
    config_data: bytes
    manifest: Descriptor
    manifest_data: bytes

    @property
    def repository(self) -> str:
        """The last component of its repository: the chart's name in the form that registries accept."""
        return dashed(self.chart)

    @property
    def tag(self) -> str:
        """Its tag: `<version>-<start of the archive's digest>`, with `_` for the `+` that a tag can't contain.

        Two archives of one version have different tags, because a registry can delete an image that has lost its tag.
        """
        return f"{self.version.replace('+', '_')[:_TAG_VERSION]}-{self.layer.hex[:_TAG_DIGEST]}"


def dashed(name: str) -> str:
    """Return `name` in lower case with a dash for all other characters than letters and digits."""
    return _NOT_IN_NAMES.sub("-", name.lower()).strip("-")


def chart_artifact(chart: str, version: str, archive: bytes) -> ChartArtifact:
    """Return the artifact of a chart. Media types and layout are those of Helm's `helm push` (HIP-6)."""
    config_data = _json({"name": chart, "version": version})
    config = Descriptor(CHART_CONFIG_TYPE, sha256(config_data), len(config_data))
    layer = Descriptor(CHART_LAYER_TYPE, sha256(archive), len(archive))
    manifest_data = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(config),
            "layers": [_descriptor(layer)],
            "annotations": {
                "org.opencontainers.image.title": chart,
                "org.opencontainers.image.version": version,
            },
        }
    )
    manifest = Descriptor(MANIFEST_TYPE, sha256(manifest_data), len(manifest_data))
    return ChartArtifact(chart, version, archive, layer, config, config_data, manifest, manifest_data)


def _descriptor(one: Descriptor) -> dict[str, object]:
    return {"mediaType": one.media_type, "digest": one.digest, "size": one.size}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
