"""How a user names a container image: in a registry by tag, digest or both, or in an image layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.oci.reference import Reference, parse_reference

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LAYOUT = "oci:"


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """An image in a registry. Without a digest it is what the tag stands for; the tag is empty where none is given."""

    reference: Reference
    digest: str | None

    @property
    def name(self) -> str:
        """Without the digest: `docker.io/library/nginx:1.28`."""
        return str(self.reference).removesuffix(":")

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else self.name


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image in a layout, by its name there; None is the only one."""

    folder: Path
    name: str | None

    def __str__(self) -> str:
        return f"{_LAYOUT}{self.folder}" + (f":{self.name}" if self.name else "")


def parse_image(text: str) -> RegistryImage | LayoutImage:
    """`registry/repository[:tag][@sha256:…]`, or `oci:DIR[:NAME]` as skopeo writes it. Raises ProblemsError."""
    if text.startswith(_LAYOUT):
        folder, name = split_layout(text.removeprefix(_LAYOUT))
        return LayoutImage(folder, name)
    named, at, digest = text.removeprefix("docker://").partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ProblemsError(_bad(text, "has no digest of the form 'sha256:' and 64 hexadecimal digits behind '@'"))
    first, slash, rest = named.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        full = f"docker.io/{named}" if slash else f"docker.io/library/{named}"
        raise ProblemsError(_bad(text, "does not say the registry", hint=f"Docker Hub's is: {full}"))
    if ":" in rest.rpartition("/")[2]:
        return RegistryImage(parse_reference(named), digest or None)
    if not at:
        raise ProblemsError(
            _bad(text, "has neither a tag nor a digest", hint="what 'latest' would be is another image tomorrow")
        )
    found = parse_reference(f"{named}:digest")
    return RegistryImage(Reference(found.registry, found.repository, ""), digest)


def split_layout(text: str) -> tuple[Path, str | None]:
    """`DIR[:NAME]`, where the first colon ends the folder, as skopeo has it."""
    folder, _, name = text.partition(":")
    if not folder:
        raise ProblemsError(
            Problem("bad-reference", f"image layout {shown(text)} has no folder", hint="write DIR or DIR:NAME")
        )
    return Path(folder), name or None


def _bad(text: str, what: str, hint: str | None = None) -> Problem:
    return Problem("bad-reference", f"image reference {shown(text)} {what}", hint=hint)
