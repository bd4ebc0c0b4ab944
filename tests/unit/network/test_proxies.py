"""Which requests go through a proxy."""

from __future__ import annotations

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.network.proxies import proxy_for

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
        ("all_proxy", "http://quay.io/v2/", True),
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
        # The results of golang.org/x/net/http/httpproxy.
        ("x, *, y", "10.1.2.3", False),
        ("*quay.io", "quay.io", True),
        (".quay.io", "quay.io", True),
        ("*.quay.io", "cdn.quay.io", False),
        ("*.quay.io", "quay.io", True),
        ("QUAY.io", "quay.io", False),
        ("quay.io:443", "quay.io", False),
        ("quay.io:", "quay.io:5000", False),
        ("quay.io:https", "quay.io", True),
        (".quay.io:5000", "cdn.quay.io:5000", False),
        (".quay.io:5000", "cdn.quay.io", True),
        ("quay.io", "quay.io.", True),
        ("io", "quay.io", False),
        (":443", "quay.io", True),
        ("[quay.io]:443", "quay.io", False),
        ("10.1.2.3:5000", "10.1.2.3:5000", False),
        ("10.1.2.3:5000", "10.1.2.3", True),
        ("10.0.0.0/255.0.0.0", "10.1.2.3", True),
        ("10.0.0.0/33", "10.1.2.3", True),
        ("10.1.2", "10.1.2.3", True),
        ("010.1.2.3", "10.1.2.3", True),
        ("0.0.0.0/0", "10.1.2.3", False),
        ("::/0", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", False),
        ("::ffff:10.1.2.3", "10.1.2.3", False),
        ("10.1.2.3", "[::ffff:10.1.2.3]", False),
        ("[fd00::1]:5000", "[fd00::1]:5000", False),
        ("[fd00::1]:5000", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]", True),  # Go reads no address in brackets without a port
        ("fe80::1%eth0", "[fe80::1]", True),
        ("b\u00fccher.example", "b\u00fccher.example", False),
        ("b\u00fccher.example", "xn--bcher-kva.example", False),
        ("[, ], ::, a:b:c", "quay.io", True),
        ("", "localhost", False),
        ("", "localhost:5000", False),
        ("", "127.0.0.1:5000", False),
        ("", "127.9.9.9", False),
        ("", "[::1]:5000", False),
        ("", "[::ffff:127.0.0.1]", False),
        ("", "a.localhost", True),
        ("", "127.0.0.1.example", True),
        ("", "[::]", True),
    ],
)
def test_no_proxy_lists_hosts_domains_and_networks(
    no_proxy: str, host: str, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(f"https://{host}/v2/") is not None) == proxied


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_uppercase_variables_take_precedence(name: str) -> None:
    other = "http://other.example"
    assert proxy_for("https://quay.io/", {name: PROXY, name.lower(): other}) == PROXY
    assert proxy_for("https://quay.io/", {name: "", name.lower(): other}) == other
    both = {name: PROXY, "NO_PROXY": "x", "no_proxy": "quay.io"}
    assert proxy_for("https://quay.io/", both) == PROXY
    assert proxy_for("https://quay.io/", {**both, "NO_PROXY": ""}) is None


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "SOCKS5", "socks", "ftp", "\x1b[2J"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_other_proxies_are_refused_at_once(name: str, scheme: str) -> None:
    variables = {name: f"{scheme}://alice:hunter2@proxy.example:1080"}
    with pytest.raises(ProblemsError) as caught:
        proxy_for("https://quay.io/", variables)
    problem = caught.value.problem
    assert (problem.code, problem.exit_code) == ("unsupported-proxy", 4)
    text = f"{problem.message}{problem.hint}"
    assert name.upper() in text
    assert "hunter2" not in text
    assert text.isprintable()
    assert proxy_for("https://quay.io/", {**variables, "NO_PROXY": "quay.io"}) is None
    assert proxy_for("https://quay.io/", {"ALL_PROXY": variables[name], "HTTPS_PROXY": PROXY}) == PROXY


@pytest.mark.parametrize("proxy", ["proxy.example:3128", "HTTP://proxy.example", "https://proxy.example"])
def test_http_proxies_are_accepted(proxy: str) -> None:
    assert proxy_for("https://quay.io/", {"HTTPS_PROXY": proxy}) == proxy


def test_a_client_of_a_cgi_program_can_t_choose_the_proxy() -> None:
    variables = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}
    with pytest.raises(ProblemsError):
        proxy_for("http://quay.io/", variables)
    assert proxy_for("https://quay.io/", variables) == PROXY
