"""Where a cluster stands on the way from KuboCD's controller to Flux alone, and the next command.

The order is the one that was run in full on real controllers; docs/migration.md says what goes wrong in another one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.files.paths import display_path
from kubocd_gen.migration import commands
from kubocd_gen.migration.controller import controllers, crds, is_running, own_chart, webhooks
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.health import DEFAULT, waited_for
from kubocd_gen.migration.live import FLUX_KINDS, LiveObject, Manager
from kubocd_gen.migration.managers import is_taken_over, needs_cure
from kubocd_gen.migration.owners import dead_owner
from kubocd_gen.migration.presence import is_leftover, is_ours
from kubocd_gen.migration.releases import owned_by


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next. `lines` are for a shell, of which each needs the one before; `dump` is how to look again after.

    `number` is that of the chapter in docs/migration.md, None where it is none of them.
    """

    name: str
    number: int | None
    title: str
    lines: tuple[str, ...]
    dump: str | None = commands.DUMP
    stops: bool = True

    @property
    def script(self) -> tuple[str, ...]:
        """The lines to be pasted as one, in a shell of its own: the first that fails is the last, if it `stops`."""
        if len(self.lines) < 2:
            return self.lines
        return ("(set -e" if self.stops else "(", *(f"  {line}" for line in self.lines), ")")


def next_step(it: Situation, findings: Iterable[Finding], kubocd_namespace: str, build: Sequence[str]) -> Step:
    """The step to take from here; with an error among `findings` the way out of that, where it is a command.

    `build` is the command that compiles what was compared.
    """
    live = it.live
    errors = {one.code for one in findings if one.severity == "error"}
    if rescue := _rescue(it, errors, kubocd_namespace):
        return rescue
    ours = [one for identity in it.documents if (one := live.flux.get(identity))]
    applied = [one for one in ours if is_ours(one)]
    if "both-running" in errors:
        return _stop(it, kubocd_namespace)
    if errors:
        return Step("settle", None, "settle the errors above first; nothing else is safe before", ())
    if any(one.managers is None for one in ours):
        return Step(
            "dump", None, "dump again with --show-managed-fields: without them it is not known who keeps what", ()
        )
    released = [one for key, one in live.releases.items() if key in it.in_git]
    if released and (webhooks(live) or any(map(is_running, controllers(live)))):
        return _stop(it, kubocd_namespace)
    if len(applied) < len(it.documents):
        if released and not applied and "Deployment" not in live.kinds:
            return _stop(it, kubocd_namespace)
        return _apply(it, applied, build)
    managers = sorted({manager.name for one in ours for manager in one.managers or () if needs_cure(manager)})
    if managers:
        return _cure(it, ours, managers)
    if pending := [one for one in ours if any(map(_awaits_flux, one.managers or ()))]:
        lines = tuple(commands.reconcile(_kustomizations(pending), _suspended(it)))
        return Step("cure", 3, "Flux has not taken over yet what it was given; have it reconcile", lines)
    owned = [
        one
        for release in released
        for one in owned_by(it, release)
        if one.kind != "OCIRepository" or one.identity in it.documents
    ]
    if owned:
        return Step(
            "release-owners",
            4,
            "these still belong to their Release, and would go with it; take the ownerReferences away",
            tuple(commands.remove_owners(owned)),
        )
    if released:
        title = "delete the Releases, which own nothing any more"
        if appliers := ", ".join("/".join(one) for one in _kustomizations(released)):
            title = f"first take the Releases out of what {appliers} applies, which would make them again; then {title}"
        return Step("delete-releases", 5, title, tuple(commands.delete_releases(released)))
    return _clean_up(it, ours, kubocd_namespace, build)


def _rescue(it: Situation, errors: set[str], kubocd_namespace: str) -> Step | None:
    endangered = [
        *(one for one in it.live.flux.values() if dead_owner(it, one)),
        *(one for release in it.live.releases.values() if release.deleting for one in owned_by(it, release)),
    ]
    endangered = list({one.identity: one for one in endangered}.values())
    if not endangered or not errors & {"dead-owner", "release-deleting"}:
        return None
    stop = commands.scale_down(_running(it) or commands.default_controller(kubocd_namespace))
    return Step(
        "rescue",
        None,
        "at once: stop the controller, and take the ownerReferences away before the garbage collector acts on them",
        (*stop, *commands.remove_owners(endangered)),
        stops=False,  # one that is gone already must not keep the others from being saved
    )


