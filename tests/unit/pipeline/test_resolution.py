"""Finding the packages of Releases."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.packages.manifest import read_package
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline import resolution
from kubocd_gen.pipeline.resolution import find_packages
from tests.support.images import write_layout
from tests.support.packages import LAYER
from tests.support.records import release
from tests.support.workspace import WEB, Workspace


def test_a_manifest_is_read_once_for_all_clusters_even_if_it_is_invalid(tmp_path: Path) -> None:
    Workspace(tmp_path).package()
    write_layout(tmp_path / "invalid", {WEB: LAYER})
    for layout, count in (("packages", 1), ("invalid", 0)):
        packages = PackageSources(vendor=OciLayout(tmp_path / layout))
        with mock.patch.object(resolution, "read_package", wraps=read_package) as read:
            problems = Problems("one"), Problems("two")
            found = [find_packages([release()], Settings(), packages, one) for one in problems]
        assert read.call_count == 1
        assert found[0] == found[1]
        assert len(found[0]) == count
        assert [one.message for one in problems[0]] == [one.message for one in problems[1]]
