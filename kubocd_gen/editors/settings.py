"""Editor settings that select the schemas: modelines in files and settings of a workspace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubocd_gen.model.project import PROJECT_FILE

SCHEMA_FILE = "kcd-gen.schema.json"
"""The schema of a project's sources and of kcd-gen.yaml, in the same directory as kcd-gen.yaml."""

VSCODE_EXTENSION = "redhat.vscode-yaml"
_SUFFIXES = ("yaml", "yml")


def modeline(schema: str = SCHEMA_FILE) -> str:
    """Return the comment that selects a file's schema, by a path relative to the file.

    yaml-language-server, which most editors use, reads it at the beginning of each document.
    """
    return f"# yaml-language-server: $schema={schema}"


def source_globs(sources: Iterable[str]) -> list[str]:
    """Return globs that match the YAML files of `sources` in kcd-gen.yaml, which are files, directories or globs."""
    globs: dict[str, None] = {}
    for source in sources:
        path = source.removeprefix("./").rstrip("/") or "."
        if path.rpartition(".")[2] in (*_SUFFIXES, "json"):
            globs[path] = None
        else:
            below = "" if path == "." else f"{path}/"
            globs |= dict.fromkeys(f"{below}**/*.{suffix}" for suffix in _SUFFIXES)
    return list(globs)


def vscode_settings(sources: Iterable[str], *, directory: str = "") -> dict[str, Any]:
    """Return the content of `.vscode/settings.json` for the extension "YAML" by Red Hat.

    It maps the schema file to the globs that it applies to, all relative to the workspace's root. `directory` is that
    of kcd-gen.yaml relative to that root, without a leading or trailing slash.
    """
    below = f"{directory}/" if directory else ""
    globs = [f"{below}{glob}" for glob in (PROJECT_FILE, *source_globs(sources))]
    return {"yaml.schemas": {f"./{below}{SCHEMA_FILE}": globs}}


def vscode_extensions() -> dict[str, Any]:
    """Return the content of `.vscode/extensions.json`, with which VS Code recommends the extension."""
    return {"recommendations": [VSCODE_EXTENSION]}
