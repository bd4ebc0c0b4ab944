"""The project, its clusters, and the flags that override them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.model.delivery import SERVER, Delivery, FluxSource, Mode
from kubocd_gen.model.dependencies import Dependencies
from kubocd_gen.processes.single_flight import SingleFlight
from kubocd_gen.schema.flux_versions import FluxVersion

if TYPE_CHECKING:
    from kubocd_gen.checkout.discovery import Places

LOCK_FILE = "kcd-gen.lock"
PROJECT_FILE = "kcd-gen.yaml"


REPOSITORY_URL = "http://kubocd-ctrl-controller-helm-repository.kubocd.svc"
STDIN = "-"  # the source that stands for standard input; only on the command line
ONLY_CLUSTER = "default"  # the name of the cluster in a build without a project file

Namespaces = Literal["emit", "external"]
Place = Callable[[], Position] | None


_HOST = re.compile(r"[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?)*")


def host_key(name: str) -> str:
    """Return the form in which host names are compared: in lower case, without the dot at the end."""
    return name.lower().rstrip(".")


def is_host_name(name: str) -> bool:
    """Return whether `name`, in the form of `host_key`, is a host name in DNS. Underscores are allowed."""
    return len(name) <= 253 and _HOST.fullmatch(name) is not None


def is_address(text: str) -> bool:
    """Return whether `text` is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class RenderedSource:
    """A source that is the output of another program: what `kustomize build` prints, or what Flux applies.

    `directory` is relative to the project's root.
    """

    kind: Literal["kustomize", "flux"]
    directory: str

    def __str__(self) -> str:
        return f"{{{self.kind}: {self.directory}}}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One compilation with its own Configs, Contexts and Releases, written to one output directory.

    `sources` and the globs in `exclude` are relative to the project's root; the source `-` is standard input. If
    `kubocd_namespace` is None, it is detected in the sources. `namespaces` is set if the output contains the
    Namespaces of its Releases, or something else creates them.
    """

    name: str
    sources: tuple[str, ...]
    output: Path
    namespace: str = "default"
    kubocd_namespace: str | None = None
    repository_url: str = REPOSITORY_URL
    delivery: Delivery = SERVER
    flux: FluxVersion | None = None
    rendered: tuple[RenderedSource, ...] = ()
    exclude: tuple[str, ...] = ()
    ignore_kustomizations: bool = False
    namespaces: Namespaces = "emit"
    hosts: Mapping[str, str] = field(default_factory=dict, hash=False)  # addresses by name, for resolveDNS
    places: Places = field(default_factory=dict, compare=False)  # positions of the sources in the project file
    url_place: Place = field(default=None, compare=False)  # position of repositoryURL in the project file
    output_place: Place = field(default=None, compare=False)
    delivery_place: Place = field(default=None, compare=False)

    @property
    def flux_version(self) -> FluxVersion:
        """The oldest version of Flux that must accept the output."""
        return self.flux or self.delivery.oldest_flux

    @property
    def paths(self) -> tuple[str, ...]:
        """The sources that are files, directories and globs."""
        return tuple(source for source in self.sources if source != STDIN)


_UNKNOWN = CheckoutFiles(Path("/nowhere"))  # replaced in `__post_init__`, which knows the root


@dataclass(frozen=True, slots=True)
class Project:
    """Everything on which a compilation depends, except the sources themselves."""

    root: Path
    clusters: tuple[Cluster, ...]
    vendor: Path | None = None
    mirrors: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = LIMITS
    dependencies: Dependencies = "order"
    charts: Literal["output", "separate"] = "output"
    emit_oci_repository: bool | None = None  # None: if the delivery of charts needs it
    pin_digest: bool = False
    offline: bool = False
    locked: bool = False
    ca_file: Path | None = None
    cache: Path | None = None  # None: the cache directory of the system
    expand_env: frozenset[str] = frozenset()  # environment variables that are expanded in sources as ${NAME}
    clear_text_hosts: frozenset[str] = frozenset()  # `host[:port]` to which credentials are sent over plain HTTP
    budget: Budget = field(default_factory=Budget, compare=False)  # of the whole run
    origin: str = ""  # prefix of paths in messages about a Git revision: `main:`
    files: CheckoutFiles = field(
        default=_UNKNOWN, compare=False
    )  # the files that can be read: the checkout and allowed paths
    vendor_place: Place = field(default=None, compare=False)
    # The outputs of all clusters in the project file, also of those that are not selected.
    outputs: tuple[Path, ...] = field(default=(), compare=False)
    # What was found in the checkout outside of the sources; read once for all clusters.
    surroundings: SingleFlight[str, Any] = field(default_factory=lambda: SingleFlight(keep=True), compare=False)

    def __post_init__(self) -> None:
        if self.files is _UNKNOWN:
            object.__setattr__(self, "files", CheckoutFiles.around(self.root))

    @property
    def directory(self) -> Path | None:
        """The directory of the project file; None if the project is only on the command line, in any directory."""
        return self.root if (self.root / PROJECT_FILE).exists() else None

    @property
    def lock_path(self) -> Path:
        """The lock next to the project file, or in the current directory if there is no project file."""
        return self.root / LOCK_FILE


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags that override the project file; None or empty if a flag is not set."""

    project: Path | None = None
    sources: tuple[str, ...] = ()
    output: Path | None = None
    clusters: tuple[str, ...] = ()
    vendor: Path | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    namespace: str | None = None
    kubocd_namespace: str | None = None
    repository_url: str | None = None
    delivery: Mode | None = None
    flux: FluxVersion | None = None
    flux_source: FluxSource | None = None
    chart_repository: str | None = None  # without the scheme
    exclude: tuple[str, ...] = ()
    ignore_kustomizations: bool = False
    dependencies: Dependencies | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False
    locked: bool = False
    ca_file: Path | None = None
    cache: Path | None = None
    expand_env: frozenset[str] = frozenset()
    clear_text_hosts: frozenset[str] = frozenset()
    allow_outside: tuple[Path, ...] = ()  # directories outside the checkout that the project file can use
