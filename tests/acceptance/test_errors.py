"""What a user reads when something is wrong: one complete error of each kind, so that the wording is reviewed too.

Whatever the problem, nothing is written: the output of an earlier build is unchanged byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support import hostile
from tests.support.images import gzipped, write_layout
from tests.support.kubocd_resources import config, context, invalid_config, unknown_parameter
from tests.support.workspace import (
    WEB,
    WEB_MANIFEST,
    Workspace,
    files_below,
)

Prepare = Callable[[Workspace], object]


def broken_yaml(workspace: Workspace) -> None:
    workspace.source(
        "web.yaml",
        """\
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Release
        metadata: {name: web, namespace: default
        spec: {}
        """,
    )


def unknown_field(workspace: Workspace) -> None:
    workspace.release("web", "parametres: {replicas: 2}")


def missing_field(workspace: Workspace) -> None:
    workspace.source(
        "web.yaml",
        """\
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Release
        metadata: {name: web}
        spec:
          package: {repository: registry.example.com/demo/web}
        """,
    )


def parameter_of_another_type(workspace: Workspace) -> None:
    workspace.release("web", "parameters:\n  replicas: two")


def parameters_of_one_line(workspace: Workspace) -> None:
    workspace.release("web", "parameters: 'replicas: 2'")


def double_quotes_in_a_parameter(workspace: Workspace) -> None:
    workspace.release("web", """parameters: {host: '{{ default "a" .Context.host }}'}""")


def parameters_template_error(workspace: Workspace) -> None:
    workspace.release("web", "parameters: |\n  replicas: 2\n  host: {{ .Context.missing.host }}")


def template_errors_in_a_map_of_parameters(workspace: Workspace) -> None:
    workspace.release("web", "parameters:\n  replicas: 2\n  list:\n    - a\n    - '{{ .Context.a.b }}'")
    workspace.release("app", "parameters:\n  replicas: '{{ 1 }}'\n  host: '{{ defalt `a` .Context.host }}'")
    workspace.release("api", "parameters:\n  host: '{{ .Context.host'")


def mistakes_in_a_template_of_parameters(workspace: Workspace) -> None:
    workspace.release("web", "parameters: |\n  replicas: {{ 2 }}\n  hots: a")
    workspace.release("app", "parameters: |\n  replicas: 2\n    host: a")
    workspace.release("api", "parameters:\n  replicas:2")


def missing_context(workspace: Workspace) -> None:
    workspace.source("contexts.yaml", context("cluster", "{}"))
    workspace.release("web", "contexts:\n  - name: clutser")


def context_cycle(workspace: Workspace) -> None:
    both = context("a", "{}", parent="b") + "---\n" + context("b", "{}", parent="a")
    workspace.source("contexts.yaml", both)
    workspace.release("web", "contexts: [{name: a}]")
    workspace.release("app", "contexts: [{name: b}]")


def context_against_the_packages_schema(workspace: Workspace) -> None:
    schema = "schema:\n  context: {properties: {domain: {type: string, required: true}, port: {type: integer}}}\n"
    workspace.package(WEB_MANIFEST.replace("schema:\n", schema))
    workspace.source("contexts.yaml", context("cluster", "{port: https}"))
    workspace.release("web", "contexts: [{name: cluster}]")


def missing_package(workspace: Workspace) -> None:
    workspace.release("web", package="registry.example.com/demo/web:1.0.1")
    workspace.release("app", package="registry.example.com/demo/web:1.0.1")


def corrupt_blob(workspace: Workspace) -> None:
    workspace.release("web")
    largest = max((workspace.root / "packages" / "blobs").rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"X")


def path_escape(workspace: Workspace) -> None:
    escape = hostile.tar(hostile.member("../../etc/passwd", b"root"))
    write_layout(workspace.root / "packages", {WEB: gzipped(escape)})
    workspace.release("web")


def template_error(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", "{{ .Parameters.ingress.host }}"))
    workspace.release("web")


def template_that_does_not_parse(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", "{{ if }}"))
    workspace.release("web")


def rendering_of_another_form(workspace: Workspace) -> None:
    """With a template error as well: both kinds are reported at once."""
    workspace.package(
        WEB_MANIFEST
        + "    interval: '{{ .Parameters.a.b }}'\n"
        + "    enabled: perhaps\n    timeout: 5 minutes\n    dependsOn: [mian]\n"
    )
    workspace.release("web")


def unsupported_function(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", '{{ resolveDNS "ldap.example.com" }}'))
    workspace.release("web")


def bad_duration(workspace: Workspace) -> None:
    workspace.release("web", "moduleOverrides: [{module: main, timeout: 5 minutes}]")


def unknown_field_of_a_patch(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST + "    specPatch: {install: {remediation: {retires: 3}}}\n")
    workspace.release("web")
    workspace.release("app")


def duplicate_release(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.source("again.yaml", (workspace.root / "sources" / "default-web.yaml").read_text())


def two_releases_of_one_helm_release(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("name: main", "name: b-c"), reference="registry.example.com/demo/bc:1.0.0")
    workspace.package(WEB_MANIFEST.replace("name: main", "name: c"), reference="registry.example.com/demo/c:1.0.0")
    workspace.release("a", package="registry.example.com/demo/bc:1.0.0")
    workspace.release("a-b", package="registry.example.com/demo/c:1.0.0")


def release_name_over_53_characters(workspace: Workspace) -> None:
    workspace.release("a-release-with-a-name-that-leaves-no-room-for-module")


def unmet_role(workspace: Workspace) -> None:
    workspace.release("web", "dependencies: [databse]")
    workspace.release("db", "roles: [database]")


def dependency_cycle(workspace: Workspace) -> None:
    workspace.release("a", "roles: [first]\ndependencies: [second]")
    workspace.release("b", "roles: [second]\ndependencies: [first]")


def two_default_strategies(workspace: Workspace) -> None:
    strategy = "onFailureStrategies: [{{name: {0}, strategy: {{}}}}]\n  defaultOnFailureStrategy: {0}"
    one = config(strategy.format("stop"))
    workspace.source("config.yaml", one + "---\n" + config(strategy.format("retry")).replace("conf", "other"))
    workspace.release("web")


def redirect_to_no_image(workspace: Workspace) -> None:
    workspace.source("config.yaml", config("packageRedirects: [{oldPrefix: registry.example.com, newPrefix: 'a:b:c'}]"))
    workspace.release("web")


def reference_that_no_registry_takes(workspace: Workspace) -> None:
    workspace.release("web", package="registry.example.com/Demo/web:1.0.0")


def manifest_with_mistakes(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("name: web", "name: Web").replace("type: integer", "type: int"))
    workspace.release("web")


def template_header_error(workspace: Workspace) -> None:
    header = "templateHeader: |\n  {{- $x := .Context.a.b.c -}}\n"
    workspace.package(header + WEB_MANIFEST)
    workspace.release("web")


def template_header_that_prints(workspace: Workspace) -> None:
    workspace.package('templateHeader: "h: 1\\n"\n' + WEB_MANIFEST)
    workspace.release("web")


def mistake_in_a_list_of_a_patch(workspace: Workspace) -> None:
    workspace.release("web", "moduleOverrides:\n  - module: main\n    specPatch: {dependsOn: [{name: db}, {nmae: x}]}")


def undefined_strategy(workspace: Workspace) -> None:
    workspace.source("config.yaml", config("onFailureStrategies: [{name: rollback, strategy: {}}]"))
    workspace.release("web", "moduleOverrides: [{module: main, onFailureStrategy: rolback}]")


def foreign_file(workspace: Workspace) -> None:
    workspace.release("web")
    theirs = workspace.output / "flux" / "default" / "web.yaml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("kind: Theirs\n")


def missing_source(workspace: Workspace) -> None:
    """The directory `sources` does not exist."""


def missing_vendor_layout(workspace: Workspace) -> None:
    workspace.release("web")
    (workspace.root / "packages" / "oci-layout").unlink()


def control_characters(workspace: Workspace) -> None:
    workspace.source(
        "web.yaml",
        r"""
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Release
        metadata: {name: web}
        spec:
          package: {repository: registry.example.com/demo/web, tag: 1.0.0}
          dependencies: ["\e[2J\u202Erole\n"]
          "\e]0;title\a": 1
        """,
    )


def days_in_an_interval(workspace: Workspace) -> None:
    workspace.source(
        "web.yaml",
        """\
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Release
        metadata: {name: web}
        spec:
          package: {repository: registry.example.com/demo/web, tag: 1.0.0, interval: 1d, timeout: 1h}
        """,
    )


def duration_in_a_patch(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST + "    specPatch: {timeout: abc}\n")
    workspace.release("web")


def field_of_an_older_version(workspace: Workspace) -> None:
    workspace.release("web", "specPatchByModule: {main: {timeout: 5m}}")


def unclosed_action(workspace: Workspace) -> None:
    values = "      {{- if .Parameters.host }}\n      host: {{ .Parameters.host }}\n"
    workspace.package(WEB_MANIFEST.replace("      host: {{ .Parameters.host }}\n", values))
    workspace.release("web")


def rendering_that_is_not_yaml(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("host: {{ .Parameters.host }}", "host: 'a: {{ .Parameters.host }}"))
    workspace.release("web")


def chart_and_chart_ref(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST + "    specPatch: {chartRef: {kind: OCIRepository, name: web}}\n")
    workspace.release("web")


def empty_manifest(workspace: Workspace) -> None:
    workspace.package("# nothing\n", status="{}")
    workspace.release("web")


def missing_blob(workspace: Workspace) -> None:
    workspace.release("web")
    largest = max((workspace.root / "packages" / "blobs").rglob("*"), key=lambda path: path.stat().st_size)
    largest.unlink()


def missing_context_among_many(workspace: Workspace) -> None:
    names = [f"cluster-{number}" for number in range(20)]
    workspace.source("contexts.yaml", "---\n".join(context(name, "{}") for name in names))
    workspace.release("web", "contexts: [{name: production}]")


def context_in_another_namespace(workspace: Workspace) -> None:
    workspace.source("contexts.yaml", context("cluster", "{}"))
    workspace.release("web", "contexts: [{name: cluster}]", namespace="apps")


def context_without_variables(workspace: Workspace) -> None:
    workspace.source("contexts.yaml", context("cluster", ""))
    workspace.release("web", "contexts: [{name: cluster}]")


def config_in_the_chart_that_helm_refuses(workspace: Workspace) -> None:
    for name in "ab":
        workspace.release(name)
    chart = "spec:\n  chart: {spec: {chart: kubocd-ctrl, version: 0.3.1}}\n  values: {config: {content: [1]}}\n"
    head = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: kubocd, namespace: kubocd}\n"
    workspace.source("kubocd.yaml", head + chart)


def config_that_is_not_yaml(workspace: Workspace) -> None:
    workspace.source("config.yaml", config("clusterRoles: [a"))
    for name in "ab":
        workspace.release(name)


def image_without_a_registry(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", '{{ imageRedirect "nginx:1.27" $ }}'))
    workspace.release("web")


def several_at_once(workspace: Workspace) -> None:
    unknown_parameter(workspace)
    workspace.release("app", "contexts: [{name: nowhere}]\nparameters: {replicas: -}")
    workspace.release("db", "moduleOverrides: [{module: main, specPatch: [1]}]")
    workspace.source("broken.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: [\n")


KINDS = [
    broken_yaml,
    unknown_field,
    missing_field,
    unknown_parameter,
    parameter_of_another_type,
    parameters_of_one_line,
    double_quotes_in_a_parameter,
    parameters_template_error,
    template_errors_in_a_map_of_parameters,
    mistakes_in_a_template_of_parameters,
    missing_context,
    context_cycle,
    context_against_the_packages_schema,
    missing_package,
    corrupt_blob,
    path_escape,
    template_error,
    template_that_does_not_parse,
    rendering_of_another_form,
    unsupported_function,
    bad_duration,
    unknown_field_of_a_patch,
    duplicate_release,
    two_releases_of_one_helm_release,
    release_name_over_53_characters,
    unmet_role,
    dependency_cycle,
    invalid_config,
    two_default_strategies,
    redirect_to_no_image,
    reference_that_no_registry_takes,
    manifest_with_mistakes,
    template_header_error,
    template_header_that_prints,
    mistake_in_a_list_of_a_patch,
    undefined_strategy,
    foreign_file,
    missing_source,
    missing_vendor_layout,
    control_characters,
    days_in_an_interval,
    duration_in_a_patch,
    field_of_an_older_version,
    unclosed_action,
    rendering_that_is_not_yaml,
    chart_and_chart_ref,
    empty_manifest,
    missing_blob,
    missing_context_among_many,
    context_in_another_namespace,
    context_without_variables,
    config_in_the_chart_that_helm_refuses,
    config_that_is_not_yaml,
    image_without_a_registry,
    several_at_once,
]


@pytest.mark.parametrize("prepare", KINDS, ids=lambda prepare: prepare.__name__)
def test_a_problem_is_reported_with_its_position_and_nothing_is_written(
    prepare: Prepare, workspace: Workspace, snapshot: SnapshotAssertion
) -> None:
    prepare(workspace)
    before = files_below(workspace.output)
    outcome = workspace.build()
    assert outcome.text == snapshot
    assert outcome.exit == 1
    assert "\x1b" not in outcome.err
    assert files_below(workspace.output) == before
