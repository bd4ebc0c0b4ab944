"""Find changes of a Release that can cause data loss or an outage."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.compiler.value_changes import Change, leaves, path_text
from kubocd_gen.diffing.records import ReleaseDifference, ReleaseSide, Status

_STORAGE = re.compile(
    r"(?:storage_?-?class(?:_?-?name)?|access_?-?modes?|volume_?-?mode|volume_?-?name|existing_?-?claim)$",
    re.IGNORECASE,
)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGTPE]i?|k)?")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

Found = tuple[str, str]  # code and message


def release_dangers(old: ReleaseSide | None, new: ReleaseSide | None) -> Iterator[Found]:
    """Yield the dangers of changes to a Release as a whole."""
    if old is not None and old.protected and new is None:
        yield "protected-release-removed", "the Release is protected, but is removed"
    if old is not None and new is not None and old.protected and not new.protected:
        yield "protection-removed", "the Release is no longer protected"


def uninstallation(
    one: ReleaseDifference, removed: Sequence[ReleaseDifference], added: Sequence[ReleaseDifference]
) -> Found:
    """Return the danger of removing `one`. Another name or namespace is recognized if only one Release can be meant."""

    def candidates(releases: Sequence[ReleaseDifference], field: str) -> list[ReleaseDifference]:
        return [
            other
            for other in releases
            if getattr(other, field) == getattr(one, field)
            and _repository(other.old or other.new) == _repository(one.old)
        ]

    charts = ", ".join(one.old.charts) if one.old else ""
    for code, verb, field in (("release-moved", "moved", "name"), ("release-renamed", "renamed", "namespace")):
        targets = candidates(added, field)
        if len(targets) == 1 and len(candidates(removed, field)) == 1:
            message = f"the Release is {verb} to '{targets[0].key}': Flux uninstalls {charts}, and installs it again"
            return code, message
    message = f"the Release is removed: Flux uninstalls {charts or 'its charts'}"
    return "release-removed", message


def _repository(side: ReleaseSide | None) -> str:
    return side.package.rpartition(":")[0] if side else ""


def helm_release_dangers(
    name: str, namespace: str, old: Mapping[str, Any], new: Mapping[str, Any], changed: tuple[Change, ...]
) -> Iterator[Found]:
    """Yield the dangers of changes to a HelmRelease's `spec`; `changed` are the values that differ."""
    subject = f"HelmRelease {name}"
    for code, field, default, where in (
        ("release-name-changed", "releaseName", name, "again"),
        ("target-namespace-changed", "targetNamespace", namespace, "in the new namespace"),
        ("storage-namespace-changed", "storageNamespace", namespace, "again"),
    ):
        before, after = old.get(field) or default, new.get(field) or default
        if before != after:
            meaning = f"Flux uninstalls the chart and installs it {where}"
            yield code, f"{subject}: {field} changes from '{before}' to '{after}'; {meaning}"
    yield from _chart_dangers(subject, _chart(old), _chart(new))
    for phase in ("install", "upgrade"):
        before, after = (_field(one.get(phase), "crds", "skipCRDs") for one in (old, new))
        if before != after:
            effect = "" if phase == "install" else "; an upgrade can replace CRDs or keep outdated ones"
            yield "crds-policy-changed", f"{subject}: {phase}.crds changes from {before} to {after}{effect}"
    for change in changed:
        yield from _storage_dangers(subject, change)


def kept_dangers(name: str, status: Status, spec: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the danger of a HelmRelease of a suspended Release that differs.

    A build keeps these HelmReleases, so the output itself was edited.
    """
    chart = " ".join(_chart(spec)).strip()
    message = f"HelmRelease {name} (chart {chart}) was {status} in the output, although its Release is suspended"
    yield "suspended-output-changed", message


def _chart_dangers(subject: str, old: tuple[str, str], new: tuple[str, str]) -> Iterator[Found]:
    (chart, before), (other, after) = old, new
    if chart != other:
        message = f"{subject}: the chart changes from '{chart}' to '{other}', which upgrades the installed release"
        yield "chart-changed", message
        return
    first, second = (_VERSION.match(version) for version in (before, after))
    if first is None or second is None:
        return
    numbers = [tuple(map(int, one.groups())) for one in (first, second)]
    if numbers[0][0] != numbers[1][0]:
        message = f"{subject}: the major version of the chart '{chart}' changes, from {before} to {after}"
        yield "chart-major-version", message
    elif numbers[1] < numbers[0]:
        yield "chart-downgraded", f"{subject}: the chart '{chart}' is downgraded from {before} to {after}"


def _storage_dangers(subject: str, change: Change) -> Iterator[Found]:
    if change.path[:2] != ("spec", "values"):
        return
    path = path_text(change.path[2:])
    below = [dict(leaves(value, change.path)) for value in (change.old, change.new)]
    steps = {step for leaf in (*below[0], *below[1]) for step in leaf if isinstance(step, str)}
    if any(_STORAGE.search(step) for step in steps):
        effect = "Kubernetes rejects this for an existing volume, or creates another volume"
        yield "storage-changed", f"{subject}: '{path}' changes; {effect}"
    elif change.path[-1] in ("size", "storage"):
        first, second = _bytes(change.old), _bytes(change.new)
        if first is not None and second is not None and second < first:
            message = f"{subject}: '{path}' shrinks from {change.old} to {change.new}, which volumes do not support"
            yield "volume-shrinks", message


def _bytes(value: Any) -> float | None:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    unit = found[2] or ""
    base = 1024.0 if unit.endswith("i") else 1000.0
    return float(found[1]) * math.pow(base, _POWERS[unit.rstrip("i").upper()])


def _chart(spec: Mapping[str, Any]) -> tuple[str, str]:
    chart = _map(_map(spec.get("chart")).get("spec"))
    return str(chart.get("chart", "")), str(chart.get("version", ""))


def _field(value: Any, *names: str) -> str:
    fields = _map(value)
    values = [
        f"{name}: {fields[name]}" if index else str(fields[name]) for index, name in enumerate(names) if name in fields
    ]
    return f"'{', '.join(values)}'" if values else "the default"


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
