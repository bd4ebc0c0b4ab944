"""Helm chart archives: read them within limits, extract the metadata for a repository index, and repack them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.archives.chart_members import Member, read_chart_archive
from kubocd_gen.archives.reproducible import NO_TIME, compressed, tarred
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.diagnostics.wording import described
from kubocd_gen.kube_yaml.reader import first_document
from kubocd_gen.kube_yaml.scalars import number_text

# A package's archive allows flat names only, and helm refuses a name with a slash (chart.Metadata.Validate).
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
# What Masterminds/semver, helm's version parser, accepts: `v1`, `1.2`, `1.2.3-rc.1+build` …
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?", re.ASCII)
_LONGEST_VERSION = 128
_LATEST = 253402300799  # 9999-12-31T23:59:59Z, the latest timestamp with a four-digit year

_STRING, _STRINGS, _BOOLEAN, _ANY = "string", ["string"], "boolean", "any"
# The fields of helm's chart.Metadata: helm and Flux refuse an index with any other field.
_METADATA: Mapping[str, Any] = {
    **dict.fromkeys(("apiVersion", "appVersion", "condition", "description", "home", "icon", "kubeVersion"), _STRING),
    **dict.fromkeys(("name", "tags", "type", "version"), _STRING),
    "annotations": {"*": _STRING},
    "dependencies": [
        {
            **dict.fromkeys(("alias", "condition", "name", "repository", "version"), _STRING),
            "enabled": _BOOLEAN,
            "import-values": [_ANY],
            "tags": _STRINGS,
        }
    ],
    "deprecated": _BOOLEAN,
    "keywords": _STRINGS,
    "maintainers": [dict.fromkeys(("email", "name", "url"), _STRING)],
    "sources": _STRINGS,
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that can be published. `metadata` contains the fields of Chart.yaml that helm knows."""

    name: str
    version: str
    archive: bytes = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False, hash=False)
    time: int  # modification time of its newest file, in seconds since 1970

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.tgz"

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"


def read_chart(archive: bytes, *, describe: str, limits: Limits = LIMITS, budget: Budget | None = None) -> Chart:
    """Read the chart in `archive`; messages call it `describe`.

    Raises ProblemsError: `bad-chart` if it is not a valid chart, `package-limit` if it exceeds `limits`.
    """
    members = read_chart_archive(archive, describe=describe, limits=limits)
    name, version, metadata = read_metadata(chart_yaml(members), describe=describe, budget=budget)
    newest = min(max(0, *(member.time for member in members)), _LATEST)
    return Chart(name, version, archive, metadata, newest)


def repacked(archive: bytes, *, describe: str, limits: Limits = LIMITS, budget: Budget | None = None) -> Chart:
    """Repack a chart archive with fixed timestamps and owners, so its bytes depend only on its files."""
    members = read_chart_archive(archive, describe=describe, limits=limits)
    name, version, metadata = read_metadata(chart_yaml(members), describe=describe, budget=budget)
    files = {member.path: member.data for member in sorted(members, key=lambda member: member.path.split("/"))}
    return Chart(name, version, compressed(tarred(files)), metadata, NO_TIME)


def chart_yaml(members: list[Member]) -> bytes | None:
    """Return the top-level Chart.yaml; like helm, ignore the first directory of each path."""
    return next((one.data for one in members if one.path.partition("/")[2] == "Chart.yaml"), None)


def read_metadata(
    text: bytes | None, *, describe: str, budget: Budget | None = None
) -> tuple[str, str, Mapping[str, Any]]:
    """Return the name, version and metadata of a Chart.yaml, parsed as leniently as helm does.

    Raises ProblemsError `bad-chart`.
    """

    def bad(what: str, hint: str | None = None) -> ProblemsError:
        return ProblemsError.of("bad-chart", f"{describe} {what}", hint=hint)

    if text is None:
        raise bad("has no Chart.yaml")
    try:
        value = first_document(text.decode("utf-8-sig"), "Chart.yaml", exact_integers=True, budget=budget).value
    except UnicodeDecodeError:
        raise bad("has a Chart.yaml that is not valid UTF-8") from None
    except BudgetExceededError:
        raise
    except ProblemsError as error:
        position = error.problem.position
        where = f" on line {position.line}" if position and position.line else ""
        raise bad(f"has an invalid Chart.yaml: {error.problem.message}{where}") from None
    if not isinstance(value, dict):
        raise bad("has a Chart.yaml that is not a map")
    try:
        metadata: Mapping[str, Any] = _typed(value, _METADATA, "")
    except TypeError as error:
        raise bad(f"has a Chart.yaml whose {error}") from None
    name, version = metadata.get("name", ""), metadata.get("version", "")
    if not _NAME.fullmatch(name):
        raise bad(f"has an invalid chart name in its Chart.yaml: {shown(name)}")
    if not is_version(version):
        raise bad(
            f"has an invalid version in its Chart.yaml: {shown(version)}", "use a version such as 1.2.3 or v1.2.3"
        )
    return name, version, metadata


def is_version(text: str) -> bool:
    """Return whether helm accepts `text` as a version."""
    return len(text) <= _LONGEST_VERSION and _VERSION.fullmatch(text) is not None


def same_version(one: str, other: str) -> bool:
    """Return whether helm treats two versions as equal: `v1.2` and `1.2.0` are, different builds (`+…`) are not."""
    first, second = (_VERSION.fullmatch(text) for text in (one, other))
    if first is None or second is None:
        return one == other
    return _parts(first) == _parts(second)


def _parts(match: re.Match[str]) -> tuple[int, int, int, str, str]:
    major, minor, patch = (int(match[group] or 0) for group in (1, 2, 3))
    return major, minor, patch, match[4] or "", match[5] or ""


def _typed(value: Any, shape: Any, where: str) -> Any:
    """Convert `value` to `shape` as Go's decoder does; unknown fields and nulls are dropped.

    Raises TypeError with the end of a sentence.
    """
    if shape == _ANY:
        return value
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise TypeError(f"'{where}' is {described(value)}, not a list")
        return [_typed(item, shape[0], where) for item in value if item is not None]
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            raise TypeError(f"'{where}' is {described(value)}, not a map")
        shapes = {key: shape.get("*", shape.get(key)) for key in value}
        return {
            key: _typed(value[key], inner, f"{where}.{key}" if where else key)
            for key, inner in sorted(shapes.items())
            if inner is not None and value[key] is not None
        }
    if shape == _BOOLEAN and not isinstance(value, bool):
        raise TypeError(f"'{where}' is {described(value)}, not true or false")
    if shape == _STRING and not isinstance(value, str):
        if isinstance(text := as_text(value), str):
            return text
        raise TypeError(f"'{where}' is {described(value)}, not a string")
    return value


def as_text(value: Any) -> Any:
    """Convert a number or boolean to a string as sigs.k8s.io/yaml does for string fields; return others unchanged."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, int | float) else value
