"""Determine the current step of a migration and its commands.

The order of the steps was tested with real Flux controllers; docs/migration.md describes the problems of another order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubocd_gen.files.paths import shown_path
from kubocd_gen.migration import commands
from kubocd_gen.migration.chart_steps import last_steps, suspended
from kubocd_gen.migration.charts import is_taken_back
from kubocd_gen.migration.commands import Checkout
from kubocd_gen.migration.delivery import delivery
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.flux import DEFAULT
from kubocd_gen.migration.kubocd import WEBHOOKS, controllers, is_running, webhooks
from kubocd_gen.migration.live import CONTROLLER, FLUX_KINDS, LiveObject, Manager
from kubocd_gen.migration.owners import has_owner_references, is_taken_over, needs_transfer
from kubocd_gen.migration.step import Step


def next_step(situation: Situation, findings: Iterable[Finding], kubocd_namespace: str, checkout: Checkout) -> Step:
    """Return the next step; if `findings` contains errors, the step that fixes them."""
    live = situation.live
    errors = {one.code for one in findings if one.severity == "error"}
    if rescue := _rescue(situation, errors, kubocd_namespace):
        return rescue
    ours = [one for one, _ in situation.pairs()]
    applied = [one for one in ours if one.is_applied]
    if "both-running" in errors:
        return _stop(situation, kubocd_namespace)
    if errors:
        return Step("resolve", None, "fix the errors above first; no other step is safe before that", ())
    if any(one.managers is None for one in ours):
        title = "create the dump again with --show-managed-fields, which shows the owners of the fields"
        return Step("dump", None, title, ())
    released = [one for key, one in live.releases.items() if key in situation.in_git]
    if released and (webhooks(live) or any(map(is_running, controllers(live)))):
        return _stop(situation, kubocd_namespace)
    if len(applied) < len(situation.documents):
        if released and not applied and "Deployment" not in live.kinds:
            return _stop(situation, kubocd_namespace)
        return _apply(situation, applied, checkout)
    if is_taken_back(situation):
        lines = tuple(commands.reconcile(delivery(situation, ours).kustomizations, suspended(situation)))
        return Step("restore-service", 2, "let Flux restore the Service of the chart server", lines)
    managers = sorted({manager.name for one in ours for manager in one.managers or () if needs_transfer(manager)})
    if managers:
        return _transfer_fields(situation, ours, managers)
    if pending := [one for one in ours if any(map(_awaits_flux, one.managers or ()))]:
        lines = tuple(commands.reconcile(_kustomizations(pending), suspended(situation)))
        return Step(
            "transfer-fields", 3, "request a reconciliation, in which Flux takes over the transferred fields", lines
        )
    owned = [
        one
        for release in released
        for one in situation.owned.get(release.key, ())
        if one.kind != "OCIRepository" or one.identity in situation.documents
    ]
    if owned:
        title = "remove the remaining ownerReferences: these objects would be deleted with their Release"
        return Step("remove-owners", 4, title, tuple(commands.remove_owners(owned)))
    if released:
        return _delete_releases(situation, released, checkout)
    return last_steps(situation, ours, checkout)


def _rescue(situation: Situation, errors: set[str], kubocd_namespace: str) -> Step | None:
    found = [one for one in situation.live.flux.values() if situation.dead_owner(one)]
    for release in situation.live.releases.values():
        if release.deleting:
            found += situation.owned.get(release.key, ())
    endangered = list({one.identity: one for one in found}.values())
    if not endangered or not errors & {"dead-owner", "release-deleting"}:
        return None
    stop = commands.scale_down(_controllers(situation, kubocd_namespace))
    return Step(
        "rescue",
        None,
        "immediately stop the controller and remove the ownerReferences before the garbage collector acts on them",
        (*stop, *commands.remove_owners(endangered)),
        stops=False,  # an object that is gone already must not prevent the rescue of the others
    )


def _delete_releases(situation: Situation, released: Sequence[LiveObject], checkout: Checkout) -> Step:
    title, lines = "delete the Releases, which no longer own anything", [*commands.stop_if_owning(released)]
    if appliers := _kustomizations(released):
        names = ", ".join("/".join(one) for one in appliers)
        title = (
            f"first exclude the Releases from {names}, which would create them again, but keep them in the sources; "
            f"then {title}"
        )
        output = shown_path(situation.compilation.cluster.output)
        lines += commands.publish_removal(checkout, output, "Releases are only sources")
        for one in appliers:
            lines += commands.wait_for_commit(one, suspended(situation))
    return Step("delete-releases", 5, title, (*lines, *commands.delete_releases(released)))


def _stop(situation: Situation, kubocd_namespace: str) -> Step:
    seen = any(situation.live.of_kind(*WEBHOOKS))
    hooks = commands.delete_webhooks(webhooks(situation.live)) if seen else commands.FIND_WEBHOOKS
    title = "keep a copy, stop the controller, and delete its webhook configurations"
    if "Deployment" not in situation.live.kinds:
        title += " (if you have done this already, create a dump that includes Deployments)"
    stop = commands.scale_down(_controllers(situation, kubocd_namespace))
    return Step("stop-controller", 1, title, (commands.BACKUP, *stop, *hooks))


def _controllers(situation: Situation, kubocd_namespace: str) -> list[tuple[str, str]]:
    """Return the namespaces and names of the controller's Deployments.

    If the dump has none, return the Deployment of the chart `kubocd-ctrl` whose Helm release has the chart's name.
    """
    known = [(one.namespace, one.name) for one in controllers(situation.live)]
    return known or [(kubocd_namespace, f"{CONTROLLER}-ctrl-controller")]


def _apply(situation: Situation, applied: Sequence[LiveObject], checkout: Checkout) -> Step:
    if applied:
        title = "commit the compiled resources that are not applied yet, and wait until Flux has applied them"
    else:
        title = delivery(situation, ()).publish
    lines = (*commands.stop_if_running(controllers(situation.live)), *_published(situation, applied, checkout))
    return Step("apply", 2, title, lines)


def _published(situation: Situation, applied: Sequence[LiveObject], checkout: Checkout) -> tuple[str, ...]:
    known, resumed = _kustomizations(applied), suspended(situation)
    first = known[0] if known else DEFAULT
    output = shown_path(situation.compilation.cluster.output)
    published = (*commands.publish(checkout, output), *commands.wait_for_commit(first, resumed))
    # If the commit was applied before, an object can still be missing in the cluster, so request a reconciliation.
    return (*published, *commands.reconcile(known, resumed - {first}))


def _transfer_fields(situation: Situation, ours: Sequence[LiveObject], managers: Sequence[str]) -> Step:
    affected = [one for one in ours if any(needs_transfer(manager) for manager in one.managers or ())]
    kinds = [kind for kind in reversed(FLUX_KINDS) if any(one.kind == kind for one in affected)]
    is_taken = any(manager.name == "kubectl" for one in affected for manager in one.managers or ())
    transfer = commands.transfer_fields(kinds, managers, plain=len(managers) == 1 and not is_taken)
    title = "transfer the old managers' fields to Flux, and remove the fields and ownerReferences that are not in Git"
    reconciled = commands.reconcile(_kustomizations(ours), suspended(situation))
    lines = (*commands.stop_if_running(controllers(situation.live)), *transfer, *reconciled)
    return Step("transfer-fields", 3, title, lines)


def _awaits_flux(manager: Manager) -> bool:
    """Return whether Flux's next reconciliation takes over the manager, which owns ownerReferences."""
    return is_taken_over(manager) and has_owner_references(manager)


def _kustomizations(objects: Sequence[LiveObject]) -> list[tuple[str, str]]:
    return sorted({one.kustomization for one in objects if one.kustomization})
