"""Generate the table and diagram of components on the architecture page from the imports of the code.

`python -m website.rooms` prints the table.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
MARK = "<!-- rooms -->"
_PACKAGE = "kubocd_gen"
_WIDTH, _ROW, _BOX = 700, 52, (108, 26)  # of the diagram, in SVG user units


def layers() -> list[list[str]]:
    """Return the components ("rooms") of each layer in pyproject.toml, from the top layer to the bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def imports() -> dict[str, set[str]]:
    """Return the rooms that each room imports, without `kubocd_gen/__init__.py`, which only has the version."""
    graph = grimp.build_graph(_PACKAGE, cache_dir=None)
    rooms = {room for layer in layers() for room in layer}
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        for module in (f"{_PACKAGE}.{room}", *graph.find_descendants(f"{_PACKAGE}.{room}")):
            imported = {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module) if "." in name}
            found[room] |= imported - {room}
    return found


def table() -> str:
    """Return a Markdown table of the rooms with their sizes and direct imports, without transitive ones."""
    edges = imports()
    lines = ["| component | modules | lines | imports |", "|---|--:|--:|---|"]
    for room in (room for layer in layers() for room in layer if not room.startswith("_")):
        files = _files(room)
        count = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        imported = ", ".join(f"`{one}`" for one in sorted(_direct(room, edges)))
        lines.append(f"| `{room}` | {len(files)} | {count:,} | {imported or 'none'} |")
    return "\n".join(lines)


def picture() -> str:
    """Return an SVG diagram of the rooms, with a row for each layer and an arrow for each import in `table`."""
    edges = imports()
    rows = [[room for room in layer if not room.startswith("_")] for layer in layers()]
    rows = [row for row in rows if row]
    centers = {
        room: (_WIDTH * (column + 1) / (len(row) + 1), _ROW * (number + 0.5))
        for number, row in enumerate(rows)
        for column, room in enumerate(row)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_ROW * len(rows)}" role="img" '
        'aria-label="The components and their imports" font-size="13" font-family="sans-serif" text-anchor="middle">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0,0L8,4L0,8z" fill="#7986cb"/></marker></defs>',
    ]
    for room, (x, y) in centers.items():
        for number, below in enumerate(sorted(_direct(room, edges))):
            to_x, to_y = centers[below]
            start, end = y + _BOX[1] / 2, to_y - _BOX[1] / 2
            bend = (to_x + x) / 2 + (60 + 25 * number if abs(to_x - x) < 1 and to_y - y > _ROW * 1.5 else 0)
            parts.append(
                f'<path d="M{x:.0f},{start:.0f}C{bend:.0f},{start + 20:.0f} {bend:.0f},{end - 20:.0f} '
                f'{to_x:.0f},{end:.0f}" fill="none" stroke="#7986cb" marker-end="url(#head)"/>'
            )
    for room, (x, y) in centers.items():
        left, top = x - _BOX[0] / 2, y - _BOX[1] / 2
        parts.append(
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{_BOX[0]}" height="{_BOX[1]}" rx="4" fill="#fff" '
            f'stroke="#3f51b5"/><text x="{x:.0f}" y="{y + 5:.0f}" fill="#000">{room}</text>'
        )
    return "".join([*parts, "</svg>"])


def with_rooms(markdown: str) -> str:
    """Return the page with the marker replaced by the diagram and the table."""
    return markdown.replace(MARK, f"{picture()}\n\n{table()}")


def _files(room: str) -> list[Path]:
    path = ROOT / _PACKAGE / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _direct(room: str, edges: dict[str, set[str]]) -> set[str]:
    """Return the imports of a room without those that another of its imports has, directly or transitively."""
    transitive: set[str] = set()
    pending = [below for one in edges[room] for below in edges.get(one, ())]
    while pending:
        one = pending.pop()
        if one not in transitive:
            transitive.add(one)
            pending += edges.get(one, ())
    return edges[room] - transitive


if __name__ == "__main__":
    print(table())  # noqa: T201
