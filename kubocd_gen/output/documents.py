"""The documents of a written `flux/<namespace>/<release>.yaml`, told apart without reading their YAML, for reports.

A written file may have been edited, merged or damaged by hand. It is only ever split at its `---` lines, which the
emitter puts nowhere else at a line's start, and a document's identity is looked up in its text. So nothing in the file,
however deep, aliased or broken, can stop a build or slow it down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Change = Literal["created", "updated", "unchanged", "removed"]

_SEPARATOR = re.compile(r"^---(?:[ \t].*)?\r?$\n?", re.MULTILINE)
_KIND = re.compile(r"^kind: *(\S+)[ \t\r]*$", re.MULTILINE)
_NAME = re.compile(r"^metadata:[ \t\r]*\n(?:[ \t\r].*\n)*?  name: *(\S+)[ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """What a build does to one Kubernetes resource. `path` is relative to the output root."""

    kind: str
    name: str
    path: str
    change: Change


def resource_changes(path: str, old: str | None, new: str | None) -> tuple[ResourceChange, ...]:
    """What becomes of each resource when the text of `path` goes from `old` to `new`; None is no file.

    In the order of `new`, then the removed ones in the order of `old`. Where `old` holds documents that are not
    recognised, it can't be said what was there before: everything new is `updated` and nothing is `removed`.
    """
    before, damaged = _resources(old or "")
    after, _ = _resources(new or "")
    missing: Change = "updated" if damaged else "created"
    changes = [
        ResourceChange(
            *identity,
            path,
            missing if identity not in before else "unchanged" if before[identity] == text else "updated",
        )
        for identity, text in after.items()
    ]
    if not damaged:
        changes += [ResourceChange(*identity, path, "removed") for identity in before if identity not in after]
    return tuple(changes)


def _split(text: str) -> list[str]:
    """The documents, each with its last line break; empty lines at the end may belong to a block and are kept."""
    if text and not text.endswith("\n"):
        text += "\n"
    return [document for document in _SEPARATOR.split(text) if document.strip()]


def _resources(text: str) -> tuple[dict[tuple[str, str], str], bool]:
    """Document texts by kind and name, and whether there are others."""
    found: dict[tuple[str, str], str] = {}
    damaged = False
    for document in _split(text):
        kind, name = _kind(document), _NAME.search(document)
        if kind and name:
            found[kind, _unquoted(name.group(1))] = document
        else:
            damaged = True
    return found, damaged


def _kind(document: str) -> str | None:
    found = _KIND.search(document)
    return _unquoted(found.group(1)) if found else None


def _unquoted(scalar: str) -> str:
    return scalar[1:-1] if len(scalar) > 1 and scalar[0] == scalar[-1] and scalar[0] in "'\"" else scalar
