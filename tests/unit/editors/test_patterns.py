"""RE2 patterns translated for editors: matches of a JavaScript engine compared with those of RE2."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.editors.patterns import portable
from kubocd_gen.schema.go_formats import PatternError, compile_pattern
from tests.support.registry import program

SCRIPT = """
require("readline").createInterface({input: process.stdin}).on("line", (line) => {
  const [pattern, texts] = JSON.parse(line);
  const found = ["u", ""].map((flags) => texts.map((text) => new RegExp(pattern, flags).test(text)));
  console.log(JSON.stringify(found));
});
"""
Search = Callable[[str, Sequence[str]], list[list[bool]]]


@pytest.fixture(scope="module")
def javascript() -> Iterator[Search]:
    """Search with Node.js, with the flag `u`, which editors try first, and without."""
    command = [program("node", "nodejs"), "-e", SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        reading, writing = process.stdout, process.stdin
        assert reading and writing

        def search(pattern: str, texts: Sequence[str]) -> list[list[bool]]:
            writing.write(json.dumps([pattern, texts]) + "\n")
            writing.flush()
            found: list[list[bool]] = json.loads(reading.readline())
            return found

        yield search
        writing.close()


@pytest.mark.parametrize(
    ("pattern", "translated"),
    [
        ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", r"^[a-z0-9](?:[\-a-z0-9]*[a-z0-9])?$"),
        (r"\A(?P<host>[[:alpha:]]+)\.example\z", r"^(?:[A-Za-z]+)\.example$"),
        (r"^\d{1,3}(\.\w+)*$", r"^[0-9]{1,3}(?:\.[0-9A-Za-z_]+)*$"),
        (r"^[^\s@]+@.+", r"^[^\t\n\f\r @]+@[^\n]+"),
        ("[]a]|x{", r"[\]a]|x\{"),
        ("", ""),
    ],
)
def test_syntax_that_every_engine_supports_is_translated(pattern: str, translated: str) -> None:
    assert portable(pattern) == translated


@pytest.mark.parametrize(
    "pattern",
    [
        "(?i)abc",
        "(?s:.)",
        r"\pL",
        r"\p{Greek}",
        r"\Qa.b\E",
        r"\bword\b",
        r"[\D]",
        "(?U)a+",
        r"\x{1F600}",
        "😀",
        "[a&&b]",
    ],
)
def test_syntax_that_engines_interpret_differently_is_not_translated(pattern: str) -> None:
    compile_pattern(pattern)
    assert portable(pattern) is None


PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            "B",
            "1",
            "-",
            "/",
            " ",
            "\n",
            "é",
            "{",
            "}",
            "]",
            "^",
            "$",
            ".",
            "|",
            "_",
            ":",
            "=",
            ",",
            "#",
            "~",
        ),
        *("*", "+", "?", "??", "{2}", "{1,}", "{0,2}?", "(", ")", "(?:", "(?P<n>", "(?<m>", "(?i)", "(?s:"),
        *("[", "[^", "a-b", "-", "[:alpha:]", "[:^alpha:]", "[:space:]", "&&", "--", "\\"),
        *(
            r"\d",
            r"\D",
            r"\w",
            r"\W",
            r"\s",
            r"\S",
            r"\b",
            r"\A",
            r"\z",
            r"\n",
            r"\t",
            r"\v",
            r"\a",
            r"\x41",
            r"\x{41}",
        ),
        *(r"\.", r"\-", r"\/", r"\]", r"\[", r"\^", r"\\", r"\_", r"\#", r"\101", r"\1", r"\pL", r"\Q", r"\E", r"\C"),
    ]
)
PATTERNS = st.lists(PIECES, max_size=8).map("".join) | st.lists(PIECES, max_size=5).map(lambda one: f"[{''.join(one)}]")
TEXTS = st.lists(st.text("abBc10-/ \n\té{}][^$.|_:&=,#~\\ \v\x00\xa0\u2028", max_size=5), min_size=4, max_size=8)


@given(pattern=PATTERNS, texts=TEXTS)
def test_a_translated_pattern_matches_what_re2_matches(javascript: Search, pattern: str, texts: list[str]) -> None:
    try:
        original = compile_pattern(pattern)
    except PatternError:
        return
    translated = portable(pattern)
    if translated is None:
        return
    found = [bool(original.search(text)) for text in texts]
    assert javascript(translated, texts) == [found, found]
    re.compile(translated)
