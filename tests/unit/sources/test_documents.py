from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import Position
from tests.support.source_resources import API, Load, config, context, release

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def test_only_documents_of_the_kubocd_group_are_read(load: Load) -> None:
    loaded = load(
        {
            "one.yaml": f"{CONFIG_MAP}---\n{release('one')}---\n---\n- a list\n---\njust text\n",
            "sub/two.json": f'{{"apiVersion": "{API}", "kind": "Release", "metadata": {{"name": "two"}}, '
            '"spec": {"package": {"repository": "r.example.com/p", "tag": "1"}}}',
            "three.yml": context("three"),
            "notes.md": release("notes"),
            "other.yaml": CONFIG_MAP,
        }
    )
    assert [(one.kind, one.name) for one in loaded.resources] == [
        ("Release", "one"),
        ("Release", "two"),
        ("Context", "three"),
    ]
    assert (loaded.complete, loaded.said) == (True, [])


@pytest.mark.parametrize(
    "junk",
    [
        "{{- if .Values.x }}\na: 1\n{{- end }}\n",
        "a: [",
        "a: &a [*a]",
        "[" * 60_000,
        b"caf\xe9: 1",
        "%YAML 1.2\n---\na: 1\n",
        "kind: HelmRelease\napiVersion: helm.toolkit.fluxcd.io/v2\n]",
    ],
)
def test_an_invalid_file_that_does_not_mention_kubocd_is_ignored(load: Load, junk: str | bytes) -> None:
    loaded = load({"junk.yaml": junk, "web.yaml": release()})
    assert [one.name for one in loaded.resources] == ["web"]
    assert (loaded.complete, loaded.said) == (True, [])


def test_an_invalid_file_that_mentions_kubocd_is_an_error_and_earlier_documents_are_read(load: Load) -> None:
    loaded = load(f"{release('one')}---\n{CONFIG_MAP}data: a: b\n---\n{release('two')}")
    assert [one.name for one in loaded.resources] == ["one"]
    assert loaded.complete is False
    assert loaded.said == ["f.yaml:13:8: error[bad-yaml]: invalid YAML: mapping values are not allowed in this context"]


@pytest.mark.parametrize(
    "other",
    [
        f"{CONFIG_MAP}data: {{~: 1}}\n",
        f"{CONFIG_MAP}data: {{a: .inf}}\n",
        f"{CONFIG_MAP}data: {{[a]: 1}}\n",
        f"{CONFIG_MAP}data: {{a: 1, a: 2}}\n",
        f"{CONFIG_MAP}data: {{a: *nowhere}}\n",
        f'{CONFIG_MAP}data: {{a: "\\/"}}\n',
    ],
)
def test_errors_in_other_documents_do_not_affect_those_of_kubocd(load: Load, other: str) -> None:
    loaded = load(f"{release('one')}---\n{other}---\n{release('two')}")
    assert [one.name for one in loaded.cluster_resources.releases] == ["one", "two"]
    assert (loaded.complete, loaded.said) == (True, [])


def test_an_invalid_document_of_kubocd_is_an_error_and_the_others_are_read(load: Load) -> None:
    texts = [release("one"), release("bad", "parameters: {~: 1}\n"), release("two")]
    loaded = load("---\n".join([*texts, release("bad2", "parameters: {a: .nan}")]))
    assert [one.name for one in loaded.cluster_resources.releases] == ["one", "two"]
    assert loaded.complete is False
    assert loaded.said == [
        "f.yaml:18:16: error[bad-yaml]: a key must be a string, not null",
        "f.yaml:37:19: error[bad-yaml]: a number in Kubernetes must be finite",
    ]


def test_a_duplicate_key_is_an_error_of_its_own_resource(load: Load) -> None:
    loaded = load(release("one") + "---\n" + release("two", "suspended: true\nsuspended: false"))
    assert [one.name for one in loaded.cluster_resources.releases] == ["one"]
    (problem,) = loaded.said
    assert problem.startswith("f.yaml:19:3: error[duplicate-key]: the key 'suspended' ")
    assert loaded.only().release == "default/two"


