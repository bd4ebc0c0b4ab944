"""Run every check of a dump against a compilation, and determine the next step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubocd_gen.migration.controller import controller_findings, controllers
from kubocd_gen.migration.findings import Finding, Situation, index, merge_equal
from kubocd_gen.migration.health import health_findings
from kubocd_gen.migration.live import Live
from kubocd_gen.migration.owners import manager_findings, owner_findings
from kubocd_gen.migration.presence import is_applied, presence_findings
from kubocd_gen.migration.releases import release_findings
from kubocd_gen.migration.specs import field_findings, target_findings
from kubocd_gen.migration.steps import Step, next_step
from kubocd_gen.model.compilation import Compilation


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check.

    `releases` and `live` count the Releases and Flux objects in the dump; `applied` counts those of the `compiled`
    resources that Flux applies already.
    """

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
    """Compare the dump with the compilation.

    `build` is the command that creates the compiled output; the step that publishes the output prints it.
    """
    situation = index(live, compilation)
    findings = merge_equal(_all(situation))
    return Checked(
        cluster=compilation.cluster.name,
        releases=len(live.releases),
        live=len(live.flux),
        compiled=len(situation.documents),
        applied=sum(is_applied(live.flux[identity]) for identity in situation.documents if identity in live.flux),
        findings=tuple(findings),
        step=next_step(situation, findings, kubocd_namespace, build),
    )


def _all(situation: Situation) -> Iterator[Finding]:
    yield from _dump_findings(situation)
    yield from release_findings(situation)
    yield from presence_findings(situation)
    yield from manager_findings(situation)
    yield from owner_findings(situation)
    yield from controller_findings(situation)
    yield from health_findings(situation)
    yield from field_findings(situation)
    yield from target_findings(situation)


def _dump_findings(situation: Situation) -> Iterator[Finding]:
    live = situation.live
    for one in live.duplicates:
        yield Finding(
            "note", "dumped-twice", one.kind, (one.key,), "is in the dump in two states; the newer one is used"
        )
    if situation.documents and not any(identity in live.flux for identity in situation.documents):
        yield Finding(
            "error",
            "other-cluster",
            "dump",
            (),
            f"contains none of the {len(situation.documents)} compiled resources",
            "check that it is a dump of the right cluster (kubectl's context, --cluster) and of all namespaces (-A)",
        )
    owned = [one for one in live.flux.values() if one.release_owner]
    if owned and not live.releases:
        yield Finding(
            "error",
            "releases-missing",
            "dump",
            (),
            "contains objects that are owned by Releases, but no Release",
            "include the Releases in the dump; if the cluster has none, remove the ownerReferences immediately",
        )
    for kind in ("HelmRelease", "HelmRepository"):
        if kind not in live.kinds and any(identity[0] == kind for identity in situation.documents) and live.kinds:
            yield Finding(
                "warning",
                "kind-missing",
                "dump",
                (),
                f"contains no {kind}",
                "check that the kubectl command lists this kind, and uses -A",
            )
    if live.releases and not controllers(live):
        if "Deployment" in live.kinds:
            message = "contains Deployments, but none that runs KuboCD's controller: it is assumed to be uninstalled"
            hint = "check that the dump contains the Deployments of all namespaces (-A)"
        else:
            message = "contains no Deployments, so it is unknown whether KuboCD's controller runs"
            hint = "include Deployments and webhook configurations in the dump"
        yield Finding("note", "controller-unknown", "dump", (), message, hint)
