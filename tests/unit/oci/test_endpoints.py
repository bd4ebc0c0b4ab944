from __future__ import annotations

from collections.abc import Mapping

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.endpoints import Access, find_endpoint
from kubocd_gen.oci.reference import Reference


def url(registry: str, repository: str, mirrors: Mapping[str, str] | None = None, *, insecure: bool = False) -> str:
    reference = Reference(registry, repository, "1")
    return find_endpoint(reference, Access(insecure=insecure), mirrors or {}).manifest_url("1")


@pytest.mark.parametrize(
    ("registry", "repository", "expected"),
    [
        ("quay.io", "a/b", "https://quay.io/v2/a/b/manifests/1"),
        ("Quay.IO", "a/b", "https://quay.io/v2/a/b/manifests/1"),
        ("localhost:5000", "a", "https://localhost:5000/v2/a/manifests/1"),
        ("registry", "a", "https://registry/v2/a/manifests/1"),
        ("registry", "a.b/c/d", "https://registry/v2/a.b/c/d/manifests/1"),
        ("[::1]:5000", "a", "https://[::1]:5000/v2/a/manifests/1"),
        ("docker.io", "a", "https://registry-1.docker.io/v2/library/a/manifests/1"),
        ("docker.io", "a/b", "https://registry-1.docker.io/v2/a/b/manifests/1"),
        ("index.docker.io", "a/b", "https://registry-1.docker.io/v2/a/b/manifests/1"),
    ],
)
def test_the_url_of_a_registry(registry: str, repository: str, expected: str) -> None:
    assert url(registry, repository) == expected


def test_plain_http_is_used_only_if_insecure() -> None:
    assert url("localhost:5000", "a", insecure=True) == "http://localhost:5000/v2/a/manifests/1"


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        ("mirror.example.com/quay", "https://mirror.example.com/v2/quay/a/b/manifests/1"),
        ("mirror.example.com", "https://mirror.example.com/v2/a/b/manifests/1"),
        ("https://mirror.example.com/x/y/", "https://mirror.example.com/v2/x/y/a/b/manifests/1"),
        ("http://localhost:5000/quay", "http://localhost:5000/v2/quay/a/b/manifests/1"),
    ],
)
def test_a_mirror_replaces_the_registry(mirror: str, expected: str) -> None:
    # The `insecure` field of a Release applies to its own registry, not to the mirror.
    assert url("quay.io", "a/b", {"quay.io": mirror}, insecure=True) == expected


def test_a_mirror_of_docker_hub_has_the_library_namespace() -> None:
    assert url("docker.io", "a", {"docker.io": "m.example/hub"}) == "https://m.example/v2/hub/library/a/manifests/1"


MIRRORS = {
    "quay.io": "m.example/all",
    "quay.io/acme": "m.example/acme",
    "quay.io/acme/web": "http://localhost:5000/web",
    "docker.io/acme/": "m.example",
    "index.docker.io/library": "m.example/official",
    "docker.io/nginx": "m.example/web/server",
    "other.example:443": "m.example/other",
    "only.example/a/b": "m.example/c/",
}


@pytest.mark.parametrize(
    ("registry", "repository", "expected"),
    [
        ("quay.io", "team/a", "https://m.example/v2/all/team/a"),
        ("QUAY.io:443", "acme/a", "https://m.example/v2/acme/a"),
        ("quay.io", "acme", "https://m.example/v2/acme"),
        ("quay.io", "acme/web/x", "http://localhost:5000/v2/web/x"),
        ("quay.io", "acme/web", "http://localhost:5000/v2/web"),
        ("quay.io", "acme/website", "https://m.example/v2/acme/website"),
        ("quay.io", "acmes/a", "https://m.example/v2/all/acmes/a"),
        ("docker.io", "acme/a", "https://m.example/v2/a"),
        ("docker.io", "busybox", "https://m.example/v2/official/busybox"),
        ("docker.io", "nginx", "https://m.example/v2/web/server"),
        ("docker.io", "team/a", "https://registry-1.docker.io/v2/team/a"),
        ("other.example", "a", "https://m.example/v2/other/a"),
        ("only.example", "a/b", "https://m.example/v2/c"),
        ("only.example", "a/b/c", "https://m.example/v2/c/c"),
        ("only.example", "a", "https://only.example/v2/a"),
        ("only.example", "x/a/b", "https://only.example/v2/x/a/b"),
        ("only.example:5000", "a/b", "https://only.example:5000/v2/a/b"),
    ],
)
def test_the_mirror_with_the_longest_prefix_is_used(registry: str, repository: str, expected: str) -> None:
    for mirrors in (MIRRORS, dict(reversed(MIRRORS.items()))):
        assert url(registry, repository, mirrors) == f"{expected}/manifests/1"


def test_a_mirror_is_named_with_what_it_replaces() -> None:
    found = find_endpoint(Reference("quay.io", "acme/a", "1"), Access(), MIRRORS)
    assert str(found) == "m.example (the mirror of quay.io/acme)"


def test_a_mirror_of_a_repository_needs_a_repository() -> None:
    with pytest.raises(ProblemsError) as caught:
        url("quay.io", "acme/web", {"quay.io/acme/web": "m.example"})
    assert "'m.example/acme/web'" in str(caught.value.problem.hint)


@pytest.mark.parametrize("mirror", ["", "ftp://x/y", "https://u:p@x/y", "x y", "x//y", "x?y", "x/\x1b[2J"])
def test_an_invalid_mirror_is_refused(mirror: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        url("quay.io", "a/b", {"quay.io": mirror})
    assert caught.value.problem.code == "invalid-value"
    assert caught.value.problem.message.isprintable()
