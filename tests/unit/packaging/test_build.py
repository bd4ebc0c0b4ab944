from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from kubocd_gen.archives.chart import read_chart
from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import find_helm
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.descriptors import MANIFEST_TYPE, Descriptor
from kubocd_gen.oci.reference import Reference
from kubocd_gen.packaging.assembly import Assembled
from kubocd_gen.packaging.build import Change, Order, package
from kubocd_gen.packaging.charts import Charts
from kubocd_gen.packaging.directory import Packed
from kubocd_gen.packaging.manifest_file import ChartSource
from tests.support.charts import archive


class OneChart:
    """Return the same chart for every source."""

    def fetch(self, source: ChartSource) -> Packed:
        return Packed(read_chart(archive(), describe=str(source)))


class Shelf:
    """A destination for images that fails for the given packages."""

    def __init__(self, *, there: str = "", asking: str = "", publishing: str = "") -> None:
        self.there, self.asking, self.publishing = there, asking, publishing
        self.published: list[str] = []

    def tagged(self, reference: Reference) -> Descriptor | None:
        if self.asking and reference.repository.endswith(self.asking):
            raise NetworkError("it does not answer", code="registry-failed")
        if self.there and reference.repository.endswith(self.there):
            return Descriptor(MANIFEST_TYPE, "sha256:" + "0" * 64, 1)
        return None

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        if self.publishing and reference.repository.endswith(self.publishing):
            raise NetworkError("it broke off", code="registry-failed")
        self.published.append(f"{image.name}{' moved' if move else ''}")
        return "pushed"

    def describe(self) -> str:
        return "the shelf"


def run(root: Path, shelf: Shelf, *, move_tags: bool = False) -> tuple[list[Change | None], list[str]]:
    """Return the changes of the packages a, b and c, and the codes of the problems."""
    files = []
    for name in ("a", "b", "c"):
        files.append(root / f"{name}.yaml")
        source = "{helmRepository: {url: 'https://x.io', chart: web, version: 1.0.0}}"
        text = f"apiVersion: v1alpha1\nname: {name}\ntag: 1.0.0\nmodules:\n- name: m\n  source: {source}\n"
        files[-1].write_text(text)
    findings = Problems()
    order = Order(files, "x.io/p", None, move_tags, {}, jobs=2)
    outcomes = package(order, shelf, cast("Charts", OneChart()), Helm(find_helm()), findings)
    return [one.change for one in outcomes], [one.code for one in findings]


def test_a_failed_push_does_not_hide_successful_ones(tmp_path: Path) -> None:
    shelf = Shelf(publishing="b")
    assert run(tmp_path, shelf) == (["pushed", None, "pushed"], ["registry-failed"])
    assert sorted(shelf.published) == ["a", "c"]


@pytest.mark.parametrize(("shelf", "code"), [(Shelf(asking="c"), "registry-failed"), (Shelf(there="b"), "tag-exists")])
def test_nothing_is_pushed_if_a_tag_exists_or_cannot_be_resolved(tmp_path: Path, shelf: Shelf, code: str) -> None:
    assert run(tmp_path, shelf) == ([None, None, None], [code])
    assert shelf.published == []


def test_a_tag_is_moved_only_on_request(tmp_path: Path) -> None:
    shelf = Shelf(there="b")
    assert run(tmp_path, shelf, move_tags=True) == (["pushed"] * 3, [])
    assert sorted(shelf.published) == ["a moved", "b moved", "c moved"]


def test_a_failing_helm_binary_stops_the_command(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1alpha1\nname: a\ntag: 1.0.0\ndescription: '{{ .a }}'\n"
        "modules: [{name: m, source: {local: {path: web}}}]\n"
    )
    broken = tmp_path / "helm"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    order = Order([tmp_path / "a.yaml"], "x.io/p", None, move_tags=False, environment={})
    with pytest.raises(ProblemsError, match="helm failed to parse the templates"):
        package(order, Shelf(), cast("Charts", OneChart()), Helm(broken), Problems())
