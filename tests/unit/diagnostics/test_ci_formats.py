"""Problems in the formats of CI systems, parsed by the rules of those systems."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from kubocd_gen.diagnostics.annotations import Annotation, annotations_of, fingerprints, repository_path
from kubocd_gen.diagnostics.ci_formats import github_lines, gitlab_report, junit_report, sarif_report
from kubocd_gen.diagnostics.problems import Position, Problem

# The schema published with the OASIS standard.
SARIF = json.loads((Path(__file__).parents[2] / "support/sarif-schema-2.1.0.json").read_text())

UNKNOWN = Annotation(
    "error",
    "unknown-parameter",
    "parameter 'replicaz' is not in the schema",
    ("did you mean 'replicas'?",),
    "clusters/prod/redis.yaml",
    14,
    7,
    "default/redis1",
)
NOWHERE = Annotation("error", "missing-package", "oci://quay.io/a/b:1: it is gone", ("affects a/b, c/d",))
WARNING = Annotation("warning", "unused-context", "no one names it", path="a b/ü,%:c.yaml", release="default/redis1")
NOTE = Annotation("note", "provider-chosen", "the first of two", path="a.yaml", line=3)
ALL = [UNKNOWN, NOWHERE, WARNING, NOTE]


def xml(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())  # noqa: S314 - our own


def unescaped(text: str) -> str:
    """Unescape like the GitHub runner: each escape once, the percent sign last."""
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, character)
    return text


def test_github_unescapes_the_original_message() -> None:
    read = []
    for line in github_lines(ALL):
        match = re.fullmatch(r"::(error|warning|notice) ([^:]*)::(.*)", line)
        assert match, line
        properties = dict(part.split("=", 1) for part in match[2].split(","))
        read.append((match[1], {key: unescaped(value) for key, value in properties.items()}, unescaped(match[3])))
    assert read[0] == (
        "error",
        {"file": "clusters/prod/redis.yaml", "line": "14", "col": "7", "title": "kcd-gen: unknown-parameter"},
        "parameter 'replicaz' is not in the schema\ndid you mean 'replicas'?",
    )
    assert read[1][1] == {"title": "kcd-gen: missing-package"}
    assert read[2][1]["file"] == "a b/ü,%:c.yaml"
    assert [one[0] for one in read] == ["error", "error", "warning", "notice"]


def test_no_string_of_a_source_becomes_a_workflow_command() -> None:
    hostile = Problem("bad-yaml", "a\n::set-output name=x::y\r::add-mask::z", position=Position("a\n::x"))
    lines = list(github_lines(annotations_of([hostile], Path.cwd())))
    assert len(lines) == 1
    assert lines[0].splitlines() == lines
    assert lines[0].startswith("::error title=kcd-gen%3A bad-yaml::a")


@pytest.mark.parametrize("findings", [[], ALL, [UNKNOWN, UNKNOWN]])
def test_sarif_output_is_valid_against_its_schema(findings: list[Annotation]) -> None:
    report = json.loads(sarif_report(findings))
    jsonschema.Draft7Validator(SARIF).validate(report)
    results = report["runs"][0]["results"]
    assert [one["ruleId"] for one in results] == [one.code for one in findings]
    rules = report["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in results)


def test_sarif_locations_are_uris_relative_to_the_repository() -> None:
    results = json.loads(sarif_report(ALL))["runs"][0]["results"]
    assert results[0]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "clusters/prod/redis.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 14, "startColumn": 7},
    }
    assert "locations" not in results[1]
    assert results[2]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/%C3%BC%2C%25%3Ac.yaml"


def test_a_path_that_is_not_valid_unicode_is_reported_by_its_bytes() -> None:
    annotation = replace(UNKNOWN, path="caf\udce9/a.yaml")
    (result,) = json.loads(sarif_report([annotation]))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "caf%E9/a.yaml"
    assert len(fingerprints([annotation])) == 1


def test_gitlab_gets_all_required_fields_of_each_problem() -> None:
    assert json.loads(gitlab_report([])) == []
    entries = json.loads(gitlab_report(ALL))
    assert entries[0] == {
        "description": "parameter 'replicaz' is not in the schema\ndid you mean 'replicas'?",
        "check_name": "unknown-parameter",
        "fingerprint": fingerprints(ALL)[0],
        "severity": "major",
        "location": {"path": "clusters/prod/redis.yaml", "lines": {"begin": 14}},
    }
    assert [one["severity"] for one in entries] == ["major", "major", "minor", "info"]
    assert entries[1]["location"] == {"path": "kcd-gen.yaml", "lines": {"begin": 1}}


def test_fingerprints_do_not_depend_on_the_line_and_are_unique() -> None:
    moved = replace(UNKNOWN, line=99)
    assert fingerprints([UNKNOWN]) == fingerprints([moved])
    assert len({*fingerprints([UNKNOWN, moved, WARNING])}) == 3


def test_junit_has_one_test_case_per_release_and_one_for_the_project() -> None:
    suite = xml(junit_report(["default/redis1", "default/web"], ALL, ["error"])).find("testsuite")
    assert suite is not None
    assert suite.attrib["tests"] == "3"
    assert suite.attrib["failures"] == "2"
    cases = {case.attrib["name"]: case for case in suite}
    assert list(cases) == ["project", "default/redis1", "default/web"]
    failure = cases["default/redis1"].find("failure")
    assert failure is not None
    assert failure.attrib == {"message": UNKNOWN.message, "type": "unknown-parameter"}
    assert failure.text == (
        "clusters/prod/redis.yaml:14:7: error[unknown-parameter]: parameter 'replicaz' is not in the schema\n"
        "    did you mean 'replicas'?"
    )
    assert "unused-context" in (cases["default/redis1"].findtext("system-out") or "")
    assert len(cases["default/web"]) == 0


def test_junit_is_valid_xml_for_any_message() -> None:
    hostile = Problem("bad-yaml", "a\x00\x0b\ud800]]><x>&'\"", position=Position("x"))
    suite = xml(junit_report([], annotations_of([hostile], Path.cwd()), ["error"]))
    assert "]]><x>&" in "".join(suite.itertext())


def test_paths_are_relative_to_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "checkout"
    project = top / "platform"
    (project / "clusters").mkdir(parents=True)
    (top / ".git").mkdir()
    (project / "clusters/a.yaml").touch()
    (project / "kcd-gen.yaml").touch()
    (tmp_path / "outside.yaml").touch()
    monkeypatch.chdir(project / "clusters")
    assert repository_path("clusters/a.yaml", project, top) == "platform/clusters/a.yaml"
    assert repository_path("../kcd-gen.yaml", project, top) == "platform/kcd-gen.yaml"
    assert repository_path(str(project / "clusters/a.yaml"), project, top) == "platform/clusters/a.yaml"
    for nothing in (
        "oci://quay.io/a/b:1",
        "main:clusters/a.yaml",
        "../../outside.yaml",
        str(tmp_path / "outside.yaml"),
    ):
        assert repository_path(nothing, project, top) is None


def test_a_problem_of_many_releases_is_reported_once() -> None:
    position = Position("oci://quay.io/a/b:1//values.yaml", 3)
    diagnostics = [
        Problem("bad-package", "it is bad", hint="fix it", release=f"default/r{n}", position=position) for n in range(5)
    ]
    assert annotations_of(diagnostics, Path.cwd()) == [
        Annotation(
            "error",
            "bad-package",
            "oci://quay.io/a/b:1//values.yaml:3: it is bad",
            ("fix it", "affects default/r0, default/r1, default/r2 and 2 more"),
        )
    ]
