from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.emitter import emit_documents
from tests.support.yaml_readers import READERS, read

# Deadlines would fail on a busy machine.

# Characters with a meaning in YAML, and those that must be escaped.
NASTY = [
    *" \t\n\r-?:,[]{}#&*!|>'\"%@`~.+=<_/\\0123456789eExXobByYnNtf",
    *"\x00\x07\x1b\x7f\x80\x85\x9f\xa0\u2028\u2029\ufeff\ufffe\uffff\u202e\u200bé日😀\U0010ffff",
    *[
        "---",
        "...",
        "- ",
        ": ",
        " #",
        "\n\n",
        "\n  ",
        "\n---\n",
        "\n...\n",
        "\n# ",
        "\n\t",
        "null",
        "true",
        "1e3",
        "0o7",
    ],
    *["0x1F", "1_000", "12:30", "2001-12-14", "<<", ".inf", ".nan", "{{ x }}"],
]
nasty_text = st.lists(st.sampled_from(NASTY), max_size=8).map("".join)
number_text = st.text("0123456789+-._eExXobaTZ: ", max_size=8)
texts = nasty_text | number_text | st.text(st.characters(exclude_categories=["Cs"]))
scalars = texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


def assert_same(got: Any, want: Any) -> None:
    """Compare like a cluster: a float64 by value and sign, a 64-bit integer exactly, other types with their type."""
    if isinstance(want, dict):
        assert isinstance(got, dict)
        assert list(got) == list(want)
        for key in want:
            assert_same(got[key], want[key])
    elif isinstance(want, list):
        assert isinstance(got, list)
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert_same(one, other)
    elif isinstance(want, int) and not isinstance(want, bool) and -(2**63) <= want < 2**64:
        assert type(got) is int
        assert got == want
    elif isinstance(want, int | float) and not isinstance(want, bool):
        assert type(got) in (int, float)
        assert float(got) == float(want)
        assert math.copysign(1, got) == math.copysign(1, want)
    else:
        assert type(got) is type(want)
        assert got == want


def assert_reads_back(document: dict[str, Any]) -> None:
    text = emit_documents([document])
    text.encode()
    for resolve in READERS.values():
        assert_same(read(text, resolve), [document])


def line(value: Any) -> str:
    """Return how `value` is written after a key."""
    return emit_documents([{"key": value}]).removeprefix("---\nkey: ").removesuffix("\n")


@given(texts)
@example("---\na")
@example("0o+6")
@example("k" * 1000)
@example("k" * 1001 + ": #\n")
@example("x" * 100_000 + " y" * 1000)
def test_every_string_reads_back_as_value_key_and_item(text: str) -> None:
    assert_reads_back({"value": text, "list": [text, [text, {text: text}], {text: {text: [text]}}]})


@given(st.dictionaries(texts, values, max_size=4))
@example({"": ".E-0"})
def test_every_value_reads_back(document: dict[str, Any]) -> None:
    assert_reads_back(document)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.integers(2**63 - 2, 2**64 + 2))
@example(-0.0)
@example(1e21)
@example(1e-7)
@example(5e-324)
@example(1.7976931348623157e308)
@example(-(2**63) - 1)
def test_every_number_reads_back(number: float) -> None:
    assert_reads_back({"value": number, "list": [number]})


@given(texts)
def test_python_s_own_parser_agrees(text: str) -> None:
    assert read(emit_documents([{"a": text, "b": [text]}]), READERS["go v2"], yaml.SafeLoader) == [
        {"a": text, "b": [text]}
    ]


