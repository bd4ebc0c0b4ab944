"""Compare the specs of live and compiled objects: removed, changed and added fields, and what this causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubocd_gen.compiler.flux_objects import normal_spec
from kubocd_gen.compiler.value_changes import ABSENT, Change, changes, leaves, path_text
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject, items, mapping
from kubocd_gen.migration.owners import SCHEMAS, kept_by

# Fields that cause a Helm upgrade: helm-controller compares them with the installed release.
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
# Fields that cause Flux to uninstall the Helm release and install another; `target_findings` reports them.
_TARGET = (
    ("spec", "releaseName"),
    ("spec", "targetNamespace"),
    ("spec", "storageNamespace"),
    ("spec", "chart", "spec", "chart"),
)
_FEW = 3  # if a field has more different values, the message only counts them

Effect = Literal["upgrade", "resumes", "none"]


@dataclass(frozen=True, slots=True)
class _Field:
    """A change of one field of one kind.

    `kept_by` are the managers that keep a field that is only in the cluster; None if the dump has no managedFields.
    """

    kind: str
    path: str
    direction: Literal["goes", "changes", "comes"]
    effect: Effect
    kept_by: tuple[str, ...] | None


def field_findings(situation: Situation) -> Iterator[Finding]:
    """Yield a finding for each changed field; objects with the same change are reported together."""
    fields: dict[_Field, list[tuple[str, str]]] = defaultdict(list)
    for live, document in situation.pairs():
        for change in _changes(live, document):
            for one in _outermost(change):
                fields[_field(live, one)].append((live.key, _words(one)))
    for field, occurrences in fields.items():
        severity, message, hint = _description(field)
        values: dict[str, list[str]] = defaultdict(list)
        for key, words in occurrences:
            values[words].append(key)
        if len(values) <= _FEW:
            for words, keys in values.items():
                label = "" if field.direction == "changes" else "value: "
                text = f"{field.path} {message} ({label}{words})"
                yield Finding(severity, f"field-{field.direction}", field.kind, tuple(keys), text, hint)
        else:
            text = f"{field.path} {message} ({len(values)} different values; --format json lists them)"
            objects = tuple(key for key, _ in occurrences)
            yield Finding(severity, f"field-{field.direction}", field.kind, objects, text, hint, tuple(occurrences))


def target_findings(situation: Situation) -> Iterator[Finding]:
    """Yield HelmReleases that Flux would uninstall and install again, because their target changes.

    helm-controller compares the target with `status.history` (its `ReleaseTargetChanged`). The live spec is compared
    as well, because helm-controller may not have processed it yet.
    """
    for live, document in situation.pairs():
        if live.kind != "HelmRelease":
            continue
        requested, after = _spec_target(live.spec, live), _spec_target(document["spec"], live)
        installed = _installed(live)
        for name, new in after.items():
            old = next((one for one in (installed.get(name, new), requested[name]) if one != new), None)
            if old is not None:
                yield Finding.of(
                    "error",
                    "would-reinstall",
                    live,
                    f"{name} changes from {quoted(old)} to {quoted(new)}, so Flux uninstalls the chart and installs it "
                    "again: stored data can be lost",
                    "keep the live value with a specPatch in the Release's moduleOverrides or in the package",
                )


def _changes(live: LiveObject, document: Mapping[str, Any]) -> Iterator[Change]:
    name = SCHEMAS[live.kind]
    both = [_comparable(name, spec, live) for spec in (live.spec, document["spec"])]
    dependencies = [sorted(map(_dependency, items(one.pop("dependsOn", None)))) for one in both]
    if dependencies[0] != dependencies[1]:
        yield Change(("spec", "dependsOn"), *(", ".join(one) or ABSENT for one in dependencies))
    for change in changes(both[0], both[1], ("spec",)):
        if live.kind != "HelmRelease" or not any(change.path[: len(path)] == path for path in _TARGET):
            yield change


def _comparable(name: str, spec: Mapping[str, Any], live: LiveObject) -> dict[str, Any]:
    normal = normal_spec(name, spec)
    if live.kind == "HelmRelease":
        for field, empty in (("values", {}), ("targetNamespace", live.namespace)):
            if normal.get(field) == empty:  # equivalent to a missing field
                del normal[field]
        for item in items(normal.get("dependsOn")):
            if isinstance(item, dict):
                item.setdefault("namespace", live.namespace)
    return normal


def _dependency(item: Any) -> str:
    return f"{item.get('namespace')}/{item.get('name')}" if isinstance(item, Mapping) else ""


def _outermost(change: Change) -> Iterator[Change]:
    """Split a map that is only on one side into its values, so equal values are merged wherever they occur."""
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
    if direction == "goes" and not in_list:  # a list in Git replaces the whole live list
        kept = None if live.managers is None else tuple(kept_by(live, change.path))
    return _Field(live.kind, path_text(change.path), direction, effect, kept)


def _description(field: _Field) -> tuple[Any, str, str | None]:
    """Return the severity, message and hint of a finding about the field."""
    effect = {"upgrade": ", which causes a Helm upgrade", "resumes": ", and Flux resumes the HelmRelease", "none": ""}
    severity, hint = ("note", None) if field.effect == "none" else ("warning", "add it to Git to keep it")
    if field.direction == "goes":
        if field.kept_by is None:
            message = "is only in the cluster; Flux removes it unless another manager owns it"
        elif field.kept_by:
            owners = " and ".join(map(quoted, field.kept_by))
            message = f"is only in the cluster, owned by {owners}; step 3 removes it"
        else:
            message = "is only in the cluster; Flux removes it when it applies the output"
        return severity, message + effect[field.effect], hint
    changes = field.direction == "changes"
    message = "differs; Flux sets the value in Git" if changes else "is only in Git; Flux adds it"
    return severity, message + effect[field.effect], None


def _words(change: Change) -> str:
    old, new = change.old, change.new
    if new is ABSENT:
        return quoted(old)
    return quoted(new) if old is ABSENT else f"{quoted(old)} becomes {quoted(new)}"


def _installed(live: LiveObject) -> dict[str, str]:
    """Return the target of the installed Helm release, with the fields that the status contains."""
    latest = mapping(next(iter(items(live.status.get("history"))), None))
    target = {
        "releaseName": latest.get("name"),
        "targetNamespace": latest.get("namespace"),
        "storageNamespace": live.status.get("storageNamespace"),
        "chart": latest.get("chartName"),
    }
    return {name: value for name, value in target.items() if isinstance(value, str) and value}


def _spec_target(spec: Mapping[str, Any], live: LiveObject) -> dict[str, str]:
    """Return the target of a HelmRelease, with the defaults that Flux's API reference documents for each field."""
    namespace = spec.get("targetNamespace") or live.namespace
    chart = mapping(mapping(spec.get("chart")).get("spec")).get("chart", "")
    default = f"{namespace}-{live.name}" if spec.get("targetNamespace") else live.name
    return {
        "releaseName": str(spec.get("releaseName") or default),
        "targetNamespace": str(namespace),
        "storageNamespace": str(spec.get("storageNamespace") or live.namespace),
        "chart": str(chart),
    }
