"""KuboCD itself in the cluster: its controller, its webhook, its CRDs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import KUBOCD, Live, LiveObject
from kubocd_gen.migration.presence import is_ours

WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")

_CHARTS = ("kubocd-ctrl", "kubocd-wh")


def controllers(live: Live) -> list[LiveObject]:
    """Deployments that run `kubocd controller`."""
    return [one for one in live.of_kind("Deployment") if "controller" in _commands(one)]


def is_running(one: LiveObject) -> bool:
    """One replica is the API server's default."""
    return bool(one.spec.get("replicas", 1) != 0)


def webhooks(live: Live) -> list[LiveObject]:
    """Configurations that send KuboCD's kinds somewhere."""
    return [one for one in live.of_kind(*WEBHOOKS) if any(_is_kubocds(hook) for hook in one.webhooks)]


def crds(live: Live) -> list[str] | None:
    """KuboCD's CRDs; None where it is not known, because the dump has no CRD at all."""
    known = live.of_kind("CustomResourceDefinition")
    return sorted(one.name for one in known if one.name.endswith(f".{KUBOCD}")) if known else None


def own_chart(document: Mapping[str, Any]) -> str | None:
    """Which of KuboCD's own charts a compiled resource installs."""
    if document["kind"] != "HelmRelease":
        return None
    chart: str = document["spec"]["chart"]["spec"]["chart"]
    return chart if chart in _CHARTS else None


def controller_findings(it: Situation) -> Iterator[Finding]:
    applied = any(is_ours(one) for one in it.live.flux.values())
    running = [one for one in controllers(it.live) if is_running(one)]
    for one in running:
        if applied:
            yield Finding(
                "error",
                "both-running",
                "Deployment",
                (one.key,),
                "runs KuboCD's controller while Flux applies what is in Git: each undoes the other, by Helm upgrades",
                "scale it to 0; the command is below",
            )
    for identity, document in it.documents.items():
        if (chart := own_chart(document)) is not None:
            yield Finding(
                "warning",
                "kubocd-compiled",
                "HelmRelease",
                ("/".join(identity[1:]),),
                f"installs KuboCD itself (the chart {chart}), and Flux would hold on to it",
                "remove its Release, from the cluster too, while the controller runs; later, not before step 7",
            )
    if it.live.releases:
        for one in webhooks(it.live):
            yield Finding(
                "note",
                "webhook",
                one.kind,
                (one.key,),
                "sends Releases to KuboCD's webhook: without that one, they can neither be changed nor deleted",
            )


def _commands(one: LiveObject) -> list[str]:
    """The subcommands of `kubocd` that its containers run."""
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


def _is_kubocds(hook: Mapping[str, Any]) -> bool:
    rules = hook.get("rules")
    groups = [rule.get("apiGroups") for rule in rules if isinstance(rule, Mapping)] if isinstance(rules, list) else []
    return any(KUBOCD in one for one in groups if isinstance(one, list))
