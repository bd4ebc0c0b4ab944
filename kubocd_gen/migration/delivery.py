"""How charts reach the cluster, as far as the steps of a migration depend on it.

This module has the only assumptions about the chart server: a migration is to `delivery: server`, whose objects are
those that KuboCD's controller created. To support another mode, return another `DeliverySteps` for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubocd_gen.migration.charts import chart_service
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.flux import waited_for
from kubocd_gen.migration.live import LiveObject
from kubocd_gen.package_data import page


@dataclass(frozen=True, slots=True)
class DeliverySteps:
    """The parts of the steps that depend on how charts reach the cluster.

    `publish` is the beginning of the title of step 2. `kustomizations` apply what Helm can change or delete together
    with KuboCD's chart; they are reconciled after each change of that chart.
    """

    publish: str
    kustomizations: Sequence[tuple[str, str]] = ()


def delivery(situation: Situation, ours: Sequence[LiveObject]) -> DeliverySteps:
    """Return the delivery of the compiled cluster; `ours` are the compiled resources in the cluster."""
    servers = {key for one in ours for key in waited_for(situation.live, one.kustomization)}
    service = chart_service(situation)
    if service is not None and service.kustomization:
        servers.add(service.kustomization)
    title = (
        "serve the charts, commit the output and the files of kcd-gen init server (including its Kustomizations and "
        ".sourceignore), and wait until Flux has applied the commit"
    )
    return DeliverySteps(title, sorted(servers))


def delivery_findings(situation: Situation) -> Iterator[Finding]:
    """Yield a finding if the cluster does not get its charts from a server."""
    mode = situation.compilation.cluster.delivery.mode
    if mode != "server":
        message = f"is compared with `delivery: server`, but the project has `delivery: {mode}`"
        hint = f"migrate with `delivery: server`, and change the delivery after that; see {page('delivery')}"
        yield Finding("error", "other-delivery", "dump", (), message, hint)
