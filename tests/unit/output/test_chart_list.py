"""The list of the charts in the server's image, and what makes it invalid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.output.chart_list import (
    ChartList,
    Listed,
    chart_list_content,
    charts_digest,
    next_list,
    parse_chart_list,
)

A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")
LIST = ChartList(A, {"apps/web": Listed(B, None), "apps/shop": Listed(C, D)})
TEXT = chart_list_content(LIST)

_digests = st.sampled_from([A, B, C, D])
_names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True)
_lists = st.builds(
    ChartList, _digests, st.dictionaries(_names, st.builds(Listed, _digests, st.none() | _digests), max_size=5)
)


@given(_lists)
def test_a_written_list_is_read_as_it_was(charts: ChartList) -> None:
    text = chart_list_content(charts)
    assert parse_chart_list(text.encode()) == charts
    assert parse_chart_list(text.replace("\n", "\r\n").encode()) == charts


@given(_lists, st.data())
def test_a_list_with_a_missing_or_repeated_line_is_not_valid(charts: ChartList, data: st.DataObject) -> None:
    lines = chart_list_content(charts).splitlines(keepends=True)
    at = data.draw(st.integers(1, len(lines) - 1))
    assert parse_chart_list("".join([*lines[:at], *lines[at + 1 :]]).encode()) is None
    if at > 2:
        assert parse_chart_list("".join([*lines, lines[at]]).encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "image\n",
        TEXT.replace(A, D),
        TEXT.replace(B, D),
        TEXT.replace("apps/shop", "apps/shop2"),
        TEXT.replace(f" {D}", " -"),
        f"{TEXT}<<<<<<< HEAD\n",
        f"{TEXT}image {B}\n",
        f"{TEXT}\n",
        f"{TEXT}../x {B} -\n",
        TEXT.replace("image", "Image"),
    ],
)
def test_any_other_content_is_not_valid(text: str) -> None:
    assert parse_chart_list(text.encode()) is None


def test_bytes_that_are_not_utf_8_are_not_valid() -> None:
    assert parse_chart_list(TEXT.encode() + b"\xff\n") is None
    assert parse_chart_list(b"# \xff\n" + TEXT.encode()) == LIST


def test_a_list_has_the_charts_only_with_the_same_digest() -> None:
    assert LIST.has("apps/web", B)
    assert not LIST.has("apps/web", C)
    assert not LIST.has("apps/other", B)
    assert LIST.since("apps/web", B) is None
    assert LIST.since("apps/shop", C) == D
    assert LIST.since("apps/shop", B) is None


def test_only_releases_with_other_charts_get_the_new_image() -> None:
    made = next_list(LIST, B, {"apps/web": B, "apps/shop": D, "apps/new": A}, first=False)
    assert made == ChartList(B, {"apps/web": Listed(B, None), "apps/shop": Listed(D, B), "apps/new": Listed(A, B)})
    assert next_list(made, C, {"apps/web": B}, first=False) == ChartList(C, {"apps/web": Listed(B, None)})


def test_without_a_previous_list_every_release_gets_the_image_unless_it_is_the_first() -> None:
    assert next_list(None, A, {"apps/web": B}, first=False).releases == {"apps/web": Listed(B, A)}
    assert next_list(None, A, {"apps/web": B}, first=True).releases == {"apps/web": Listed(B, None)}


def test_the_digest_of_charts_covers_names_and_content() -> None:
    found = {
        charts_digest(files) for files in ({}, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"}, {"ab": "1"})
    }
    assert len(found) == 6
    assert charts_digest({"a": "1", "b": "2"}) == charts_digest({"b": "2", "a": "1"})
