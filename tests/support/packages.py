"""One package in an image layout, for the tests of layouts, images and sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.oci.descriptors import REF_NAME
from tests.support.images import chart_archive, package_layer, write_image, write_index

REFERENCE = "registry.example.com/p:1.0.0"
CHART = chart_archive({"p/Chart.yaml": b"apiVersion: v2\nname: p\nversion: 1.0.0\n"})
LAYER = package_layer("name: p\n", "{}\n", {"p-1.0.0.tgz": CHART})

# (layer, changes to the manifest, annotations of the entry) -> the layout's directory
WriteOne = Callable[..., Path]


@pytest.fixture
def write_one(tmp_path: Path) -> WriteOne:
    """Return a function that writes a layout of one package, named REFERENCE."""

    def write(layer: bytes = LAYER, *, entry: dict[str, Any] | None = None, **changes: Any) -> Path:
        directory = tmp_path / "layout"
        descriptor = {**write_image(directory, layer, **changes), "annotations": {REF_NAME: REFERENCE}, **(entry or {})}
        write_index(directory, [descriptor])
        return directory

    return write
