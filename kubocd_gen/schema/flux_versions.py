"""The minor versions of Flux that kcd-gen knows."""

from __future__ import annotations

from typing import Literal, get_args

FluxVersion = Literal["2.6", "2.7", "2.8", "2.9"]
FLUX_VERSIONS: tuple[FluxVersion, ...] = get_args(FluxVersion)
KUBOCD_FLUX: FluxVersion = "2.7"
"""The version of Flux whose Go types KuboCD v0.3 is compiled with. It accepts no field that this version lacks."""


def is_older(version: FluxVersion, other: FluxVersion) -> bool:
    """Return whether a version of Flux is older than another one."""
    return FLUX_VERSIONS.index(version) < FLUX_VERSIONS.index(other)
