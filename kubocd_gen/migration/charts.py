"""Find the Helm releases of KuboCD's own charts in a dump, and the objects of theirs that something else needs.

Helm marks the objects of a release with the annotations `meta.helm.sh/release-name` and `release-namespace`. `helm
uninstall` deletes every object in the release's manifest, unless the manifest has `helm.sh/resource-policy: keep`; the
annotation of the object in the cluster is only read when an upgrade removes the object from the manifest (Helm,
`pkg/action/resource_policy.go` and `pkg/kube/client.go`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kubocd_gen.migration.findings import Situation
from kubocd_gen.migration.kubocd import CHARTS, CONTROLLER_CHART, controllers, own_chart_release, webhooks
from kubocd_gen.migration.live import KUBOCD, RBAC_KINDS, Live, LiveObject, items, mapping, maps, valid_name

REQUIRED = ("Namespace", "CustomResourceDefinition", "Deployment", "Kustomization")
"""The kinds without which it is unknown what uninstalling a chart would delete, or who applies its HelmRelease.

Every cluster with Flux has objects of these kinds, so a dump without one of them is incomplete.
"""
WANTED = ("Service", "ServiceAccount", *RBAC_KINDS)
"""The kinds without which it is unknown whether something else uses an object of the chart."""
_LABEL = re.compile(rf"({'|'.join(CHARTS)})-v?[0-9].*")  # of `helm.sh/chart`


@dataclass(frozen=True, slots=True)
class Chart:
    """A Helm release of one of KuboCD's charts.

    `namespace` is that of its objects. `helm_release` is the HelmRelease that installs it, or None. `declared_by` is
    the namespace and name of a HelmRelease that the objects name, even if the dump does not contain it.
    """

    chart: str
    name: str
    namespace: str
    helm_release: LiveObject | None
    declared_by: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def storage(self) -> str:
        """The namespace in which Helm stores the release; only a HelmRelease can set another one than `namespace`."""
        one = self.helm_release
        if one is None:
            return self.namespace
        stored = (valid_name(each.get("storageNamespace")) for each in (one.status, one.spec))
        return next(filter(None, stored), one.namespace)

    @property
    def is_emptied(self) -> bool:
        """Whether the values of the HelmRelease make no Namespace, Config or Context, and run no controller."""
        if self.helm_release is None or self.chart != CONTROLLER_CHART:
            return self.helm_release is not None
        values = mapping(self.helm_release.spec.get("values"))
        explicit = bool(self.helm_release.spec.get("valuesFrom"))  # which can contain the lists if `values` does not
        lists = (values.get(name, [] if not explicit else None) for name in ("extraNamespaces", "contexts"))
        return (
            all(one == [] or (one is None and not explicit) for one in lists)
            and mapping(values.get("config")).get("enabled") is False
            and mapping(values.get("controller")).get("replicaCount") == 0
        )

    @property
    def is_uninstalled_on_failure(self) -> bool:
        """Whether Flux uninstalls the chart if an upgrade fails, and Helm then deletes also the kept Namespaces."""
        spec = self.helm_release.spec if self.helm_release else {}
        return mapping(mapping(spec.get("upgrade")).get("remediation")).get("strategy") == "uninstall"

    @property
    def is_settled(self) -> bool:
        """Whether Flux has upgraded the Helm release to the values that the HelmRelease has in the dump."""
        one = self.helm_release
        if one is None or one.spec.get("suspend") is True or one.deleting:
            return False
        ready = [item for item in maps(one.status.get("conditions")) if item.get("type") == "Ready"]
        seen = one.status.get("observedGeneration")
        return all(item.get("status") == "True" for item in ready) and (not one.generation or seen == one.generation)


def find_charts(live: Live) -> list[Chart]:
    """Return the Helm releases of KuboCD's charts: those of HelmReleases, and those that their objects name.

    A Namespace is not evidence of a release: Helm leaves its annotations on an object that it keeps.
    """
    found: dict[tuple[str, str], Chart] = {}
    for one in live.flux.values():
        if chart := own_chart_release(one, live):
            name, namespace = _installed(one)
            found[namespace, name] = Chart(chart, name, namespace, one)
    for one, chart in _evidence(live):
        key = one.helm_release
        if key is None or one.is_kept_by_helm:
            continue
        space, name = (valid_name(one.labels.get(f"helm.toolkit.fluxcd.io/{field}")) for field in ("namespace", "name"))
        declared = (space, name) if space and name else None
        # A HelmRelease whose status and source don't show the chart.
        known = live.flux.get(("HelmRelease", *declared)) if declared else None
        found.setdefault(key, Chart(chart, key[1], key[0], known, declared))
    return [found[key] for key in sorted(found, key=lambda key: (found[key].chart != "kubocd-wh", key))]


def owned(live: Live, chart: Chart) -> list[LiveObject]:
    """Return the objects in the dump that belong to the Helm release."""
    return [one for one in (*live.others, *live.flux.values()) if one.helm_release == chart.key]


def unkept_namespaces(live: Live, chart: Chart) -> list[LiveObject]:
    """Return the Namespaces of the Helm release that an upgrade would delete."""
    return [one for one in owned(live, chart) if one.kind == "Namespace" and not one.is_kept_by_helm]


def has_own_crds(live: Live, chart: Chart) -> bool:
    """Return whether KuboCD's CRDs are objects of the Helm release, which deletes them when it is uninstalled."""
    return any(one.kind == "CustomResourceDefinition" and _is_kubocds(one) for one in owned(live, chart))


