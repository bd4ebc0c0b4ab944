"""Compose the server's image from a base and two layers, without I/O.

The image is reproducible: nothing in it depends on the machine, the clock or Git. The same base and charts result in
the same digest, and a commit that changes neither does not change the image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from kubocd_gen.oci.base_image import Base, BaseImage, BaseLayer
from kubocd_gen.oci.descriptors import IMAGE_CONFIG_TYPE, INDEX_TYPE, MANIFEST_TYPE, Descriptor, sha256
from kubocd_gen.oci.layer import Layer, make_layer
from kubocd_gen.server.container import CONTENT_ROOT, IMAGE_NAME, PORT, USER, configuration

_OURS = "org.opencontainers.image."
_NO_CREATED = "1980-01-01T00:00:00Z"
_OWN_DIRECTORY = 0o555
_SRV = 0o755  # as in distributions; a container engine could create a missing /srv without access for others
_NGINX = ["nginx", "-e", "/dev/stderr", "-g", "daemon off;"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parameters of the image: `hr/` is below `root`; `nginx` is False if the base has its own server."""

    cluster: str
    base_name: str | None  # registry/repository:tag, or None if the base is not in a registry
    root: str = CONTENT_ROOT
    nginx: bool = True
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """The image for one platform: its manifest and config, and the layers of the base."""

    label: str
    manifest: bytes = field(repr=False)
    config: bytes = field(repr=False)
    base_layers: tuple[BaseLayer, ...] = field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(MANIFEST_TYPE, sha256(self.manifest), len(self.manifest))


@dataclass(frozen=True, slots=True)
class ServerImage:
    """The image: its platforms, and an index of them if the base has one."""

    platforms: tuple[PlatformImage, ...]
    index: bytes | None = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor that the image's tag refers to: of the index, or of the only manifest."""
        if self.index is None:
            return self.platforms[0].descriptor
        return Descriptor(INDEX_TYPE, sha256(self.index), len(self.index))

    @property
    def base_layers(self) -> tuple[Descriptor, ...]:
        """The layers of the base that must be in the target, each once, without foreign (non-distributable) layers."""
        layers = [layer for one in self.platforms for layer in one.base_layers if not layer.is_foreign]
        return tuple({layer.descriptor.digest: layer.descriptor for layer in layers}.values())


def server_image(base: Base, served: Mapping[str, bytes], recipe: Recipe) -> ServerImage:
    """Return the image that serves the files `served`, with names such as `hr/<namespace>/<release>/<file>`."""
    layers = [(_content_layer(served, recipe), f"the Helm repositories, below {recipe.root}")]
    if recipe.nginx:
        files = {path.lstrip("/"): text.encode() for path, text in configuration().items()}
        layers.append((make_layer(files, {}), "the configuration of nginx"))
    platforms = tuple(_extended(one, layers, recipe) for one in base.images)
    index = None
    if base.is_index:
        entries = [
            {**_json(made.descriptor), **({"platform": one.platform} if one.platform else {})}
            for one, made in zip(base.images, platforms, strict=True)
        ]
        index = _bytes(
            {
                "schemaVersion": 2,
                "mediaType": INDEX_TYPE,
                "manifests": entries,
                "annotations": _labels(recipe, base.top.digest),
            }
        )
    return ServerImage(platforms, index, tuple(layer for layer, _ in layers))


def _content_layer(served: Mapping[str, bytes], recipe: Recipe) -> Layer:
    """Return the layer with `hr/`. Directories above it are part of the base, except the default root."""
    root = recipe.root.strip("/")
    files = {f"{root}/{path}": data for path, data in served.items()}
    top = PurePosixPath(root, "hr")
    own = {str(parent) for path in files for parent in PurePosixPath(path).parents if parent.is_relative_to(top)}
    directories = dict.fromkeys({*own, str(top)}, _OWN_DIRECTORY)
    if recipe.root == CONTENT_ROOT:
        directories |= {root: _OWN_DIRECTORY, str(PurePosixPath(root).parent): _SRV}
    return make_layer(files, directories)


def _extended(base: BaseImage, layers: Sequence[tuple[Layer, str]], recipe: Recipe) -> PlatformImage:
    labels = _labels(recipe, base.manifest.digest)
    config = _bytes(_config(base, layers, labels, recipe))
    manifest = _bytes(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _json(Descriptor(IMAGE_CONFIG_TYPE, sha256(config), len(config))),
            "layers": [*(layer.json for layer in base.layers), *(_json(layer.descriptor) for layer, _ in layers)],
            "annotations": labels,
        }
    )
    return PlatformImage(base.label, manifest, config, base.layers)


def _config(
    base: BaseImage, layers: Sequence[tuple[Layer, str]], labels: Mapping[str, str], recipe: Recipe
) -> dict[str, Any]:
    """Return the config of the base with the added layers and the command of the server.

    `created` is that of the base. With SOURCE_DATE_EPOCH, often the time of a commit, each commit would change the
    image.
    """
    config = dict(base.config)
    created = config.get("created")
    config["created"] = created = created if isinstance(created, str) and created else _NO_CREATED
    config["rootfs"] = {
        "type": "layers",
        "diff_ids": [*config["rootfs"]["diff_ids"], *(layer.descriptor.digest for layer, _ in layers)],
    }
    history = config.get("history") or []
    # Clients refuse a history that does not match the layers, so a mismatching one of the base is dropped.
    if sum(not (isinstance(one, dict) and one.get("empty_layer")) for one in history) == len(base.layers):
        added = [{"created": created, "created_by": "kcd-gen image", "comment": comment} for _, comment in layers]
        config["history"] = [*history, *added]
    else:
        config.pop("history", None)
    run = dict(config.get("config") or {})
    kept = {key: value for key, value in (run.get("Labels") or {}).items() if not key.startswith(_OURS)}
    run["Labels"] = {**kept, **labels}
    if recipe.nginx:
        # These settings of the base are for its own command.
        for key in ("Cmd", "Healthcheck", "OnBuild", "Volumes", "ArgsEscaped"):
            run.pop(key, None)
        run |= {
            "User": f"{USER}:{USER}",
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "Entrypoint": _NGINX,
            "WorkingDir": "/",
            "StopSignal": "SIGQUIT",
        }
    config["config"] = run
    return config


def _labels(recipe: Recipe, base_digest: str) -> dict[str, str]:
    labels = {
        f"{_OURS}title": IMAGE_NAME,
        f"{_OURS}description": f"Helm repositories of the cluster '{recipe.cluster}', compiled by kcd-gen",
        f"{_OURS}base.digest": base_digest,
    }
    if recipe.base_name:
        labels[f"{_OURS}base.name"] = recipe.base_name
    return {**labels, **recipe.labels}


def _json(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _bytes(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
