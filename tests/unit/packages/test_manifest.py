from __future__ import annotations

import textwrap
from typing import Any

import pytest

from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.model.package import ChartRef, Package, TemplateSource
from kubocd_gen.packages.manifest import missing_chart, read_package
from tests.support.images import package_image

REFERENCE = "registry.example.com/web:1.0.0"
PATH = f"oci://{REFERENCE}/original.yaml"
STATUS = "chartByModule: {main: {name: web, version: 1.2.3}}\n"
AGAIN = "rebuild the package with 'kubocd package'"
HEAD = "apiVersion: v1alpha1\nname: web\ntag: 1.0.0\n"
MODULE = "modules:\n  - name: main\n    source: {local: {path: chart}}\n"


def read(manifest: str | bytes, status: str = STATUS) -> Package:
    data = textwrap.dedent(manifest).encode() if isinstance(manifest, str) else manifest
    files = {"original.yaml": data, "status.yaml": status.encode(), "index.yaml": b""}
    return read_package(package_image(REFERENCE, files))


def refused(manifest: str | bytes, status: str = STATUS) -> list[str]:
    """Return the problems as `line:column code message`."""
    with pytest.raises(ProblemsError) as caught:
        read(manifest, status)
    return [
        f"{str(error.position).removeprefix(PATH + ':')} {error.code} {error.message}"
        for error in caught.value.problems
    ]


def test_a_small_manifest_has_kubocd_s_defaults() -> None:
    package = read(HEAD + MODULE)
    assert (package.name, package.tag, package.label, package.protected) == ("web", "1.0.0", "web:1.0.0", False)
    assert (package.reference, package.digest) == (REFERENCE, f"sha256:{'0' * 64}")
    assert package.template_header == ""
    assert package.context_schema is None
    assert package.charts == {"main": ChartRef("web", "1.2.3")}
    assert package.roles == TemplateSource(("roles",), "[]")
    assert package.dependencies == TemplateSource(("dependencies",), "[]")
    assert package.description == TemplateSource(("description",))
    (module,) = package.modules
    assert dict(module.templates()) == {
        "values": TemplateSource(("modules", 0, "values"), header=False),
        "specPatch": TemplateSource(("modules", 0, "specPatch"), header=False),
        "timeout": TemplateSource(("modules", 0, "timeout")),
        "interval": TemplateSource(("modules", 0, "interval")),
        "targetNamespace": TemplateSource(("modules", 0, "targetNamespace"), "{{.Release.spec.targetNamespace}}"),
        "enabled": TemplateSource(("modules", 0, "enabled"), "true"),
        "dependsOn": TemplateSource(("modules", 0, "dependsOn"), "[]"),
        "onFailureStrategy": TemplateSource(("modules", 0, "onFailureStrategy")),
    }


def test_templates_are_in_the_rendering_order_of_kubocd() -> None:
    package = read(HEAD + "usage: {b: x, a: y}\n" + MODULE + "  - source: {local: {path: other}}\n")
    labels = [label for label, _ in package.templates()]
    assert labels[:6] == ["usage.a", "usage.b", "roles", "dependencies", "description", "module 'main', values"]
    assert labels[13] == "module 'module01', values"
    assert labels[-1] == "module 'module01', onFailureStrategy"


def test_field_names_match_whatever_their_case() -> None:
    package = read(
        "APIVERSION: v1alpha1\nName: web\nTAG: 1.0.0\nProtected: true\n"
        "Modules:\n  - NAME: main\n    Source: {HelmRepository: {URL: u, Chart: c, Version: v}}\n"
        "    TargetNamespace: x\n"
    )
    assert (package.name, package.protected, package.modules[0].target_namespace.text) == ("web", True, "x")
    assert package.position("modules", 0, "name") == Position(PATH, 6, 5)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("1.10", "1.1"),
        ("1", "1"),
        ("0755", "493"),
        ("1e6", "1e+06"),
        ("yes", "true"),
        ("1.0.0", "1.0.0"),
        ("'1.10'", "1.10"),
    ],
)
def test_a_number_or_boolean_in_a_string_field_becomes_a_string(tag: str, text: str) -> None:
    assert read(HEAD.replace("1.0.0", tag) + MODULE).tag == text


