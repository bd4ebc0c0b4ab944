"""Python-Markdown, told where links lead and which rows of tables can be linked to."""

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

# The first column of such a table names things that other pages, messages and people link to.
NAMING = ("code", "option, and its variable", "field")
_VARIABLE = "KCD_"
_WORD = 36  # characters that fit into a line of a telephone


class SiteExtension(Extension):
    """`page` is the one that is read, by its path below docs/.

    `copies` says what else of the repository is where on the site, and `made` which page is made of which directory.
    `repository` is the address of the repository, empty if it is published nowhere.
    """

    def __init__(self, root: Path, copies: Mapping[str, str], made: Mapping[str, str], repository: str = "") -> None:
        super().__init__()
        self.root = root
        self.copies = copies
        self.made = made
        self.repository = repository
        self.page = ""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Markdown's name
        """Come after what is inside of lines is read (20), and before MkDocs looks at anchors (5) and links (0)."""
        md.treeprocessors.register(_Links(self), "kcd-gen-links", 8)
        md.treeprocessors.register(_Anchors(md), "kcd-gen-anchors", 7)
        md.treeprocessors.register(_Words(md), "kcd-gen-words", 7)


class _Links(Treeprocessor):
    def __init__(self, site: SiteExtension) -> None:
        super().__init__()
        self.site = site

    def run(self, root: Element) -> None:
        for link in root.iter("a"):
            led = self._led(link.get("href") or "")
            if led is None:
                link.tag = "span"
                del link.attrib["href"]
            else:
                link.set("href", led)

    def _led(self, url: str) -> str | None:
        """Where a link leads on the site; one that leads nowhere stays, for MkDocs to complain of.

        Returns None for a file of a repository without an address.
        """
        scheme, host, path, query, fragment = urlsplit(url)
        if scheme or host or not path or path.startswith("/"):
            return url
        page = self.site.page
        copies = self.site.copies
        here = next((source for source, copy in copies.items() if copy == page), f"docs/{page}")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        there = self.site.made.get(target) or copies.get(target, target.removeprefix("docs/"))
        if there != target or target in copies:
            return urlunsplit(("", "", self._relative(there), query, fragment))
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
    """`id`s for what tables name: errors/#unknown-parameter."""

    def run(self, root: Element) -> None:
        taken = {element.get("id") for element in root.iter()}
        for table in root.iter("table"):
            heading = table.find("thead/tr/th")
            if heading is None or "".join(heading.itertext()).strip() not in NAMING:
                continue
            for cell in table.iterfind("tbody/tr/td[1]"):
                for code in cell.findall("code"):
                    name = "".join(code.itertext())
                    # Of two commands on one page that have an option, the first is linked to.
                    if name not in taken and not name.startswith(_VARIABLE):
                        taken.add(name)
                        _make_target(cell, code, name)


def _make_target(cell: Element, code: Element, name: str) -> None:
    """Put the code into a link to itself."""
    link = Element("a", {"id": name, "href": f"#{name}", "class": "kcd-name"})
    link.tail, code.tail = code.tail, None
    cell[list(cell).index(code)] = link
    link.append(code)


class _Words(Treeprocessor):
    """`--offline` is one word: browsers would break it behind its dashes."""

    def run(self, root: Element) -> None:
        for code in root.iter("code"):
            text = "".join(code.itertext())
            if re.search("[-_]", text) and len(text) <= _WORD and not re.search(r"\s", text):
                code.set("class", "kcd-word")
