"""Parse the name of a container image on the command line: in a registry, by tag or digest, or in an image layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError, shown
from kubocd_gen.oci.reference import Reference, parse_reference

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LAYOUT = "oci:"


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """An image in a registry, by tag, digest or both. The tag of `reference` is empty if there is none."""

    reference: Reference
    digest: str | None

    @property
    def name(self) -> str:
        """The name without the digest: `docker.io/library/nginx:1.28`."""
        return str(self.reference).removesuffix(":")

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else self.name


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image in a layout. Without a name, the layout must have exactly one image."""

    folder: Path
    name: str | None

    def __str__(self) -> str:
        return f"{_LAYOUT}{self.folder}" + (f":{self.name}" if self.name else "")


def parse_image(text: str) -> RegistryImage | LayoutImage:
    """Parse `registry/repository[:tag][@sha256:…]`, or `oci:DIR[:NAME]` like skopeo.

    Raises ProblemsError `bad-reference`.
    """
    if text.startswith(_LAYOUT):
        directory, name = split_layout(text.removeprefix(_LAYOUT))
        return LayoutImage(directory, name)
    named, at, digest = text.removeprefix("docker://").partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ProblemsError(_bad(text, "has no valid digest ('sha256:' and 64 hexadecimal digits) after '@'"))
    first, slash, rest = named.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        full = f"docker.io/{named}" if slash else f"docker.io/library/{named}"
        raise ProblemsError(_bad(text, "has no registry", hint=f"for Docker Hub, use {full}"))
    if ":" in rest.rpartition("/")[2]:
        return RegistryImage(parse_reference(named), digest or None)
    if not at:
        raise ProblemsError(
            _bad(
                text, "has neither a tag nor a digest", hint="add a tag; there is no default, because 'latest' changes"
            )
        )
    found = parse_reference(f"{named}:digest")
    return RegistryImage(Reference(found.registry, found.repository, ""), digest)


def split_layout(text: str) -> tuple[Path, str | None]:
    """Split `DIR[:NAME]` at the first colon, like skopeo. Raises ProblemsError `bad-reference`."""
    directory, _, name = text.partition(":")
    if not directory:
        raise ProblemsError.of(
            "bad-reference", f"image layout {shown(text)} has no directory", hint="use DIR or DIR:NAME"
        )
    return Path(directory), name or None


def _bad(text: str, what: str, hint: str | None = None) -> Problem:
    return Problem("bad-reference", f"image reference {shown(text)} {what}", hint=hint)
