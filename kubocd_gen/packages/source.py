"""Fetch packages, pinned by the lock, from the vendor layout, the cache or a registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import Problem, ProblemsError, nearest
from kubocd_gen.files.paths import shown_path
from kubocd_gen.model.compilation import PackageOrigin
from kubocd_gen.model.project import LOCK_FILE
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.packages.layer_memory import LayerMemory
from kubocd_gen.packages.lock import Lock, Pin
from kubocd_gen.processes.single_flight import SingleFlight

if TYPE_CHECKING:
    from kubocd_gen.model.package import Package
    from kubocd_gen.oci.descriptors import Descriptor
    from kubocd_gen.oci.layout import OciLayout
    from kubocd_gen.oci.reference import Reference
    from kubocd_gen.oci.registry import Registry
    from kubocd_gen.packages.image import BlobStore, PackageImage
    from kubocd_gen.packages.remote import Remote, RemoteBlobs


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """A package to fetch, and how to access its registry.

    `written` is its reference before the redirects of the Configs, if they change it. The vendor layout can have it
    under either name.
    """

    reference: Reference
    access: Access = field(default_factory=Access)
    written: Reference | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The outcome of a request: the verified package or the problem, warnings, and where the package was found."""

    package: PackageImage | ProblemsError
    warnings: tuple[Problem, ...] = ()
    origin: PackageOrigin | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """Where a package is, without a request to a registry. `layer` is its content layer if the lock has it.

    `path` returns where a blob of it is stored, and `note_use` records that blobs were used.
    """

    manifest: Descriptor
    layer: Descriptor | None
    origin: PackageOrigin
    path: Callable[[Descriptor], Path]
    note_use: Callable[..., None]


