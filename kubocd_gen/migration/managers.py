"""Field managers: who owns which field of a live object, and what becomes of them when Flux applies it.

FieldsV1 is explained in the Kubernetes document «Server-Side Apply». What kustomize-controller does with the managers
of others was read in its source and in fluxcd/pkg/ssa, and tried for `kubectl`; see docs/migration.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.migration.live import LiveObject, Manager

FLUX = "kustomize-controller"


def is_taken_over(manager: Manager) -> bool:
    """Whether kustomize-controller makes the fields of `manager` its own when it applies, and drops what Git lacks.

    It goes by the beginning of the name: `kubectl-edit` and `kubectl-client-side-apply` are taken over, too.
    """
    if manager.subresource:
        return False
    by_name = manager.name.startswith("kubectl") and manager.operation in ("Apply", "Update")
    return by_name or (manager.operation == "Update" and manager.name.startswith(("before-first-apply", FLUX)))


def is_flux(manager: Manager) -> bool:
    """Whether it is kustomize-controller, whose fields follow Git."""
    return manager.name == FLUX and not manager.subresource


def needs_cure(manager: Manager) -> bool:
    """Whether it keeps fields of the spec, or the owner, although Git does not have them.

    Finalizers and status are those of controllers at work, which own nothing else.
    """
    if manager.subresource or is_flux(manager) or is_taken_over(manager):
        return False
    metadata = manager.fields.get("f:metadata")
    return "f:spec" in manager.fields or (isinstance(metadata, Mapping) and "f:ownerReferences" in metadata)


def kept_by(one: LiveObject, path: Sequence[Any]) -> list[str]:
    """The names of the managers who own the value at `path` and are not taken over, sorted."""
    return sorted({manager.name for manager in one.managers or () if needs_cure(manager) and _owns(manager, path)})


def paths_besides(manager: Manager, document: Mapping[str, Any]) -> Iterator[str]:
    """The outermost fields of spec and metadata that it owns and `document` does not have, finalizers left out.

    They are `metadata.ownerReferences`, `spec.install`, `spec.values.replicas` …
    """
    for top in ("metadata", "spec"):
        for path in _besides(manager.fields.get(f"f:{top}"), document[top], (top,)):
            if path != ("metadata", "finalizers"):
                yield dotted(path)


def _besides(fields: Any, value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not isinstance(fields, Mapping) or not isinstance(value, Mapping):
        return
    for field in sorted(fields):
        if field.startswith("f:"):
            name = field[2:]
            if name in value:
                yield from _besides(fields[field], value[name], (*path, name))
            else:
                yield (*path, name)


def _owns(manager: Manager, path: Sequence[Any]) -> bool:
    node: Any = manager.fields
    for step in path:
        if not isinstance(node, Mapping) or not node:
            break  # owned whole, with all below it
        if not isinstance(step, str):
            break  # lists of these kinds are owned whole
        if f"f:{step}" not in node:
            return False
        node = node[f"f:{step}"]
    return True
