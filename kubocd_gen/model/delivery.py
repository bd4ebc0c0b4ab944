"""How the charts of a cluster reach its Flux."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kubocd_gen.schema.flux_versions import KUBOCD_FLUX, FluxVersion
from kubocd_gen.schema.names import is_label, is_subdomain

FLUX_NAMESPACE = "flux-system"
SOURCE_KINDS = ("GitRepository", "OCIRepository", "Bucket", "ExternalArtifact")

Mode = Literal["server", "git", "oci", "artifact"]
"""The ways to deliver charts.

- `server`: from a Helm repository, `hr/` in the output, as KuboCD's controller does
- `git`: as files of the GitRepository that Flux applies the output from
- `oci`: as OCI artifacts in a registry, to which `build --push-charts` pushes them
- `artifact`: out of KuboCD's package images, with Flux's ArtifactGenerator
"""


@dataclass(frozen=True, slots=True)
class FluxSource:
    """A source object of Flux, such as the GitRepository that a Kustomization applies files from."""

    kind: str
    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def flag(self) -> str:
        """The source as it is written in the project file and in flags: `GitRepository/flux-system/flux-system`."""
        return f"{self.kind}/{self.namespace}/{self.name}"


def parse_source(text: str) -> FluxSource | None:
    """Parse `GitRepository/NAME` or `GitRepository/NAMESPACE/NAME`, or another kind of source; None if invalid."""
    kind, _, rest = text.partition("/")
    namespace, _, name = rest.rpartition("/")
    namespace = namespace or FLUX_NAMESPACE
    valid = kind in SOURCE_KINDS and is_subdomain(name) and is_label(namespace)
    return FluxSource(kind, name, namespace) if valid else None


@dataclass(frozen=True, slots=True)
class ChartRepository:
    """The namespace in a registry to which charts are pushed; the repository of a chart is `<url>/<chart>`.

    `url` has no scheme. `fields` are those of the OCIRepositories that say how Flux authenticates, such as `secretRef`.
    """

    url: str
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A mode with its settings: `source` is that of `git`, `repository` that of `oci`, which is always set there."""

    mode: Mode = "server"
    source: FluxSource = FluxSource("GitRepository", FLUX_NAMESPACE, FLUX_NAMESPACE)
    repository: ChartRepository | None = None

    @property
    def has_server(self) -> bool:
        """Whether a server must serve the charts in the output."""
        return self.mode == "server"

    @property
    def writes_charts(self) -> bool:
        """Whether the output contains the charts."""
        return self.mode in ("server", "git")

    @property
    def depends_on_flux(self) -> bool:
        """Whether Flux's own settings, which the checkout can show, decide whether it gets the charts."""
        return self.mode in ("git", "artifact")

    @property
    def oldest_flux(self) -> FluxVersion:
        """The oldest version of Flux with this mode that has everything that KuboCD uses.

        The default failure strategies of KuboCD v0.3's chart need Flux 2.7, whose types KuboCD is compiled with. An
        ArtifactGenerator can extract a chart since Flux 2.8.
        """
        return "2.8" if self.mode == "artifact" else KUBOCD_FLUX

    @property
    def needs_package_image(self) -> bool:
        """Whether an OCIRepository of the package is a part of the mode, if the project does not say otherwise."""
        return self.mode in ("server", "artifact")


SERVER = Delivery()
"""The default, with the same objects as KuboCD's controller."""
