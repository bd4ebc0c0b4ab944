"""Hand-made packages in the form that KuboCD's packager produces: charts, content layers, OCI image layouts.

The bytes depend on the arguments alone. Gzip data is stored, not compressed, because zlib and its forks compress the
same input differently.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, REF_NAME, Descriptor
from kubocd_gen.packages.image import PackageImage

_CREATED = "2025-01-01T00:00:00Z"


def chart_archive(files: Mapping[str, bytes]) -> bytes:
    """Return a chart as `helm package` packs it; names are paths such as `podinfo/Chart.yaml`."""
    return gzipped(tarred(files))


def package_layer(manifest_text: str, status: str, charts: Mapping[str, bytes]) -> bytes:
    """Return a package's content layer; `charts` are chart archives by file name, from which index.yaml is made.

    groomed.yaml is a copy of the manifest: nothing that reads a package reads it.
    """
    files = {
        "original.yaml": manifest_text.encode(),
        "groomed.yaml": manifest_text.encode(),
        "index.yaml": chart_index(charts).encode(),
        "status.yaml": status.encode(),
    }
    return gzipped(tarred({**files, **charts}))


def chart_index(charts: Mapping[str, bytes]) -> str:
    """Return a Helm repository index with relative URLs."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for name, archive in sorted(charts.items()):
        meta = _chart_yaml(archive)
        found = {"created": _CREATED, "digest": hashlib.sha256(archive).hexdigest(), "urls": [name]}
        entries.setdefault(meta["name"], []).append({**meta, **found})
    return yaml.safe_dump({"apiVersion": "v1", "entries": entries, "generated": _CREATED})


def write_layout(directory: Path, layers: Mapping[str, bytes]) -> None:
    """Write an OCI image layout that names each package by its full reference."""
    manifests = [
        {**write_image(directory, layer), "annotations": {REF_NAME: reference}}
        for reference, layer in sorted(layers.items())
    ]
    write_index(directory, manifests)


def write_image(directory: Path, layer: bytes, **changes: Any) -> dict[str, Any]:
    """Write the blobs of one package to a layout's directory and return its descriptor.

    `changes` override fields of the manifest.
    """
    title = "org.opencontainers.image.title"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {**write_blob(directory, b"{}", CONFIG_TYPE), "annotations": {title: "manifest.json"}},
        "layers": [{**write_blob(directory, layer, CONTENT_TYPE), "annotations": {title: "assembly.tgz"}}],
        **changes,
    }
    return write_blob(directory, json.dumps(manifest).encode(), MANIFEST_TYPE)


def write_blob(directory: Path, data: bytes, media_type: str) -> dict[str, Any]:
    """Write a blob to a layout's directory. Returns its descriptor."""
    digest = hashlib.sha256(data).hexdigest()
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def write_index(directory: Path, manifests: list[dict[str, Any]]) -> None:
    """Write the layout's two JSON files."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}, indent=2) + "\n")


def package_image(reference: str, files: Mapping[str, bytes]) -> PackageImage:
    """Return a package of `files` that was never stored anywhere."""
    manifest, layer = (
        Descriptor(MANIFEST_TYPE, f"sha256:{'0' * 64}", 1),
        Descriptor(CONTENT_TYPE, f"sha256:{'1' * 64}", 1),
    )
    return PackageImage(reference, manifest, layer, files)


def tarred(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of regular files without times or owners."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def gzipped(data: bytes) -> bytes:
    """Return a gzip member (RFC 1952) of stored blocks (RFC 1951), with the same bytes everywhere."""
    blocks = [data[start : start + 0xFFFF] for start in range(0, len(data), 0xFFFF)] or [b""]
    stored = b"".join(
        struct.pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks
    )
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stored + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _chart_yaml(archive: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (name,) = (name for name in tar.getnames() if name.count("/") == 1 and name.endswith("/Chart.yaml"))
        file = tar.extractfile(name)
        assert file is not None
        meta: dict[str, Any] = yaml.safe_load(file.read())
        return meta
