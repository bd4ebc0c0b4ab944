"""What a check has found, as data, and the same thing in many objects told once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubocd_gen.diagnostics.problems import Severity
from kubocd_gen.migration.live import Identity, Live, LiveObject
from kubocd_gen.model.compilation import Compilation, CompiledRelease


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact about `objects` (`namespace/name`) of one `kind`. `message` is a predicate that follows them.

    An error stops the migration where it is, a warning is to be agreed with before going on, a note is good to know.
    `details` say for each object what the message says for all of them in short.
    """

    severity: Severity
    code: str
    kind: str
    objects: tuple[str, ...]
    message: str
    hint: str | None = None
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """The cluster beside what compiles.

    `documents` are the compiled resources, by identity; `owned` the live objects, by namespace and name of their
    Release.
    """

    live: Live
    compilation: Compilation
    documents: Mapping[Identity, Mapping[str, Any]]
    in_git: Mapping[str, CompiledRelease]
    owned: Mapping[tuple[str, str], list[LiveObject]]

    def release_of(self, namespace: str, name: str) -> CompiledRelease | None:
        return self.in_git.get(f"{namespace}/{name}")


def situation(live: Live, compilation: Compilation) -> Situation:
    documents = {
        (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]): document
        for one in compilation.releases
        for document in one.documents
    }
    owned: dict[tuple[str, str], list[LiveObject]] = defaultdict(list)
    for one in live.flux.values():
        if owner := one.release_owner:
            owned[one.namespace, owner.name].append(one)
    return Situation(live, compilation, documents, {one.release.key: one for one in compilation.releases}, dict(owned))


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, with those that differ in their objects alone made one; errors last, else as they were found."""
    groups: dict[Finding, list[str]] = {}
    for one in findings:
        groups.setdefault(replace(one, objects=()), []).extend(one.objects)
    order = ("note", "warning", "error")
    merged = [replace(one, objects=tuple(sorted(dict.fromkeys(objects)))) for one, objects in groups.items()]
    return sorted(merged, key=lambda one: order.index(one.severity))
