"""Read how the charts of each cluster are delivered, and refuse settings that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.model.delivery import SERVER, ChartRepository, Delivery, parse_source
from kubocd_gen.model.project import Cluster, Flags, Project
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.schema.flux_versions import is_older

CHART_REPOSITORY = "oci://registry.example.com/platform/charts"  # an example, for messages
SCHEME = "oci://"
GIT_KINDS = ("GitRepository", "Bucket")
"""The source kinds from which a HelmRelease can take a chart as a file."""


def delivery_of(
    project: Mapping[str, Any],
    cluster: Mapping[str, Any],
    index: int,
    locate: Callable[[tuple[str | int, ...]], Position],
) -> Delivery:
    """Return the delivery of a cluster of the project file. Raises ProblemsError `invalid-value`."""

    def given(field: str) -> tuple[Any, Position | None]:
        if field in cluster:
            return cluster[field], locate(("clusters", index, field))
        return project.get(field), locate((field,)) if field in project else None

    mode, _ = given("delivery")
    word, position = given("fluxSource")
    source = SERVER.source
    if word is not None:
        found = parse_source(word)
        if found is None:
            hint = "write KIND/NAMESPACE/NAME, such as GitRepository/flux-system/flux-system"
            raise ProblemsError.of("invalid-value", "fluxSource is not a source object of Flux", position, hint)
        source = found
    value, position = given("chartRepository")
    repository = None
    if value is not None:
        fields = {key: item for key, item in value.items() if key != "url"}
        repository = ChartRepository(registry_path(value["url"], position), fields)
    return Delivery(mode or SERVER.mode, source, repository)


def with_delivery_flags(delivery: Delivery, flags: Flags) -> Delivery:
    """Return the delivery with the overrides of the flags."""
    if flags.chart_repository is not None:
        fields = delivery.repository.fields if delivery.repository else {}
        delivery = replace(delivery, repository=ChartRepository(flags.chart_repository, fields))
    return replace(delivery, mode=flags.delivery or delivery.mode, source=flags.flux_source or delivery.source)


def contradiction(delivery: Delivery) -> Problem | None:
    """Return what a delivery lacks or can't use, if anything."""
    start = f"'delivery: {delivery.mode}'"
    if delivery.mode == "oci" and delivery.repository is None:
        hint = f"add 'chartRepository: {{url: {CHART_REPOSITORY}}}', or --chart-repository {CHART_REPOSITORY}"
        return Problem("missing-field", f"{start} needs the registry of the charts", hint=hint)
    if delivery.mode == "git" and delivery.source.kind not in GIT_KINDS:
        message = f"{start} needs a GitRepository or Bucket; Flux can't take a chart from {delivery.source}"
        return Problem("invalid-value", message, hint="set fluxSource to a GitRepository, or use 'delivery: oci'")
    return None


def refuse_contradictions(project: Project) -> None:
    """Raise ProblemsError for a cluster whose delivery can't work with the other settings."""
    errors = []
    for cluster in project.clusters:
        delivery, place = cluster.delivery, cluster.delivery_place
        position = place() if place is not None else None
        start = f"cluster '{cluster.name}': "
        if problem := contradiction(delivery):
            errors.append(replace(problem, message=f"{start}{problem.message}", position=position))
        start += f"'delivery: {delivery.mode}'"
        if delivery.mode == "git" and project.charts == "separate":
            message = f"{start} needs the charts in Git, and 'charts: separate' keeps them out"
            errors.append(Problem("invalid-value", message, position, "remove 'charts: separate'"))
        if delivery.mode == "artifact" and project.emit_oci_repository is False:
            message = f"{start} needs the OCIRepositories, and 'emitOCIRepository: false' leaves them out"
            errors.append(Problem("invalid-value", message, position, "remove 'emitOCIRepository: false'"))
        if delivery.mode == "artifact" and is_older(cluster.flux_version, delivery.oldest_flux):
            message = f"{start} needs Flux {delivery.oldest_flux}, but the project is for Flux {cluster.flux_version}"
            hint = f"set 'flux: \"{delivery.oldest_flux}\"' if the cluster has that version, or use another delivery"
            errors.append(Problem("flux-version", message, position, hint))
    if errors:
        raise ProblemsError(*errors)


def no_server(cluster: Cluster) -> Problem:
    """Return the error of a command for the chart server of a cluster that has none."""
    position = cluster.delivery_place() if cluster.delivery_place else None
    message = (
        f"cluster '{cluster.name}' has no chart server: its charts reach Flux by 'delivery: {cluster.delivery.mode}'"
    )
    return Problem(
        "no-chart-server", message, position, "choose a cluster with 'delivery: server', or change its delivery"
    )


def registry_path(url: str, position: Position | None) -> str:
    """Return `url` without its scheme. Raises ProblemsError `invalid-value`, without quoting the value."""
    path = url.removeprefix(SCHEME).rstrip("/")
    try:
        if not url.startswith(SCHEME):
            raise ProblemsError.of("bad-reference", "no scheme")
        parse_reference(f"{path}/chart:1.0.0")
    except ProblemsError:
        message = f"the chart repository is not a registry and a path, such as {CHART_REPOSITORY}"
        raise ProblemsError.of("invalid-value", message, position, "write it in lower case, without a tag") from None
    return path
