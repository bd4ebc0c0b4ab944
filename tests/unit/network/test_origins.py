"""Which hosts are the same."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from kubocd_gen.network.origins import canonical_host, origin, spellings


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("registry", "https", "registry"),
        ("Registry.Example.COM:443", "https", "registry.example.com"),
        ("registry:0443", "https", "registry"),
        ("registry:443", "http", "registry:443"),
        ("registry:80", "http", "registry"),
        ("registry:80", "https", "registry:80"),
        ("registry:443", "", "registry:443"),
        ("[::1]:443", "https", "[::1]"),
        ("[::443]", "https", "[::443]"),
        ("registry:443:443", "https", "registry:443"),
        (":443", "https", ":443"),
        ("\u212aube.example", "https", "\u212aube.example"),  # its lowercase is ASCII, and another host
        ("registry:\u0664\u0664\u0663", "https", "registry:\u0664\u0664\u0663"),
    ],
)
def test_the_canonical_form_of_a_host(host: str, scheme: str, expected: str) -> None:
    assert canonical_host(host, scheme) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://registry/a", "https://REGISTRY:443/b?c", True),
        ("http://registry/a", "http://registry:80/", True),
        ("http://registry", "https://registry", False),
        ("http://registry:443", "https://registry", False),
        ("https://registry:80", "http://registry", False),
        ("https://registry", "https://registry.example", False),
    ],
)
def test_urls_with_the_same_origin(one: str, other: str, same: bool) -> None:
    assert (origin(urlsplit(one)) == origin(urlsplit(other))) == same


def test_the_spellings_of_a_host() -> None:
    assert spellings("registry", "https") == ("registry", "registry:443")
    assert spellings("[::1]", "http") == ("[::1]", "[::1]:80")
    assert spellings("registry:5000", "https") == ("registry:5000",)
    assert spellings("[::1]:5000", "https") == ("[::1]:5000",)
    assert spellings("registry", "oci") == ("registry",)