class PackageSources:
    """The package sources of a project, in order: the vendor layout, then cache and registry.

    A locked package is found by its digest, in any source. For other packages the tag is resolved in the vendor layout
    or, if it is not there, in the registry; without `remote` only the vendor layout is used. If a package in the vendor
    layout is damaged, that is an error: it is not replaced with the registry's copy, because the user vendored it.

    Each request is executed once per run; safe to use from several threads.
    """

    def __init__(
        self,
        *,
        vendor: OciLayout | None = None,
        remote: Remote | None = None,
        offline: bool = False,
        lock: Lock | None = None,
        locked: bool = False,
        limits: Limits = LIMITS,
        budget: Budget | None = None,
        jobs: int = 8,
    ) -> None:
        self.began = time.time_ns()  # no package was read before
        self._vendor = vendor
        self._remote = remote
        self._offline = offline  # use the remote's cache, but not its registries
        self._lock = lock or Lock()
        self._locked = locked  # packages that are not in the lock are errors
        self._limits = limits
        self._budget = budget or Budget(limits)
        self._memory = LayerMemory()
        self._jobs = jobs  # threads
        self._answers: SingleFlight[PackageRequest, Fetched] = SingleFlight(keep=True)
        self._read_images: SingleFlight[tuple[str, str], Package] = SingleFlight(keep=True)

    def fetch_all(self, requests: Iterable[PackageRequest]) -> dict[PackageRequest, Fetched]:
        """Return the outcome of each distinct request, in the order of the input."""
        distinct = list(dict.fromkeys(requests))
        if len(distinct) <= 1:
            try:
                return {request: self._answer(request) for request in distinct}
            except BaseException:
                self.close()
                raise
        from concurrent.futures import ThreadPoolExecutor  # 10 ms to import

        with ThreadPoolExecutor(max_workers=max(1, min(self._jobs, len(distinct)))) as pool:
            try:
                return dict(zip(distinct, pool.map(self._answer, distinct), strict=True))
            except BaseException:
                self.close()  # because leaving the pool waits for its threads
                raise

    def package(self, image: PackageImage, read: Callable[[PackageImage], Package]) -> Package:
        """Return `read(image)`, which is called once per run for each image. Raises what `read` raises."""
        return self._read_images.get((image.reference, image.digest), lambda: read(image))

    def located(self, request: PackageRequest) -> Located | None:
        """Return where `fetch_all` would find a package locally; None if it asks a registry, or has a warning or error.

        The blobs are not read, and can be missing.
        """
        try:
            vendored = self._vendored(request)
        except ProblemsError:
            return None
        pin = self._lock.packages.get(str(request.reference))
        if pin is None:
            if self._locked or vendored is None or self._vendor is None:
                return None
            origin = PackageOrigin("vendor", str(vendored[0]))
            return Located(vendored[1], None, origin, self._vendor.blob, lambda *_: None)
        if vendored is not None and vendored[1].digest != pin.manifest.digest:
            return None
        if self._vendor is not None and self._vendor.has(pin.manifest):
            name = vendored[0] if vendored else request.reference
            origin = PackageOrigin("vendor", str(name))
            return Located(pin.manifest, pin.layer, origin, self._vendor.blob, lambda *_: None)
        cache = self._remote.cache if self._remote else None
        if cache is None:
            return None
        return Located(
            pin.manifest, pin.layer, PackageOrigin("cache", str(request.reference)), cache.path, cache.note_use
        )

    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings of cache and registries."""
        return self._remote.warnings() if self._remote else ()

    @property
    def registry(self) -> Registry:
        """The client of the registries, which `close` closes. Only sources with `remote` have one."""
        assert self._remote is not None
        return self._remote.registry

    def close(self) -> None:
        """Abort the running requests, so their threads end."""
        if self._remote:
            self._remote.close()

    def _answer(self, request: PackageRequest) -> Fetched:
        return self._answers.get(request, lambda: self._fetched(request))

    def _fetched(self, request: PackageRequest) -> Fetched:
        pin = self._lock.packages.get(str(request.reference))
        warnings: list[Problem] = []
        try:
            if pin is not None:
                package, origin = self._pinned(request, pin, warnings)
                return Fetched(package, tuple(warnings), origin)
            if self._locked:
                raise ProblemsError.of(
                    "not-locked",
                    f"package {request.reference} is not in {LOCK_FILE}, which --locked requires",
                    hint=f"run 'kcd-gen lock' and commit {LOCK_FILE}",
                )
            package, origin = self._by_tag(request)
            return Fetched(package, origin=origin)
        except ProblemsError as error:
            return Fetched(error, tuple(warnings))

    def _vendored(self, request: PackageRequest) -> tuple[Reference, Descriptor] | None:
        """Return the manifest in the vendor layout and its reference there; the redirected one takes precedence."""
        if self._vendor is None:
            return None
        for reference in (request.reference, request.written):
            if reference is not None and (found := self._vendor.resolve(reference)) is not None:
                return reference, found
        return None

    def _by_tag(self, request: PackageRequest) -> tuple[PackageImage, PackageOrigin]:
        if self._vendor is not None and (vendored := self._vendored(request)) is not None:
            name, found = vendored
            return self._read(request.reference, found, self._vendor), PackageOrigin("vendor", str(name))
        if self._remote is None or self._offline:
            raise ProblemsError(self._missing(request.reference, written=request.written))
        found = self._remote.resolve(request.reference, request.access)
        blobs = self._remote.blobs(request.reference, request.access)
        image = self._read(request.reference, blobs.measured(found), blobs)
        return image, PackageOrigin("registry", str(request.reference))

    def _pinned(self, request: PackageRequest, pin: Pin, warnings: list[Problem]) -> tuple[PackageImage, PackageOrigin]:
        reference = request.reference
        stores: list[BlobStore] = []
        found_as = reference
        if self._vendor is not None:
            if (vendored := self._vendored(request)) is not None and vendored[1].digest == pin.manifest.digest:
                found_as = vendored[0]
            named = self._vendor.resolve(reference)
            if named is not None and named.digest != pin.manifest.digest:
                location = f"in {shown_path(self._vendor.name)}"
                hint = f"run 'kcd-gen vendor' to update the vendor layout, or 'kcd-gen lock --update {reference}'"
                warnings.append(_moved(reference, pin, named, location, hint))
            if self._vendor.has(pin.manifest):
                stores.append(self._vendor)
        remote: RemoteBlobs | None = None
        if not stores:
            if self._remote is None:
                raise ProblemsError(self._missing(reference, pin))
            remote = self._remote.blobs(reference, request.access)
            if self._offline and not remote.has(pin.manifest, pin.layer):
                raise ProblemsError(self._missing(reference, pin))
            stores.append(remote)
        image = self._read(reference, pin.manifest, stores[0])
        if (image.layer.digest, image.layer.size) != (pin.layer.digest, pin.layer.size):
            raise ProblemsError.of(
                "bad-lock",
                f"{LOCK_FILE} has the layer {pin.layer.digest} ({pin.layer.size} bytes) for {reference}, "
                f"but its manifest has {image.layer.digest} ({image.layer.size} bytes)",
                hint=f"pin it again: kcd-gen lock --update {reference}",
            )
        # Only if the registry was contacted anyway: a build that finds everything locally makes no requests.
        if remote is not None and remote.requested and self._remote is not None:
            warnings += self._moved_meanwhile(self._remote, request, pin)
        if remote is None:
            return image, PackageOrigin("vendor", str(found_as))
        return image, PackageOrigin("registry" if remote.requested else "cache", str(reference))

    def _moved_meanwhile(self, remote: Remote, request: PackageRequest, pin: Pin) -> list[Problem]:
        reference = request.reference
        try:
            now = remote.resolve(reference, request.access)
        except BudgetExceededError:
            raise
        except ProblemsError as error:  # the build has the locked image, and does not need the tag
            if error.problem.code != "missing-package":
                return []
            return [
                Problem(
                    "moved-tag",
                    f"{reference} no longer exists at {reference.registry}; {LOCK_FILE} has {pin.manifest.digest}",
                    hint="this build uses the locked image; run 'kcd-gen vendor' before it is deleted, too",
                )
            ]
        if now.digest == pin.manifest.digest:
            return []
        hint = f"this build uses the locked image; to use the new one, run 'kcd-gen lock --update {reference}'"
        return [_moved(reference, pin, now, f"at {reference.registry}", hint)]

    def _read(self, reference: Reference, manifest: Descriptor, store: BlobStore) -> PackageImage:
        from kubocd_gen.packages.image import read_image  # few builds read a package

        try:
            return read_image(reference, manifest, store, self._limits, self._budget, self._memory)
        except ProblemsError as error:
            if isinstance(error, BudgetExceededError):
                raise
            raise ProblemsError(*(_named(one, reference) for one in error.problems)) from None

    def _missing(self, reference: Reference, pin: Pin | None = None, *, written: Reference | None = None) -> Problem:
        locations = [f"the vendor layout '{shown_path(self._vendor.name)}'"] if self._vendor else []
        if pin is not None:
            what = f"package {reference}, locked to {pin.manifest.digest},"
            locations += ["the cache"]
        else:
            what = f"package {reference}"
            what += f", to which a redirect leads from {written}," if written is not None else ""
        where = f"is not in {' or '.join(locations)}" if locations else "is neither vendored nor locked"
        return Problem(
            "missing-package",
            f"{what} {where}{', and --offline prevents access to its registry' if self._offline else ''}",
            hint=self._advice(reference, pin),
        )

    def _advice(self, reference: Reference, pin: Pin | None) -> str:
        if pin is not None:
            return "run 'kcd-gen vendor' on a machine that can reach the registry"
        known = self._vendor.references() if self._vendor else ()
        near = nearest("did you mean '{}'?", str(reference), [name for name in known if _alike(reference, name)])
        if near:
            return near
        directory = shown_path(self._vendor.name) if self._vendor else "packages"
        return f"vendor it: skopeo copy docker://{reference} oci:{directory}:{reference}"


def _moved(reference: Reference, pin: Pin, now: Descriptor, location: str, hint: str) -> Problem:
    return Problem(
        "moved-tag",
        f"{reference} is now {now.digest} {location}; {LOCK_FILE} has {pin.manifest.digest}",
        hint=hint,
    )


def _alike(reference: Reference, name: str) -> bool:
    """Return whether `name` has the same repository or tag, and is therefore a candidate for a suggestion."""
    return name.startswith(f"{reference.registry}/{reference.repository}:") or name.endswith(f":{reference.tag}")


def _named(problem: Problem, reference: Reference) -> Problem:
    """Return the problem with the package in its message; messages about a blob have only its digest."""
    if str(reference) in problem.message:
        return problem
    return replace(problem, message=f"package {reference}: {problem.message}")
