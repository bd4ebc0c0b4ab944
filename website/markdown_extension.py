"""An extension of Python-Markdown that rewrites links, and adds anchors to the rows of reference tables."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

# Headings of the first column of tables whose rows get anchors.
NAMING = ("code", "option, variable", "field")
_VARIABLE = "KCD_"
_WORD = 36  # characters that fit into a line on a phone


class SiteExtension(Extension):
    """The extension. `page` is the path of the current page below docs/.

    `copies` maps files of the repository to their paths on the site, and `generated` maps directories of the repository
    to the pages that are generated from them. `repository` is the URL of the repository, empty if it is not published.
    """

    def __init__(
        self, root: Path, copies: Mapping[str, str], generated: Mapping[str, str], repository: str = ""
    ) -> None:
        super().__init__()
        self.root = root
        self.copies = copies
        self.generated = generated
        self.repository = repository
        self.page = ""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - defined by Markdown
        """Register the processors between Markdown's inline processor (20) and MkDocs's anchors (5) and links (0)."""
        md.treeprocessors.register(_Links(self), "kcd-gen-links", 8)
        md.treeprocessors.register(_Anchors(md), "kcd-gen-anchors", 7)
        md.treeprocessors.register(_Words(md), "kcd-gen-words", 7)


class _Links(Treeprocessor):
    def __init__(self, site: SiteExtension) -> None:
        super().__init__()
        self.site = site

    def run(self, root: Element) -> None:
        for link in root.iter("a"):
            target = self._target(link.get("href") or "")
            if target is None:
                link.tag = "span"
                del link.attrib["href"]
            else:
                link.set("href", target)

    def _target(self, url: str) -> str | None:
        """Return the target of a link on the site; broken links stay unchanged, because MkDocs reports them.

        Returns None for a file of the repository if that is not published.
        """
        scheme, host, path, query, fragment = urlsplit(url)
        if scheme or host or not path or path.startswith("/"):
            return url
        page = self.site.page
        copies = self.site.copies
        source = next((source for source, copy in copies.items() if copy == page), f"docs/{page}")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        on_site = self.site.generated.get(target) or copies.get(target, target.removeprefix("docs/"))
        if on_site != target or target in copies:
            return urlunsplit(("", "", self._relative(on_site), query, fragment))
        if target.startswith("../") or not (self.site.root / target).exists():
            return url
        if not self.site.repository:
            return None
        kind = "tree" if (self.site.root / target).is_dir() else "blob"
        return urlunsplit(
            urlsplit(f"{self.site.repository}/{kind}/main/{target}")._replace(query=query, fragment=fragment)
        )

    def _relative(self, path: str) -> str:
        return posixpath.relpath(path, posixpath.dirname(self.site.page) or ".")


class _Anchors(Treeprocessor):
    """Adds `id`s to the names in reference tables, for links such as errors/#unknown-parameter."""

    def run(self, root: Element) -> None:
        used = {element.get("id") for element in root.iter()}
        for table in root.iter("table"):
            heading = table.find("thead/tr/th")
            if heading is None or "".join(heading.itertext()).strip() not in NAMING:
                continue
            for cell in table.iterfind("tbody/tr/td[1]"):
                for code in cell.findall("code"):
                    name = "".join(code.itertext())
                    # If two commands on a page have the same option, the link leads to the first.
                    if name not in used and not name.startswith(_VARIABLE):
                        used.add(name)
                        _make_target(cell, code, name)


def _make_target(cell: Element, code: Element, name: str) -> None:
    """Wrap the code in a link to itself."""
    link = Element("a", {"id": name, "href": f"#{name}", "class": "kcd-name"})
    link.tail, code.tail = code.tail, None
    cell[list(cell).index(code)] = link
    link.append(code)


class _Words(Treeprocessor):
    """Prevents line breaks in words such as `--offline`, which browsers would break after the dashes."""

    def run(self, root: Element) -> None:
        for code in root.iter("code"):
            text = "".join(code.itertext())
            if re.search("[-_]", text) and len(text) <= _WORD and not re.search(r"\s", text):
                code.set("class", "kcd-word")
