"""Which objects are on one side only, and whose those are that are on both."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.compiler.flux_objects import MANAGED_BY
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject

_KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
_PRUNE = f"{_KUSTOMIZE}/prune"
CONTROLLER = "kubocd"
"""What KuboCD's controller is called in managedFields: the name of its binary."""


def is_ours(one: LiveObject) -> bool:
    """Whether what kcd-gen compiled was applied to it."""
    label, value = MANAGED_BY
    return one.kustomization is not None and one.labels.get(label) == value


def is_kubocds(one: LiveObject) -> bool:
    """Whether KuboCD's controller has made it, or written to it."""
    managers = [manager.name for manager in one.managers or ()]
    return one.release_owner is not None or CONTROLLER in managers


def is_leftover(it: Situation, one: LiveObject) -> bool:
    """Whether nobody needs it: KuboCD's, in no Release's hands, and not in Git."""
    is_source = one.kind in ("OCIRepository", "HelmRepository") and one.name.startswith("kcd-")
    return is_source and one.identity not in it.documents and one.release_owner is None and is_kubocds(one)


def presence_findings(it: Situation) -> Iterator[Finding]:
    for identity in it.documents:
        kind, namespace, name = identity
        if identity not in it.live.flux:
            is_chart = kind == "HelmRelease"
            yield Finding(
                "warning" if is_chart else "note",
                "not-live",
                kind,
                (f"{namespace}/{name}",),
                "is in Git and not in the cluster; Flux installs the chart"
                if is_chart
                else "is in Git and not in the cluster; Flux makes what is missing",
                "does the dump have all namespaces (-A)?" if is_chart else None,
            )
    for identity, one in it.live.flux.items():
        if by := it.live.left_by.get(identity):
            yield Finding(
                "note",
                "left-by-flux",
                one.kind,
                (one.key,),
                f"has labels of the Kustomization {quoted('/'.join(by))}, which is gone: Flux applies it no more",
            )
        if one.deleting:
            yield Finding("error", "object-deleting", one.kind, (one.key,), "is being deleted")
        if identity in it.documents:
            yield from _on_both_sides(one)
            if _is_kept(one) and (source := _repository(it, one)) and not _is_kept(source):
                yield Finding(
                    "warning",
                    "half-kept",
                    one.kind,
                    (one.key,),
                    f"says {_PRUNE}: disabled, and its HelmRepository {source.name} does not: Flux may prune that",
                    "annotate both, or neither",
                )
        elif is_leftover(it, one):
            yield Finding("note", "leftover", one.kind, (one.key,), "is KuboCD's, and nothing needs it any more")
        elif one.kind == "HelmRelease" and (owner := one.release_owner):
            release = it.release_of(one.namespace, owner.name)
            if release and not release.release.suspended:
                yield Finding(
                    "warning",
                    "not-compiled",
                    one.kind,
                    (one.key,),
                    "is owned by a Release in Git that no longer makes it: Flux will not know it",
                    "remove it while the controller runs if its chart is to go; otherwise it stays, in nobody's hands",
                )


def _is_kept(one: LiveObject) -> bool:
    return "disabled" in (one.annotations.get(_PRUNE), one.labels.get(_PRUNE))


def _repository(it: Situation, one: LiveObject) -> LiveObject | None:
    """The HelmRepository that its compiled resource names."""
    if one.kind != "HelmRelease":
        return None
    source = it.documents[one.identity]["spec"]["chart"]["spec"]["sourceRef"]
    return it.live.flux.get((source["kind"], source.get("namespace") or one.namespace, source["name"]))


def _on_both_sides(one: LiveObject) -> Iterator[Finding]:
    by = one.kustomization
    if by and not is_ours(one):
        yield Finding(
            "error",
            "other-kustomization",
            one.kind,
            (one.key,),
            f"is applied by the Kustomization {quoted('/'.join(by))}, not from kcd-gen's output: the two would fight",
            "take it out of that Kustomization (annotated kustomize.toolkit.fluxcd.io/prune: disabled) before",
        )
    elif not by and one.managers is not None and not is_kubocds(one) and one.labels.get(MANAGED_BY[0]) != MANAGED_BY[1]:
        names = ", ".join(sorted({manager.name for manager in one.managers})) or "nobody"
        yield Finding(
            "error",
            "foreign-object",
            one.kind,
            (one.key,),
            f"was not made by KuboCD (its managers: {names}), and Flux would take it over",
            "rename the Release, or remove what else makes it",
        )
    for name, refused in (("ssa", ("Merge", "IfNotPresent", "Ignore")), ("reconcile", ("disabled",))):
        value = one.annotations.get(f"{_KUSTOMIZE}/{name}", one.labels.get(f"{_KUSTOMIZE}/{name}"))
        if value in refused:
            yield Finding(
                "warning",
                "exempt-from-flux",
                one.kind,
                (one.key,),
                f"says {_KUSTOMIZE}/{name}: {value}, so that Flux leaves it, or the fields of others in it, alone",
                "remove that annotation",
            )
