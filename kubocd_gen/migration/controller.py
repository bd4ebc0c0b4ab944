"""Checks of KuboCD itself in the cluster: its controller, its webhook and its CRDs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import KUBOCD, Live, LiveObject
from kubocd_gen.migration.presence import is_applied

WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")

_CHARTS = ("kubocd-ctrl", "kubocd-wh")


def controllers(live: Live) -> list[LiveObject]:
    """Return the Deployments that run `kubocd controller`."""
    return [one for one in live.of_kind("Deployment") if "controller" in _commands(one)]


def is_running(one: LiveObject) -> bool:
    """Return whether the Deployment has replicas; the API server's default is one."""
    return bool(one.spec.get("replicas", 1) != 0)


def webhooks(live: Live) -> list[LiveObject]:
    """Return the webhook configurations that have rules for KuboCD's API group."""
    return [one for one in live.of_kind(*WEBHOOKS) if any(_is_for_kubocd(hook) for hook in one.webhooks)]


def crds(live: Live) -> list[str] | None:
    """Return the names of KuboCD's CRDs, or None if the dump contains no CRDs of any group."""
    known = live.of_kind("CustomResourceDefinition")
    return sorted(one.name for one in known if one.name.endswith(f".{KUBOCD}")) if known else None


def own_chart(document: Mapping[str, Any]) -> str | None:
    """Return the name of KuboCD's own chart that a compiled resource installs, or None."""
    if document["kind"] != "HelmRelease":
        return None
    chart: str = document["spec"]["chart"]["spec"]["chart"]
    return chart if chart in _CHARTS else None


def controller_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about a running controller, webhooks, and Releases that install KuboCD itself."""
    applied = any(is_applied(one) for one in situation.live.flux.values())
    running = [one for one in controllers(situation.live) if is_running(one)]
    for one in running:
        if applied:
            yield Finding(
                "error",
                "both-running",
                "Deployment",
                (one.key,),
                "runs KuboCD's controller while Flux applies the output: each reverts the other's changes, with Helm "
                "upgrades",
                "scale it to 0 with the command below",
            )
    for identity, document in situation.documents.items():
        if (chart := own_chart(document)) is not None:
            yield Finding(
                "warning",
                "kubocd-compiled",
                "HelmRelease",
                ("/".join(identity[1:]),),
                f"installs KuboCD itself (the chart '{chart}'), and Flux would keep it installed",
                "remove its Release from Git and from the cluster while the controller runs, or in step 7",
            )
    if situation.live.releases:
        for one in webhooks(situation.live):
            yield Finding(
                "note",
                "webhook",
                one.kind,
                (one.key,),
                "sends Releases to KuboCD's webhook: if the webhook is down, they can be neither changed nor deleted",
            )


def _commands(one: LiveObject) -> list[str]:
    """Return the subcommands of `kubocd` that the containers of a Deployment run."""
    pod: Any = one.spec.get("template")
    for step in ("spec", "containers"):
        pod = pod.get(step) if isinstance(pod, Mapping) else None
    found = []
    for container in pod if isinstance(pod, list) else ():
        if isinstance(container, Mapping):
            command, arguments = container.get("command"), container.get("args")
            words = [
                *(command if isinstance(command, list) else ()),
                *(arguments if isinstance(arguments, list) else ()),
            ]
            if len(words) > 1 and str(words[0]).rpartition("/")[2] == "kubocd":
                found.append(str(words[1]))
    return found


def _is_for_kubocd(hook: Mapping[str, Any]) -> bool:
    rules = hook.get("rules")
    groups = [rule.get("apiGroups") for rule in rules if isinstance(rule, Mapping)] if isinstance(rules, list) else []
    return any(KUBOCD in one for one in groups if isinstance(one, list))
