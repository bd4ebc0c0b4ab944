"""Whether Flux is well: HelmReleases that fail or were never installed, Kustomizations that stand still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.compiler.secrets import masked_text
from kubocd_gen.diagnostics.problems import Severity
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import Live, LiveObject
from kubocd_gen.migration.presence import is_ours

_LONG = 500  # of a controller's message the cause is often the end
DEFAULT = ("flux-system", "releases")
"""Namespace and name of the Kustomization that `kcd-gen init server` writes."""


def waited_for(live: Live, key: tuple[str, str] | None) -> list[tuple[str, str]]:
    """Namespace and name of the Kustomizations that the one named `key` waits for, as far as the dump has both."""
    known = {(one.namespace, one.name): one for one in live.of_kind("Kustomization")}
    waits = known[key].spec.get("dependsOn") if key and key in known else None
    found = []
    for item in waits if isinstance(waits, list) else ():
        if isinstance(item, Mapping) and key:
            found.append((str(item.get("namespace") or key[0]), str(item.get("name"))))
    return [one for one in found if one in known]


def health_findings(it: Situation) -> Iterator[Finding]:
    ours = {DEFAULT}
    for identity in it.documents:
        one = it.live.flux.get(identity)
        if one is None:
            continue
        if one.kustomization:
            ours.add(one.kustomization)
        if one.kind == "HelmRelease":
            yield from _helm_release(one)
        elif one.kind == "HelmRepository" and is_ours(one) and (message := _not_ready(one)):
            # Before, it is the old server that is gone with the controller.
            hint = "is the chart server of step 2 up? what is installed runs on, and nothing new can be fetched"
            yield _told("warning", "not-ready", one, f"is not ready: {message}", hint)
    ours |= {other for key in ours for other in waited_for(it.live, key)}
    known = {(one.namespace, one.name): one for one in it.live.of_kind("Kustomization")}
    for key, one in known.items():
        if key in ours:
            yield from _kustomization(one)
            for other in waited_for(it.live, key):
                if _source(one) != _source(known[other]):
                    yield _told(
                        "warning",
                        "order-not-kept",
                        one,
                        f"waits for {quoted('/'.join(other))}, which has another source: Flux keeps that order within "
                        "one source only, so that a HelmRelease may come before its chart",
                        "have both read the same source (spec.sourceRef)",
                    )


def _kustomization(one: LiveObject) -> Iterator[Finding]:
    if one.spec.get("suspend") is True:
        said = "is suspended: Flux does nothing until it is resumed, which the commands of steps 2 and 3 do"
        yield _told("warning", "kustomization-suspended", one, said, "where Git suspends it, resume it there")
    elif message := _not_ready(one):
        yield _told(
            "warning",
            "not-ready",
            one,
            f"is not ready: {message}",
            "spec.path must be the flux folder of the output, or .sourceignore must leave hr out"
            if "decode Kubernetes YAML" in message
            else None,
        )
    if one.spec.get("prune") is True and one.spec.get("deletionPolicy") != "Orphan":
        yield _told(
            "note", "pruning", one, "uninstalls everything when it is deleted; 'deletionPolicy: Orphan' keeps it"
        )


def _helm_release(one: LiveObject) -> Iterator[Finding]:
    if message := _not_ready(one):
        yield _told("warning", "not-ready", one, f"is not ready: {message}", _way_out(one))
    elif not one.status.get("history") and one.spec.get("suspend") is not True:
        yield _told("note", "never-installed", one, "has no Helm release in its history: its chart was never installed")


def _way_out(one: LiveObject) -> str:
    if any(_says(one, "Stalled", "True")):
        return (
            "it does not go on by itself: mend the cause, then annotate it with reconcile.fluxcd.io/requestedAt and "
            "reconcile.fluxcd.io/resetAt, both of the same new value"
        )
    if any(condition.get("reason") == "SourceNotReady" for condition in _says(one, "Ready", "False")):
        return (
            "once the server has that chart, annotate its HelmRepository with a new reconcile.fluxcd.io/requestedAt; "
            "else it waits for the interval"
        )
    return "mend it while the controller runs, so that causes stay apart"


def _not_ready(one: LiveObject) -> str | None:
    """The message of the condition Ready where it is not true; None where it is, or nothing is said."""
    for condition in _conditions(one):
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            message = " ".join(masked_text(str(condition.get("message", ""))).split())
            return f"'{message[:_LONG]}…'" if len(message) > _LONG else f"'{message}'"
    return None


def _says(one: LiveObject, condition: str, status: str) -> Iterator[Mapping[str, Any]]:
    return (it for it in _conditions(one) if it.get("type") == condition and it.get("status") == status)


def _conditions(one: LiveObject) -> list[Mapping[str, Any]]:
    conditions = one.status.get("conditions")
    return [it for it in conditions if isinstance(it, Mapping)] if isinstance(conditions, list) else []


def _source(one: LiveObject) -> tuple[str, str, str]:
    ref = one.spec.get("sourceRef")
    named = ref if isinstance(ref, Mapping) else {}
    return str(named.get("kind")), str(named.get("namespace") or one.namespace), str(named.get("name"))


def _told(severity: Severity, code: str, one: LiveObject, message: str, hint: str | None = None) -> Finding:
    return Finding(severity, code, one.kind, (one.key,), message, hint)
