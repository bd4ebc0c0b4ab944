"""Field managers: which manager owns which field of a live object, and what happens to it when Flux applies the object.

FieldsV1 is described in the Kubernetes documentation, "Server-Side Apply". How kustomize-controller treats the fields
of other managers was read in its source code and in fluxcd/pkg/ssa, and tested for `kubectl`; see docs/migration.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.migration.live import LiveObject, Manager

FLUX = "kustomize-controller"


def is_taken_over(manager: Manager) -> bool:
    """Return whether kustomize-controller takes over the fields of `manager`, and removes those that Git does not have.

    It compares the prefix of the name, so this includes `kubectl-edit` and `kubectl-client-side-apply`.
    """
    if manager.subresource:
        return False
    by_name = manager.name.startswith("kubectl") and manager.operation in ("Apply", "Update")
    return by_name or (manager.operation == "Update" and manager.name.startswith(("before-first-apply", FLUX)))


def is_flux(manager: Manager) -> bool:
    """Return whether the manager is kustomize-controller, whose fields follow Git."""
    return manager.name == FLUX and not manager.subresource


def needs_transfer(manager: Manager) -> bool:
    """Return whether the manager keeps fields of the spec, or ownerReferences, that Git does not have.

    Managers that own only finalizers or the status are controllers, which keep working after the migration.
    """
    if manager.subresource or is_flux(manager) or is_taken_over(manager):
        return False
    metadata = manager.fields.get("f:metadata")
    return "f:spec" in manager.fields or (isinstance(metadata, Mapping) and "f:ownerReferences" in metadata)


def kept_by(one: LiveObject, path: Sequence[Any]) -> list[str]:
    """Return the sorted names of the managers that own the value at `path` and are not taken over by Flux."""
    return sorted({manager.name for manager in one.managers or () if needs_transfer(manager) and _owns(manager, path)})


def paths_besides(manager: Manager, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the outermost fields of spec and metadata that the manager owns and `document` does not have.

    For example `metadata.ownerReferences`, `spec.install`, `spec.values.replicas`. Finalizers are omitted.
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
            break  # an empty map owns the whole value
        if not isinstance(step, str):
            break  # the lists of these kinds are atomic
        if f"f:{step}" not in node:
            return False
        node = node[f"f:{step}"]
    return True
