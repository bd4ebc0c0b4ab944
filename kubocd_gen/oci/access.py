"""How to access the registry of a resource."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """The registry settings of a Release, of a redirect in Config, or of a package's module."""

    insecure: bool = False  # use plain HTTP, like Flux's `insecure`; never a fallback
    timeout: float | None = None  # seconds to wait for a response; None: the client's READ_TIMEOUT
    provider: str = "generic"  # generic | aws | azure | gcp: determines the credential helper in hints
    secrets: tuple[str, ...] = ()  # Secrets in the cluster that Flux uses, "secretRef regcred"; only for messages