def _stop(it: Situation, kubocd_namespace: str) -> Step:
    known = controllers(it.live)
    deployments = (
        [(one.namespace, one.name) for one in known] if known else commands.default_controller(kubocd_namespace)
    )
    found = webhooks(it.live)
    seen = any(it.live.of_kind("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"))
    hooks = list(commands.delete_webhooks(found)) if seen else list(commands.FIND_WEBHOOKS)
    title = "keep a copy, stop the controller, and take its webhooks away"
    if "Deployment" not in it.live.kinds:
        title += " (where that is done, look again at once: this dump has no Deployments, and cannot say so)"
    return Step(
        "stop-controller",
        1,
        title,
        (commands.BACKUP, *commands.scale_down(deployments), *hooks),
    )


def _running(it: Situation) -> list[tuple[str, str]]:
    return [(one.namespace, one.name) for one in controllers(it.live)]


def _apply(it: Situation, applied: Sequence[LiveObject], build: Sequence[str]) -> Step:
    if applied:
        title = "not everything that compiles is applied yet: commit what is missing, and have Flux apply it"
    else:
        title = (
            "serve the charts, put the output into Git, with what kcd-gen init server writes (its Kustomizations and "
            ".sourceignore, too), and wait until Flux has applied the commit"
        )
    return Step("apply", 2, title, _published(it, applied, build))


def _published(it: Situation, applied: Sequence[LiveObject], build: Sequence[str]) -> tuple[str, ...]:
    known, suspended = _kustomizations(applied), _suspended(it)
    first = known[0] if known else DEFAULT
    output = display_path(it.compilation.cluster.output, Path.cwd())
    published = commands.publish(build, output, first, suspended)
    # The commit may have been there already, and something in the cluster not.
    return (*published, *commands.reconcile(known, suspended - {first}))


def _cure(it: Situation, ours: Sequence[LiveObject], managers: Sequence[str]) -> Step:
    touched = [one for one in ours if any(needs_cure(manager) for manager in one.managers or ())]
    kinds = [kind for kind in reversed(FLUX_KINDS) if any(one.kind == kind for one in touched)]
    taken = any(manager.name == "kubectl" for one in touched for manager in one.managers or ())
    cure = commands.cure(kinds, managers, plain=len(managers) == 1 and not taken)
    return Step(
        "cure",
        3,
        "give the old managers' fields to Flux: what Git does not have goes, the ownerReferences too",
        (*cure, *commands.reconcile(_kustomizations(ours), _suspended(it))),
    )


def _awaits_flux(manager: Manager) -> bool:
    """Whether it is a manager that the next reconcile takes over, with the owner that it set."""
    metadata = manager.fields.get("f:metadata")
    return is_taken_over(manager) and isinstance(metadata, dict) and "f:ownerReferences" in metadata


def _suspended(it: Situation) -> set[tuple[str, str]]:
    return {(one.namespace, one.name) for one in it.live.of_kind("Kustomization") if one.spec.get("suspend") is True}


def _kustomizations(objects: Sequence[LiveObject]) -> list[tuple[str, str]]:
    return sorted({one.kustomization for one in objects if one.kustomization})


def _clean_up(it: Situation, ours: Sequence[LiveObject], kubocd_namespace: str, build: Sequence[str]) -> Step:
    live = it.live
    left = [one for one in live.flux.values() if is_leftover(it, one)]
    known = crds(live)
    if live.releases:
        title = (
            "Releases that are not in Git keep KuboCD's CRDs in use: add them to the sources, or keep the controller"
        )
        return Step("settle", None, title, ())
    if left or known is None or known or live.of_kind("Context", "Config"):
        lines = (*commands.delete(left), *commands.DELETE_CRDS)
        return Step(
            "delete-crds", 6, "delete KuboCD's CRDs, and what nothing needs any more", lines, commands.DUMP_AFTER
        )
    if rest := controllers(live) or webhooks(live):
        where = shlex.quote(rest[0].namespace or kubocd_namespace)
        # With the chart goes a Service that the server of step 2 may have taken the name of.
        servers = sorted({key for one in ours for key in waited_for(live, one.kustomization)})
        lines = (
            f"helm -n {where} list --filter kubocd",
            f"helm -n {where} uninstall kubocd-ctrl",
            *commands.reconcile(servers, _suspended(it)),
        )
        title = "uninstall KuboCD's controller and webhook the way they were installed, be it helm or Git"
        return Step("remove-controller", 7, title, lines, commands.DUMP_AFTER)
    if any(map(own_chart, it.documents.values())):
        title = "take the Release of KuboCD's own chart out of the sources; Flux uninstalls what leaves Git"
        return Step("remove-controller", 7, title, _published(it, ours, build), commands.DUMP_AFTER)
    if "Deployment" not in live.kinds:
        title = "dump again with Deployments: without them it is not known whether KuboCD's controller is left"
        return Step("dump", None, title, (), commands.DUMP_AFTER)
    return Step("done", None, "done: Flux holds everything that Git has, and nothing of KuboCD is left", (), None)
