from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, sha256
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.image import PackageImage, read_image
from tests.support.images import chart_index, gzipped, tarred
from tests.support.packages import CHART, LAYER, REFERENCE, WriteOne

EMPTY = {"digest": sha256(b"{}"), "size": 2}
FILES = {
    "original.yaml": b"name: p\n",
    "status.yaml": b"{}\n",
    "index.yaml": chart_index({"p-1.0.0.tgz": CHART}).encode(),
    "p-1.0.0.tgz": CHART,
}


def read(directory: Path) -> PackageImage:
    layout, reference = OciLayout(directory), parse_reference(REFERENCE)
    descriptor = layout.resolve(reference)
    assert descriptor is not None
    return read_image(reference, descriptor, layout)


def refusal(directory: Path, code: str) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        read(directory)
    assert caught.value.problem.code == code
    assert caught.value.problem.message.isprintable()
    return caught.value.problem


def test_an_image_has_its_digests_and_files(write_one: WriteOne) -> None:
    directory = write_one()
    image = read(directory)
    assert image.reference == REFERENCE
    assert (directory / "blobs" / "sha256" / image.digest.removeprefix("sha256:")).is_file()
    assert (image.layer.digest, image.layer.size) == (sha256(LAYER), len(LAYER))
    assert set(image.files) == {"original.yaml", "groomed.yaml", "index.yaml", "status.yaml", "p-1.0.0.tgz"}
    assert image.files["p-1.0.0.tgz"] == CHART


def test_a_manifest_can_omit_its_media_type(write_one: WriteOne) -> None:
    directory = write_one()
    manifest = directory / "blobs" / "sha256" / read(directory).digest.removeprefix("sha256:")
    text = manifest.read_bytes().replace(b'"mediaType": "%s", ' % MANIFEST_TYPE.encode(), b"", 1)
    data = {"digest": sha256(text), "size": len(text)}
    (manifest.parent / sha256(text).removeprefix("sha256:")).write_bytes(text)
    assert read(write_one(entry=data)).digest == sha256(text)


@pytest.mark.parametrize(
    ("media_type", "words"),
    [
        ("application/vnd.docker.distribution.manifest.v2+json", "a Docker image"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "of the media type 'application/vnd.docker"),
        ("application/vnd.in-toto+json", "of the media type 'application/vnd.in-toto+json'"),
        ("application/vnd.oci.artifact.manifest.v1+json", "of the media type 'application/vnd.oci.artifact.manifest"),
        ("\x1b[2J", r"of the media type '\x1b[2J'"),
    ],
)
def test_a_descriptor_of_another_media_type_is_reported_with_its_type(
    write_one: WriteOne, media_type: str, words: str
) -> None:
    error = refusal(write_one(entry={"mediaType": media_type}), "not-a-package")
    assert error.message.startswith(f"{REFERENCE} is {words}")
    assert error.message.endswith(", not a KuboCD package")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}, "is a Docker image"),
        ({"mediaType": "application/vnd.oci.image.index.v1+json"}, "is an image index"),
        ({"mediaType": ["x"]}, "is of the media type"),
        ({"config": {**EMPTY, "mediaType": "application/vnd.cncf.helm.config.v1+json"}}, "is a Helm chart"),
        ({"config": {**EMPTY, "mediaType": "application/vnd.oci.image.config.v1+json"}}, "is a container image"),
        ({"config": {**EMPTY, "mediaType": "text/x-config"}}, "is an image with a config of type 'text/x-config'"),
        ({"config": None}, "the config of registry.example.com/p:1.0.0 is not a descriptor"),
        ({"layers": None}, "is an image without layers"),
        ({"layers": []}, "is an image with 0 layers"),
        ({"layers": [{**EMPTY, "mediaType": CONTENT_TYPE}] * 2}, "is an image with 2 layers"),
        ({"layers": ["x"]}, "the layer of registry.example.com/p:1.0.0 is not a descriptor"),
        ({"layers": {}}, "is an image without layers"),
        ({"layers": [{**EMPTY, "mediaType": CONTENT_TYPE}] * 1001}, "is an image with 1001 layers"),
        ({"config": {**EMPTY, "mediaType": "\x1b[2J"}}, r"is an image with a config of type '\x1b[2J'"),
        (
            {"config": {**EMPTY, "mediaType": "application/vnd.oci.empty.v1+json"}},
            "a config of type 'application/vnd.oci",
        ),
        ({"config": {"mediaType": CONFIG_TYPE}}, "the config of registry.example.com/p:1.0.0 has no valid digest"),
        ({"layers": [{**EMPTY, "mediaType": CONTENT_TYPE, "size": -1}]}, "has no valid size"),
        ({"layers": [{**EMPTY, "mediaType": CONTENT_TYPE, "size": "2"}]}, "has no valid size"),
        (
            {"layers": [{**EMPTY, "mediaType": CONTENT_TYPE, "digest": "sha512:" + "0" * 128}]},
            "has no valid digest",
        ),
        ({"layers": [{**EMPTY, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}]}, "with a layer of type"),
        ({"layers": [{**EMPTY, "mediaType": f"{CONTENT_TYPE}; charset=x"}]}, "with a layer of type"),
        ({"mediaType": "application/vnd.docker.distribution.manifest.list.v2+json"}, "is a Docker manifest list"),
        ({"mediaType": None}, "is of the media type 'None'"),
        ({"layers": [{**EMPTY, "mediaType": "text/plain"}]}, "is an image with a layer of type 'text/plain'"),
        ({"layers": [{**EMPTY, "mediaType": CONTENT_TYPE, "digest": "sha256:../x"}]}, "has no valid digest"),
    ],
)
def test_an_image_that_is_not_a_package_is_reported_with_its_type(
    write_one: WriteOne, changes: dict[str, Any], words: str
) -> None:
    error = refusal(write_one(**changes), "not-a-package")
    assert words in error.message
    assert error.position is not None


