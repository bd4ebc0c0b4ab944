"""Checks of KuboCD's own charts: what Helm would delete with them, and what is unknown about that."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.migration.charts import (
    WANTED,
    Chart,
    chart_service,
    find_charts,
    has_own_crds,
    is_taken_back,
    needed,
    unkept_namespaces,
)
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.kubocd import crds


def chart_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about the Helm releases of KuboCD's charts and what depends on their objects."""
    live = situation.live
    found = find_charts(live)
    for chart in found:
        yield from _of_chart(situation, chart)
    if found and "Namespace" in live.kinds and (missing := [kind for kind in WANTED if kind not in live.kinds]):
        message = f"contains no {', '.join(missing)}: it is unknown whether something uses such objects of the chart"
        hint = "include these kinds in the dump, or check who uses the chart's objects before step 7"
        yield Finding("warning", "kind-missing", "dump", (), message, hint)
    if is_taken_back(situation) and (service := chart_service(situation)):
        message = (
            "selects the pods of KuboCD's controller again, after an upgrade of its chart: no chart can be fetched"
        )
        hint = "reconcile its Kustomization with the command below; installed charts keep running"
        yield Finding.of("warning", "service-taken-back", service, message, hint)
    holding = {one.namespace for one in live.flux.values()}
    for one in live.of_kind("Namespace"):
        if one.deleting and one.name in holding:
            message = "is being deleted with everything in it, which can't be stopped"
            hint = "stop Flux (flux suspend kustomization), and restore the namespace and its data from a backup"
            yield Finding.of("error", "namespace-deleting", one, message, hint)
        if one.name in holding and one.kustomization and not one.is_exempt_from_pruning:
            by = "/".join(one.kustomization)
            message = (
                f"is applied by the Kustomization '{by}', which deletes it and all in it if it is removed from Git"
            )
            hint = "keep it in Git, or annotate it with kustomize.toolkit.fluxcd.io/prune: disabled there"
            yield Finding.of("note", "namespace-pruned", one, message, hint)


def _of_chart(situation: Situation, chart: Chart) -> Iterator[Finding]:
    live, name = situation.live, f"'{chart.namespace}/{chart.name}'"
    for one in unkept_namespaces(live, chart):
        count = sum(each.kind == "HelmRelease" and each.namespace == one.name for each in live.flux.values())
        held = f" and the {count} HelmRelease{'' if count == 1 else 's'} in it" if count else ""
        message = f"belongs to the Helm release {name} of {chart.chart}, which deletes it{held} when it is uninstalled"
        yield Finding.of("note", "chart-namespace", one, message, "don't uninstall the chart before step 7")
    for one, use in needed(live, chart):
        message = f"belongs to the Helm release {name} of {chart.chart}, which deletes it, but {use} uses it"
        hint = "create another object for that use before step 7"
        if one.kind == "CustomResourceDefinition":
            message = (
                f"belongs to the Helm release {name} of {chart.chart}, which deletes it with all objects of its kind"
            )
            hint = "transfer it to another owner before step 7: the chart can't be uninstalled while it has this CRD"
        yield Finding.of("warning", "chart-object-used", one, message, hint)
    if has_own_crds(live, chart):
        message = "has KuboCD's CRDs among its objects, so uninstalling it deletes all Releases, Contexts and Configs"
        yield Finding("note", "chart-crds", "Helm release", (f"{chart.namespace}/{chart.name}",), message)
    release = chart.helm_release
    if release is not None and chart.storage != chart.namespace:
        message = f"stores its Helm release in the namespace '{chart.storage}', where helm must look for it (-n)"
        yield Finding.of("note", "chart-storage", release, message)
    if release is not None and release.deleting and crds(live) == []:
        message = "can't be uninstalled, because KuboCD's CRDs were deleted before it"
        hint = f"create the CRDs again from the chart's directory crds/; Flux then uninstalls {chart.chart}"
        yield Finding.of("warning", "chart-stuck", release, message, hint)
