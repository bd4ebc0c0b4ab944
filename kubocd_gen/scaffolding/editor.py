"""The settings of VS Code: which schema it checks KuboCD's resources with. They are written where there are none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from kubocd_gen.scaffolding.files import Addition, ScaffoldFile, present

SCHEMA_FILE = "kcd-gen.schema.json"
PROJECT_SCHEMA_URL = "https://kubotal.github.io/kcd-gen/schemas/kcd-gen/project-v1alpha1.json"


def modeline(schema: str = SCHEMA_FILE) -> str:
    return f"# yaml-language-server: $schema={schema}"


def vscode_settings(sources: Iterable[str], *, folder: str = "") -> dict[str, object]:
    prefix = f"{folder}/" if folder else ""
    globs = [f"{prefix}{source}/**/*.{ending}" for source in sources for ending in ("yaml", "yml")]
    return {"yaml.schemas": {f"./{prefix}{SCHEMA_FILE}": [*globs, f"{prefix}kcd-gen.yaml"]}}


def vscode_extensions() -> dict[str, object]:
    return {"recommendations": ["redhat.vscode-yaml"]}


def editor_files(root: Path, folder: str, sources: Iterable[str]) -> Iterator[ScaffoldFile | Addition]:
    """`folder` is the project's, relative to the checkout at `root`. Raises KcdError `unusable-file`."""
    settings = vscode_settings(sources, folder=folder)
    for name, content, mention in (
        ("settings.json", settings, SCHEMA_FILE),
        ("extensions.json", vscode_extensions(), "redhat.vscode-yaml"),
    ):
        path = root / ".vscode" / name
        before = present(path, root)
        text = json.dumps(content, indent=2) + "\n"
        if before is None or mention.encode() in before:
            yield ScaffoldFile(path, text.encode() if before is None else before, before)
        else:
            yield Addition(path, "in its braces", "\n".join(text.splitlines()[1:-1]) + "\n")
