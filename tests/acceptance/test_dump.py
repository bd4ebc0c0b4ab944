"""`kcd-gen dump`: show what a package contains, and extract its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubocd_gen.package_data import schema
from tests.support.charts import archive, chart_files, write_files
from tests.support.hostile import member, tar
from tests.support.images import gzipped, package_layer, tarred, write_layout
from tests.support.quickstart import QUICKSTART, REFERENCE, write_packages
from tests.support.workspace import Outcome, files_below, kcd_gen

MANIFEST = """\
apiVersion: v1alpha1
name: shop
tag: 1.0.0
description: |
  A shop
  of two modules
protected: true
schema:
  parameters:
    properties:
      host: {type: string, required: true, description: The host name}
      mode: {enum: [fast, safe], type: string, default: safe}
      sizes: {items: {properties: {cpu: {type: number, default: 0.5}}}}
      deep: {properties: {er: {type: boolean, default: false}}}
  context:
    properties:
      ingress: {properties: {class: {type: string, required: true}}}
modules:
- name: front
  source: {local: {path: web}}
  dependsOn: [back]
- name: back
  source: {helmRepository: {url: https://charts.example.com, chart: db, version: 2.0.0}}
  enabled: "{{ .Parameters.deep.er }}"
roles: [shop]
"""
STATUS = "chartByModule: {front: {name: web, version: 1.0.0}, back: {name: db, version: 2.0.0}}\n"
CHARTS = {"web-1.0.0.tgz": archive(), "db-2.0.0.tgz": archive("db", "2.0.0")}
SHOP = "x.io/shop:1.0.0"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A manifest, the layer of its image, and a layout with it."""
    layer = package_layer(MANIFEST, STATUS, CHARTS)
    (tmp_path / "shop.yaml").write_text(MANIFEST)
    (tmp_path / "assembly.tgz").write_bytes(layer)
    write_layout(tmp_path / "layout", {SHOP: layer})
    return tmp_path


def dump(directory: Path, *arguments: str) -> Outcome:
    return kcd_gen("dump", *arguments, directory=directory)


def document_of(outcome: Outcome) -> dict[str, Any]:
    """Return the document on standard output, validated by its schema."""
    document: dict[str, Any] = json.loads(outcome.out)
    jsonschema.validate(document, schema("kcd-gen/dump-v1alpha1"))
    return document


def ok(outcome: Outcome) -> str:
    assert outcome.exit == 0, outcome.text
    return outcome.out


def test_a_package_is_shown_for_people(directory: Path) -> None:
    printed = ok(dump(directory, SHOP, "--vendor", "layout", "--offline"))
    head, _, manifest = printed.partition("\nManifest\n")
    title, *lines = head.splitlines()
    assert title.startswith("shop:1.0.0  sha256:")
    digests = [line.rpartition("  ")[0] for line in lines if "sha256:" in line]
    assert [line.split()[0] for line in digests] == ["db-2.0.0.tgz", "web-1.0.0.tgz"]
    plain = [line for line in lines if "sha256:" not in line and not line.startswith("  FILE ")]
    assert plain[:-2] == SHOWN.splitlines()
    assert lines[-1].startswith("6 files, ")
    assert manifest == "".join(f"  {line}\n" for line in MANIFEST.splitlines())


SHOWN = """\
from x.io/shop:1.0.0
A shop
of two modules
protected
roles: ["shop"]

Parameters
  NAME         TYPE             DEFAULT  REQUIRED  DESCRIPTION
  host         string                    yes       The host name
  mode         fast|safe        "safe"
  sizes        array of object
  sizes[].cpu  number           0.5
  deep         object
  deep.er      boolean          false

Context
  NAME           TYPE    DEFAULT  REQUIRED  DESCRIPTION
  ingress        object
  ingress.class  string           yes

Modules
  NAME   CHART      ENABLED                    DEPENDS ON  SOURCE
  front  web 1.0.0  true                       ["back"]    local: {"path": "web"}
  back   db 2.0.0   {{ .Parameters.deep.er }}              \
helmRepository: {"url": "https://charts.example.com", "chart": "db", "version": "2.0.0"}

Charts
"""


def test_a_package_is_shown_for_scripts(directory: Path) -> None:
    document = document_of(dump(directory, f"oci:layout:{SHOP}", "--format", "json"))
    package = document["package"]
    assert package["reference"] == SHOP
    assert package["parameters"][0] == {
        "name": "host",
        "type": "string",
        "default": "",
        "required": True,
        "description": "The host name",
    }
    assert package["modules"][1]["chart"] == {"name": "db", "version": "2.0.0"}
    assert [one["file"] for one in package["charts"]] == ["db-2.0.0.tgz", "web-1.0.0.tgz"]
    assert document["diagnostics"] == []


def test_both_documents_have_the_same_diagnostics() -> None:
    dumped, reported = (schema(f"kcd-gen/{name}-v1alpha1")["properties"]["diagnostics"] for name in ("dump", "report"))
    assert dumped == reported


def test_a_layer_and_a_manifest_can_be_shown(directory: Path) -> None:
    for name, charts in (("assembly.tgz", 2), ("shop.yaml", 0)):
        package = document_of(dump(directory, name, "--format", "json"))["package"]
        assert (package["name"], len(package["charts"])) == ("shop", charts)


def test_a_package_of_the_project_is_found(tmp_path: Path) -> None:
    (tmp_path / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters: [{name: a, sources: [a], output: b}]\n"
        f"packages: {{vendor: '{QUICKSTART / 'packages'}'}}\n"
    )
    assert "error[outside-checkout]" in dump(tmp_path, REFERENCE).err
    allowed = ("--allow-outside", str(QUICKSTART))
    assert "podinfo 6.7.1" in ok(dump(tmp_path, REFERENCE, *allowed))
    assert "podinfo 6.7.1" in ok(dump(tmp_path, f"oci://{REFERENCE}", *allowed))


def test_a_package_is_unpacked_with_its_charts(directory: Path) -> None:
    printed = ok(dump(directory, "assembly.tgz", "--output", "out"))
    assert "Created out/charts/web-1.0.0\n" in printed
    found = files_below(directory / "out")
    assert found["original.yaml"].decode() == MANIFEST
    assert found["web-1.0.0.tgz"] == CHARTS["web-1.0.0.tgz"]
    assert found["charts/web-1.0.0/Chart.yaml"] == chart_files()["Chart.yaml"]


def test_a_manifest_is_unpacked_in_its_groomed_form(directory: Path) -> None:
    ok(dump(directory, "shop.yaml", "--output", "out"))
    assert set(files_below(directory / "out")) == {"original.yaml", "groomed.yaml"}


def test_nothing_is_overwritten(directory: Path) -> None:
    write_files(directory / "out", {"status.yaml": b"mine"})
    outcome = dump(directory, "assembly.tgz", "--output", "out")
    assert "error[foreign-file]: 'out/status.yaml' already exists" in outcome.err
    assert outcome.exit == 1
    assert files_below(directory / "out") == {"status.yaml": b"mine"}


def test_nothing_is_written_through_a_symlink(directory: Path) -> None:
    (directory / "elsewhere").mkdir()
    (directory / "out").mkdir()
    (directory / "out/charts").symlink_to(directory / "elsewhere")
    assert "error[symlinked-output]" in dump(directory, "assembly.tgz", "--output", "out").err
    assert files_below(directory / "elsewhere") == {}
    (directory / "out/original.yaml").unlink(missing_ok=True)
    (directory / "out/original.yaml").symlink_to(directory / "new")
    assert "error[symlinked-output]" in dump(directory, "assembly.tgz", "--output", "out").err
    (directory / "out/charts").unlink()
    assert "error[foreign-file]" in dump(directory, "assembly.tgz", "--output", "out").err
    assert not (directory / "new").exists()


def test_a_chart_that_would_leave_the_directory_is_refused(directory: Path) -> None:
    evil = gzipped(tar(member("web/Chart.yaml", b"name: web\n"), member("web/../../../x", b"x")))
    files = {"original.yaml": MANIFEST.encode(), "index.yaml": b"entries: {}\n", "status.yaml": STATUS.encode()}
    (directory / "assembly.tgz").write_bytes(gzipped(tarred({**files, "web-1.0.0.tgz": evil})))
    assert "error[corrupt-chart]" in dump(directory, "assembly.tgz", "--output", "out").err
    assert not (directory / "out").exists()


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("none.yaml", "error[missing-source]: 'none.yaml' does not exist"),
        ("layout", "error[missing-source]: 'layout' is an image layout, not a package\n    pass oci:layout:REFERENCE"),
        ("layout/blobs", "error[missing-source]: 'layout/blobs' contains no package manifest"),
        (
            "release.yaml",
            "release.yaml:2:1: error[bad-package]: 'release.yaml' is a Release, not a package\n    compile",
        ),
        ("other.yaml", "other.yaml:1:17: error[bad-package]: 'other.yaml' is a Deployment, not a package\n    pass"),
        ("nope", "error[bad-reference]"),
        ("a" * 300, "error[bad-reference]"),
        (f"oci:layout:{SHOP}1", "error[missing-package]"),
        ("oci:nowhere:x.io/a:1", "error[bad-layout]"),
    ],
)
def test_an_argument_that_cannot_be_shown_is_an_error(directory: Path, argument: str, expected: str) -> None:
    (directory / "release.yaml").write_text("apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\n")
    (directory / "other.yaml").write_text("{apiVersion: 1, kind: Deployment}\n")
    outcome = dump(directory, argument)
    assert expected in outcome.err
    assert outcome.exit == 1
    assert document_of(dump(directory, argument, "--format", "json"))["package"] is None


