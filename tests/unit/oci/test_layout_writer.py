from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, Descriptor
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.oci.reference import Reference, parse_reference
from tests.support.images import write_layout
from tests.support.packages import LAYER

ONE = parse_reference("registry.example.com/p:1.0.0")
TWO = parse_reference("registry.example.com/p:2.0.0")


def put_image(writer: LayoutWriter, layer: bytes = LAYER) -> Descriptor:
    blobs = (writer.put_blob(b"{}", CONFIG_TYPE), writer.put_blob(layer, CONTENT_TYPE))
    config, content = ({"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in blobs)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [content]}
    return writer.put_blob(json.dumps(manifest).encode(), MANIFEST_TYPE)


def refusal(code: str, *, writer: LayoutWriter, reference: Reference = ONE, move: bool = True) -> str:
    with pytest.raises(ProblemsError) as caught:
        writer.tag(reference, put_image(writer, b"other"), move=move)
    assert caught.value.problem.code == code
    return caught.value.problem.message


def test_a_written_image_is_read_back(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path / "layout")
    descriptor = put_image(writer)
    assert writer.tag(ONE, descriptor)
    layout = OciLayout(tmp_path / "layout")
    assert (found := layout.resolve(ONE)) and found.digest == descriptor.digest
    assert layout.read_blob(descriptor)
    assert (tagged := writer.tagged(ONE)) and tagged.digest == descriptor.digest
    assert writer.tagged(TWO) is None


def test_a_missing_layout_contains_no_reference(tmp_path: Path) -> None:
    assert LayoutWriter(tmp_path / "layout").tagged(ONE) is None
    assert LayoutWriter(tmp_path).tagged(ONE) is None


def test_skopeo_reads_a_written_layout(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path / "layout")
    writer.tag(ONE, put_image(writer))
    assert shutil.which("skopeo"), "install skopeo, as with: apt-get install skopeo"
    command = ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/layout:{ONE}"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    assert json.loads(raw)["config"]["mediaType"] == CONFIG_TYPE


def test_writing_the_same_image_again_changes_nothing(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path)
    writer.tag(ONE, put_image(writer))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not writer.tag(ONE, put_image(writer), move=False)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_tag_is_moved_only_on_request(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path, "vendor")
    first = put_image(writer)
    writer.tag(ONE, first)
    message = refusal("tag-exists", writer=writer, move=False)
    assert message.startswith(f"{ONE} already exists in the layout vendor with the digest {first.digest}")
    assert (tagged := writer.tagged(ONE)) and tagged.digest == first.digest
    other = put_image(writer, b"other")
    assert writer.tag(ONE, other)
    assert (moved := OciLayout(tmp_path).resolve(ONE)) and moved.digest == other.digest


def test_other_entries_are_kept(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path)
    writer.tag(TWO, put_image(writer))
    path = tmp_path / "index.json"
    index = json.loads(path.read_text())
    other = {"mediaType": "text/plain", "digest": "sha256:" + "0" * 64, "size": 1}
    index |= {"annotations": {"by": "hand"}, "manifests": [*index["manifests"], other]}
    path.write_text(json.dumps(index))
    writer.tag(ONE, put_image(writer))
    after = json.loads(path.read_text())
    assert after["annotations"] == {"by": "hand"}
    assert other in after["manifests"]
    assert OciLayout(tmp_path).references() == (str(ONE), str(TWO))


def test_the_order_of_entries_does_not_depend_on_the_order_of_writes(tmp_path: Path) -> None:
    for directory, order in (("a", (ONE, TWO)), ("b", (TWO, ONE))):
        writer = LayoutWriter(tmp_path / directory)
        for reference in order:
            writer.tag(reference, put_image(writer))
    assert (tmp_path / "a/index.json").read_bytes() == (tmp_path / "b/index.json").read_bytes()


def test_a_damaged_blob_is_written_again(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path)
    descriptor = writer.put_blob(LAYER, CONTENT_TYPE)
    blob = tmp_path / "blobs/sha256" / descriptor.hex
    blob.write_bytes(bytes(len(LAYER)))
    writer.put_blob(LAYER, CONTENT_TYPE)
    assert blob.read_bytes() == LAYER


def test_a_blob_that_is_a_symlink_is_replaced_and_not_followed(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path / "layout")
    descriptor = writer.put_blob(LAYER, CONTENT_TYPE)
    blob = tmp_path / "layout/blobs/sha256" / descriptor.hex
    (tmp_path / "precious").write_bytes(b"mine")
    blob.unlink()
    blob.symlink_to(tmp_path / "precious")
    writer.put_blob(LAYER, CONTENT_TYPE)
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not blob.is_symlink()


def test_a_directory_with_other_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "contains other files" in refusal("bad-layout", writer=LayoutWriter(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_invalid_index_is_not_overwritten(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path)
    writer.tag(ONE, put_image(writer))
    (tmp_path / "index.json").write_text("{}")
    assert refusal("bad-layout", writer=writer) == "index.json has no list of manifests"
    assert (tmp_path / "index.json").read_text() == "{}"


def test_a_directory_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write to the layout" in refusal("unwritable-layout", writer=LayoutWriter(tmp_path / "file/layout"))


def test_concurrent_writers_lose_no_entry(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.unit.oci.test_layout_writer import *\n"
        "writer = LayoutWriter(Path(sys.argv[1]))\n"
        "for tag in range(20):\n"
        "    writer.tag(parse_reference(f'x.io/p{sys.argv[2]}:{tag}'), put_image(writer, f'{tag}'.encode()))\n"
    )

    def run(number: int) -> None:
        command = [sys.executable, "-c", script, str(tmp_path / "layout"), str(number)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[3])

    with ThreadPoolExecutor() as pool:
        list(pool.map(run, range(3)))
    assert len(OciLayout(tmp_path / "layout").references()) == 60
    assert not list(tmp_path.rglob(".kcd-gen-*"))


def test_keep_only_keeps_unnamed_images_and_refuses_damaged_ones(tmp_path: Path) -> None:
    write_layout(tmp_path, {"x.io/a:1": LAYER})
    index = json.loads((tmp_path / "index.json").read_text())
    index["manifests"].append({**index["manifests"][0], "annotations": {}})
    (tmp_path / "index.json").write_text(json.dumps(index))
    stray = tmp_path / "blobs" / "sha256" / ("0" * 64)
    stray.write_bytes(b"left behind")
    before = {path.name for path in stray.parent.iterdir()} - {stray.name}
    assert LayoutWriter(tmp_path).keep_only([]) == (["x.io/a:1"], 1)
    assert {path.name for path in stray.parent.iterdir()} == before
    for path in stray.parent.iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(ProblemsError):
        LayoutWriter(tmp_path).keep_only([])
    assert {path.name for path in stray.parent.iterdir()} == before


def test_keep_only_refuses_a_manifest_whose_layers_are_not_a_list(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": 5}
    writer.tag(ONE, writer.put_blob(json.dumps(manifest).encode(), MANIFEST_TYPE))
    with pytest.raises(ProblemsError) as caught:
        writer.keep_only([str(ONE)])
    assert caught.value.problem.code == "bad-layout"


def test_an_entry_whose_digest_is_not_a_string_is_replaced(tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path)
    image = put_image(writer)
    writer.tag(ONE, image)
    index = json.loads((tmp_path / "index.json").read_text())
    index["manifests"][0]["digest"] = []
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert writer.tag(ONE, image)
    assert (tagged := writer.tagged(ONE)) and tagged.digest == image.digest