def test_a_layer_over_the_limit_is_refused_before_it_is_read(write_one: WriteOne) -> None:
    layer = {"mediaType": CONTENT_TYPE, "digest": sha256(LAYER), "size": 300 << 20}
    error = refusal(write_one(layers=[layer]), "package-limit")
    assert error.message == f"blob {sha256(LAYER)} is larger than the limit of 256 MiB"
    assert error.hint == "if you trust the package, raise the limit: --limit layer=512MiB"


def test_a_manifest_over_the_limit_is_refused_before_it_is_read(write_one: WriteOne) -> None:
    error = refusal(write_one(entry={"size": 5 << 20}), "package-limit")
    assert error.message.endswith("is larger than the limit of 4 MiB")
    assert error.hint == "if you trust the package, raise the limit: --limit manifest=8MiB"


@pytest.mark.parametrize(
    "name", ["layer", "unpacked", "members", "text", "manifest", "chart-archive", "chart", "chart-file"]
)
def test_each_limit_is_enforced_and_named(write_one: WriteOne, name: str) -> None:
    layout, reference = OciLayout(write_one()), parse_reference(REFERENCE)
    descriptor = layout.resolve(reference)
    assert descriptor is not None
    with pytest.raises(ProblemsError) as caught:
        read_image(reference, descriptor, layout, moved(LIMITS, {name: 1}))
    assert caught.value.problem.code == "package-limit"
    assert "than the limit of 1" in caught.value.problem.message
    assert f": --limit {name}=" in str(caught.value.problem.hint)
    assert caught.value.problem.position is not None


def test_embedded_data_and_urls_of_descriptors_are_not_used(write_one: WriteOne) -> None:
    layer = {"mediaType": CONTENT_TYPE, "digest": sha256(LAYER), "size": len(LAYER)}
    strange = {"data": "bm90IHRoZSBsYXllcg==", "urls": ["https://evil.example.com/layer"], "platform": {"os": "x"}}
    assert read(write_one(layers=[{**layer, **strange}])).files["p-1.0.0.tgz"] == CHART
    assert read(write_one(subject={**layer, **strange}, artifactType="application/x")).layer.digest == sha256(LAYER)


@pytest.mark.parametrize(
    ("size", "sentence"),
    [(len(LAYER) - 1, f"has {len(LAYER)} bytes, but its descriptor has {len(LAYER) - 1}"), (0, "its descriptor has 0")],
)
def test_a_layer_of_another_length_is_refused(write_one: WriteOne, size: int, sentence: str) -> None:
    layer = {"mediaType": CONTENT_TYPE, "digest": sha256(LAYER), "size": size}
    assert sentence in refusal(write_one(layers=[layer]), "corrupt-blob").message


def test_a_layer_of_another_digest_is_refused(write_one: WriteOne) -> None:
    directory = write_one()
    (directory / "blobs" / "sha256" / sha256(LAYER).removeprefix("sha256:")).write_bytes(LAYER + b"x")
    assert sha256(LAYER + b"x") in refusal(directory, "corrupt-blob").message


def test_the_config_blob_is_not_read(write_one: WriteOne) -> None:
    assert read(write_one(config={"mediaType": CONFIG_TYPE, "digest": "sha256:" + "0" * 64, "size": 1 << 60}))


@pytest.mark.parametrize("name", ["original.yaml", "status.yaml", "index.yaml"])
def test_a_package_without_one_of_its_files_is_refused(write_one: WriteOne, name: str) -> None:
    files = {file: data for file, data in FILES.items() if file != name}
    error = refusal(write_one(gzipped(tarred(files))), "bad-archive")
    assert error.message == f"the archive of {REFERENCE} lacks {name}"


def test_every_missing_file_is_named(write_one: WriteOne) -> None:
    error = refusal(write_one(gzipped(tarred({"p-1.0.0.tgz": CHART}))), "bad-archive")
    assert error.message.endswith("lacks original.yaml and status.yaml and index.yaml")


def test_a_package_can_lack_its_groomed_manifest(write_one: WriteOne) -> None:
    assert "groomed.yaml" not in read(write_one(gzipped(tarred(FILES)))).files


def test_a_chart_that_differs_from_the_index_is_refused_at_the_file_of_the_layer(write_one: WriteOne) -> None:
    layer = gzipped(tarred({**FILES, "p-1.0.0.tgz": b"another"}))
    directory = write_one(layer)
    error = refusal(directory, "corrupt-chart")
    assert error.position == Position(str(directory / "blobs" / "sha256" / sha256(layer).removeprefix("sha256:")))
