"""Checks of KuboCD itself in the cluster: its Releases, its controller, its webhooks and its CRDs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import KUBOCD, Live, LiveObject, items, mapping, maps

WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
CONTROLLER_CHART = "kubocd-ctrl"
CHARTS = (CONTROLLER_CHART, "kubocd-wh")


def release_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about the Releases in the cluster: being deleted, suspended, failing, or not in Git."""
    for key, live in situation.live.releases.items():
        compiled, is_owner = situation.in_git.get(key), key in situation.owned
        if live.deleting and is_owner:
            yield Finding.of(
                "error",
                "release-deleting",
                live,
                "is being deleted, and only its finalizer protects what it owns: without it, everything is uninstalled",
                "keep the finalizer, stop the controller, and remove the ownerReferences with the command below",
            )
        elif live.deleting:
            yield Finding.of("note", "release-deleting", live, "is being deleted (without owned objects)")
        if compiled is None:
            message = "is not in the sources and will not be migrated; deleting it later deletes what it owns"
            hint = "add it to the sources, or remove it while the controller runs"
            yield Finding.of("warning", "release-not-in-git", live, message, hint)
        elif compiled.summary.suspended:
            message = "is suspended in Git, so its HelmReleases are not compiled: they stay unmanaged"
            yield Finding.of("note", "release-suspended", live, message)
        if by := live.kustomization:
            name = quoted("/".join(by))
            message = f"is applied by the Kustomization {name}, which creates it again after it is deleted"
            hint = "exclude it from that Kustomization in step 5, not before step 3, but keep it in Git for kcd-gen"
            yield Finding.of("note", "release-applied", live, message, hint)
        if live.spec.get("protected") is True:
            message = "is protected: KuboCD's webhook rejects its deletion while it runs"
            yield Finding.of("note", "release-protected", live, message)
        if live.status.get("phase") == "ERROR":
            yield Finding.of(
                "warning", "release-failing", live, "is in phase ERROR: the live objects can differ from it"
            )
        if compiled and not compiled.summary.suspended and live.spec.get("suspended") is True:
            message = "is suspended in the cluster but not in Git, so Flux resumes its HelmReleases"
            yield Finding.of("warning", "release-suspended", live, message)
        image = live.spec.get("package")
        if compiled and isinstance(image, dict):
            here, in_git = f"{image.get('repository')}:{image.get('tag')}", compiled.release.image
            if here != in_git:
                message = f"has the package {quoted(here)} in the cluster and {quoted(in_git)} in Git"
                hint = "bring both to the same state while the controller runs, so the migration changes nothing"
                yield Finding.of("warning", "other-package", live, message, hint)


def controller_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about a running controller, webhooks, and Releases that install KuboCD itself."""
    if any(one.is_applied for one in situation.live.flux.values()):
        for one in filter(is_running, controllers(situation.live)):
            yield Finding.of(
                "error",
                "both-running",
                one,
                "runs KuboCD's controller while Flux applies the output: each reverts the other's changes, with Helm "
                "upgrades",
                "scale it to 0 with the command below",
            )
    for (kind, *key), document in situation.documents.items():
        if (chart := own_chart(document)) is not None:
            message = f"installs KuboCD itself (the chart '{chart}'), and Flux would keep it installed"
            hint = "remove its Release from Git and from the cluster while the controller runs, or in step 7"
            yield Finding("warning", "kubocd-compiled", kind, ("/".join(key),), message, hint)
    if situation.live.releases:
        for one in webhooks(situation.live):
            down = "if the webhook is down, they can be neither changed nor deleted"
            message = f"sends Releases to KuboCD's webhook: {down}"
            yield Finding.of("note", "webhook", one, message)


def controllers(live: Live) -> list[LiveObject]:
    """Return the Deployments that run `kubocd controller`."""
    return [one for one in live.of_kind("Deployment") if "controller" in _commands(one)]


def is_running(one: LiveObject) -> bool:
    """Return whether the Deployment has replicas; the API server's default is one."""
    return bool(one.spec.get("replicas", 1) != 0)


def webhooks(live: Live) -> list[LiveObject]:
    """Return the webhook configurations that have rules for KuboCD's API group."""
    return [
        one
        for one in live.of_kind(*WEBHOOKS)
        if any(KUBOCD in items(rule.get("apiGroups")) for hook in one.webhooks for rule in maps(hook.get("rules")))
    ]


def crds(live: Live) -> list[str] | None:
    """Return the names of KuboCD's CRDs, or None if the dump contains no CRDs of any group."""
    known = live.of_kind("CustomResourceDefinition")
    return sorted(one.name for one in known if one.name.endswith(f".{KUBOCD}")) if known else None


def own_chart(document: Mapping[str, Any]) -> str | None:
    """Return the name of KuboCD's own chart that a compiled resource installs, or None."""
    if document["kind"] != "HelmRelease":
        return None
    chart = mapping(mapping(document["spec"].get("chart")).get("spec")).get("chart")  # or `chartRef`
    return chart if chart in CHARTS else None


def _commands(one: LiveObject) -> list[str]:
    """Return the subcommands of `kubocd` that the containers of a Deployment run."""
    found = []
    for container in maps(mapping(mapping(one.spec.get("template")).get("spec")).get("containers")):
        words = [*items(container.get("command")), *items(container.get("args"))]
        if len(words) > 1 and str(words[0]).rpartition("/")[2] == "kubocd":
            found.append(str(words[1]))
    return found


def own_chart_release(one: LiveObject, live: Live) -> str | None:
    """Return which of KuboCD's charts a HelmRelease in the cluster installs, or None."""
    latest = mapping(next(iter(items(one.status.get("history"))), None))
    reference = mapping(one.spec.get("chartRef"))
    names = {mapping(mapping(one.spec.get("chart")).get("spec")).get("chart"), latest.get("chartName")}
    namespace = str(reference.get("namespace") or one.namespace)
    source = live.flux.get(("OCIRepository", namespace, str(reference.get("name"))))
    if source is not None:
        names.add(str(source.spec.get("url")).rstrip("/").rpartition("/")[2])
    return next((chart for chart in CHARTS if chart in names), None) if one.kind == "HelmRelease" else None
