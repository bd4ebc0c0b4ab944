"""Find the Configs and Contexts in the values of the `kubocd-ctrl` Helm chart.

Most clusters have no Config file: a Flux HelmRelease installs KuboCD's controller, with the Config and some Contexts in
its values. The resources that the chart creates from them depend on its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diagnostics.wording import described, dotted
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.model.resources import Resource
from kubocd_gen.sources.documents import KUBOCD_CHART

CONFIG_NAME = "conf01"
_RETRY = {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m0s"}}
_REMEDIATE = {"strategy": {"name": "RemediateOnFailure"}, "remediation": {"retries": 10}}
# The chart's default values since v0.3.0, over which the user's values are merged.
_CONTENT: Mapping[str, Any] = {
    "packageRedirects": [],
    "clusterRoles": [],
    "defaultContexts": [],
    "defaultNamespaceContexts": [],
    "imageRedirects": [],
    "specPatch": {},
    "defaultPackageInterval": "30m0s",
    "defaultHelmTimeout": "3m0s",
    "defaultHelmInterval": "30m0s",
    "defaultOnFailureStrategy": "updateOnFailure",
    "onFailureStrategies": [
        {"name": "stopOnFailure", "strategy": {}},
        {"name": "reinstallOnFailure", "strategy": {"install": _REMEDIATE, "upgrade": _REMEDIATE}},
        {"name": "updateOnFailure", "strategy": {"install": _RETRY, "upgrade": _RETRY}},
    ],
}
_V02_FIELDS = ("packageRedirects", "imageRedirects", "clusterRoles", "defaultContexts", "defaultNamespaceContexts")
_EXACT = re.compile(r"\s*=?\s*v?([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:[-+][0-9A-Za-z.+-]+)?\s*")
_ASSUMED = (0, 3, 0)

_Value = TypeVar("_Value", dict[str, Any], list[Any])


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation of KuboCD's controller: its HelmRelease, its namespace (or ""), and the resources of its chart.

    If the chart can't be rendered although its values have a Config, `broken_config` is the reason, and the Config
    counts as invalid.
    """

    release: Resource
    namespace: str
    resources: tuple[Resource, ...]
    broken_config: ProblemsError | None = None


def find_installations(resources: Sequence[Resource], problems: Problems) -> list[Installation]:
    """Return the installations of the `kubocd-ctrl` chart in `resources`, with the Configs and Contexts they create."""
    repositories = {
        (resource.namespace, resource.name): resource for resource in resources if resource.kind == "OCIRepository"
    }
    found = []
    for resource in resources:
        if resource.kind != "HelmRelease" or resource.group != "helm.toolkit.fluxcd.io":
            continue
        installs, version = _chart_version(resource, repositories)
        if not installs:
            continue
        if version is None:
            problems.warning(
                Problem(
                    "assumed-chart-version",
                    f"the version of the chart '{KUBOCD_CHART}' is unknown, assuming v0.3",
                    position=resource.position("spec", "chart" if "chart" in resource.spec else "chartRef"),
                    hint="set an exact version in 'chart.spec.version', or in 'ref.tag' of the OCIRepository",
                )
            )
        if resource.spec.get("valuesFrom"):
            problems.warning(
                Problem(
                    "unread-values",
                    f"'valuesFrom' of the chart '{KUBOCD_CHART}' is ignored because its objects are in the cluster",
                    position=resource.position("spec", "valuesFrom"),
                    hint="move the Config and the Contexts to 'values', or define them as resources",
                )
            )
        namespace = _text(resource.spec.get("targetNamespace")) or resource.namespace
        try:
            found.append(Installation(resource, namespace, tuple(_carried(resource, namespace, version, problems))))
        except ProblemsError as error:
            # Helm fails to render the whole chart then, so none of its resources reaches the cluster.
            problems.error(error)
            values = resource.spec.get("values")
            holds_config = not isinstance(values, Mapping) or "config" in values
            found.append(Installation(resource, namespace, (), error if holds_config else None))
    return found


def _chart_version(
    resource: Resource, repositories: Mapping[tuple[str, str], Resource]
) -> tuple[bool, tuple[int, int, int] | None]:
    """Return whether the HelmRelease installs the chart, and its version if an exact one is given."""
    chart = _mapping(_mapping(resource.spec.get("chart")).get("spec"))
    if chart:
        return chart.get("chart") == KUBOCD_CHART, _exact_version(chart.get("version"))
    ref = _mapping(resource.spec.get("chartRef"))
    repository = repositories.get((_text(ref.get("namespace")) or resource.namespace, _text(ref.get("name"))))
    if repository is None:
        named = (_text(resource.spec.get("releaseName")), resource.name, _text(ref.get("name")))
        return KUBOCD_CHART in named, None
    tail = _text(repository.spec.get("url")).rstrip("/").rpartition("/")[2]
    versions = _mapping(repository.spec.get("ref"))
    return tail == KUBOCD_CHART, _exact_version(versions.get("semver") or versions.get("tag"))


