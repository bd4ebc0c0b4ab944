"""What MkDocs calls while it builds the site.

Pages in docs/ are written for GitHub, too. So links that leave docs/ are led to where their targets are on the site or
in the repository. And what the code knows best is no page in Git: the reference is made here, with each build.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.commands import command_pages
from website.markdown_extension import SiteExtension
from website.rooms import with_rooms
from website.schemas import schema_files, schema_pages

ROOT = Path(__file__).resolve().parent.parent
# Files of the repository that are on the site, by where they are there.
COPIES = {"CHANGELOG.md": "changelog.md", **{path: path for path in schema_files()}}
MADE = command_pages() | schema_pages()
# Directories of the repository, by the pages of the site that are made of what is in them.
SOURCES = {"kubocd_gen/cli": "reference/commands/index.md", "schemas/kcd-gen": "reference/files/index.md"}
SITE = SiteExtension(ROOT, COPIES, SOURCES)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read Markdown with our extension, and list in the navigation what `on_files` makes."""
    SITE.repository = (config.repo_url or "").rstrip("/")
    config.markdown_extensions.append(SITE)  # type: ignore[arg-type]  # Markdown takes instances, too
    assert config.nav is not None
    config.nav = _expand(config.nav, list(MADE))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, the schemas under their addresses, the changelog and the style sheet."""
    for path, text in {**MADE, **schema_files()}.items():
        files.append(File.generated(config, path, content=text))
    for path, source in {"changelog.md": "CHANGELOG.md", "assets/site.css": "website/assets/site.css"}.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Tell the extension which page comes next. A page that has no others beside it needs no list of them."""
    SITE.page = page.file.src_uri
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
    return with_rooms(markdown) if page.file.src_uri == "architecture.md" else markdown


def _expand(nav: list[object], made: list[str]) -> list[object]:
    """The navigation, where a folder is a list of the pages that are made in it."""
    expanded: list[object] = []
    for entry in nav:
        match entry:
            case dict():
                ((title, value),) = entry.items()
                if isinstance(value, list):
                    value = _expand(value, made)
                elif value.endswith("/"):
                    value = [path for path in made if path.startswith(value)]
                expanded.append({title: value})
            case _:
                expanded.append(entry)
    return expanded
