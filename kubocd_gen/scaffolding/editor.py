"""The VS Code settings, written if the checkout has none. The documentation describes other editors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from kubocd_gen.editors.settings import SCHEMA_FILE, VSCODE_EXTENSION, vscode_extensions, vscode_settings
from kubocd_gen.scaffolding.files import Addition, ScaffoldFile, present

EDITOR_DIRECTORY = ".vscode"


def editor_files(root: Path, directory: str, sources: Iterable[str]) -> Iterator[ScaffoldFile | Addition]:
    """Yield the settings and extension files, or additions to existing ones.

    `directory` is the project's directory relative to the checkout at `root`. Raises ProblemsError `unusable-file`.
    """
    for name, content, mention in (
        ("settings.json", vscode_settings(sources, directory=directory), SCHEMA_FILE),
        ("extensions.json", vscode_extensions(), VSCODE_EXTENSION),
    ):
        path = root / EDITOR_DIRECTORY / name
        before = present(path, root)
        text = json.dumps(content, indent=2) + "\n"
        if before is None or mention.encode() in before:
            yield ScaffoldFile(path, text.encode() if before is None else before, before)
        else:
            yield Addition(path, "inside the braces", "\n".join(text.splitlines()[1:-1]) + "\n")
