"""The shipped schemas as documents for editors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.editors.shipped import document_schema, kinds
from kubocd_gen.model.resources import Resource
from kubocd_gen.package_data import schema
from kubocd_gen.schema.structural import admit
from kubocd_gen.sources.documents import read_resources

ROOT = Path(__file__).resolve().parents[3]
# Results of KuboCD for some hundred Releases, if they are available next to the checkout.
PARITY = ROOT.parent / "shared/parity/cases"
RESOURCES = ("release", "context", "config")
FILES = (*RESOURCES, "package", "project", "lock")
VALIDATORS = {kind.capitalize(): Draft7Validator(document_schema(kind)) for kind in RESOURCES}
HEAD = {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": "Release", "metadata": {"name": "a"}}
PACKAGE = {"repository": "registry.example.com/a", "tag": "1.0.0"}


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from fields(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield from fields(node[keyword], f"{path}.{keyword}")


def resources(directory: Path, *sources: str) -> list[Resource]:
    found = read_resources(sources, directory, [], Problems()).resources
    return [one for one in found if one.group == "kubocd.kubotal.io" and one.kind in VALIDATORS]


def problems(kind: str, value: Any) -> list[str]:
    validator = Draft7Validator(document_schema(kind))
    return sorted(f"{'.'.join(map(str, one.absolute_path))}: {one.message}" for one in validator.iter_errors(value))


def test_every_shipped_schema_has_a_name() -> None:
    files = [path for directory in ("kubocd", "kcd-gen") for path in (ROOT / "schemas" / directory).glob("*.json")]
    assert {f"{path}.json" for path in kinds().values()} == {
        path.relative_to(ROOT / "schemas").as_posix() for path in files
    }
    assert len(kinds()) == len(files)
    with pytest.raises(ProblemsError, match="'relese'") as raised:
        document_schema("relese")
    assert raised.value.problem.hint == "did you mean 'release'?"


@pytest.mark.parametrize("kind", kinds())
def test_each_shipped_schema_is_draft_7_with_an_id(kind: str) -> None:
    found = document_schema(kind)
    Draft7Validator.check_schema(found)
    assert found["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert found["$id"] == f"https://kubotal.github.io/kcd-gen/schemas/{kinds()[kind]}.json"
    assert found["title"]
    assert found["description"]
    assert "x-kubernetes" not in json.dumps(found)
    assert "x-kcd-gen" not in json.dumps(found)


@pytest.mark.parametrize("kind", FILES)
def test_every_field_is_described_and_unknown_fields_are_rejected(kind: str) -> None:
    for path, node in fields(document_schema(kind)):
        assert node.get("description"), path
        if "properties" in node:
            assert node["additionalProperties"] is False, path


def test_an_editor_reports_fields_the_cluster_rejects() -> None:
    assert problems("release", HEAD | {"spec": {"package": PACKAGE, "rolez": []}}) == [
        "spec: Additional properties are not allowed ('rolez' was unexpected)"
    ]
    assert problems("release", HEAD | {"spec": {"package": {"tag": "1"}}}) == [
        "spec.package: 'repository' is a required property"
    ]
    assert problems("release", HEAD | {"spec": {"package": PACKAGE | {"provider": "gpc", "interval": "1d"}}}) == [
        "spec.package.interval: '1d' does not match '^([0-9]+(\\\\.[0-9]+)?(ms|s|m|h))+$'",
        "spec.package.provider: 'gpc' is not one of ['generic', 'aws', 'azure', 'gcp', None]",
    ]
    assert len(problems("context", HEAD | {"kind": "Context", "spec": {"context": []}})) == 1
    assert len(problems("config", HEAD | {"kind": "Config", "spec": {"defaultHelmTimeout": "2"}})) == 1


def test_null_is_accepted_if_it_means_absent() -> None:
    spec = {"package": PACKAGE | {"interval": None}, "roles": None, "parameters": None, "moduleOverrides": None}
    assert problems("release", HEAD | {"spec": spec}) == []
    assert problems("release", HEAD | {"spec": {"package": PACKAGE | {"tag": None}}}) == [
        "spec.package.tag: None is not of type 'string'"
    ]


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ({"helmRepository": {"url": "u", "chart": "c", "version": "1"}}, 0),
        ({"git": {"url": "u", "path": "p", "tag": "t"}}, 0),
        ({"git": {"url": "u", "path": "p", "tag": "t", "branch": "b"}}, 1),
        ({"oci": {"repository": "r"}}, 1),
        ({"local": {"path": "p"}, "oci": {"repository": "r", "tag": "t"}}, 1),
        ({}, 1),
    ],
)
def test_a_module_has_exactly_one_complete_source(source: dict[str, Any], wrong: int) -> None:
    manifest = {"apiVersion": "v1alpha1", "name": "a", "tag": "1", "modules": [{"name": "m", "source": source}]}
    assert len(problems("package", manifest)) == wrong


def manifests() -> list[Path]:
    cases = ROOT / "tests/acceptance/cases"
    return [ROOT / "fixtures/quickstart/package/podinfo.yaml", *sorted(cases.glob("*/packages/**/original.yaml"))]


@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_manifests_of_packages_are_valid(path: Path) -> None:
    assert problems("package", yaml.safe_load(path.read_text())) == []


def test_fixtures_and_acceptance_cases_are_valid() -> None:
    directories = sorted((ROOT / "tests/acceptance/cases").iterdir())
    found = [one for directory in directories for one in resources(directory, "sources")]
    found += resources(ROOT / "fixtures", "quickstart/cluster", "mistakes/cluster")
    assert {one.kind for one in found} == set(VALIDATORS)
    for one in found:
        assert list(VALIDATORS[one.kind].iter_errors(one.value)) == [], one.file.path


@pytest.mark.skipif(not PARITY.is_dir(), reason="the results of KuboCD are not next to the checkout")
def test_every_release_that_kubocd_compiles_is_valid() -> None:
    compiled = 0
    for case in sorted(PARITY.iterdir()):
        expected = json.loads((case / "expected.json").read_text())
        for one in resources(case, "cluster"):
            result = expected.get(f"{one.namespace or 'default'}/{one.name}", {"error": "no Release"})
            if one.kind == "Release" and "error" not in result:
                compiled += 1
                assert list(VALIDATORS["Release"].iter_errors(one.value)) == [], one.file.path
    assert compiled > 400


@pytest.mark.parametrize("kind", RESOURCES)
def test_values_the_cluster_rejects_are_rejected(kind: str) -> None:
    """Values of a wrong type that `admit` rejects are rejected by an editor as well."""
    structural = schema(f"kubocd/{kind}-v1alpha1")["schema"]
    good: dict[str, Any] = HEAD | {"kind": kind.capitalize(), "spec": {}}
    good["spec"] = {"release": {"package": PACKAGE}, "context": {"context": {}}, "config": {}}[kind]
    assert problems(kind, good) == []
    for name in structural["properties"]["spec"]["properties"]:
        for value in (1, "x", [1], {"x": 1}, [{"x": 1}], True):
            spec = good["spec"] | {name: value}
            _, violations = admit(good | {"spec": spec}, structural)
            if violations:
                assert problems(kind, good | {"spec": spec}), (name, value)
