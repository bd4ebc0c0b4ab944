"""ownerReferences and field managers: what makes the garbage collector, or a field that nobody wants, stay on."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject, Owner
from kubocd_gen.migration.managers import is_flux, is_taken_over, needs_cure, paths_besides
from kubocd_gen.migration.presence import is_ours
from kubocd_gen.migration.specs import with_defaults

_LISTED = 6  # fields of a manager that are named
_AND = {True: ", and Flux uninstalls the chart", False: ""}
_GONE = {"HelmRelease": "uninstalled"}


def dead_owner(it: Situation, one: LiveObject) -> Owner | None:
    """The Release that the object is owned by and that does not exist (any more, or under that uid)."""
    owner = one.release_owner
    if owner is None or "Release" not in it.live.kinds:
        return None
    release = it.live.releases.get(f"{one.namespace}/{owner.name}")
    return owner if release is None or (release.uid and owner.uid and release.uid != owner.uid) else None


def owner_findings(it: Situation) -> Iterator[Finding]:
    """Objects whose Release is gone, which the garbage collector is about to remove, and those whose Release lives."""
    for one in it.live.flux.values():
        owner = one.release_owner
        if owner is None:
            continue
        if dead_owner(it, one):
            release = it.live.releases.get(f"{one.namespace}/{owner.name}")
            what = (
                "is owned by an earlier Release of that name (another uid)"
                if release
                else "is owned by a Release that is not there"
            )
            yield Finding(
                "error",
                "dead-owner",
                one.kind,
                (one.key,),
                f"{what}: the garbage collector acts within seconds{_AND[one.kind == 'HelmRelease']}",
                "stop here, and take the ownerReferences away at once; the command is below",
            )
        elif "Release" in it.live.kinds:
            yield Finding(
                "note",
                "owned",
                one.kind,
                (one.key,),
                f"is owned by a Release, and would be {_GONE.get(one.kind, 'deleted')} with it",
            )


def manager_findings(it: Situation) -> Iterator[Finding]:
    """Managers other than Flux on objects that are in Git, each with what it owns."""
    for identity, document in it.documents.items():
        one = it.live.flux.get(identity)
        if one is None:
            continue
        if one.managers is None:
            yield Finding(
                "warning",
                "no-managed-fields",
                one.kind,
                (one.key,),
                "has no managedFields in the dump, so that nobody can say who keeps which field",
                "dump again with --show-managed-fields",
            )
            continue
        if is_ours(one) and not any(is_flux(manager) and "f:spec" in manager.fields for manager in one.managers):
            yield Finding(
                "warning",
                "emptied-fields",
                one.kind,
                (one.key,),
                "is applied by Flux, which owns no field of it: managedFields were emptied; what Git lacks stays until "
                "the next change in Git, which then may cost two Helm upgrades",
                "put into Git what is to stay, and change nothing else in the same commit",
            )
        for manager in one.managers:
            if needs_cure(manager):
                paths = list(paths_besides(manager, with_defaults(document)))
                more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
                gone = f", which takes {', '.join(paths[:_LISTED])}{more} away" if paths else ""
                yield Finding(
                    "note",
                    "co-owner",
                    one.kind,
                    (one.key,),
                    f"is co-owned by {quoted(manager.name)} ({manager.operation}) until the cure (step 3){gone}",
                )
            elif is_taken_over(manager) and "f:spec" in manager.fields and manager.name.startswith("kubectl"):
                yield Finding(
                    "note",
                    "edited-by-hand",
                    one.kind,
                    (one.key,),
                    f"has fields of {quoted(manager.name)}, which Flux takes over by itself when it reconciles",
                )
