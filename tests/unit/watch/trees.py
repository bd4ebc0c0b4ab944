"""A directory of sources."""

from __future__ import annotations

from pathlib import Path


def tree(root: Path) -> None:
    for name in ("src/a/one.yaml", "src/b/two.yml", "src/b/notes.txt", "src/out/flux/three.yaml", "lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
