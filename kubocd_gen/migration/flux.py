"""Checks of Flux's objects: missing, left-over and foreign ones, failing HelmReleases, and Kustomizations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.kubocd import own_chart_release
from kubocd_gen.migration.live import KUSTOMIZE, Live, LiveObject, mapping, maps
from kubocd_gen.model.finishing import MANAGED_BY

_PRUNE = f"{KUSTOMIZE}/prune"
_LONGEST_MESSAGE = 500  # characters; the cause is often at the end of a controller's message
DEFAULT = ("flux-system", "releases")
"""The namespace and name of the Kustomization that `kcd-gen init server` writes."""


def presence_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about missing, left-over and foreign objects, and about who applies those that are in Git."""
    for kind, namespace, name in situation.documents:
        key = (f"{namespace}/{name}",)
        if (kind, namespace, name) in situation.live.flux:
            continue
        if kind == "HelmRelease":
            message = "is in Git but not in the cluster; Flux will install the chart"
            hint = "check that the dump contains all namespaces (-A)"
            yield Finding("warning", "not-live", kind, key, message, hint)
        else:
            yield Finding("note", "not-live", kind, key, "is in Git but not in the cluster; Flux will create it")
    for identity, one in situation.live.flux.items():
        if by := situation.live.left_by.get(identity):
            name = quoted("/".join(by))
            message = f"has labels of the Kustomization {name}, which does not exist: Flux no longer applies the object"
            yield Finding.of("note", "left-by-flux", one, message)
        if one.deleting and own_chart_release(one, situation.live):
            message = "installs KuboCD's own chart, and is being deleted: Flux uninstalls the chart"
            yield Finding.of("note", "object-deleting", one, message, "wait, then create the dump again")
        elif one.deleting:
            yield Finding.of("error", "object-deleting", one, "is being deleted")
        if identity in situation.documents:
            yield from _on_both_sides(one)
            if (
                one.is_exempt_from_pruning
                and (source := _repository(situation, one))
                and not source.is_exempt_from_pruning
            ):
                other = f"its {source.kind} '{source.name}' does not, so Flux can prune that"
                message = f"has {_PRUNE}: disabled, but {other}"
                yield Finding.of("warning", "half-kept", one, message, "annotate both or neither")
        elif situation.is_leftover(one):
            yield Finding.of("note", "leftover", one, "is no longer needed (created by KuboCD)")
        elif one.kind == "HelmRelease" and (owner := one.release_owner):
            compiled = situation.in_git.get(f"{one.namespace}/{owner.name}")
            if compiled and not compiled.summary.suspended:
                message = "is owned by a Release in Git that no longer compiles to it: Flux will not manage it"
                hint = "remove it while the controller runs to uninstall its chart; otherwise it stays unmanaged"
                yield Finding.of("warning", "not-compiled", one, message, hint)


def _repository(situation: Situation, one: LiveObject) -> LiveObject | None:
    """Return the live source that the compiled HelmRelease references; None for other kinds or if it is missing."""
    if one.kind != "HelmRelease":
        return None
    spec = situation.documents[one.identity]["spec"]
    source = spec.get("chartRef") or spec["chart"]["spec"]["sourceRef"]
    return situation.live.flux.get((source["kind"], source.get("namespace") or one.namespace, source["name"]))


def _on_both_sides(one: LiveObject) -> Iterator[Finding]:
    by = one.kustomization
    if by and not one.is_applied:
        name = quoted("/".join(by))
        message = f"is applied by the Kustomization {name}, but not from kcd-gen's output: both would keep changing it"
        hint = f"annotate it with {_PRUNE}: disabled, then remove it from that Kustomization"
        yield Finding.of("error", "other-kustomization", one, message, hint)
    elif (
        not by
        and one.managers is not None
        and not one.is_created_by_kubocd
        and one.labels.get(MANAGED_BY[0]) != MANAGED_BY[1]
    ):
        names = ", ".join(sorted({manager.name for manager in one.managers})) or "none"
        message = f"was not created by KuboCD (field managers: {names}), and Flux would take it over"
        hint = "rename the Release, or remove the object from whatever creates it"
        yield Finding.of("error", "foreign-object", one, message, hint)
    for name, refused in (("ssa", ("Merge", "IfNotPresent", "Ignore")), ("reconcile", ("disabled",))):
        setting = f"{KUSTOMIZE}/{name}"
        value = one.annotations.get(setting, one.labels.get(setting))
        if value in refused:
            message = f"has {setting}: {value}, so Flux ignores it, or the fields that other managers own"
            yield Finding.of("warning", "exempt-from-flux", one, message, "remove that annotation or label")


