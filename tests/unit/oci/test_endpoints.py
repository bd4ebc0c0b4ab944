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


@pytest.mark.parametrize("mirror", ["", "ftp://x/y", "https://u:p@x/y", "x y", "x//y", "x?y", "x/\x1b[2J"])
def test_an_invalid_mirror_is_refused(mirror: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        url("quay.io", "a/b", {"quay.io": mirror})
    assert caught.value.problem.code == "invalid-value"
    assert caught.value.problem.message.isprintable()
