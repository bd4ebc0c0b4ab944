"""A base image, read up to its layers: what is to be extended, a platform at a time.

What is read comes from strangers. It has to be an image as the OCI image specification or Docker's schema 2 says, of
exactly the digests that it names; what it says beyond that is passed on as JSON, or left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.oci.base_store import BaseStore
from kubocd_gen.oci.descriptors import (
    DOCKER_LIST_TYPE,
    DOCKER_MANIFEST_TYPE,
    IMAGE_CONFIG_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    check_schema_version,
    parse_descriptor,
    parse_object,
)

MOST_PLATFORMS = 64  # of a base; the official images have up to 12, and each costs two requests
MOST_LAYERS = 120  # of a base: container engines mount at most 127 or 128, and two are added
_ATTESTATION = "vnd.docker.reference.type"
_UNKNOWN = "unknown"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_CONFIGS = (IMAGE_CONFIG_TYPE, _DOCKER_CONFIG)
_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
_DOCKER_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER_TYPE}+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{LAYER_TYPE}+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar": _FOREIGN,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": f"{_FOREIGN}+gzip",
}
_LAYERS = {f"{kind}{packed}" for kind in (LAYER_TYPE, _FOREIGN) for packed in ("", "+gzip", "+zstd")}
_DIFF_ID = re.compile(r"sha256:[0-9a-f]{64}")
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Dropped = Literal["attestation", "other"]


@dataclass(frozen=True, slots=True)
class BaseLayer:
    """A layer as it is handed on: its OCI descriptor, and as JSON with what else the base says of it."""

    descriptor: Descriptor
    json: Mapping[str, Any] = field(hash=False)

    @property
    def is_foreign(self) -> bool:
        """Whether registries do not take it, and whoever pulls gets it from its `urls`."""
        return self.descriptor.media_type.startswith(_FOREIGN)


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The image of one platform. `platform` is the index entry's, None where the base is a single image."""

    manifest: Descriptor
    layers: tuple[BaseLayer, ...]
    config: Mapping[str, Any] = field(repr=False, hash=False)
    platform: Mapping[str, Any] | None = field(hash=False)

    @property
    def label(self) -> str:
        """`linux/arm64/v8`"""
        return platform_label(self.config if self.platform is None else self.platform)


@dataclass(frozen=True, slots=True)
class Base:
    """A base image. `dropped` are the platforms or digests of an index's entries that are not extended, and why."""

    top: Descriptor
    images: tuple[BaseImage, ...]
    dropped: tuple[tuple[str, Dropped], ...] = ()

    @property
    def is_index(self) -> bool:
        return self.top.media_type in (INDEX_TYPE, DOCKER_LIST_TYPE)


def read_base(store: BaseStore, name: str, platforms: Sequence[str] = ()) -> Base:
    """The base that messages call `name`; of an index, `platforms` (`os/arch[/variant]`), or all.

    Manifests and configs are read, layers are not. Raises ProblemsError `bad-base` for what is no container image for
    Linux, `missing-platform`, and what `store` raises.
    """
    top = store.top()
    reader = _Reader(store, name)
    if top.media_type in (INDEX_TYPE, DOCKER_LIST_TYPE):
        return reader.index(top, platforms)
    image = reader.image(top, None)
    if image is None:
        raise ProblemsError(reader.bad("is no container image", store.position(top), "its config is of another type"))
    if platforms and not any(_matches(image.config, wanted) for wanted in platforms):
        raise ProblemsError(_missing_platform(name, platforms[0], [image.label]))
    return Base(top, (image,))


