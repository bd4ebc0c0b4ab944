"""Checks of objects that exist only in the cluster or only in Git, and of who applies those that exist in both."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.compiler.flux_objects import MANAGED_BY
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject

_KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
_PRUNE = f"{_KUSTOMIZE}/prune"
CONTROLLER = "kubocd"
"""The field manager of KuboCD's controller, which is the name of its binary."""


def is_applied(one: LiveObject) -> bool:
    """Return whether Flux has applied a resource that kcd-gen compiled to the object."""
    label, value = MANAGED_BY
    return one.kustomization is not None and one.labels.get(label) == value


def is_created_by_kubocd(one: LiveObject) -> bool:
    """Return whether KuboCD's controller created the object or wrote to it."""
    managers = [manager.name for manager in one.managers or ()]
    return one.release_owner is not None or CONTROLLER in managers


def is_leftover(situation: Situation, one: LiveObject) -> bool:
    """Return whether the object is a source of KuboCD that no Release owns and that is not in Git."""
    is_source = one.kind in ("OCIRepository", "HelmRepository") and one.name.startswith("kcd-")
    return (
        is_source
        and one.identity not in situation.documents
        and one.release_owner is None
        and is_created_by_kubocd(one)
    )


def presence_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about missing, left-over and foreign objects."""
    for identity in situation.documents:
        kind, namespace, name = identity
        if identity not in situation.live.flux:
            is_chart = kind == "HelmRelease"
            yield Finding(
                "warning" if is_chart else "note",
                "not-live",
                kind,
                (f"{namespace}/{name}",),
                "is in Git but not in the cluster; Flux will install the chart"
                if is_chart
                else "is in Git but not in the cluster; Flux will create it",
                "check that the dump contains all namespaces (-A)" if is_chart else None,
            )
    for identity, one in situation.live.flux.items():
        if by := situation.live.left_by.get(identity):
            yield Finding(
                "note",
                "left-by-flux",
                one.kind,
                (one.key,),
                f"has labels of the Kustomization {quoted('/'.join(by))}, which does not exist: Flux no longer applies "
                "the object",
            )
        if one.deleting:
            yield Finding("error", "object-deleting", one.kind, (one.key,), "is being deleted")
        if identity in situation.documents:
            yield from _on_both_sides(one)
            if _is_kept(one) and (source := _repository(situation, one)) and not _is_kept(source):
                yield Finding(
                    "warning",
                    "half-kept",
                    one.kind,
                    (one.key,),
                    f"has {_PRUNE}: disabled, but its HelmRepository '{source.name}' does not, so Flux can prune that",
                    "annotate both or neither",
                )
        elif is_leftover(situation, one):
            yield Finding("note", "leftover", one.kind, (one.key,), "is no longer needed (created by KuboCD)")
        elif one.kind == "HelmRelease" and (owner := one.release_owner):
            release = situation.release_of(one.namespace, owner.name)
            if release and not release.release.suspended:
                yield Finding(
                    "warning",
                    "not-compiled",
                    one.kind,
                    (one.key,),
                    "is owned by a Release in Git that no longer compiles to it: Flux will not manage it",
                    "remove it while the controller runs to uninstall its chart; otherwise it stays unmanaged",
                )


def _is_kept(one: LiveObject) -> bool:
    return "disabled" in (one.annotations.get(_PRUNE), one.labels.get(_PRUNE))


def _repository(situation: Situation, one: LiveObject) -> LiveObject | None:
    """Return the live source that the compiled HelmRelease references; None for other kinds or if it is missing."""
    if one.kind != "HelmRelease":
        return None
    source = situation.documents[one.identity]["spec"]["chart"]["spec"]["sourceRef"]
    return situation.live.flux.get((source["kind"], source.get("namespace") or one.namespace, source["name"]))


def _on_both_sides(one: LiveObject) -> Iterator[Finding]:
    by = one.kustomization
    if by and not is_applied(one):
        yield Finding(
            "error",
            "other-kustomization",
            one.kind,
            (one.key,),
            f"is applied by the Kustomization {quoted('/'.join(by))}, but not from kcd-gen's output: both would keep "
            "changing it",
            f"annotate it with {_PRUNE}: disabled, then remove it from that Kustomization",
        )
    elif (
        not by
        and one.managers is not None
        and not is_created_by_kubocd(one)
        and one.labels.get(MANAGED_BY[0]) != MANAGED_BY[1]
    ):
        names = ", ".join(sorted({manager.name for manager in one.managers})) or "none"
        yield Finding(
            "error",
            "foreign-object",
            one.kind,
            (one.key,),
            f"was not created by KuboCD (field managers: {names}), and Flux would take it over",
            "rename the Release, or remove the object from whatever creates it",
        )
    for name, refused in (("ssa", ("Merge", "IfNotPresent", "Ignore")), ("reconcile", ("disabled",))):
        value = one.annotations.get(f"{_KUSTOMIZE}/{name}", one.labels.get(f"{_KUSTOMIZE}/{name}"))
        if value in refused:
            yield Finding(
                "warning",
                "exempt-from-flux",
                one.kind,
                (one.key,),
                f"has {_KUSTOMIZE}/{name}: {value}, so Flux ignores it, or the fields that other managers own",
                "remove that annotation or label",
            )
