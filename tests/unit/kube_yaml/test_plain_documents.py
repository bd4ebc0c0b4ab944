"""Plain documents are read without libyaml: the values, lines and counts are those of the reader that uses it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml import reader
from kubocd_gen.kube_yaml.plain_documents import plain_documents
from kubocd_gen.kube_yaml.plain_scalars import NotPlainError
from kubocd_gen.kube_yaml.reader import Document, first_document, read_documents
from tests.support.processor import processor_limit
from tests.support.thorough import count
from tests.support.yaml_texts import random_text

ROOT = Path(__file__).parents[3]
FILES = sorted(path for where in ("fixtures", "tests/acceptance") for path in (ROOT / where).rglob("*.yaml"))


def typed(value: Any) -> Any:
    """Return `value` so that `==` also compares types and the order of keys."""
    if isinstance(value, dict):
        return [("key", key, typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [("item", typed(item)) for item in value]
    return type(value), repr(value)


def described(document: Document) -> Any:
    errors = [*(fault.error for fault in document.faults), *([document.error] if document.error else [])]
    faults = [fault.keys for fault in document.faults]
    return typed(document.value), document.line, document.source, faults, [error.problem for error in errors]


def outcome(documents: Any, budget: Budget) -> Any:
    """Return everything that a caller sees: the documents, what each has spent, and the error."""
    seen: list[Any] = []
    try:
        for document in documents:
            seen.append((described(document), budget.spent("yaml-values")))
    except ProblemsError as error:
        seen.append(error.problem)
    return seen, budget.spent("yaml-values"), budget.exhausted


def with_libyaml(text: str, budget: Budget, exact: bool, marks: bool) -> Any:
    meter = budget.meter("yaml-values")
    builder = reader._Builder(text.removeprefix("\ufeff"), "f.yaml", exact, marks, meter)
    return outcome(builder.checked_documents(), budget)


def assert_same(text: str, *, exact: bool = False, marks: bool = False, limit: int | None = None) -> None:
    limits = LIMITS if limit is None else moved(LIMITS, {"yaml-values": limit})
    ours, theirs = Budget(limits), Budget(limits)
    read = read_documents(text, "f.yaml", exact_integers=exact, keep_marks=marks, budget=ours)
    assert outcome(read, ours) == with_libyaml(text, theirs, exact, marks), text


def is_plain(text: str) -> bool:
    try:
        list(plain_documents(text, exact_integers=False))
    except NotPlainError:
        return False
    return True


def test_random_texts_are_read_as_with_libyaml() -> None:
    chosen = random.Random(17)  # noqa: S311
    texts = [path.read_text() for path in FILES]
    plain = 0
    for _ in range(cases := count(1000, 8_000)):
        text = random_text(chosen, texts)
        limit = chosen.choice([None, None, None, chosen.randint(1, 60)])
        assert_same(text, exact=chosen.random() < 0.5, marks=chosen.random() < 0.5, limit=limit)
        plain += is_plain(text)
    assert plain > cases / 10


def test_the_files_of_projects_are_plain() -> None:
    assert len(FILES) > 100
    assert sum(is_plain(path.read_text()) for path in FILES) > 0.8 * len(FILES)


@pytest.mark.parametrize("path", FILES[:: count(10, 3)], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_read_as_with_libyaml(path: Path) -> None:
    assert_same(path.read_text())
    assert_same(path.read_text().replace("\n", "\r\n"), exact=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", []),
        ("# only a comment\n\n", []),
        ("---\n", [None]),
        ("a: 1\n---\n---\n# c\nb: 2\n", [{"a": 1}, None, {"b": 2}]),
        ("a: 1\r\nb: |\r\n  x\r\n  y\r\n", [{"a": 1, "b": "x\ny\n"}]),
        ("a:\n- b\n- c: d\n  e:\n  - f\n-\n  - g\nh:\n", [{"a": ["b", {"c": "d", "e": ["f"]}, ["g"]], "h": None}]),
        ("- - a\n  - b\n- c\n", [[["a", "b"], "c"]]),
        ("y: yes\n1: 0x1f\n'q': 'it''s'\n\"d\": \"x\"  # c\n", [{"true": True, "1": 31, "q": "it's", "d": "x"}]),
        ("a: b c # d\ne: f#g\nh: http://i:1/j\n", [{"a": "b c", "e": "f#g", "h": "http://i:1/j"}]),
        ("a: b\n  c\n\n  d\ne:\n  f\n   g\n", [{"a": "b c\nd", "e": "f g"}]),
        ("a: 'b\n  c\n\n  d'\n", [{"a": "b c\nd"}]),
        ('a: "b\\n\\\n  \\ c\n\n  \\x41\\u00e9"\n', [{"a": "b\n c\nAé"}]),
        ("a: >\n\n  b\n  c\n\n  d\n   e\n  f\n\ng: 1\n", [{"a": "\nb c\nd\n e\nf\n", "g": 1}]),
        ("a: |+\n  b\n\nc: |-\n  d\n\n", [{"a": "b\n\n", "c": "d"}]),
        ("a: |\n  b", [{"a": "b"}]),
        ("[b, 'c', \"d\", 1, [], {}, {e: f, \"g\":true}]\n", [["b", "c", "d", 1, [], {}, {"e": "f", "g": True}]]),
        ("- &x 'b'\n- *x\n- &y |\n  e\n- *y # g\n- &z 1\n- *z\n", [["b", "b", "e\n", "e\n", 1, 1]]),
        ('{"a":{"b":[1,2.5,null,"c"]}}', [{"a": {"b": [1, 2.5, None, "c"]}}]),
        ("- {b: 1}\n", [[{"b": 1}]]),
        ("'é': 日本\n", [{"é": "日本"}]),
    ],
)  # fmt: skip
def test_a_plain_text_is_read_without_libyaml(text: str, value: list[Any]) -> None:
    documents = list(plain_documents(text, exact_integers=False))
    assert [one for one, line, _ in documents if line] == value
    assert_same(text)


@pytest.mark.parametrize(
    "text",
    [
        *("a: 1\na: 2\n", "{a: 1, a: 2}", "~: 1\n", "{~: 1}", "a: .inf\n", "9223372036854775808: 1\n", "<<: {a: 1}\n"),
        *("a: !!str 1\n", "a: &x {b: 1}\nc: *x\n", "a: *x\n", "? a\n: b\n", "%YAML 1.1\n---\na: 1\n", "a: 1\n...\n"),
        *("a:\tb\n", "a: \x07\n", "a: \ud800\n", "\ufeffa: 1\n", "a: x\u2028y\n", "--- a\n", "a: 1\n  b: 2\n"),
        *("a: b: c\n", "a: b:\n", "a: - b\n", "- a\nb: 1\n", "a: 1\n- b\n", "a:\n  b: 1\n c: 2\n", "a: @b\n"),
        *('a: "b\\/c"\n', 'a: "\\ud800"\n', 'a: "b\n', "a: 'b\nc'\n", "a: 'b' c\n", "a: [b\n", "a: {b}\n"),
        *("a: [b:]\n", "a: [b, ]\n", "a: {b: 1; c: 2}\n", "a: [b; c]\n", "a: [b] c\n"),
        *("a: |\n\nb: 1\n", "a: |\n   \n  b\n", "a: |\n  b\n ", "a: |2\n   b\n"),
        *("a\nb\n", "a: b\n  c: d\n", 'a: "b  \\ \n  c"\n', "a: &x\n  b: 1\n", "a: b\n  # c\n  d\n", "é\x85: 1\n"),
        *("[" * 60 + "]" * 60, "- " * 60, "a: " + "x" * 1024 * 1024),
        "".join(f"{' ' * depth}a:\n" for depth in range(60)) + " " * 60 + "b: []\n",
        f"a: &x {'x' * 60_000}\n" + "".join(f"b{number}: *x\n" for number in range(20)),
        "x" * 600 + ": 1\n",
    ],
)  # fmt: skip
def test_any_other_text_is_left_to_libyaml(text: str) -> None:
    assert not is_plain(text)
    with processor_limit(20):
        assert_same(text)


def test_documents_before_one_that_is_not_plain_are_counted_once() -> None:
    text = "a: [1, 2]\n---\nb: &x [3]\nc: *x\n---\nd: 1\n"
    assert next(plain_documents(text, exact_integers=False))[0] == {"a": [1, 2]}
    assert_same(text)


def test_only_the_first_document_is_read_and_counted() -> None:
    run = Budget()
    assert first_document("a: 1\n---\nb: [\n", "f.yaml", budget=run).value == {"a": 1}
    assert run.spent("yaml-values") == 7  # the events up to the end of the document


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "x\n  " * 200_000 + "\n",
        "a: '" + "x\n  " * 200_000 + "'\n",
        'a: "' + "\\" * 500_000 + '"\n',
        "a:\n" + "\n" * 500_000 + "  b\n",
        "a: |\n" + "\n" * 500_000 + "  b\n",
        "- " * 400_000,
        "[" * 400_000,
        "a: b\n" + "\n  c\n" * 100_000,
        "---\n" * 200_000,
        "- a:" + " " * 500_000 + "b\n",
    ],
)
def test_a_hostile_text_is_read_in_limited_time(text: str) -> None:
    with processor_limit(10):
        is_plain(text)
