"""The resources of source files that have not changed since an earlier run, which are not read again.

A file is known by its real path and its signature (see `state/signatures.py`), or else by its content. Only files that
were read without any problem are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kubocd_gen.budget.spending import Budget, Tally
from kubocd_gen.checkout.discovery import SourceFile
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.model.resources import Resource
from kubocd_gen.state.signatures import RealPaths, is_settled, signature
from kubocd_gen.state.store import Json, State, digest_of
from kubocd_gen.state.values import value_text

_TABLE = "files"

Read = Callable[[Budget], SourceFile | None]
"""Reads a file and spends its size; None if it is not a source."""

Parse = Callable[[SourceFile, Budget], tuple[list[Resource], list[ProblemsError]]]


class KnownFile(SourceFile):
    """A source file whose text is read only for messages. Raises ProblemsError if its content has changed since."""

    __slots__ = ("_content", "_read")

    def __init__(self, path: str, content: str, read: Callable[[], SourceFile | None]) -> None:
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "_content", content)
        object.__setattr__(self, "_read", read)

    @property
    def text(self) -> str:
        """The content of the file."""
        text = getattr(self, "_text", None)
        if text is None:
            file: SourceFile | None = self._read()  # type: ignore[attr-defined]
            if file is None or content_of(file) != self._content:  # type: ignore[attr-defined]
                message = "the file changed while kcd-gen was running"
                raise ProblemsError.of("unreadable-source", message, Position(self.path), "run it again")
            text = file.text
        return text


def content_of(file: SourceFile) -> str:
    """Return the digest of a file's text."""
    return digest_of(file.text.encode("utf-8", "surrogatepass"))


class KnownFiles:
    """The files in a state. `settings` is what decides whether a file can be read and what it means."""

    def __init__(self, state: State, settings: str) -> None:
        self._state = state
        self._settings = digest_of(settings.encode())
        self._places = RealPaths()
        self.contents: dict[str, str] = {}  # the digest of each file's text by its name in messages

    def resources(
        self, path: Path, display: str, read: Read, parse: Parse, budget: Budget
    ) -> tuple[list[Resource], list[ProblemsError]]:
        """Return the resources of a file, and its problems. Raises what `read` raises."""
        key = f"{path}"
        known = self._state.get(_TABLE, key)
        if known is not None and (known["settings"], known["name"]) != (self._settings, display):
            known = None
        if known is not None and any(amount > budget.left(name) for name, amount in known["spent"].items()):
            known = None  # reading the file finds out where the limit is exceeded
        found_signature = self._signature(key)  # before the file is read, see `is_settled`
        if known is not None and found_signature is not None and known["signature"] == found_signature:
            return self._restored(known, display, read, budget), []
        tally = Tally(budget)
        file = read(tally)
        content = content_of(file) if file else ""
        if known is not None and file is not None and known["content"] == content:
            self._state.put(_TABLE, key, {**known, "signature": found_signature})
            return self._restored(known, display, read, budget, spent=tally.amounts), []
        resources, errors = parse(file, tally) if file else ([], [])
        texts = [None if one.faults else value_text(one.value) for one in resources]
        if not errors and None not in texts:
            listed = [
                [one.document, list(one.prefix), text, digest_of(text.encode())]
                for one, text in zip(resources, texts, strict=True)
                if text is not None
            ]
            entry = {
                "settings": self._settings,
                "name": display,
                "signature": found_signature,
                "content": content,
                "resources": listed,
                "spent": tally.amounts,
            }
            self._state.put(_TABLE, key, entry)
            resources = _with_digests(resources, [str(one[3]) for one in listed])
            self.contents[display] = content
        return resources, errors

    def _signature(self, path: str) -> str | None:
        """Return what a file is recognized by; None if it can't be, or can't be read."""
        try:
            status, real = self._places.status(path)
        except OSError:
            return None
        return f"{signature(status)} {real}" if is_settled(status) else None

    def _restored(
        self, known: Json, display: str, read: Read, budget: Budget, spent: dict[str, float] | None = None
    ) -> list[Resource]:
        position = Position(display)
        for resource, amount in known["spent"].items():
            budget.spend(resource, amount - (spent or {}).get(resource, 0), position)
        self.contents[display] = known["content"]
        if not known["resources"]:
            return []
        self._state.is_used = True
        file = KnownFile(display, known["content"], lambda: read(Budget()))
        return [
            Resource(file, document, json.loads(text), tuple(prefix), digest=digest)
            for document, prefix, text, digest in known["resources"]
        ]


def identified(resources: Iterable[Resource], contents: dict[str, str]) -> list[Resource]:
    """Return the resources with their digests, also those of files that no state can know.

    For these, the digests of their texts are added to `contents`, by the name of the file.
    """
    found = []
    texts: dict[str, dict[int, SourceFile]] = {}  # a name can stand for several texts, such as what kustomize prints
    for one in resources:
        if not one.digest and not one.faults and (text := value_text(one.value)) is not None:
            one = replace(one, digest=digest_of(text.encode()))
        if one.file.path not in contents:
            texts.setdefault(one.file.path, {})[id(one.file)] = one.file
        found.append(one)
    for path, files in texts.items():
        contents[path] = digest_of(" ".join(content_of(file) for file in files.values()).encode())
    return found


def _with_digests(resources: Sequence[Resource], digests: Sequence[str]) -> list[Resource]:
    return [
        Resource(one.file, one.document, one.value, one.prefix, one.spec_prefix, digest=digest)
        for one, digest in zip(resources, digests, strict=True)
    ]
