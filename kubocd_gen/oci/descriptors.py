"""The parts of the OCI image specification that kcd-gen uses: media types, descriptors, JSON and digests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.diagnostics.quoting import shown

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGE_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.kubotal.kubocd.package.config.v1alpha1+json"
CONTENT_TYPE = "application/vnd.kubotal.kubocd.package.content.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An OCI descriptor. `digest` is always `sha256:` and 64 hexadecimal digits, which is safe in a path."""

    media_type: str
    digest: str
    size: int  # bytes
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def hex(self) -> str:
        return self.digest.removeprefix("sha256:")

    @property
    def is_manifest(self) -> bool:
        """Whether registries serve it as a manifest and not as a blob."""
        return self.media_type in (MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_LIST_TYPE)


def sha256(data: bytes) -> str:
    """Return the digest of `data` in OCI's format."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def parse_object(data: bytes, *, what: str, code: str, position: Position | None) -> dict[str, Any]:
    """Parse the JSON object `data`. Raises ProblemsError `code`; messages call the data `what`."""
    at = position
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError:
        defect = "is not valid UTF-8"
    except RecursionError:
        defect = "is nested too deeply"
    except json.JSONDecodeError as error:
        at = Position(position.path, error.lineno, error.colno) if position else None
        defect = f"is not valid JSON: {error.msg}"
    except _InvalidError as error:
        defect = str(error)
    except ValueError:  # the only other cause: an integer with more digits than Python accepts
        defect = "contains a number that is too long"
    else:
        if isinstance(value, dict):
            return value
        defect = "is not a JSON object"
    raise ProblemsError.of(code, f"{what} {defect}", at)


class _InvalidError(Exception):
    """A defect of the JSON, as the end of a sentence."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal keys is used, so one could check what another does not use.
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _InvalidError(f"has the duplicate key {shown(key)}")
            seen.add(key)
    return value


def _no_constant(name: str) -> None:
    raise _InvalidError(f"contains {name}, which is not valid JSON")


def check_schema_version(
    image: Mapping[str, Any], *, what: str, code: str, position: Position | None, hint: str | None = None
) -> None:
    """Check that a manifest or index has schema version 2, which the specification requires.

    Other versions have other fields, so clients could see different images. Raises ProblemsError `code`.
    """
    version = image.get("schemaVersion")
    if type(version) is not int or version != 2:
        found = (
            f"the schemaVersion {shown(json.dumps(version)[:100])}" if "schemaVersion" in image else "no schemaVersion"
        )
        raise ProblemsError.of(code, f"{what} has {found}; it must be 2", position=position, hint=hint)


def parse_descriptor(value: object, *, what: str, code: str, position: Position | None) -> Descriptor:
    """Parse a descriptor from JSON. Raises ProblemsError `code`; messages call it `what`."""

    def bad(text: str) -> ProblemsError:
        return ProblemsError.of(code, f"{what} {text}", position)

    if not isinstance(value, dict):
        raise bad("is not a descriptor")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    annotations = value.get("annotations") or {}
    if not isinstance(media_type, str) or not media_type:
        raise bad("has no media type")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        given = f": {shown(digest)}" if isinstance(digest, str) else ""
        raise bad(f"has no valid digest ('sha256:' and 64 hexadecimal digits){given}")
    if type(size) is not int or size < 0:
        raise bad("has no valid size")
    if not isinstance(annotations, dict) or not all(isinstance(text, str) for text in annotations.values()):
        raise bad("has annotations that are not strings")
    return Descriptor(media_type, digest, size, annotations)
