"""Packages that are not read again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.chart_index import indexed_charts
from kubocd_gen.packages.image import PackageImage
from kubocd_gen.packages.known import KnownPackages
from kubocd_gen.packages.lock import Lock, Pin
from kubocd_gen.packages.source import PackageRequest, PackageSources
from kubocd_gen.state.store import State
from tests.support.images import package_layer, write_layout
from tests.support.packages import CHART, LAYER, REFERENCE

REQUEST = PackageRequest(parse_reference(REFERENCE))
OTHER = package_layer("name: other\n", "{}\n", {"p-1.0.0.tgz": CHART})

pytestmark = pytest.mark.usefixtures("later")


class Vendored:
    """A vendor layout of one package, and a state."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "layout"
        self.state = State(None)
        write_layout(self.directory, {REFERENCE: LAYER})

    def run(self, lock: Lock | None = None) -> tuple[PackageSources, KnownPackages]:
        """Return the packages of a new run."""
        sources = PackageSources(vendor=OciLayout(self.directory), lock=lock)
        return sources, KnownPackages(self.state, sources)

    def read(self, lock: Lock | None = None) -> PackageImage:
        sources, known = self.run(lock)
        image = sources.fetch_all([REQUEST])[REQUEST].package
        assert isinstance(image, PackageImage)
        known.note(REQUEST, image)
        return image

    def is_known(self, lock: Lock | None = None) -> bool:
        return self.run(lock)[1].find(REQUEST) is not None

    def blobs(self) -> list[Path]:
        return sorted((self.directory / "blobs/sha256").iterdir())

    def index(self, **changes: object) -> None:
        path = self.directory / "index.json"
        index = json.loads(path.read_text())
        index["manifests"][0].update(changes)
        path.write_text(json.dumps(index))


@pytest.fixture
def vendored(tmp_path: Path) -> Vendored:
    return Vendored(tmp_path)


def test_a_package_is_known_once_it_was_read(vendored: Vendored) -> None:
    assert not vendored.is_known()
    image = vendored.read()
    found = vendored.run()[1].find(REQUEST)
    assert found is not None
    assert (found.digest, found.origin.location, found.origin.reference) == (image.digest, "vendor", REFERENCE)


def test_a_damaged_or_missing_blob_is_found(vendored: Vendored) -> None:
    image = vendored.read()
    for descriptor in (image.manifest, image.layer):
        path = OciLayout(vendored.directory).blob(descriptor)
        data, status = path.read_bytes(), path.stat()
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert not vendored.is_known()
        path.unlink()
        assert not vendored.is_known()
        path.write_bytes(data)
        vendored.read()
        assert vendored.is_known()


@pytest.mark.parametrize(
    "changes", [{"size": 1}, {"mediaType": "application/x"}, {"annotations": {}}, {"digest": f"sha256:{'0' * 64}"}]
)
def test_another_descriptor_in_the_index_is_found(vendored: Vendored, changes: dict[str, object]) -> None:
    vendored.read()
    vendored.index(**changes)
    assert not vendored.is_known()


def test_a_moved_tag_is_found(vendored: Vendored) -> None:
    vendored.read()
    write_layout(vendored.directory, {REFERENCE: OTHER})
    assert not vendored.is_known()
    vendored.read()
    assert vendored.is_known()


def test_blobs_that_are_elsewhere_behind_a_symlink_are_read(vendored: Vendored, tmp_path: Path) -> None:
    vendored.read()
    (vendored.directory / "blobs").rename(tmp_path / "elsewhere")
    (vendored.directory / "blobs").symlink_to(tmp_path / "elsewhere")
    assert not vendored.is_known()


def test_the_lock_decides_which_layer_a_package_has(vendored: Vendored) -> None:
    image = vendored.read()
    pin = Pin(image.manifest, image.layer, indexed_charts(image.files))
    assert vendored.is_known(Lock({REFERENCE: pin}))
    other = replace(image.layer, size=image.layer.size + 1)
    assert not vendored.is_known(Lock({REFERENCE: replace(pin, layer=other)}))


def test_what_changed_since_the_run_began_is_not_known(vendored: Vendored) -> None:
    """Another cluster can have read the package before, and a blob can have changed since."""
    sources, known = vendored.run()
    image = sources.fetch_all([REQUEST])[REQUEST].package
    assert isinstance(image, PackageImage)
    sources.began -= 3_600_000_000_000
    known.note(REQUEST, image)
    assert vendored.state.table("blobs") == {}
    (layer, *_) = (path for path in vendored.blobs() if path.read_bytes() == LAYER)
    layer.write_bytes(LAYER[:-1] + b"x")
    assert not vendored.is_known()


def test_a_package_that_was_removed_or_replaced_during_the_run_is_not_known(vendored: Vendored) -> None:
    sources, known = vendored.run()
    image = sources.fetch_all([REQUEST])[REQUEST].package
    assert isinstance(image, PackageImage)
    for path in vendored.blobs():
        path.unlink()
    known.note(REQUEST, image)
    assert known.find(REQUEST) is None
    write_layout(vendored.directory, {REFERENCE: OTHER})
    _, later = vendored.run()
    later.note(REQUEST, image)
    assert later.find(REQUEST) is None
