"""All checks of a dump against a compilation, and the step that follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubocd_gen.migration.controller import controller_findings, controllers
from kubocd_gen.migration.findings import Finding, Situation, grouped, situation
from kubocd_gen.migration.health import health_findings
from kubocd_gen.migration.live import Live
from kubocd_gen.migration.owners import manager_findings, owner_findings
from kubocd_gen.migration.presence import is_ours, presence_findings
from kubocd_gen.migration.releases import release_findings
from kubocd_gen.migration.specs import field_findings, target_findings
from kubocd_gen.migration.steps import Step, next_step
from kubocd_gen.model.compilation import Compilation


@dataclass(frozen=True, slots=True)
class Checked:
    """What a dump says. `applied` of the `compiled` resources are Flux's already."""

    cluster: str
    releases: int
    live: int
    compiled: int
    applied: int
    findings: tuple[Finding, ...]
    step: Step


def check(
    live: Live, compilation: Compilation, kubocd_namespace: str, build: Sequence[str] = ("kcd-gen", "build")
) -> Checked:
    """`build` is the command that makes the compilation, for the step that publishes it."""
    it = situation(live, compilation)
    findings = grouped(_all(it))
    return Checked(
        cluster=compilation.cluster.name,
        releases=len(live.releases),
        live=len(live.flux),
        compiled=len(it.documents),
        applied=sum(is_ours(live.flux[identity]) for identity in it.documents if identity in live.flux),
        findings=tuple(findings),
        step=next_step(it, findings, kubocd_namespace, build),
    )


def _all(it: Situation) -> Iterator[Finding]:
    yield from _dump_findings(it)
    yield from release_findings(it)
    yield from presence_findings(it)
    yield from manager_findings(it)
    yield from owner_findings(it)
    yield from controller_findings(it)
    yield from health_findings(it)
    yield from field_findings(it)
    yield from target_findings(it)


def _dump_findings(it: Situation) -> Iterator[Finding]:
    live = it.live
    for one in live.twice:
        yield Finding(
            "note", "dumped-twice", one.kind, (one.key,), "is in the dump in two states; the newer one counts"
        )
    if it.documents and not any(identity in live.flux for identity in it.documents):
        yield Finding(
            "error",
            "other-cluster",
            "dump",
            (),
            f"holds none of the {len(it.documents)} compiled resources",
            "is it of another cluster (kubectl's context, --cluster), or of one namespace (-A)?",
        )
    owned = [one for one in live.flux.values() if one.release_owner]
    if owned and not live.releases:
        yield Finding(
            "error",
            "releases-missing",
            "dump",
            (),
            "holds objects that Releases own, and no Release",
            "dump the Releases, too; if the cluster has none, take the ownerReferences away at once",
        )
    for kind in ("HelmRelease", "HelmRepository"):
        if kind not in live.kinds and any(identity[0] == kind for identity in it.documents) and live.kinds:
            yield Finding(
                "warning", "kind-missing", "dump", (), f"holds no {kind}", "was it left out of kubectl's list, or -A?"
            )
    if live.releases and not controllers(live):
        if "Deployment" in live.kinds:
            message = "holds Deployments, and none that runs KuboCD's controller: it is taken to be gone"
            hint = "are they of all namespaces (-A)?"
        else:
            message = "holds no Deployments, so that it is not known whether KuboCD's controller runs"
            hint = "dump Deployments and webhook configurations, too"
        yield Finding("note", "controller-unknown", "dump", (), message, hint)
