"""Read a package image from a blob store, and verify its manifest, its layer and its charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.oci.descriptors import (
    CONFIG_TYPE,
    CONTENT_TYPE,
    DOCKER_LIST_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    JsonSource,
)
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import Reference
from kubocd_gen.packages.archive import Subject, read_package_archive, release
from kubocd_gen.packages.chart_index import check_charts
from kubocd_gen.packages.layer_memory import LayerMemory
from kubocd_gen.packages.module_charts import STATUS, check_module_charts
from kubocd_gen.packages.remote import RemoteBlobs

_REQUIRED = ("original.yaml", "status.yaml", "index.yaml")
_MANIFESTS = {
    DOCKER_MANIFEST_TYPE: "a Docker image",
    DOCKER_LIST_TYPE: "a Docker manifest list",
    INDEX_TYPE: "an image index",
}
_CONFIGS = {
    "application/vnd.cncf.helm.config.v1+json": "a Helm chart",
    "application/vnd.cncf.flux.config.v1+json": "a Flux artifact",
    "application/vnd.oci.image.config.v1+json": "a container image",
    "application/vnd.docker.container.image.v1+json": "a Docker image",
}


BlobStore = OciLayout | RemoteBlobs


@dataclass(frozen=True, slots=True)
class PackageImage:
    """A package from a layout, cache or registry, verified down to the digests of its charts."""

    reference: str  # registry/repository:tag
    manifest: Descriptor
    layer: Descriptor
    files: Mapping[str, bytes] = field(repr=False, hash=False)  # original.yaml, status.yaml, index.yaml, *.tgz, …

    @property
    def digest(self) -> str:
        """The digest of the image manifest, which pins the package."""
        return self.manifest.digest


def read_image(
    reference: Reference,
    descriptor: Descriptor,
    store: BlobStore,
    limits: Limits = LIMITS,
    budget: Budget | None = None,
    memory: LayerMemory | None = None,
) -> PackageImage:
    """Read the package with the manifest `descriptor`; `memory` limits that of packed layers.

    Raises ProblemsError: `not-a-package` for other images; `bad-archive`, `bad-index`, `bad-package` or `corrupt-chart`
    if the package is not valid; `package-limit` if it exceeds `limits`; `run-limit` if it exceeds `budget`; and what
    `store` raises.
    """
    _, layer = read_parts(reference, descriptor, store, limits)
    package = Subject(str(reference), store.position(layer), limits, budget or Budget(limits))
    with (memory or LayerMemory()).taken(min(layer.size, limits.layer)):
        files = read_package_archive(store.read_blob(layer, limit=limits.layer), package)
    try:
        check_files(files, package)
    except BaseException:
        release(files, package.budget)
        raise
    return PackageImage(str(reference), descriptor, layer, files)


def check_files(files: Mapping[str, bytes], package: Subject) -> None:
    """Check that a layer's files are a valid package.

    Raises ProblemsError: `bad-archive`, `bad-index`, `bad-package`, `corrupt-chart`, `package-limit` if the limits are
    exceeded, `run-limit` if the budget is.
    """
    if missing := [name for name in _REQUIRED if name not in files]:
        message = f"the archive of {package.name} lacks {' and '.join(missing)}"
        raise ProblemsError.of("bad-archive", message, package.position)
    check_module_charts(files[STATUS], check_charts(files, package), package)


def read_parts(
    reference: Reference, descriptor: Descriptor, store: BlobStore, limits: Limits = LIMITS
) -> tuple[Descriptor, Descriptor]:
    """Return the descriptors of config and content layer of an image; only its manifest is read.

    Raises ProblemsError: `not-a-package` if they are not those of a KuboCD package, and what `store` raises.
    """
    position = store.position(descriptor)

    def other(what: str, hint: str | None = None) -> ProblemsError:
        return ProblemsError.of(
            "not-a-package",
            f"{reference} is {what}, not a KuboCD package",
            position=position,
            hint=hint or "set 'spec.package' of the Release to an image that was built with 'kubocd package'",
        )

    if descriptor.media_type != MANIFEST_TYPE:
        raise other(_MANIFESTS.get(descriptor.media_type) or f"of the media type {shown(descriptor.media_type)}")
    source = JsonSource(f"the manifest of {reference}", "not-a-package", position)
    manifest = source.read(store.read_blob(descriptor, limit=limits.manifest))
    source.check_schema_version(manifest)
    # The media type is optional in the manifest, and required in the descriptor.
    media_type = str(manifest.get("mediaType", MANIFEST_TYPE))
    if media_type != MANIFEST_TYPE:
        raise other(_MANIFESTS.get(media_type) or f"of the media type {shown(media_type)}")
    config = source.descriptor(manifest.get("config"), f"the config of {reference}")
    if config.media_type != CONFIG_TYPE:
        raise other(_CONFIGS.get(config.media_type) or f"an image with a config of type {shown(config.media_type)}")
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) != 1:
        kind = f"an image with {len(layers)} layers" if isinstance(layers, list) else "an image without layers"
        raise other(kind, hint="a KuboCD package has exactly one layer")
    layer = source.descriptor(layers[0], f"the layer of {reference}")
    if layer.media_type != CONTENT_TYPE:
        raise other(f"an image with a layer of type {shown(layer.media_type)}")
    return config, layer
