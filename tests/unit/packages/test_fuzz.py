"""Damaged packages: reading returns the original package or a problem with a code, in limited time."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from kubocd_gen.budget.limits import Limits
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.descriptors import CONTENT_TYPE, MANIFEST_TYPE, REF_NAME
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.image import read_image
from tests.support.images import gzipped, package_layer, tarred, write_blob, write_image, write_index
from tests.support.packages import CHART, REFERENCE
from tests.support.processor import processor_limit

LIMITS = Limits(layer=1 << 20, unpacked=1 << 20, members=50, gzip_members=50, chart=1 << 18)
FILES = {
    "original.yaml": b"name: p\n",
    "status.yaml": b"{}\n",
    "index.yaml": b"entries: {p: [{version: 1.0.0, urls: [p-1.0.0.tgz]}]}\n",
    "p-1.0.0.tgz": CHART,
}
STORED = gzipped(tarred(FILES))
DEFLATED = gzip.compress(tarred(FILES), mtime=0)
SECONDS = 20  # CPU time, for tests that take milliseconds

# The position (scaled to the length), the kind of change, and the byte.
Damage = list[tuple[float, str, int]]
damage: st.SearchStrategy[Damage] = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["set", "set", "flip", "insert", "delete", "cut", "repeat"]),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=5,
)


def damaged(data: bytes, changes: Damage) -> bytes:
    result = bytearray(data)
    for where, what, byte in changes:
        at = int(where * len(result))
        if what == "insert":
            result.insert(at, byte)
        elif what == "delete":
            del result[at : at + 1 + byte]
        elif what == "cut":
            del result[at:]
        elif what == "repeat":
            result[at:at] = result[at : at + 2 * byte]
        elif result:
            result[at] = byte if what == "set" else result[at] ^ (1 << byte % 8)
    return bytes(result)


def outcome(write: Callable[[Path], None]) -> dict[str, bytes] | str | None:
    """Return the files of the package in the layout that `write` creates, the code of its problem, or None."""
    with tempfile.TemporaryDirectory() as name, processor_limit(SECONDS):
        directory = Path(name)
        write(directory)
        before = sorted(directory.rglob("*"))
        layout, reference = OciLayout(directory, limits=LIMITS), parse_reference(REFERENCE)
        try:
            descriptor = layout.resolve(reference)
            if descriptor is None:
                return None
            return dict(read_image(reference, descriptor, layout, LIMITS).files)
        except ProblemsError as error:
            assert error.problem.code
            assert error.problem.message.isprintable()
            return error.problem.code
        finally:
            assert sorted(directory.rglob("*")) == before  # nothing was unpacked


def named(directory: Path, image: dict[str, object]) -> None:
    write_index(directory, [{**image, "annotations": {REF_NAME: REFERENCE}}])


@given(damage, st.sampled_from([STORED, DEFLATED]))
@example([(0.0, "repeat", 0)], STORED)
def test_a_damaged_layer_is_read_unchanged_or_refused(changes: Damage, layer: bytes) -> None:
    bad = damaged(layer, changes)
    found = outcome(lambda directory: named(directory, write_image(directory, bad)))
    assert found == FILES or found in ("bad-archive", "package-limit", "corrupt-chart", "bad-index")


@given(damage)
def test_a_layer_that_differs_from_its_digest_is_refused(changes: Damage) -> None:
    bad = damaged(STORED, changes)

    def write(directory: Path) -> None:
        named(directory, write_image(directory, STORED))
        (blob,) = (path for path in directory.rglob("*") if path.is_file() and path.read_bytes() == STORED)
        blob.write_bytes(bad)

    assert outcome(write) == (FILES if bad == STORED else "corrupt-blob")


@given(damage)
def test_a_damaged_tar_in_valid_gzip_data_is_read_or_refused(changes: Damage) -> None:
    found = outcome(
        lambda directory: named(directory, write_image(directory, gzipped(damaged(tarred(FILES), changes))))
    )
    if isinstance(found, dict):  # a tar file has no checksum of file contents
        assert found.keys() == FILES.keys()
        assert sum(map(len, found.values())) <= LIMITS.unpacked
    else:
        assert found in ("bad-archive", "package-limit", "corrupt-chart", "bad-index")


@given(damage)
def test_a_damaged_chart_in_a_valid_layer_is_read_or_refused(changes: Damage) -> None:
    files = {**FILES, "p-1.0.0.tgz": damaged(CHART, changes)}
    found = outcome(lambda directory: named(directory, write_image(directory, gzipped(tarred(files)))))
    assert found in (files, "corrupt-chart", "package-limit")


@given(damage)
def test_a_damaged_manifest_is_read_or_refused(changes: Damage) -> None:
    def write(directory: Path) -> None:
        image = write_image(directory, STORED)
        good = (directory / "blobs" / "sha256" / image["digest"].removeprefix("sha256:")).read_bytes()
        named(directory, write_blob(directory, damaged(good, changes), MANIFEST_TYPE))

    assert outcome(write) in (FILES, "not-a-package", "corrupt-blob", "package-limit")


@given(damage)
def test_a_damaged_layout_index_is_read_or_refused(changes: Damage) -> None:
    def write(directory: Path) -> None:
        named(directory, write_image(directory, STORED))
        index = directory / "index.json"
        index.write_bytes(damaged(index.read_bytes(), changes))

    assert outcome(write) in (FILES, None, "bad-layout", "corrupt-blob", "not-a-package", "package-limit")


# Arbitrary JSON values for each part of a manifest.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["mediaType", "config", "layers", "annotations", "schemaVersion", "subject"]), json_values)
def test_a_manifest_with_an_arbitrary_value_is_read_or_refused(field: str, value: object) -> None:
    found = outcome(lambda directory: named(directory, write_image(directory, STORED, **{field: value})))
    assert found in (FILES, "not-a-package")


@given(st.sampled_from(["mediaType", "digest", "size", "annotations", "urls", "data", "platform"]), json_values)
def test_a_layer_descriptor_with_an_arbitrary_value_is_read_or_refused(field: str, value: object) -> None:
    def write(directory: Path) -> None:
        layer = {**write_blob(directory, STORED, CONTENT_TYPE), field: value}
        named(directory, write_image(directory, STORED, layers=[json.loads(json.dumps(layer))]))

    assert outcome(write) in (FILES, "not-a-package", "corrupt-blob", "package-limit")


def test_the_packages_are_valid_before_they_are_damaged() -> None:
    for layer in (STORED, DEFLATED):
        assert outcome(lambda directory, layer=layer: named(directory, write_image(directory, layer))) == FILES  # type: ignore[misc]
    assert isinstance(
        outcome(lambda directory: named(directory, write_image(directory, package_layer("", "", {})))), dict
    )
