from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.model.resources import ContextRef, Release
from tests.support.source_resources import API, Load, config, context, release


def admitted(load: Load, extra: str = "", metadata: str = "") -> Release:
    loaded = load(release("web", extra, metadata))
    assert loaded.said == []
    (one,) = loaded.cluster_resources.releases
    return one


def test_the_defaults_of_the_crd_are_filled_in(load: Load) -> None:
    one = admitted(load)
    assert (one.key, one.image, one.target_namespace) == ("default/web", "registry.example.com/web:1.0.0", "default")
    assert (one.package["interval"], one.package["timeout"]) == ("5m0s", "1m0s")
    assert (one.contexts, one.parameters, one.overrides, one.protected) == ((), None, (), None)
    assert (one.create_namespace, one.suspended, one.skip_default_context) == (False, False, False)


def test_references_and_the_target_namespace_default_to_the_namespace_of_the_release(load: Load) -> None:
    one = admitted(load, "contexts: [{name: a}, {name: b, namespace: other}]", "namespace: apps\n")
    assert one.contexts == (ContextRef("apps", "a"), ContextRef("other", "b"))
    assert one.target_namespace == "apps"
    assert one.model["spec"]["contexts"] == [{"name": "a", "namespace": "apps"}, {"name": "b", "namespace": "other"}]
    assert admitted(load, "targetNamespace: there", "namespace: apps\n").target_namespace == "there"
    assert admitted(load, 'targetNamespace: ""', "namespace: apps\n").target_namespace == "apps"


def test_durations_are_printed_as_in_go(load: Load) -> None:
    overrides = "moduleOverrides: [{module: a}, {module: main, timeout: 90s, interval: 1h}]"
    one = admitted(load, overrides)
    assert (one.overrides[1].timeout, one.overrides[1].interval) == ("1m30s", "1h0m0s")
    assert one.model["spec"]["moduleOverrides"][1] == {"module": "main", "timeout": "1m30s", "interval": "1h0m0s"}


def test_the_model_is_the_object_as_serialized_by_go(load: Load) -> None:
    extra = (
        'description: ""\nroles: []\nsuspended: false\nprotected: false\nparameters: {}\ndebug: {dumpContext: false}'
    )
    assert admitted(load, extra, "labels: {a: b}\n").model == {
        "apiVersion": API,
        "kind": "Release",
        "metadata": {"name": "web", "namespace": "default", "labels": {"a": "b"}, "creationTimestamp": None},
        "spec": {
            "package": {
                "repository": "registry.example.com/web",
                "tag": "1.0.0",
                "interval": "5m0s",
                "timeout": "1m0s",
            },
            "parameters": {},
            "protected": False,
            "targetNamespace": "default",
            "createNamespace": False,
            "debug": {},
        },
        "status": {
            "dependencies": None,
            "missingDependency": "",
            "phase": "",
            "printProtected": "",
            "protected": False,
            "readyReleases": "",
            "roles": None,
        },
    }


