from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tests.support.source_resources import Load

REPOSITORY = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: kubocd-ctrl, namespace: flux-system}
spec: {url: "oci://quay.io/kubocd/charts/kubocd-ctrl", ref: {tag: v0.3.0}}
---
"""


def installation(
    values: str = "{}",
    *,
    version: str | None = "0.3.1",
    name: str = "kubocd",
    namespace: str = "flux-system",
    target: str | None = "kubocd",
    more: str = "",
) -> str:
    """Return a HelmRelease that installs the chart; without `version`, with a chartRef."""
    text = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
    text += f"metadata: {{name: {name}{f', namespace: {namespace}' if namespace else ''}}}\nspec:\n"
    text += f"  targetNamespace: {target}\n" if target else ""
    if version is None:
        text += "  chartRef: {kind: OCIRepository, name: kubocd-ctrl}\n"
    else:
        text += f"  chart: {{spec: {{chart: kubocd-ctrl, version: {version}}}}}\n"
    return f"{text}{textwrap.indent(more, '  ')}  values:\n{textwrap.indent(textwrap.dedent(values), '    ')}\n"


V03 = """\
config:
  content:
    clusterRoles: [storage]
    defaultHelmTimeout: 4m
"""
V02 = """\
config:
  clusterRoles: [storage]
  defaultHelmTimeout: 4m
  defaultNamespaceContexts: [one]
  defaultNamespaceContext: two
