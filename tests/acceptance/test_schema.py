"""`kcd-gen schema`, as a user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from kubocd_gen.editors.shipped import document_schema, kinds
from tests.support.kubocd_resources import config, context
from tests.support.quickstart import QUICKSTART, REFERENCE
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, kcd_gen

FILE = "kcd-gen.schema.json"
RELEASE = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Release
metadata: {name: podinfo1}
spec:
  package: {repository: quay.io/kubodoc/packages/podinfo, tag: 6.7.1-p01}
"""


def sources(workspace: Workspace, *flags: str) -> Outcome:
    return kcd_gen(
        *("schema", "sources", "--source", "sources", "--vendor", "packages", "--offline", *flags),
        directory=workspace.root,
    )


def schema_of(workspace: Workspace) -> dict[str, Any]:
    outcome = sources(workspace)
    assert outcome.exit == 0, outcome.text
    found: dict[str, Any] = json.loads(outcome.out)
    Draft7Validator.check_schema(found)
    return found


def release(**spec: Any) -> dict[str, Any]:
    repository, _, tag = WEB.rpartition(":")
    return {
        "apiVersion": "kubocd.kubotal.io/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "web"},
        "spec": {"package": {"repository": repository, "tag": tag}} | spec,
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_document_has_its_schema(tmp_path: Path, kind: str) -> None:
    outcome = kcd_gen("schema", kind, directory=tmp_path)
    assert (outcome.exit, outcome.err) == (0, "")
    assert json.loads(outcome.out) == document_schema(kind)


def test_a_misspelled_document_is_a_usage_error(tmp_path: Path) -> None:
    outcome = kcd_gen("schema", "relese", directory=tmp_path)
    assert outcome.exit == 2
    assert "No such command 'relese'" in outcome.err


def test_the_package_of_a_schema_is_found_as_in_a_build() -> None:
    outcome = kcd_gen("schema", "parameters", REFERENCE, "--offline", directory=QUICKSTART)
    assert outcome.exit == 0
    assert json.loads(outcome.out) == {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The parameters of podinfo:6.7.1-p01",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "fqdn": {"type": "string", "description": "The host name under which the application is reached"},
            "ingressClassName": {
                "type": "string",
                "default": "nginx",
                "description": "The ingress controller that serves it",
            },
        },
        "required": ["fqdn"],
    }


def test_the_parameters_of_a_manifest_and_of_a_json_schema(tmp_path: Path) -> None:
    own = {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"$ref": "#/definitions/a"}}}
    own |= {"title": "Mine", "definitions": {"a": {"type": "integer", "minimum": 1, "exclusiveMinimum": True}}}
    (tmp_path / "web.yaml").write_text(
        WEB_MANIFEST.replace(
            "schema:\n  parameters:\n    properties:\n", f"schema:\n  parameters: {json.dumps(own)}\nusage:\n"
        )
        .replace("      replicas: {type: integer, default: 1}\n", "")
        .replace('      host: {type: string, default: ""}\n', "  a: b\n")
    )
    outcome = kcd_gen("schema", "parameters", "web.yaml", directory=tmp_path)
    assert (outcome.exit, json.loads(outcome.out)) == (0, own)


def test_a_package_without_schema_accepts_no_parameter(tmp_path: Path) -> None:
    head, _, modules = WEB_MANIFEST.partition("schema:\n")
    (tmp_path / "web.yaml").write_text(head + modules[modules.index("modules:") :])
    outcome = kcd_gen("schema", "parameters", "web.yaml", directory=tmp_path)
    assert not Draft7Validator(json.loads(outcome.out)).is_valid({"a": 1})


def test_a_missing_package_is_an_error(tmp_path: Path) -> None:
    outcome = kcd_gen("schema", "parameters", WEB, "--offline", directory=tmp_path)
    assert (outcome.exit, outcome.out) == (1, "")
    assert "error[missing-package]" in outcome.err
    locked = kcd_gen("schema", "parameters", REFERENCE, "--locked", directory=QUICKSTART)
    assert "error[not-locked]" in locked.err


