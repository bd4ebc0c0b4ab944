"""What an editor with the real yaml-language-server shows, and docs/how-to/editors.md."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubocd_gen.editors.settings import modeline, vscode_settings
from kubocd_gen.editors.shipped import document_schema
from tests.support.language_server import CURSOR, LanguageServer, language_server
from tests.support.quickstart import QUICKSTART
from tests.support.workspace import Workspace, kcd_gen

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/editors.md").read_text()
RELEASE = "cluster/releases/podinfo1.yaml"
TEXT = (QUICKSTART / RELEASE).read_text()
HEAD = TEXT.partition("  parameters:\n")[0]
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspecs: {replicas: x}\n"
STANDARD = """\
apiVersion: v1alpha1
name: web
tag: 1.0.0
schema:
  parameters:
    $schema: http://json-schema.org/draft-07/schema#
    type: object
    definitions:
      port: {type: integer, description: A port., maximum: 65535}
      volume:
        type: object
        properties: {size: {type: string, pattern: '^(?P<n>[0-9]+)Gi\\z'}, more: {$ref: '#/definitions/volume'}}
        additionalProperties: false
    properties:
      port: {$ref: '#/definitions/port'}
      data: {$ref: '#/definitions/volume'}
      replicas: {type: integer, default: 1}
      flags: {type: string, pattern: '(?i)^[[:alpha:]]+$'}
      mode: {type: string, enum: [fast, safe]}
      mail: {type: string, format: email}
    additionalProperties: false
