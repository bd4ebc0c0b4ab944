from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.packages.archive import Subject
from kubocd_gen.packages.chart_index import IndexedChart, check_charts, indexed_charts
from tests.support.images import chart_archive

CHART = chart_archive({"p/Chart.yaml": b"apiVersion: v2\nname: p\nversion: 1.0.0\n"})
DIGEST = hashlib.sha256(CHART).hexdigest()


def index(**changes: Any) -> str:
    entry = {"name": "p", "version": "1.0.0", "digest": DIGEST, "urls": ["p-1.0.0.tgz"], **changes}
    return yaml.safe_dump({"apiVersion": "v1", "entries": {"p": [entry]}})


def twice(**changes: Any) -> str:
    (one,) = yaml.safe_load(index())["entries"]["p"]
    return json.dumps({"entries": {"p": [one, {**one, **changes}]}})


def named(name: str) -> str:
    entries = yaml.safe_load(index())["entries"]
    return yaml.safe_dump({"entries": {name: entries["p"]}})


@pytest.mark.parametrize("version", [None, "null", ""])
def test_a_chart_without_a_version_is_not_locked(version: str | None) -> None:
    files = {"index.yaml": index(version=version).encode(), "p-1.0.0.tgz": CHART}
    assert indexed_charts(files) == ()
    assert indexed_charts({**files, "index.yaml": index().encode()}) == (IndexedChart("p", "1.0.0", DIGEST),)


def check(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    check_charts({"index.yaml": data, "p-1.0.0.tgz": CHART}, Subject("x.io/p:1"))


@pytest.mark.parametrize(
    "text",
    [
        index(),
        index(digest=f"sha256:{DIGEST}"),
        index(digest=DIGEST.upper()),
        index(digest=None),
        index(digest=""),
        index(urls=["./p-1.0.0.tgz"]),
        index(urls=None),
        twice(created="2025-01-02T00:00:00Z"),
        index(created="2025-13-45T99:00:00Z"),
        index(description="<< & * ! @"),
        "entries: {}",
        "entries:",
        "apiVersion: v1",
        '{"entries": {"p": []}}',
        "a: {b: 1}\nc: {b: 1, a: [{b: 1}, {b: 1}]}\nb: a\n? d\n: b\n",
    ],
)
def test_an_index_that_agrees_with_the_archives_is_accepted(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        (
            index(digest="0" * 64),
            "corrupt-chart",
            f"'p-1.0.0.tgz' has the digest {DIGEST}, but index.yaml has '0000",
        ),
        (index(digest=["x"]), "corrupt-chart", "index.yaml has '['x']'"),
        (
            index(urls=["p-1.0.1.tgz"]),
            "corrupt-chart",
            "'p-1.0.1.tgz', which is not in the package",
        ),
        (index(urls=["index.yaml"]), "corrupt-chart", "'index.yaml', which is not in the package"),
        (
            index(urls=["https://example.com/p-1.0.0.tgz"]),
            "bad-index",
            "'https://example.com/p-1.0.0.tgz' for chart 'p' '1.0.0'",
        ),
        (index(urls=["../p-1.0.0.tgz"]), "bad-index", "'../p-1.0.0.tgz' for chart 'p' '1.0.0'"),
        (index(urls=["p-1.0.0.tgz?x"]), "corrupt-chart", "'p-1.0.0.tgz?x', which is not in the package"),
        (index(urls="p-1.0.0.tgz"), "bad-index", "not a list of strings"),
        (index(urls=[["p"]]), "bad-index", "not a list of strings"),
        ("", "bad-index", "is not a Helm repository index"),
        ("[]", "bad-index", "is not a Helm repository index"),
        ("entries: text", "bad-index", "no map of charts"),
        ("entries: [p]", "bad-index", "no map of charts"),
        ("entries: {p: 1}", "bad-index", "no list of versions for chart 'p'"),
        ("entries: {p: [1]}", "bad-index", "no list of versions for chart 'p'"),
        ("a: [", "bad-index", "is not valid YAML"),
        ("a: b: c", "bad-index", "mapping values are not allowed in this context on line 1"),
        ("a: 1\n--- \nb: 2\n", "bad-index", "is not valid YAML"),
        ("? [a]\n: b\n", "bad-index", "is not valid YAML"),
        (b"a: \xff", "bad-index", "is not valid YAML"),
        ("a: \x07", "bad-index", "is not valid YAML"),
        ("a: &x 1\nb: *x\n", "bad-index", "alias"),
        ("a: {<<: {b: 1}}\n", "bad-index", "merge key"),
        ("a: " + "[" * 60_000, "bad-index", "nested more than 64 levels deep"),
        ("[" * 65 + "]" * 65, "bad-index", "nested more than 64 levels deep"),
        ("- " * 65 + "a", "bad-index", "nested more than 64 levels deep"),
        (twice(digest=""), "bad-index", "two different entries for chart 'p' '1.0.0'"),
        (twice(urls=["p-1.0.1.tgz"]), "bad-index", "two different entries for chart 'p' '1.0.0'"),
        (named("a/b"), "bad-index", "the chart name 'a/b', which Helm ignores"),
        (named("../p"), "bad-index", "the chart name '../p', which Helm ignores"),
        (named(".."), "bad-index", "the chart name '..', which Helm ignores"),
        (named("\x1b[2J/"), "bad-index", r"the chart name '\x1b[2J/', which Helm ignores"),
        ("entries: {p: [], p: []}", "bad-index", "duplicate key 'p'"),
        ("entries:\n  p:\n  - urls: []\n    urls: []\n", "bad-index", "duplicate key 'urls'"),
        ("a: [{b: 1}, {b: 2}]\na: 1", "bad-index", "duplicate key 'a'"),
        ("- a\n" * 100_001, "bad-index", "more than 100000 values"),
    ],
    ids=range(36),
)
def test_an_index_that_disagrees_with_the_archives_is_refused(text: str | bytes, code: str, sentence: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        check(text)
    assert caught.value.problem.code == code
    assert caught.value.problem.message.startswith("x.io/p:1: ")
    assert sentence in caught.value.problem.message
    assert caught.value.problem.message.isprintable()


def test_an_archive_missing_from_the_index_is_valid() -> None:
    files = {"index.yaml": index().encode(), "p-1.0.0.tgz": CHART, "q-1.0.0.tgz": CHART}
    check_charts(files, Subject("x.io/p:1"))


def test_the_archive_with_the_nearest_name_is_suggested() -> None:
    with pytest.raises(ProblemsError) as caught:
        check(index(urls=["p-1.0.1.tgz"]))
    assert caught.value.problem.hint == "the package has 'p-1.0.0.tgz'; rebuild it with 'kubocd package'"


@given(st.text(alphabet="ap<>&*!?:-,[]{}#|%@`'\" \n\t0\\x", max_size=60))
def test_any_string_is_an_index_or_refused_with_a_readable_error(text: str) -> None:
    try:
        check("entries:\n  p:\n  - " + text)
    except ProblemsError as error:
        assert error.problem.message.isprintable()
