"""Compare the namespaces that the output creates."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.diffing.records import NamespaceDifference
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.pipeline.namespaces import emitted_namespaces, namespaces_of


def compare_namespaces(cluster: str, old: Compilation | None, new: Compilation | None) -> Iterator[NamespaceDifference]:
    """Yield the namespaces that the output of a cluster creates on one side only, sorted.

    The namespaces of Releases that fail count on both sides, because a build keeps their output.
    """
    before, after = _emitted(old), _emitted(new)
    existing = (new.existing_namespaces if new else None) or {}
    for name in sorted(before ^ after):
        if name in after:
            yield NamespaceDifference(cluster, name, "added")
        else:
            yield NamespaceDifference(cluster, name, "removed", existing.get(name, ""))


def _emitted(compilation: Compilation | None) -> set[str]:
    if compilation is None:
        return set()
    return set(emitted_namespaces(namespaces_of(compilation), compilation.existing_namespaces))