REFUSED: list[tuple[str, str]] = [
    (release("../x"), "f.yaml:4:3: error[invalid-value]: metadata.name must be an RFC 1123"),
    (release("'..'"), "f.yaml:4:3: error[invalid-value]: metadata.name must be an RFC 1123"),
    (release("a/b"), "f.yaml:4:3: error[invalid-value]: metadata.name must be an RFC 1123"),
    (release("Web"), "f.yaml:4:3: error[invalid-value]: metadata.name must be an RFC 1123"),
    (release('"web\\n"'), "f.yaml:4:3: error[invalid-value]: metadata.name must be an RFC 1123"),
    (release("x" * 254), "f.yaml:4:3: error[invalid-value]: metadata.name must have at most 253 characters, not 254"),
    (release("5"), "f.yaml:4:3: error[invalid-type]: metadata.name must be a string, not a number (5)"),
    (release("yes"), "f.yaml:4:3: error[invalid-type]: metadata.name must be a string, not a boolean (true)"),
    (release("[x]"), "f.yaml:4:3: error[invalid-type]: metadata.name must be a string, not a list"),
    (release("''"), "f.yaml:4:3: error[invalid-value]: metadata.name must"),
    (release("~"), "f.yaml:4:3: error[missing-field]: metadata.name is required"),
    (
        release("web", "", "namespace: ../x\n"),
        "f.yaml:5:3: error[invalid-value]: metadata.namespace must be an RFC 1123",
    ),
    (
        release("web", "targetNamespace: Team_A"),
        "f.yaml:9:3: error[invalid-value]: spec.targetNamespace must be an RFC",
    ),
    (
        release("web", "", "namespace: a.b\n"),
        "f.yaml:5:3: error[invalid-value]: metadata.namespace must be an RFC 1123",
    ),
    (release("web", "", "namespace: 5\n"), "f.yaml:5:3: error[invalid-type]: metadata.namespace must be a string"),
    (release("web", "", "labels: {a: 1}\n"), "f.yaml:5:12: error[invalid-type]: metadata.labels.a must be a string"),
    (f"apiVersion: {API}\nkind: Release\n", "f.yaml:1:1: error[missing-field]: metadata.name is required"),
    (f"apiVersion: {API}\nkind: Release\nmetadata: x\n", "f.yaml:3:1: error[invalid-type]: metadata must be a map"),
    (f"apiVersion: {API}\nkind: Release\nmetadata: []\n", "f.yaml:3:1: error[invalid-type]: metadata must be a map"),
    (f"apiVersion: {API}\nkind: Release\nmetadata:\n", "f.yaml:1:1: error[missing-field]: metadata.name is required"),
    (
        f"apiVersion: {API}\nkind: Release\nmetadata: {{name: x}}\n",
        "f.yaml:1:1: error[missing-field]: spec.package is required",
    ),
    (
        f"apiVersion: {API}\nkind: Release\nmetadata: {{name: x}}\nspec: {{}}\n",
        "f.yaml:4:1: error[missing-field]: spec.package is required",
    ),
    (
        f"apiVersion: {API}\nkind: Release\nmetadata: {{name: x}}\nspec: 5\n",
        "f.yaml:4:1: error[invalid-type]: spec must be a map, not a number (5)",
    ),
    (release("web", "suspendd: true"), "f.yaml:9:3: error[unknown-field]: spec.suspendd is not a known field"),
    (release("web", "suspended: 'true'"), "f.yaml:9:3: error[invalid-type]: spec.suspended must be true or false"),
    (release("web", "moduleOverrides: 5"), "f.yaml:9:3: error[invalid-type]: spec.moduleOverrides must be a list"),
    (release("web", "moduleOverrides: {a: b}"), "f.yaml:9:3: error[invalid-type]: spec.moduleOverrides must be a list"),
    (release("web", "contexts: [x]"), "f.yaml:9:14: error[invalid-type]: spec.contexts[0] must be a map"),
    (release("web", "contexts: [{}]"), "f.yaml:9:14: error[missing-field]: spec.contexts[0].name is required"),
    (
        release("web", "moduleOverrides: [x, {module: a, timeout: 5}]"),
        "f.yaml:9:21: error[invalid-type]: spec.moduleOverrides[0] must be a map",
    ),
]


@pytest.mark.parametrize(("text", "start"), REFUSED)
def test_a_resource_the_cluster_would_refuse_is_an_error_at_its_position(load: Load, text: str, start: str) -> None:
    loaded = load(text)
    assert loaded.cluster_resources.releases == ()
    assert any(one.startswith(start) for one in loaded.said)


def test_one_mistake_is_one_error(load: Load) -> None:
    for text, start in REFUSED:
        if "[x, {" not in text and "metadata: " not in text and "spec" in text and "name: ''" not in text:
            assert len(load(text).said) == 1, start


def test_all_problems_of_a_release_are_reported(load: Load) -> None:
    loaded = load(release("Web", "suspendd: 1\nroles: x\nmoduleOverrides:\n  - {module: a, timeout: 1x}\n"))
    assert [one.code for one in loaded.found][:3] == ["invalid-value", "unknown-field", "invalid-type"]
    assert len(loaded.found) == 4
    assert loaded.cluster_resources.failed == ("default/Web",)
    assert loaded.found[1].hint == "did you mean 'suspended'?"


