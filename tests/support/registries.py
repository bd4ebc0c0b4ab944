"""An in-memory registry, for tests of the layers above the client; the client itself is tested against real ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, Descriptor, sha256
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.reference import Reference
from kubocd_gen.oci.registry import Registry


@dataclass(slots=True)
class MemoryRegistry:
    """Stores images by reference, and records each request as `verb subject`."""

    tags: dict[str, Descriptor] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed: bool = False

    def push(self, reference: str, layer: bytes) -> Descriptor:
        """Store a package with this layer as `reference`."""
        config, content = self._put(b"{}", CONFIG_TYPE), self._put(layer, CONTENT_TYPE)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _json(config),
            "layers": [_json(content)],
        }
        self.tags[reference] = self._put(json.dumps(manifest).encode(), MANIFEST_TYPE)
        return self.tags[reference]

    def client(self) -> Registry:
        """Return the registry itself, which has the client's interface."""
        return cast("Registry", self)

    def resolve(self, reference: Reference, access: Access) -> Descriptor:
        self.asked.append(f"resolve {reference}")
        if str(reference) not in self.tags:
            raise NetworkError(f"{reference.registry} has no {reference}", code="missing-package")
        return self.tags[str(reference)]

    def read_manifest(self, reference: Reference, digest: str | None, access: Access) -> tuple[Descriptor, bytes]:
        assert digest is not None
        self.asked.append(f"manifest {reference}")
        data = self.blobs[digest]
        return Descriptor(MANIFEST_TYPE, digest, len(data)), data

    def read_blob(self, reference: Reference, descriptor: Descriptor, access: Access, *, limit: int) -> bytes:
        self.asked.append(f"blob {reference}")
        return self.blobs[descriptor.digest]

    def warnings(self) -> tuple[Problem, ...]:
        return ()

    def close(self) -> None:
        self.closed = True

    def _put(self, data: bytes, media_type: str) -> Descriptor:
        self.blobs[sha256(data)] = data
        return Descriptor(media_type, sha256(data), len(data))


def _json(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
