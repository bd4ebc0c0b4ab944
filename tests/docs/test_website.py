"""How the site is built: where links lead, link targets, and errors that stop the build."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from markdown import Markdown
from markdown_it import MarkdownIt
from mkdocs.config import load_config
from mkdocs.structure.files import File
from mkdocs.structure.pages import Page

from tests.support.sessions import ROOT, all_pages
from tests.support.site import REPO_URL, SITE_URL, build_site
from website import schemas
from website.hooks import COPIES, SOURCES, on_config
from website.markdown_extension import SiteExtension
from website.prose import prose

BLOB = f"{REPO_URL}/blob/main"


def read(page: str, text: str, repository: str = REPO_URL) -> str:
    """Return the HTML of a page."""
    extension = SiteExtension(ROOT, COPIES, SOURCES, repository)
    extension.page = page
    return Markdown(extensions=["tables", extension]).convert(text)


@pytest.mark.parametrize(
    ("page", "link", "leads_to"),
    [
        ("diff.md", "lock.md#vendor", "lock.md#vendor"),
        ("diff.md", "#secrets", "#secrets"),
        ("diff.md", "https://fluxcd.io/x/../y", "https://fluxcd.io/x/../y"),
        ("diff.md", "../schemas/kcd-gen/lock-v1alpha1.json", "schemas/kcd-gen/lock-v1alpha1.json"),
        ("how-to/x.md", "../../schemas/kcd-gen/lock-v1alpha1.json", "../schemas/kcd-gen/lock-v1alpha1.json"),
        ("diff.md", "../schemas/flux/helmrelease-v2.json", f"{BLOB}/schemas/flux/helmrelease-v2.json"),
        ("how-to/x.md", "../diff.md", "../diff.md"),
        ("how-to/x.md", "../../CHANGELOG.md#unreleased", "../changelog.md#unreleased"),
        ("how-to/x.md", "../../LICENSE", f"{BLOB}/LICENSE"),
        ("index.md", "../README.md#install", f"{BLOB}/README.md#install"),
        ("index.md", "../templates", f"{REPO_URL}/tree/main/templates"),
        ("changelog.md", "docs/diff.md#secrets", "diff.md#secrets"),
        ("changelog.md", "LICENSE", f"{BLOB}/LICENSE"),
        ("index.md", "../kubocd_gen/cli", "reference/commands/index.md"),
        ("how-to/x.md", "../../schemas/kcd-gen", "../reference/files/index.md"),
        ("index.md", "../nothing.md", "../nothing.md"),
        ("index.md", "../../etc/passwd", "../../etc/passwd"),
    ],
)
def test_links_point_to_the_site_or_the_repository(page: str, link: str, leads_to: str) -> None:
    assert f'href="{leads_to}"' in read(page, f"[a]({link})")


def test_files_of_a_repository_without_an_address_are_named_but_not_linked() -> None:
    assert read("index.md", "[a](../LICENSE) [b](diff.md)", repository="") == (
        '<p><span>a</span> <a href="diff.md">b</a></p>'
    )


@pytest.mark.parametrize(
    ("repository", "link"),
    [(REPO_URL, f"{REPO_URL}/edit/main/docs/how-to/gitlab.md"), ("", None)],
    ids=["published", "not"],
)
def test_a_page_has_an_edit_link_only_if_the_repository_has_an_address(
    repository: str, link: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_URL", SITE_URL)
    monkeypatch.setenv("REPO_URL", repository)
    config = on_config(load_config(str(ROOT / "mkdocs.yml")))
    written = File("how-to/gitlab.md", config.docs_dir, config.site_dir, use_directory_urls=True)
    assert Page(None, written, config).edit_url == link


def test_messages_and_generated_files_name_existing_pages() -> None:
    code = {path: path.read_text(encoding="utf-8") for path in (ROOT / "kubocd_gen").rglob("*.py")}
    scaffolds = [path.read_text(encoding="utf-8") for path in (ROOT / "templates").rglob("*") if path.is_file()]
    named = re.findall(r"""\bpage\(["']([^"']+)["']\)""", "\n".join(code.values()))
    named += re.findall(r"docs/([a-z/-]+)\.md of kcd-gen", "\n".join(scaffolds))
    assert {"image", "migration", "deploying"} <= set(named)
    assert [name for name in named if not (ROOT / f"docs/{name}.md").exists()] == []
    help_texts = [text for path, text in code.items() if path.parent.name == "cli"]
    assert not re.findall(r"docs/\S+\.md(?! of kcd-gen)", "\n".join(scaffolds + help_texts))


@pytest.mark.parametrize("page", all_pages())
def test_links_between_files_also_work_on_github(page: str) -> None:
    text = MarkdownIt("gfm-like", {"linkify": False}).render((ROOT / page).read_text(encoding="utf-8"))
    for link in re.findall(r'(?:href|src)="([^"]*)"', text):
        path = link.partition("#")[0]
        if path and ":" not in path:
            assert ((ROOT / page).parent / path).exists(), link


def test_names_in_tables_can_be_linked_to() -> None:
    text = read(
        "errors.md", "| code | meaning |\n|---|---|\n| `a-b`, `c` | `d` |\n\n| other | |\n|---|---|\n| `e` | |\n"
    )
    for name in ("a-b", "c"):
        assert f'<a class="kcd-name" href="#{name}" id="{name}">' in text
    assert 'id="d"' not in text
    assert 'id="e"' not in text


def test_markdown_in_texts_from_the_code_is_escaped() -> None:
    assert prose("--force replaces *all*\n  of <DIR> or x--y; see `build --check *`") == (
        r"`--force` replaces \*all\* of \<DIR> or x--y; see `build --check *`"
    )


def test_a_schema_without_a_page_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(schemas.PAGES, "lock")
    with pytest.raises(ValueError, match="differ in: lock"):
        schemas.schema_pages()


@pytest.mark.slow
def test_a_mistake_stops_the_build(tmp_path: Path) -> None:
    for name in ("website", "schemas", "kubocd_gen", "CHANGELOG.md", "mkdocs.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "docs/forgotten.md").write_text("# Forgotten\n")
    with (tmp_path / "docs/limits.md").open("a") as page:
        page.write(
            "\n[a](nowhere.md) [b](lock.md#no-anchor) [c](/lock/) [d](errors.md#no-code) [e](../no/file) [f](nothing)\n"
        )
    done = build_site(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    for mistake in ("forgotten.md", "nowhere.md", "#no-anchor", "/lock/", "#no-code", "../no/file", "'nothing'"):
        assert mistake in done.stderr