def test_a_directory_with_one_manifest_is_shown(directory: Path) -> None:
    assert ok(dump(directory, ".")) == ok(dump(directory, "shop.yaml"))
    (directory / "more").mkdir()
    (directory / "more/b.yaml").write_text(MANIFEST)
    outcome = dump(directory, ".")
    assert outcome.exit == 1
    assert "error[ambiguous-package]: '.' contains several package manifests\n    pass one of: shop.yaml" in outcome.err


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(QUICKSTART / "cluster", tmp_path / "cluster")
    write_packages(tmp_path / "packages")
    cluster = "clusters: [{name: prod, sources: [cluster], output: out}]\npackages: {vendor: packages}\n"
    (tmp_path / "kcd-gen.yaml").write_text("apiVersion: kcd-gen/v1alpha1\nkind: Project\n" + cluster)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["podinfo1", "default/podinfo1", "podinfo", "podinfo:6.7.1-p01", REFERENCE.partition(":")[0]]
)
def test_a_name_is_a_release_or_a_package_of_the_project(project: Path, tmp_path_factory: Any, name: str) -> None:
    printed = ok(dump(project, REFERENCE, "--offline"))
    assert ok(dump(project, name, "--offline")) == printed
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert ok(dump(elsewhere, name, "--offline", "--project", str(project))) == printed


