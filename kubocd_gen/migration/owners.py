"""Checks of ownerReferences, which the garbage collector acts on, and of field managers, which keep fields.

FieldsV1 is described in the Kubernetes documentation, "Server-Side Apply". How kustomize-controller treats the fields
of other managers was read in its source code and in fluxcd/pkg/ssa, and tested for `kubectl`; see docs/migration.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.compiler.flux_objects import normal_spec
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject, Manager, mapping

SCHEMAS = {
    "OCIRepository": "ocirepository-v1",
    "HelmRepository": "helmrepository-v1",
    "HelmRelease": "helmrelease-v2",
}
_FLUX = "kustomize-controller"
_LISTED = 6  # fields of a manager that a message lists


def owner_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about owned objects; the garbage collector is about to delete those whose Release is gone."""
    for one in situation.live.flux.values():
        owner = one.release_owner
        if owner is None or "Release" not in situation.live.kinds:
            continue
        is_chart = one.kind == "HelmRelease"
        if situation.dead_owner(one):
            what = "is owned by a Release that does not exist"
            if f"{one.namespace}/{owner.name}" in situation.live.releases:
                what = "is owned by an earlier Release of the same name (with another UID)"
            uninstalls = ", and Flux uninstalls the chart" if is_chart else ""
            message = f"{what}: the garbage collector deletes it within seconds{uninstalls}"
            hint = "stop here, and remove the ownerReferences immediately with the command below"
            yield Finding.of("error", "dead-owner", one, message, hint)
        else:
            message = f"is owned by a Release, and would be {'uninstalled' if is_chart else 'deleted'} with it"
            yield Finding.of("note", "owned", one, message)


def manager_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about field managers other than Flux on objects that are in Git."""
    for one, document in situation.pairs():
        if one.managers is None:
            message = "has no managedFields in the dump, so it is unknown which manager owns which field"
            hint = "create the dump again with --show-managed-fields"
            yield Finding.of("warning", "no-managed-fields", one, message, hint)
            continue
        if one.is_applied and not any(_is_flux(manager) and "f:spec" in manager.fields for manager in one.managers):
            yield Finding.of(
                "warning",
                "emptied-fields",
                one,
                "is applied by Flux, which owns none of its fields because managedFields were emptied; extra fields "
                "stay until the next change in Git, which can cause two Helm upgrades",
                "add the fields to keep to Git, and change nothing else in the same commit",
            )
        for manager in one.managers:
            if needs_transfer(manager):
                # As the API server stores it: with the CRD's defaults.
                stored = {**document, "spec": normal_spec(SCHEMAS[one.kind], document["spec"])}
                paths = list(_extra_fields(manager, stored))
                more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
                removed = f" and removes {', '.join(paths[:_LISTED])}{more}" if paths else ""
                owner = f"{quoted(manager.name)} ({manager.operation})"
                message = f"is co-owned by {owner} until step 3 transfers the fields to Flux{removed}"
                yield Finding.of("note", "co-owner", one, message)
            elif is_taken_over(manager) and "f:spec" in manager.fields and manager.name.startswith("kubectl"):
                message = f"has fields of {quoted(manager.name)}, which Flux takes over at its next reconciliation"
                yield Finding.of("note", "edited-by-hand", one, message)


def is_taken_over(manager: Manager) -> bool:
    """Return whether kustomize-controller takes over the fields of `manager`, and removes those that Git does not have.

    It compares the prefix of the name, so this includes `kubectl-edit` and `kubectl-client-side-apply`.
    """
    if manager.subresource:
        return False
    by_name = manager.name.startswith("kubectl") and manager.operation in ("Apply", "Update")
    return by_name or (manager.operation == "Update" and manager.name.startswith(("before-first-apply", _FLUX)))


def has_owner_references(manager: Manager) -> bool:
    """Return whether the manager set ownerReferences."""
    return "f:ownerReferences" in mapping(manager.fields.get("f:metadata"))


def needs_transfer(manager: Manager) -> bool:
    """Return whether the manager keeps fields of the spec, or ownerReferences, that Git does not have.

    Managers that own only finalizers or the status are controllers, which keep working after the migration.
    """
    if manager.subresource or _is_flux(manager) or is_taken_over(manager):
        return False
    return "f:spec" in manager.fields or has_owner_references(manager)


def kept_by(one: LiveObject, path: Sequence[Any]) -> list[str]:
    """Return the sorted names of the managers that own the value at `path` and are not taken over by Flux."""
    return sorted({manager.name for manager in one.managers or () if needs_transfer(manager) and _owns(manager, path)})


def _is_flux(manager: Manager) -> bool:
    """Return whether the manager is kustomize-controller, whose fields follow Git."""
    return manager.name == _FLUX and not manager.subresource


def _extra_fields(manager: Manager, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the outermost fields of spec and metadata that the manager owns and `document` does not have.

    For example `metadata.ownerReferences`, `spec.install`, `spec.values.replicas`. Finalizers are omitted.
    """
    for top in ("metadata", "spec"):
        for path in _missing(manager.fields.get(f"f:{top}"), document[top], (top,)):
            if path != ("metadata", "finalizers"):
                yield dotted(path)


def _missing(fields: Any, value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not isinstance(fields, Mapping) or not isinstance(value, Mapping):
        return
    for name in sorted(field[2:] for field in fields if field.startswith("f:")):
        if name in value:
            yield from _missing(fields[f"f:{name}"], value[name], (*path, name))
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
