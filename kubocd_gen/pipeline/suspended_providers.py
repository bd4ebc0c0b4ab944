"""Roles that a suspended Release still provides, because its HelmReleases of an earlier build stay in the cluster.

In KuboCD, a suspended Release is not READY: a Release that needs its role is not changed until it is resumed, and keeps
running. A build has no such delay, so the Release depends on the HelmReleases that are kept in the output.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from kubocd_gen.compiler.ordering import Order
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.model.compilation import CompiledRelease

if TYPE_CHECKING:
    from kubocd_gen.pipeline.suspended import Written

WrittenOutput: TypeAlias = "Callable[[], Written | None]"
"""Returns the output from which HelmReleases are kept; None if it is not known."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The roles that a suspended Release still provides, its HelmReleases, and the Releases that these wait for.

    `names` have `name` and `namespace`; they are empty if the output is not known.
    """

    roles: tuple[str, ...]
    names: tuple[Mapping[str, str], ...]
    waits: tuple[str, ...] = ()


def still_provided(
    compiled: Sequence[CompiledRelease], cluster_roles: Collection[str], written: WrittenOutput
) -> dict[str, Kept]:
    """Return what suspended Releases still provide, by their key: roles that are needed and not provided otherwise.

    A Release that was never written provides nothing. Neither does one with a HelmRelease that Flux has suspended,
    because Flux does not report it as ready once it has changed.
    """
    needed = {role for one in compiled if not one.summary.suspended for role in one.summary.dependencies}
    needed -= {role for one in compiled if one.summary.deploys for role in one.summary.roles}
    needed -= {*cluster_roles}
    providers = [one for one in compiled if one.summary.suspended and needed.intersection(one.summary.roles)]
    if not providers:
        return {}
    from kubocd_gen.pipeline.suspended import Suspended

    output = written()
    owners = {
        (namespace, name): one.key
        for one in compiled
        for kind, namespace, name in one.summary.resources
        if kind == "HelmRelease"
    }
    found: dict[str, Kept] = {}
    documents: dict[str, Sequence[Mapping[str, Any]]] = {}
    for one in providers:
        roles = tuple(role for role in one.summary.roles if role in needed)
        if output is None:
            found[one.key] = Kept(roles, ())
            continue
        try:
            documents_of = output.documents(Suspended.of(one)) or ()
        except ProblemsError:  # the build reports it when it verifies the file
            continue
        helm_releases = [document for document in documents_of if document["kind"] == "HelmRelease"]
        if helm_releases and not any(document["spec"].get("suspend") for document in helm_releases):
            documents[one.key] = helm_releases
            owners |= {_name(document): one.key for document in helm_releases}
            names = ({field: one["metadata"][field] for field in ("name", "namespace")} for one in helm_releases)
            found[one.key] = Kept(roles, tuple(names))
    for key, kept in documents.items():
        awaited = {
            owners.get((item.get("namespace") or document["metadata"]["namespace"], item.get("name")), key)
            for document in kept
            for item in document["spec"].get("dependsOn") or ()
        }
        found[key] = Kept(found[key].roles, found[key].names, tuple(sorted(awaited - {key})))
    return found


def notes_of(
    kept: Mapping[str, Kept], compiled: Sequence[CompiledRelease], order: Order
) -> Iterator[tuple[str, Problem]]:
    """Yield a note for each suspended Release that others depend on, with its key."""
    releases = {one.key: one for one in compiled}
    for key in kept:
        users = sorted(
            user for user, found in order.providers.items() if key in found and not releases[user].summary.suspended
        )
        if users:
            message = (
                f"{key} is suspended, but {', '.join(users)} can depend on its roles: "
                "its HelmReleases stay in the output as they are"
            )
            hint = "resume it when you can: in KuboCD, a Release that needs them is not changed until then"
            yield key, Problem("suspended-provider", message, releases[key].release.position("spec", "suspended"), hint)


def _name(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["metadata"]["namespace"], document["metadata"]["name"]
