"""Read the manifests and configs of a base image, which kcd-gen extends for each platform.

The input is untrusted. It must be an image by the OCI image specification or Docker's schema 2, with matching digests;
additional fields are copied as JSON or dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kubocd_gen.diagnostics.problems import Position, ProblemsError, shown
from kubocd_gen.oci.base_store import BaseStore
from kubocd_gen.oci.descriptors import (
    DIGEST,
    DOCKER_LIST_TYPE,
    DOCKER_MANIFEST_TYPE,
    IMAGE_CONFIG_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    JsonSource,
)

MOST_PLATFORMS = 64  # official images have up to 12; each needs two requests
MOST_LAYERS = 120  # container engines mount at most 127 or 128 layers, and kcd-gen adds two
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
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Dropped = Literal["attestation", "other"]


@dataclass(frozen=True, slots=True)
class BaseLayer:
    """A layer of the base: its OCI descriptor, and the descriptor's JSON with URLs and annotations."""

    descriptor: Descriptor
    json: Mapping[str, Any] = field(hash=False)

    @property
    def is_foreign(self) -> bool:
        """Whether the layer is not in registries, and is pulled from its `urls`."""
        return self.descriptor.media_type.startswith(_FOREIGN)


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The image of one platform. `platform` is from the index entry; None if the base is not an index."""

    manifest: Descriptor
    layers: tuple[BaseLayer, ...]
    config: Mapping[str, Any] = field(repr=False, hash=False)
    platform: Mapping[str, Any] | None = field(hash=False)

    @property
    def label(self) -> str:
        """The platform, such as `linux/arm64/v8`."""
        return platform_label(self.config if self.platform is None else self.platform)


@dataclass(frozen=True, slots=True)
class Base:
    """A base image. `dropped` are the index entries that are not extended: platform or digest, and the reason."""

    top: Descriptor
    images: tuple[BaseImage, ...]
    dropped: tuple[tuple[str, Dropped], ...] = ()

    @property
    def is_index(self) -> bool:
        return self.top.media_type in (INDEX_TYPE, DOCKER_LIST_TYPE)


def read_base(store: BaseStore, name: str, platforms: Sequence[str] = ()) -> Base:
    """Read the manifests and configs, but not the layers, of a base; messages call it `name`.

    If the base is an index, only `platforms` (`os/arch[/variant]`) are read, or all if there are none.

    Raises ProblemsError: `bad-base` if it is not a container image for Linux, `missing-platform`, and what `store`
    raises.
    """
    top = store.top()
    reader = _Reader(store, name)
    if top.media_type in (INDEX_TYPE, DOCKER_LIST_TYPE):
        return reader.index(top, platforms)
    image = reader.image(top, None)
    if image is None:
        raise reader.bad(
            "is not a container image",
            store.position(top),
            "check the reference: the config has an unknown media type",
        )
    if platforms and not any(_matches(image.config, wanted) for wanted in platforms):
        raise _missing_platform(name, platforms[0], [image.label])
    return Base(top, (image,))


@dataclass(frozen=True, slots=True)
class _Reader:
    store: BaseStore
    name: str

    def bad(self, what: str, position: Position | None, hint: str | None = None) -> ProblemsError:
        return ProblemsError.of("bad-base", f"the base {self.name} {what}", position, hint)

    def source(self, what: str, position: Position | None) -> JsonSource:
        return JsonSource(f"{what} of the base {self.name}", "bad-base", position)

    def parsed(self, descriptor: Descriptor, what: str) -> dict[str, Any]:
        source = self.source(what, self.store.position(descriptor))
        found = source.read(self.store.read(descriptor))
        if descriptor.is_manifest:
            source.check_schema_version(found)
        return found

    def descriptor(self, value: object, what: str, position: Position | None) -> Descriptor:
        source = self.source(what, position)
        return source.descriptor(value, source.what)

    def index(self, top: Descriptor, platforms: Sequence[str]) -> Base:
        position = self.store.position(top)
        entries = self.parsed(top, "the index").get("manifests")
        if not isinstance(entries, list) or not entries:
            raise self.bad("is an index without images", position)
        if len(entries) > 2 * MOST_PLATFORMS:  # each image can have an attestation
            raise self.bad(f"is an index with {len(entries)} entries, more than {2 * MOST_PLATFORMS}", position)
        images: list[BaseImage] = []
        dropped: list[tuple[str, Dropped]] = []
        available: list[str] = []
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
            available.append(label)
            if platforms and not any(_matches(platform, wanted) for wanted in platforms):
                continue
            if len(images) == MOST_PLATFORMS:
                raise self.bad(
                    f"has images for more than {MOST_PLATFORMS} platforms", position, "select some: --platform"
                )
            image = self.image(descriptor, platform)
            if image is None:
                dropped.append((label, "other"))
            else:
                images.append(image)
        for wanted in platforms:
            if not any(_matches(image.platform or {}, wanted) for image in images):
                raise _missing_platform(self.name, wanted, available)
        if not images:
            raise self.bad("has no image for Linux", position)
        return Base(top, tuple(images), tuple(dropped))

    def platform(self, entry: Any, position: Position | None) -> dict[str, Any]:
        """Return the entry's platform, or {} if it has none."""
        platform = entry.get("platform")
        if platform is None:
            return {}
        if not isinstance(platform, dict) or not all(_is_name(platform.get(key)) for key in ("os", "architecture")):
            raise self.bad("has an index entry whose platform has no os and architecture", position)
        if "variant" in platform and not _is_name(platform["variant"]):
            raise self.bad("has an index entry whose platform has an invalid variant", position)
        return platform

    def image(self, descriptor: Descriptor, platform: Mapping[str, Any] | None) -> BaseImage | None:
        """Read the image of a manifest; return None if it is not a container image."""
        position = self.store.position(descriptor)
        manifest = self.parsed(descriptor, "the manifest")
        if manifest.get("mediaType", descriptor.media_type) != descriptor.media_type or "manifests" in manifest:
            raise self.bad(
                "has a manifest with conflicting media types", position, "do not use it: clients could disagree"
            )
        config = self.descriptor(manifest.get("config"), "the config", position)
        if config.media_type not in _CONFIGS:
            return None
        layers = manifest.get("layers")
        if not isinstance(layers, list):
            raise self.bad("has a manifest without a list of layers", position)
        if len(layers) > MOST_LAYERS:
            hint = "use a base with fewer layers; container engines mount at most 127"
            raise self.bad(f"has {len(layers)} layers, more than {MOST_LAYERS}", position, hint)
        parsed = self.parsed(config, "the config")
        self.check_config(parsed, len(layers), platform, self.store.position(config))
        return BaseImage(descriptor, tuple(self.layer(one, position) for one in layers), parsed, platform)

    def layer(self, value: Any, position: Position | None) -> BaseLayer:
        descriptor = self.descriptor(value, "a layer", position)
        media_type = _DOCKER_LAYERS.get(descriptor.media_type, descriptor.media_type)
        if media_type not in _LAYERS:
            raise self.bad(f"has a layer of the unknown type {shown(descriptor.media_type)}", position)
        return BaseLayer(
            Descriptor(media_type, descriptor.digest, descriptor.size),
            {**{key: value[key] for key in ("urls", "annotations") if value.get(key)}}
            | {"mediaType": media_type, "digest": descriptor.digest, "size": descriptor.size},
        )

    def check_config(
        self, config: dict[str, Any], layers: int, platform: Mapping[str, Any] | None, position: Position | None
    ) -> None:
        if not all(_is_name(config.get(key)) for key in ("os", "architecture")):
            raise self.bad("has a config without os and architecture", position)
        if config["os"] != "linux":
            raise self.bad(f"is an image for {shown(config['os'])}", position, "use an image for Linux")
        if platform and (platform["os"], platform["architecture"]) != (config["os"], config["architecture"]):
            what = f"lists an image as {platform_label(platform)}, but its config has {platform_label(config)}"
            raise self.bad(what, position)
        rootfs = config.get("rootfs")
        ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) and rootfs.get("type") == "layers" else None
        if not isinstance(ids, list) or not all(isinstance(one, str) and DIGEST.fullmatch(one) for one in ids):
            raise self.bad("has a config without valid layer digests (rootfs.diff_ids)", position)
        if len(ids) != layers:
            raise self.bad(f"has {layers} layers, but its config lists {len(ids)}", position)
        for key, kind, type_name in (("config", dict, "an object"), ("history", list, "a list")):
            if not isinstance(config.get(key) or kind(), kind):
                raise self.bad(f"has a config whose '{key}' is not {type_name}", position)
        labels = (config.get("config") or {}).get("Labels") or {}
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise self.bad("has a config whose labels are not strings", position)


def platform_label(platform: Mapping[str, Any]) -> str:
    """Return `os/architecture[/variant]`."""
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    return "/".join(str(part) for part in parts if part)


def _matches(platform: Mapping[str, Any], wanted: str) -> bool:
    """Return whether `platform` is `wanted`; without a variant, `wanted` matches any."""
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    given = wanted.split("/")
    return tuple(given) == parts[: len(given)]


def _missing_platform(name: str, wanted: str, available: Sequence[str]) -> ProblemsError:
    return ProblemsError.of(
        "missing-platform",
        f"the base {name} has no image for {shown(wanted)}",
        hint=f"available platforms: {', '.join(available)}" if available else None,
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAMED.fullmatch(value) is not None
