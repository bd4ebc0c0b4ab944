"""What changes in the Kubernetes resources of a file of the output."""

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
    """A change that a build makes to one Kubernetes resource. `path` is relative to the output root."""

    kind: str
    name: str
    path: str
    change: Change


def resource_changes(path: str, old: bytes | None, new: bytes | None) -> tuple[ResourceChange, ...]:
    """Return the change of each resource when the content of `path` goes from `old` to `new` (None: no file).

    Resources of `new` come first in their order, followed by removed ones in the order of `old`. If a document of `old`
    has no recognizable kind and name, its resources are unknown: all of `new` are `updated` and none is `removed`.
    """
    before, damaged = _resources(old)
    after, _ = _resources(new)
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


def _resources(content: bytes | None) -> tuple[dict[tuple[str, str], str], bool]:
    """Return the documents of a Flux file by kind and name, and whether there are documents without a kind and name.

    The YAML is not parsed. A written file can have been edited, merged or damaged: it is split at its `---` lines,
    which the emitter writes only between documents, and kind and name are found with regular expressions. Therefore no
    content, however deeply nested, aliased or broken, can fail a build or slow it down.
    """
    text = (content or b"").decode(errors="replace")
    if text and not text.endswith("\n"):
        text += "\n"
    found: dict[tuple[str, str], str] = {}
    damaged = False
    for document in _SEPARATOR.split(text):  # with trailing empty lines, which can belong to a block
        kind, name = _KIND.search(document), _NAME.search(document)
        if kind and name:
            found[_unquoted(kind[1]), _unquoted(name[1])] = document
        else:
            damaged |= bool(document.strip())
    return found, damaged


def _unquoted(scalar: str) -> str:
    return scalar[1:-1] if len(scalar) > 1 and scalar[0] == scalar[-1] and scalar[0] in "'\"" else scalar
