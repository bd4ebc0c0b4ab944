"""Templates of many Releases in one build: failures among successes, the same name defined twice, changed models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.kubocd_resources import context
from tests.support.workspace import WEB_MANIFEST, Workspace, files_below, helm_releases

BAD = {
    "parse": "{{ if .Parameters.host }}",
    "nil": "{{ .Parameters.ingress.host }}",
    "fail": '{{ fail "no host for this cluster" }}',
    "endless": "{{ range until 60000 }}{{ range until 60000 }}{{ end }}{{ end }}",
    "form": "{{ .Parameters.host }}: {",
}
"""The template of the host in the values of a package that fails."""


def reference(name: str) -> str:
    return f"registry.example.com/demo/{name}:1.0.0"


def with_host(name: str, text: str) -> str:
    """Return the manifest of a package `name` with `text` as the host in its values."""
    return WEB_MANIFEST.replace("name: web", f"name: {name}").replace("{{ .Parameters.host }}", text)


def values_of(workspace: Workspace) -> dict[str, Any]:
    """Return the values of each HelmRelease, by the name of its Release."""
    return {key.removeprefix("default/"): spec["values"] for key, spec in helm_releases(workspace.output).items()}


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_few_failing_templates_among_a_hundred_are_all_reported_with_their_position(
    workspace: Workspace, snapshot: SnapshotAssertion
) -> None:
    for name, text in BAD.items():
        workspace.package(with_host(name, text), reference=reference(name))
        workspace.release(name, package=reference(name))
    good = [f"web{number:03d}" for number in range(100)]
    for number, name in enumerate(good):
        workspace.release(name, f"parameters: {{replicas: {number}}}")
    outcome = workspace.build("--keep-going")
    assert outcome.err == snapshot
    assert outcome.exit == 1
    assert outcome.out.splitlines()[-1] == "100 of 105 Releases compiled; 301 files written, 0 removed, 0 unchanged"
    found = values_of(workspace)
    assert {name: values["replicas"] for name, values in found.items()} == {
        f"{name}-main": number for number, name in enumerate(good)
    }
    assert not [path for path in files_below(workspace.output) if any(f"/{name}" in path for name in BAD)]


FAILURES = {
    "unknown": ("{{ nofunc .Parameters.host }}", "template-parse", "nofunc"),
    "syntax": ("{{ imageRedirect `nginx` $) }}", "template-parse", "{{"),
    "required": ("{{ required `give one` .Parameters.none }}", "template-error", "required"),
    "piped": ("{{ .Parameters.none | required `give one` }}", "template-error", "required"),
    "failed": ("{{ if true }}{{ fail `no host` }}{{ end }}", "template-error", "fail"),
    "missing": ("é {{ .Parameters.none.host }}", "template-error", ".none.host"),
    "typed": ("{{ upper 5 }}", "template-error", "5 }}"),
    "ranged": ("{{ index .Parameters.list 3 }}", "template-error", "index"),
    "compared": ("{{ eq .Parameters.replicas 1 }}", "template-error", "eq"),
    "image": ("{{ (imageRedirect 5 $).url }}", "template-error", "5 $"),
    "address": ("{{ resolveDNS `nowhere.org` }}", "unknown-host", "resolveDNS"),
    "file": ("{{ readFile `/etc/hostname` }}", "unsupported-function", "readFile"),
    "undefined": ("{{ template `host` . }}", "template-error", "`host`"),
}
"""The template of the host, the code of the error, and the string that the error points at."""


def test_a_failure_of_each_kind_has_the_line_and_the_column_of_its_cause(workspace: Workspace) -> None:
    expected = {}
    for name, (text, code, at) in FAILURES.items():
        manifest = with_host(name, text)
        workspace.package(manifest, reference=reference(name))
        workspace.release(name, package=reference(name))
        start = manifest.index(text)
        line = manifest.count("\n", 0, start) + 1
        column = manifest.index(at, start) - manifest.rindex("\n", 0, start)
        position = f"oci://registry.example.com/demo/{name}:1.0.0/original.yaml:{line}:{column}"
        expected[name] = f"{position}: error[{code}]: package {name}:1.0.0, module 'main', values: "
    workspace.release("web")
    outcome = workspace.build("--keep-going")
    reported = [line for line in outcome.err.splitlines() if "error[" in line]
    assert [name for name, start in expected.items() if not any(line.startswith(start) for line in reported)] == []
    assert len(reported) == len(FAILURES)
    assert set(values_of(workspace)) == {"web-main"}


FIELDS = ("description", "roles", "dependencies")
MODULE_FIELDS = ("specPatch", "timeout", "interval", "targetNamespace", "enabled", "dependsOn", "onFailureStrategy")


def test_every_failing_field_is_reported_with_its_line_in_one_run(workspace: Workspace) -> None:
    manifest = WEB_MANIFEST.replace("replicas: {{ .Parameters.replicas }}", '{{ fail "values" }}')
    manifest += "".join(f"    {field}: '{{{{ fail \"{field}\" }}}}'\n" for field in MODULE_FIELDS)
    manifest += "".join(f"{field}: '{{{{ fail \"{field}\" }}}}'\n" for field in FIELDS)
    manifest += 'usage:\n  text: |\n    first\n    {{ fail "usage" }}\n'
    workspace.package(manifest)
    workspace.release("web")
    outcome = workspace.build()
    lines = manifest.splitlines()
    fields = (*FIELDS, "usage", "values", *MODULE_FIELDS)
    line_of = {field: next(n for n, line in enumerate(lines, 1) if f'fail "{field}"' in line) for field in fields}
    reported = [line for line in outcome.err.splitlines() if "error[" in line]
    assert len(reported) == len(fields)
    for field, line in line_of.items():
        (one,) = (text for text in reported if text.endswith(f": {field}"))
        assert f"original.yaml:{line}:" in one


@pytest.mark.parametrize(
    ("header", "at"),
    [
        ('  {{- define "host" }}\n  {{ .none.host }}\n  {{- end }}\n', ".none.host"),
        ('  {{- $x := 1 }}\n  {{- define "host" }}{{ (resolveDNS "nowhere.org") }}{{ end }}\n', "resolveDNS"),
        ('  {{- $x := 1 }}\n  {{- define "host" }}{{ fail "no" }}{{ end }}\n', "fail"),
    ],
)
def test_a_failure_in_a_define_of_the_header_is_reported_once_at_the_header(
    workspace: Workspace, header: str, at: str
) -> None:
    manifest = f"templateHeader: |\n{header}" + with_host("web", '{{ template "host" .Parameters }}')
    manifest += "    specPatch: '{{ template \"host\" .Parameters }}'\n"
    workspace.package(manifest)
    workspace.release("web")
    start = manifest.index(at)
    # Go reports the field that was accessed on a missing value.
    column = start + (5 if at.startswith(".none") else 0) - manifest.rindex("\n", 0, start)
    outcome = workspace.build()
    (reported,) = (line for line in outcome.err.splitlines() if "error[" in line)
    code = "unknown-host" if at == "resolveDNS" else "template-error"
    position = f"original.yaml:{manifest.count(chr(10), 0, start) + 1}:{column}"
    assert f"{position}: error[{code}]: package web:1.0.0, templateHeader: " in reported


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("specPatch", "'[a]'", "must render to a map"),
        ("specPatch", "'a: {{ .Parameters.replicas }}: b'", "does not render to valid YAML"),
        ("enabled", "'{{ .Parameters.host }}'", "must render to true or false"),
        ("dependsOn", "'a: b'", "must render to a list of names"),
        ("dependsOn", "'[[a]]'", "must render to a list of names"),
        ("timeout", "'{{ .Parameters.replicas }}'", ""),
    ],
)
def test_a_rendered_value_of_the_wrong_type_is_reported_at_its_field(
    workspace: Workspace, field: str, text: str, message: str
) -> None:
    manifest = WEB_MANIFEST + f"    {field}: {text}\n"
    workspace.package(manifest)
    workspace.release("web")
    (reported,) = (line for line in workspace.build().err.splitlines() if "error[" in line)
    assert f"original.yaml:{manifest.count(chr(10))}:" in reported
    assert f"package web:1.0.0, module 'main', {field}" in reported
    assert message in reported


@pytest.mark.parametrize(
    ("character", "compiles"),
    [("\U00011f04", True), ("\U0001e4f0", True), ("\U0003ffff", False), ("\u2167", False), ("\u20ac", False)],
    ids=["letter", "digit", "unassigned", "numeral", "sign"],
)
def test_no_character_in_a_template_gives_access_to_another_context(
    workspace: Workspace, character: str, compiles: bool
) -> None:
    odd = f"$x{character} := 1"
    changes = '{{ $_ := set .Context "domain" "evil.example.org" }}{{ .Context.domain }}'
    workspace.package(with_host("evil", f"{{{{ {odd} }}}}{changes}"), reference=reference("evil"))
    workspace.release("evil", "contexts: [{name: shared}]", package=reference("evil"))
    workspace.package(with_host("good", "{{ .Context.domain }}"), reference=reference("good"))
    for name in ("before", "good"):
        workspace.release(name, "contexts: [{name: shared}]", package=reference("good"))
    workspace.source("contexts.yaml", context("shared", "{domain: good.example.com}"))
    outcome = workspace.build("--keep-going")
    hosts = {name: values["host"] for name, values in values_of(workspace).items()}
    evil = {"evil-main": "evil.example.org"} if compiles else {}
    assert hosts == {"before-main": "good.example.com", "good-main": "good.example.com"} | evil
    assert outcome.exit == (0 if compiles else 1)
    assert ("error[template-parse]: package evil:1.0.0" in outcome.err) is not compiles


def test_packages_that_define_the_same_name_are_isolated(workspace: Workspace) -> None:
    for name in ("one", "two"):
        header = f'templateHeader: |\n  {{{{- define "host" }}}}{name}.example.com{{{{ end -}}}}\n'
        manifest = header + with_host(name, '{{ template "host" . }}')
        workspace.package(manifest, reference=reference(name))
        workspace.release(name, package=reference(name))
    workspace.package(with_host("three", '{{ template "host" . }}'), reference=reference("three"))
    workspace.release("three", package=reference("three"))
    outcome = workspace.build("--keep-going")
    assert {name: values["host"] for name, values in values_of(workspace).items()} == {
        "one-main": "one.example.com",
        "two-main": "two.example.com",
    }
    assert "package three:1.0.0, module 'main', values: template \"host\" not defined" in outcome.err
    assert outcome.err.count("error[") == 1


def test_modules_that_define_the_same_name_are_isolated(workspace: Workspace) -> None:
    manifest = with_host("web", '{{ define "host" }}main{{ end }}{{ template "host" . }}')
    module = manifest[manifest.index("  - name: main") :]
    workspace.package(manifest + module.replace("name: main", "name: side").replace("}}main{{", "}}side{{"))
    workspace.release("web")
    workspace.build()
    assert {name: values["host"] for name, values in values_of(workspace).items()} == {
        "web-main": "main",
        "web-side": "side",
    }


def test_a_context_change_in_a_parameters_template_is_only_seen_by_its_own_package(
    workspace: Workspace,
) -> None:
    workspace.package(with_host("web", "{{ .Context.zone.name }}"))
    workspace.source("contexts.yaml", context("cluster", "{zone: {name: lan}}"))
    contexts = "contexts: [{name: cluster}]\n"
    change = 'parameters: |\n  {{- $_ := set .Context.zone "name" "dmz" }}\n  replicas: 2\n'
    for name, spec in {"a": contexts, "b": contexts + change, "c": contexts}.items():
        workspace.release(name, spec)
    workspace.build()
    assert {name: values["host"] for name, values in values_of(workspace).items()} == {
        "a-main": "lan",
        "b-main": "dmz",
        "c-main": "lan",
    }


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (1000000, {"text": "1e+06", "yaml": 1000000, "json": 1000000}),
        (12345678, {"text": "1.2345678e+07", "yaml": 12345678, "json": 12345678}),
        (
            123456789012345678,
            {"text": "1.2345678901234568e+17", "yaml": 123456789012345680, "json": 123456789012345680},
        ),
        (8080, {"text": "8080", "yaml": 8080, "json": 8080}),
        (1.50, {"text": "1.5", "yaml": 1.5, "json": 1.5}),
    ],
)
def test_a_number_is_a_float64_in_the_pipeline_and_is_printed_as_in_go(
    workspace: Workspace, written: float, values: Mapping[str, Any]
) -> None:
    workspace.package(
        WEB_MANIFEST.replace("replicas: {type: integer", "number: {type: number").partition("    values:")[0]
        + "    values: |\n"
        + '      text: "{{ .Parameters.number }}"\n'
        + "      yaml: {{ toYaml .Parameters.number }}\n"
        + "      json: {{ toJson .Context.number }}\n"
    )
    workspace.source("contexts.yaml", context("cluster", f"{{number: {written}}}"))
    patch = f"moduleOverrides: [{{module: main, specPatch: {{values: {{patched: {written}}}}}}}]\n"
    workspace.release("web", f"contexts: [{{name: cluster}}]\nparameters: {{number: {written}}}\n{patch}")
    outcome = workspace.build()
    assert outcome.err == ""
    assert values_of(workspace) == {"web-main": {**values, "patched": values["yaml"]}}
    text = files_below(workspace.output)["flux/default/web.yaml"].decode()
    assert f"  values:\n    json: {values['json']}\n    patched: {values['yaml']}\n" in text
