from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import Limits
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files.paths import shown_path
from kubocd_gen.oci.descriptors import INDEX_TYPE, MANIFEST_TYPE, REF_NAME, Descriptor, sha256
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import parse_reference
from tests.support.images import write_blob, write_image, write_index, write_layout
from tests.support.packages import LAYER, REFERENCE, WriteOne

WANTED = parse_reference(REFERENCE)


def resolve(directory: Path) -> Descriptor | None:
    return OciLayout(directory).resolve(WANTED)


def refusal(ask: Callable[[], object], code: str) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        ask()
    assert caught.value.problem.code == code
    assert caught.value.problem.message.isprintable()
    assert caught.value.problem.position is not None
    return caught.value.problem


def only_blob(directory: Path, descriptor: Descriptor) -> Path:
    return directory / "blobs" / "sha256" / descriptor.hex


def test_a_package_is_found_by_its_full_reference(write_one: WriteOne) -> None:
    found = resolve(write_one())
    assert found is not None
    assert found.media_type == MANIFEST_TYPE


def test_a_package_missing_from_the_layout_resolves_to_none(write_one: WriteOne) -> None:
    assert OciLayout(write_one()).resolve(parse_reference("registry.example.com/p:1.0.1")) is None


def test_the_references_of_a_layout_are_sorted(tmp_path: Path) -> None:
    write_layout(tmp_path, {"x.io/q:1": LAYER, "x.io/p:2": LAYER, "x.io/p:1": LAYER})
    assert OciLayout(tmp_path).references() == ("x.io/p:1", "x.io/p:2", "x.io/q:1")


def test_a_layout_written_by_skopeo_is_read(tmp_path: Path) -> None:
    image = write_image(tmp_path, LAYER)
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    manifests = [{**image, "annotations": {"org.opencontainers.image.ref.name": REFERENCE}}]
    compact = json.dumps({"schemaVersion": 2, "manifests": manifests}, separators=(",", ":"))
    (tmp_path / "index.json").write_text(compact)
    found = resolve(tmp_path)
    assert found is not None
    assert found.digest == image["digest"]


def test_invalid_entries_of_other_references_are_ignored(tmp_path: Path) -> None:
    good = {**write_image(tmp_path, LAYER), "annotations": {REF_NAME: REFERENCE}}
    strange: list[Any] = [None, {}, {"annotations": 1}, {"annotations": {REF_NAME: []}}, {"digest": "sha512:00"}]
    write_index(tmp_path, [*strange, good])
    assert resolve(tmp_path) is not None


def test_a_duplicate_reference_with_the_same_digest_is_valid(tmp_path: Path) -> None:
    entry = {**write_image(tmp_path, LAYER), "annotations": {REF_NAME: REFERENCE}}
    write_index(tmp_path, [entry, entry])
    assert resolve(tmp_path) is not None


def test_one_reference_with_two_digests_is_an_error_that_names_both(tmp_path: Path) -> None:
    images = [write_image(tmp_path, LAYER), write_image(tmp_path, LAYER + b"x")]
    write_index(tmp_path, [{**image, "annotations": {REF_NAME: REFERENCE}} for image in images])
    error = refusal(lambda: resolve(tmp_path), "ambiguous-package")
    assert all(image["digest"] in error.message for image in images)