@dataclass(frozen=True, slots=True)
class _Reader:
    store: BaseStore
    name: str

    def bad(self, what: str, position: Position | None, hint: str | None = None) -> Problem:
        return Problem("bad-base", f"the base {self.name} {what}", position=position, hint=hint)

    def parsed(self, descriptor: Descriptor, what: str) -> dict[str, Any]:
        text = f"{what} of the base {self.name}"
        position = self.store.position(descriptor)
        found = parse_object(self.store.read(descriptor), what=text, code="bad-base", position=position)
        if descriptor.is_manifest:
            check_schema_version(found, what=text, code="bad-base", position=position)
        return found

    def descriptor(self, value: object, what: str, position: Position | None) -> Descriptor:
        return parse_descriptor(value, what=f"{what} of the base {self.name}", code="bad-base", position=position)

    def index(self, top: Descriptor, platforms: Sequence[str]) -> Base:
        position = self.store.position(top)
        entries = self.parsed(top, "the index").get("manifests")
        if not isinstance(entries, list) or not entries:
            raise ProblemsError(self.bad("is an index without images", position))
        if len(entries) > 2 * MOST_PLATFORMS:  # every image may have an attestation
            raise ProblemsError(
                self.bad(f"is an index of {len(entries)} entries, more than {2 * MOST_PLATFORMS}", position)
            )
        images: list[BaseImage] = []
        dropped: list[tuple[str, Dropped]] = []
        there: list[str] = []
        for entry in entries:
            descriptor = self.descriptor(entry, "an entry of the index", position)
            platform = self.platform(entry, position)
            label = platform_label(platform) if platform else descriptor.digest
            if _ATTESTATION in descriptor.annotations or platform.get("os") == _UNKNOWN:
                dropped.append((label, "attestation"))
                continue
            if descriptor.media_type not in (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE) or platform.get("os") != "linux":
                dropped.append((label, "other"))
                continue
            there.append(label)
            if platforms and not any(_matches(platform, wanted) for wanted in platforms):
                continue
            if len(images) == MOST_PLATFORMS:
                raise ProblemsError(
                    self.bad(f"has images for more than {MOST_PLATFORMS} platforms", position, "choose: --platform")
                )
            image = self.image(descriptor, platform)
            if image is None:
                dropped.append((label, "other"))
            else:
                images.append(image)
        for wanted in platforms:
            if not any(_matches(image.platform or {}, wanted) for image in images):
                raise ProblemsError(_missing_platform(self.name, wanted, there))
        if not images:
            raise ProblemsError(self.bad("has no image for Linux", position))
        return Base(top, tuple(images), tuple(dropped))

    def platform(self, entry: Any, position: Position | None) -> dict[str, Any]:
        """The entry's platform, {} where it names none."""
        platform = entry.get("platform")
        if platform is None:
            return {}
        if not isinstance(platform, dict) or not all(_is_name(platform.get(key)) for key in ("os", "architecture")):
            raise ProblemsError(self.bad("has an entry whose platform has no os and architecture", position))
        if "variant" in platform and not _is_name(platform["variant"]):
            raise ProblemsError(self.bad("has an entry whose platform has a variant that is none", position))
        return platform

    def image(self, descriptor: Descriptor, platform: Mapping[str, Any] | None) -> BaseImage | None:
        """The image of a manifest, None where it is something else than a container image."""
        position = self.store.position(descriptor)
        manifest = self.parsed(descriptor, "the manifest")
        if manifest.get("mediaType", descriptor.media_type) != descriptor.media_type or "manifests" in manifest:
            raise ProblemsError(
                self.bad("has a manifest of two types", position, "two readers could take it for two images")
            )
        config = self.descriptor(manifest.get("config"), "the config", position)
        if config.media_type not in _CONFIGS:
            return None
        layers = manifest.get("layers")
        if not isinstance(layers, list):
            raise ProblemsError(self.bad("has a manifest without a list of layers", position))
        if len(layers) > MOST_LAYERS:
            hint = f"container engines mount some 127; the base may have {MOST_LAYERS}"
            raise ProblemsError(self.bad(f"has {len(layers)} layers", position, hint))
        parsed = self.parsed(config, "the config")
        self.check_config(parsed, len(layers), platform, self.store.position(config))
        return BaseImage(descriptor, tuple(self.layer(one, position) for one in layers), parsed, platform)

    def layer(self, value: Any, position: Position | None) -> BaseLayer:
        descriptor = self.descriptor(value, "a layer", position)
        media_type = _DOCKER_LAYERS.get(descriptor.media_type, descriptor.media_type)
        if media_type not in _LAYERS:
            raise ProblemsError(self.bad(f"has a layer of the type {shown(descriptor.media_type)}", position))
        return BaseLayer(
            Descriptor(media_type, descriptor.digest, descriptor.size),
            {**{key: value[key] for key in ("urls", "annotations") if value.get(key)}}
            | {"mediaType": media_type, "digest": descriptor.digest, "size": descriptor.size},
        )

    def check_config(
        self, config: dict[str, Any], layers: int, platform: Mapping[str, Any] | None, position: Position | None
    ) -> None:
        if not all(_is_name(config.get(key)) for key in ("os", "architecture")):
            raise ProblemsError(self.bad("has a config without os and architecture", position))
        if config["os"] != "linux":
            raise ProblemsError(
                self.bad(f"is an image for {shown(config['os'])}", position, "kcd-gen adds layers for Linux")
            )
        if platform and (platform["os"], platform["architecture"]) != (config["os"], config["architecture"]):
            what = f"names an image {platform_label(platform)} that is for {platform_label(config)}"
            raise ProblemsError(self.bad(what, position))
        rootfs = config.get("rootfs")
        ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) and rootfs.get("type") == "layers" else None
        if not isinstance(ids, list) or not all(isinstance(one, str) and _DIFF_ID.fullmatch(one) for one in ids):
            raise ProblemsError(self.bad("has a config without the digests of its layers", position))
        if len(ids) != layers:
            raise ProblemsError(self.bad(f"has {layers} layers, and a config that says {len(ids)}", position))
        for key, kind in (("config", dict), ("history", list)):
            if not isinstance(config.get(key) or kind(), kind):
                raise ProblemsError(self.bad(f"has a config whose '{key}' is something else", position))
        labels = (config.get("config") or {}).get("Labels") or {}
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise ProblemsError(self.bad("has a config whose labels are not strings", position))


def platform_label(platform: Mapping[str, Any]) -> str:
    """`os/architecture[/variant]`, as container tools write it."""
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    return "/".join(str(part) for part in parts if part)


def _matches(platform: Mapping[str, Any], wanted: str) -> bool:
    """Whether it is the platform; one that is wanted without a variant is any."""
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    given = wanted.split("/")
    return tuple(given) == parts[: len(given)]


def _missing_platform(name: str, wanted: str, there: Sequence[str]) -> Problem:
    return Problem(
        "missing-platform",
        f"the base {name} has no image for {shown(wanted)}",
        hint=f"it has: {', '.join(there)}" if there else None,
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAMED.fullmatch(value) is not None
