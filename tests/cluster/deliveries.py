"""What a run compiles, and which objects it must create: a table by case and delivery."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = _ROOT / "fixtures" / "quickstart"
PARITY = Path(os.environ.get("CLUSTER_TESTS_PARITY") or _ROOT.parent / "shared" / "parity")

KINDS = {
    "GitRepository": "gitrepositories.source.toolkit.fluxcd.io",
    "OCIRepository": "ocirepositories.source.toolkit.fluxcd.io",
    "HelmRepository": "helmrepositories.source.toolkit.fluxcd.io",
    "HelmChart": "helmcharts.source.toolkit.fluxcd.io",
    "ExternalArtifact": "externalartifacts.source.toolkit.fluxcd.io",
    "ArtifactGenerator": "artifactgenerators.source.extensions.fluxcd.io",
    "Kustomization": "kustomizations.kustomize.toolkit.fluxcd.io",
    "HelmRelease": "helmreleases.helm.toolkit.fluxcd.io",
}
"""The kinds whose objects must all become Ready, with the names of their definitions."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A value of `delivery` in the project file, and what it needs."""

    name: str
    controllers: frozenset[str] = frozenset()
    """Controllers of Flux that it needs, in addition to those that every delivery needs."""
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Flags by the name of the controller."""
    build: tuple[str, ...] = ()
    """Flags of `kcd-gen build`."""
    chart_repository: bool = False
    """Whether charts are pushed to a registry."""
    digest_in_version: bool = False
    """Whether helm-controller appends a digest to the chart's version, so that a move to or from it is an upgrade."""


@dataclass(frozen=True, slots=True)
class Case:
    """Sources, packages, and the number of compiled objects by delivery and kind."""

    name: str
    sources: Path
    objects: Mapping[str, Mapping[str, int]]
    change: tuple[str, str, str] | None = None
    """A file in `sources`, a string in it, and its replacement, which changes one HelmRelease."""


DELIVERIES = {
    delivery.name: delivery
    for delivery in (
        Delivery("server"),
        Delivery("git"),
        Delivery("oci", build=("--push-charts",), chart_repository=True, digest_in_version=True),
        Delivery(
            "artifact",
            frozenset({"source-watcher"}),
            {"helm-controller": ("--feature-gates=ExternalArtifact=true",)},
            digest_in_version=True,
        ),
    )
}

CASES = {
    case.name: case
    for case in (
        Case(
            "quickstart",
            QUICKSTART / "cluster",
            {
                "server": {"OCIRepository": 1, "HelmRepository": 1, "HelmRelease": 1},
                "git": {"HelmRelease": 1},
                "oci": {"OCIRepository": 1, "HelmRelease": 1},
                "artifact": {"OCIRepository": 1, "ArtifactGenerator": 1, "HelmRelease": 1},
            },
            ("releases/podinfo1.yaml", "fqdn: podinfo1.", "fqdn: shop."),
        ),
        Case(
            "okdp",
            PARITY / "cases" / "okdp" / "cluster",
            {
                "server": {"OCIRepository": 24, "HelmRepository": 24, "HelmRelease": 37},
                "git": {"HelmRelease": 37},
                "oci": {"OCIRepository": 36, "HelmRelease": 37},
                "artifact": {"OCIRepository": 24, "ArtifactGenerator": 24, "HelmRelease": 37},
            },
        ),
    )
}
