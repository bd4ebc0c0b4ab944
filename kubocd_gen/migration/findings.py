"""The findings of a check as data; equal findings about several objects are merged."""

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
    """A fact about `objects` (`namespace/name`) of one `kind`.

    `message` is a predicate, printed after the objects as its subject. An error blocks the migration, a warning must be
    accepted before continuing, a note is for information. `details` pairs each object with its own values if the
    message only summarizes them.
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
    """The cluster and the compilation that it is compared with.

    `documents` are the compiled resources by identity; `in_git` are the compiled Releases by `namespace/name`; `owned`
    are the live objects by the namespace and name of the Release that owns them.
    """

    live: Live
    compilation: Compilation
    documents: Mapping[Identity, Mapping[str, Any]]
    in_git: Mapping[str, CompiledRelease]
    owned: Mapping[tuple[str, str], list[LiveObject]]

    def release_of(self, namespace: str, name: str) -> CompiledRelease | None:
        """Return the compiled Release of that name, or None."""
        return self.in_git.get(f"{namespace}/{name}")


def index(live: Live, compilation: Compilation) -> Situation:
    """Index the dump and the compilation for the checks."""
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


def merge_equal(findings: Iterable[Finding]) -> list[Finding]:
    """Merge findings that differ only in their objects; sort by severity, errors last, otherwise keep the order."""
    groups: dict[Finding, list[str]] = {}
    for one in findings:
        groups.setdefault(replace(one, objects=()), []).extend(one.objects)
    order = ("note", "warning", "error")
    merged = [replace(one, objects=tuple(sorted(dict.fromkeys(objects)))) for one, objects in groups.items()]
    return sorted(merged, key=lambda one: order.index(one.severity))