@pytest.mark.parametrize(
    "version",
    ["kubocd.kubotal.io/v1", "kubocd.kubotal.io", "kubocd.kubotal.io/", "kubocd.kubotal.io/v1alpha1/x"],
)
def test_another_version_is_an_error_that_names_the_supported_one(load: Load, version: str) -> None:
    problem = load(release().replace(API, version)).only()
    assert problem.code == "unknown-version"
    assert f"'{version}'" in problem.message
    assert "Release" in problem.message
    assert str(problem.position) == "f.yaml:1:1"
    assert f"'apiVersion: {API}'" in (problem.hint or "")


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        ("5", "must be a string"),
        ("''", "must be a duration, not ''"),
        ("1x", "must be a duration, but 'x' in '1x' is not a unit"),
        ("1.5.5s", "'1.5.5s' has no unit"),
        ("99999999h", "'99999999h' exceeds"),
    ],
)
def test_an_invalid_duration_is_an_error(load: Load, duration: str, words: str) -> None:
    text = release("web", f"moduleOverrides: [{{module: a, interval: {duration}}}]")
    problem = load(text).only()
    assert words in problem.message
    assert str(problem.position) == "f.yaml:9:33"


@pytest.mark.parametrize(("field", "value"), [("interval", "1d"), ("timeout", "soon"), ("interval", "''")])
def test_a_duration_that_the_schema_also_refuses_is_reported_once(load: Load, field: str, value: str) -> None:
    problem = load(release().replace("tag: 1.0.0", f"tag: 1.0.0\n    {field}: {value}")).only()
    assert problem.code == "invalid-duration"
    assert problem.message.startswith(f"spec.package.{field} must be a duration, ")


def test_the_timeout_of_a_package_accepts_no_hours(load: Load) -> None:
    problem = load(release().replace("tag: 1.0.0", "tag: 1.0.0\n    timeout: 1h")).only()
    assert problem.message == "spec.package.timeout must be a duration in m, s and ms, not '1h'"
    assert "such as 90s or 60m" in (problem.hint or "")


def test_parents_of_a_context_default_to_its_namespace(load: Load) -> None:
    extra = "  parents: [{name: a}, {name: b, namespace: other}]\n  context: {x: {z: 1}}\n"
    (one,) = load(context("c", extra, "  namespace: here\n")).cluster_resources.contexts
    assert one.ref == ContextRef("here", "c")
    assert one.parents == (ContextRef("here", "a"), ContextRef("other", "b"))
    assert one.context == {"x": {"z": 1}}


@pytest.mark.parametrize(
    ("extra", "value"), [("  context: {}\n", {}), ("  context:\n", None), ("  description: x\n", None)]
)
def test_a_context_without_variables_is_read(load: Load, extra: str, value: Any) -> None:
    loaded = load(context("c", extra))
    assert (loaded.cluster_resources.contexts[0].context, loaded.said) == (value, [])


def test_the_errors_of_a_refused_context_are_kept_for_releases_that_name_it(load: Load) -> None:
    loaded = load(context("c", "  context: {}\n  parent: []\n"))
    ((ref, errors),) = loaded.cluster_resources.broken_contexts.items()
    assert ref == ContextRef("default", "c")
    assert [error.code for error in errors.problems] == ["unknown-field"]


def test_a_config_is_admitted_with_its_durations(load: Load) -> None:
    extra = "  defaultHelmTimeout: 90s\n  packageRedirects: [{oldPrefix: a, newPrefix: b, interval: 1h}]\n"
    (one,) = load(config("conf", extra)).cluster_resources.configs
    assert one.spec["defaultHelmTimeout"] == "1m30s"
    assert one.spec["packageRedirects"][0]["interval"] == "1h0m0s"


@pytest.mark.parametrize(
    ("extra", "message", "position"),
    [
        ("  packageRedirects: 5\n", "spec.packageRedirects must be a list, not a number (5)", "f.yaml:6:3"),
        ("  packageRedirects: [x]\n", "spec.packageRedirects[0] must be a map, not a string ('x')", "f.yaml:6:22"),
        ("  clusterRole: [x]\n", "spec.clusterRole is not a known field", "f.yaml:6:3"),
        ("  defaultHelmTimeout: 3 minutes\n", "spec.defaultHelmTimeout", "f.yaml:6:3"),
    ],
)
def test_a_refused_config_is_broken(load: Load, extra: str, message: str, position: str) -> None:
    (errors,) = load(config("conf", extra)).cluster_resources.broken_configs
    assert errors.problems[0].message.startswith(message)
    assert str(errors.problems[0].position) == position


