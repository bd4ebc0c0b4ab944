"""Warnings: unused Contexts, secrets in Git, environment variables in a manifest."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Sequence
from typing import Any

import pytest

from kubocd_gen.compiler.settings import Settings, combine_configs, package_source
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.model.compilation import Resolved
from kubocd_gen.model.resources import Context, ContextRef, Release
from kubocd_gen.pipeline.secret_search import SecretSearch
from kubocd_gen.pipeline.source_warnings import (
    secrets_in_definitions,
    secrets_in_release,
    warn_of_variables,
)
from kubocd_gen.pipeline.unused_contexts import warn_of_unused
from kubocd_gen.sources.cluster_resources import ClusterResources
from tests.support.records import config, context, package, release
from tests.support.workspace import WEB, WEB_MANIFEST

MANIFEST = f"oci://{WEB}/original.yaml"


def resolved(one: Release, manifest: str = WEB_MANIFEST) -> Resolved:
    return Resolved(one, package(manifest), package_source(one, Settings()), one.contexts, {})


def warn_of_likely_mistakes(
    resources: ClusterResources,
    settings: Settings,
    compiled: Sequence[Resolved],
    problems: Problems,
    *,
    complete: bool,
) -> None:
    """Warn of everything, as a compilation does."""
    search = SecretSearch()
    warn_of_variables(compiled, problems)
    for one in resources.releases:
        for problem in secrets_in_release(one, search):
            problems.warning(problem, release=one.key)
    for problem in secrets_in_definitions(resources, search):
        problems.warning(problem)
    if resources.releases:
        warn_of_unused(resources, (), settings, problems, complete=complete)


def noticed(
    releases: Sequence[Release],
    contexts: Sequence[Context] = (),
    *,
    settings: Settings | None = None,
    broken: Sequence[Release] = (),
    refused: Sequence[str] = (),
    refused_contexts: Sequence[str] = (),
    complete: bool = True,
    manifest: str = WEB_MANIFEST,
) -> list[Problem]:
    """Return the warnings if `broken` Releases have no package or context, and `refused` ones are not admitted."""
    no_contexts = {ContextRef("default", name): ProblemsError() for name in refused_contexts}
    resources = ClusterResources("kubocd", (*releases, *broken), tuple(contexts), (), no_contexts, (), tuple(refused))
    findings = Problems("default")
    warn_of_likely_mistakes(
        resources, settings or Settings(), [resolved(one, manifest) for one in releases], findings, complete=complete
    )
    found = list(findings)
    assert {one.severity for one in found} <= {"warning"}
    return found


def unused(*releases: Release, contexts: Sequence[Context], **more: Any) -> list[str]:
    """Return the Contexts that are reported as unused."""
    found = noticed(releases, contexts, **more)
    assert {one.code for one in found} <= {"unused-context"}
    return [one.message.split("'")[1] for one in found]


def secrets(parameters: Any) -> list[str]:
    """Return the parameters that are reported as secrets."""
    found = noticed([release(parameters=parameters)])
    assert {(one.code, one.release) for one in found} <= {("literal-secret", "default/web")}
    return [one.message.split("'")[1] for one in found]


def test_an_unused_context_is_a_warning_at_its_name() -> None:
    (found,) = noticed([release()], [context("cluster", {})])
    assert found.code == "unused-context"
    assert "'default:cluster'" in found.message
    assert found.position == Position("cluster.yaml", 5, 3)


def test_a_context_that_a_release_names_is_used() -> None:
    one, other = context("cluster", {}), context("cluster", {}, namespace="other")
    assert unused(release(contexts=[{"name": "cluster"}]), contexts=[one, other]) == ["other:cluster"]


def test_a_default_context_is_used_even_if_every_release_skips_it() -> None:
    settings = combine_configs([config(defaultContexts=[{"name": "cluster"}])], "kubocd")
    contexts = [context("cluster", {}, namespace="kubocd"), context("cluster", {})]
    assert unused(release(skipDefaultContext=True), contexts=contexts, settings=settings) == ["default:cluster"]


@pytest.mark.parametrize("skip", [False, True])
def test_a_default_namespace_context_is_used_even_if_every_release_skips_it(skip: bool) -> None:
    settings = combine_configs([config(defaultNamespaceContexts=["project"])], "kubocd")
    contexts = [context("project", {}), context("project", {}, namespace="empty"), context("other", {})]
    one = release(skipDefaultContext=skip)
    assert unused(one, contexts=contexts, settings=settings) == ["default:other"]


def test_a_context_named_as_a_parent_is_used() -> None:
    contexts = [context("a", {}), context("b", {}, "a"), context("c", {}, "b"), context("d", {}, "b")]
    assert unused(release(contexts=[{"name": "c"}]), contexts=contexts) == ["default:d"]


def test_a_context_that_only_names_itself_is_unused() -> None:
    assert unused(release(), contexts=[context("a", {}, "a")]) == ["default:a"]


def test_only_the_contexts_named_by_a_failing_release_are_used() -> None:
    contexts = [context("cluster", {}), context("other", {})]
    broken = release("broken", contexts=[{"name": "cluster"}])
    assert unused(release(), contexts=contexts, broken=[broken]) == ["default:other"]


def test_no_context_is_reported_unused_if_a_resource_cannot_be_read() -> None:
    contexts = [context("cluster", {})]
    assert unused(release(), contexts=contexts, refused=["default/refused"]) == []
    assert unused(release(), contexts=contexts, refused_contexts=["refused"]) == []
    assert unused(release(), contexts=contexts, complete=False) == []


def test_no_context_is_reported_unused_if_its_name_may_be_misspelled() -> None:
    resources = ClusterResources("kubocd", (release(),), (context("cluster", {}),), (), {}, (), ())
    findings = Problems("default")
    findings.error(Problem("missing-context", "the Context 'default:clutser' does not exist"))
    warn_of_likely_mistakes(resources, Settings(), [], findings, complete=True)
    assert [one.code for one in findings] == ["missing-context"]


def test_no_context_is_reported_unused_without_a_release() -> None:
    assert unused(contexts=[context("cluster", {})]) == []


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "adminPassword",
        "db_passwd",
        "ssh-passphrase",
        "token",
        "apiToken",
        "credential",
        "credentials",
        "apiKey",
        "api_key",
        "API-KEY",
        "accessKey",
        "privateKey",
        "secretKey",
        "secret_key",
        "signingKey",
        "encryption-key",
        "clientSecret",
        "client_secret",
        "passwords",
        "adminPW",
        "stringData",
        "signing_key",
    ],
)
def test_a_literal_value_of_a_secret_parameter_is_a_warning(name: str) -> None:
    assert secrets({name: "tiger"}) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "passwordKey",
        "passwordSecretName",
        "tokenUrl",
        "tokenTTL",
        "secretName",
        "secretRef",
        "existingSecret",
        "credentialsSecret",
        "tlsSecret",
        "key",
        "publicKey",
        "keyName",
        "passwordSecret",
        "passwordFile",
        "existingSecretKey",
        "imagePullSecrets",
        "monkey",
        "tokenizer",
        "host",
    ],
)
def test_a_name_that_refers_to_or_describes_a_secret_does_not_count(name: str) -> None:
    assert secrets({name: "tiger"}) == []


@pytest.mark.parametrize("value", ["", None, True, 42, "{{ .Context.password }}", "a{{ `b` }}c", {}, []])
def test_an_empty_value_a_template_or_a_non_string_is_not_a_literal_secret(value: Any) -> None:
    assert secrets({"password": value}) == []


def test_literal_secrets_are_found_in_nested_maps_and_in_maps_of_lists() -> None:
    parameters = {
        "auth": {"password": "a", "user": "b"},
        "users": [{"name": "a"}, {"name": "b", "token": "c"}],
    }
    assert secrets(parameters) == ["auth.password", "users[1].token"]


def test_literal_secrets_are_found_in_lists_and_maps_of_a_secret_parameter() -> None:
    parameters = {
        "password": ["e", ["f", "{{ .Context.g }}", ""], 5],
        "token": {"value": "d"},
        "credentials": [{"stringData": {"value": "x"}}, {"user": "y", "password": "z"}],
    }
    assert secrets(parameters) == [
        "password[0]",
        "password[1][0]",
        "token.value",
        "credentials[0].stringData.value",
        "credentials[1].password",
    ]


def test_a_map_that_only_refers_to_a_secret_does_not_count() -> None:
    parameters = {
        "password": {"valueFrom": {"secretKeyRef": {"name": "web", "key": "password"}}},
        "token": {"secretName": "web", "key": "token", "audience": "vault"},
        "host": {"value": "example.com"},
    }
    assert secrets(parameters) == []


def test_a_literal_secret_is_a_warning_at_its_own_line() -> None:
    one = release(parameters={"a": 1, "auth": {"user": "x", "password": "tiger"}})
    (found,) = noticed([one])
    assert found.position is not None
    assert (found.position.path, found.position.column) == ("web.yaml", 7)
    assert one.resource.file.text.split("\n")[(found.position.line or 0) - 1].strip() == "password: tiger"


def test_parameters_given_as_a_string_are_searched() -> None:
    assert secrets("password: tiger\nhost: a\n") == ["spec.parameters"]
    assert secrets("password: {{ .Context.password }}\nhost: a\n") == []


@pytest.mark.parametrize(
    "value",
    [
        {"auth": "dXNlcjpwYXNz"},
        {"db_key": "hunter2"},
        {"jwtSecret": "a1B2c3D4e5F6g7"},
        {"env": [{"name": "DB_PASSWORD", "value": "tiger"}]},
        {"args": ["--password", "tiger"]},
        {"args": ["--password=tiger"]},
        {"passwords": {"alice": "tiger"}},
        {"manifests": [{"kind": "Secret", "stringData": {"x": "tiger"}}]},
        {"x": "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\n"},
        {"x": base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n").decode()},
        {"x": "postgres://me:tiger@db/shop"},
        {"x": "ghp_" + "a1B2" * 9},
        {"x": "a: 1\ndb: {password: tiger}\n"},
        {"x": '{"apiKey": "tiger"}'},
        {"x": '[db]\npassword = "tiger"\n'},
        {"x": "[db]\npassword = tiger\n"},
        {"x": "db.password=tiger\n"},
    ],
)
def test_a_secret_in_a_parameter_or_a_context_is_a_warning(value: Any) -> None:
    assert len(secrets(value)) == 1
    (found,) = noticed([release()], [context("cluster", value)], settings=IN_USE)
    assert found.code == "literal-secret"
    assert (found.release, found.position and found.position.path) == (None, "cluster.yaml")
    assert found.message.startswith("variable '")
    assert "of the Context 'default:cluster'" in found.message


IN_USE = Settings(default_contexts=(ContextRef("default", "cluster"),))


@pytest.mark.parametrize(
    "value",
    [
        {"auth": "basic"},
        {"sort_key": "name"},
        {"jwtSecret": "my-secret"},
        {"env": [{"name": "DB_PASSWORD", "value": "$(OTHER)"}]},
        {"password": "${DB_PASSWORD}"},
        {"x": "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"},
        {"x": "postgres://me:{{ .Context.pw }}@db/shop"},
        {"x": "a: 1\npassword: {{ .Context.pw }}\n"},
        {"x": "export PASSWORD=$(cat /run/password)\n"},
        {"x": "a: 1\nexistingSecret: tiger\n"},
    ],
)
def test_a_value_that_only_refers_to_a_secret_is_not_a_warning(value: Any) -> None:
    assert secrets(value) == []


def test_patches_and_configs_are_searched() -> None:
    patch = {"values": {"adminPassword": "tiger"}}
    one = release(moduleOverrides=[{"module": "main", "specPatch": patch}])
    (found,) = noticed([one])
    assert "'values.adminPassword' of the override of module 'main'" in found.message
    assert found.position is not None
    assert one.resource.file.text.split("\n")[(found.position.line or 0) - 1].strip() == "adminPassword: tiger"
    resources = ClusterResources("kubocd", (), (), (config(specPatch=patch),), {}, (), ())
    findings = Problems("default")
    warn_of_likely_mistakes(resources, Settings(), [], findings, complete=True)
    (found,) = findings
    assert found.message.startswith("'spec.specPatch.values.adminPassword' of the Config 'conf' looks like a secret")
    assert found.position is not None
    assert found.position.path == "conf.yaml"


def test_the_secrets_of_each_release_are_reported() -> None:
    found = noticed([release("a", parameters={"token": "x"})], broken=[release("b", parameters={"token": "x"})])
    assert [(one.release, one.position and one.position.path) for one in found] == [
        ("default/a", "a.yaml"),
        ("default/b", "b.yaml"),
    ]


def variables(manifest: str) -> list[tuple[str, str]]:
    """Return the variables that are reported, each with its line and column."""
    found = noticed([release("a"), release("b")], manifest=textwrap.dedent(manifest))
    assert {(one.code, one.release) for one in found} <= {("variable-in-manifest", None)}
    return [(one.message.split("'")[1], str(one.position).removeprefix(f"{MANIFEST}:")) for one in found]


def test_a_variable_in_a_manifest_is_one_warning_at_its_line() -> None:
    assert variables(WEB_MANIFEST + "description: ${A}\nusage:\n  text: é ${B_1} ${2}\n") == [
        ("${A}", "15:14"),
        ("${B_1}", "17:11"),
        ("${2}", "17:18"),
    ]


def test_strings_that_the_controller_does_not_expand_are_not_variables() -> None:
    assert variables(WEB_MANIFEST + "description: $A $${A} ${a-b} ${} $(A) {{ $A }}\n") == []
