"""What a resource says about the way to its registry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """How a Release, a redirect of Config or a package's module says that its registry is spoken to."""

    insecure: bool = False  # plain HTTP, as Flux's `insecure`; never a fall-back
    timeout: float | None = None  # seconds to wait for an answer; None: the client's READ_TIMEOUT
    provider: str = "generic"  # generic | aws | azure | gcp: whose credential helper to recommend
    secrets: tuple[str, ...] = ()  # the cluster's Secrets that Flux would use, "secretRef regcred": for messages only
