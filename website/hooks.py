"""Hooks that MkDocs calls while it builds the site.

The pages in docs/ are also displayed on GitHub, so links to files outside docs/ are rewritten for the site. The
reference pages are not in Git; they are generated from the code with each build of the site.
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
# Paths on the site of files in the repository.
COPIES = {"CHANGELOG.md": "changelog.md", **{path: path for path in schema_files()}}
GENERATED = command_pages() | schema_pages()
# Pages on the site that are generated from directories in the repository.
SOURCES = {"kubocd_gen/cli": "reference/commands/index.md", "schemas/kcd-gen": "reference/files/index.md"}
SITE = SiteExtension(ROOT, COPIES, SOURCES)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Register the Markdown extension, and add the generated pages to the navigation."""
    SITE.repository = (config.repo_url or "").rstrip("/")
    config.markdown_extensions.append(SITE)  # type: ignore[arg-type]  # Markdown also accepts instances
    if not config.repo_url:  # nobody has published this copy: there is nothing to edit pages at
        config.edit_uri = ""
    assert config.nav is not None
    config.nav = _expand(config.nav, list(GENERATED))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, the schemas, the changelog and the style sheet to the site."""
    for path, text in {**GENERATED, **schema_files()}.items():
        files.append(File.generated(config, path, content=text))
    for path, source in {"changelog.md": "CHANGELOG.md", "assets/site.css": "website/assets/site.css"}.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set the current page of the extension, and hide the navigation of pages that are not in a section."""
    SITE.page = page.file.src_uri
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
    return with_rooms(markdown) if page.file.src_uri == "architecture.md" else markdown


def _expand(nav: list[object], generated: list[str]) -> list[object]:
    """Return the navigation, with directories replaced by the lists of generated pages in them."""
    expanded: list[object] = []
    for entry in nav:
        match entry:
            case dict():
                ((title, value),) = entry.items()
                if isinstance(value, list):
                    value = _expand(value, generated)
                elif value.endswith("/"):
                    value = [path for path in generated if path.startswith(value)]
                expanded.append({title: value})
            case _:
                expanded.append(entry)
    return expanded