def health_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about compiled HelmReleases and HelmRepositories, and the Kustomizations that apply them."""
    ours = {DEFAULT}
    for one, _ in situation.pairs():
        if one.kustomization:
            ours.add(one.kustomization)
        if one.kind == "HelmRelease":
            yield from _helm_release(one)
        elif one.kind == "HelmRepository" and one.is_applied and (message := _not_ready(one)):
            # Until Flux applies it, it is not ready because the controller, which served the charts, is stopped.
            hint = "check the chart server of step 2; installed charts keep running, but none can be downloaded"
            yield Finding.of("warning", "not-ready", one, message, hint)
    ours |= {other for key in ours for other in waited_for(situation.live, key)}
    known = _kustomizations(situation.live)
    for key, one in known.items():
        if key in ours:
            yield from _kustomization(one)
            yield from _pruning(situation.live, one)
            for other in waited_for(situation.live, key):
                if _source(one) != _source(known[other]):
                    yield Finding.of(
                        "warning",
                        "order-not-kept",
                        one,
                        f"depends on {quoted('/'.join(other))}, which has another source: Flux enforces the order only "
                        "within one source, so a HelmRelease can be applied before its chart is available",
                        "use the same source (spec.sourceRef) for both",
                    )


def waited_for(live: Live, key: tuple[str, str] | None) -> list[tuple[str, str]]:
    """Return the namespaces and names of the Kustomizations in the dump that the Kustomization `key` depends on."""
    known = _kustomizations(live)
    if key is None or key not in known:
        return []
    others = maps(known[key].spec.get("dependsOn"))
    found = [(str(other.get("namespace") or key[0]), str(other.get("name"))) for other in others]
    return [one for one in found if one in known]


def _kustomizations(live: Live) -> dict[tuple[str, str], LiveObject]:
    return {(one.namespace, one.name): one for one in live.of_kind("Kustomization")}


def _kustomization(one: LiveObject) -> Iterator[Finding]:
    if one.spec.get("suspend") is True:
        suspended = "is suspended: Flux applies nothing until the commands of steps 2 and 3 resume it"
        hint = "if it is suspended in Git, resume it there"
        yield Finding.of("warning", "kustomization-suspended", one, suspended, hint)
    elif message := _not_ready(one):
        is_index = "decode Kubernetes YAML" in message
        path = "set spec.path to the directory 'flux' of the output, or exclude 'hr' in .sourceignore"
        yield Finding.of("warning", "not-ready", one, message, path if is_index else None)


def _pruning(live: Live, one: LiveObject) -> Iterator[Finding]:
    """Yield a finding if deleting the Kustomization would uninstall HelmReleases.

    kustomize-controller's `finalize`: the policies Delete and WaitForTermination delete even with `prune: false`;
    MirrorPrune, the default, follows `prune`. Nothing is deleted while the Kustomization is suspended, and never an
    object that is exempt from pruning.
    """
    policy = one.spec.get("deletionPolicy") or "MirrorPrune"
    if policy not in ("Delete", "WaitForTermination") and not (policy == "MirrorPrune" and one.spec.get("prune")):
        return
    key = (one.namespace, one.name)
    applied = [each for each in live.flux.values() if each.kind == "HelmRelease" and each.kustomization == key]
    count = sum(not each.is_exempt_from_pruning for each in applied)
    if not count:
        return
    all_of = f"all {count}" if count == len(applied) else f"{count} of {len(applied)}"
    when = "when it is deleted"
    if one.spec.get("suspend") is True:
        when = "when it is deleted after it is resumed, but not while it is suspended"
    message = (
        f"uninstalls {all_of} HelmRelease{'s' * (len(applied) != 1)} {when}; 'deletionPolicy: Orphan' prevents this"
    )
    yield Finding.of("note", "pruning", one, message)


def _helm_release(one: LiveObject) -> Iterator[Finding]:
    if message := _not_ready(one):
        yield Finding.of("warning", "not-ready", one, message, _hint(one))
    elif not one.status.get("history") and one.spec.get("suspend") is not True:
        message = "has no Helm release in its history: its chart was never installed"
        yield Finding.of("note", "never-installed", one, message)


def _hint(one: LiveObject) -> str:
    if any(_with_status(one, "Stalled", "True")):
        return (
            "fix the cause, then set the annotations reconcile.fluxcd.io/requestedAt and reconcile.fluxcd.io/resetAt "
            "to the same new value; Flux does not retry by itself"
        )
    if any(condition.get("reason") == "SourceNotReady" for condition in _with_status(one, "Ready", "False")):
        return (
            "when the server has the chart, set the annotation reconcile.fluxcd.io/requestedAt of its HelmRepository "
            "to a new value, or wait for the interval"
        )
    return "fix it while the controller runs, to rule out the migration as the cause"


def _not_ready(one: LiveObject) -> str | None:
    """Return the message of a finding if the condition Ready is not True; None if it is True or missing."""
    for condition in maps(one.status.get("conditions")):
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            reason = " ".join(Masks().text(str(condition.get("message", ""))).split())
            return f"is not ready: '{reason[:_LONGEST_MESSAGE]}{'…' if len(reason) > _LONGEST_MESSAGE else ''}'"
    return None


def _with_status(one: LiveObject, condition_type: str, status: str) -> Iterator[Mapping[str, Any]]:
    for condition in maps(one.status.get("conditions")):
        if condition.get("type") == condition_type and condition.get("status") == status:
            yield condition


def _source(one: LiveObject) -> tuple[str, str, str]:
    fields = mapping(one.spec.get("sourceRef"))
    return str(fields.get("kind")), str(fields.get("namespace") or one.namespace), str(fields.get("name"))
