from __future__ import annotations

from unittest import mock

import pytest

from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml import locations
from kubocd_gen.kube_yaml.locations import find_in_text, find_position
from kubocd_gen.kube_yaml.parser import events

TEXT = """\
# first
a: 1
---
metadata:
  name: x
spec:
  list:
    - one
    -   name: two
    - &three
      name: three
    - *three
  on: 1
  0755: 2
  "quoted key": 3
  base: &base {host: h, port: 1}
  merged:
    port: 0
    <<: *base
  several:
    <<: [{a: 1}, {a: 2, b: 3}]
    own: 1
  Install: {Strategy: x}
  twice: 1
  twice: 2
"""


@pytest.mark.parametrize(
    ("way", "line", "column"),
    [
        ((), 4, 1),
        (("metadata", "name"), 5, 3),
        (("spec", "list"), 7, 3),
        (("spec", "list", 0), 8, 7),
        (("spec", "list", 1), 9, 9),
        (("spec", "list", 1, "name"), 9, 9),
        (("spec", "list", 3), 12, 7),
        (("spec", "list", 3, "name"), 11, 7),
        (("spec", "true"), 13, 3),
        (("spec", "493"), 14, 3),
        (("spec", "quoted key"), 15, 3),
        (("spec", "merged", "host"), 16, 16),
        (("spec", "merged", "port"), 16, 25),
        (("spec", "several", "a"), 21, 11),
        (("spec", "several", "b"), 21, 25),
        (("spec", "several", "own"), 22, 5),
        (("spec", "install", "strategy"), 23, 13),
        (("spec", "twice"), 25, 3),
    ],
)
def test_the_position_of_a_value_is_its_key_or_its_list_item(
    way: tuple[str | int, ...], line: int, column: int
) -> None:
    assert find_position(TEXT, "f.yaml", 1, way) == Position("f.yaml", line, column)


@pytest.mark.parametrize(
    ("way", "line", "column"),
    [
        (("spec", "missing"), 6, 1),
        (("spec", "list", 9), 7, 3),
        (("spec", "list", -1), 7, 3),
        (("spec", "list", 0, "name"), 8, 7),
        (("spec", "list", "name"), 7, 3),
        (("metadata", "name", "x", "y"), 5, 3),
        (("nothing",), 4, 1),
    ],
)
def test_a_missing_path_has_the_position_of_its_last_existing_value(
    way: tuple[str | int, ...], line: int, column: int
) -> None:
    assert find_position(TEXT, "f.yaml", 1, way) == Position("f.yaml", line, column)


@pytest.mark.parametrize("text", ["", "]", "a: [", "a: 1\n"])
def test_a_missing_document_has_the_position_of_the_file(text: str) -> None:
    assert find_position(text, "f.yaml", 3, ("a",)) == Position("f.yaml")


@pytest.mark.parametrize("rest", ["]\n", "a: *nowhere\n", "a: 1\n\tb: 2\n", "[" * 60_000, "%YAML 1.2\n---\n"])
def test_errors_after_a_document_do_not_hide_its_positions(rest: str) -> None:
    assert find_position(f"a:\n  b: 1\n---\n{rest}", "f.yaml", 0, ("a", "b")) == Position("f.yaml", 2, 3)


def test_a_redefined_anchor_hides_no_position() -> None:
    assert find_position("a: &x 1\nb: &x 2\nc:\n  d: *x\n", "f.yaml", 0, ("c", "d")) == Position("f.yaml", 4, 3)


@pytest.mark.parametrize("text", ["&a {<<: *a, b: 1}", "&a {<<: [*a, *a], b: 1}"])
def test_a_merge_of_itself_is_visited_once(text: str) -> None:
    assert find_position(text, "f.yaml", 0, ("nothing",)) == Position("f.yaml", 1, 1)


def test_a_long_chain_of_merges_is_followed() -> None:
    text = "m0: &m0 {deep: 1}\n" + "".join(f"m{n}: &m{n} {{<<: *m{n - 1}}}\n" for n in range(1, 3000))
    assert find_position(text, "f.yaml", 0, ("m2999", "deep")) == Position("f.yaml", 1, 10)


def test_a_map_that_is_merged_many_times_is_visited_once() -> None:
    text = "m0: &m0 {}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 60))
    assert find_position(text, "f.yaml", 0, ("m59", "nothing")) == Position("f.yaml", 60, 1)


def test_a_byte_order_mark_does_not_count_as_a_column() -> None:
    assert find_position("\ufeffa: 1\nb: 2\n", "f.yaml", 0, ("a",)) == Position("f.yaml", 1, 1)


BLOCKS = """\
values: |
  a: 1
  {{ .x }}
tagged: !!str |+
    one

    two
folded: >
  a
  b
quoted: "a\\nb"
list: [x]
"""


@pytest.mark.parametrize(
    ("key", "line", "column", "expected"),
    [
        ("values", 1, 1, (2, 3)),
        ("values", 2, 4, (3, 6)),
        ("values", 2, None, (3, None)),
        ("values", None, None, (1, 9)),
        ("tagged", 3, 2, (7, 6)),
        ("folded", 2, 1, (8, 9)),
        ("quoted", 2, 1, (11, 9)),
        ("list", 1, 1, (12, 1)),
        ("nothing", 1, 1, (1, 1)),
    ],
)
def test_a_line_of_a_literal_block_is_mapped_to_a_line_of_the_file(
    key: str, line: int | None, column: int | None, expected: tuple[int, int | None]
) -> None:
    assert find_in_text(BLOCKS, "f.yaml", 0, (key,), line, column) == Position("f.yaml", *expected)
    crlf = BLOCKS.replace("\n", "\r\n")
    assert find_in_text(crlf, "f.yaml", 0, (key,), line, column) == Position("f.yaml", *expected)


def test_a_file_of_many_documents_is_parsed_once_for_all_positions() -> None:
    text = "---\n".join(f"a:\n  b: {number}\n" for number in range(2000))
    with mock.patch.object(locations, "events", wraps=events) as parsed:
        for number in range(2000):
            assert find_position(text, "f.yaml", number, ("a", "b")).line == 3 * number + 2
    assert parsed.call_count == 1


def test_positions_of_a_huge_file_are_found_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "_MOST_NODES", 100)
    text = "a:\n" + "".join(f"  k{number}: 1\n" for number in range(1000))
    assert find_position(text, "a.yaml", 0, ("a", "k3")) == Position("a.yaml", 5, 3)
    assert find_position(text, "a.yaml", 0, ("a", "k900")) == Position("a.yaml", 1, 1)


def test_only_nodes_of_recent_files_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "_MOST_KEPT", 50)
    for number in range(100):
        find_position(f"a: {number}\n", "a.yaml", 0, ("a",))
    assert len(locations._recent) <= 20
