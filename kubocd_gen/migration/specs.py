"""The fields of live objects beside those of the compiled ones: what would go, change or come, and what that costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubocd_gen.compiler.typed import normal_spec
from kubocd_gen.compiler.value_changes import ABSENT, Change, changes, leaves, path_text
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject
from kubocd_gen.migration.managers import kept_by

_SCHEMAS = {
    "OCIRepository": "ocirepository-v1",
    "HelmRepository": "helmrepository-v1",
    "HelmRelease": "helmrelease-v2",
}
# What helm-controller compares with the release that is there: its values, chart version and what it does to manifests.
_UPGRADING = (
    ("spec", "values"),
    ("spec", "valuesFrom"),
    ("spec", "chart", "spec", "version"),
    ("spec", "chart", "spec", "valuesFiles"),
    ("spec", "chart", "spec", "sourceRef"),
    ("spec", "chartRef"),
    ("spec", "postRenderers"),
    ("spec", "commonMetadata"),
)
# What makes it uninstall the release and install another; told by `targets`.
_TARGET = (
    ("spec", "releaseName"),
    ("spec", "targetNamespace"),
    ("spec", "storageNamespace"),
    ("spec", "chart", "spec", "chart"),
)
_FEW = 3  # different values of one field that are told one by one

Effect = Literal["upgrade", "resumes", "none"]


@dataclass(frozen=True, slots=True)
class _Field:
    """One change at one place of objects of one kind; `kept_by` are the managers that keep what is only live."""

    kind: str
    path: str
    direction: Literal["goes", "changes", "comes"]
    effect: Effect
    kept_by: tuple[str, ...] | None


def field_findings(it: Situation) -> Iterator[Finding]:
    """The values that differ, the same one in many objects together."""
    fields: dict[_Field, list[tuple[str, str]]] = defaultdict(list)
    for identity, document in it.documents.items():
        live = it.live.flux.get(identity)
        if live is None:
            continue
        for change in _changes(live, document):
            for one in _outermost(change):
                fields[_field(live, one)].append((live.key, _words(one)))
    for field, places in fields.items():
        severity, message, hint = _told(field)
        values: dict[str, list[str]] = defaultdict(list)
        for key, words in places:
            values[words].append(key)
        if len(values) <= _FEW:
            for words, keys in values.items():
                said = f"{field.path} {message} ({words})"
                yield Finding(severity, f"field-{field.direction}", field.kind, tuple(keys), said, hint)
        else:
            said = f"{field.path} {message} ({len(values)} different values; --format json has them)"
            objects = tuple(key for key, _ in places)
            yield Finding(severity, f"field-{field.direction}", field.kind, objects, said, hint, tuple(places))


def target_findings(it: Situation) -> Iterator[Finding]:
    """HelmReleases that Flux would uninstall and install anew: its target is no longer the one of the Helm release.

    What was installed is in `status.history`; helm-controller compares with that (its `ReleaseTargetChanged`). What the
    live spec asks for may be on its way.
    """
    for identity, document in it.documents.items():
        live = it.live.flux.get(identity)
        if live is None or live.kind != "HelmRelease":
            continue
        asked, after = _spec_target(live.spec, live), _spec_target(document["spec"], live)
        installed = _installed(live)
        for name, new in after.items():
            old = next((one for one in (installed.get(name, new), asked[name]) if one != new), None)
            if old is not None:
                yield Finding(
                    "error",
                    "would-reinstall",
                    "HelmRelease",
                    (live.key,),
                    f"{name} goes from {quoted(old)} to {quoted(new)}, so that Flux uninstalls the chart and "
                    "installs it anew: what it stored may be lost",
                    "keep what is live, with a specPatch in the Release's moduleOverrides or in the package",
                )


def _changes(live: LiveObject, document: Mapping[str, Any]) -> Iterator[Change]:
    name = _SCHEMAS[live.kind]
    both = [_comparable(name, spec, live) for spec in (live.spec, document["spec"])]
    waits = [sorted(map(_waited_for, _list(one.pop("dependsOn", None)))) for one in both]
    if waits[0] != waits[1]:
        yield Change(("spec", "dependsOn"), *(", ".join(one) or ABSENT for one in waits))
    for change in changes(both[0], both[1], ("spec",)):
        if live.kind != "HelmRelease" or not any(change.path[: len(path)] == path for path in _TARGET):
            yield change


def with_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """A compiled resource as the API server keeps it: with the CRD's defaults in its spec."""
    return {**document, "spec": normal_spec(_SCHEMAS[document["kind"]], document["spec"])}