def _exact_version(version: Any) -> tuple[int, int, int] | None:
    match = _EXACT.fullmatch(version) if isinstance(version, str) else None
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _carried(
    resource: Resource, namespace: str, version: tuple[int, int, int] | None, problems: Problems
) -> Iterator[Resource]:
    values = _value(resource, resource.spec, dict, "spec", "values")
    config = _value(resource, values, dict, "spec", "values", "config")
    if config.get("enabled", True):
        if (problem := _values_of_v02(resource, config, version)) is not None:
            if not config.get("content"):
                raise ProblemsError(problem)
            problems.warning(problem)
        yield _config(resource, config, namespace, version or _ASSUMED)
    for index, item in enumerate(_value(resource, values, list, "spec", "values", "contexts")):
        yield _context(resource, _mapping(item), index)


def _value(resource: Resource, parent: Mapping[str, Any], kind: type[_Value], *path: str) -> _Value:
    """Return the map or list under the last key of `path` in `parent`, or an empty one. Raises ProblemsError."""
    value = parent.get(path[-1])
    if value is None:
        return kind()
    if not isinstance(value, kind):
        expected = "map" if kind is dict else "list"
        raise ProblemsError.of(
            "invalid-type",
            f"{dotted(path)} of the chart '{KUBOCD_CHART}' must be a {expected}, not {described(value)}",
            position=resource.position(*path),
        )
    return value


def _values_of_v02(
    resource: Resource, config: Mapping[str, Any], version: tuple[int, int, int] | None
) -> Problem | None:
    """Return the problem of a Config in the form of v0.2, which later versions of the chart silently ignore."""
    if (version or _ASSUMED) < (0, 3, 0):
        return None
    fields = [f"config.{name}" for name in (*_V02_FIELDS, "defaultNamespaceContext") if config.get(name)]
    if not fields:
        return None
    several = len(fields) > 1
    values = f"{', '.join(fields)} {'have' if several else 'has'} no effect"
    since = f"the chart '{KUBOCD_CHART}' reads 'config.content' since v0.3"
    hint = f"move {'them' if several else 'it'} to 'config.content'"
    if version is None:
        hint += "; or, if the chart is v0.2, set its exact version"
    position = resource.position("spec", "values", *fields[0].split("."))
    return Problem("outdated-values", f"{values}: {since}", position, hint)


def _config(resource: Resource, config: Mapping[str, Any], namespace: str, version: tuple[int, int, int]) -> Resource:
    path: tuple[str, ...] = ("spec", "values", "config")
    if version >= (0, 3, 0):
        path = (*path, "content")
        spec = _coalesce(_CONTENT, _value(resource, config, dict, *path))
    else:
        spec = {name: config[name] for name in _V02_FIELDS if name in config}
        if version == (0, 2, 0) and config.get("defaultNamespaceContext"):
            spec["defaultNamespaceContexts"] = [config["defaultNamespaceContext"]]
    metadata = {"name": CONFIG_NAME} | ({"namespace": namespace} if namespace else {})
    return _created(resource, "Config", metadata, spec, path)


def _context(resource: Resource, item: Mapping[str, Any], index: int) -> Resource:
    path = ("spec", "values", "contexts", index)
    for name in ("name", "namespace"):
        if not item.get(name):
            raise ProblemsError.of(
                "missing-field",
                f"{dotted((*path, name))} of the chart '{KUBOCD_CHART}' is required",
                position=resource.position(*path),
            )
    spec = {name: item[name] for name in ("protected", "parents", "context") if item.get(name) is not None}
    if item.get("description"):
        spec["description"] = _unquoted(resource, str(item["description"]), (*path, "description"))
    return _created(resource, "Context", {"name": item["name"], "namespace": item["namespace"]}, spec, path)


def _unquoted(resource: Resource, text: str, path: tuple[str | int, ...]) -> Any:
    """Return a description parsed as YAML, because the chart's template inserts it without quotes."""
    try:
        document = read_document(f"description: {text}\n", resource.file.path)
    except YamlError as error:
        raise ProblemsError.of(
            "bad-yaml",
            f"the chart '{KUBOCD_CHART}' inserts this description without quotes, which is not valid YAML",
            position=resource.position(*path),
            hint="remove ': ' and ' #', or quote it twice: \"'…'\"",
        ) from error
    return _mapping(document).get("description")


def _created(
    resource: Resource,
    kind: str,
    metadata: Mapping[str, Any],
    spec: Mapping[str, Any],
    path: tuple[str | int, ...],
) -> Resource:
    value = {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    prefix = resource.prefix
    return Resource(resource.file, resource.document, value, (*prefix, *path), (*prefix, *path), resource.faults)


def _coalesce(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `values` over a chart's defaults as Helm does: maps are merged deeply, and null removes a default."""
    merged = {key: value for key, value in defaults.items() if key not in values or values[key] is not None}
    for key, value in values.items():
        if value is None and key in defaults:
            continue
        default = defaults.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            value = _coalesce(default, value)
        merged[key] = value
    return merged


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
