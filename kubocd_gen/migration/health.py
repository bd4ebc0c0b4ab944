"""Whether Flux is well: HelmReleases that fail or were never installed, Kustomizations that stand still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kubocd_gen.compiler.secrets import masked_text
from kubocd_gen.compiler.wording import quoted
from kubocd_gen.diagnostics import Severity
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject


def health_findings(it: Situation) -> Iterator[Finding]:
    applied = set()
    for identity in it.documents:
        one = it.live.flux.get(identity)
        if one is None:
            continue
        applied.add(one.kustomization)
        if one.kind == "HelmRelease":
            yield from _helm_release(one)
    for one in it.live.of_kind("Kustomization"):
        if (one.namespace, one.name) not in applied:
            continue
        if one.spec.get("suspend") is True:
            yield _told(
                "warning",
                "kustomization-suspended",
                one,
                "is suspended: nothing of the cure happens until it is resumed",
            )
        elif message := _not_ready(one):
            yield _told("warning", "not-ready", one, f"is not ready: {message}")
        if one.spec.get("prune") is True and one.spec.get("deletionPolicy") != "Orphan":
            yield _told(
                "note", "pruning", one, "uninstalls everything when it is deleted; 'deletionPolicy: Orphan' keeps it"
            )


def _helm_release(one: LiveObject) -> Iterator[Finding]:
    if not one.status.get("history") and one.spec.get("suspend") is not True:
        yield _told("note", "never-installed", one, "has no Helm release in its history: its chart was never installed")
    elif message := _not_ready(one):
        yield _told(
            "warning",
            "not-ready",
            one,
            f"is not ready: {message}",
            "mend it while the controller runs, so that causes stay apart",
        )


def _not_ready(one: LiveObject) -> str | None:
    """The message of the condition Ready where it is not true; None where it is, or nothing is said."""
    conditions = one.status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, Mapping) and condition.get("type") == "Ready" and condition.get("status") != "True":
            return quoted(masked_text(str(condition.get("message", ""))))
    return None


def _told(severity: Severity, code: str, one: LiveObject, message: str, hint: str | None = None) -> Finding:
    return Finding(severity, code, one.kind, (one.key,), message, hint)