def test_a_boolean_is_accepted_as_a_template() -> None:
    module = read(HEAD + MODULE + "    enabled: off\n    timeout: 5\nusage: {a: 1.50, b: }\n").modules[0]
    assert (module.enabled.text, module.timeout.text) == ("false", "5")
    assert read(HEAD + MODULE + "usage: {a: 1.50, b: }\n").usage == {
        "a": TemplateSource(("usage", "a"), "1.5"),
        "b": TemplateSource(("usage", "b"), ""),
    }


@pytest.mark.parametrize(
    ("field", "value", "source"),
    [
        ("values", "{a: 1.50, b: [0755]}", {"tree": {"a": 1.5, "b": [493]}}),
        ("values", "[a]", {"tree": ["a"]}),
        ("values", "'{{ .x }}'", {"text": "{{ .x }}"}),
        ("values", "", {"header": False}),
        ("specPatch", "{a: 123456789012345678}", {"tree": {"a": 123456789012345680}}),
        ("specPatch", "null", {"header": False}),
        ("dependsOn", "[a]", {"tree": ["a"]}),
        ("dependsOn", "null", {"text": "[]"}),
    ],
)
def test_a_template_is_a_string_or_a_tree_with_float64_numbers(field: str, value: str, source: dict[str, Any]) -> None:
    module = read(f"{HEAD}{MODULE}    {field}: {value}\n").modules[0]
    assert dict(module.templates())[field] == TemplateSource(("modules", 0, field), **source)


@pytest.mark.parametrize(
    ("field", "value", "source"),
    [("roles", "[a]", {"tree": ["a"]}), ("roles", "", {"text": "[]"}), ("dependencies", "'- a'", {"text": "- a"})],
)
def test_roles_and_dependencies_can_be_trees(field: str, value: str, source: dict[str, Any]) -> None:
    templates = dict(read(f"{HEAD}{field}: {value}\n{MODULE}").templates())
    assert templates[field] == TemplateSource((field,), **source)


REFUSED = [
    (HEAD.partition("\n")[2] + MODULE, ["1:1 bad-package apiVersion must be 'v1alpha1'"]),
    (HEAD + MODULE + "tags: x\n", ["7:1 unknown-field tags is not a known field"]),
    (HEAD + MODULE + "    value: {}\n", ["7:5 unknown-field modules[0].value is not a known field"]),
    (HEAD + MODULE + "name: again\n", ["7:1 duplicate-key the key 'name' is defined twice in the same map"]),
    (HEAD + MODULE + "protected: 'yes'\n", ["7:1 invalid-type protected must be true or false, not a string ('yes')"]),
    (HEAD + MODULE + "roles: 5\n", ["7:1 invalid-type roles must be a string, a map or a list, not 5"]),
    (
        HEAD + MODULE + "    values: true\n",
        ["7:5 invalid-type modules[0].values must be a string, a map or a list, not true"],
    ),
    (HEAD + MODULE + "usage: x\n", ["7:1 invalid-type usage must be a map, not a string ('x')"]),
    ("[a]\n", ["1:1 invalid-type the manifest must be a map, not a list"]),
    ("a: b: c\n", ["1:5 bad-yaml invalid YAML: mapping values are not allowed in this context"]),
    (HEAD + "x: {~: 1}\n", ["4:5 bad-yaml a key must be a string, not null"]),
    (HEAD.replace("v1alpha1", "v1") + MODULE, ["1:1 bad-package apiVersion must be 'v1alpha1', not 'v1'"]),
    (HEAD + "type: Other\n" + MODULE, ["4:1 bad-package type must be 'Package', not 'Other'"]),
    (HEAD.replace("web", "Web") + MODULE, ["2:1 bad-package 'Web' is not a valid package name"]),
    (HEAD.replace("web", "../x") + MODULE, ["2:1 bad-package '../x' is not a valid package name"]),
    (HEAD.replace("web", "a.b") + MODULE, ["2:1 bad-package 'a.b' is not a valid package name"]),
    (
        HEAD.replace("web", '"a\\n"') + MODULE,
        ["2:1 bad-package 'a\\n' is not a valid package name"],
    ),
    (HEAD.replace("tag: 1.0.0", "tag:") + MODULE, ["3:1 bad-package tag must be set"]),
    (HEAD, ["1:1 bad-package a package must have at least one module"]),
    (HEAD + "modules: []\n", ["4:1 bad-package a package must have at least one module"]),
    (
        HEAD + MODULE + MODULE.removeprefix("modules:\n"),
        ["7:5 bad-package two modules are named 'main'"],
    ),
    (
        HEAD + MODULE + "    type: Kustomize\n",
        ["7:5 bad-package module 'main': type must be 'HelmChart', not 'Kustomize'"],
    ),
]


