"""The site in Chromium, from a local server: its appearance, and that no request leaves the machine.

SCREENSHOTS=directory keeps the screenshots.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.charts import serve
from tests.support.chromium import Browser, chromium

PAGES = ("", "tutorial/", "errors/", "reference/commands/build/")


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with serve(site) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_looks_right_on_a_screen(browser: Browser, address: str, width: int, dark: bool, tmp_path: Path) -> None:
    directory = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    browser.emulate_screen(width=width, dark=dark)
    for page in PAGES:
        browser.errors.clear()
        assert browser.open(f"{address}/{page}") == 200
        loaded = browser.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
        wide = browser.evaluate("document.documentElement.scrollWidth")
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        name = f"site-{page.strip('/').replace('/', '-') or 'home'}-{width}-{'dark' if dark else 'light'}.png"
        (directory / name).write_bytes(browser.screenshot())
        assert browser.errors == [], page
        assert {urlsplit(one).netloc for one in loaded} == {urlsplit(address).netloc}, page
        assert wide <= width, page
        assert (background == "rgb(255, 255, 255)") is not dark, page


@pytest.mark.parametrize("page", ["reference/commands/build/", "reference/files/project/"])
def test_tables_are_readable_on_a_phone(browser: Browser, address: str, page: str) -> None:
    """Without horizontal scrolling: the columns are shown below each other."""
    browser.emulate_screen(width=360, dark=False)
    browser.open(f"{address}/{page}")
    wrapped = "[...document.querySelectorAll('.md-typeset__scrollwrap:has(a.kcd-name)')]"
    wait_for(browser, f"{wrapped}.length")  # the theme wraps tables in it
    widths = browser.evaluate(f"{wrapped}.map(one => [one.scrollWidth, one.clientWidth])")
    assert all(content <= shown for content, shown in widths), widths


def wait_for(browser: Browser, expression: str) -> object:
    """Return the value of an expression once it is not empty; the browser's timeout ends the wait."""
    waiting = f"""new Promise((done, fail) => {{
        const end = Date.now() + 50000;
        const look = () => {{
            const value = {expression};
            if (value) done(value); else if (Date.now() > end) fail("no value in time"); else setTimeout(look, 50);
        }};
        look();
    }})"""
    result = browser.call("Runtime.evaluate", expression=waiting, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in result, result
    return result["result"]["value"]


def test_the_search_finds_an_error_code_and_links_to_it(browser: Browser, address: str) -> None:
    browser.emulate_screen(width=1280, dark=False)
    browser.errors.clear()
    browser.open(f"{address}/?q=unmet-role")
    found = "[...document.querySelectorAll('.md-search-result__link')].map(one => one.href)"
    links = wait_for(browser, f"{found}.length && {found}")
    assert isinstance(links, list)
    assert any("/errors/" in link for link in links), links
    assert browser.errors == []


def test_a_link_to_an_error_code_shows_it(browser: Browser, address: str) -> None:
    browser.emulate_screen(width=360, dark=False)
    browser.open(f"{address}/errors/#unknown-parameter")
    wait_for(browser, "scrollY > 0")
    top, height = browser.evaluate(
        "[document.getElementById('unknown-parameter').getBoundingClientRect().top, innerHeight]"
    )
    assert 0 < top < height


def test_copying_a_session_copies_only_its_commands(browser: Browser, address: str) -> None:
    """The copy button copies the text that is shown while it copies."""
    browser.open(f"{address}/diff/")
    copied = browser.evaluate(
        "(() => { const code = document.querySelector('.language-console code');"
        " code.setAttribute('data-md-copying', ''); return code.innerText.trim(); })()"
    )
    assert copied == "kcd-gen diff --source cluster --vendor packages --ref main"
