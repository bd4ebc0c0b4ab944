"""What makes editors use the schemas: comments in files, and settings of a workspace."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from kubocd_gen.model.project import PROJECT_FILE

SCHEMA_FILE = "kcd-gen.schema.json"
"""The schema of a project's sources and of kcd-gen.yaml, beside which it lies."""

VSCODE_EXTENSION = "redhat.vscode-yaml"
_SUFFIXES = ("yaml", "yml")


def modeline(schema: str = SCHEMA_FILE) -> str:
    """The comment that names a file's schema, by a path relative to the file.

    yaml-language-server, which is behind most editors, looks for it in the head of each document.
    """
    return f"# yaml-language-server: $schema={schema}"


def source_globs(sources: Iterable[str]) -> list[str]:
    """Globs of the YAML files that `sources` of kcd-gen.yaml stand for, which are files, directories or globs."""
    globs: dict[str, None] = {}
    for source in sources:
        path = source.removeprefix("./").rstrip("/") or "."
        if path.rpartition(".")[2] in (*_SUFFIXES, "json"):
            globs[path] = None
        else:
            below = "" if path == "." else f"{path}/"
            globs |= dict.fromkeys(f"{below}**/*.{suffix}" for suffix in _SUFFIXES)
    return list(globs)


def schema_mapping(sources: Iterable[str], *, folder: str = "") -> dict[str, list[str]]:
    """The schema file and the files that it is for, relative to the workspace's root: `yaml.schemas` of all editors.

    `folder` is where kcd-gen.yaml lies below that root, without a slash at its ends.
    """
    below = f"{folder}/" if folder else ""
    return {f"./{below}{SCHEMA_FILE}": [f"{below}{glob}" for glob in (PROJECT_FILE, *source_globs(sources))]}


def vscode_settings(sources: Iterable[str], *, folder: str = "") -> dict[str, Any]:
    """The content of `.vscode/settings.json`, for the extension «YAML» by Red Hat."""
    return {"yaml.schemas": schema_mapping(sources, folder=folder)}


def vscode_extensions() -> dict[str, Any]:
    """The content of `.vscode/extensions.json`, with which VS Code offers that extension."""
    return {"recommendations": [VSCODE_EXTENSION]}


def helix_languages(sources: Iterable[str], *, folder: str = "") -> str:
    """The content of `.helix/languages.toml`."""
    lines = ["[language-server.yaml-language-server.config.yaml.schemas]"]
    for schema, globs in schema_mapping(sources, folder=folder).items():
        lines.append(f"{_quoted(schema)} = [{', '.join(map(_quoted, globs))}]")
    return "\n".join(lines) + "\n"


def neovim_settings(sources: Iterable[str], *, folder: str = "") -> str:
    """The content of `.nvim.lua` (Neovim 0.11 or newer, with `exrc`), or a part of `init.lua`."""
    lines = ["vim.lsp.config('yamlls', { settings = { yaml = { schemas = {"]
    for schema, globs in schema_mapping(sources, folder=folder).items():
        lines.append(f"  [{_quoted(schema)}] = {{ {', '.join(map(_quoted, globs))} }},")
    return "\n".join([*lines, "} } } })"]) + "\n"


def _quoted(text: str) -> str:
    """A string of JSON, TOML and Lua alike."""
    return json.dumps(text, ensure_ascii=False)
