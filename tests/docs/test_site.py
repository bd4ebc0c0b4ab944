"""The site: `make docs` builds it in strict mode, and every link to it from elsewhere works."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import click
import pytest
from markdown_it import MarkdownIt

from kubocd_gen.cli.commands import cli
from kubocd_gen.editors.shipped import document_schema, kinds
from kubocd_gen.package_data import SITE
from tests.support.sessions import ROOT, all_pages
from tests.support.site import REPO_URL, SITE_URL
from website.rooms import with_rooms

HOME = SITE_URL
# A page's structure as a reader sees it; with `strong` and `em`, because unparsed marks remain visible as they are.
STRUCTURE = ("h1", "h2", "h3", "h4", "ul", "ol", "li", "table", "tr", "pre", "blockquote", "img", "strong", "em")


class _Tags(HTMLParser):
    """The tags of a document, each with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.found if (value := attributes.get(attribute)) is not None]


def built(site: Path) -> dict[str, str]:
    """Return every page of the site by its address below HOME."""
    pages = {path.parent.relative_to(site).as_posix() + "/": path.read_text() for path in site.rglob("index.html")}
    pages[""] = pages.pop("./")
    return pages


def article(text: str) -> str:
    """Return the content of a page, without navigation."""
    return text[text.index("<article") : text.index("</article>")]


def address(page: str) -> str:
    """Return a repository page's address on the site."""
    return re.sub(r"(^|/)index\.md$|\.md$", lambda match: f"{match[1] or ''}" if match[1] is not None else "/", page)


def pages_in_docs() -> list[str]:
    return [page for page in all_pages() if page.startswith("docs/")]


@pytest.mark.parametrize("page", [*pages_in_docs(), "CHANGELOG.md"])
def test_a_page_has_the_same_structure_on_github_and_on_the_site(page: str, site: Path) -> None:
    """GitHub parses lists and nested blocks as CommonMark, MkDocs by older rules: pages must suit both."""
    there = built(site)[address(page.removeprefix("docs/").lower())]
    text = (ROOT / page).read_text(encoding="utf-8")
    if page == "docs/architecture.md":
        text = with_rooms(text)  # only the site has a table of contents
    here = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    both = [Counter(tag for tag, _ in _Tags(text).found if tag in STRUCTURE) for text in (article(there), here)]
    assert both[0] == both[1]


def test_no_page_loads_from_another_host(site: Path) -> None:
    for name, text in built(site).items():
        for tag, attributes in _Tags(text).found:
            source = attributes.get("src") or (attributes.get("href") if tag == "link" else None) or ""
            where = urlsplit(urljoin(HOME + name, source))
            assert where.scheme == "data" or where.netloc == urlsplit(HOME).netloc, (name, tag, source)


def test_every_internal_link_has_a_target(site: Path) -> None:
    """MkDocs checks links in Markdown; this checks the built pages, with generated ones and the theme's links."""
    pages = built(site)
    anchors = {name: set(_Tags(text).values("id")) for name, text in pages.items()}
    count = 0
    for name, text in pages.items():
        for tag, attributes in _Tags(text).found:
            whole = urljoin(HOME + name, attributes.get("href") or "")
            if tag != "a" or not whole.startswith(HOME):
                continue
            target, _, fragment = whole.removeprefix(HOME).partition("#")
            count += 1
            if target in pages:
                assert fragment == "" or fragment in anchors[target], (name, whole)
            else:
                assert (site / target).is_file(), (name, whole)
    assert count > 1000


def test_links_to_the_repository_name_existing_files(site: Path) -> None:
    prefix = f"{REPO_URL}/"
    count = 0
    for name, text in built(site).items():
        for link in _Tags(text).values("href"):
            if re.match(rf"{prefix}(blob|tree|edit)/main/", link):
                count += 1
                assert (ROOT / link.removeprefix(prefix).split("/", 2)[2]).exists(), (name, link)
    assert count > 10


def test_ids_are_unique_in_a_page(site: Path) -> None:
    for name, text in built(site).items():
        ids = Counter(_Tags(article(text)).values("id"))
        assert [one for one, times in ids.items() if times > 1] == [], name


def test_schemas_are_published_at_their_ids(site: Path) -> None:
    assert len(kinds()) > 10
    for kind in kinds():
        schema = document_schema(kind)
        where = schema["$id"]
        assert where.startswith(f"{SITE}/")
        assert json.loads((site / where.removeprefix(f"{SITE}/")).read_text()) == schema


def test_every_error_code_can_be_linked_to(site: Path) -> None:
    ids = set(_Tags(built(site)["errors/"]).values("id"))
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    codes = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    assert len(codes) > 100
    assert codes <= ids


def commands() -> Iterator[tuple[str, str, click.Command]]:
    """Yield every command: its page, its words and the command itself."""
    with cli.make_context("kcd-gen", [], resilient_parsing=True) as context:
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            assert command is not None
            yield name, f"kcd-gen {name}", command
            if isinstance(command, click.Group):
                for sub, inner in command.commands.items():
                    yield name, f"kcd-gen {name} {sub}", inner


def test_every_option_is_in_the_reference(site: Path) -> None:
    pages = built(site)
    count = 0
    for page, words, command in commands():
        text = pages[f"reference/commands/{page}/"]
        assert words in text
        ids = set(_Tags(text).values("id"))
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.envvar and not parameter.hidden:
                count += 1
                assert set(parameter.opts) <= ids, words
                variables = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar
                assert all(f">{variable}</code>" in text for variable in variables), (words, parameter.opts)
    assert count > 100


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("commands/serve", ["--port INTEGER", "KCD_GEN_PORT", "The default is 8080."]),
        (
            "files/project",
            ["clusters[].repositoryURL", "string", 'is "http://kubocd-ctrl-controller-helm-repository.kubocd.svc"'],
        ),
    ],
)
def test_a_row_of_the_reference(page: str, row: list[str], site: Path) -> None:
    text = built(site)[f"reference/{page}/"]
    rows = [re.sub(r"<[^>]*>", "", line) for line in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)]
    assert any(all(word in line for word in row) for line in rows), rows


def test_every_field_of_the_project_file_is_in_the_reference(site: Path) -> None:
    schema = json.loads((ROOT / "schemas/kcd-gen/project-v1alpha1.json").read_text())["schema"]

    def names(inner: dict[str, Any]) -> Iterator[str]:
        for name, field in inner.get("properties", {}).items():
            yield name
            yield from names(field)
            yield from names(field.get("items", {}))

    ids = _Tags(built(site)["reference/files/project/"]).values("id")
    assert set(names(schema)) <= {one.rpartition(".")[2].removesuffix("[]") for one in ids}


def test_the_search_index_contains_the_pages(site: Path) -> None:
    index = json.loads((site / "search/search_index.json").read_text())
    locations = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert locations == set(built(site))
