"""All of a cluster's KuboCD resources, admitted: what there is to compile, and what is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.model.releases import Config, Context, ContextRef, Release
from kubocd_gen.model.resources import KUBOCD_GROUP, Resource
from kubocd_gen.sources.admission import admit_config, admit_context, admit_release
from kubocd_gen.sources.documents import Sources
from kubocd_gen.sources.kubocd_chart import Installation, find_installations

KUBOCD_NAMESPACE = "kubocd"
_KINDS = ("Release", "Context", "Config")
_LATER_KINDS = ("Connection", "ClusterConnection", "Contract", "ClusterContract")

Record = TypeVar("Record", Release, Context, Config)


@dataclass(frozen=True, slots=True)
class ClusterResources:
    """A cluster's resources as records.

    `broken_configs` stop every Release, `broken_contexts` those that name one. `failed` are Releases that the
    cluster would refuse, as `namespace/name`: what was written for them stays.
    """

    kubocd_namespace: str
    releases: tuple[Release, ...]
    contexts: tuple[Context, ...]
    configs: tuple[Config, ...]
    broken_contexts: dict[ContextRef, ProblemsError]
    broken_configs: tuple[ProblemsError, ...]
    failed: tuple[str, ...]


def load_cluster_resources(
    sources: Sources, default_namespace: str, kubocd_namespace: str | None, findings: Problems
) -> ClusterResources:
    """The KuboCD resources among those of `sources`, and those that the `kubocd-ctrl` chart makes of its values.

    The KuboCD namespace is the one given, else that of an installation of the chart, else `kubocd`. Problems of a
    Release are reported; those of Contexts and Configs are kept for the Releases that they stop.
    """
    resources = sources.resources
    installations = find_installations(resources, findings)
    namespace = kubocd_namespace or _installed_namespace(installations, findings)
    # Where it is an error that there are several, that theirs are not all read needs no word.
    rivals = set() if kubocd_namespace else {installation.namespace for installation in installations}
    ours = [resource for resource in resources if resource.group == KUBOCD_GROUP]
    ours += [resource for installation in installations for resource in installation.resources]
    failed: list[str] = []

    def release_failed(resource: Resource, errors: ProblemsError) -> None:
        key = f"{resource.namespace or default_namespace}/{resource.name}"
        failed.append(key)
        findings.error(errors, release=key if resource.name else None)

    for resource in ours:
        if resource.kind not in _KINDS:
            problem, slip = _unknown_kind(resource)
            if slip:
                release_failed(resource, ProblemsError(problem))
            else:
                findings.warning(problem)
        elif resource.kind == "Config" and resource.namespace not in {"", namespace, *rivals}:
            findings.warning(_ignored_config(resource, namespace))

    def of_kind(kind: str) -> list[Resource]:
        return [resource for resource in ours if resource.kind == kind]

    broken_contexts: dict[ContextRef, ProblemsError] = {}
    contexts = _admit(
        of_kind("Context"),
        lambda resource: admit_context(resource, default_namespace),
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
        admit_config,
        lambda _resource, errors: broken_configs.append(errors),
        namespace,
    )
    releases = _admit(
        of_kind("Release"),
        lambda resource: admit_release(resource, default_namespace),
        release_failed,
        default_namespace,
    )
    return ClusterResources(
        kubocd_namespace=namespace,
        releases=tuple(sorted(releases, key=lambda release: (release.namespace, release.name))),
        contexts=tuple(contexts),
        configs=tuple(configs),
        broken_contexts=broken_contexts,
        broken_configs=tuple(broken_configs),
        failed=tuple(failed),
    )


def _admit(
    resources: Iterable[Resource],
    admit: Callable[[Resource], Record],
    failed: Callable[[Resource, ProblemsError], object],
    default_namespace: str,
) -> list[Record]:
    """The records of `resources`; those that are refused, or share their identity with another, go to `failed`."""
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
        f"the {first.kind} {quoted(first.name)} is defined twice, here and in {first.position('metadata', 'name')}",
        position=second.position("metadata", "name"),
        hint="rename or remove one of them, or give it another namespace",
    )


def _installed_namespace(installations: Sequence[Installation], findings: Problems) -> str:
    """The namespace in which the checkout installs KuboCD, `kubocd` where it does not say."""
    said: dict[str, Installation] = {}
    for installation in installations:
        if installation.namespace:
            said.setdefault(installation.namespace, installation)
    if len(said) > 1:
        first, second, *_ = said.values()
        findings.error(
            Problem(
                "ambiguous-installation",
                f"KuboCD is installed twice, here in namespace '{second.namespace}' and in '{first.namespace}' by "
                f"{first.release.position('metadata', 'name')}",
                position=second.release.position("metadata", "name"),
                hint="say which one counts with 'kubocdNamespace' (--kubocd-namespace), or take the other out",
            )
        )
    return next(iter(said), KUBOCD_NAMESPACE)


def _ignored_config(resource: Resource, namespace: str) -> Problem:
    here = quoted(resource.namespace)
    return Problem(
        "ignored-config",
        f"the Config {quoted(resource.name)} lies in {here}, but KuboCD reads those in '{namespace}'",
        position=resource.position("metadata", "namespace"),
        hint=f"move it to '{namespace}', or set 'kubocdNamespace'",
    )


def _unknown_kind(resource: Resource) -> tuple[Problem, bool]:
    """The problem of an unknown kind, and whether it looks like a slip of the pen, which must not pass in silence."""
    position = resource.position("kind")
    if not resource.kind:
        return Problem("missing-field", "kind is required", position=position), True
    hint = nearest("did you mean '{}'?", resource.kind.capitalize(), _KINDS)
    if hint and resource.kind not in _LATER_KINDS:
        return Problem("unknown-kind", f"there is no kind {quoted(resource.kind)}", position=position, hint=hint), True
    message = f"the kind {quoted(resource.kind)} is not one of KuboCD v0.3, and is passed over"
    hint = "those are Release, Context and Config"
    return Problem("unknown-kind", message, position=position, hint=hint), False
