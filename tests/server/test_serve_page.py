"""The page of `kcd-gen serve`, as generated and in Chromium: four screens, every link, and an empty console.

Screenshots are written to the directory SCREENSHOTS if set, and otherwise discarded.
"""

from __future__ import annotations

import html
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import Position, Problem
from kubocd_gen.server.http import Server
from kubocd_gen.server.page import LastBuild
from kubocd_gen.server.site import Site
from tests.support.chromium import Browser, chromium
from tests.support.requests import ask

LONG = "a-chart-with-a-name-that-nobody-would-give-it-but-somebody-does-one-day"


def write_repository(output: Path, release: str, charts: dict[str, str], more: str = "") -> None:
    """Write a repository with an archive for each chart and version."""
    directory = output / "hr" / release
    directory.mkdir(parents=True)
    lines = ["apiVersion: v1", "entries:"]
    for name, version in charts.items():
        (directory / f"{name}-{version}.tgz").write_bytes(b"x" * 12_345)
        lines.append(
            f"  {name}:\n  - {{name: {name}, version: {version}, appVersion: '7', urls: [{name}-{version}.tgz]{more}}}"
        )
    (directory / "index.yaml").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output with everything that the page can show."""
    made = tmp_path_factory.mktemp("page") / "deploy"
    write_repository(
        made, "default/podinfo1", {"podinfo": "6.7.1"}, ", description: A web application to show what a chart does"
    )
    write_repository(made, "default/redis1", {"redis": "20.6.1", "sentinel": "1.0.0-rc.1+build.7"})
    write_repository(made, f"kubocd-system/{LONG}", {LONG: "1.2.3"}, f", description: {'word ' * 60}")
    write_repository(
        made,
        "team-a/hostile",
        {"x": "1.0.0"},
        ", description: '<script>alert(1)</script>'",
    )
    (made / "hr/team-a/broken").mkdir()
    (made / "hr/team-a/broken/index.yaml").write_text("entries: [\n")
    (made / "flux/default").mkdir(parents=True)
    (made / "flux/default/podinfo1.yaml").write_text(
        "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: kcd-podinfo1}\n"
        "spec:\n  url: oci://quay.io/kubodoc/packages/podinfo\n  ref: {tag: 6.7.1-p01}\n"
    )
    return made


@contextmanager
def serving(output: Path, built: LastBuild | None = None) -> Iterator[int]:
    with Server("127.0.0.1", 0) as server:
        port: int = server.server_address[1]
        site = Site(output, address=f"127.0.0.1:{port}", only_here=True)
        site.built = built
        server.answer = site.answer
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield port
        server.shutdown()


def page(port: int, query: str = "") -> str:
    answer = ask(port, f"GET /{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.status == 200
    assert "default-src 'none'" in (answer.header("content-security-policy") or "")
    return answer.body.decode()


FAILED = LastBuild(
    1_700_000_000.0,
    "0 of 1 Release compiled; nothing was written",
    (Problem("bad-yaml", "a <b> is no", hint="write '&lt;'", position=Position("sources/web.yaml", 3, 7)),),
)


def test_it_lists_releases_and_charts(output: Path) -> None:
    with serving(output) as port:
        text = page(port)
    assert "5 Releases in 3 namespaces, 5 charts" in text
    assert "quay.io/kubodoc/packages/podinfo:6.7.1-p01" in text
    assert 'href="/hr/default/redis1/sentinel-1.0.0-rc.1+build.7.tgz"' in text
    assert "12 KiB" in text
    assert "helm repo add default-podinfo1 http://localhost/hr/default/podinfo1" in text


def test_the_page_escapes_all_text(output: Path) -> None:
    with serving(output, FAILED) as port:
        text = page(port)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "sources/web.yaml:3:7: error[bad-yaml]: a &lt;b&gt; is no" in text


def test_an_unreadable_index_is_reported_on_the_page(output: Path) -> None:
    with serving(output) as port:
        text = page(port)
    assert re.search(r'<h3>broken</h3>.*?<p class="problem">[^<]+</p>', text, re.DOTALL)


def test_releases_are_filtered_without_scripts(output: Path) -> None:
    with serving(output) as port:
        text = page(port, "?q=SENTINEL")
        nothing = page(port, "?q=%3Cb%3E%00%ff")
    assert "1 of 5 Releases match" in text
    assert "<h3>redis1</h3>" in text
    assert "<h3>podinfo1</h3>" not in text
    assert "0 of 5 Releases match" in nothing
    assert "<b>" not in nothing


def test_a_thousand_releases_are_read_once(tmp_path: Path) -> None:
    for number in range(1000):
        write_repository(tmp_path, f"team-{number % 7}/app{number}", {"web": f"1.0.{number}"})
    with serving(tmp_path) as port:
        assert "1,000 Releases in 7 namespaces" in page(port)
        (tmp_path / "hr/team-0/app0/index.yaml").write_text("entries: {}\n")
        assert "999 charts" in page(port)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("built", [None, FAILED], ids=["page", "failed"])
def test_it_looks_right_on_a_screen(
    browser: Browser, output: Path, width: int, dark: bool, built: LastBuild | None, tmp_path: Path
) -> None:
    directory = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    with serving(output, built) as port:
        browser.emulate_screen(width=width, dark=dark)
        browser.errors.clear()
        assert browser.open(f"http://127.0.0.1:{port}/") == 200
        wide = browser.evaluate("document.documentElement.scrollWidth")
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        directory.mkdir(parents=True, exist_ok=True)
        name = f"serve-{'failed-' if built else ''}{width}-{'dark' if dark else 'light'}.png"
        (directory / name).write_bytes(browser.screenshot())
    assert browser.errors == []
    assert wide <= width
    assert (background == "rgb(255, 255, 255)") is not dark
    assert (directory / name).read_bytes().startswith(b"\x89PNG")


def test_every_link_has_a_target(browser: Browser, output: Path) -> None:
    with serving(output) as port:
        browser.open(f"http://127.0.0.1:{port}/")
        links = browser.evaluate("[...document.links].map(link => link.getAttribute('href'))")
        assert len(links) > 10
        for link in links:
            if link.startswith("#"):
                assert browser.evaluate(f"document.getElementById({link[1:]!r}) !== null"), link
            else:
                answer = ask(port, f"GET {html.unescape(link)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert answer.status == 200, link


def test_the_page_is_labeled_for_screen_readers(browser: Browser, output: Path) -> None:
    with serving(output) as port:
        browser.open(f"http://127.0.0.1:{port}/")
        assert browser.evaluate("document.documentElement.lang") == "en"
        assert browser.evaluate("document.querySelectorAll('h1').length") == 1
        unnamed = (
            "[...document.querySelectorAll('input, a, button, nav, section')].filter(one =>"
            " !one.textContent.trim() && !one.getAttribute('aria-label')).length"
        )
        assert browser.evaluate(unnamed) == 0


def test_a_violation_of_the_policy_is_detected(browser: Browser, tmp_path: Path) -> None:
    """The tests above rely on this: the browser reports violations of the policy."""
    with serving(tmp_path) as port:
        browser.errors.clear()
        browser.open(f"http://127.0.0.1:{port}/")
        browser.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: '/x.png'}))")
        browser.evaluate("new Promise(done => setTimeout(done, 200))")
        browser.evaluate("1")
    assert browser.errors
