"""`build --format github|sarif|gitlab|junit`, as a CI system reads it."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.workspace import Outcome, Workspace, kcd_gen

SARIF = json.loads((Path(__file__).parents[1] / "support/sarif-schema-2.1.0.json").read_text())


@pytest.fixture
def checkout(tmp_path: Path) -> Workspace:
    """A project in a directory of a Git checkout, with one valid Release and one invalid."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    made = Workspace(tmp_path / "platform")
    made.root.mkdir()
    made.package()
    made.release("web")
    made.release("shop", "parameters:\n  replicaz: 2\n")
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
    (made.root / "kcd-gen.yaml").write_text(f"{head}clusters:\n- {{name: a, sources: [sources], output: output}}\n")
    return made


def build(checkout: Workspace, *arguments: str) -> Outcome:
    return kcd_gen("build", "--offline", *arguments, directory=checkout.root)


def good(checkout: Workspace) -> None:
    checkout.release("shop")
    assert build(checkout).exit == 0


def test_github_annotates_the_line(checkout: Workspace) -> None:
    outcome = build(checkout, "--format", "github")
    assert (outcome.exit, outcome.err) == (1, "")
    assert outcome.out == (
        "::error file=platform/sources/default-shop.yaml,line=7,col=5,title=kcd-gen%3A unknown-parameter"
        "::parameter 'replicaz' is not in the schema of web:1.0.0%0Adid you mean 'replicas'?\n"
    )
    good(checkout)
    assert build(checkout, "--format", "github").out == ""


def test_an_outdated_output_is_annotated(checkout: Workspace) -> None:
    good(checkout)
    checkout.release("web", "parameters: {replicas: 3}\n")
    checkout.release("new")
    outcome = build(checkout, "--check", "--format", "github")
    assert outcome.exit == 3
    lines = outcome.out.splitlines()
    changed = "::error file=platform/output/flux/default/web.yaml,title=kcd-gen%3A outdated-output::"
    assert any(line.startswith(changed) for line in lines)
    assert any("output/flux/default/new.yaml is missing%0Arun: kcd-gen build --offline" in line for line in lines)
    assert not any("--format" in line for line in lines)


def test_sarif_and_gitlab(checkout: Workspace) -> None:
    sarif = build(checkout, "--format", "sarif")
    assert sarif.exit == 1
    assert "error[unknown-parameter]" in sarif.err
    report: Any = json.loads(sarif.out)
    jsonschema.Draft7Validator(SARIF).validate(report)
    assert len(report["runs"][0]["results"]) == 1
    (entry,) = json.loads(build(checkout, "--format", "gitlab").out)
    assert entry["location"] == {"path": "platform/sources/default-shop.yaml", "lines": {"begin": 7}}
    good(checkout)
    report = json.loads(build(checkout, "--format", "sarif").out)
    jsonschema.Draft7Validator(SARIF).validate(report)
    assert report["runs"][0]["results"] == []
    assert json.loads(build(checkout, "--format", "gitlab").out) == []


def test_junit_has_one_test_case_per_release(checkout: Workspace) -> None:
    def cases(*arguments: str) -> dict[str, bool]:
        outcome = build(checkout, *arguments, "--format", "junit")
        suite = ElementTree.fromstring(outcome.out.encode()).find("testsuite")  # noqa: S314 - our own
        assert suite is not None
        return {case.attrib["name"]: case.find("failure") is None for case in suite}

    assert cases() == {"project": True, "default/shop": False, "default/web": True}
    good(checkout)
    assert cases("--check") == {"project": True, "default/shop": True, "default/web": True}
    checkout.release("web", "parameters: {replicas: 3}\n")
    assert cases("--check") == {"project": True, "default/shop": True, "default/web": False}


@pytest.mark.parametrize("kind", ["github", "sarif", "gitlab", "junit"])
def test_a_missing_project_is_reported_in_every_format(tmp_path: Path, kind: str) -> None:
    outcome = kcd_gen("build", "--format", kind, directory=tmp_path)
    assert outcome.exit == 2
    assert "missing-project" in outcome.out