@pytest.mark.parametrize(("manifest", "problems"), REFUSED)
def test_a_manifest_that_kubocd_refuses_is_an_error_with_its_line(manifest: str, problems: list[str]) -> None:
    found = refused(manifest)
    assert [one for one in found if one in problems] == problems
    assert len(found) == len(problems)


SOURCES = [
    ("{}", "source must have exactly one of helmRepository, oci, git, local, not none"),
    ("{local: {path: a}, oci: {repository: r, tag: t}}", "source must have exactly one of"),
    ("{helmRepository: {url: u, chart: c}}", "source.helmRepository.version must be set"),
    ("{helmRepository: {url: u, version: v}}", "source.helmRepository.chart must be set"),
    ("{helmRepository: {chart: c, version: v}}", "source.helmRepository.url must be set"),
    ("{oci: {repository: r}}", "source.oci.tag must be set"),
    ("{git: {url: u, path: p}}", "source.git must have either a branch or a tag"),
    ("{git: {url: u, path: p, branch: b, tag: t}}", "source.git must have either a branch or a tag"),
    ("{git: {path: p, branch: b}}", "source.git.url must be set"),
]


@pytest.mark.parametrize(("source", "words"), SOURCES)
def test_a_module_has_exactly_one_complete_source(source: str, words: str) -> None:
    (problem,) = refused(f"{HEAD}modules:\n  - name: main\n    source: {source}\n")
    assert problem.startswith("6:")
    assert f"module 'main': {words}" in problem


@pytest.mark.parametrize(
    "source",
    [
        "{helmRepository: {url: u, chart: c, version: 1.10}}",
        "{oci: {repository: r, tag: t, insecure: true}}",
        "{git: {url: u, path: p, branch: b}}",
        "{git: {url: u, path: p, tag: t, extraFilePrefixes: [x]}}",
        "{local: {path: p}}",
        "{local: {path: p}, oci: null}",
    ],
)
def test_a_source_has_one_of_four_kinds(source: str) -> None:
    assert read(f"{HEAD}modules:\n  - name: main\n    source: {source}\n").modules[0].name == "main"


def test_every_problem_of_a_manifest_is_reported() -> None:
    found = refused("apiVersion: v2\nname: Web\nmodules:\n  - source: {}\n  - {name: module00, source: {oci: {}}}\n")
    assert [one.partition(" bad-package ")[0] for one in found] == ["1:1", "1:1", "2:1", "4:5", "5:31", "5:31", "5:6"]


SCHEMA = """\
schema:
  parameters:
    properties:
      replicas:
        type: integr
"""


def test_an_error_in_a_schema_has_its_line() -> None:
    (problem,) = refused(HEAD + MODULE + SCHEMA)
    assert problem.startswith("11:9 invalid-package-schema schema.parameters: ")


def test_a_schema_of_the_context_is_read() -> None:
    package = read(HEAD + MODULE + "schema:\n  context:\n    properties: {a: {type: string, default: b}}\n")
    assert package.context_schema is not None
    assert package.context_schema.defaults == {"a": "b"}


def test_only_the_first_document_counts() -> None:
    assert read(f"{HEAD}{MODULE}---\n]").name == "web"


@pytest.mark.parametrize("data", [(HEAD + MODULE).replace("\n", "\r\n").encode(), (HEAD + MODULE).encode("utf-8-sig")])
def test_a_manifest_can_have_any_line_ending_and_a_byte_order_mark(data: bytes) -> None:
    assert read(data).name == "web"


