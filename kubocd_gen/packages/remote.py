"""Packages from registries, through the cache: blobs in the cache are not downloaded again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.processes.single_flight import SingleFlight

if TYPE_CHECKING:
    from kubocd_gen.oci.descriptors import Descriptor
    from kubocd_gen.oci.reference import Reference
    from kubocd_gen.oci.registry import Registry
    from kubocd_gen.packages.cache import Cache


class Remote:
    """The registries and their cache. The registry client is created when it is needed first."""

    def __init__(self, connect: Callable[[], Registry], cache: Cache | None) -> None:
        self._connect = connect
        self.cache = cache
        self._lock = threading.Lock()
        self._registry: Registry | None = None
        self._closed = False
        self._tags: SingleFlight[tuple[Reference, Access], Descriptor] = SingleFlight(keep=True)

    @property
    def registry(self) -> Registry:
        """The only client of the run; it has the connections, tokens and running requests."""
        with self._lock:  # functools.cached_property could create several
            if self._registry is None:
                self._registry = self._connect()
                if self._closed:  # `close` was called while the client was imported
                    self._registry.close()
            return self._registry

    def resolve(self, reference: Reference, access: Access) -> Descriptor:
        """Return the manifest that the tag points to, with one small request. Raises like `Registry.resolve`.

        Each tag is resolved once per run, whatever the timeouts of its Releases, because it could move during the run.
        """
        key = Access(insecure=access.insecure)
        return self._tags.get((reference, key), lambda: self.registry.resolve(reference, access))

    def close(self) -> None:
        """Abort the running requests, and refuse new ones."""
        with self._lock:
            self._closed = True
            if self._registry is not None:
                self._registry.close()

    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings of registry and cache, each once."""
        warnings = self._registry.warnings() if self._registry is not None else ()
        trouble = self.cache.trouble if self.cache else None
        return (*warnings, trouble) if trouble else warnings

    def blobs(self, reference: Reference, access: Access) -> RemoteBlobs:
        """Return the blobs of the image `reference`."""
        return RemoteBlobs(self, reference, access)


@dataclass(slots=True)
class RemoteBlobs:
    """A BlobStore of cache and registry for one image. `requested`: a blob was requested from the registry."""

    remote: Remote
    reference: Reference
    access: Access
    requested: bool = False
    _manifest: tuple[Descriptor, bytes] | None = None

    def measured(self, tagged: Descriptor) -> Descriptor:
        """Return the descriptor of the manifest with the digest of `tagged`, which `Remote.resolve` returned.

        Some registries declare a wrong length in the response to HEAD, so only a manifest that was read has a size.
        """
        cache = self.remote.cache
        if cache is not None and cache.read(tagged) is not None:
            return tagged
        self.requested = True
        self._manifest = self.remote.registry.read_manifest(self.reference, tagged.digest, self.access)
        return self._manifest[0]

    def read_blob(self, descriptor: Descriptor, *, limit: int = LIMITS.layer) -> bytes:
        """Return the blob with digest and size verified. Raises ProblemsError, also if it exceeds `limit` bytes."""
        cache = self.remote.cache
        if cache is not None and descriptor.size <= limit and (data := cache.read(descriptor)) is not None:
            return data
        self.requested = True
        if descriptor.is_manifest:
            known, self._manifest = self._manifest, None
            if known is None or known[0] != descriptor:
                known = self.remote.registry.read_manifest(self.reference, descriptor.digest, self.access)
            data = known[1]
            if len(data) != descriptor.size:  # the request has only the digest; the size comes from the lock
                raise ProblemsError.of(
                    "corrupt-blob",
                    f"the manifest of {self.reference} has {len(data)} bytes, not {descriptor.size}",
                    hint=f"if the lock was edited, pin the package again: kcd-gen lock --update {self.reference}",
                )
        else:
            data = self.remote.registry.read_blob(self.reference, descriptor, self.access, limit=limit)
        if cache is not None:
            cache.store(data, descriptor.digest)
            if descriptor.is_manifest:
                cache.name(descriptor.digest, str(self.reference))
        return data

    def has(self, *descriptors: Descriptor) -> bool:
        """Return whether the cache has files for all of them; their content is not verified."""
        cache = self.remote.cache
        return cache is not None and all(map(cache.has, descriptors))

    def position(self, descriptor: Descriptor) -> Position | None:
        """Return None: messages about a pulled image contain its reference."""
        return None