def test_an_image_index_resolves_to_its_only_manifest(tmp_path: Path) -> None:
    image = write_image(tmp_path, LAYER)
    attestation = {
        **write_blob(tmp_path, b"{}", MANIFEST_TYPE),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    write_nested(tmp_path, [attestation, image])
    found = resolve(tmp_path)
    assert found is not None
    assert found.digest == image["digest"]


def test_an_image_index_with_no_or_several_manifests_is_refused(tmp_path: Path) -> None:
    write_nested(tmp_path, [])
    assert "contains 0 image manifests" in refusal(lambda: resolve(tmp_path), "bad-layout").message
    write_nested(tmp_path, [write_image(tmp_path, LAYER), write_image(tmp_path, LAYER + b"x")])
    assert "contains 2 image manifests" in refusal(lambda: resolve(tmp_path), "bad-layout").message


def test_an_image_index_in_an_image_index_is_not_followed(tmp_path: Path) -> None:
    inner = write_blob(tmp_path, json.dumps({"manifests": [write_image(tmp_path, LAYER)]}).encode(), INDEX_TYPE)
    write_nested(tmp_path, [inner])
    assert "contains 0 image manifests" in refusal(lambda: resolve(tmp_path), "bad-layout").message


def write_nested(directory: Path, manifests: list[dict[str, Any]]) -> None:
    index = write_blob(directory, json.dumps({"manifests": manifests}).encode(), INDEX_TYPE)
    write_index(directory, [{**index, "annotations": {REF_NAME: REFERENCE}}])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "index.json is not valid JSON"),
        ("{", "index.json is not valid JSON"),
        ("[]", "index.json is not a JSON object"),
        ("null", "index.json is not a JSON object"),
        ("{}", "index.json has no list of manifests"),
        ('{"manifests": {}}', "index.json has no list of manifests"),
        ("[" * 100_000, "index.json is nested too deeply"),
        ('{"a": ' * 100_000, "index.json is nested too deeply"),
        ('{"size": ' + "9" * 5000 + "}", "index.json contains a number that is too long"),
        ("\udcff", "index.json is not valid UTF-8"),
        ('{"manifests": [], "manifests": []}', "index.json has the duplicate key 'manifests'"),
        ('{"manifests": [{"size": 1, "size": 2}]}', "index.json has the duplicate key 'size'"),
        ('{"a": {"\\u001b[2J": 1, "\\u001b[2J": 1}}', r"index.json has the duplicate key '\x1b[2J'"),
        ('{"size": NaN}', "index.json contains NaN, which is not valid JSON"),
        ('{"size": -Infinity}', "index.json contains -Infinity, which is not valid JSON"),
        ("\ufeff{}", "index.json is not valid JSON"),
        ("{} {}", "index.json is not valid JSON"),
    ],
)
def test_an_invalid_index_is_refused(write_one: WriteOne, text: str, sentence: str) -> None:
    directory = write_one()
    (directory / "index.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert sentence in refusal(lambda: resolve(directory), "bad-layout").message


def test_an_index_over_its_limit_is_not_read(write_one: WriteOne) -> None:
    directory = write_one()
    (directory / "index.json").write_text(" " * (4 << 20) + "{}")
    error = refusal(lambda: resolve(directory), "package-limit")
    assert error.message == f"{shown_path(directory / 'index.json')} is larger than the limit of 4 MiB"
    assert error.hint == "if you trust the package, raise the limit: --limit manifest=8MiB"
    with pytest.raises(ProblemsError, match="has no list of manifests"):
        OciLayout(directory, limits=Limits(manifest=8 << 20)).resolve(WANTED)


def test_an_error_in_json_has_its_line_and_column(write_one: WriteOne) -> None:
    directory = write_one()
    (directory / "index.json").write_text('{\n  "manifests": oops}\n')
    assert (
        str(refusal(lambda: resolve(directory), "bad-layout").position)
        == f"{shown_path(directory / 'index.json')}:2:16"
    )


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"digest": "sha256:../../../../etc/passwd"}, "has no valid digest"),
        ({"digest": "sha256:" + "0" * 63}, "has no valid digest"),
        ({"digest": "sha256:" + "A" * 64}, "has no valid digest"),
        ({"digest": "sha256:" + "0" * 64 + "\n"}, "has no valid digest"),
        ({"digest": "sha512:" + "0" * 128}, "has no valid digest"),
        ({"digest": None}, "has no valid digest"),
        ({"digest": ["sha256:"]}, "has no valid digest"),
        ({"size": -1}, "has no valid size"),
        ({"size": 1.5}, "has no valid size"),
        ({"size": True}, "has no valid size"),
        ({"size": "12"}, "has no valid size"),
        ({"size": None}, "has no valid size"),
        ({"size": 1e3}, "has no valid size"),
        ({"digest": "md5:" + "0" * 32}, "has no valid digest"),
        ({"digest": "\x1b[2J"}, r"hexadecimal digits): '\x1b[2J'"),
        ({"mediaType": ""}, "has no media type"),
        ({"mediaType": 7}, "has no media type"),
        ({"annotations": {REF_NAME: REFERENCE, "a": 1}}, "has annotations that are not strings"),
    ],
)
def test_an_invalid_descriptor_is_refused(write_one: WriteOne, entry: dict[str, Any], sentence: str) -> None:
    directory = write_one(entry=entry)
    assert sentence in refusal(lambda: resolve(directory), "bad-layout").message


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
def test_a_directory_without_the_files_of_a_layout_is_refused(write_one: WriteOne, name: str) -> None:
    directory = write_one()
    (directory / name).unlink()
    assert name in refusal(lambda: resolve(directory), "bad-layout").message


def test_a_layout_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    assert "is not an OCI image layout" in refusal(lambda: resolve(tmp_path / "none"), "bad-layout").message


def test_a_layout_of_another_version_is_refused(write_one: WriteOne) -> None:
    directory = write_one()
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    assert "unsupported version" in refusal(lambda: resolve(directory), "bad-layout").message


def test_a_blob_is_read(tmp_path: Path) -> None:
    descriptor = Descriptor(**_names(write_blob(tmp_path, b"hello", "text/plain")))
    assert OciLayout(tmp_path).read_blob(descriptor) == b"hello"


def test_a_changed_blob_is_an_error_that_names_the_file_and_its_digest(tmp_path: Path) -> None:
    descriptor = Descriptor(**_names(write_blob(tmp_path, b"hello", "text/plain")))
    path = only_blob(tmp_path, descriptor)
    path.write_bytes(b"jello")
    error = refusal(lambda: OciLayout(tmp_path).read_blob(descriptor), "corrupt-blob")
    assert str(error.position) == shown_path(path)
    assert sha256(b"jello") in error.message
    assert error.hint is not None
    assert error.hint.startswith("delete the file, then vendor the package again")


