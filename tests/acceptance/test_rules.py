"""KuboCD's rules that need a whole compilation to observe, one per test; a single build serves all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.support.kubocd_resources import config, context
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, files_below, helm_releases

REFERENCE = "registry.example.com/demo/{}:1.0.0"
VALUES = "    values: |\n      replicas: {{ .Parameters.replicas }}\n      host: {{ .Parameters.host }}\n"
HEAD = WEB_MANIFEST.removesuffix(VALUES)
SIDE = "  - name: side\n    source: {helmRepository: {url: https://charts.example.com, chart: side, version: 1.0.0}}\n"


def set_host(field: str) -> str:
    """Return an action that appends the name of its own field to the parameter `host`."""
    return f'{{{{- $_ := set .Parameters "host" (printf "%s+{field}" .Parameters.host) }}}}'


def values(text: str) -> str:
    """Return the `values` of a module, given as a template."""
    return "    values: |\n" + "".join(f"      {line}\n" for line in text.splitlines())


PACKAGES = {
    "model": HEAD
    + values(
        "keys: {{ keys . | sortAlpha | toJson }}\n"
        "redirector: {{ kindOf .ImageRedirector }}\n"
        "kind: {{ .Release.kind }}\n"
        "missing: [{{ .Parameters.none }}]\n"
    ),
    "order": "usage: {text: '{{ .Parameters.host }}'}\n"
    + f"roles: |\n  {set_host('roles')}\n  [b, a]\n"
    + f"description: '{{{{ .Parameters.host }}}}{set_host('description')}'\n"
    + HEAD
    + values(f"{set_host('values')}\nhost: {{{{ .Parameters.host }}}}")
    + f"    enabled: off\n    interval: '{set_host('interval')}5m'\n"
    + SIDE
    + values("host: {{ .Parameters.host }}")
    + "    dependsOn: [main]\n    enabled: 'T'\n",
    "header": "templateHeader: '  '\ndescription: text\nusage: {text: '{{ .Release.metadata.name }}'}\n" + HEAD,
    "variables": 'templateHeader: |\n  {{- $host := "from-header" -}}\n  {{- define "port" }}80{{ end -}}\n'
    + HEAD
    + values('host: {{ $host }}\nport: {{ template "port" }}')
    + "    timeout: '{{ template \"port\" }}s'\n    specPatch: {maxHistory: 3}\n",
    "defines": "templateHeader: '{{- define \"x\" }}1{{ end -}}'\n"
    + HEAD
    + values('a: {{ template "x" }}')
    + "roles: null\ndependencies: null\n",
    "documents": HEAD + values("a: 1\na: 2\n---\na: 3"),
    "tree": HEAD + "    values: {host: '{{ .Parameters.host }}', mode: 0755, ratio: 1.50, on: yes, gone: null}\n",
    "creates": HEAD
    + values("interval: {{ .Release.spec.package.interval }}")
    + SIDE
    + """    dependsOn: '{{ $_ := set .Release.spec "createNamespace" true }}[]'\n"""
    + """    onFailureStrategy: '{{ $_ := set .Release.spec "createNamespace" false }}'\n""",
    "roles": HEAD + "roles: [web, ingress]\ndependencies: [storage]\n",
}
CONFIG = """\
defaultPackageInterval: 7m
  clusterRoles: [storage, dns]
  specPatch: {test: null, maxHistory: 2}
  packageRedirects:
    - oldPrefix: registry.example.com/old/
      newPrefix: registry.example.com/demo/
      timeout: 90s
      insecure: true"""
RELEASES = {
    "model": "",
    "order": "parameters: {host: given}",
    "header": "",
    "variables": "",
    "defines": "",
    "documents": "",
    "tree": "parameters: {host: '{{ 8080 }}'}",
    "roles": "roles: [web, api]\ndependencies: [dns, storage]",
    "web": "targetNamespace: apps\ncreateNamespace: true",
    "quoted": "parameters: {host: '{{ `back` }} {{ .Release.spec.package.tag }}'}",
    "creates": """parameters: |\n  {{ $_ := set .Release.spec "createNamespace" "lost" }}\n  host: h\n""",
    "asked": "parameters: |\n"
    "  replicas: 3\n"
    '  host: {{ .Parameters }} {{ hasKey . "ImageRedirector" }} {{ .Context.zone }}\n'
    "contexts: [{name: cluster}]",
    "patched": "moduleOverrides: [{module: main, specPatch: {driftDetection: {mode: warn},"
    " values: {text: '{{ .Release }}', none: null}}}]",
    "sleeping": "suspended: true\nroles: [night]",
    "interval": "moduleOverrides: [{module: main, timeout: 90m, interval: 1h30m}]",
}


class Compiled:
    """What the build of everything wrote and reported."""

    def __init__(self, workspace: Workspace, outcome: Outcome) -> None:
        self.report = {release["name"]: release for release in json.loads(outcome.out)["releases"]}
        self.specs: dict[str, Any] = dict(helm_releases(workspace.output))
        self.documents: dict[str, list[dict[str, Any]]] = {
            path.removeprefix("flux/default/").removesuffix(".yaml"): list(yaml.safe_load_all(content))
            for path, content in files_below(workspace.output).items()
            if path.startswith("flux/default/")
        }

    def values(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.specs[f"default/{name}"]["values"]
        return found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    workspace = Workspace(tmp_path_factory.mktemp("rules"))
    workspace.package()
    for name, manifest in PACKAGES.items():
        workspace.package(manifest, reference=REFERENCE.format(name))
    workspace.source("config.yaml", config(CONFIG))
    workspace.source("contexts.yaml", context("cluster", "{zone: lan}"))
    for name, spec in RELEASES.items():
        workspace.release(name, spec, package=REFERENCE.format(name) if name in PACKAGES else WEB)
    redirected = "registry.example.com/old/web:1.0.0"
    workspace.release("redirected", package=redirected)
    for name, fields in {"zero": "interval: 0s", "moved": "interval: 11m, timeout: 12s"}.items():
        workspace.release(name, package=redirected if name == "moved" else WEB)
        path = workspace.root / "sources" / f"default-{name}.yaml"
        path.write_text(path.read_text().replace("tag: 1.0.0}", f"tag: 1.0.0, {fields}}}"))
    outcome = workspace.build("--format", "json")
    assert outcome.err == ""
    return Compiled(workspace, outcome)


def test_the_model_has_context_parameters_release_and_an_opaque_image_redirector(compiled: Compiled) -> None:
    found = compiled.values("model-main")
    assert found["keys"] == ["Context", "ImageRedirector", "Parameters", "Release"]
    assert (found["redirector"], found["kind"]) == ("ptr", "Release")


def test_gos_placeholder_for_a_missing_value_is_removed(compiled: Compiled) -> None:
    assert compiled.values("model-main")["missing"] == []


def test_the_model_of_the_parameters_template_has_a_nil_map_and_an_image_redirector(compiled: Compiled) -> None:
    assert compiled.values("asked-main") == {"replicas": 3, "host": "map[] true lan"}


def test_a_map_of_parameters_is_json_and_a_rendered_number_stays_a_string(compiled: Compiled) -> None:
    assert compiled.values("tree-main")["host"] == "8080"
    assert compiled.values("quoted-main")["host"] == "back 1.0.0"


def test_the_model_is_mutable_and_later_templates_see_its_changes(compiled: Compiled) -> None:
    report = compiled.report["order"]
    assert report["usage"] == {"text": "given"}
    assert report["roles"] == ["a", "b"]
    assert report["description"] == "given+roles"
    assert compiled.values("order-side") == {"host": "given+roles+description+values+interval"}


def test_create_namespace_is_read_from_the_model_after_depends_on(compiled: Compiled) -> None:
    created = [compiled.specs[f"default/creates-{module}"].get("install") for module in ("main", "side")]
    assert created == [None, {"createNamespace": True}]


def test_a_disabled_module_is_rendered_but_has_no_helm_release(compiled: Compiled) -> None:
    assert [spec for spec in compiled.specs if spec.startswith("default/order")] == ["default/order-side"]


def test_depends_on_a_disabled_module_is_emitted_unchanged(compiled: Compiled) -> None:
    assert compiled.specs["default/order-side"]["dependsOn"] == [{"name": "order-main", "namespace": "default"}]


def test_enabled_is_parsed_like_parse_bool_and_can_be_a_yaml_boolean(compiled: Compiled) -> None:
    assert "default/order-main" not in compiled.specs  # `off`
    assert "default/order-side" in compiled.specs  # 'T'


def test_the_template_header_precedes_every_template_without_a_separator(compiled: Compiled) -> None:
    assert compiled.report["header"]["description"] == "  text"
    assert compiled.report["header"]["usage"] == {"text": "  header"}
    assert compiled.values("header-main") == {}


def test_every_template_has_the_variables_and_definitions_of_the_header(compiled: Compiled) -> None:
    spec = compiled.specs["default/variables-main"]
    assert spec["values"] == {"host": "from-header", "port": 80}
    assert (spec["timeout"], spec["maxHistory"]) == ("1m20s", 3)


def test_null_lists_are_rendered_as_empty_lists_and_a_missing_description_as_an_empty_string(
    compiled: Compiled,
) -> None:
    report = compiled.report["defines"]
    assert (report["roles"], report["dependencies"], report["description"]) == ([], [], "")
    assert compiled.report["header"]["roles"] == []  # "  []"
    assert compiled.values("defines-main") == {"a": 1}


def test_durations_of_overrides_and_config_are_emitted_in_gos_format(compiled: Compiled) -> None:
    spec = compiled.specs["default/interval-main"]
    assert (spec["timeout"], spec["interval"]) == ("1h30m0s", "1h30m0s")
    plain = compiled.specs["default/web-main"]
    assert (plain["timeout"], plain["interval"]) == ("2m0s", "30m0s")


def test_chart_and_version_come_from_status_yaml_and_the_source_is_the_helm_repository(
    compiled: Compiled,
) -> None:
    chart = compiled.specs["default/order-side"]["chart"]["spec"]
    assert (chart["chart"], chart["version"]) == ("side", "1.0.0")
    assert chart["sourceRef"] == {"kind": "HelmRepository", "name": "kcd-order", "namespace": "default"}


def test_the_helm_repository_is_below_the_advertised_host_by_namespace_and_release(compiled: Compiled) -> None:
    url = compiled.documents["web"][1]["spec"]["url"]
    assert url == "http://kubocd-ctrl-controller-helm-repository.kubocd.svc/hr/default/web"


def test_the_oci_repository_extracts_the_one_layer_of_a_package(compiled: Compiled) -> None:
    assert compiled.documents["web"][0]["spec"]["layerSelector"] == {
        "mediaType": "application/vnd.kubotal.kubocd.package.content.v1.tar+gzip",
        "operation": "extract",
    }


def test_only_the_first_rendered_document_counts_and_in_it_the_last_duplicate_key(compiled: Compiled) -> None:
    assert compiled.values("documents-main") == {"a": 2}


def test_a_template_given_as_a_map_is_dumped_with_its_scalar_values(compiled: Compiled) -> None:
    assert compiled.values("tree-main") == {"host": "8080", "mode": 493, "ratio": 1.5, "true": True}


def test_null_values_are_emitted_as_an_empty_map(compiled: Compiled) -> None:
    assert compiled.specs["default/header-main"]["values"] == {}


def test_roles_and_dependencies_of_package_and_release_are_merged_sorted_and_unique(compiled: Compiled) -> None:
    report = compiled.report["roles"]
    assert report["roles"] == ["api", "ingress", "web"]
    assert report["dependencies"] == ["dns", "storage"]


def test_a_package_without_interval_and_timeout_has_the_crds_defaults(compiled: Compiled) -> None:
    oci, helm, *_ = compiled.documents["web"]
    assert (oci["spec"]["interval"], oci["spec"]["timeout"]) == ("5m0s", "1m0s")
    assert helm["spec"]["interval"] == "5m0s"


def test_an_interval_of_zero_is_replaced_by_configs_default(compiled: Compiled) -> None:
    oci, helm, release = compiled.documents["zero"]
    assert (oci["spec"]["interval"], helm["spec"]["interval"]) == ("7m0s", "7m0s")
    assert release["spec"]["chart"]["spec"]["interval"] == "7m0s"


def test_after_a_redirect_the_other_fields_of_the_oci_repository_come_from_the_redirect(compiled: Compiled) -> None:
    oci = compiled.documents["moved"][0]["spec"]
    assert oci == {
        "insecure": True,
        "interval": "0s",
        "layerSelector": oci["layerSelector"],
        "ref": {"tag": "1.0.0"},
        "timeout": "1m30s",
        "url": "oci://registry.example.com/demo/web",
    }


def test_after_a_redirect_helm_repository_and_chart_keep_the_interval_of_the_release(compiled: Compiled) -> None:
    _, helm, release = compiled.documents["moved"]
    assert helm["spec"]["interval"] == "11m0s"
    assert release["spec"]["chart"]["spec"]["interval"] == "11m0s"


def test_a_suspended_release_has_repositories_but_no_helm_release(compiled: Compiled) -> None:
    assert [document["kind"] for document in compiled.documents["sleeping"]] == ["OCIRepository", "HelmRepository"]


def test_resources_are_emitted_in_the_namespace_of_the_release_ordered_by_kind(compiled: Compiled) -> None:
    documents = compiled.documents["web"]
    assert [(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in documents] == [
        ("OCIRepository", "default", "kcd-web"),
        ("HelmRepository", "default", "kcd-web"),
        ("HelmRelease", "default", "web-main"),
    ]
    spec = documents[2]["spec"]
    assert (spec["targetNamespace"], spec["releaseName"]) == ("apps", "web-main")
    assert spec["install"] == {"createNamespace": True}


def test_an_empty_target_namespace_is_the_namespace_of_the_release(compiled: Compiled) -> None:
    assert compiled.specs["default/zero-main"]["targetNamespace"] == "default"


def test_no_resource_has_an_owner(compiled: Compiled) -> None:
    metadata = [one["metadata"] for documents in compiled.documents.values() for one in documents]
    assert {key for one in metadata for key in one} == {"name", "namespace", "labels", "annotations"}


def test_the_spec_patch_of_an_override_is_neither_a_template_nor_pruned(compiled: Compiled) -> None:
    spec = compiled.specs["default/patched-main"]
    assert spec["values"] == {"replicas": 1, "text": "{{ .Release }}", "none": None}
    assert spec["driftDetection"] == {"mode": "warn"}


def test_configs_spec_patch_is_merged_into_every_helm_release_before_the_modules_own(compiled: Compiled) -> None:
    assert compiled.specs["default/web-main"]["maxHistory"] == 2
    assert compiled.specs["default/variables-main"]["maxHistory"] == 3


def broken(workspace: Workspace, manifest: str, spec: str = "") -> list[str]:
    """Return the problems of a Release of the package `WEB` with this manifest, without locations and codes."""
    workspace.package(manifest)
    workspace.release("web", spec)
    outcome = workspace.build()
    assert outcome.exit == 1
    return [line.partition("]: ")[2] for line in outcome.err.splitlines() if "error[" in line]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('unset .Release.spec "createNamespace"', "to a value that is not a boolean"),
        ('set .Release.spec "createNamespace" "true"', "to a value that is not a boolean"),
        ('unset .Release "spec"', "nil pointer evaluating interface {}.createNamespace"),
    ],
)
def test_a_create_namespace_that_is_not_a_boolean_in_the_model_is_an_error(
    workspace: Workspace, change: str, message: str
) -> None:
    workspace.package(HEAD + values(f"{{{{ $_ := {change} }}}}a: 1"), reference=REFERENCE.format("x"))
    workspace.release("x", package=REFERENCE.format("x"))
    outcome = workspace.build()
    assert outcome.exit == 1
    assert message in outcome.err
    assert "original.yaml:10:5" in outcome.err


def test_an_interval_of_zero_is_the_default_of_the_config_in_templates_too(workspace: Workspace) -> None:
    workspace.source("config.yaml", config("defaultPackageInterval: 7m"))
    workspace.package(HEAD + values("x: {{ .Release.spec.package.interval }}"), reference=REFERENCE.format("x"))
    workspace.release("x", package=REFERENCE.format("x"))
    path = workspace.root / "sources" / "default-x.yaml"
    path.write_text(path.read_text().replace("tag: 1.0.0}", "tag: 1.0.0, interval: 0s}"))
    assert workspace.build().exit == 0
    assert dict(helm_releases(workspace.output))["default/x-main"]["values"] == {"x": "7m0s"}


def test_an_error_in_a_disabled_module_fails_the_release(workspace: Workspace) -> None:
    (problem,) = broken(workspace, WEB_MANIFEST + SIDE + values("{{ .a.b }}") + "    enabled: false\n")
    assert problem.startswith("package web:1.0.0, module 'side', values: nil pointer")


def test_a_template_header_that_breaks_default_templates_is_one_problem(workspace: Workspace) -> None:
    problems = broken(workspace, "templateHeader: x\n" + HEAD + "    specPatch: null\n    values: null\n")
    assert [problem.partition(" prints ")[0] for problem in problems] == ["package web:1.0.0, templateHeader"]


def test_a_template_header_with_output_breaks_enabled_durations_and_roles_but_not_null_values(
    workspace: Workspace,
) -> None:
    written = (
        "    specPatch: null\n    values: null\n    timeout: 1m\n    interval: 1m\n    enabled: true\n"
        "    dependsOn: []\nroles: []\ndependencies: []\n"
    )
    problems = broken(workspace, "templateHeader: x\n" + HEAD + written)
    fields = [
        problem.removeprefix("package web:1.0.0, ").partition(" must")[0].partition(":")[0] for problem in problems
    ]
    assert sorted(fields) == sorted(
        [
            "roles",
            "dependencies",
            "module 'main', timeout",
            "module 'main', interval",
            "module 'main', enabled",
            "module 'main', dependsOn",
        ]
    )


def test_the_parameters_template_has_no_template_header(workspace: Workspace) -> None:
    header = 'templateHeader: |\n  {{- define "port" }}80{{ end -}}\n'
    (problem,) = broken(
        workspace, header + WEB_MANIFEST, 'parameters: |\n  replicas: 2\n  host: {{ template "port" }}\n'
    )
    assert problem.startswith('spec.parameters: template "port" not defined')


def test_an_explicit_null_overrides_a_default_and_is_checked_against_the_type(workspace: Workspace) -> None:
    (problem,) = broken(workspace, WEB_MANIFEST, "parameters: {replicas: null}")
    assert problem == "parameter 'replicas' must be an integer, not null"


def test_a_quote_in_an_action_of_a_map_is_a_parse_error_and_a_rendered_one_breaks_the_yaml(
    workspace: Workspace,
) -> None:
    (parse,) = broken(workspace, WEB_MANIFEST, """parameters: {host: '{{ default "a" .Context.host }}'}""")
    assert parse.startswith("spec.parameters: unexpected")
    (breaks,) = broken(workspace, WEB_MANIFEST, "parameters: {host: '{{ quote `a` }}'}")
    assert breaks.startswith("spec.parameters does not render to valid YAML")


@pytest.mark.parametrize("text", ["parameters: ''", "parameters: 'replicas: 2'"])
def test_parameters_given_as_a_single_line_string_are_an_error(workspace: Workspace, text: str) -> None:
    (problem,) = broken(workspace, WEB_MANIFEST, text)
    assert problem.startswith("spec.parameters must render to a map")


def test_a_cluster_that_installs_kubocd_v03_with_its_chart_retries_on_failure(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.source(
        "kubocd.yaml",
        """\
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {name: kubocd, namespace: kubocd}
        spec: {chart: {spec: {chart: kubocd-ctrl, version: v0.3.1}}}
        """,
    )
    assert workspace.build().err == ""
    spec = helm_releases(workspace.output)["default/web-main"]
    retry = {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m0s"}}
    assert (spec["install"], spec["upgrade"], spec["timeout"]) == (retry, retry, "3m0s")
