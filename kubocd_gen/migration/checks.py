"""Run every check of a dump against a compilation, and determine the next step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kubocd_gen.migration.chart_findings import chart_findings
from kubocd_gen.migration.commands import DIRECTORY, Checkout
from kubocd_gen.migration.delivery import delivery_findings
from kubocd_gen.migration.findings import Finding, Situation, index, merge_equal
from kubocd_gen.migration.flux import health_findings, presence_findings
from kubocd_gen.migration.kubocd import controller_findings, controllers, release_findings
from kubocd_gen.migration.live import Live
from kubocd_gen.migration.owners import manager_findings, owner_findings
from kubocd_gen.migration.specs import field_findings, target_findings
from kubocd_gen.migration.step import Step
from kubocd_gen.migration.steps import next_step
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


def check(live: Live, compilation: Compilation, kubocd_namespace: str, checkout: Checkout | None = None) -> Checked:
    """Compare the dump with the compilation. The steps that publish the output print commands for the `checkout`."""
    situation, checkout = index(live, compilation), checkout or Checkout()
    found = [finding for kind in _CHECKS for finding in kind(situation)]
    if checkout.dumps:
        message = f"contains secrets, and {', '.join(checkout.dumps)} can be committed"
        hint = f"move it out of the checkout, for example to {DIRECTORY}"
        found.append(Finding("note", "dump-in-checkout", "dump", (), message, hint))
    findings = merge_equal(found)
    return Checked(
        cluster=compilation.cluster.name,
        releases=len(live.releases),
        live=len(live.flux),
        compiled=len(situation.documents),
        applied=sum(one.is_applied for one, _ in situation.pairs()),
        findings=tuple(findings),
        step=next_step(situation, findings, kubocd_namespace, checkout),
    )


def _dump_findings(situation: Situation) -> Iterator[Finding]:
    live, documents = situation.live, situation.documents
    for one in live.duplicates:
        yield Finding.of("note", "dumped-twice", one, "is in the dump in two states; the newer one is used")
    if documents and not any(situation.pairs()):
        message = f"contains none of the {len(documents)} compiled resources"
        hint = "check that it is a dump of the right cluster (kubectl's context, --cluster) and of all namespaces (-A)"
        yield Finding("error", "other-cluster", "dump", (), message, hint)
    if situation.owned and not live.releases:
        message = "contains objects that are owned by Releases, but no Release"
        hint = "include the Releases in the dump; if the cluster has none, remove the ownerReferences immediately"
        yield Finding("error", "releases-missing", "dump", (), message, hint)
    for kind in ("HelmRelease", "HelmRepository"):
        if kind not in live.kinds and any(identity[0] == kind for identity in documents) and live.kinds:
            hint = "check that the kubectl command lists this kind, and uses -A"
            yield Finding("warning", "kind-missing", "dump", (), f"contains no {kind}", hint)
    if live.releases and not controllers(live):
        if "Deployment" in live.kinds:
            message = "contains Deployments, but none that runs KuboCD's controller: it is assumed to be uninstalled"
            hint = "check that the dump contains the Deployments of all namespaces (-A)"
        else:
            message = "contains no Deployments, so it is unknown whether KuboCD's controller runs"
            hint = "include Deployments and webhook configurations in the dump"
        yield Finding("note", "controller-unknown", "dump", (), message, hint)


_CHECKS = (
    _dump_findings,
    delivery_findings,
    release_findings,
    presence_findings,
    manager_findings,
    owner_findings,
    controller_findings,
    chart_findings,
    health_findings,
    field_findings,
    target_findings,
)
