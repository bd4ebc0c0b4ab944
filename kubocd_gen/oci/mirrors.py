"""The `mirrors` of a project: which registry, namespace or repository is read from where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.origins import canonical_host
from kubocd_gen.oci.reference import is_below, parse_reference

DOCKER_HUB = "docker.io"
DOCKER_HUB_SERVER = "registry-1.docker.io"  # docker.io itself is a web site
HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", DOCKER_HUB_SERVER})
_MIRROR = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9._\-\[\]:]+)(?P<path>(?:/[A-Za-z0-9._\-]+)*)/?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FORM = "use the form 'mirror.example.com/quay', or 'http://localhost:5000/quay' for plain HTTP"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror. `prefix` is what it replaces: a registry, or a namespace or repository in it."""

    prefix: str
    scheme: str
    host: str
    repository: str


def is_host(name: str, host: str, scheme: str) -> bool:
    """Return whether `name` is `host`, which is canonical, in any spelling."""
    spelled = canonical_host(name, scheme)
    return spelled == host or (host == DOCKER_HUB and spelled in HUB_NAMES)


def find_mirror(host: str, scheme: str, repository: str, mirrors: Mapping[str, str]) -> Mirror | None:
    """Return the mirror with the longest prefix that matches whole components of `host/repository`, or None.

    Raises ProblemsError `invalid-value` if the mirror is not valid.
    """
    matching = []
    for key in mirrors:
        name, path = _split(key)
        if host == DOCKER_HUB and repository == f"library/{path}":  # written with its short name
            path = repository
        if is_host(name, host, scheme) and is_below(repository, path):
            matching.append((len(path), key))
    if not matching:
        return None
    length, key = max(matching)
    match = _MIRROR.fullmatch(mirrors[key])
    if match is None:
        raise _invalid(f"the mirror {shown(mirrors[key])} of {shown(key)} is not valid", _FORM)
    rest = repository[length:].strip("/")
    target = "/".join(filter(None, (match["path"].strip("/"), rest)))
    if not target:
        raise _invalid(
            f"the mirror {shown(mirrors[key])} of the repository {shown(key)} has no repository",
            f"add it, as in {shown(f'{mirrors[key]}/{repository}')}",
        )
    return Mirror(key.rstrip("/"), match["scheme"] or "https", match["host"].lower(), target)


def mirror_defects(mirrors: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield key, message and hint for each mirror that is not valid. Messages contain no values."""
    first: dict[tuple[str, str], str] = {}
    for key, mirror in mirrors.items():
        host, path = _split(key)
        scheme = _SCHEME.match(key)
        if scheme is not None:
            rest = shown(key[scheme.end() :])
            yield key, f"{shown(key)} has a scheme", f"write {rest}; only the mirror itself can have a scheme"
        elif "//" in key or not _is_prefix(host, path):
            hint = "write a host, or a host and a namespace or repository, such as quay.io or quay.io/acme"
            yield key, f"{shown(key)} is not a registry, namespace or repository", hint
        elif (other := first.setdefault((_canonical(host), path), key)) != key:
            yield key, f"{shown(key)} and {shown(other)} are the same", "remove one of them"
        elif not _MIRROR.fullmatch(mirror):
            yield key, f"the mirror of {shown(key)} is not valid", _FORM


def _split(key: str) -> tuple[str, str]:
    host, _, path = key.partition("/")
    return host, path.removesuffix("/")


def _is_prefix(host: str, path: str) -> bool:
    """Return whether a prefix could be that of an image reference."""
    try:
        return not set(path) & {":", "@"} and bool(parse_reference(f"{host}/{path or 'x'}:tag"))
    except ProblemsError:
        return False


def _canonical(host: str) -> str:
    canonical = canonical_host(host, "https")
    return DOCKER_HUB if canonical in HUB_NAMES else canonical


def _invalid(message: str, hint: str) -> ProblemsError:
    return ProblemsError.of("invalid-value", message, hint=hint)
