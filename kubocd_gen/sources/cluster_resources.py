"""Load the KuboCD resources of a cluster: the valid ones, and the problems of the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.model.resources import KUBOCD_KINDS, Config, Context, ContextRef, Release, Resource
from kubocd_gen.sources.documents import Sources
from kubocd_gen.sources.known_admission import Admission
from kubocd_gen.sources.kubocd_chart import Installation, find_installations
from kubocd_gen.sources.namespace_objects import chart_namespaces, is_namespace

KUBOCD_NAMESPACE = "kubocd"
LATER_KINDS = ("Connection", "ClusterConnection", "Contract", "ClusterContract")

Record = TypeVar("Record", Release, Context, Config)


@dataclass(frozen=True, slots=True)
class ClusterResources:
    """The resources of a cluster as records.

    `broken_configs` fail every Release, `broken_contexts` the Releases that refer to them. `failed` are Releases that
    the cluster would refuse, as `namespace/name`; their existing output is kept. `created_namespaces` are those that
    the Namespaces in the sources and the `kubocd-ctrl` chart create, each with the file that says so. `pending` are the
    Releases as written, which are not admitted yet.
    """

    kubocd_namespace: str
    releases: tuple[Release, ...]
    contexts: tuple[Context, ...]
    configs: tuple[Config, ...]
    broken_contexts: dict[ContextRef, ProblemsError]
    broken_configs: tuple[ProblemsError, ...]
    failed: tuple[str, ...]
    created_namespaces: Mapping[str, str] = field(default_factory=dict)
    pending: tuple[Resource, ...] = ()


def load_cluster_resources(
    sources: Sources, default_namespace: str, kubocd_namespace: str | None, problems: Problems
) -> ClusterResources:
    """Return the KuboCD resources of `sources`, as `load_definitions` and `admit_releases` do."""
    resources = load_definitions(sources, default_namespace, kubocd_namespace, problems)
    return admit_releases(resources, default_namespace, problems)


def load_definitions(
    sources: Sources,
    default_namespace: str,
    kubocd_namespace: str | None,
    problems: Problems,
    admission: Admission | None = None,
) -> ClusterResources:
    """Return the KuboCD resources of `sources`, and those that the `kubocd-ctrl` chart creates from its values.

    Releases are not admitted yet: they are `pending`.

    The KuboCD namespace is `kubocd_namespace` if given, otherwise that of an installation of the chart, otherwise
    `kubocd`. Problems of Releases are added to `problems`; those of Contexts and Configs are returned, to be reported
    for the Releases that they fail.
    """
    resources, admission = sources.resources, admission or Admission()
    installations = find_installations(resources, problems)
    namespace = kubocd_namespace or _installed_namespace(installations, problems)
    # Several installations are an error already, so do not also warn about Configs in the other namespaces.
    installed = set() if kubocd_namespace else {installation.namespace for installation in installations}
    ours = [resource for resource in resources if resource.is_kubocd]
    ours += [resource for installation in installations for resource in installation.resources]
    failed: list[str] = []

    def release_failed(resource: Resource, errors: ProblemsError) -> None:
        key = f"{resource.namespace or default_namespace}/{resource.name}"
        failed.append(key)
        problems.error(errors, release=key if resource.name else None)

    for resource in ours:
        if resource.kind not in KUBOCD_KINDS:
            problem = _unknown_kind(resource)
            if problem.severity == "error":
                release_failed(resource, ProblemsError(problem))
            else:
                problems.warning(problem)
        elif resource.kind == "Config" and resource.namespace not in {"", namespace, *installed}:
            problems.warning(_ignored_config(resource, namespace))

    def of_kind(kind: str) -> list[Resource]:
        return [resource for resource in ours if resource.kind == kind]

    broken_contexts: dict[ContextRef, ProblemsError] = {}
    contexts = _admit(
        of_kind("Context"),
        lambda resource: admission.context(resource, default_namespace),
        lambda resource, errors: broken_contexts.setdefault(
            ContextRef(resource.namespace or default_namespace, resource.name), errors
        ),
        default_namespace,
    )
    broken_configs = list(sources.broken_configs)
    broken_configs += [
        installation.broken_config
        for installation in installations
        if installation.broken_config and (installation.namespace or namespace) == namespace
    ]
    configs = _admit(
        [resource for resource in of_kind("Config") if (resource.namespace or namespace) == namespace],
        admission.config,
        lambda _resource, errors: broken_configs.append(errors),
        namespace,
    )
    return ClusterResources(
        kubocd_namespace=namespace,
        releases=(),
        contexts=tuple(contexts),
        configs=tuple(configs),
        broken_contexts=broken_contexts,
        broken_configs=tuple(broken_configs),
        failed=tuple(failed),
        created_namespaces=_created_namespaces(resources, installations),
        pending=tuple(of_kind("Release")),
    )


def admit_releases(
    resources: ClusterResources, default_namespace: str, problems: Problems, skip: Collection[str] = ()
) -> ClusterResources:
    """Return `resources` with the pending Releases admitted, except those with a key in `skip`."""
    failed = [*resources.failed]

    def release_failed(resource: Resource, errors: ProblemsError) -> None:
        key = f"{resource.namespace or default_namespace}/{resource.name}"
        failed.append(key)
        problems.error(errors, release=key if resource.name else None)

    def admit(resource: Resource) -> Release:
        from kubocd_gen.sources.admission import admit_release  # most runs know all Releases

        return admit_release(resource, default_namespace)

    wanted = (one for one in resources.pending if f"{one.namespace or default_namespace}/{one.name}" not in skip)
    releases = _admit(wanted, admit, release_failed, default_namespace)
    return replace(
        resources,
        releases=tuple(sorted(releases, key=lambda release: (release.namespace, release.name))),
        failed=tuple(failed),
        pending=(),
    )


def _created_namespaces(resources: Sequence[Resource], installations: Sequence[Installation]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in resources:
        if is_namespace(one):
            found.setdefault(one.name, one.file.path)
    for installation in installations:
        for name in chart_namespaces(installation.release, installation.namespace):
            found.setdefault(name, installation.release.file.path)
    return found


def _admit(
    resources: Iterable[Resource],
    admit: Callable[[Resource], Record],
    failed: Callable[[Resource, ProblemsError], object],
    default_namespace: str,
) -> list[Record]:
    """Return the records of `resources`; call `failed` for those that are refused or have a duplicate name."""
    by_identity: dict[tuple[str, str], list[Resource]] = {}
    for resource in resources:
        by_identity.setdefault((resource.namespace or default_namespace, resource.name), []).append(resource)
    records: list[Record] = []
    for several in by_identity.values():
        first = several[0]
        if len(several) > 1 and first.name:
            failed(first, ProblemsError(*[_duplicate(first, other) for other in several[1:]]))
            continue
        for resource in several:
            try:
                records.append(admit(resource))
            except ProblemsError as errors:
                failed(resource, errors)
    return records


def _duplicate(first: Resource, second: Resource) -> Problem:
    return Problem(
        "duplicate-resource",
        f"{first.kind} {quoted(first.name)} is already defined in {first.position('metadata', 'name')}",
        position=second.position("metadata", "name"),
        hint="rename or remove one of them, or move it to another namespace",
    )


def _installed_namespace(installations: Sequence[Installation], problems: Problems) -> str:
    """Return the namespace in which the checkout installs KuboCD, or `kubocd` if there is none."""
    named: dict[str, Installation] = {}
    for installation in installations:
        if installation.namespace:
            named.setdefault(installation.namespace, installation)
    if len(named) > 1:
        first, second, *_ = named.values()
        problems.error(
            Problem(
                "ambiguous-installation",
                f"KuboCD is installed in two namespaces: '{second.namespace}' (here) and '{first.namespace}' "
                f"({first.release.position('metadata', 'name')})",
                position=second.release.position("metadata", "name"),
                hint="choose one with 'kubocdNamespace' (--kubocd-namespace), or remove the other",
            )
        )
    return next(iter(named), KUBOCD_NAMESPACE)


def _ignored_config(resource: Resource, namespace: str) -> Problem:
    actual = quoted(resource.namespace)
    return Problem(
        "ignored-config",
        f"Config {quoted(resource.name)} is in namespace {actual}, but KuboCD reads only Configs in '{namespace}'",
        position=resource.position("metadata", "namespace"),
        hint=f"move it to '{namespace}', or set 'kubocdNamespace'",
    )


def _unknown_kind(resource: Resource) -> Problem:
    """Return the problem of an unknown kind: an error if the kind seems to be misspelled, otherwise a warning."""
    position = resource.position("kind")
    if not resource.kind:
        return Problem("missing-field", "kind is required", position, "use Release, Context or Config")
    hint = nearest("did you mean '{}'?", resource.kind.capitalize(), KUBOCD_KINDS)
    if hint and resource.kind not in LATER_KINDS:
        return Problem("unknown-kind", f"unknown kind {quoted(resource.kind)}", position, hint)
    message = f"ignoring the kind {quoted(resource.kind)}, which KuboCD v0.3 does not have"
    return Problem("unknown-kind", message, position, "use Release, Context or Config", severity="warning")
