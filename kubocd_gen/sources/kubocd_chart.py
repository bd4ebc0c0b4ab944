"""Configs and Contexts that reach the cluster as values of the `kubocd-ctrl` Helm chart.

Most clusters have no Config file: a Flux HelmRelease installs KuboCD's controller and carries the Config and some
Contexts in its values. What the chart makes of them depends on its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diagnostics.wording import described, dotted
from kubocd_gen.kube_yaml.errors import YamlError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.model.resources import Resource
from kubocd_gen.sources.documents import KUBOCD_CHART

CONFIG_NAME = "conf01"
_RETRY = {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m0s"}}
_REMEDIATE = {"strategy": {"name": "RemediateOnFailure"}, "remediation": {"retries": 10}}
# The chart's own values since v0.3.0: facts of the chart, merged under what the user gives.
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
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_EXACT = re.compile(r"\s*=?\s*v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?\s*")
_ASSUMED = (0, 3, 0)

_Given = TypeVar("_Given", dict[str, Any], list[Any])


@dataclass(frozen=True, slots=True)
class Installation:
    """KuboCD's controller as the checkout installs it: its namespace (or empty), and what its chart makes there.

    `broken_config` is why the chart makes nothing although its values hold a Config: that Config counts as invalid.
    """

    release: Resource
    namespace: str
    resources: tuple[Resource, ...]
    broken_config: ProblemsError | None = None


def find_installations(resources: Sequence[Resource], findings: Problems) -> list[Installation]:
    """The installations of the `kubocd-ctrl` chart among `resources`, with the Configs and Contexts that they carry."""
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
            findings.warning(
                Problem(
                    "assumed-chart-version",
                    f"the version of the chart '{KUBOCD_CHART}' is not known, v0.3 is assumed",
                    position=resource.position("spec", "chart" if "chart" in resource.spec else "chartRef"),
                    hint="give the exact version in 'chart.spec.version', or in 'ref.tag' of the OCIRepository",
                )
            )
        if resource.spec.get("valuesFrom"):
            findings.warning(
                Problem(
                    "unread-values",
                    f"'valuesFrom' of the chart '{KUBOCD_CHART}' is not read: what it holds is in the cluster",
                    position=resource.position("spec", "valuesFrom"),
                    hint="write the Config and the Contexts in 'values', or as resources",
                )
            )
        namespace = _text(resource.spec.get("targetNamespace")) or resource.namespace
        try:
            found.append(Installation(resource, namespace, tuple(_carried(resource, namespace, version or _ASSUMED))))
        except ProblemsError as error:
            # Helm fails on the whole chart then, so that nothing of it reaches the cluster.
            findings.error(error)
            values = resource.spec.get("values")
            holds_config = not isinstance(values, Mapping) or "config" in values
            found.append(Installation(resource, namespace, (), error if holds_config else None))
    return found


def _chart_version(
    resource: Resource, repositories: Mapping[tuple[str, str], Resource]
) -> tuple[bool, tuple[int, int, int] | None]:
    """Whether the HelmRelease installs the chart, and its version where that is said exactly."""
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


def _exact_version(text: Any) -> tuple[int, int, int] | None:
    match = _VERSION.search(text) if isinstance(text, str) and _EXACT.fullmatch(text) else None
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _carried(resource: Resource, namespace: str, version: tuple[int, int, int]) -> Iterator[Resource]:
    values = _given(resource, resource.spec, dict, "spec", "values")
    config = _given(resource, values, dict, "spec", "values", "config")
    if config.get("enabled", True):
        yield _config(resource, config, namespace, version)
    for index, item in enumerate(_given(resource, values, list, "spec", "values", "contexts")):
        yield _context(resource, _mapping(item), index)


def _given(resource: Resource, above: Mapping[str, Any], kind: type[_Given], *place: str) -> _Given:
    """The map or list that `above` holds under the last key of `place`, empty where there is none."""
    value = above.get(place[-1])
    if value is None:
        return kind()
    if not isinstance(value, kind):
        wanted = "map" if kind is dict else "list"
        raise ProblemsError(
            Problem(
                "invalid-type",
                f"{dotted(place)} of the chart '{KUBOCD_CHART}' must be a {wanted}, not {described(value)}",
                position=resource.position(*place),
            )
        )
    return value


def _config(resource: Resource, config: Mapping[str, Any], namespace: str, version: tuple[int, int, int]) -> Resource:
    place: tuple[str, ...] = ("spec", "values", "config")
    if version >= (0, 3, 0):
        place = (*place, "content")
        spec = _coalesce(_CONTENT, _given(resource, config, dict, *place))
    else:
        spec = {name: config[name] for name in _V02_FIELDS if name in config}
        if version == (0, 2, 0) and config.get("defaultNamespaceContext"):
            spec["defaultNamespaceContexts"] = [config["defaultNamespaceContext"]]
    metadata = {"name": CONFIG_NAME} | ({"namespace": namespace} if namespace else {})
    return _made(resource, "Config", metadata, spec, place)


def _context(resource: Resource, item: Mapping[str, Any], index: int) -> Resource:
    place = ("spec", "values", "contexts", index)
    for name in ("name", "namespace"):
        if not item.get(name):
            raise ProblemsError(
                Problem(
                    "missing-field",
                    f"a context in the values of the chart '{KUBOCD_CHART}' has no {name}: Helm refuses the chart",
                    position=resource.position(*place),
                )
            )
    spec = {name: item[name] for name in ("protected", "parents", "context") if item.get(name) is not None}
    if item.get("description"):
        spec["description"] = _unquoted(resource, str(item["description"]), (*place, "description"))
    return _made(resource, "Context", {"name": item["name"], "namespace": item["namespace"]}, spec, place)


def _unquoted(resource: Resource, text: str, place: tuple[str | int, ...]) -> Any:
    """The chart writes a description without quotes, so that it is read as YAML once more."""
    try:
        read = read_document(f"description: {text}\n", resource.file.path)
    except YamlError as error:
        raise ProblemsError(
            Problem(
                "bad-yaml",
                f"the chart '{KUBOCD_CHART}' writes this description without quotes, and then it is not YAML",
                position=resource.position(*place),
                hint="leave out ': ' and ' #', or quote it twice: \"'…'\"",
            )
        ) from error
    return _mapping(read).get("description")


def _made(
    resource: Resource,
    kind: str,
    metadata: Mapping[str, Any],
    spec: Mapping[str, Any],
    place: tuple[str | int, ...],
) -> Resource:
    value = {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    prefix = resource.prefix
    return Resource(resource.file, resource.document, value, (*prefix, *place), (*prefix, *place), resource.faults)


def _coalesce(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Helm's merge of values onto a chart's own: maps deeply, a null takes the default away."""
    merged = {key: value for key, value in defaults.items() if key not in given or given[key] is not None}
    for key, value in given.items():
        if value is None and key in defaults:
            continue
        below = defaults.get(key)
        merged[key] = _coalesce(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
