"""The table of rooms on the page about the architecture, from the imports of the code.

As a program (`python -m website.rooms`) it prints the table.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
MARK = "<!-- rooms -->"
_PACKAGE = "kubocd_gen"
_WIDTH, _ROW, _BOX = 700, 52, (108, 26)  # of the picture, in its own units


def layers() -> list[list[str]]:
    """The rooms of pyproject.toml from the roof to the ground, those of one layer together."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def imports() -> dict[str, set[str]]:
    """The rooms that each room imports. `kubocd_gen/__init__.py`, which has the version alone, is none."""
    graph = grimp.build_graph(_PACKAGE, cache_dir=None)
    rooms = {room for layer in layers() for room in layer}
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        for module in (f"{_PACKAGE}.{room}", *graph.find_descendants(f"{_PACKAGE}.{room}")):
            imported = {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module) if "." in name}
            found[room] |= imported - {room}
    return found


def table() -> str:
    """Markdown: each room with its size, and the rooms that it imports without those that they bring along."""
    edges = imports()
    lines = ["| room | modules | lines | imports |", "|---|--:|--:|---|"]
    for room in (room for layer in layers() for room in layer if not room.startswith("_")):
        files = _files(room)
        count = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        needed = ", ".join(f"`{one}`" for one in sorted(_direct(room, edges)))
        lines.append(f"| `{room}` | {len(files)} | {count:,} | {needed or 'none'} |")
    return "\n".join(lines)


def picture() -> str:
    """An SVG of the rooms, a row for each layer, with an arrow to each room in the last column of `table`."""
    edges = imports()
    rows = [[room for room in layer if not room.startswith("_")] for layer in layers()]
    rows = [row for row in rows if row]
    at = {
        room: (_WIDTH * (column + 1) / (len(row) + 1), _ROW * (number + 0.5))
        for number, row in enumerate(rows)
        for column, room in enumerate(row)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_ROW * len(rows)}" role="img" '
        'aria-label="The rooms and what each imports" font-size="13" font-family="sans-serif" text-anchor="middle">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0,0L8,4L0,8z" fill="#7986cb"/></marker></defs>',
    ]
    for room, (x, y) in at.items():
        for number, below in enumerate(sorted(_direct(room, edges))):
            to_x, to_y = at[below]
            start, end = y + _BOX[1] / 2, to_y - _BOX[1] / 2
            bend = (to_x + x) / 2 + (60 + 25 * number if abs(to_x - x) < 1 and to_y - y > _ROW * 1.5 else 0)
            parts.append(
                f'<path d="M{x:.0f},{start:.0f}C{bend:.0f},{start + 20:.0f} {bend:.0f},{end - 20:.0f} '
                f'{to_x:.0f},{end:.0f}" fill="none" stroke="#7986cb" marker-end="url(#head)"/>'
            )
    for room, (x, y) in at.items():
        left, top = x - _BOX[0] / 2, y - _BOX[1] / 2
        parts.append(
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{_BOX[0]}" height="{_BOX[1]}" rx="4" fill="#fff" '
            f'stroke="#3f51b5"/><text x="{x:.0f}" y="{y + 5:.0f}" fill="#000">{room}</text>'
        )
    return "".join([*parts, "</svg>"])


def with_rooms(markdown: str) -> str:
    """The page with the picture and the table in the place of the mark."""
    return markdown.replace(MARK, f"{picture()}\n\n{table()}")


def _files(room: str) -> list[Path]:
    folder = ROOT / _PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def _direct(room: str, edges: dict[str, set[str]]) -> set[str]:
    """The rooms that a room imports and that no other of them imports, directly or not."""
    brought: set[str] = set()
    waiting = [below for one in edges[room] for below in edges.get(one, ())]
    while waiting:
        one = waiting.pop()
        if one not in brought:
            brought.add(one)
            waiting += edges.get(one, ())
    return edges[room] - brought


if __name__ == "__main__":
    print(table())  # noqa: T201
