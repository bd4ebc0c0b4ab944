"""Assemble a package image from a manifest and its charts, as KuboCD's packager does, but reproducibly.

The layer is a gzip'd tar of files without directories: the manifest, as written and groomed, the chart of each module,
a Helm repository index, and the chart archives. Nothing in it depends on the machine, the clock, or the order in which
charts were fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubocd_gen.archives.chart import Chart
from kubocd_gen.archives.reproducible import stored, tarred
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, Descriptor, sha256
from kubocd_gen.packages.archive import Subject, is_package_file, read_package_archive
from kubocd_gen.packages.image import check_files
from kubocd_gen.packaging.manifest_file import Authored, groomed

_TITLE = "org.opencontainers.image.title"
_VERSION = "org.opencontainers.image.version"
_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class Assembled:
    """A package image: its three blobs, and its files and charts for reports."""

    name: str
    tag: str
    manifest: bytes = field(repr=False)
    config: bytes = field(repr=False)
    layer: bytes = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False, hash=False)
    charts: tuple[Chart, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        return sha256(self.manifest)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(MANIFEST_TYPE, self.digest, len(self.manifest))


def assemble(
    authored: Authored, charts: Sequence[Chart], source_date: int | None, limits: Limits = LIMITS
) -> Assembled:
    """Assemble the image of a package; `charts` are those of its modules, in the order of the modules.

    The image's time is `source_date` (SOURCE_DATE_EPOCH) or, if it is None, that of the newest file in a chart.

    Raises ProblemsError: `chart-conflict` if two modules use different charts with the same name and version,
    `bad-chart` or `bad-archive` if a package can't contain a file.
    """
    package = authored.package
    by_file = _by_file(authored, charts)
    time = max(chart.time for chart in charts) if source_date is None else source_date
    created = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {
        "apiVersion": "v1alpha1",
        "chartByModule": {
            module.name: {"name": chart.name, "version": chart.version}
            for module, chart in sorted(zip(package.modules, charts, strict=True), key=lambda pair: pair[0].name)
        },
    }
    full = groomed(authored)
    texts = {
        "original.yaml": authored.text,
        "groomed.yaml": as_yaml(full),
        "index.yaml": as_yaml(_index(by_file.values(), created)),
        "status.yaml": as_yaml(status),
    }
    files = {name: text.encode("utf-8") for name, text in texts.items()}
    files |= {name: chart.archive for name, chart in sorted(by_file.items())}
    layer = stored(tarred(files, time))
    # Publish only packages that the reader accepts, within the same limits.
    subject = Subject(package.label, package.position("modules"), limits, Budget(limits))
    check_files(read_package_archive(layer, subject), subject)
    config = json.dumps(full, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(config, CONFIG_TYPE, "manifest.json"),
        "layers": [_descriptor(layer, CONTENT_TYPE, "assembly.tgz")],
        "annotations": {_CREATED: created, _TITLE: package.name, _VERSION: package.tag},
    }
    data = json.dumps(manifest, separators=(",", ":")).encode()
    return Assembled(package.name, package.tag, data, config, layer, files, tuple(by_file.values()))


def _by_file(authored: Authored, charts: Sequence[Chart]) -> dict[str, Chart]:
    """Return the charts by file name; modules can share a chart. Raises ProblemsError."""
    found: dict[str, tuple[str, Chart]] = {}
    for index, (module, chart) in enumerate(zip(authored.package.modules, charts, strict=True)):
        position = authored.source_position(index)
        if not is_package_file(chart.file_name):
            message = f"chart '{chart.label}' has a name that is not allowed in a package"
            raise ProblemsError.of("bad-chart", message, position=position)
        # Names that differ only in case would be the same file on macOS.
        key = chart.file_name.lower()
        other, existing = found.setdefault(key, (module.name, chart))
        if existing.archive != chart.archive:
            raise ProblemsError.of(
                "chart-conflict",
                f"modules '{other}' and '{module.name}' use different charts that are both '{chart.label}'",
                position=position,
                hint="change the version of one of them; name and version of a chart must be unique in a package",
            )
    return {chart.file_name: chart for _, chart in found.values()}


def _index(charts: Any, created: str) -> dict[str, Any]:
    """Return a Helm repository index with relative URLs."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for chart in sorted(charts, key=lambda chart: (chart.name, chart.version)):
        entry = {
            **chart.metadata,
            "created": created,
            "digest": hashlib.sha256(chart.archive).hexdigest(),
            "urls": [chart.file_name],
        }
        # helm treats a chart without an apiVersion as v1.
        entry.setdefault("apiVersion", "v1")
        entries.setdefault(chart.name, []).append(dict(sorted(entry.items())))
    return {"apiVersion": "v1", "entries": entries, "generated": created}


def as_yaml(value: Mapping[str, Any]) -> str:
    """Return `value` as a YAML document without the `---` line."""
    return emit_documents([value]).removeprefix("---\n")


def _descriptor(data: bytes, media_type: str, title: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), "annotations": {_TITLE: title}}
