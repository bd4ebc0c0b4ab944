"""Checks of Flux's objects: HelmReleases that fail or were never installed, and Kustomizations that do not apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.diagnostics.problems import Severity
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import Live, LiveObject
from kubocd_gen.migration.presence import is_applied

_LONGEST_MESSAGE = 500  # characters; the cause is often at the end of a controller's message
DEFAULT = ("flux-system", "releases")
"""The namespace and name of the Kustomization that `kcd-gen init server` writes."""


def waited_for(live: Live, key: tuple[str, str] | None) -> list[tuple[str, str]]:
    """Return the namespaces and names of the Kustomizations in the dump that the Kustomization `key` depends on."""
    known = {(one.namespace, one.name): one for one in live.of_kind("Kustomization")}
    depends_on = known[key].spec.get("dependsOn") if key and key in known else None
    found = []
    for item in depends_on if isinstance(depends_on, list) else ():
        if isinstance(item, Mapping) and key:
            found.append((str(item.get("namespace") or key[0]), str(item.get("name"))))
    return [one for one in found if one in known]


def health_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about compiled HelmReleases and HelmRepositories, and the Kustomizations that apply them."""
    ours = {DEFAULT}
    for identity in situation.documents:
        one = situation.live.flux.get(identity)
        if one is None:
            continue
        if one.kustomization:
            ours.add(one.kustomization)
        if one.kind == "HelmRelease":
            yield from _helm_release(one)
        elif one.kind == "HelmRepository" and is_applied(one) and (message := _not_ready(one)):
            # Until Flux applies it, it is not ready because the controller, which served the charts, is stopped.
            hint = "check the chart server of step 2; installed charts keep running, but none can be downloaded"
            yield _finding("warning", "not-ready", one, f"is not ready: {message}", hint)
    ours |= {other for key in ours for other in waited_for(situation.live, key)}
    known = {(one.namespace, one.name): one for one in situation.live.of_kind("Kustomization")}
    for key, one in known.items():
        if key in ours:
            yield from _kustomization(one)
            for other in waited_for(situation.live, key):
                if _source(one) != _source(known[other]):
                    yield _finding(
                        "warning",
                        "order-not-kept",
                        one,
                        f"depends on {quoted('/'.join(other))}, which has another source: Flux enforces the order only "
                        "within one source, so a HelmRelease can be applied before its chart is available",
                        "use the same source (spec.sourceRef) for both",
                    )


def _kustomization(one: LiveObject) -> Iterator[Finding]:
    if one.spec.get("suspend") is True:
        suspended = "is suspended: Flux applies nothing until the commands of steps 2 and 3 resume it"
        hint = "if it is suspended in Git, resume it there"
        yield _finding("warning", "kustomization-suspended", one, suspended, hint)
    elif message := _not_ready(one):
        yield _finding(
            "warning",
            "not-ready",
            one,
            f"is not ready: {message}",
            "set spec.path to the directory 'flux' of the output, or exclude 'hr' in .sourceignore"
            if "decode Kubernetes YAML" in message
            else None,
        )
    if one.spec.get("prune") is True and one.spec.get("deletionPolicy") != "Orphan":
        yield _finding(
            "note",
            "pruning",
            one,
            "uninstalls everything when it is deleted; 'deletionPolicy: Orphan' prevents this",
        )


def _helm_release(one: LiveObject) -> Iterator[Finding]:
    if message := _not_ready(one):
        yield _finding("warning", "not-ready", one, f"is not ready: {message}", _hint(one))
    elif not one.status.get("history") and one.spec.get("suspend") is not True:
        yield _finding(
            "note", "never-installed", one, "has no Helm release in its history: its chart was never installed"
        )


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
    """Return the quoted message of the condition Ready if it is not True; None if it is True or missing."""
    for condition in _conditions(one):
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            message = " ".join(Masks().text(str(condition.get("message", ""))).split())
            return f"'{message[:_LONGEST_MESSAGE]}…'" if len(message) > _LONGEST_MESSAGE else f"'{message}'"
    return None


def _with_status(one: LiveObject, condition_type: str, status: str) -> Iterator[Mapping[str, Any]]:
    return (
        condition
        for condition in _conditions(one)
        if condition.get("type") == condition_type and condition.get("status") == status
    )


def _conditions(one: LiveObject) -> list[Mapping[str, Any]]:
    conditions = one.status.get("conditions")
    return (
        [condition for condition in conditions if isinstance(condition, Mapping)]
        if isinstance(conditions, list)
        else []
    )


def _source(one: LiveObject) -> tuple[str, str, str]:
    ref = one.spec.get("sourceRef")
    fields = ref if isinstance(ref, Mapping) else {}
    return str(fields.get("kind")), str(fields.get("namespace") or one.namespace), str(fields.get("name"))


def _finding(severity: Severity, code: str, one: LiveObject, message: str, hint: str | None = None) -> Finding:
    return Finding(severity, code, one.kind, (one.key,), message, hint)
