"""Where packages come from: pinned by the lock, out of the vendor layout, the cache or a registry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kubocd_gen.archives.memory import Room
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import Problem, ProblemsError, nearest
from kubocd_gen.model.project import LOCK_FILE
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import Reference
from kubocd_gen.packages.image import BlobStore, PackageImage, read_image
from kubocd_gen.packages.lock import Lock, Pin
from kubocd_gen.packages.remote import Remote, RemoteBlobs
from kubocd_gen.processes.single_flight import SingleFlight

__all__ = ["Fetched", "PackageImage", "PackageRequest", "PackageSources"]


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """A package that is wanted, and how its registry may be asked for it."""

    reference: Reference
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a request: the verified package or the problem, and what is worth a warning."""

    package: PackageImage | ProblemsError
    warnings: tuple[Problem, ...] = ()


class PackageSources:
    """The places of a project, in order: the vendor layout, then cache and registry.

    A package that is in the lock is the one that the lock says, wherever it lies. One that is not is the one that its
    tag stands for: in the vendor layout, else in the registry; without `remote` only there. A package that is damaged
    in the vendor layout is not taken from the registry: the user vendored it for a reason.

    Each request is answered once, whoever asks how often, from any thread.
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
        self._vendor = vendor
        self._remote = remote
        self._offline = offline  # the remote's cache may be read, its registries must not be asked
        self._lock = lock or Lock()
        self._locked = locked  # what the lock does not know is an error
        self._limits = limits
        self._budget = budget or Budget(limits)
        self._room = Room()
        self._jobs = jobs  # threads
        self._answers: SingleFlight[PackageRequest, Fetched] = SingleFlight(keep=True)

    def fetch_all(self, requests: Iterable[PackageRequest]) -> dict[PackageRequest, Fetched]:
        """The outcome of each distinct request, in the order of the input, whatever was there first."""
        from concurrent.futures import ThreadPoolExecutor  # 10 ms to import

        distinct = list(dict.fromkeys(requests))
        with ThreadPoolExecutor(max_workers=max(1, min(self._jobs, len(distinct)))) as pool:
            try:
                return dict(zip(distinct, pool.map(self._answer, distinct), strict=True))
            except BaseException:
                self.close()  # the pool waits for its threads
                raise

    def warnings(self) -> tuple[Problem, ...]:
        """What the user should know of the way to the packages, though nothing failed."""
        return self._remote.warnings() if self._remote else ()

    def close(self) -> None:
        """Break off what is under way, so that its threads end."""
        if self._remote:
            self._remote.close()

    def _answer(self, request: PackageRequest) -> Fetched:
        return self._answers.get(request, lambda: self._fetched(request))

    def _fetched(self, request: PackageRequest) -> Fetched:
        pin = self._lock.packages.get(str(request.reference))
        warnings: list[Problem] = []
        try:
            if pin is not None:
                return Fetched(self._pinned(request, pin, warnings), tuple(warnings))
            if self._locked:
                raise ProblemsError(_not_locked(request.reference))
            return Fetched(self._by_tag(request))
        except ProblemsError as error:
            return Fetched(error, tuple(warnings))

    def _by_tag(self, request: PackageRequest) -> PackageImage:
        if self._vendor is not None and (found := self._vendor.resolve(request.reference)) is not None:
            return self._read(request.reference, found, self._vendor)
        if self._remote is None or self._offline:
            raise ProblemsError(self._missing(request.reference))
        found = self._remote.resolve(request.reference, request.access)
        return self._read(request.reference, found, self._remote.blobs(request.reference, request.access))

    def _pinned(self, request: PackageRequest, pin: Pin, warnings: list[Problem]) -> PackageImage:
        reference = request.reference
        places: list[BlobStore] = []
        if self._vendor is not None:
            named = self._vendor.resolve(reference)
            if named is not None and named.digest != pin.manifest.digest:
                place = f"in {self._vendor.path}"
                hint = f"vendor it again, with 'kcd-gen vendor', or move the lock: kcd-gen lock --update {reference}"
                warnings.append(_moved(reference, pin, named, place, hint))
            if self._vendor.has(pin.manifest):
                places.append(self._vendor)
        far: RemoteBlobs | None = None
        if not places:
            if self._remote is None:
                raise ProblemsError(self._missing(reference, pin))
            far = self._remote.blobs(reference, request.access)
            if self._offline and not far.has(pin.manifest, pin.layer):
                raise ProblemsError(self._missing(reference, pin))
            places.append(far)
        image = self._read(reference, pin.manifest, places[0])
        if (image.layer.digest, image.layer.size) != (pin.layer.digest, pin.layer.size):
            raise ProblemsError(
                Problem(
                    "bad-lock",
                    f"{LOCK_FILE} gives {reference} the layer {pin.layer.digest} of {pin.layer.size} bytes; "
                    f"its manifest has {image.layer.digest} of {image.layer.size}",
                    hint=f"pin it anew: kcd-gen lock --update {reference}",
                )
            )
        # Only when the registry had to be asked anyway: a build that has everything asks nobody.
        if far is not None and far.asked and self._remote is not None:
            warnings += self._moved_meanwhile(self._remote, request, pin)
        return image

    def _moved_meanwhile(self, remote: Remote, request: PackageRequest, pin: Pin) -> list[Problem]:
        reference = request.reference
        try:
            now = remote.resolve(reference, request.access)
        except ProblemsError as error:  # the locked image is there: the build does not need the tag
            if error.problem.code != "missing-package":
                return []
            return [
                Problem(
                    "moved-tag",
                    f"{reference} is gone at {reference.registry}; {LOCK_FILE} has {pin.manifest.digest}",
                    hint="this build uses the locked one; vendor it before it is deleted, too: kcd-gen vendor",
                )
            ]
        if now.digest == pin.manifest.digest:
            return []
        hint = f"this build uses the locked one; to take the new one: kcd-gen lock --update {reference}"
        return [_moved(reference, pin, now, f"at {reference.registry}", hint)]

    def _read(self, reference: Reference, manifest: Descriptor, store: BlobStore) -> PackageImage:
        try:
            return read_image(reference, manifest, store, self._limits, self._budget, self._room)
        except ProblemsError as error:
            if isinstance(error, BudgetExceededError):
                raise
            raise ProblemsError(*(_named(one, reference) for one in error.problems)) from None

    def _missing(self, reference: Reference, pin: Pin | None = None) -> Problem:
        places = [f"the vendor layout {self._vendor.path}"] if self._vendor else []
        if pin is not None:
            what = f"package {reference}, locked to {pin.manifest.digest},"
            places += ["the cache"]
        else:
            what = f"package {reference}"
        where = f"is not in {' or '.join(places)}" if places else "is neither vendored nor locked"
        return Problem(
            "missing-package",
            f"{what} {where}{', and --offline lets no registry be asked' if self._offline else ''}",
            hint=self._advice(reference, pin),
        )

    def _advice(self, reference: Reference, pin: Pin | None) -> str:
        if pin is not None:
            return "run 'kcd-gen vendor' where the registry can be reached"
        known = self._vendor.references() if self._vendor else ()
        near = nearest("did you mean '{}'?", str(reference), [name for name in known if _alike(reference, name)])
        if near:
            return near
        folder = self._vendor.path if self._vendor else "packages"
        return f"vendor it: skopeo copy docker://{reference} oci:{folder}:{reference}"


def _moved(reference: Reference, pin: Pin, now: Descriptor, place: str, hint: str) -> Problem:
    return Problem(
        "moved-tag",
        f"{reference} is now {now.digest} {place}; {LOCK_FILE} has {pin.manifest.digest}",
        hint=hint,
    )


def _not_locked(reference: Reference) -> Problem:
    return Problem(
        "not-locked",
        f"package {reference} is not in {LOCK_FILE}, and --locked takes no other",
        hint="run 'kcd-gen lock' and commit what it writes",
    )


def _alike(reference: Reference, name: str) -> bool:
    """Is `name` worth a comparison, letter by letter? One mistake leaves the repository or the tag as it was."""
    return name.startswith(f"{reference.registry}/{reference.repository}:") or name.endswith(f":{reference.tag}")


def _named(problem: Problem, reference: Reference) -> Problem:
    """Return the problem with the package in its message: a blob has only its digest there."""
    if str(reference) in problem.message:
        return problem
    return replace(problem, message=f"package {reference}: {problem.message}")
