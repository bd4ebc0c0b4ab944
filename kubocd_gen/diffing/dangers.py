"""Changes that may cost data or a service, found in what differs between two Releases."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.compiler.value_changes import Change, leaves, path_text
from kubocd_gen.diffing.records import Side, Status

_STORAGE = re.compile(
    r"(?:storage_?-?class(?:_?-?name)?|access_?-?modes?|volume_?-?mode|volume_?-?name|existing_?-?claim)$",
    re.IGNORECASE,
)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGTPE]i?|k)?")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

Found = tuple[str, str]  # code and sentence


def release_dangers(old: Side | None, new: Side | None) -> Iterator[Found]:
    """What is dangerous about a Release as a whole."""
    if old is not None and old.protected and new is None:
        yield "protected-release-removed", "the Release is protected, and is removed"
    if old is not None and new is not None and old.protected and not new.protected:
        yield "protection-removed", "the Release is no longer protected"


def helm_release_dangers(
    name: str, namespace: str, old: Mapping[str, Any], new: Mapping[str, Any], changed: tuple[Change, ...]
) -> Iterator[Found]:
    """What is dangerous about the change of a HelmRelease's `spec`; `changed` are the values that differ."""
    where = f"HelmRelease {name}"
    for code, field, default, meaning in (
        ("release-name-changed", "releaseName", name, "Flux uninstalls the chart and installs it anew"),
        ("target-namespace-changed", "targetNamespace", namespace, "Flux uninstalls the chart and installs it there"),
        (
            "storage-namespace-changed",
            "storageNamespace",
            namespace,
            "Flux uninstalls the chart and installs it anew",
        ),
    ):
        before, after = old.get(field) or default, new.get(field) or default
        if before != after:
            yield code, f"{where}: {field} goes from '{before}' to '{after}'; {meaning}"
    yield from _chart_dangers(where, _chart(old), _chart(new))
    for phase in ("install", "upgrade"):
        before, after = (_field(one.get(phase), "crds", "skipCRDs") for one in (old, new))
        if before != after:
            effect = "" if phase == "install" else ": an upgrade may replace CRDs, or leave old ones behind"
            yield "crds-policy-changed", f"{where}: {phase}.crds goes from {before} to {after}{effect}"
    for change in changed:
        yield from _storage_dangers(where, change)


def kept_dangers(name: str, status: Status, document: Mapping[str, Any]) -> Iterator[Found]:
    """A HelmRelease of a suspended Release that differs: it is kept as written, so the output itself was changed."""
    chart = " ".join(_chart(document["spec"])).strip()
    yield (
        "suspended-output-changed",
        f"HelmRelease {name} (chart {chart}) was {status} in the output: no source of the suspended Release makes it",
    )


def _chart_dangers(where: str, old: tuple[str, str], new: tuple[str, str]) -> Iterator[Found]:
    (chart, before), (other, after) = old, new
    if chart != other:
        yield (
            "chart-changed",
            f"{where}: another chart, '{other}' instead of '{chart}', upgrades what that one installed",
        )
        return
    first, second = (_VERSION.match(version) for version in (before, after))
    if first is None or second is None:
        return
    numbers = [tuple(map(int, one.groups())) for one in (first, second)]
    if numbers[0][0] != numbers[1][0]:
        yield "chart-major-version", f"{where}: chart {chart} goes from {before} to {after}, another major version"
    elif numbers[1] < numbers[0]:
        yield "chart-downgraded", f"{where}: chart {chart} goes back from {before} to {after}"


def _storage_dangers(where: str, change: Change) -> Iterator[Found]:
    if change.path[:2] != ("spec", "values"):
        return
    path = path_text(change.path[2:])
    below = [dict(leaves(value, change.path)) for value in (change.old, change.new)]
    steps = {step for leaf in (*below[0], *below[1]) for step in leaf if isinstance(step, str)}
    if any(_STORAGE.search(step) for step in steps):
        yield (
            "storage-changed",
            f"{where}: '{path}' changes; of a volume that exists Kubernetes refuses that, or another one is made",
        )
    elif change.path[-1] in ("size", "storage"):
        first, second = _bytes(change.old), _bytes(change.new)
        if first is not None and second is not None and second < first:
            yield (
                "volume-shrinks",
                f"{where}: '{path}' shrinks from {change.old} to {change.new}; no volume can do that",
            )


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
    said = [
        f"{name}: {fields[name]}" if index else str(fields[name]) for index, name in enumerate(names) if name in fields
    ]
    return f"'{', '.join(said)}'" if said else "the default"


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
