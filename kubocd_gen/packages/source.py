"""Where packages come from: the vendor layout, then whatever other sources a project has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from kubocd_gen.diagnostics import KcdError, nearest
from kubocd_gen.packages.image import PackageImage, read_image
from kubocd_gen.packages.layout import OciLayout
from kubocd_gen.packages.limits import LIMITS, Limits
from kubocd_gen.packages.reference import Reference

__all__ = ["PackageImage", "PackageSource", "PackageSources", "VendorSource"]


class PackageSource(Protocol):
    """One place to look for packages. `fetch` is called from several threads at a time."""

    def fetch(self, reference: Reference) -> PackageImage | None:
        """The verified package, None where this place does not have it. Raises KcdError."""

    def describe(self) -> str:
        """The place, as it stands in «not found in …»."""

    def references(self) -> Iterable[str]:
        """What this place has, for suggestions; nothing where it can't be listed. Raises KcdError."""

    def advice(self, reference: Reference) -> str | None:
        """How a user gets a missing package to this place."""


class VendorSource:
    """The packages of an OCI image layout in the project."""

    def __init__(self, layout: OciLayout, limits: Limits = LIMITS) -> None:
        self._layout = layout
        self._limits = limits

    def fetch(self, reference: Reference) -> PackageImage | None:
        """The package that the layout names `reference` in full, None where it names none so."""
        descriptor = self._layout.resolve(reference)
        return None if descriptor is None else read_image(reference, descriptor, self._layout, self._limits)

    def describe(self) -> str:
        """The layout's folder."""
        return f"the vendor layout {self._layout.path}"

    def references(self) -> Iterable[str]:
        """The names in the layout's index."""
        return self._layout.references()

    def advice(self, reference: Reference) -> str:
        """The command that vendors the package."""
        return f"vendor it: skopeo copy docker://{reference} oci:{self._layout.path}:{reference}"


class PackageSources:
    """Several sources, asked in order: the first that has a package gives it, and an error there is final.

    A package that is damaged in the first source is not taken from the next: the user vendored it for a reason.
    """

    def __init__(self, sources: Sequence[PackageSource], jobs: int = 8) -> None:
        self._sources = tuple(sources)
        self._jobs = jobs  # threads

    def fetch_all(self, references: Iterable[Reference]) -> dict[Reference, PackageImage | KcdError]:
        """Each distinct reference's package or problem, in the order of the input, whatever was there first."""
        from concurrent.futures import ThreadPoolExecutor  # 10 ms to import

        distinct = list(dict.fromkeys(references))
        with ThreadPoolExecutor(max_workers=max(1, min(self._jobs, len(distinct)))) as pool:
            return dict(zip(distinct, pool.map(self._outcome, distinct), strict=True))

    def _outcome(self, reference: Reference) -> PackageImage | KcdError:
        try:
            for source in self._sources:
                if (image := source.fetch(reference)) is not None:
                    return image
            return self._missing(reference)
        except KcdError as error:
            return error

    def _missing(self, reference: Reference) -> KcdError:
        places = " or ".join(source.describe() for source in self._sources)
        where = f"not in {places}" if places else "nowhere: no place to look for packages is configured"
        known = [name for source in self._sources for name in source.references() if _alike(reference, name)]
        advice = (text for source in self._sources if (text := source.advice(reference)))
        return KcdError(
            f"package {reference} is {where}",
            code="missing-package",
            hint=nearest("did you mean '{}'?", str(reference), known) or next(advice, None),
        )


def _alike(reference: Reference, name: str) -> bool:
    """Is `name` worth a comparison, letter by letter? One mistake leaves the repository or the tag as it was."""
    return name.startswith(f"{reference.registry}/{reference.repository}:") or name.endswith(f":{reference.tag}")