def test_a_name_of_several_packages_is_an_error(project: Path) -> None:
    release = (project / "cluster/releases/podinfo1.yaml").read_text()
    other = release.replace("podinfo1", "podinfo2").replace("6.7.1-p01", "6.7.1-p02")
    (project / "cluster/releases/podinfo2.yaml").write_text(other)
    outcome = dump(project, "podinfo", "--offline")
    assert outcome.exit == 1
    assert "error[ambiguous-package]: 'podinfo' matches 2 packages\n" in outcome.err
    assert "error[missing-package]" in dump(project, "podinfo2", "--offline").err


def test_an_unknown_name_has_a_suggestion(project: Path) -> None:
    outcome = dump(project, "podinfo12", "--offline")
    assert outcome.exit == 1
    message = "error[unknown-package]: no Release or package of the project is called 'podinfo12'\n    did you mean"
    assert f"{message} 'podinfo1'?" in outcome.err


def test_a_terminal_gets_no_control_characters(directory: Path) -> None:
    (directory / "shop.yaml").write_text(MANIFEST.replace("The host name", '"\\e[31mred"'))
    assert "\x1b" not in ok(dump(directory, "shop.yaml"))


def test_the_errors_of_a_manifest_have_line_numbers(directory: Path) -> None:
    (directory / "shop.yaml").write_text(MANIFEST.replace("tag: 1.0.0", "tga: 1.0.0"))
    assert "shop.yaml:3:1: error[unknown-field]" in dump(directory, "shop.yaml").err
