"""Image references: `registry/repository:tag` in Releases and vendor layouts, and other forms on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.oci.descriptors import DIGEST

# A host name (with underscores, which Docker networks allow), an IPv4 address or a bracketed IPv6 address, and a port.
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
    r"(?::[0-9]{1,5})?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LAYOUT = "oci:"
_FORM = "use the form registry/repository:tag, such as quay.io/kubodoc/packages/podinfo:6.7.1-p01"
_LONGEST_NAME = 255  # characters of registry, slash and repository: the common limit, by the distribution specification


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """An image reference with a tag; `str()` returns the string that it was parsed from."""

    registry: str  # host[:port], as written
    repository: str  # one or more components, such as "kubodoc/packages/podinfo"
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


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

    directory: Path
    name: str | None

    def __str__(self) -> str:
        return f"{_LAYOUT}{self.directory}" + (f":{self.name}" if self.name else "")


def parse_reference(text: str) -> Reference:
    """Parse a full reference, such as `quay.io/kubodoc/packages/podinfo:6.7.1-p01`.

    The part before the first slash is always the registry, because KuboCD and Flux have no default registry. Repository
    and tag follow the grammar of the OCI distribution specification. Raises ProblemsError `bad-reference`.
    """
    registry, slash, path = text.partition("/")
    if "://" in text:
        raise _bad(text, "starts with a scheme", hint="remove the scheme: 'registry/repository', with the tag in 'tag'")
    if "${" in text:
        raise _bad(text, "contains a variable", hint="use --expand-env to expand environment variables in sources")
    if not slash:
        raise _bad(text, "has no repository", hint=_FORM)
    if "@" in text:
        raise _bad(text, "contains a digest", hint="use a tag; kcd-gen.lock pins its digest")
    repository, colon, tag = path.partition(":")
    if not _REGISTRY.fullmatch(registry):
        raise _bad(text, f"has an invalid registry host: {shown(registry)}", hint=_FORM)
    if not colon:
        raise _bad(text, "has no tag", hint=_FORM)
    for component in repository.split("/"):
        if not _COMPONENT.fullmatch(component):
            lower = "; it must be lowercase" if _COMPONENT.fullmatch(component.lower()) else ""
            raise _bad(text, f"has an invalid repository component: {shown(component)}{lower}", hint=_FORM)
    if len(registry) + 1 + len(repository) > _LONGEST_NAME:
        raise _bad(text, f"has more than {_LONGEST_NAME} characters before the tag")
    if ":" in tag:
        raise _bad(text, "has two tags", hint="set the tag only in 'tag', not after the repository")
    if not _TAG.fullmatch(tag):
        raise _bad(
            text,
            f"has an invalid tag: {shown(tag)}",
            hint="use up to 128 letters, digits, '_', '.' and '-'; the first character cannot be '.' or '-'",
        )
    return Reference(registry, repository, tag)


def is_below(repository: str, prefix: str) -> bool:
    """Return whether a repository is `prefix`, or in this namespace; every repository is in the empty one."""
    return not prefix or f"{repository}/".startswith(f"{prefix}/")


def parse_image(text: str) -> RegistryImage | LayoutImage:
    """Parse `registry/repository[:tag][@sha256:…]`, or `oci:DIR[:NAME]` like skopeo.

    Raises ProblemsError `bad-reference`.
    """
    if text.startswith(_LAYOUT):
        directory, name = split_layout(text.removeprefix(_LAYOUT))
        return LayoutImage(directory, name)
    named, at, digest = text.removeprefix("docker://").partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise _bad(text, "has no valid digest ('sha256:' and 64 hexadecimal digits) after '@'")
    first, slash, rest = named.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        full = f"docker.io/{named}" if slash else f"docker.io/library/{named}"
        raise _bad(text, "has no registry", hint=f"for Docker Hub, use {full}")
    if ":" in rest.rpartition("/")[2]:
        return RegistryImage(parse_reference(named), digest or None)
    if not at:
        hint = "add a tag; there is no default, because 'latest' changes"
        raise _bad(text, "has neither a tag nor a digest", hint)
    found = parse_reference(f"{named}:digest")
    return RegistryImage(Reference(found.registry, found.repository, ""), digest)


def split_layout(text: str) -> tuple[Path, str | None]:
    """Split `DIR[:NAME]` at the first colon, like skopeo. Raises ProblemsError `bad-reference`."""
    directory, _, name = text.partition(":")
    if not directory:
        message = f"image layout {shown(text)} has no directory"
        raise ProblemsError.of("bad-reference", message, hint="use DIR or DIR:NAME")
    return Path(directory), name or None


def _bad(text: str, what: str, hint: str | None = None) -> ProblemsError:
    return ProblemsError.of("bad-reference", f"image reference {shown(text)} {what}", hint=hint)