"""


def spec_of(load: Load, text: str) -> Any:
    loaded = load(text)
    assert [one for one in loaded.found if one.severity == "error"] == []
    (config,) = loaded.cluster_resources.configs
    assert (config.name, loaded.cluster_resources.kubocd_namespace) == ("conf01", "kubocd")
    return config.spec


@pytest.mark.parametrize(
    "version",
    ["0.3.0", "v0.3.1", "'= 0.3.1'", "'=v0.3.1'", "0.4.0", "0.3.1-rc.1", "1.0.0+build.5"],
)
def test_since_v03_the_content_overrides_the_chart_defaults(load: Load, version: str) -> None:
    spec = spec_of(load, installation(V03, version=version))
    assert spec["clusterRoles"] == ["storage"]
    assert spec["defaultHelmTimeout"] == "4m0s"
    assert spec["defaultHelmInterval"] == "30m0s"
    assert spec["defaultOnFailureStrategy"] == "updateOnFailure"
    assert [one["name"] for one in spec["onFailureStrategies"]] == [
        "stopOnFailure",
        "reinstallOnFailure",
        "updateOnFailure",
    ]


def test_a_null_removes_a_chart_default_and_a_list_replaces_it(load: Load) -> None:
    values = "config: {content: {defaultOnFailureStrategy: null, onFailureStrategies: [], defaultHelmTimeout: null}}"
    spec = spec_of(load, installation(values))
    assert "defaultOnFailureStrategy" not in spec
    assert spec["onFailureStrategies"] == []
    assert "defaultHelmTimeout" not in spec


@pytest.mark.parametrize(("version", "contexts"), [("0.2.0", ["two"]), ("v0.2.1", ["one"]), ("'= v0.2.9'", ["one"])])
def test_v02_reads_only_some_fields_of_the_config(load: Load, version: str, contexts: list[str]) -> None:
    spec = spec_of(load, installation(V02, version=version))
    assert spec == {"clusterRoles": ["storage"], "defaultNamespaceContexts": contexts}


@pytest.mark.parametrize(("version", "exact"), [("0.3.0", True), ("1.0.0", True), ("'*'", False)])
def test_values_of_v02_are_one_error_in_later_versions(load: Load, version: str, exact: bool) -> None:
    loaded = load(installation(V02, version=version))
    (problem,) = [one for one in loaded.found if one.severity == "error"]
    assert (problem.code, str(problem.position)) == ("outdated-values", "f.yaml:9:7")
    fields = "config.clusterRoles, config.defaultNamespaceContexts, config.defaultNamespaceContext have no effect"
    assert problem.message.startswith(fields)
    assert ("exact version" in str(problem.hint)) != exact
    assert loaded.cluster_resources.configs == ()
    assert [one.problem.message for one in loaded.cluster_resources.broken_configs] == [problem.message]


def test_values_of_v02_next_to_those_of_v03_are_a_warning(load: Load) -> None:
    loaded = load(installation(V03 + "  clusterRoles: [other]\n"))
    assert (loaded.only().severity, loaded.only().code) == ("warning", "outdated-values")
    assert loaded.only().message.startswith("config.clusterRoles has no effect")
    assert loaded.cluster_resources.configs[0].spec["clusterRoles"] == ["storage"]


@pytest.mark.parametrize("values", ["config: {clusterRoles: []}", "config: {enabled: false, clusterRoles: [a]}", "{}"])
def test_values_that_change_nothing_are_not_outdated(load: Load, values: str) -> None:
    assert load(installation(values)).said == []


@pytest.mark.parametrize(
    ("ref", "helm_timeout"),
    [
        ("tag: v0.3.0", "4m0s"),
        ("semver: '= v0.3.1'", "4m0s"),
        ("{semver: 0.3.1, tag: v0.2.1}", "4m0s"),
        ("tag: v0.2.1", None),
        ("semver: '= v0.2.1'", None),
    ],
)
def test_the_version_of_a_chartref_is_that_of_its_oci_repository(
    load: Load, ref: str, helm_timeout: str | None
) -> None:
    repository = REPOSITORY.replace("{tag: v0.3.0}", ref if ref.startswith("{") else f"{{{ref}}}")
    loaded = load({"repository.yaml": repository, "release.yaml": installation(V03 + "  x: 1\n", version=None)})
    assert loaded.said == []
    assert loaded.cluster_resources.configs[0].spec.get("defaultHelmTimeout") == helm_timeout


@pytest.mark.parametrize(
    "version",
    ["0.3.x", "'>=0.2.0 <0.3.0'", "'*'", "'~0.2'", "'0.2'", "''", "5", pytest.param(f"{'9' * 5000}.0.0", id="long")],
)
def test_a_version_range_or_no_version_is_read_as_v03_with_a_warning(load: Load, version: str) -> None:
    loaded = load(installation(V03, version=version))
    assert loaded.cluster_resources.configs[0].spec["defaultHelmTimeout"] == "4m0s"
    problem = loaded.only()
    assert (problem.severity, problem.code) == ("warning", "assumed-chart-version")
    assert str(problem.position) == "f.yaml:6:3"
    assert "chart.spec.version" in (problem.hint or "")


def test_a_chartref_without_its_oci_repository_is_read_as_v03_with_a_warning(load: Load) -> None:
    loaded = load(installation(V03, version=None))
    assert loaded.cluster_resources.configs[0].spec["clusterRoles"] == ["storage"]
    assert loaded.only().code == "assumed-chart-version"
    assert str(loaded.only().position) == "f.yaml:6:3"


def test_other_charts_are_ignored(load: Load) -> None:
    redis = installation(V03).replace("kubocd-ctrl", "redis")
    other_ref = REPOSITORY.replace("charts/kubocd-ctrl", "charts/redis") + installation(V03, version=None)
    loaded = load({"a.yaml": redis, "b.yaml": other_ref})
    assert (loaded.cluster_resources.configs, loaded.cluster_resources.kubocd_namespace, loaded.said) == (
        (),
        "kubocd",
        [],
    )


def test_a_disabled_config_is_ignored(load: Load) -> None:
    loaded = load(installation("config: {enabled: false, content: {clusterRoles: [a]}}", target="here"))
    assert (loaded.cluster_resources.configs, loaded.cluster_resources.kubocd_namespace, loaded.said) == (
        (),
        "here",
        [],
    )


def test_without_values_the_chart_defaults_apply(load: Load) -> None:
    assert spec_of(load, installation("{}"))["defaultHelmTimeout"] == "3m0s"
    assert spec_of(load, installation("config: null"))["defaultHelmTimeout"] == "3m0s"


@pytest.mark.parametrize(
    ("target", "namespace", "expected"),
    [("here", "flux-system", "here"), (None, "flux-system", "flux-system"), (None, "", "kubocd")],
)
def test_the_kubocd_namespace_is_the_target_or_that_of_the_helm_release(
    load: Load, target: str | None, namespace: str, expected: str
) -> None:
    loaded = load(installation(V03, target=target, namespace=namespace))
    assert (loaded.cluster_resources.kubocd_namespace, len(loaded.cluster_resources.configs), loaded.said) == (
        expected,
        1,
        [],
    )


CONTEXTS = """\
contexts:
  - name: base
    namespace: contexts
    description: "'a: b' # no"
    protected: true
    abstract: true
    parents: [{name: other, namespace: x}]
    context: {a: {b: 1}}
  - name: empty
    namespace: contexts