LIST = f"""\
apiVersion: v1
kind: List
items:
  - scalar
  -
  - [1]
  - apiVersion: v1
    kind: ConfigMap
    data: {{a: 1, a: 2}}
  - apiVersion: {API}
    kind: Release
    metadata: {{name: one}}
    spec: {{package: {{repository: r.example.com/p, tag: 1.0.0}}}}
  - apiVersion: v1
    kind: List
    items:
      - apiVersion: {API}
        kind: Release
        metadata: {{name: two}}
        spec:
          package: {{repository: r.example.com/p, tag: 1.0.0}}
          roles: x
"""


def test_a_list_is_replaced_by_its_items_at_any_depth(load: Load) -> None:
    loaded = load(LIST)
    assert [(one.name, one.position().line) for one in loaded.resources] == [("one", 10), ("two", 17)]
    assert loaded.said == [
        "f.yaml:22:11: error[invalid-type]: spec.roles must be a list, not a string ('x')",
    ]


@pytest.mark.parametrize("items", ["", "items:", "items: {a: 1}", "items: x", "items: []"])
def test_a_list_without_items_is_empty(load: Load, items: str) -> None:
    loaded = load(f"# kubocd.kubotal.io\napiVersion: v1\nkind: List\n{items}\n")
    assert (loaded.resources, loaded.said) == ([], [])


def test_a_list_of_a_kubocd_kind_is_replaced_by_its_items(load: Load) -> None:
    item = f"{{apiVersion: {API}, kind: Context, metadata: {{name: a}}, spec: {{context: {{}}}}}}"
    loaded = load(f"apiVersion: {API}\nkind: ContextList\nmetadata: {{resourceVersion: '1'}}\nitems: [{item}]\n")
    assert [one.ref.name for one in loaded.cluster_resources.contexts] == ["a"]


def test_positions_refer_to_the_document_and_the_file(load: Load) -> None:
    loaded = load({"a/b.yaml": f"# a comment\n---\n{context()}---\n{release('web', 'parameters: {a: 1}')}"})
    web = loaded.resources[1]
    assert web.position("spec", "parameters", "a") == Position("a/b.yaml", 18, 16)
    assert web.position("spec", "missing") == Position("a/b.yaml", 14, 1)
    assert web.position("nothing") == Position("a/b.yaml", 10, 1)


@pytest.mark.parametrize(
    "data",
    [
        release().replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + release().encode(),
        release().encode("utf-16"),
        b"%YAML 1.1\n---\n" + release().encode(),
    ],
)
def test_a_file_can_have_any_line_ending_and_a_byte_order_mark(load: Load, data: bytes) -> None:
    loaded = load({"f.yaml": data})
    assert ([one.name for one in loaded.cluster_resources.releases], loaded.said) == (["web"], [])


def test_overlapping_sources_are_read_once(load: Load) -> None:
    loaded = load({"a/b/f.yaml": release()}, sources=("a", "a/b", "a/b/f.yaml", "**/*.yaml"))
    assert ([one.name for one in loaded.cluster_resources.releases], loaded.said) == (["web"], [])


def test_hidden_directories_and_the_output_are_not_sources(load: Load) -> None:
    loaded = load(
        {
            ".git/a.yaml": release(),
            "out/flux/default/b.yaml": release(),
            "out/hr/c.yaml": release(),
            "d.yaml": release(),
        },
        outputs=("out",),
    )
    assert ([one.file.path for one in loaded.resources], loaded.said) == (["d.yaml"], [])


def test_the_output_can_be_the_directory_of_the_sources(load: Load) -> None:
    loaded = load({"flux/default/b.yaml": release(), "d.yaml": release()}, outputs=(".",))
    assert [one.file.path for one in loaded.resources] == ["d.yaml"]


