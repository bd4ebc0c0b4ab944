"""Valid and invalid base images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.base_image import MOST_LAYERS, Base, read_base
from kubocd_gen.oci.base_store import LayoutStore
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import LayoutImage, parse_image
from tests.support.bases import BaseMaker, Json

Make = Callable[[BaseMaker], Json]


def read(maker: BaseMaker, entry: Json, *platforms: str) -> Base:
    image = parse_image(maker.named(entry))
    assert isinstance(image, LayoutImage)
    return read_base(LayoutStore(OciLayout(maker.directory), image, LIMITS), str(image), platforms)


def linux(maker: BaseMaker, architecture: str = "amd64", **platform: Any) -> Json:
    return maker.image(architecture) | {"platform": {"os": "linux", "architecture": architecture, **platform}}


def layer(media_type: str) -> Json:
    return {"mediaType": media_type, "digest": f"sha256:{'1' * 64}", "size": 3}


def many(maker: BaseMaker) -> Json:
    ids = {"type": "layers", "diff_ids": [f"sha256:{'1' * 64}"] * (MOST_LAYERS + 1)}
    layers = [layer("application/vnd.oci.image.layer.v1.tar")] * (MOST_LAYERS + 1)
    return maker.image(changes={"layers": layers}, rootfs=ids)


HOSTILE: dict[str, tuple[Make, str]] = {
    "an index without entries": (lambda maker: maker.index([]), "is an index without images"),
    "too many entries": (lambda maker: maker.index([linux(maker)] * 129), "more than 128"),
    "too many platforms": (lambda maker: maker.index([linux(maker)] * 65), "more than 64 platforms"),
    "an index of indexes": (
        lambda maker: maker.index(
            [maker.index([linux(maker)]) | {"platform": {"os": "linux", "architecture": "amd64"}}]
        ),
        "has no image for Linux",
    ),
    "nothing for Linux": (
        lambda maker: maker.index([linux(maker) | {"platform": {"os": "windows", "architecture": "amd64"}}]),
        "has no image for Linux",
    ),
    "a platform that is a path": (lambda maker: maker.index([linux(maker, variant="../..")]), "an invalid variant"),
    "a platform without an os": (
        lambda maker: maker.index([linux(maker) | {"platform": {"architecture": "amd64"}}]),
        "no os and architecture",
    ),
    "a platform that lies": (
        lambda maker: maker.index([maker.image("arm64") | {"platform": {"os": "linux", "architecture": "amd64"}}]),
        "lists an image as linux/amd64, but its config has linux/arm64",
    ),
    "another config": (
        lambda maker: maker.image(changes={"config": layer("application/vnd.cncf.helm.config.v1+json")}),
        "is not a container image",
    ),
    "too many layers": (many, f"has {MOST_LAYERS + 1} layers"),
    "a layer of another type": (
        lambda maker: maker.image(changes={"layers": [layer("text/plain"), layer("text/plain")]}),
        "has a layer of the unknown type 'text/plain'",
    ),
    "fewer layers than the config says": (lambda maker: maker.image(changes={"layers": []}), "its config lists 2"),
    "no layers": (lambda maker: maker.image(changes={"layers": None}), "without a list of layers"),
    "two types": (lambda maker: maker.image(changes={"manifests": []}), "has a manifest with conflicting media types"),
    "another system": (lambda maker: maker.image(os="windows"), "is an image for 'windows'"),
    "no architecture": (lambda maker: maker.image(architecture="../.."), "without os and architecture"),
    "no diff IDs": (lambda maker: maker.image(rootfs={"type": "layers"}), "without valid layer digests"),
    "invalid diff IDs": (
        lambda maker: maker.image(rootfs={"type": "layers", "diff_ids": ["sha256:1", 2]}),
        "without valid layer digests",
    ),
    "a config that is a list": (lambda maker: maker.image(config=[1]), "whose 'config' is not an object"),
    "a history that is a map": (lambda maker: maker.image(history={"a": 1}), "whose 'history' is not a list"),
    "labels that are numbers": (lambda maker: maker.image(config={"Labels": {"a": 1}}), "whose labels are not strings"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_an_invalid_base_is_refused(name: str, tmp_path: Path) -> None:
    make, message = HOSTILE[name]
    maker = BaseMaker(tmp_path)
    with pytest.raises(ProblemsError) as caught:
        read(maker, make(maker))
    assert caught.value.problem.code == "bad-base"
    assert message in caught.value.problem.message


def test_a_blob_with_another_digest_is_refused(tmp_path: Path) -> None:
    maker = BaseMaker(tmp_path)
    entry = maker.image()
    path = tmp_path / "blobs" / entry["digest"].replace(":", "/")
    path.write_bytes(path.read_bytes().replace(b"2", b"3"))
    with pytest.raises(ProblemsError) as caught:
        read(maker, entry)
    assert caught.value.problem.code == "corrupt-blob"


def test_zstd_and_foreign_layers_are_passed_through(tmp_path: Path) -> None:
    maker = BaseMaker(tmp_path)
    foreign = layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip") | {"urls": ["https://example.com/x"]}
    zstd = layer("application/vnd.oci.image.layer.v1.tar+zstd")
    (image,) = read(maker, maker.image(changes={"layers": [foreign, zstd]})).images
    assert [one.is_foreign for one in image.layers] == [True, False]
    assert image.layers[0].json["urls"] == ["https://example.com/x"]
    assert image.layers[0].descriptor.media_type == "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def test_platforms_match_with_and_without_a_variant(tmp_path: Path) -> None:
    maker = BaseMaker(tmp_path)
    index = maker.index([linux(maker), linux(maker, "arm", variant="v6"), linux(maker, "arm", variant="v7")])
    assert [one.label for one in read(maker, index, "linux/arm").images] == ["linux/arm/v6", "linux/arm/v7"]
    assert [one.label for one in read(maker, index, "linux/arm/v7").images] == ["linux/arm/v7"]
    assert [one.label for one in read(maker, index).images] == ["linux/amd64", "linux/arm/v6", "linux/arm/v7"]
