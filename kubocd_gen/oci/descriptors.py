"""The parts of the OCI image specification that kcd-gen uses: media types, descriptors, JSON and digests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubocd_gen.checkout.conflicts import conflict_line
from kubocd_gen.diagnostics.problems import Position, ProblemsError, shown

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGE_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.kubotal.kubocd.package.config.v1alpha1+json"
CONTENT_TYPE = "application/vnd.kubotal.kubocd.package.content.v1.tar+gzip"
INDEX = "index.json"  # of a layout
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


@dataclass(frozen=True, slots=True)
class JsonSource:
    """Untrusted JSON about an image: what messages call it, the code of its problems, and its position."""

    what: str
    code: str
    position: Position | None = None

    def error(self, defect: str) -> ProblemsError:
        """Return the error for a defect, which is the end of a sentence."""
        hint = "restore the layout from Git, or vendor the packages again" if self.code == "bad-layout" else None
        return ProblemsError.of(self.code, f"{self.what} {defect}", self.position, hint)

    def read(self, data: bytes) -> dict[str, Any]:
        """Parse a JSON object. Raises ProblemsError, also for a duplicate key."""
        try:
            value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
        except UnicodeDecodeError:
            raise self.error("is not valid UTF-8") from None
        except RecursionError:
            raise self.error("is nested too deeply") from None
        except json.JSONDecodeError as error:
            if self.what == INDEX and (number := conflict_line(data.decode("utf-8"))):
                raise ProblemsError.of(
                    self.code,
                    f"{self.what} has an unresolved merge conflict",
                    Position(self.position.path, number, 1) if self.position else None,
                    "run 'kcd-gen vendor', which writes the index of the vendor layout again",
                ) from None
            at = Position(self.position.path, error.lineno, error.colno) if self.position else None
            raise replace(self, position=at).error(f"is not valid JSON: {error.msg}") from None
        except _InvalidError as bad:
            raise self.error(str(bad)) from None
        except ValueError:  # the only other cause: an integer with more digits than Python accepts
            raise self.error("contains a number that is too long") from None
        if not isinstance(value, dict):
            raise self.error("is not a JSON object")
        return value

    def check_schema_version(self, image: Mapping[str, Any]) -> None:
        """Check that a manifest or index has schema version 2, which the specification requires.

        Other versions have other fields, so clients could see different images. Raises ProblemsError.
        """
        version = image.get("schemaVersion")
        if type(version) is not int or version != 2:
            given = f"the schemaVersion {shown(json.dumps(version)[:100])}"
            raise self.error(f"has {given if 'schemaVersion' in image else 'no schemaVersion'}; it must be 2")

    def descriptor(self, value: object, what: str) -> Descriptor:
        """Parse a descriptor in the JSON. Raises ProblemsError; messages call it `what`."""
        source = replace(self, what=what)
        if not isinstance(value, dict):
            raise source.error("is not a descriptor")
        media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        annotations = value.get("annotations") or {}
        if not isinstance(media_type, str) or not media_type:
            raise source.error("has no media type")
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            given = f": {shown(digest)}" if isinstance(digest, str) else ""
            raise source.error(f"has no valid digest ('sha256:' and 64 hexadecimal digits){given}")
        if type(size) is not int or size < 0:
            raise source.error("has no valid size")
        if not isinstance(annotations, dict) or not all(isinstance(text, str) for text in annotations.values()):
            raise source.error("has annotations that are not strings")
        return Descriptor(media_type, digest, size, annotations)


class _InvalidError(Exception):
    """A defect of the JSON, as the end of a sentence."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal keys is used, so one could check what another does not use.
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise _InvalidError(f"has the duplicate key {shown(key)}")
        value[key] = item
    return value


def _no_constant(name: str) -> None:
    raise _InvalidError(f"contains {name}, which is not valid JSON")
