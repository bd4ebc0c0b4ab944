"""OCI registries: what the distribution specification says about manifests and blobs."""

from __future__ import annotations

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.packages.access import Access
from kubocd_gen.packages.network import Network
from kubocd_gen.packages.oci import Descriptor
from kubocd_gen.packages.reference import Reference
from kubocd_gen.packages.transport import Transport


class Registry:
    """OCI registries, spoken to over HTTP; safe to use from several threads."""

    def __init__(self, network: Network, transport: Transport | None = None) -> None:
        self._transport = transport or Transport(network)

    def resolve(self, reference: Reference, access: Access) -> Descriptor:
        """The manifest that the tag stands for, by one small request."""
        raise NotImplementedError

    def read_manifest(self, reference: Reference, digest: str | None, access: Access) -> tuple[Descriptor, bytes]:
        """The manifest of that digest, or of the tag; verified."""
        raise NotImplementedError

    def read_blob(self, reference: Reference, descriptor: Descriptor, access: Access, *, limit: int) -> bytes:
        """The blob, verified; what breaks off is continued where it broke off."""
        raise NotImplementedError

    def has_manifest(self, reference: Reference, access: Access) -> Descriptor | None:
        """What the tag stands for, None where the registry does not have it."""
        raise NotImplementedError

    def push_blob(self, reference: Reference, data: bytes, access: Access) -> Descriptor:
        """Upload where it is missing."""
        raise NotImplementedError

    def push_manifest(self, reference: Reference, data: bytes, media_type: str, access: Access) -> Descriptor:
        """Upload, under the reference's tag."""
        raise NotImplementedError

    def warnings(self) -> tuple[KcdError, ...]:
        """What the user should know though nothing failed, such as a deprecated variable that was used."""
        raise NotImplementedError

    def close(self) -> None:
        """Break off what is under way: for Ctrl-C, before threads are waited for."""
        raise NotImplementedError
