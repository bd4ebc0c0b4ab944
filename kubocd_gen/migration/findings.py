"""The findings of a check as data; equal findings about several objects are merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubocd_gen.diagnostics.problems import Severity
from kubocd_gen.migration.live import Identity, Live, LiveObject, Owner, mapping
from kubocd_gen.model.compilation import Compilation, CompiledRelease


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact about `objects` (`namespace/name`) of one `kind`.

    It is not a Problem, which has a position in a source and a whole sentence: `message` is a predicate, printed after
    the objects as its subject, because many objects share it. An error blocks the migration, a warning must be accepted
    before continuing, a note is for information. `details` pairs each object with its own values if the message only
    summarizes them.
    """

    severity: Severity
    code: str
    kind: str
    objects: tuple[str, ...]
    message: str
    hint: str | None = None
    details: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, severity: Severity, code: str, one: LiveObject, message: str, hint: str | None = None) -> Finding:
        """Return a finding about one object."""
        return Finding(severity, code, one.kind, (one.key,), message, hint)


@dataclass(frozen=True, slots=True)
class Situation:
    """The cluster and the compilation that it is compared with.

    `documents` are the compiled resources by identity; `in_git` are the compiled Releases, and `owned` the live objects
    that a Release owns, both by the Release's `namespace/name`.
    """

    live: Live
    compilation: Compilation
    documents: Mapping[Identity, Mapping[str, Any]]
    in_git: Mapping[str, CompiledRelease]
    owned: Mapping[str, list[LiveObject]]

    def pairs(self) -> Iterator[tuple[LiveObject, Mapping[str, Any]]]:
        """Yield each live object that is in Git, with the compiled resource."""
        for identity, document in self.documents.items():
            if one := self.live.flux.get(identity):
                yield one, document

    def dead_owner(self, one: LiveObject) -> Owner | None:
        """Return the Release that owns the object but does not exist (any more, or with that UID), or None."""
        owner = one.release_owner
        if owner is None or "Release" not in self.live.kinds:
            return None
        release = self.live.releases.get(f"{one.namespace}/{owner.name}")
        return owner if release is None or (release.uid and owner.uid and release.uid != owner.uid) else None

    def is_leftover(self, one: LiveObject) -> bool:
        """Return whether the object is a source of KuboCD that no Release owns, no HelmRelease uses and Git lacks."""
        is_source = one.kind in ("OCIRepository", "HelmRepository") and one.name.startswith("kcd-")
        unused = one.identity not in self.documents and one.release_owner is None
        return is_source and unused and one.is_created_by_kubocd and not self._is_used(one)

    def _is_used(self, source: LiveObject) -> bool:
        """Return whether a live HelmRelease gets its chart from the source, such as that of a suspended Release."""
        for one in self.live.flux.values():
            references = (
                mapping(mapping(one.spec.get("chart")).get("spec")).get("sourceRef"),
                one.spec.get("chartRef"),
            )
            for reference in map(mapping, references):
                namespace = reference.get("namespace") or one.namespace
                if (reference.get("kind"), namespace, reference.get("name")) == source.identity:
                    return True
        return False


def index(live: Live, compilation: Compilation) -> Situation:
    """Index the dump and the compilation for the checks."""
    documents = {
        (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]): document
        for one in compilation.releases
        for document in one.documents
    }
    owned: dict[str, list[LiveObject]] = defaultdict(list)
    for one in live.flux.values():
        if owner := one.release_owner:
            owned[f"{one.namespace}/{owner.name}"].append(one)
    return Situation(live, compilation, documents, {one.key: one for one in compilation.releases}, dict(owned))


def merge_equal(findings: Iterable[Finding]) -> list[Finding]:
    """Merge findings that differ only in their objects; sort by severity, errors last, otherwise keep the order."""
    groups: dict[Finding, list[str]] = {}
    for one in findings:
        groups.setdefault(replace(one, objects=()), []).extend(one.objects)
    order = ("note", "warning", "error")
    merged = [replace(one, objects=tuple(sorted(dict.fromkeys(objects)))) for one, objects in groups.items()]
    return sorted(merged, key=lambda one: order.index(one.severity))