def test_the_sources_are_checked_by_kind(workspace: Workspace) -> None:
    workspace.release("web")
    validator = Draft7Validator(schema_of(workspace))
    good: list[Any] = [
        release(),
        release(parameters={"replicas": 2, "host": "{{ .Context.host }}"}),
        release(package={"repository": "registry.example.com/demo/web", "tag": "9"}, parameters={"any": 1}),
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"rolez": 1}},
        {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": "Connection", "spec": 1},
        {"kind": "Release", "spec": 1},
        {"apiVersion": "v1", "kind": "List", "items": [release(), {"kind": "x"}]},
        {
            "apiVersion": "kubocd.kubotal.io/v1alpha1",
            "kind": "Context",
            "metadata": {"name": "a"},
            "spec": {"context": {}},
        },
        {
            "apiVersion": "kcd-gen/v1alpha1",
            "kind": "Project",
            "clusters": [{"name": "a", "sources": ["a"], "output": "b"}],
        },
        [1],
        "text",
        None,
    ]
    bad: list[Any] = [
        release(parameters={"replicaz": 2}),
        release(parameters={"replicas": "2"}),
        release(rolez=[]),
        release(moduleOverrides=[{"module": "mian"}]),
        release() | {"apiVersion": "kubocd.kubotal.io/v1"},
        release() | {"kind": "Relese"},
        {"apiVersion": "v1", "kind": "List", "items": [release(rolez=[])]},
        {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": "Context", "metadata": {"name": "a"}, "spec": {}},
        {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": "Config", "metadata": {"name": "a"}, "spec": {"x": 1}},
        {"apiVersion": "kubocd.kubotal.io/v1alpha1"},
        {"apiVersion": "kcd-gen/v1alpha1", "kind": "Project", "clusters": [{"name": "a"}]},
    ]
    assert [one for one in good if not validator.is_valid(one)] == []
    assert [one for one in bad if validator.is_valid(one)] == []


def test_names_of_the_project_are_suggestions(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST + "roles: [web, '{{ .Release.metadata.name }}']\n")
    workspace.release("web", "roles: [shop]\n")
    workspace.source(
        "config.yaml", config("onFailureStrategies: [{name: again, strategy: {}}]\n  clusterRoles: [storage]")
    )
    workspace.source("context.yaml", context("shared", "{host: a}"))
    definitions = schema_of(workspace)["definitions"]
    spec, defaults = (definitions[kind]["properties"]["spec"]["properties"] for kind in ("Release", "Config"))
    assert spec["package"]["properties"]["repository"]["examples"] == [WEB.rpartition(":")[0]]
    assert spec["contexts"]["items"]["properties"]["name"]["examples"] == ["shared"]
    assert spec["dependencies"]["items"]["examples"] == ["shop", "storage", "web"]
    assert defaults["defaultOnFailureStrategy"]["examples"] == ["again"]


def test_clusters_that_redirect_to_different_packages_accept_the_parameters_of_either(workspace: Workspace) -> None:
    other = "mirror.example.com/demo/web:1.0.0"
    workspace.package(WEB_MANIFEST.replace("replicas", "size"), reference=other)
    workspace.release("web")
    redirect = config("packageRedirects: [{oldPrefix: registry.example.com/, newPrefix: mirror.example.com/}]")
    (workspace.root / "redirect.yaml").write_text(redirect)
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
        "- {name: a, sources: [sources], output: a}\n- {name: b, sources: [sources, redirect.yaml], output: b}\n"
    )
    outcome = kcd_gen("schema", "sources", "--offline", directory=workspace.root)
    validator = Draft7Validator(json.loads(outcome.out))
    either = [release(parameters={name: 1}) for name in ("replicas", "size", "weight")]
    assert [validator.is_valid(one) for one in either] == [True, True, False]


def test_a_file_is_written_atomically_and_only_if_it_changes(workspace: Workspace) -> None:
    workspace.release("web")
    assert sources(workspace, "--output", FILE).out == f"Created {FILE}\n"
    path = workspace.root / FILE
    first, time = path.read_bytes(), path.stat().st_mtime_ns
    assert sources(workspace, "--output", FILE).out == f"{FILE} is up to date\n"
    assert path.stat().st_mtime_ns == time
    assert sources(workspace).out.encode() == first
    workspace.package(WEB_MANIFEST.replace("replicas", "size"))
    assert sources(workspace, "--output", FILE).out == f"Updated {FILE}\n"
    assert path.read_bytes() != first
    assert sorted(one.name for one in workspace.root.iterdir() if one.name.startswith(".kcd")) == []


def test_check_reports_an_outdated_file_and_writes_nothing(workspace: Workspace) -> None:
    workspace.release("web")
    absent = sources(workspace, "--output", FILE, "--check")
    assert (absent.exit, (workspace.root / FILE).exists()) == (3, False)
    assert absent.out.startswith(f"{FILE} does not exist; run: kcd-gen schema sources ")
    assert "--check" not in absent.out
    sources(workspace, "--output", FILE)
    assert sources(workspace, "--output", FILE, "--check").exit == 0
    workspace.source("context.yaml", context("shared", "{host: a}"))
    before = (workspace.root / FILE).read_bytes()
    outcome = sources(workspace, "--output", FILE, "--check")
    assert (outcome.exit, (workspace.root / FILE).read_bytes()) == (3, before)
    assert f"{FILE} is out of date; run: " in outcome.out
    assert sources(workspace, "--check").exit == 2


def test_sources_with_errors_write_nothing(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.release("other", package="registry.example.com/demo/other:1.0.0")
    outcome = sources(workspace, "--output", FILE)
    assert (outcome.exit, outcome.out, (workspace.root / FILE).exists()) == (1, "", False)
    assert "error[missing-package]" in outcome.err


def test_a_file_that_is_not_a_schema_of_kcd_gen_is_not_overwritten(workspace: Workspace) -> None:
    workspace.release("web")
    for content in ("mine\n", "{}", '{"title": "other"}', "[" * 100_000):
        (workspace.root / "mine.json").write_text(content)
        outcome = sources(workspace, "--output", "mine.json")
        assert (outcome.exit, (workspace.root / "mine.json").read_text()) == (1, content)
        assert "error[unusable-file]: refusing to overwrite 'mine.json'" in outcome.err


def test_a_file_that_cannot_be_written_is_an_error(workspace: Workspace) -> None:
    workspace.release("web")
    for name in ("no/where.json", "sources"):
        outcome = sources(workspace, "--output", name)
        assert outcome.exit == 1
        assert f"error[unwritable-schema]: cannot write '{name}': " in outcome.err


def test_the_schema_contains_no_data_of_the_machine(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        shutil.copytree(QUICKSTART, tmp_path / name)
        texts.append(kcd_gen("schema", "sources", directory=tmp_path / name).out)
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]
    assert texts[0].isascii()
