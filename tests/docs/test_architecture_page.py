"""The architecture page lists the existing rooms, in the order that import-linter enforces."""

from __future__ import annotations

import re

from website import rooms

PAGE = (rooms.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_page_lists_the_layers_of_the_project() -> None:
    (block,) = re.findall(r"```text\n(cli .*?)```", PAGE, re.DOTALL)
    listed = [re.split(r" {2,}", line)[0].split() for line in block.splitlines()]
    assert listed == [layer for layer in rooms.layers() if layer != ["__main__"]]


def test_the_page_names_only_existing_modules() -> None:
    package = rooms.ROOT / "kubocd_gen"
    names = {room for layer in rooms.layers() for room in layer}
    for path in re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE):
        if path.partition("/")[0] in names:
            assert (package / path).is_file(), path


def test_the_site_shows_what_each_room_imports() -> None:
    shown = rooms.with_rooms(PAGE)
    assert rooms.MARK not in shown
    assert re.search(r"^\| `model` \| \d+ \| [\d,]+ \| `kustomize` \|$", shown, re.MULTILINE)
    edges = rooms.imports()
    order = [room for layer in rooms.layers() for room in layer]
    for room, imported in edges.items():
        assert all(order.index(room) < order.index(one) for one in imported)