def needed(live: Live, chart: Chart) -> Iterator[tuple[LiveObject, str]]:
    """Yield the objects of the Helm release that something else uses, each with a description of the use.

    Helm would delete them, and no value of the chart prevents it. Namespaces and the Service of the chart server are
    not among them: there are steps for those.
    """
    ours = owned(live, chart)
    known = {one.identity for one in ours}
    bindings = [one for one in live.of_kind("ClusterRoleBinding", "RoleBinding") if one.identity not in known]
    for one in ours:
        uses: list[str] = []
        if one.kind == "CustomResourceDefinition" and not _is_kubocds(one):
            uses = ["all objects of this kind"]
        elif one.kind in ("ClusterRole", "Role"):
            uses = [_named(other) for other in bindings if _grants(other, one)]
        elif one.kind == "ServiceAccount":
            subject = ("ServiceAccount", one.namespace, one.name)
            uses = [_named(other) for other in bindings if subject in other.subjects]
            uses += [_named(other) for other in _running_as(live, one) if other.identity not in known]
        elif one.kind in ("ClusterRoleBinding", "RoleBinding"):
            unknown = () if "ServiceAccount" in live.kinds else ("ServiceAccount",)
            uses = [f"{kind} {name}" for kind, namespace, name in one.subjects
                    if (kind, namespace, name) not in known and kind not in unknown]  # fmt: skip
        for use in dict.fromkeys(uses):
            yield one, use


def chart_service(situation: Situation) -> LiveObject | None:
    """Return the Service in the cluster that the URLs of the compiled HelmRepositories name, or None."""
    parts = urlsplit(situation.compilation.cluster.repository_url).netloc.partition(":")[0].split(".")
    if len(parts) < 3 or parts[2] != "svc":
        return None
    services = situation.live.of_kind("Service")
    return next((one for one in services if [one.name, one.namespace] == parts[:2]), None)


def is_taken_back(situation: Situation) -> bool:
    """Return whether Flux applied the Service of the chart server, and Helm then made it select KuboCD's controller.

    An upgrade of the chart `kubocd-ctrl` does this, and the next reconciliation of the Kustomization reverts it.
    """
    service = chart_service(situation)
    if service is None or service.kustomization is None:
        return False
    selector = mapping(service.spec.get("selector")).items()
    pods = (mapping(mapping(mapping(one.spec.get("template")).get("metadata")).get("labels")).items()
            for one in controllers(situation.live))  # fmt: skip
    return bool(selector) and any(selector <= labels for labels in pods)


def _installed(one: LiveObject) -> tuple[str, str]:
    """Return the name and the namespace of the Helm release that a HelmRelease installs."""
    latest = mapping(next(iter(items(one.status.get("history"))), None))
    target = valid_name(one.spec.get("targetNamespace"))
    default = f"{target}-{one.name}" if target else one.name
    name = valid_name(latest.get("name")) or valid_name(one.spec.get("releaseName")) or default
    return name, valid_name(latest.get("namespace")) or target or one.namespace


def _evidence(live: Live) -> Iterator[tuple[LiveObject, str]]:
    """Yield objects that only KuboCD's charts create, each with the chart."""
    for one in controllers(live):
        yield one, CONTROLLER_CHART
    for one in webhooks(live):
        yield one, "kubocd-wh"
    for one in live.others:
        if one.kind in ("Config", "Context"):
            yield one, CONTROLLER_CHART
        elif match := _LABEL.fullmatch(str(one.labels.get("helm.sh/chart"))):
            yield one, match[1]


def _is_kubocds(one: LiveObject) -> bool:
    return one.name.endswith(f".{KUBOCD}")


def _named(one: LiveObject) -> str:
    return f"{one.kind} {one.key}"


def _grants(binding: LiveObject, role: LiveObject) -> bool:
    if binding.role != (role.kind, role.name):
        return False
    return role.kind == "ClusterRole" or binding.namespace == role.namespace


def _running_as(live: Live, account: LiveObject) -> Iterator[LiveObject]:
    """Yield the Deployments, Kustomizations and HelmReleases that use the ServiceAccount."""
    for one in (*live.of_kind("Deployment", "Kustomization"), *live.flux.values()):
        if one.namespace != account.namespace:
            continue
        spec: Mapping[str, Any] = one.spec
        if one.kind == "Deployment":
            spec = mapping(mapping(spec.get("template")).get("spec"))
        if spec.get("serviceAccountName") == account.name:
            yield one
