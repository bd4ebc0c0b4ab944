"""Which requests go through a proxy."""

from __future__ import annotations

import pytest

from kubocd_gen.network.connections import proxy_for

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variable", "url", "proxied"),
    [
        ("HTTPS_PROXY", "https://quay.io/v2/", True),
        ("https_proxy", "https://quay.io/v2/", True),
        ("https_proxy", "http://quay.io/v2/", False),
        ("http_proxy", "http://quay.io/v2/", True),
        ("ALL_PROXY", "https://quay.io/v2/", True),
        ("ALL_PROXY", "http://quay.io/v2/", True),
    ],
)
def test_a_variable_names_the_proxy(variable: str, url: str, proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, PROXY)
    assert proxy_for(url) == (PROXY if proxied else None)


def test_the_variable_of_a_scheme_precedes_all_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://other.example")
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert proxy_for("https://quay.io/") == PROXY


@pytest.mark.parametrize(
    ("no_proxy", "host", "proxied"),
    [
        ("*", "quay.io", False),
        ("quay.io", "quay.io", False),
        ("quay.io", "QUAY.io:443", False),
        ("quay.io", "cdn.quay.io", False),
        (".quay.io", "cdn.quay.io", False),
        ("quay.io", "notquay.io", True),
        ("quay.io", "quay.io.evil.example", True),
        ("quay.io:8443", "quay.io:8443", False),
        ("quay.io:8443", "quay.io", True),
        ("localhost, 127.0.0.1 ,quay.io", "quay.io", False),
        ("10.0.0.0/8", "10.1.2.3:5000", False),
        ("10.0.0.0/8", "11.1.2.3:5000", True),
        ("10.1.2.3", "10.1.2.3:5000", False),
        ("10.0.0.1/8", "10.1.2.3", False),
        ("10.0.0.0/8", "10.0.0.1.example", True),
        ("fd00::/8", "[fd00::1]:5000", False),
        ("::1", "[::1]:5000", False),
        ("fd00::/8", "10.1.2.3", True),
        ("", "quay.io", True),
    ],
)
def test_no_proxy_lists_hosts_domains_and_networks(
    no_proxy: str, host: str, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(f"https://{host}/v2/") is not None) == proxied
