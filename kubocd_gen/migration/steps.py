"""Determine the current step of a migration and its commands.

The order of the steps was tested with real Flux controllers; docs/migration.md describes the problems of another order.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubocd_gen.files.paths import shown_path
from kubocd_gen.migration import commands
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.flux import DEFAULT, waited_for
from kubocd_gen.migration.kubocd import WEBHOOKS, controllers, crds, is_running, own_chart, webhooks
from kubocd_gen.migration.live import CONTROLLER, FLUX_KINDS, LiveObject, Manager
from kubocd_gen.migration.owners import has_owner_references, is_taken_over, needs_transfer


@dataclass(frozen=True, slots=True)
class Step:
    """The next step. `lines` are shell commands; with `stops`, each requires the success of those before.

    `number` is the section of docs/migration.md, or None. `dump` is the command that creates the next dump, or None.
    """

    name: str
    number: int | None
    title: str
    lines: tuple[str, ...]
    dump: str | None = commands.DUMP
    stops: bool = True

    @property
    def script(self) -> tuple[str, ...]:
        """The lines to paste; several run in a subshell, which exits at the first failure if `stops` is set."""
        if len(self.lines) < 2:
            return self.lines
        return ("(set -e" if self.stops else "(", *(f"  {line}" for line in self.lines), ")")


def next_step(situation: Situation, findings: Iterable[Finding], kubocd_namespace: str, build: Sequence[str]) -> Step:
    """Return the next step; if `findings` contains errors, the step that fixes them.

    `build` is the command that compiles the output.
    """
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
        return _apply(situation, applied, build)
    managers = sorted({manager.name for one in ours for manager in one.managers or () if needs_transfer(manager)})
    if managers:
        return _transfer_fields(situation, ours, managers)
    if pending := [one for one in ours if any(map(_awaits_flux, one.managers or ()))]:
        lines = tuple(commands.reconcile(_kustomizations(pending), _suspended(situation)))
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
        title = "delete the Releases, which no longer own anything"
        if appliers := ", ".join("/".join(one) for one in _kustomizations(released)):
            title = f"first exclude the Releases from {appliers}, which would create them again, then {title}"
        return Step("delete-releases", 5, title, tuple(commands.delete_releases(released)))
    return _clean_up(situation, ours, kubocd_namespace, build)


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


def _apply(situation: Situation, applied: Sequence[LiveObject], build: Sequence[str]) -> Step:
    if applied:
        title = "commit the compiled resources that are not applied yet, and wait until Flux has applied them"
    else:
        title = (
            "serve the charts, commit the output and the files of kcd-gen init server (including its Kustomizations "
            "and .sourceignore), and wait until Flux has applied the commit"
        )
    return Step("apply", 2, title, _published(situation, applied, build))


def _published(situation: Situation, applied: Sequence[LiveObject], build: Sequence[str]) -> tuple[str, ...]:
    known, suspended = _kustomizations(applied), _suspended(situation)
    first = known[0] if known else DEFAULT
    output = shown_path(situation.compilation.cluster.output)
    published = commands.publish(build, output, first, suspended)
    # If the commit was applied before, an object can still be missing in the cluster, so request a reconciliation.
    return (*published, *commands.reconcile(known, suspended - {first}))


def _transfer_fields(situation: Situation, ours: Sequence[LiveObject], managers: Sequence[str]) -> Step:
    affected = [one for one in ours if any(needs_transfer(manager) for manager in one.managers or ())]
    kinds = [kind for kind in reversed(FLUX_KINDS) if any(one.kind == kind for one in affected)]
    is_taken = any(manager.name == "kubectl" for one in affected for manager in one.managers or ())
    transfer = commands.transfer_fields(kinds, managers, plain=len(managers) == 1 and not is_taken)
    title = "transfer the old managers' fields to Flux, and remove the fields and ownerReferences that are not in Git"
    return Step(
        "transfer-fields", 3, title, (*transfer, *commands.reconcile(_kustomizations(ours), _suspended(situation)))
    )


def _awaits_flux(manager: Manager) -> bool:
    """Return whether Flux's next reconciliation takes over the manager, which owns ownerReferences."""
    return is_taken_over(manager) and has_owner_references(manager)


def _suspended(situation: Situation) -> set[tuple[str, str]]:
    return {
        (one.namespace, one.name) for one in situation.live.of_kind("Kustomization") if one.spec.get("suspend") is True
    }


def _kustomizations(objects: Sequence[LiveObject]) -> list[tuple[str, str]]:
    return sorted({one.kustomization for one in objects if one.kustomization})


def _clean_up(situation: Situation, ours: Sequence[LiveObject], kubocd_namespace: str, build: Sequence[str]) -> Step:
    live = situation.live
    left = [one for one in live.flux.values() if situation.is_leftover(one)]
    known = crds(live)
    if live.releases:
        title = "add the remaining Releases to the sources, or keep the controller: they need KuboCD's CRDs"
        return Step("resolve", None, title, ())
    if left or known is None or known or live.of_kind("Context", "Config"):
        title = "delete KuboCD's CRDs and the objects that are no longer needed"
        lines = (*commands.delete(left), *commands.DELETE_CRDS)
        return Step("delete-crds", 6, title, lines, commands.DUMP_AFTER)
    if rest := controllers(live) or webhooks(live):
        namespace = shlex.quote(rest[0].namespace or kubocd_namespace)
        # Helm deletes the Service of the old chart server by name, which can be that of the server of step 2.
        servers = sorted({key for one in ours for key in waited_for(live, one.kustomization)})
        lines = (
            f"helm -n {namespace} list --filter kubocd",
            f"helm -n {namespace} uninstall kubocd-ctrl",
            *commands.reconcile(servers, _suspended(situation)),
        )
        title = "uninstall KuboCD's controller and webhook in the way they were installed (with helm or from Git)"
        return Step("remove-controller", 7, title, lines, commands.DUMP_AFTER)
    if any(map(own_chart, situation.documents.values())):
        title = "remove the Release of KuboCD's own chart from the sources; Flux then uninstalls it"
        return Step("remove-controller", 7, title, _published(situation, ours, build), commands.DUMP_AFTER)
    if "Deployment" not in live.kinds:
        title = "create the dump again with Deployments, which show whether KuboCD's controller is still installed"
        return Step("dump", None, title, (), commands.DUMP_AFTER)
    return Step("done", None, "done: Flux manages every compiled resource, and KuboCD is uninstalled", (), None)