@pytest.mark.parametrize(
    "text",
    [
        *[
            "nginx",
            "oci://quay.io/a/b",
            "6.7.1-p01",
            "podinfo1.ingress.kubodoc.local",
            "30m0s",
            "/",
            "http://a:8080/x?y=z",
        ],
        *[
            "--metrics-addr=:8080",
            "10.0.0.0/8",
            "1.2.3",
            "a, b [c] {d}",
            "it's",
            "é",
            "日本 😀",
            "a\u00a0b",
            "~/x",
            "v1.10",
        ],
        *["sha256:0a1b", "1Gi", "2024-01-01-rc1", "a:b", "a#b", "=x", "<<x", "-x", "kustomize.toolkit.fluxcd.io/prune"],
    ],
)
def test_a_harmless_string_is_not_quoted(text: str) -> None:
    assert line(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            " ",
            "y",
            "Y",
            "n",
            "N",
            "yes",
            "No",
            "ON",
            "off",
            "true",
            "False",
            "~",
            "null",
            "NULL",
            "<<",
            "=",
            ".inf",
        ],
        *["-.Inf", ".NaN", "1", "-1", "+1", "1.10", "+.5", "5.", "1e3", "1E+5", "0755", "089", "0o755", "0x1F", "0b1"],
        *["1_000", "+_1", "0o+6", "1:30", "12:30:45", "190:20:30.15", "2001-12-14", "2001-1-1", "2001-12-14 21:59:43"],
        *[
            "2001-12-14T21:59:43Z",
            " a",
            "a ",
            "- a",
            "-",
            "---",
            "--- a",
            "...",
            "?",
            "? a",
            ": a",
            "a: b",
            "a:",
            "a #b",
        ],
        *["#a", "[a", "{{ .x }}", "&a", "*a", "!a", "|", ">", "'a", '"a', "%a", "@a", "`a", ",a"],
    ],
)
def test_a_string_that_readers_could_misinterpret_is_in_single_quotes(text: str) -> None:
    assert line(text) == "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\tb", r'"a\tb"'),
        ("\x00", r'"\x00"'),
        ("\x7f\x85\x9f", r'"\x7F\x85\x9F"'),
        ("\u2028\ufeff\uffff", r'"\u2028\uFEFF\uFFFF"'),
        ('a\r\n"\\', r'"a\r\n\"\\"'),
        ("\n\n", r'"\n\n"'),
        (" indented\nx", r'" indented\nx"'),
        ("a \nb", r'"a \nb"'),
        ("a\n\tb", r'"a\n\tb"'),
        ("user\u202etxt.exe", r'"user\u202Etxt.exe"'),
    ],
)
def test_unprintable_characters_are_escaped(text: str, written: str) -> None:
    assert line(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\nb", "|-\n  a\n  b"),
        ("a\nb\n", "|\n  a\n  b"),
        ("a\n\n", "|+\n  a\n"),
        ("\n\na\n  b: c\n\n# d\n---\n...\n", "|\n\n\n  a\n    b: c\n\n  # d\n  ---\n  ..."),
    ],
)
def test_a_multiline_string_is_a_literal_block(text: str, written: str) -> None:
    assert line(text) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [
        *[
            (0, "0"),
            (-1, "-1"),
            (3.0, "3"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1.0e+21"),
            (-0.0, "-0.0"),
        ],
        *[(1e-6, "0.000001"), (1e-7, "1.0e-07"), (1.5e300, "1.5e+300"), (2**63, "9223372036854775808")],
        *[(2**64, "18446744073709552000"), (-(2**63) - 1, "-9223372036854776000"), (10**30, "1.0e+30")],
    ],
)
def test_a_number_is_written_as_in_go_with_a_dot_before_an_exponent(number: float, written: str) -> None:
    assert line(number) == written


def test_documents_are_in_block_style_with_unindented_lists() -> None:
    documents: list[dict[str, Any]] = [
        {
            "kind": "HelmRelease",
            "apiVersion": "v2",
            "spec": {
                "values": {},
                "none": [],
                "dependsOn": [{"name": "a", "namespace": "b"}, {"x": {"z": [1, [2, [], {}], None, True]}}],
                "text": ["a\nb\n", {"c": "d\ne"}],
            },
        },
        {},
    ]
    assert emit_documents(documents) == (
        "---\nkind: HelmRelease\napiVersion: v2\nspec:\n  values: {}\n  none: []\n  dependsOn:\n  - name: a\n"
        "    namespace: b\n  - x:\n      z:\n      - 1\n      - - 2\n        - []\n        - {}\n      - null\n"
        "      - true\n  text:\n  - |\n    a\n    b\n  - c: |-\n      d\n      e\n---\n{}\n"
    )
    assert emit_documents([]) == ""


def test_a_key_longer_than_the_lookahead_of_yaml_is_an_explicit_key() -> None:
    assert emit_documents([{"k" * 1001: {"a": [1]}}]) == f"---\n? {'k' * 1001}\n:\n  a:\n  - 1\n"


def test_a_lone_surrogate_is_an_error_that_names_the_resource() -> None:
    document = {"kind": "HelmRelease", "metadata": {"name": "web"}, "spec": {"x": json.loads('"\\ud800"')}}
    with pytest.raises(ProblemsError, match=r"HelmRelease 'web': .*U\+D800") as caught:
        emit_documents([document])
    assert caught.value.problem.code == "not-unicode"


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan"), 10**400])
def test_a_number_that_json_cannot_represent_is_an_error(number: float) -> None:
    with pytest.raises(ProblemsError) as caught:
        emit_documents([{"kind": "A", "x": number}])
    assert caught.value.problem.code == "not-finite"


@pytest.mark.parametrize("wrap", [lambda value: {"a": value}, lambda value: [value], lambda value: [{"a": value}]])
def test_a_deeply_nested_value_is_written_or_is_an_error(wrap: Any) -> None:
    value: Any = "x"
    for _ in range(90):
        value = wrap(value)
    assert_reads_back({"a": value})
    for _ in range(100_000):
        value = wrap(value)
    with pytest.raises(ProblemsError) as caught:
        emit_documents([{"a": value}])
    assert caught.value.problem.code == "too-deep"


def test_a_scalar_of_5_mb_needs_little_time_and_memory() -> None:
    """A pattern with repeated alternatives would need a hundred bytes per character, and seconds."""
    script = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (15, 15))
from kubocd_gen.kube_yaml.emitter import emit_documents
for text in ("x" * 5_000_000, "x y" * 1_700_000, "1" * 5_000_000, "1:1" * 1_700_000, "x: '" * 1_000_000):
    resource.setrlimit(resource.RLIMIT_AS, (300 << 20, resource.RLIM_INFINITY))
    assert len(emit_documents([{"a": text}])) > len(text)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
