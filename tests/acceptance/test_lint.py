"""`kcd-gen lint`: each rule with violations and without; and docs/lint.md."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import pytest
from syrupy.assertion import SnapshotAssertion

from kubocd_gen.model.lint_rules import RULES
from kubocd_gen.package_data import schema
from tests.support.registry import run_registry
from tests.support.registry_packages import push, release
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, files_below, kcd_gen

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/lint.md").read_text(encoding="utf-8")
EDGE = "registry.example.com/demo/edge:latest"
HOST = "host: {{ .Parameters.host }}"
LONG = "name-of-fifty-characters-and-a-bit-more-than-that"


def lint(workspace: Workspace, *flags: str) -> Outcome:
    return kcd_gen("lint", "--source", "sources", "--vendor", "packages", "--offline", *flags, directory=workspace.root)


def codes(outcome: Outcome) -> list[str]:
    """Return `severity[code]` of each problem, in order."""
    return re.findall(r"(?m)^(?:\S+: )?((?:error|warning|note)\[[a-z-]+\]): ", outcome.out)


def with_template(workspace: Workspace, text: str) -> None:
    """Write the package `WEB` with the value `text`, and a Release of it."""
    workspace.package(WEB_MANIFEST.replace(HOST, f"host: '{text}'"))
    workspace.release("web")


def lock(workspace: Workspace, *, helm: str | None = None) -> None:
    """Lock all packages, as the version `helm` of Helm would have."""
    assert workspace.run("lock", "--offline").exit == 0
    if helm is not None:
        path = workspace.root / "kcd-gen.lock"
        path.write_text(re.sub(r"helm: '[\d.]+'", f"helm: '{helm}'", path.read_text()))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ .Parameters.host }}", []),
        ("{{ now | unixEpoch }}", ["warning[varying-function]"]),
        ("{{ if false }}{{ htpasswd `a` `b` }}{{ end }}", ["warning[varying-function]"]),
        ("{{ resolveDNS `10.1.2.3` }}{{ resolveDNS `fe80::1` }}", []),
        ("{{ resolveDNS `ldap.example.com` }}", ["note[dns-function]"]),
        ("{{ if false }}{{ getHostByName `www.example.org` }}{{ end }}", ["warning[dns-function]"]),
        ("{{ with .Parameters.host }}{{ resolveDNS . }}{{ end }}", ["note[dns-function]"]),
        ("{{ if false }}{{ readFile `/etc/hosts` }}{{ end }}", ["warning[unsupported-function]"]),
        ("{{ if false }}{{ include `a` . }}{{ tpl `b` . }}{{ end }}", ["warning[unsupported-function]"] * 2),
        ("{{ lookup `v1` `Secret` `a` `b` | toJson }}", ["warning[empty-lookup]"]),
        ("{{ sha512sum `a` }}", ["warning[helm-dependent]"]),
        ("{{ if false }}{{ range add 1 2 }}{{ end }}{{ end }}", ["warning[helm-dependent]"]),
        ("{{ range 3 }}{{ end }}", []),
        ("{{ semverCompare `>=1.0-0 <2` `1.2.3` }}", ["warning[helm-dependent]"]),
        ("{{ semverCompare `>=1.0-0 || <2` `1.2.3` }}", []),
        ("{{ semverCompare `>=1.0-0, <2-0` `1.2.3` }}", []),
        ("{{ keys .Context | join `,` }}", ["warning[unordered-list]"]),
        ("{{ keys .Context | sortAlpha | join `,` }}", []),
    ],
)
def test_templates_of_packages(workspace: Workspace, text: str, found: list[str]) -> None:
    with_template(workspace, text)
    outcome = lint(workspace, "--resolve", ".example.com=10.0.0.1")
    assert codes(outcome) == found
    assert outcome.exit == (1 if any(one.startswith("warning") for one in found) else 0)
    manifest = WEB_MANIFEST.replace(HOST, f"host: '{text}'").splitlines()
    reported = re.findall(r"original.yaml:(\d+):(\d+): .* 'main', values: '(\w+)' ", outcome.out)
    assert len(reported) == len(found)
    for line, column, name in reported:
        assert re.match(rf"{name}\b", manifest[int(line) - 1][int(column) - 1 :])


def test_a_problem_that_is_an_error_is_reported_only_once(workspace: Workspace) -> None:
    for text in ("{{ readFile `a` }}", "{{ resolveDNS `ldap.example.com` }}"):
        with_template(workspace, text)
        outcome = lint(workspace)
        assert [one.partition("[")[0] for one in codes(outcome) if not one.startswith("note")] == ["error"]
        assert outcome.exit == 1


def test_headers_usages_and_trees_are_checked_too(workspace: Workspace) -> None:
    more = "templateHeader: '{{/**/}}{{ $x := uuidv4 }}'\nusage: {a: '{{ now }}'}\nroles: ['{{ randAlpha 3 }}']\n"
    workspace.package(WEB_MANIFEST + more)
    workspace.release("web")
    outcome = lint(workspace)
    assert codes(outcome) == ["warning[varying-function]"] * 3
    assert {"templateHeader", "usage.a", "roles"} == set(re.findall(r"web:1.0.0, ([\w.]+): '", outcome.out))


def test_a_package_is_reported_once_and_parameters_per_release(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace(HOST, f"{HOST}{{{{ now }}}}"))
    for name in ("a", "b"):
        workspace.release(name, "parameters:\n  replicas: 2\n  host: 'x{{ now }}'\n")
    lines = [line for line in lint(workspace).out.splitlines() if "[varying-function]" in line]
    assert len(lines) == 3
    assert lines[1].startswith("sources/default-a.yaml:8:5: warning[varying-function]: spec.parameters: 'now' ")


def test_a_lock_pins_the_helm_version_of_the_project(workspace: Workspace) -> None:
    with_template(workspace, "{{ sha512sum `a` }}{{ if false }}{{ range add 1 2 }}{{ end }}{{ end }}")
    lock(workspace, helm="3.17")
    assert codes(lint(workspace)).count("warning[helm-dependent]") == 1
    lock(workspace, helm="4.0")
    assert "warning[helm-dependent]" not in codes(lint(workspace))


def test_a_tag_is_pinned_by_the_vendor_layout_and_by_a_complete_lock(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("tag: 1.0.0", "tag: latest"), reference=EDGE)
    workspace.release("edge", package=EDGE)
    assert codes(lint(workspace)) == []
    lock(workspace)
    workspace.release("web")
    outcome = lint(workspace)
    assert codes(outcome) == ["warning[not-locked]"]
    assert outcome.out.startswith("sources/default-web.yaml:5:56: ")
    lock(workspace)
    assert codes(lint(workspace)) == []


def test_the_tags_of_a_registry(tmp_path: Path, workspace: Workspace, snapshot: SnapshotAssertion) -> None:
    flags = ("lint", "--source", "sources")
    with run_registry(tmp_path / "registry") as registry:
        for name, tag in (("a", "latest"), ("b", "1.0.0"), ("c", "1.0.0")):
            release(workspace, name, push(registry, workspace, f"demo/{name}", tag))
        outcome = kcd_gen(*flags, directory=workspace.root)
        assert outcome.text.replace(registry.host, "registry") == snapshot
        assert kcd_gen("lock", "--source", "sources", "--output", "output", directory=workspace.root).exit == 0
        assert kcd_gen(*flags, directory=workspace.root).exit == 0
    away = kcd_gen(*flags, "--no-progress", directory=workspace.root)
    assert (away.exit, codes(away)) == (0, [])  # the lock and the cache are enough


def test_names(workspace: Workspace) -> None:
    disabled = f"  - name: {LONG}\n    source: {{local: {{path: x}}}}\n    enabled: false\n"
    workspace.package(WEB_MANIFEST + disabled)
    workspace.release("web")
    assert codes(lint(workspace)) == []  # 53 characters, which Helm accepts
    workspace.release("shop")
    assert codes(lint(workspace)) == ["warning[long-name]"]
    workspace.package(WEB_MANIFEST + disabled + "    specPatch: {releaseName: short}\n")
    assert codes(lint(workspace)) == []
    workspace.package(WEB_MANIFEST + "    specPatch: {releaseName: short}\n")
    workspace.release("shop", "suspended: true\n")
    workspace.release(f"{LONG}-and-more")
    assert codes(lint(workspace)) == []
    workspace.release(f"{LONG}-and-still-more")
    outcome = lint(workspace)
    assert codes(outcome) == ["warning[long-name]"]
    assert "Flux" in outcome.out


def test_each_rule_has_its_message(workspace: Workspace, snapshot: SnapshotAssertion) -> None:
    calls = "{{ resolveDNS `a.example.com` }} {{ readFile `a` }} {{ sha512sum `a` }} {{ range add 1 2 }}{{ end }}"
    calls += " {{ semverCompare `>=1-0 <2` `1.2` }}"
    values = f"{HOST}\n      x: '{{{{ if false }}}}{calls}{{{{ end }}}}'\n      y: '{{{{ now }}}}'"
    more = "\n      z: {{ keys .Context | join `,` }}{{ lookup `v1` `Secret` `a` `b` | toJson | trunc 0 }}"
    workspace.package(WEB_MANIFEST.replace(HOST, values + more + "\n      v: ${HOME}"))
    workspace.release("web", "parameters: {host: a}\n")
    workspace.release(f"{LONG}-again", "suspended: true\n")
    workspace.source("context.yaml", CONTEXT)
    assert lint(workspace).text == snapshot


CONTEXT = """\
    apiVersion: kubocd.kubotal.io/v1alpha1
    kind: Context
    metadata: {name: nobody, namespace: default}
    spec: {context: {}}
    """


def test_quiet_verbose_and_ignored(workspace: Workspace) -> None:
    with_template(workspace, "{{ now }}{{ resolveDNS `a` }}")
    flags = ("--resolve", "a=10.0.0.1")
    quiet = lint(workspace, *flags, "--quiet")
    assert codes(quiet) == ["warning[varying-function]"]
    assert "checked" not in quiet.out
    assert f"default/web: checked with package {WEB}\n" in lint(workspace, *flags, "--verbose").out
    ignored = lint(workspace, *flags, "--ignore", "varying-function")
    assert (ignored.exit, codes(ignored)) == (0, ["note[dns-function]"])
    assert ignored.out.splitlines()[-1] == "1 Release checked: 1 note"
    wrong = lint(workspace, "--ignore", "varying")
    assert wrong.exit == 2


def test_under_locked_an_error_is_not_ignored(workspace: Workspace) -> None:
    with_template(workspace, "{{ now }}")
    lock(workspace)
    outcome = lint(workspace, "--locked", "--ignore", "varying-function")
    assert (outcome.exit, codes(outcome)) == (1, ["error[varying-function]"])


def test_nothing_is_written_and_no_output_is_needed(workspace: Workspace) -> None:
    with_template(workspace, "{{ now }}")
    before = files_below(workspace.root)
    assert lint(workspace).exit == 1
    assert {path for path in files_below(workspace.root) if not path.startswith(".cache/")} == set(before)


def test_a_missing_package_is_an_error(workspace: Workspace) -> None:
    workspace.release("web", package="registry.example.com/demo/web:2.0.0")
    outcome = lint(workspace)
    assert (outcome.exit, codes(outcome)) == (1, ["error[missing-package]"])


def test_without_a_project(tmp_path: Path) -> None:
    outcome = kcd_gen("lint", directory=tmp_path)
    assert (outcome.exit, codes(outcome)) == (2, ["error[missing-project]"])


def test_several_clusters(workspace: Workspace) -> None:
    with_template(workspace, "{{ now }}")
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
        "- {name: prod, sources: [sources], output: prod}\n- {name: test, sources: [sources], output: test}\n"
    )
    outcome = kcd_gen("lint", "--offline", directory=workspace.root)
    assert codes(outcome) == ["warning[varying-function]"]
    assert "    in the clusters prod, test\n" in outcome.out


def test_the_report(workspace: Workspace) -> None:
    with_template(workspace, "{{ now }}")
    outcome = lint(workspace, "--format", "json")
    report = json.loads(outcome.out)
    jsonschema.Draft7Validator(schema("kcd-gen/report-v1alpha1")).validate(report)
    assert (outcome.exit, report["command"], report["summary"]["written"]) == (1, "lint", 0)
    assert [one["code"] for one in report["diagnostics"]] == ["varying-function"]
    assert [one["status"] for one in report["releases"]] == ["compiled"]


def test_the_formats_of_ci_systems(workspace: Workspace) -> None:
    workspace.release("web", "parameters:\n  host: 'x{{ now }}'\n")
    (workspace.root / ".git").mkdir()
    github = lint(workspace, "--format", "github")
    assert github.exit == 1
    assert github.out.startswith("::warning file=sources/default-web.yaml,line=7,col=5,title=kcd-gen%3A varying-func")
    (result,) = json.loads(lint(workspace, "--format", "sarif").out)["runs"][0]["results"]
    assert (result["level"], result["ruleId"]) == ("warning", "varying-function")
    (entry,) = json.loads(lint(workspace, "--format", "gitlab").out)
    assert entry["severity"] == "minor"
    junit = ElementTree.fromstring(lint(workspace, "--format", "junit").out.encode())  # noqa: S314 - our own
    assert junit.attrib["failures"] == "1"


@pytest.mark.parametrize(
    ("command", "printed"), re.findall(r"```console\n\$ kcd-gen ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)
)
def test_the_command_prints_what_the_page_shows(tmp_path: Path, command: str, printed: str) -> None:
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    assert kcd_gen(*shlex.split(command), directory=tmp_path).out == printed


def test_every_rule_is_on_the_page_with_its_severity() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", PAGE, re.MULTILINE))
    assert sorted(rows) == sorted(RULES)
    assert {severity for severities in rows.values() for severity in severities.split(", ")} == {"warning", "note"}


def test_only_the_first_hundred_problems_of_a_template_are_reported(workspace: Workspace) -> None:
    lines = "  {{ now | unixEpoch }}{{ sha512sum `a` }}\n" * 5_000
    workspace.package(f"{WEB_MANIFEST}description: |\n{lines}")
    workspace.release("web")
    found = codes(lint(workspace))
    assert (found.count("warning[varying-function]"), found.count("warning[helm-dependent]")) == (100, 100)
