"""Copying locked packages into a vendor layout that has damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.image import read_image
from kubocd_gen.packages.lock import Lock, Pin
from kubocd_gen.packages.remote import Remote
from kubocd_gen.pipeline.lock import vendor_packages
from tests.support.packages import LAYER, REFERENCE
from tests.support.registries import MemoryRegistry


@pytest.fixture
def registry() -> MemoryRegistry:
    found = MemoryRegistry()
    found.push(REFERENCE, LAYER)
    return found


def vendor(directory: Path, registry: MemoryRegistry) -> tuple[list[str], list[str], Descriptor]:
    """Return the copied packages, the codes of the problems, and the layer."""
    remote, reference, problems = Remote(registry.client, None), parse_reference(REFERENCE), Problems()
    image = read_image(reference, registry.tags[REFERENCE], remote.blobs(reference, Access()))
    lock = Lock({REFERENCE: Pin(image.manifest, image.layer, ())})
    layout, writer = OciLayout(directory, "packages"), LayoutWriter(directory)
    done = vendor_packages(lock, [], layout, writer, remote, problems, limits=LIMITS, jobs=1)
    copied = [name for name, result in done.items() if result == "copied"]
    return copied, [one.code for one in problems], image.layer


def test_a_damaged_blob_is_replaced_but_not_a_directory_at_its_path(tmp_path: Path, registry: MemoryRegistry) -> None:
    copied, problems, layer = vendor(tmp_path / "packages", registry)
    assert (copied, problems) == ([REFERENCE], [])
    blob = tmp_path / "packages/blobs/sha256" / layer.hex
    blob.write_bytes(b"damaged")
    assert vendor(tmp_path / "packages", registry)[:2] == ([REFERENCE], [])
    blob.unlink()
    blob.mkdir()
    assert vendor(tmp_path / "packages", registry)[:2] == ([], ["bad-layout"])