def test_reports_are_written_in_addition_to_the_output(checkout: Workspace) -> None:
    def printed(kind: str) -> str:
        return build(checkout, "--check", "--format", kind).out

    kinds = ("sarif", "gitlab", "junit")
    flags = [f"--report={kind}=reports/{kind}" for kind in kinds]
    plain = build(checkout, "--check")
    outcome = build(checkout, "--check", *flags)
    assert outcome == plain
    for kind in kinds:
        assert (checkout.root / "reports" / kind).read_text() == printed(kind)
    good(checkout)
    checkout.release("web", "parameters: {replicas: 3}\n")
    outcome = build(checkout, "--check", "--report", "junit=reports/junit", *flags)
    assert (outcome.exit, outcome.out.splitlines()[-1][-30:]) == (3, "; run: kcd-gen build --offline")


def test_a_report_that_cannot_be_written_is_an_error(checkout: Workspace) -> None:
    good(checkout)
    outcome = build(checkout, "--check", "--report", "junit=kcd-gen.yaml/report")
    assert (outcome.exit, outcome.err.partition(" error")[0]) == (1, "kcd-gen.yaml/report:")
    outcome = build(checkout, "--report", "xml=report")
    assert outcome.exit == 2
    assert "'xml=report' is not FORMAT=FILE; the formats are sarif, gitlab, junit" in outcome.err


@pytest.mark.parametrize("kind", ["fifo", "symlink", "directory", "device"])
def test_a_report_replaces_only_a_regular_file_and_is_refused_before_anything_is_written(
    checkout: Workspace, kind: str
) -> None:
    (checkout.root / "sources/default-shop.yaml").unlink()
    path = checkout.root / "report"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to("target")
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path("/dev/full")
    before = path.lstat()
    name = "/dev/full" if kind == "device" else "report"
    outcome = build(checkout, "--report", "junit=junit.xml", "--report", f"sarif={name}", "--format", "json")
    assert outcome.exit == 1
    (problem,) = json.loads(outcome.out)["diagnostics"]
    assert (problem["code"], problem["path"]) == ("unusable-file", name)
    assert problem["hint"]
    assert path.lstat() == before
    assert not (checkout.root / "target").exists()
    assert not (checkout.root / "output").exists()
    assert "unusable-file" in (checkout.root / "junit.xml").read_text()


def test_a_report_on_standard_output_moves_the_text_to_standard_error(checkout: Workspace) -> None:
    expected = build(checkout, "--check", "--format", "sarif")
    text = build(checkout, "--check")
    outcome = build(checkout, "--check", "--report", "sarif=-", "--report", "junit=report")
    assert outcome.out == expected.out
    assert outcome.err == text.out + text.err
    assert (checkout.root / "report").exists()
    for flags in (("--format", "json"), ("--report", "junit=-")):
        assert build(checkout, "--report", "sarif=-", *flags).exit == 2
    assert build(checkout, "--report", "junit=x", "--report", "sarif=x").exit == 2


def test_junit_is_valid_xml_for_any_name(checkout: Workspace) -> None:
    checkout.release('"a\\x01b"')
    (checkout.root / "sources/default-shop.yaml").rename(checkout.root / "sources/c\x01\nd.yaml")
    (checkout.root / "sources").joinpath('default-"a\\x01b".yaml').rename(checkout.root / "sources/e.yaml")
    tree = ElementTree.fromstring(build(checkout, "--format", "junit").out)  # noqa: S314 - our own
    assert "default/a\\x01b" in {case.attrib["name"] for case in tree.iter("testcase")}
    assert any("sources/c\\x01\\nd.yaml:7:5: error" in (case.text or "") for case in tree.iter("failure"))


@pytest.mark.parametrize("kind", ["sarif", "gitlab", "junit"])
def test_a_report_is_written_without_a_project(tmp_path: Path, kind: str) -> None:
    outcome = kcd_gen("build", "--report", f"{kind}=report", directory=tmp_path)
    assert outcome.exit == 2
    assert "missing-project" in (tmp_path / "report").read_text()
