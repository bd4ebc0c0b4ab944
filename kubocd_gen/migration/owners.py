"""Checks of ownerReferences, which the garbage collector acts on, and of field managers, which keep fields."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject, Owner
from kubocd_gen.migration.managers import is_flux, is_taken_over, needs_transfer, paths_besides
from kubocd_gen.migration.presence import is_applied
from kubocd_gen.migration.specs import with_defaults

_LISTED = 6  # fields of a manager that a message lists


def dead_owner(situation: Situation, one: LiveObject) -> Owner | None:
    """Return the Release that owns the object but does not exist (any more, or with that UID), or None."""
    owner = one.release_owner
    if owner is None or "Release" not in situation.live.kinds:
        return None
    release = situation.live.releases.get(f"{one.namespace}/{owner.name}")
    return owner if release is None or (release.uid and owner.uid and release.uid != owner.uid) else None


def owner_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about owned objects; the garbage collector is about to delete those whose Release is gone."""
    for one in situation.live.flux.values():
        owner = one.release_owner
        if owner is None:
            continue
        if dead_owner(situation, one):
            release = situation.live.releases.get(f"{one.namespace}/{owner.name}")
            what = (
                "is owned by an earlier Release of the same name (with another UID)"
                if release
                else "is owned by a Release that does not exist"
            )
            uninstalls = ", and Flux uninstalls the chart" if one.kind == "HelmRelease" else ""
            yield Finding(
                "error",
                "dead-owner",
                one.kind,
                (one.key,),
                f"{what}: the garbage collector deletes it within seconds{uninstalls}",
                "stop here, and remove the ownerReferences immediately with the command below",
            )
        elif "Release" in situation.live.kinds:
            deleted = "uninstalled" if one.kind == "HelmRelease" else "deleted"
            yield Finding(
                "note",
                "owned",
                one.kind,
                (one.key,),
                f"is owned by a Release, and would be {deleted} with it",
            )


def manager_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about field managers other than Flux on objects that are in Git."""
    for identity, document in situation.documents.items():
        one = situation.live.flux.get(identity)
        if one is None:
            continue
        if one.managers is None:
            yield Finding(
                "warning",
                "no-managed-fields",
                one.kind,
                (one.key,),
                "has no managedFields in the dump, so it is unknown which manager owns which field",
                "create the dump again with --show-managed-fields",
            )
            continue
        if is_applied(one) and not any(is_flux(manager) and "f:spec" in manager.fields for manager in one.managers):
            yield Finding(
                "warning",
                "emptied-fields",
                one.kind,
                (one.key,),
                "is applied by Flux, which owns none of its fields because managedFields were emptied; extra fields "
                "stay until the next change in Git, which can cause two Helm upgrades",
                "add the fields to keep to Git, and change nothing else in the same commit",
            )
        for manager in one.managers:
            if needs_transfer(manager):
                paths = list(paths_besides(manager, with_defaults(document)))
                more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
                removed = f" and removes {', '.join(paths[:_LISTED])}{more}" if paths else ""
                yield Finding(
                    "note",
                    "co-owner",
                    one.kind,
                    (one.key,),
                    f"is co-owned by {quoted(manager.name)} ({manager.operation}) until step 3 transfers the fields to "
                    f"Flux{removed}",
                )
            elif is_taken_over(manager) and "f:spec" in manager.fields and manager.name.startswith("kubectl"):
                yield Finding(
                    "note",
                    "edited-by-hand",
                    one.kind,
                    (one.key,),
                    f"has fields of {quoted(manager.name)}, which Flux takes over at its next reconciliation",
                )