def test_a_source_that_cannot_be_read_makes_the_result_incomplete(load: Load, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    loaded = load(release(), sources=(".", "gone"))
    assert loaded.complete is False
    assert loaded.said == [
        "-: error[missing-source]: the source 'gone' does not exist",
        "pipe.yaml: error[unreadable-source]: this is not a regular file",
    ]


def test_variables_are_expanded_only_on_request(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG", "2.0.0")
    files = {"f.yaml": release("web", 'description: "${TAG}"'), "other.yaml": f"{CONFIG_MAP}data: {{a: '${{NONE}}'}}"}
    assert load(files).cluster_resources.releases[0].description == "${TAG}"
    assert load(files, expand_env=("TAG",)).cluster_resources.releases[0].description == "2.0.0"


def test_an_unset_variable_is_an_error_at_its_position(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NONE", raising=False)
    loaded = load(release("web", "description: ${NONE}"), expand_env=("NONE",))
    assert loaded.complete is False
    assert loaded.said == ["f.yaml:9:16: error[unset-variable]: the environment variable 'NONE' is not set or is empty"]


def test_only_the_listed_variables_are_expanded(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL", "10.0.0.7")
    loaded = load(release("web", "description: ${INTERNAL}"), expand_env=("TAG",))
    problem = loaded.only()
    assert (problem.code, str(problem.position)) == ("unlisted-variable", "f.yaml:9:16")
    assert "'INTERNAL'" in problem.message
    assert "10.0.0.7" not in str(loaded.said)


@pytest.mark.parametrize("kind", ["Release", "Context", "Config"])
@pytest.mark.parametrize(
    "api_version",
    [
        "apiVersion: kubocd.kubotal.com/v1alpha1",
        "apiVersion: kubocd.kubotal.io/v1",
        "apiVersion: kubocd.kubotal.io",
        "apiVersion: KuboCD.kubotal.io/v1alpha1",
        "apiVersion: kubocd.io/v1alpha1",
        "apiVersion: kubotal.io/v1alpha1",
        "apiVersion: kubcd.kubotl.io/v1alpha1",
        "apiVersion: v1alpha1",
        "apiVersion: v1beta2",
        "apiVersion: 1",
        "apiVersion:",
        "other: field",
    ],
)
def test_a_resource_with_a_misspelled_group_is_an_error(kind: str, api_version: str, load: Load) -> None:
    text = {"Release": release(), "Context": context(), "Config": config()}[kind]
    loaded = load({"a.yaml": text.replace(f"apiVersion: {API}", api_version)})
    resources = loaded.cluster_resources
    broken = (*resources.broken_contexts.values(), *resources.broken_configs)
    problems = [*loaded.found, *(problem for error in broken for problem in error.problems)]
    assert [problem.code for problem in problems if problem.severity == "error"] == ["unknown-version"]
    assert not (resources.releases or resources.contexts)
    if kind == "Release":
        assert resources.failed == ("default/web",)  # its output is kept


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\n",
        "kind: Config\nclusters: []\n",
        "apiVersion: helm.crossplane.io/v1beta1\nkind: Release\nmetadata: {name: x}\nspec: {}\n",
        "apiVersion: imageregistry.operator.openshift.io/v1\nkind: Config\nmetadata: {name: x}\nspec: {}\n",
        "kind: ConfigMap\nmetadata: {name: x}\nspec: {}\n",
        "kind: [Release]\nspec: {}\n",
    ],
)
def test_resources_of_other_groups_with_the_same_kind_are_ignored(text: str, load: Load) -> None:
    loaded = load({"a.yaml": text})
    assert (loaded.resources, loaded.said) == ([], [])


def test_invalid_yaml_with_a_kind_and_a_misspelled_group_of_kubocd_is_an_error(load: Load) -> None:
    text = release().replace("kubotal.io", "kubotal.com")
    loaded = load({"a.yaml": f"{text}\nbroken: [\n"})
    assert (loaded.complete, [one.code for one in loaded.found]) == (False, ["bad-yaml"])
