"""The file of a shard is input: damage is found, and no content makes a reader fail in another way."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.state.portable import LARGEST_VALUE, PortableFile, Section, fits, strict_json, write_portable
from kubocd_gen.state.store import digest_of

ABOUT = {"rules": "x", "shard": [1, 2]}
SECTIONS = [
    Section("prod", "abc", [(["a", {"n": 1}], b"first"), (["b", {"é": None}], b"second"), (["c", {}], b"first")]),
    Section("test", "", []),
]


def written(directory: Path) -> Path:
    path = directory / "made/1-of-2.shard"
    write_portable(path, ABOUT, SECTIONS)
    return path


def contents(path: Path) -> dict[str, list[tuple[Any, bytes]]]:
    file = PortableFile(path)
    try:
        return {name: [(value, blob.read()) for value, blob in file.values(name)] for name in file.sections}
    finally:
        file.close()


def with_head(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the head of a file, with the right digest."""
    magic, line, rest = path.read_bytes().split(b"\n", 2)
    size = int(line.split()[1])
    head = json.loads(rest[:size])
    change(head)
    data = json.dumps(head).encode()
    path.write_bytes(magic + b"\n" + f"{digest_of(data)} {len(data)}\n".encode() + data + rest[size:])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert contents(path) == {section.name: list(section.values) for section in SECTIONS}
    assert PortableFile(path).about == ABOUT
    assert PortableFile(path).sections == {"prod": "abc", "test": ""}
    assert path.read_bytes().count(b"first") == 1  # equal contents are stored once


def test_a_longer_line_than_a_chunk_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.shard"
    values = [(["x" * 3_000_000, {}], b""), (["y", {}], b"")]
    write_portable(path, ABOUT, [Section("prod", "", values)])
    assert contents(path) == {"prod": values}


def test_what_is_too_large_does_not_fit() -> None:
    assert fits("a", b"x" * LARGEST_VALUE)
    assert not fits("a", b"x" * (LARGEST_VALUE + 1))
    assert not fits("a" * LARGEST_VALUE, b"")


def test_any_damaged_byte_is_found(tmp_path: Path) -> None:
    path = written(tmp_path)
    good = path.read_bytes()
    for index in range(len(good)):
        path.write_bytes(good[:index] + bytes([good[index] ^ 1]) + good[index + 1 :])
        with pytest.raises(ValueError):
            contents(path)


def test_any_missing_end_is_found(tmp_path: Path) -> None:
    path = written(tmp_path)
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(ValueError):
            contents(path)
    path.write_bytes(good + b"x")
    with pytest.raises(ValueError, match="truncated"):
        contents(path)


_ODD: list[Any] = [None, True, -1, 0, 1 << 70, 0.5, "", "x", [], {}, [1], {"a": 1}, [[], []], "\ud800", [None] * 5]


def replaced(value: Any, chance: random.Random) -> Any:
    """Return the value with one part replaced by something odd."""
    if isinstance(value, list | dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        copy = value.copy()
        copy[key] = replaced(value[key], chance)
        return copy
    return chance.choice(_ODD)


@pytest.mark.parametrize("seed", range(300))
def test_no_head_makes_a_reader_fail_otherwise(seed: int, tmp_path: Path) -> None:
    path = written(tmp_path)

    def change(head: dict[str, Any]) -> None:
        chance = random.Random(seed)  # noqa: S311
        key = chance.choice(["about", "sections", "sections", "blobs", "blobs"])
        head[key] = replaced(head[key], chance)

    with_head(path, change)
    with contextlib.suppress(ValueError):
        contents(path)


@pytest.mark.parametrize("seed", range(300))
def test_no_line_makes_a_reader_fail_otherwise(seed: int, tmp_path: Path) -> None:
    path = written(tmp_path)
    chance = random.Random(seed)  # noqa: S311
    magic, line, rest = path.read_bytes().split(b"\n", 2)
    size = int(line.split()[1])
    head = json.loads(rest[:size])
    _, _, start, length, _ = head["sections"][0]
    lines = [json.loads(one) for one in rest[size + start : size + start + length].splitlines()]
    index = chance.randrange(len(lines))
    lines[index] = replaced(lines[index], chance)
    text = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    head["sections"] = [["prod", "abc", 0, len(text), digest_of(text)]]
    head["blobs"][0] = len(text)
    data = json.dumps(head).encode()
    blobs = rest[size + length :]
    path.write_bytes(magic + b"\n" + f"{digest_of(data)} {len(data)}\n".encode() + data + text + blobs)
    with contextlib.suppress(ValueError):
        contents(path)


def test_a_head_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"kcd-gen shard 1\n" + b"0" * 32 + b" 999999999\n" + b"x" * 100)
    with pytest.raises(ValueError, match="too large"):
        PortableFile(path)


def test_a_line_without_an_end_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.shard"
    write_portable(path, ABOUT, [Section("prod", "", [("x" * (6 << 20), b"")])])
    with pytest.raises(ValueError, match="too long"):
        contents(path)


def test_a_device_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"regular|directory"):
        PortableFile(Path("/dev/zero"))
    with pytest.raises(OSError, match=r"regular|directory"):
        PortableFile(tmp_path)


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"', "[" * 300 + "]" * 300, "[" * 100_000, "{", ""]
)
def test_json_that_other_code_cannot_process_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        strict_json(text.encode())


def test_other_json_is_read() -> None:
    value = {"a": [1, 2.5, None, True, "😀é"], "deep": [[[[]]]]}
    assert strict_json(json.dumps(value).encode()) == value
