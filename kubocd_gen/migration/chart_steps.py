"""The last steps of a migration: keep what Helm would delete, uninstall KuboCD's charts, and delete its CRDs.

The order was tested with the real chart `kubocd-ctrl`; docs/migration.md describes the problems of another order.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubocd_gen.files.paths import shown_path
from kubocd_gen.migration import chart_commands, commands
from kubocd_gen.migration.charts import (
    REQUIRED,
    Chart,
    find_charts,
    has_own_crds,
    needed,
    owned,
    unkept_namespaces,
)
from kubocd_gen.migration.commands import Checkout
from kubocd_gen.migration.delivery import DeliverySteps, delivery
from kubocd_gen.migration.findings import Situation
from kubocd_gen.migration.kubocd import controllers, crds, own_chart, webhooks
from kubocd_gen.migration.live import LiveObject
from kubocd_gen.migration.step import Step

_COMPILED = "remove the Release of KuboCD's own chart from the sources; Flux then uninstalls it"
_VALUES = "extraNamespaces: [], contexts: [], config.enabled: false and controller.replicaCount: 0"


def last_steps(situation: Situation, ours: Sequence[LiveObject], checkout: Checkout) -> Step:
    """Return the next step of a cluster in which no Release is left that is in Git.

    `ours` are the compiled resources in the cluster.
    """
    live = situation.live
    if live.releases:
        title = "add the remaining Releases to the sources, or keep the controller: they need KuboCD's CRDs"
        return Step("resolve", None, title, ())
    if missing := [kind for kind in REQUIRED if kind not in live.kinds]:
        title = (
            f"create the dump again: without {_joined(missing)} in it, it is unknown what uninstalling KuboCD would "
            "delete"
        )
        return Step("dump", None, title, (), commands.DUMP if crds(live) != [] else commands.DUMP_AFTER)
    last = _Last(situation, ours, checkout, delivery(situation, ours))
    for chart in find_charts(live):
        return last.of_chart(chart)
    if rest := [*controllers(live), *webhooks(live)]:
        names = ", ".join(f"{one.kind} {one.key}" for one in rest)
        title = f"remove {names} in the way it was installed: it does not belong to a Helm release"
        return Step("remove-controller", 7, title, (), commands.DUMP if crds(live) else commands.DUMP_AFTER)
    if any(map(own_chart, situation.documents.values())):
        return Step("remove-controller", 7, _COMPILED, last.published())
    if applied := _applied(live.of_kind("Context", "Config")):
        return last.exclude(applied)
    left = [one for one in live.flux.values() if situation.is_leftover(one)]
    if left or crds(live) or live.of_kind("Context", "Config"):
        kept = [one for one in live.of_kind("Context", "Config") if one.finalizers]
        lines = (*commands.delete(left), *commands.delete_crds(kept))
        title = "delete KuboCD's CRDs and the objects that are no longer needed"
        return Step("delete-crds", 8, title, lines, commands.DUMP_AFTER)
    return Step("done", None, "done: Flux manages every compiled resource, and KuboCD is uninstalled", (), None)


class _Last:
    """The steps about one cluster."""

    def __init__(
        self, situation: Situation, ours: Sequence[LiveObject], checkout: Checkout, delivered: DeliverySteps
    ) -> None:
        self._situation = situation
        self._live = situation.live
        self._ours = ours
        self._checkout = checkout
        self._delivery = delivered
        self._output = shown_path(situation.compilation.cluster.output)
        self._suspended = suspended(situation)

    def of_chart(self, chart: Chart) -> Step:
        """Return the next step that uninstalls the chart."""
        name = f"{chart.namespace}/{chart.name}"
        if used := [f"{one.kind} {one.key} ({use})" for one, use in needed(self._live, chart)]:
            title = f"first give other objects what they use of the Helm release {name}: {_joined(used)}"
            return Step("resolve", None, title, ())
        if chart.helm_release is None and chart.declared_by is not None:
            by = "/".join(chart.declared_by)
            title = (
                f"create the dump again, with HelmRelease {by}, which installed {name}; if it no longer exists, Helm "
                "still has the release: restore the HelmRelease, or uninstall the release as described in step 7"
            )
            return Step("dump", None, title, ())
        if chart.helm_release is not None and chart.helm_release.deleting:
            key = chart.helm_release.key
            title = f"wait until Flux has uninstalled HelmRelease {key}, then create the dump again"
            if crds(self._live) == []:
                title = f"create KuboCD's CRDs again, without which Flux can't uninstall HelmRelease {key}"
            return Step("resolve", None, title, (), commands.DUMP if crds(self._live) else commands.DUMP_AFTER)
        if namespaces := unkept_namespaces(self._live, chart):
            names = ", ".join(one.name for one in namespaces)
            title = f"make Helm keep the namespaces of {name} ({names}), which it would delete with everything in them"
            return Step("keep-objects", 6, title, tuple(chart_commands.keep(namespaces)))
        own_crds = has_own_crds(self._live, chart)
        if own_crds and (applied := _applied(self._live.of_kind("Context", "Config"))):
            return self.exclude(applied)
        if chart.helm_release is None:
            return self._by_hand(chart, own_crds=own_crds)
        if chart.helm_release.identity in self._situation.documents:
            gates = (*chart_commands.stop_unless_kept(chart), *chart_commands.stop_if_needed(chart, own_crds=own_crds))
            return Step("remove-controller", 7, _COMPILED, (*gates, *self.published()))
        if not (chart.is_emptied and chart.is_settled) and chart.is_uninstalled_on_failure:
            key = chart.helm_release.key
            title = (
                f"first remove upgrade.remediation.strategy: uninstall from HelmRelease {key} in Git: if the upgrade "
                "of step 7 failed, Flux would uninstall the chart with its namespaces"
            )
            return Step("resolve", None, title, ())
        if not (chart.is_emptied and chart.is_settled):
            return self._empty(chart, chart.helm_release)
        return self._uninstall(chart, chart.helm_release, own_crds=own_crds)

    def _empty(self, chart: Chart, one: LiveObject) -> Step:
        by, resumes = one.kustomization, one.spec.get("suspend") is True
        title = f"let Flux upgrade HelmRelease {one.key}"
        if not chart.is_emptied:
            title = f"set {_VALUES} in the values of HelmRelease {one.key}"
            title += f" in Git, and let Flux upgrade it; {_KEEP_SOURCES}" if by else ""
        if resumes:
            title += " (it is suspended: resume it in Git, too, if it is suspended there)"
        lines = [*chart_commands.stop_unless_kept(chart), *chart_commands.stop_if_other_chart(chart)]
        if by:
            lines += commands.publish_removal(self._checkout, self._output, "KuboCD's chart without its namespaces")
            lines += commands.wait_for_commit(by, self._suspended)
        elif not chart.is_emptied:
            lines += chart_commands.empty_values(chart)
        lines += chart_commands.stop_if_incomplete(chart)
        lines += chart_commands.wait_for_upgrade(chart, resume=resumes)
        return Step("empty-chart", 7, title, (*lines, *self._afterwards(chart)))

    def _uninstall(self, chart: Chart, one: LiveObject, *, own_crds: bool) -> Step:
        by = one.kustomization
        lines = [*chart_commands.stop_unless_kept(chart), *chart_commands.stop_if_other_chart(chart)]
        lines += chart_commands.stop_if_needed(chart, own_crds=own_crds)
        lines += commands.RELEASES_GONE if own_crds else ()
        title = f"delete HelmRelease {one.key}, with which Flux uninstalls the chart {chart.chart}"
        if by:
            title = (
                f"remove HelmRelease {one.key} from Git, with which Flux uninstalls the chart {chart.chart}, but no "
                f"Namespace; {_KEEP_SOURCES}"
            )
            message = f"Without KuboCD's chart {chart.chart}"
            lines += commands.publish_removal(self._checkout, self._output, message, helm_releases=1)
            lines += commands.wait_for_commit(by, self._suspended)
        if by and self._prunes(by, one):
            lines += chart_commands.wait_for_removal(chart)
        else:
            lines += chart_commands.delete_helm_release(chart)
        return Step("remove-controller", 7, title, (*lines, *self._afterwards(chart)))

    def _by_hand(self, chart: Chart, *, own_crds: bool) -> Step:
        title = f"uninstall the Helm release {chart.namespace}/{chart.name}, which was installed with helm"
        lines = (
            *chart_commands.find_storage(chart),
            *chart_commands.stop_unless_kept(chart),
            *chart_commands.upgrade_by_hand(chart),
            *chart_commands.stop_if_needed(chart, own_crds=own_crds),
            *(commands.RELEASES_GONE if own_crds else ()),
            *chart_commands.uninstall_by_hand(chart),
        )
        return Step("remove-controller", 7, title, (*lines, *self._afterwards(chart)))

    def _afterwards(self, chart: Chart) -> tuple[str, ...]:
        """Return the commands that restore the Service of the chart server, and check the kept namespaces."""
        kept = {one.name for one in owned(self._live, chart) if one.kind == "Namespace"}
        kept |= {one.namespace for one in self._ours} if self._ours else set()
        return (
            *commands.reconcile(self._delivery.kustomizations, self._suspended),
            *chart_commands.are_active(kept),
        )

    def exclude(self, applied: Sequence[tuple[str, str]]) -> Step:
        """Return the step after which no Kustomization applies Contexts and Configs."""
        title = (
            f"exclude the Contexts and Configs from {', '.join(map('/'.join, applied))}, which would fail without the "
            "CRDs, but keep them in the sources"
        )
        lines = [*commands.publish_removal(self._checkout, self._output, "Contexts and Configs are only sources")]
        for one in applied:
            lines += commands.wait_for_commit(one, self._suspended)
            if not self._prunes(one):
                lines += commands.delete_unapplied(one)
        return Step("exclude-contexts", 8, title, tuple(lines))

    def published(self) -> tuple[str, ...]:
        """Return the commands that publish the output after a Release was removed from the sources."""
        by = sorted({one.kustomization for one in self._ours if one.kustomization})
        lines = [*commands.publish(self._checkout, self._output)]
        for one in by:
            lines += commands.wait_for_commit(one, self._suspended)
        return tuple(lines)

    def _prunes(self, by: tuple[str, str], one: LiveObject | None = None) -> bool:
        known = next((each for each in self._live.of_kind("Kustomization") if (each.namespace, each.name) == by), None)
        if one is not None and one.is_exempt_from_pruning:
            return False
        return known is None or known.spec.get("prune") is True


_KEEP_SOURCES = "move the Config and the Contexts in its values to files of the sources that Flux does not apply"


def suspended(situation: Situation) -> set[tuple[str, str]]:
    """Return the namespaces and names of the suspended Kustomizations."""
    return {
        (one.namespace, one.name) for one in situation.live.of_kind("Kustomization") if one.spec.get("suspend") is True
    }


def _applied(objects: Sequence[LiveObject]) -> list[tuple[str, str]]:
    return sorted({one.kustomization for one in objects if one.kustomization and not one.deleting})


def _joined(words: Sequence[str]) -> str:
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")
