"""Packages from registries, through the cache: what is there by digest is not asked for again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.reference import Reference
from kubocd_gen.packages.cache import Cache
from kubocd_gen.processes.single_flight import SingleFlight

if TYPE_CHECKING:
    from kubocd_gen.oci.registry import Registry


class Remote:
    """The registries, and the cache in front of them. The client is made when something has to be asked for."""

    def __init__(self, connect: Callable[[], Registry], cache: Cache | None) -> None:
        self._connect = connect
        self.cache = cache
        self._lock = threading.Lock()
        self._registry: Registry | None = None
        self._closed = False
        self._tags: SingleFlight[tuple[Reference, Access], Descriptor] = SingleFlight(keep=True)

    @property
    def registry(self) -> Registry:
        """The one client of the run: connections, tokens and what is under way are counted in it."""
        with self._lock:  # functools.cached_property would make one a thread
            if self._registry is None:
                self._registry = self._connect()
                if self._closed:  # while the client was imported
                    self._registry.close()
            return self._registry

    def resolve(self, reference: Reference, access: Access) -> Descriptor:
        """The manifest that the tag stands for now: one small request. Raises ProblemsError as `Registry.resolve` does.

        A tag is asked for once a run, however patient the Releases that name it are: it could move meanwhile.
        """
        way = Access(insecure=access.insecure)
        return self._tags.get((reference, way), lambda: self.registry.resolve(reference, access))

    def close(self) -> None:
        """Break off what is under way, and begin nothing more."""
        with self._lock:
            self._closed = True
            if self._registry is not None:
                self._registry.close()

    def warnings(self) -> tuple[Problem, ...]:
        """What the user should know though nothing failed, once each."""
        said = self._registry.warnings() if self._registry is not None else ()
        trouble = self.cache.trouble if self.cache else None
        return (*said, trouble) if trouble else said

    def blobs(self, reference: Reference, access: Access) -> RemoteBlobs:
        """The blobs of the image that `reference` names."""
        return RemoteBlobs(self, reference, access)


@dataclass(slots=True)
class RemoteBlobs:
    """A BlobStore over cache and registry, for one image. `asked` tells whether the registry had to be."""

    remote: Remote
    reference: Reference
    access: Access
    asked: bool = False

    def read_blob(self, descriptor: Descriptor, *, limit: int = LIMITS.layer) -> bytes:
        """The blob, its digest and size verified. Raises ProblemsError, also where it is over `limit` bytes."""
        cache = self.remote.cache
        if cache is not None and descriptor.size <= limit and (data := cache.read(descriptor)) is not None:
            return data
        self.asked = True
        if descriptor.is_manifest:
            _, data = self.remote.registry.read_manifest(self.reference, descriptor.digest, self.access)
            if len(data) != descriptor.size:  # a digest alone is asked for: the size is what the lock says
                what = f"the manifest of {self.reference} is {len(data)} bytes long"
                raise ProblemsError(
                    Problem(
                        "corrupt-blob",
                        f"{what}; its descriptor says {descriptor.size}",
                        hint=f"where the lock was edited, pin it anew: kcd-gen lock --update {self.reference}",
                    )
                )
        else:
            data = self.remote.registry.read_blob(self.reference, descriptor, self.access, limit=limit)
        if cache is not None:
            cache.store(data, descriptor.digest)
            if descriptor.is_manifest:
                cache.name(descriptor.digest, str(self.reference))
        return data

    def has(self, *descriptors: Descriptor) -> bool:
        """Whether the cache seems to have all of them, so that no registry need be asked."""
        cache = self.remote.cache
        return cache is not None and all(map(cache.has, descriptors))

    def position(self, descriptor: Descriptor) -> Position | None:
        """None: a message about a pulled image names its reference."""
        return None
