"""Compare the rendered charts of two compilations, for `kcd-gen diff --charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.compiler.value_changes import changes
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diffing.comparison import helm_releases
from kubocd_gen.diffing.records import ResourceDifference, Status
from kubocd_gen.helm.manifests import Installation, template
from kubocd_gen.helm.process import HelmPool
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.model.compilation import Compilation, CompiledRelease

Identity = tuple[str, str, str, str]  # API group, kind, namespace, name
Manifests = Mapping[Identity, Mapping[str, Any]]


def compare_manifests(
    old: Compilation | None,
    new: Compilation | None,
    helm: HelmPool,
    findings: tuple[Problems, Problems],
    masks: Masks,
) -> dict[str, list[ResourceDifference]]:
    """Return the resources of charts that differ, by the key of the Release.

    A chart is only rendered if its archive, values or other inputs differ. If helm can't render a chart, it is not
    compared, and an error is added to the `findings` of that side.
    """
    before, after = (
        {one.release.key: one for one in compilation.releases} if compilation else {} for compilation in (old, new)
    )
    pairs = [
        (key, name, (before.get(key), after.get(key)))
        for key in sorted({*before, *after})
        for name in sorted({*helm_releases(before.get(key)), *helm_releases(after.get(key))})
        if not _same(before.get(key), after.get(key), name) and not _on_hold(before.get(key), after.get(key))
    ]
    with ThreadPoolExecutor(max_workers=helm.jobs) as pool:
        sides = [
            [pool.submit(_manifests, helm, one, name, findings[side]) for side, one in enumerate(both)]
            for _, name, both in pairs
        ]
        rendered = [tuple(one.result() for one in futures) for futures in sides]
    found: dict[str, list[ResourceDifference]] = {}
    for (key, name, _), (first, second) in zip(pairs, rendered, strict=True):
        if first is not None and second is not None:
            found.setdefault(key, []).extend(_compare(name, first, second, masks))
    return found


def _on_hold(old: CompiledRelease | None, new: CompiledRelease | None) -> bool:
    """Return whether a side is suspended.

    Its HelmReleases are from an earlier build then, and its package does not necessarily contain their charts.
    """
    return any(one is not None and one.release.suspended for one in (old, new))


def _same(old: CompiledRelease | None, new: CompiledRelease | None, name: str) -> bool:
    first, second = (_installation(one, name) for one in (old, new))
    return first == second


def _installation(one: CompiledRelease | None, name: str) -> Installation | None:
    document = helm_releases(one).get(name)
    if one is None or document is None:
        return None
    spec, metadata = document["spec"], document["metadata"]
    chart = spec["chart"]["spec"]
    install = spec.get("install") or {}
    return Installation(
        archive=one.rendered.resolved.package.files.get(f"{chart['chart']}-{chart.get('version')}.tgz", b""),
        release_name=spec.get("releaseName") or name,
        namespace=spec.get("targetNamespace") or metadata["namespace"],
        values=spec.get("values") or {},
        crds=install.get("crds") != "Skip" and not install.get("skipCRDs"),
    )


def _manifests(helm: HelmPool, one: CompiledRelease | None, name: str, findings: Problems) -> Manifests | None:
    installation = _installation(one, name)
    if one is None or installation is None:
        return {}
    try:
        return _read(template(helm, installation), name, installation.namespace, helm.budget)
    except ProblemsError as error:
        findings.error(
            Problem(
                error.problem.code,
                f"HelmRelease '{name}': {error.problem.message}",
                position=one.release.position("metadata", "name"),
                hint=error.problem.hint or "omit --charts to compare only its values",
            ),
            release=one.release.key,
        )
        return None


def _read(text: str, name: str, namespace: str, budget: Budget) -> Manifests:
    found: dict[Identity, Mapping[str, Any]] = {}
    for document in read_documents(text, name, budget=budget):
        if document.error is not None:
            raise ProblemsError.of(
                "chart-failed", f"the rendered chart is not valid YAML: {document.error.problem.message}"
            )
        for resource in _items(document.value):
            metadata = resource.get("metadata")
            metadata = metadata if isinstance(metadata, Mapping) else {}
            group, slash, _ = str(resource.get("apiVersion", "")).partition("/")
            label = str(metadata.get("name") or metadata.get("generateName") or "")
            identity = (
                group if slash else "",
                str(resource.get("kind", "")),
                str(metadata.get("namespace") or namespace),
                label,
            )
            while identity in found:
                identity = (*identity[:3], f"{identity[3]}'")
            found[identity] = resource
    return found


def _items(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        return ()
    items = value.get("items")
    if value.get("kind") == "List" and isinstance(items, list):
        return [item for item in items if isinstance(item, Mapping)]
    return [value]


def _compare(helm_release: str, old: Manifests, new: Manifests, masks: Masks) -> list[ResourceDifference]:
    found = []
    for identity in sorted({*old, *new}):
        _, kind, namespace, name = identity
        first, second = old.get(identity), new.get(identity)
        if first is None or second is None:
            whole = masks.value(second if first is None else first)
            status: Status = "added" if first is None else "removed"
            found.append(ResourceDifference(kind, namespace, name, status, rendered_by=helm_release, value=whole))
        elif changed := tuple(changes(first, second, masks=masks)):
            found.append(ResourceDifference(kind, namespace, name, "changed", changed, rendered_by=helm_release))
    return found
