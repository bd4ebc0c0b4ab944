"""Image references as in Releases and vendor layouts: `registry/repository:tag`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Problem, ProblemsError, shown

# A host name (with underscores, which Docker networks allow), an IPv4 address or a bracketed IPv6 address, and a port.
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
    r"(?::[0-9]{1,5})?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
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


def parse_reference(text: str) -> Reference:
    """Parse a full reference, such as `quay.io/kubodoc/packages/podinfo:6.7.1-p01`.

    The part before the first slash is always the registry, because KuboCD and Flux have no default registry. Repository
    and tag follow the grammar of the OCI distribution specification. Raises ProblemsError `bad-reference`.
    """
    registry, slash, path = text.partition("/")
    if "://" in text:
        raise ProblemsError(
            _bad(text, "starts with a scheme", hint="remove the scheme: 'registry/repository', with the tag in 'tag'")
        )
    if "${" in text:
        raise ProblemsError(
            _bad(text, "contains a variable", hint="use --expand-env to expand environment variables in sources")
        )
    if not slash:
        raise ProblemsError(_bad(text, "has no repository", hint=_FORM))
    if "@" in text:
        raise ProblemsError(_bad(text, "contains a digest", hint="use a tag; kcd-gen.lock pins its digest"))
    repository, colon, tag = path.partition(":")
    if not _REGISTRY.fullmatch(registry):
        raise ProblemsError(_bad(text, f"has an invalid registry host: {shown(registry)}", hint=_FORM))
    if not colon:
        raise ProblemsError(_bad(text, "has no tag", hint=_FORM))
    for component in repository.split("/"):
        if not _COMPONENT.fullmatch(component):
            lower = "; it must be lower case" if _COMPONENT.fullmatch(component.lower()) else ""
            raise ProblemsError(
                _bad(text, f"has an invalid repository component: {shown(component)}{lower}", hint=_FORM)
            )
    if len(registry) + 1 + len(repository) > _LONGEST_NAME:
        raise ProblemsError(_bad(text, f"has more than {_LONGEST_NAME} characters before the tag"))
    if ":" in tag:
        raise ProblemsError(_bad(text, "has two tags", hint="set the tag only in 'tag', not after the repository"))
    if not _TAG.fullmatch(tag):
        raise ProblemsError(
            _bad(
                text,
                f"has an invalid tag: {shown(tag)}",
                hint="use up to 128 letters, digits, '_', '.' and '-'; the first character can't be '.' or '-'",
            )
        )
    return Reference(registry, repository, tag)


def _bad(text: str, what: str, hint: str | None = None) -> Problem:
    return Problem("bad-reference", f"image reference {shown(text)} {what}", hint=hint)
