"""Miniature base images in image layouts: for one platform or several, with OCI's media types or Docker's."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubocd_gen.oci.descriptors import (
    DOCKER_LIST_TYPE,
    DOCKER_MANIFEST_TYPE,
    IMAGE_CONFIG_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    sha256,
)
from kubocd_gen.oci.layout_writer import LayoutWriter

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
Json = dict[str, Any]


def layer_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of the files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


@dataclass(frozen=True, slots=True)
class BaseMaker:
    """Writes base images into the layout at `directory`, optionally with Docker's media types."""

    directory: Path
    docker: bool = False

    @property
    def writer(self) -> LayoutWriter:
        return LayoutWriter(self.directory)

    def json(self, descriptor: Descriptor) -> Json:
        return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}

    def blob(self, data: bytes, media_type: str) -> Json:
        return self.json(self.writer.put_blob(data, media_type))

    def image(self, architecture: str = "amd64", *, changes: Mapping[str, Any] | None = None, **config: Any) -> Json:
        """Write an image and return its manifest as an index entry.

        `changes` apply to the manifest, the other arguments to the config.
        """
        layers = [layer_bytes({"etc/base": b"the same everywhere"}), layer_bytes({"bin/nginx": architecture.encode()})]
        packed = [gzip.compress(layer, mtime=0) for layer in layers]
        image_config: Json = {
            "os": "linux",
            "architecture": architecture,
            "created": "2024-02-03T04:05:06Z",
            "config": {
                "Env": ["PATH=/bin", "NGINX=1"],
                "Entrypoint": ["/entrypoint.sh"],
                "Cmd": ["nginx"],
                "Labels": {"vendor": "somebody", "org.opencontainers.image.title": "nginx"},
                "Volumes": {"/data": {}},
            },
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
            "history": [{"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "COPY"}],
        } | config
        manifest: Json = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST_TYPE if self.docker else MANIFEST_TYPE,
            "config": self.blob(json.dumps(image_config).encode(), DOCKER_CONFIG if self.docker else IMAGE_CONFIG_TYPE),
            "layers": [self.blob(layer, DOCKER_LAYER if self.docker else f"{LAYER_TYPE}+gzip") for layer in packed],
        } | dict(changes or {})
        return self.blob(json.dumps(manifest).encode(), manifest["mediaType"])

    def index(self, entries: Sequence[Json]) -> Json:
        media_type = DOCKER_LIST_TYPE if self.docker else INDEX_TYPE
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}
        return self.blob(json.dumps(index).encode(), media_type)

    def platforms(self) -> Json:
        """Write an index for two platforms, one of them with a variant, and an attestation."""
        arm = self.image("arm64")
        return self.index(
            [
                self.image("amd64") | {"platform": {"os": "linux", "architecture": "amd64"}},
                arm | {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
                self.image("unknown", os="unknown")
                | {
                    "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {
                        "vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": arm["digest"],
                    },
                },
            ]
        )

    def named(self, entry: Json, name: str = "base") -> str:
        """Name an image in the layout and return the reference for `--base`."""
        self.writer.tag(name, Descriptor(entry["mediaType"], entry["digest"], entry["size"]))
        return f"oci:{self.directory}:{name}"
