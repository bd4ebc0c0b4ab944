"""Image references: `registry/repository:tag`, as a Release and a vendor layout write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown

# A host name as registries have them in practice (underscores included, which Docker networks allow), an IPv4 or a
# bracketed IPv6 address, then a port.
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
    r"(?::[0-9]{1,5})?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_FORM = "a package is named like quay.io/kubodoc/packages/podinfo:6.7.1-p01"
_LONGEST_NAME = 255  # registry, slash and repository: the limit of most clients, says the distribution specification


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A package image by its tag; `str()` gives the text that it was parsed from."""

    registry: str  # host[:port], as written
    repository: str  # one or more components, as in "kubodoc/packages/podinfo"
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


def parse_reference(text: str) -> Reference:
    """The parts of a full reference, such as `quay.io/kubodoc/packages/podinfo:6.7.1-p01`.

    What comes before the first slash is the registry, whatever it looks like: KuboCD and Flux know no default one.
    Repository and tag follow the grammar of the OCI distribution specification. Raises ProblemsError `bad-reference`.
    """
    registry, slash, path = text.partition("/")
    if "://" in text:
        raise ProblemsError(
            _bad(text, "starts with a scheme", hint="write it without: 'registry/repository', tag apart")
        )
    if "${" in text:
        raise ProblemsError(
            _bad(text, "holds a variable", hint="--expand-env puts variables of the environment into sources")
        )
    if not slash:
        raise ProblemsError(_bad(text, "names no repository", hint=_FORM))
    if "@" in text:
        raise ProblemsError(
            _bad(text, "holds a digest", hint="packages are named by tag; kcd-gen.lock pins the digest")
        )
    repository, colon, tag = path.partition(":")
    if not _REGISTRY.fullmatch(registry):
        raise ProblemsError(_bad(text, f"has {shown(registry)} where a registry's host name belongs", hint=_FORM))
    if not colon:
        raise ProblemsError(_bad(text, "has no tag", hint=_FORM))
    for component in repository.split("/"):
        if not _COMPONENT.fullmatch(component):
            lower = "; it must be lower case" if _COMPONENT.fullmatch(component.lower()) else ""
            raise ProblemsError(
                _bad(text, f"has {shown(component)} in its repository, which no registry serves{lower}", hint=_FORM)
            )
    if len(registry) + 1 + len(repository) > _LONGEST_NAME:
        raise ProblemsError(
            _bad(text, f"is longer than the {_LONGEST_NAME} characters that registries take before the tag")
        )
    if ":" in tag:
        raise ProblemsError(
            _bad(text, "has two tags", hint="the tag belongs into 'tag' alone, not behind the repository, too")
        )
    if not _TAG.fullmatch(tag):
        raise ProblemsError(
            _bad(
                text,
                f"has {shown(tag)} where a tag belongs",
                hint="a tag is up to 128 letters, digits, '_', '.' and '-', and starts with none of the last two",
            )
        )
    return Reference(registry, repository, tag)


def _bad(text: str, what: str, hint: str | None = None) -> Problem:
    return Problem("bad-reference", f"image reference {shown(text)} {what}", hint=hint)
