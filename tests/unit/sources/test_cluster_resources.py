from __future__ import annotations

import pytest

from tests.support.source_resources import API, Load, config, context, release


def test_releases_are_sorted_by_name(load: Load) -> None:
    texts = [release("b"), release("a", "", "namespace: z\n"), release("a"), release("a-b", "", "namespace: a\n")]
    loaded = load("---\n".join(texts))
    assert [one.key for one in loaded.cluster_resources.releases] == ["a/a-b", "default/a", "default/b", "z/a"]


def test_releases_and_contexts_default_to_the_namespace_of_the_cluster(load: Load) -> None:
    loaded = load(f"{release()}---\n{context()}", namespace="apps")
    assert [one.key for one in loaded.cluster_resources.releases] == ["apps/web"]
    assert [str(one.ref) for one in loaded.cluster_resources.contexts] == ["apps:base"]


@pytest.mark.parametrize("namespaces", [("", ""), ("", "namespace: default\n")])
def test_two_releases_of_one_name_are_an_error_that_names_both_files(load: Load, namespaces: tuple[str, str]) -> None:
    files = {f"{number}.yaml": release("web", "", one) for number, one in enumerate(namespaces)}
    loaded = load(files)
    assert (loaded.cluster_resources.releases, loaded.cluster_resources.failed) == ((), ("default/web",))
    problem = loaded.only()
    assert (problem.code, problem.release) == ("duplicate-resource", "default/web")
    assert "Release 'web'" in problem.message
    assert "0.yaml:4:3" in problem.message
    assert str(problem.position) == "1.yaml:4:3"


def test_each_additional_duplicate_is_reported(load: Load) -> None:
    loaded = load({f"{number}.yaml": release() for number in range(3)})
    assert [str(one.position) for one in loaded.found] == ["1.yaml:4:3", "2.yaml:4:3"]


def test_the_same_name_in_two_namespaces_or_of_two_kinds_is_valid(load: Load) -> None:
    texts = [release("web"), release("web", "", "namespace: other\n"), context("web")]
    assert load("---\n".join(texts)).said == []


def test_two_contexts_of_one_name_are_broken(load: Load) -> None:
    loaded = load({"a.yaml": context(), "b.yaml": context()})
    assert loaded.cluster_resources.contexts == ()
    ((ref, errors),) = loaded.cluster_resources.broken_contexts.items()
    assert (str(ref), errors.problems[0].code) == ("default:base", "duplicate-resource")


def test_two_configs_of_one_name_stop_every_release(load: Load) -> None:
    loaded = load({"a.yaml": config(), "b.yaml": config("conf", "", "  namespace: kubocd\n")})
    (errors,) = loaded.cluster_resources.broken_configs
    (problem,) = errors.problems
    assert problem.code == "duplicate-resource"
    assert "Config 'conf'" in problem.message
    assert "a.yaml:4:3" in problem.message


def test_a_config_in_another_namespace_is_ignored_with_a_warning(load: Load) -> None:
    text = config("conf", "", "  namespace: apps\n")
    loaded = load(text)
    assert loaded.cluster_resources.configs == ()
    problem = loaded.only()
    assert (problem.severity, problem.code, str(problem.position)) == ("warning", "ignored-config", "f.yaml:5:3")
    assert all(value in problem.message for value in ("'conf'", "'apps'", "'kubocd'"))
    chosen = load(text, kubocd_namespace="apps")
    assert (len(chosen.cluster_resources.configs), chosen.said) == (1, [])


def test_a_refused_release_has_failed_and_the_others_are_read(load: Load) -> None:
    loaded = load("---\n".join([release("a"), release("b", "x: 1"), release("c")]))
    assert [one.name for one in loaded.cluster_resources.releases] == ["a", "c"]
    assert loaded.cluster_resources.failed == ("default/b",)
    assert (loaded.only().release, loaded.only().cluster) == ("default/b", "prod")


def test_errors_of_releases_without_a_name_belong_to_no_release(load: Load) -> None:
    loaded = load("---\n".join([release("''"), release("''")]))
    assert {one.release for one in loaded.found} == {None}
    assert {one.code for one in loaded.found} == {"invalid-value"}


@pytest.mark.parametrize("kind", ["Connection", "ClusterConnection", "Contract", "ClusterContract", "Whatever"])
def test_a_kind_of_another_kubocd_version_is_ignored_with_a_warning(load: Load, kind: str) -> None:
    loaded = load(release().replace("Release", kind))
    problem = loaded.only()
    assert (problem.severity, problem.code) == ("warning", "unknown-kind")
    assert f"'{kind}'" in problem.message
    assert loaded.cluster_resources.failed == ()


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("Realease", "did you mean 'Release'?"),
        ("release", "did you mean 'Release'?"),
        ("RELEASE", "did you mean 'Release'?"),
        ("Contexts", "did you mean 'Context'?"),
        ("config", "did you mean 'Config'?"),
    ],
)
def test_a_misspelled_kind_is_an_error_and_keeps_the_written_files(load: Load, kind: str, hint: str) -> None:
    loaded = load(release().replace("Release", kind))
    problem = loaded.only()
    assert (problem.severity, problem.code, problem.hint) == ("error", "unknown-kind", hint)
    assert f"'{kind}'" in problem.message
    assert str(problem.position) == "f.yaml:2:1"
    assert loaded.cluster_resources.failed == ("default/web",)


@pytest.mark.parametrize("kind", ["", "kind:\n", "kind: [Release]\n"])
def test_a_resource_without_a_kind_is_an_error(load: Load, kind: str) -> None:
    problem = load(f"apiVersion: {API}\n{kind}metadata: {{name: x}}\n").only()
    assert (problem.severity, problem.message) == ("error", "kind is required")


CHART = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: kubocd-ctrl, namespace: flux-system}
spec:
  targetNamespace: kubocd
  install: {createNamespace: %s}
  chart: {spec: {chart: kubocd-ctrl, version: 0.3.1}}
  values: {extraNamespaces: %s}
"""


def test_namespaces_of_the_sources_and_of_the_chart_are_created_by_their_files(load: Load) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n"
    files = {
        "a.yaml": namespace % "apps" + "---\n" + namespace.replace("v1", "example.com/v1") % "other",
        "list.yaml": "apiVersion: v1\nkind: List\nitems:\n- " + (namespace % "listed").replace("\n", "\n  "),
        "z.yaml": CHART % ("true", "[{name: extra}, {name: apps}, {name: 3}, text]"),
    }
    created = load(files).cluster_resources.created_namespaces
    assert created == {"apps": "a.yaml", "listed": "list.yaml", "kubocd": "z.yaml", "extra": "z.yaml"}


@pytest.mark.parametrize("values", ["[]", "text", "{name: apps}", "null"])
def test_the_chart_creates_nothing_else(load: Load, values: str) -> None:
    assert load(CHART % ("false", values)).cluster_resources.created_namespaces == {}