modules:
- {name: main, source: {local: {path: web}}}
"""


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    """The quickstart with its schema, in an editor with the settings of the how-to page."""
    root = tmp_path_factory.mktemp("editors") / "quickstart"
    shutil.copytree(QUICKSTART, root)
    assert kcd_gen("schema", "sources", "--output", "kcd-gen.schema.json", directory=root).exit == 0
    with language_server(root, vscode_settings(["cluster"])) as server:
        yield server


def test_valid_sources_have_no_diagnostics(quickstart: LanguageServer) -> None:
    assert quickstart.diagnostics(RELEASE) == []
    assert quickstart.diagnostics("kcd-gen.yaml") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT.replace("fqdn", "fqnd"), ['12: Missing property "fqdn".', "13: Property fqnd is not allowed."]),
        (TEXT.replace("podinfo1.ingress.kubodoc.local", "8"), ['13: Incorrect type. Expected "string".']),
        (TEXT.replace("podinfo1.ingress.kubodoc.local", '"{{ .Context.host }}"'), []),
        (HEAD, ['6: Missing property "parameters".']),
        (HEAD + "  parameters: |\n    fqdn: {{ .Context.host }}\n", []),
        (TEXT.replace("    tag: 6.7.1-p01\n", ""), ['8: Missing property "tag".']),
        (TEXT.replace("6.7.1-p01", "6.7.1-p02").replace("fqdn", "other"), []),
        (TEXT + "  rolez: [web]\n", ["14: Property rolez is not allowed."]),
        (TEXT + "  moduleOverrides: [{module: mian}]\n", ['14: Value is not accepted. Valid values: "main".']),
        (
            TEXT.replace("30m", "30d"),
            ["11: must be a duration in h, m, s and ms; use a duration such as 90s, 5m or 1h30m"],
        ),
    ],
)
def test_a_release_is_checked_with_the_parameters_of_its_package(
    quickstart: LanguageServer, text: str, expected: list[str]
) -> None:
    assert quickstart.diagnostics(RELEASE, text) == expected


def test_each_document_is_checked_by_its_kind(quickstart: LanguageServer) -> None:
    wrong = TEXT.replace("fqdn", "fqnd")
    context = "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\nmetadata: {name: a}\nspec: {contxt: {}}\n"
    config = "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Config\nmetadata: {name: a}\nspec: {clusterRoles: web}\n"
    text = "---\n".join([DEPLOYMENT, context, config, "- a list\n", wrong])
    assert quickstart.diagnostics(RELEASE, text) == [
        '9: Missing property "context".',
        "9: Property contxt is not allowed.",
        "14: Incorrect type. Expected one of array, null.",
        '29: Missing property "fqdn".',
        "30: Property fqnd is not allowed.",
    ]
    items = "apiVersion: v1\nkind: List\nitems:\n- kind: Other\n- " + wrong.replace("\n", "\n  ")
    assert quickstart.diagnostics(RELEASE, items) == [
        '16: Missing property "fqdn".',
        "17: Property fqnd is not allowed.",
    ]


def test_the_keys_of_parameters_are_completed(quickstart: LanguageServer) -> None:
    offered = quickstart.completions(RELEASE, f"{HEAD}  parameters:\n    {CURSOR}\n")
    assert {"fqdn", "ingressClassName"} <= set(offered)
    assert offered["ingressClassName"] == "ingressClassName: ${1:nginx}"
    assert set(quickstart.completions(RELEASE, f"{TEXT}    i{CURSOR}\n")) == {"ingressClassName"}


def test_names_of_the_project_are_completed(quickstart: LanguageServer) -> None:
    head = "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: "
    assert {"Release", "Context", "Config"} <= set(quickstart.completions(RELEASE, f"{head}{CURSOR}\n"))
    assert {"metadata", "spec"} <= set(quickstart.completions(RELEASE, f"{head}Release\n{CURSOR}\n"))
    assert "kubocd.kubotal.io/v1alpha1" in quickstart.completions(RELEASE, f"apiVersion: {CURSOR}\n")
    assert "quay.io/kubodoc/packages/podinfo" in quickstart.completions(
        RELEASE, TEXT.replace("quay.io/kubodoc/packages/podinfo", CURSOR)
    )
    assert "6.7.1-p01" in quickstart.completions(RELEASE, TEXT.replace("6.7.1-p01", CURSOR))
    assert "main" in quickstart.completions(RELEASE, f"{TEXT}  moduleOverrides:\n  - module: {CURSOR}\n")


def test_hovering_over_a_field_shows_its_description(quickstart: LanguageServer) -> None:
    parameter = quickstart.hover(RELEASE, TEXT.replace("fqdn", f"fq{CURSOR}dn"))
    assert "The host name under which the application is reached" in parameter
    assert "How often Flux checks the tag" in quickstart.hover(RELEASE, TEXT.replace("interval", f"inter{CURSOR}val"))


def test_a_json_schema_with_references_is_understood(workspace: Workspace) -> None:
    workspace.package(STANDARD)
    workspace.release("web")
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters: [{name: a, sources: [sources], output: output}]\n"
    )
    assert kcd_gen("schema", "sources", "--output", "kcd-gen.schema.json", directory=workspace.root).exit == 0
    file = "sources/default-web.yaml"
    head = modeline("../kcd-gen.schema.json") + "\n" + (workspace.root / file).read_text() + "  parameters:\n"

    def diagnostics(parameters: str) -> list[str]:
        text = head + "".join(f"    {line}\n" for line in parameters.splitlines())
        return [one.partition(": ")[2] for one in server.diagnostics(file, text)]

    with language_server(workspace.root) as server:  # no settings: the comment in the file is enough
        assert (
            diagnostics("port: 80\ndata: {size: 1Gi, more: {size: 2Gi}}\nflags: ABC\nmail: A <a@b>\nmode: fast") == []
        )
        assert diagnostics("port: '{{ .Context.port }}'") == ['Incorrect type. Expected "integer".']  # as in a build
        assert diagnostics("mode: '{{ .Context.mode }}'\ndata: {size: '{{ .Context.size }}'}") == []
        assert diagnostics("port: 65536") == ["Value is above the maximum of 65535."]
        assert diagnostics("data: {more: {sise: 1}}") == ["Property sise is not allowed."]
        assert diagnostics("data: {size: 1Mi}") == ["must match ^(?P<n>[0-9]+)Gi\\z"]
        assert diagnostics("mode: slow") == ['Value is not accepted. Valid values: "fast", "safe".']
        assert "fast" in server.completions(file, f"{head}    mode: {CURSOR}\n")
        assert "port" in server.completions(file, f"{head}    {CURSOR}\n")
        wrong = f"{head}    prt: 80\n"
        second = wrong.partition("\n")[2]  # without the comment, which applies to one document
        assert len(server.diagnostics(file, f"{wrong}---\n{second}")) == 1
        assert len(server.diagnostics(file, f"{wrong}---\n{wrong}")) == 2
        assert len(server.diagnostics(file, wrong.replace("yaml-language-server: $schema=", "$schema: "))) == 1
        assert "A port." in server.hover(file, f"{head}    po{CURSOR}rt: 80\n")


def test_the_project_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "project.json").write_text(json.dumps(document_schema("project")))
    head = modeline("project.json") + "\napiVersion: kcd-gen/v1alpha1\nkind: Project\n"
    with language_server(tmp_path) as server:
        good = head + "clusters: [{name: prod, sources: [clusters/prod], output: deploy/prod}]\n"
        assert server.diagnostics("kcd-gen.yaml", good) == []
        assert server.diagnostics("kcd-gen.yaml", good.replace("sources", "source")) == [
            '4: Missing property "sources".',
            "4: Property source is not allowed.",
        ]
        assert "vendor" in server.completions("kcd-gen.yaml", f"{good}packages:\n  {CURSOR}\n")
        assert "ignore" in server.completions("kcd-gen.yaml", f"{good}dependencies: {CURSOR}\n")


def test_the_page_has_the_settings_that_kcd_gen_writes() -> None:
    blocks = dict(re.findall(r"```(json|toml|lua)\n(.*?)```", PAGE, re.DOTALL))
    settings = vscode_settings(["clusters/prod"])
    assert json.loads(blocks["json"]) == settings
    helix = tomllib.loads(blocks["toml"])["language-server"]["yaml-language-server"]
    assert helix["config"]["yaml"]["schemas"] == settings["yaml.schemas"]
    neovim = re.findall(r'\["(.*)"\] = \{ (.*) \},', blocks["lua"])
    assert {schema: json.loads(f"[{globs}]") for schema, globs in neovim} == settings["yaml.schemas"]
    assert f"```yaml\n{modeline()}\napiVersion: kcd-gen/v1alpha1\n" in PAGE


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    shutil.copytree(QUICKSTART, tmp_path / "quickstart")
    console = re.findall(r"```console\n\$ kcd-gen ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)
    assert len(console) >= 3
    for command, printed in console:
        outcome = kcd_gen(*command.split(), directory=tmp_path / "quickstart")
        assert (outcome.exit, outcome.out) == (0, printed)
