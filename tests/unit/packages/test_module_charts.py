"""Each module's chart is in the index, and its archive contains that chart; otherwise Flux would install another."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import yaml

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.descriptors import MANIFEST_TYPE
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import Reference
from kubocd_gen.packages.archive import Subject
from kubocd_gen.packages.image import check_files, read_parts
from tests.support.images import chart_archive
from tests.support.packages import REFERENCE, WriteOne


def chart(name: str = "web", version: str = "1.0.0", text: str | None = None) -> bytes:
    yaml_text = f"apiVersion: v2\nname: {name}\nversion: {version}\n" if text is None else text
    return chart_archive({"web/Chart.yaml": yaml_text.encode()})


def package(module: Any, archive: bytes, *, name: str = "web", version: str = "1.0.0") -> dict[str, bytes]:
    """Return a package with one module and one archive, which the index lists as `name` and `version`."""
    digest = hashlib.sha256(archive).hexdigest()
    entry = {"name": name, "version": version, "digest": digest, "urls": ["web.tgz"]}
    return {
        "original.yaml": b"name: p\n",
        "status.yaml": yaml.safe_dump({"chartByModule": {"main": module}}).encode(),
        "index.yaml": yaml.safe_dump({"apiVersion": "v1", "entries": {name: [entry]}}).encode(),
        "web.tgz": archive,
    }


def refused(files: dict[str, bytes]) -> tuple[str, str]:
    with pytest.raises(ProblemsError) as caught:
        check_files(files, Subject("x.io/p:1"))
    assert caught.value.problem.message.isprintable()
    return str(caught.value.problem.code), caught.value.problem.message


WEB = {"name": "web", "version": "1.0.0"}


def test_a_chart_that_matches_index_and_status_is_accepted() -> None:
    check_files(package(WEB, chart()), Subject("x.io/p:1"))


@pytest.mark.parametrize(
    "module",
    [{"name": "web", "version": "1.0.1"}, {"name": "Web", "version": "1.0.0"}, {"name": "other", "version": "1.0.0"}],
)
def test_a_chart_missing_from_the_index_is_refused(module: dict[str, str]) -> None:
    code, message = refused(package(module, chart()))
    assert code == "bad-index"
    assert "module 'main'" in message


@pytest.mark.parametrize(
    "archive",
    [
        chart("evil"),
        chart(version="6.6.6"),
        chart(text="apiVersion: v2\nname: web\nNAME: evil\nversion: 1.0.0\n"),
        chart(text="apiVersion: v2\nname: web\nver\u017fion: 2.0.0\nversion: 1.0.0\n"),
        chart(text="apiVersion: v2\nname: web\n"),
        chart(text="- web\n"),
        chart(text="{"),
    ],
)
def test_an_archive_of_another_chart_is_refused(archive: bytes) -> None:
    code, message = refused(package(WEB, archive))
    assert code == "corrupt-chart"
    assert "web.tgz" in message


@pytest.mark.parametrize("name", ["a/b", "..", ".", "-web?", "we b", "w\u00e9b", "a" * 251])
def test_a_name_that_helm_refuses_is_refused(name: str) -> None:
    archive = chart(text=yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "1.0.0"}))
    code, message = refused(package({"name": name, "version": "1.0.0"}, archive, name=name))
    if name in ("a/b", ".", ".."):  # the check of the index refuses these first
        assert code == "bad-index"
    else:
        assert (code, "invalid chart name" in message) == ("bad-package", True)


@pytest.mark.parametrize("version", ["1.0.0/../x", "latest", "1.0.0 "])
def test_a_version_that_helm_refuses_is_refused(version: str) -> None:
    archive = chart(text=yaml.safe_dump({"apiVersion": "v2", "name": "web", "version": version}))
    assert refused(package({"name": "web", "version": version}, archive, version=version))[0] == "bad-package"


@pytest.mark.parametrize("version", [1, 3, "2", 2.0, True, None, [2]])
def test_a_manifest_with_another_schema_version_is_refused(version: object, write_one: WriteOne) -> None:
    layout = OciLayout(write_one(schemaVersion=version))
    reference = Reference("registry.example.com", "p", "1.0.0")
    descriptor = layout.resolve(reference)
    assert descriptor is not None
    assert descriptor.media_type == MANIFEST_TYPE
    assert str(reference) == REFERENCE
    with pytest.raises(ProblemsError) as caught:
        read_parts(reference, descriptor, layout)
    assert caught.value.problem.code == "not-a-package"
    assert "it must be 2" in caught.value.problem.message