"""


def test_contexts_in_the_values_are_read(load: Load) -> None:
    loaded = load(installation(CONTEXTS))
    assert loaded.said == []
    base, empty = loaded.cluster_resources.contexts
    assert (str(base.ref), [str(one) for one in base.parents], base.context) == (
        "contexts:base",
        ["x:other"],
        {"a": {"b": 1}},
    )
    assert base.resource.value["spec"]["description"] == "a: b"
    assert "abstract" not in base.resource.value["spec"]
    assert empty.context is None
    assert str(base.position("spec", "context", "a", "b")) == "f.yaml:15:23"
    assert str(base.position("metadata", "name")) == "f.yaml:9:9"


@pytest.mark.parametrize(
    ("values", "message", "position"),
    [
        (
            "contexts: [{namespace: x}]",
            "spec.values.contexts[0].name of the chart 'kubocd-ctrl' is required",
            "f.yaml:8:16",
        ),
        (
            "contexts:\n- name: x",
            "spec.values.contexts[0].namespace of the chart 'kubocd-ctrl' is required",
            "f.yaml:9:7",
        ),
        ("contexts: [x]", "spec.values.contexts[0].name of the chart 'kubocd-ctrl' is required", "f.yaml:8:16"),
        (
            "contexts: {a: 1}",
            "spec.values.contexts of the chart 'kubocd-ctrl' must be a list, not a map",
            "f.yaml:8:5",
        ),
        (
            "config: true",
            "spec.values.config of the chart 'kubocd-ctrl' must be a map, not a boolean (true)",
            "f.yaml:8:5",
        ),
        ("config: {content: [1]}", "spec.values.config.content of the chart", "f.yaml:8:14"),
        ("[1]", "spec.values of the chart 'kubocd-ctrl' must be a map, not a list", "f.yaml:7:3"),
        (
            "contexts: [{name: a, namespace: b, description: 'c: d'}]",
            "the chart 'kubocd-ctrl' inserts this description",
            "f.yaml:8:40",
        ),
    ],
)
def test_values_that_make_helm_fail_are_an_error_and_add_no_resource(
    load: Load, values: str, message: str, position: str
) -> None:
    loaded = load(installation(values))
    problem = loaded.only()
    assert problem.message.startswith(message)
    assert str(problem.position) == position
    assert (loaded.cluster_resources.configs, loaded.cluster_resources.contexts) == ((), ())
    assert loaded.cluster_resources.kubocd_namespace == "kubocd"
    # A Config that Helm never installs counts as invalid.
    assert bool(loaded.cluster_resources.broken_configs) == (not values.startswith("contexts"))


def test_errors_in_the_content_are_located_in_the_values(load: Load) -> None:
    (errors,) = load(installation("config:\n  content:\n    clusterRole: [a]\n")).cluster_resources.broken_configs
    (error,) = errors.problems
    assert error.message == "spec.clusterRole is not a known field"
    assert str(error.position) == "f.yaml:10:9"


def test_a_numeric_context_name_is_an_error(load: Load) -> None:
    loaded = load(installation("contexts: [{name: 5, namespace: x, context: {}}]"))
    ((_, errors),) = loaded.cluster_resources.broken_contexts.items()
    assert errors.problems[0].message == "metadata.name must be a string, not a number (5)"
    assert str(errors.problems[0].position) == "f.yaml:8:16"


def test_values_from_the_cluster_are_a_warning(load: Load) -> None:
    loaded = load(installation("{}", more="valuesFrom: [{kind: ConfigMap, name: x}]\n"))
    problem = loaded.only()
    assert (problem.severity, problem.code, str(problem.position)) == ("warning", "unread-values", "f.yaml:7:3")


def test_two_installations_are_an_error_unless_one_is_selected(load: Load) -> None:
    files = {
        "a.yaml": installation(V03, target="one"),
        "b.yaml": installation(V03, name="second", target="two"),
    }
    problem = load(files).only()
    assert (problem.severity, problem.code) == ("error", "ambiguous-installation")
    assert all(value in problem.message for value in ("'one'", "'two'", "a.yaml:3:12"))
    assert str(problem.position) == "b.yaml:3:12"
    chosen = load(files, kubocd_namespace="two")
    assert [one.position().path for one in chosen.cluster_resources.configs] == ["b.yaml"]
    assert [one.code for one in chosen.found] == ["ignored-config"]


def test_two_installations_in_one_namespace_are_one_config_twice(load: Load) -> None:
    loaded = load({"a.yaml": installation(V03), "b.yaml": installation(V03, name="second")})
    (errors,) = loaded.cluster_resources.broken_configs
    assert [error.code for error in errors.problems] == ["duplicate-resource"]
    assert "Config 'conf01'" in errors.problems[0].message
    assert "a.yaml:9:7" in errors.problems[0].message