def test_a_manifest_that_is_not_utf_8_is_refused() -> None:
    (problem,) = refused(b"name: caf\xe9\n")
    assert problem == f"{PATH} bad-package the manifest is not valid UTF-8"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("chartByModule: {main: {name: web}}", "has no chart name and version for module 'main'"),
        ("chartByModule: {main: web}", "has no chart name and version for module 'main'"),
        ("chartByModule: {main: {name: [x], version: 1}}", "has no chart name and version for module 'main'"),
        ("chartByModule: {main: {name: web, version: {a: b}}}", "has no chart name and version for module 'main'"),
        ("chartByModule: {main: {name: null, version: 1}}", "has no chart name and version for module 'main'"),
        ("chartByModule: {main: }", "has no chart name and version for module 'main'"),
        ("chartByModule: {'\x1b[2J': 1}", "bad-yaml"),
        ("chartByModule: {main: {name: web, version: 1}, main: {}}", "has no chart name and version for module 'main'"),
        ("a: [", "bad-yaml"),
        ("[" * 20_000, "yaml-limit"),
    ],
)
def test_a_status_without_a_valid_chart_is_an_error(status: str, words: str) -> None:
    (problem,) = refused(HEAD + MODULE, status)
    assert words in problem
    assert problem.startswith(f"oci://{REFERENCE}/status.yaml")


@pytest.mark.parametrize("status", ["", "[]", "chartByModule: x", "apiVersion: v1"])
def test_a_module_without_a_chart_is_an_error_only_when_it_is_deployed(status: str) -> None:
    package = read(HEAD + MODULE, status)
    assert package.charts == {}
    error = missing_chart(package, "main")
    assert error.message == "package web:1.0.0 has no chart for module 'main'"
    assert (error.position, error.hint) == (
        Position(PATH, 4, 1),
        f"'chartByModule' in 'status.yaml' lacks this module; {AGAIN}",
    )


def test_the_version_of_a_chart_can_be_a_number() -> None:
    assert read(HEAD + MODULE, "chartByModule: {main: {name: web, version: 1.10}}").charts["main"].version == "1.1"


def test_a_template_line_is_located_in_the_manifest() -> None:
    package = read(HEAD + MODULE + "    values: |\n      a: 1\n      b: {{ .x }}\n    specPatch: {a: 1}\n")
    module = package.modules[0]
    assert package.template_position(module.values, 2, 4) == Position(PATH, 9, 10)
    assert package.template_position(module.spec_patch, 2, 4) == Position(PATH, 10, 5)
    assert package.template_position(module.enabled, 1, 1) == Position(PATH, 5, 5)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_manifest_is_one_problem(text: str) -> None:
    assert refused(text) == [f"{PATH} bad-package the manifest is empty"]


def test_a_manifest_without_fields_is_an_error_for_each_required_field() -> None:
    assert [one.split(" bad-package ")[1] for one in refused("{}\n")] == [
        "apiVersion must be 'v1alpha1'",
        "name must be set",
        "tag must be set",
        "a package must have at least one module",
    ]


@pytest.mark.parametrize("character", ["\\x7f", "\\x92", "\\ufffe"])
@pytest.mark.parametrize(
    ("field", "where"),
    [
        ('description: "%s"', "4:1"),
        ('usage: {"k%s": x}', "4:9"),
        ('roles: ["a%s"]', "4:9"),
        ('schema: {parameters: {properties: {a: {type: string, description: "%s"}}}}', "4:54"),
    ],
)
def test_a_manifest_that_kubocd_cannot_print_is_refused(field: str, where: str, character: str) -> None:
    (error,) = refused(f"{HEAD}{field.replace('%s', character)}\n{MODULE}")
    assert error.startswith(f"{where} invalid-value ")


@pytest.mark.parametrize("field", ["values", "specPatch"])
def test_a_tree_that_kubocd_cannot_print_is_refused(field: str) -> None:
    for tree in (
        '{a: [{b: "It\\x92s"}]}',
        f"{{? {'k' * 1023} : 1}}",
        '{"a\\N": 1}',
        '{"<<": 5}',
        '{"<<": {a: 1}, a: 2}',
    ):
        (error,) = refused(f"{HEAD}{MODULE}    {field}: {tree}\n")
        assert error.startswith("7:")
        assert " invalid-value " in error


def test_a_manifest_is_read_as_the_packager_prints_it() -> None:
    package = read(f'{HEAD}description: "one\\Ntwo"\n{MODULE}    values: {{"<<": {{a: "x\\N\\Ny"}}, b: 1}}\n')
    assert package.description.text == "one two"
    assert package.modules[0].values.tree == {"a": "x\ny", "b": 1}
