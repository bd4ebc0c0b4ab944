"""Addresses for `resolveDNS`: unknown names are reported at once, and clusters have addresses of their own."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from tests.support.charts import commit_all, git
from tests.support.workspace import WEB, WEB_MANIFEST, Workspace, kcd_gen

OTHER = "registry.example.com/demo/other:2.0.0"
PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
packages: {{vendor: packages}}
clusters:
- {{name: prod, sources: [sources/prod], output: out/prod{prod}}}
- {{name: test, sources: [sources/test], output: out/test{test}}}
"""


def manifest(values: str) -> str:
    return WEB_MANIFEST.replace("{{ .Parameters.host }}", values)


@pytest.fixture
def fleet(workspace: Workspace) -> Workspace:
    """Two clusters, whose Releases resolve names in their parameters and in two packages."""
    workspace.package(manifest('{{ resolveDNS "db.example.com" }}{{ getHostByName "LDAP.example.com." }}'))
    workspace.package(manifest('{{ resolveDNS "mail.example.com" }}'), reference=OTHER)
    release = "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: %s}\nspec:\n"
    package = "  package: {repository: %s, tag: %s}\n"
    in_prod = (
        '  parameters: |\n    replicas: 1\n    host: {{ resolveDNS "a.example.com" }}{{ resolveDNS "b.example.com" }}\n'
    )
    workspace.source("prod/web.yaml", release % "web" + package % tuple(WEB.rsplit(":", 1)) + in_prod)
    workspace.source("prod/again.yaml", release % "again" + package % tuple(WEB.rsplit(":", 1)))
    workspace.source("test/other.yaml", release % "other" + package % tuple(OTHER.rsplit(":", 1)))
    configure(workspace)
    return workspace


def configure(workspace: Workspace, *, hosts: str = "", prod: str = "", test: str = "") -> None:
    (workspace.root / "kcd-gen.yaml").write_text(PROJECT.format(prod=prod, test=test) + hosts)


def test_all_unknown_hosts_of_a_run_are_reported_with_yaml_to_paste(fleet: Workspace) -> None:
    outcome = kcd_gen("build", "--offline", directory=fleet.root)
    assert outcome.exit == 1
    names = ["a.example.com", "b.example.com", "db.example.com", "ldap.example.com", "mail.example.com"]
    note = f"note[unknown-host]: templates resolve 5 hosts without a known address: {', '.join(names)}\n"
    assert note in outcome.err
    assert "error[unknown-host]: spec.parameters: no address is known for the host 'a.example.com'\n" in outcome.err
    pasted = outcome.err.partition("    add to kcd-gen.yaml, with the addresses: ")[2].splitlines()[0]
    assert yaml.safe_load(pasted) == {"hosts": dict.fromkeys(names, "ADDRESS")}
    configure(fleet, hosts=pasted.replace("ADDRESS", "10.0.0.1") + "\n")
    assert kcd_gen("build", "--offline", directory=fleet.root).exit == 0
    configure(fleet, hosts=pasted + "\n")
    unchanged = kcd_gen("build", "--offline", directory=fleet.root)
    assert unchanged.err.count("error[invalid-value]: an address in 'hosts' must be an IPv4 or IPv6 address") == 5


def test_the_report_has_an_error_for_each_release_and_one_note(fleet: Workspace) -> None:
    outcome = kcd_gen("build", "--offline", "--format", "json", directory=fleet.root)
    found = [one for one in json.loads(outcome.out)["diagnostics"] if one["code"] == "unknown-host"]
    assert {one["release"] for one in found if one["severity"] == "error"} == {
        "default/again",
        "default/other",
        "default/web",
    }
    (note,) = (one for one in found if one["severity"] == "note")
    assert note["cluster"] is None
    assert "mail.example.com" in note["message"]


def test_known_hosts_are_not_listed(fleet: Workspace) -> None:
    configure(fleet, hosts="hosts: {.example.com: 10.0.0.1}\n", test=", hosts: {a.example.com: 10.0.0.3}")
    assert kcd_gen("build", "--offline", directory=fleet.root).exit == 0
    fleet.package(manifest('{{ resolveDNS "" }}{{ resolveDNS "a b" }}'), reference=OTHER)
    outcome = kcd_gen("build", "--offline", directory=fleet.root)
    assert "error[unknown-host]" in outcome.err
    assert "note[" not in outcome.err  # no address can be added for these names


def test_a_cluster_has_its_own_addresses(fleet: Workspace) -> None:
    common = "hosts: {.example.com: 10.0.0.1, mail.example.com: 10.0.0.2}\n"
    in_test, in_prod = ", hosts: {mail.example.com: 10.0.0.3}", ", hosts: {db.example.com: 10.0.0.4}"
    configure(fleet, hosts=common, test=in_test, prod=in_prod)
    assert kcd_gen("build", "--offline", directory=fleet.root).exit == 0
    values = {
        path.relative_to(fleet.root).as_posix(): path.read_text()
        for path in (fleet.root / "out").rglob("flux/default/*")
    }
    assert "10.0.0.3" in values["out/test/flux/default/other.yaml"]
    assert "10.0.0.4" in values["out/prod/flux/default/again.yaml"]
    assert kcd_gen("build", "--offline", "--resolve", "mail.example.com=10.0.0.9", directory=fleet.root).exit == 0
    assert "10.0.0.9" in (fleet.root / "out/test/flux/default/other.yaml").read_text()


def test_another_address_is_a_difference(fleet: Workspace) -> None:
    configure(fleet, hosts="hosts: {.example.com: 10.0.0.1}\n")
    for command in ("git init -q", "git add -A", "git -c user.name=a -c user.email=a@b.c commit -qm one"):
        subprocess.run(command.split(), cwd=fleet.root, check=True)
    configure(fleet, hosts="hosts: {.example.com: 10.0.0.1}\n", test=", hosts: {mail.example.com: 10.0.0.3}")
    outcome = kcd_gen("diff", "--offline", directory=fleet.root)
    assert (outcome.exit, outcome.err) == (0, "")
    assert "10.0.0.3" in outcome.out
    assert "default/again" not in outcome.out


@pytest.mark.parametrize("command", ["lint", "diff"])
def test_other_commands_report_all_unknown_hosts_too(fleet: Workspace, command: str) -> None:
    git(fleet.root, "init", "--quiet")
    commit_all(fleet.root)
    fleet.source("prod/new.yaml", (fleet.root / "sources/prod/web.yaml").read_text().replace("web}", "new}"))
    outcome = kcd_gen(command, "--offline", directory=fleet.root)
    assert outcome.exit == 1
    assert "note[unknown-host]: templates resolve 5 hosts without a known address: a.example.com" in outcome.text