def _comparable(name: str, spec: Mapping[str, Any], live: LiveObject) -> dict[str, Any]:
    normal = normal_spec(name, spec)
    if live.kind == "HelmRelease":
        for field, empty in (("values", {}), ("targetNamespace", live.namespace)):
            if normal.get(field) == empty:  # as if it were not there
                del normal[field]
        for item in _list(normal.get("dependsOn")):
            if isinstance(item, dict):
                item.setdefault("namespace", live.namespace)
    return normal


def _waited_for(item: Any) -> str:
    return f"{item.get('namespace')}/{item.get('name')}" if isinstance(item, Mapping) else ""


def _outermost(change: Change) -> Iterator[Change]:
    """A map that is on one side only, by its values, so that the same value is told alike wherever it was found."""
    for side, other in ((change.old, change.new), (change.new, change.old)):
        if other is ABSENT and isinstance(side, Mapping) and side:
            for path, value in leaves(side, change.path):
                if any(isinstance(step, int) for step in path[len(change.path) :]):
                    yield change
                    return
                yield Change(path, *((value, ABSENT) if side is change.old else (ABSENT, value)))
            return
    yield change


def _field(live: LiveObject, change: Change) -> _Field:
    direction: Any = "goes" if change.new is ABSENT else "comes" if change.old is ABSENT else "changes"
    effect: Effect = "none"
    if live.kind == "HelmRelease":
        if any(change.path[: len(path)] == path for path in _UPGRADING):
            effect = "upgrade"
        elif change.path == ("spec", "suspend"):
            effect = "resumes"
    in_list = any(not isinstance(step, str) for step in change.path)
    kept: tuple[str, ...] | None = ()
    if direction == "goes" and not in_list:  # a list that Git has replaces the live one
        kept = None if live.managers is None else tuple(kept_by(live, change.path))
    return _Field(live.kind, path_text(change.path), direction, effect, kept)


def _told(field: _Field) -> tuple[Any, str, str | None]:
    cost = {"upgrade": ", which is a Helm upgrade", "resumes": ", and Flux goes on with the HelmRelease", "none": ""}
    severity = "note" if field.effect == "none" else "warning"
    hint = None
    if field.direction == "goes":
        if field.kept_by is None:
            when = "is only in the cluster; it goes unless another manager keeps it"
        elif field.kept_by:
            keepers = " and ".join(map(quoted, field.kept_by))
            when = f"is only in the cluster; {keepers} keeps it until the cure, then it goes"
        else:
            when = "is only in the cluster; it goes when Flux applies what is in Git"
        hint = "to keep it, put it into Git" if field.effect != "none" else None
        return severity, when + cost[field.effect], hint
    verb = "differs; Flux sets what is in Git" if field.direction == "changes" else "is only in Git; Flux sets it"
    return severity, verb + cost[field.effect], hint


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(change: Change) -> str:
    old, new = change.old, change.new
    if new is ABSENT:
        return quoted(old)
    return quoted(new) if old is ABSENT else f"{quoted(old)} becomes {quoted(new)}"


def _installed(live: LiveObject) -> dict[str, str]:
    """Where the chart is installed, as far as the status says so."""
    history = live.status.get("history")
    latest = history[0] if isinstance(history, list) and history and isinstance(history[0], Mapping) else {}
    told = {
        "releaseName": latest.get("name"),
        "targetNamespace": latest.get("namespace"),
        "storageNamespace": live.status.get("storageNamespace"),
        "chart": latest.get("chartName"),
    }
    return {name: value for name, value in told.items() if isinstance(value, str) and value}


def _spec_target(spec: Mapping[str, Any], live: LiveObject) -> dict[str, str]:
    """By Flux's defaults, which its API document gives for each field."""
    namespace = spec.get("targetNamespace") or live.namespace
    chart = spec.get("chart")
    template = chart.get("spec") if isinstance(chart, Mapping) else None
    name = template.get("chart") if isinstance(template, Mapping) else ""
    default = f"{namespace}-{live.name}" if spec.get("targetNamespace") else live.name
    return {
        "releaseName": str(spec.get("releaseName") or default),
        "targetNamespace": str(namespace),
        "storageNamespace": str(spec.get("storageNamespace") or live.namespace),
        "chart": str(name),
    }