def test_a_blob_whose_size_differs_from_its_descriptor_is_an_error(tmp_path: Path) -> None:
    written = write_blob(tmp_path, b"hello", "text/plain")
    descriptor = Descriptor(**_names({**written, "size": 4}))
    error = refusal(lambda: OciLayout(tmp_path).read_blob(descriptor), "corrupt-blob")
    assert "has 5 bytes, but its descriptor has 4" in error.message


def test_a_missing_blob_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    descriptor = Descriptor("text/plain", "sha256:" + "0" * 64, 5)
    error = refusal(lambda: OciLayout(tmp_path).read_blob(descriptor), "corrupt-blob")
    assert error.message == "the blob is missing"
    assert str(error.position) == shown_path(only_blob(tmp_path, descriptor))


def test_a_blob_over_its_limit_is_not_read(tmp_path: Path) -> None:
    descriptor = Descriptor("text/plain", "sha256:" + "0" * 64, 1 << 40)
    error = refusal(lambda: OciLayout(tmp_path).read_blob(descriptor), "package-limit")
    assert error.message == f"blob {descriptor.digest} is larger than the limit of 256 MiB"
    assert error.hint == "if you trust the package, raise the limit: --limit layer=1024GiB"


def test_a_manifest_has_a_limit_of_its_own(tmp_path: Path) -> None:
    descriptor = Descriptor(MANIFEST_TYPE, "sha256:" + "0" * 64, 1 << 23)
    error = refusal(lambda: OciLayout(tmp_path).read_blob(descriptor, limit=4 << 20), "package-limit")
    assert error.hint == "if you trust the package, raise the limit: --limit manifest=8MiB"


def test_a_file_over_its_limit_is_not_read_even_if_its_descriptor_is_smaller(tmp_path: Path) -> None:
    descriptor = Descriptor(**_names(write_blob(tmp_path, b"hello", "text/plain")))
    os.truncate(only_blob(tmp_path, descriptor), 1 << 30)
    error = refusal(lambda: OciLayout(tmp_path).read_blob(descriptor), "package-limit")
    assert "is larger than the limit of 256 MiB" in error.message
    assert error.hint == "if you trust the package, raise the limit: --limit layer=1GiB"


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


def test_a_blob_or_index_that_is_a_git_lfs_pointer_is_called_so(write_one: WriteOne, tmp_path: Path) -> None:
    descriptor = Descriptor(**_names(write_blob(tmp_path, b"hello", "text/plain")))
    only_blob(tmp_path, descriptor).write_text(POINTER.format(descriptor.hex, descriptor.size))
    reads = (OciLayout(tmp_path).read_blob, lambda one: OciLayout(tmp_path).copy_blob(one, io.BytesIO()))
    for read in reads:
        error = refusal(lambda read=read: read(descriptor), "corrupt-blob")  # type: ignore[misc]
        assert (error.position, error.hint) == (OciLayout(tmp_path).position(descriptor), "run 'git lfs pull'")
    for name in ("oci-layout", "index.json"):
        directory = write_one()
        (directory / name).write_text(POINTER.format("0" * 64, 5))
        error = refusal(lambda directory=directory: resolve(directory), "bad-layout")  # type: ignore[misc]
        assert (str(error.position), error.hint) == (shown_path(directory / name), "run 'git lfs pull'")


def test_messages_call_a_layout_by_its_name(tmp_path: Path) -> None:
    descriptor = Descriptor(**_names(write_blob(tmp_path, b"hello", "text/plain")))
    path = only_blob(tmp_path, descriptor)
    path.unlink()
    path.mkdir()
    error = refusal(lambda: OciLayout(tmp_path, "packages").read_blob(descriptor), "bad-layout")
    assert str(error.position) == f"packages/blobs/sha256/{descriptor.hex}"
    assert str(tmp_path) not in error.message


def test_a_blob_can_be_a_symlink_to_the_right_bytes(tmp_path: Path) -> None:
    descriptor = Descriptor(**_names(write_blob(tmp_path, b"hello", "text/plain")))
    path = only_blob(tmp_path, descriptor)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert OciLayout(tmp_path).read_blob(descriptor) == b"hello"


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Path.mkdir, ": Is a directory"),
        (_fifo, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to(path), ": Too many levels of symbolic links"),
    ],
    ids=["directory", "fifo", "device", "loop"],
)
def test_a_special_file_is_refused_without_blocking(
    tmp_path: Path, make: Callable[[Path], object], sentence: str
) -> None:
    descriptor = Descriptor("text/plain", "sha256:" + "0" * 64, 5)
    path = only_blob(tmp_path, descriptor)
    path.parent.mkdir(parents=True)
    make(path)
    assert sentence in refusal(lambda: OciLayout(tmp_path).read_blob(descriptor), "bad-layout").message


def _names(descriptor: dict[str, Any]) -> dict[str, Any]:
    return {"media_type": descriptor["mediaType"], "digest": descriptor["digest"], "size": descriptor["size"]}