def test_the_only_empty_field_of_a_package_kept_in_the_model_is_ignore(load: Load) -> None:
    text = release().replace(
        "    tag: 1.0.0\n",
        "    tag: 1.0.0\n    ignore: ''\n    insecure: false\n    serviceAccountName: ''\n    interval: 0s\n"
        "    verify: {matchOIDCIdentity: [], secretRef: {name: ''}}\n",
    )
    loaded = load(text)
    assert loaded.said == []
    (one,) = loaded.cluster_resources.releases
    assert one.model["spec"]["package"] == {
        "repository": "registry.example.com/web",
        "tag": "1.0.0",
        "ignore": "",
        "interval": "0s",
        "timeout": "1m0s",
        "verify": {"provider": "cosign", "secretRef": {"name": ""}},
    }


def test_a_null_ignore_is_omitted(load: Load) -> None:
    loaded = load(release().replace("    tag: 1.0.0\n", "    tag: 1.0.0\n    ignore:\n"))
    (one,) = loaded.cluster_resources.releases
    assert "ignore" not in one.model["spec"]["package"]


@pytest.mark.parametrize("character", ["\x7f", "\x92", "\ufffe"])
@pytest.mark.parametrize(
    ("extra", "metadata", "where"),
    [
        ('description: "It%ss"', "", "spec.description"),
        ('parameters: {a: {b: "%s"}}', "", "spec.parameters.a.b"),
        ('moduleOverrides: [{module: a, specPatch: {values: {"k%s": 1}}}]', "", "spec.moduleOverrides[0].specPatch"),
        ("", 'annotations: {note: "%s"}\n', "metadata.annotations.note"),
    ],
)
def test_a_release_that_kubocd_cannot_print_is_an_error(
    load: Load, extra: str, metadata: str, where: str, character: str
) -> None:
    escape = f"\\u{ord(character):04x}"
    loaded = load(release("web", extra.replace("%s", escape), metadata.replace("%s", escape)))
    one = loaded.only()
    assert one.code == "invalid-value"
    assert one.message.startswith(where)
    assert one.position is not None
    assert one.position.line is not None
    assert loaded.cluster_resources.releases == ()


def test_a_release_with_a_key_of_more_than_1022_characters_is_an_error(load: Load) -> None:
    extra = "parameters:\n  ? {}\n  : 1"
    assert admitted(load, extra.format("k" * 1022)).model["spec"]["parameters"] == {"k" * 1022: 1}
    one = load(release("web", extra.format("k" * 1023))).only()
    assert one.code == "invalid-value"


def test_the_model_is_a_release_that_was_printed_and_read_again(load: Load) -> None:
    one = admitted(load, 'parameters: {"<<": {x: 1}, a: "one\\Ntwo", x: -0.0}')
    assert one.model["spec"]["parameters"] == {"a": "one two", "x": 0}
    assert one.parameters == {"<<": {"x": 1}, "a": "one\x85two", "x": -0.0}  # the text of a template
    error = load(release("web", 'parameters: {"<<": 5}')).only()
    assert (error.code, error.message.partition(" must be")[0]) == ("invalid-value", 'spec.parameters["<<"]')


def test_a_context_is_json_that_is_read_as_yaml(load: Load) -> None:
    loaded = load(context("c", 'context: {"<<": {x: 1}, a: "one\\N\\Ntwo"}'))
    assert loaded.said == []
    (one,) = loaded.cluster_resources.contexts
    assert one.context == {"<<": {"x": 1}, "a": "one\ntwo"}
    for text in ('a: ["\\x92"]', '"\\N": 1', f"? {'k' * 1023}\n    : 1"):
        (errors,) = load(context("c", f"context:\n    {text}")).cluster_resources.broken_contexts.values()
        error = errors.problem
        assert error.code == "invalid-value"
        assert error.message.startswith("spec.context")
