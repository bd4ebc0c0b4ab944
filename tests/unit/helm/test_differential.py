"""Comparison of the lexer with helm: kcd-gen and Go read the same tokens in a template.

`FUZZ_TEXTS=5000 python -m pytest tests/unit/helm/test_differential.py` tests that number of generated templates. helm
lints many charts in one process and reports an unknown function or another error for each.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from kubocd_gen.helm.lexer import Action, Kind, Token, actions
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.process import find_helm
from kubocd_gen.helm.rewrite import rewrite
from tests.support.hostile_templates import Hostile
from tests.support.thorough import count

TEXTS = int(os.environ.get("FUZZ_TEXTS") or count(200, 500))
BATCH = 200
CHART = "apiVersion: v2\nname: kcd\nversion: 0.0.0\n"
NAMES = Names("0123456789abcdef01234567")

# Messages of Go's lexer. Those about numbers are omitted, because Go's parser has the same messages.
REFUSED_BY_LEXER = re.compile(
    r"\): (?:unclosed (?:comment|action|left paren)|comment ends before closing delimiter|expected :="
    r"|unexpected right paren|(?:unrecognized|bad) character.*U\+00[0-7]|unterminated|U\+00[0-7])"
)

Verdicts = Mapping[str, str | None]


@pytest.fixture
def lint(tmp_path: Path) -> Callable[[Mapping[str, str]], Verdicts]:
    """Return what helm reports for each chart with this file as its only template, or None."""
    environment = {"HOME": str(tmp_path), "PATH": os.defpath, "TZ": "UTC"}

    def run(texts: Mapping[str, str], file: str = "_text.tpl") -> Verdicts:
        for name, text in texts.items():
            templates = tmp_path / name / "templates"
            templates.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "Chart.yaml").write_text(CHART)
            (templates / file).write_bytes(text.encode("utf-8", "replace"))
        output = subprocess.run(
            [find_helm(), "lint", *texts], cwd=tmp_path, env=environment, capture_output=True, check=False
        ).stdout.decode("utf-8", "replace")
        verdicts: dict[str, str | None] = {}
        for part in re.split(r"^==> Linting (?=[a-z]+\d+$)", output, flags=re.MULTILINE)[1:]:
            name, _, rest = part.partition("\n")
            error = re.search(r"^\[ERROR\] templates/: (.*?)(?=\n\n|\n\[|\Z)", rest, re.MULTILINE | re.DOTALL)
            verdicts[name] = error[1] if error else None
        assert verdicts.keys() == texts.keys()
        return verdicts

    return run


def generated(count: int = TEXTS) -> list[str]:
    well, badly = Hostile(14), Hostile(15, faults=0.2)
    texts = ((badly if number % 3 == 0 else well).text() for number in range(count))
    return [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in texts]


def whole(text: str) -> bool:
    return not any(action.broken for action in actions(text))


def identifiers(text: str) -> list[Token]:
    return [token for action in actions(text) for token in action.tokens if token.kind is Kind.IDENTIFIER]


def renamed(text: str, rename: Callable[[int], str]) -> str:
    """Rename each function that the lexer finds, by its number."""
    parts: list[str] = []
    position = 0
    for number, token in enumerate(identifiers(text)):
        parts += (text[position : token.start], rename(number))
        position = token.end
    return "".join((*parts, text[position:]))


def _unknown_from(first: int, number: int) -> str:
    return f"unknown{number}" if number >= first else "list"


def batches(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]


def test_the_lexer_stops_where_helm_stops_and_finds_every_function(
    lint: Callable[[Mapping[str, str]], Verdicts],
) -> None:
    accepted = 0
    mistakes: list[tuple[str, str | None]] = []
    for texts in batches(generated()):
        rewritten = {f"text{number}": rewrite(text, NAMES) for number, text in enumerate(texts)}
        verdicts = lint({name: one.text for name, one in rewritten.items()})
        for name, one in rewritten.items():
            verdict = verdicts[name]
            accepted += verdict is None
            unknown = re.search(r'function "(.*)" not defined', verdict or "")
            missed = unknown is not None and unknown[1].isascii() and not unknown[1].startswith(NAMES.undefined)
            further = whole(one.source) and REFUSED_BY_LEXER.search(verdict or "")
            if (verdict is None and not one.readable) or missed or further:
                mistakes.append((one.source, verdict))
    assert mistakes == []
    assert accepted > TEXTS / 5  # otherwise the templates prove little


def test_helm_finds_exactly_the_functions_that_the_lexer_finds(
    lint: Callable[[Mapping[str, str]], Verdicts],
) -> None:
    asked = 0
    mistakes: list[tuple[str, str | None]] = []
    for texts in batches(generated()):
        # Each function that the lexer finds is replaced with a known one, so helm reports any that it does not find.
        sources = {f"text{number}": text for number, text in enumerate(texts) if whole(text)}
        verdicts = lint({name: renamed(text, lambda _: "list") for name, text in sources.items()})
        mistakes += [
            (sources[name], message) for name, message in verdicts.items() if message and "function" in message
        ]
        # If functions from some number on are replaced with unknown ones, helm reports the first of them.
        probes: dict[str, str] = {}
        expected: dict[str, str] = {}
        for name, text in sources.items():
            count = len(identifiers(text))
            if verdicts[name] is None and count:
                first = len(text) % count
                probes[name] = renamed(text, partial(_unknown_from, first))
                expected[name] = f'function "unknown{first}" not defined'
        if probes:
            found = lint(probes)
            mistakes += [
                (sources[name], message) for name, message in found.items() if expected[name] not in (message or "")
            ]
        asked += len(probes)
    assert mistakes == []
    assert asked > TEXTS / 5


def silent(text: str) -> str | None:
    """Return `text` with functions without effect and actions that print nothing, or None if that is not possible."""
    parts: list[str] = []
    position = 0
    for number, action in enumerate(actions(text)):
        words = [token for token in action.tokens if token.kind is not Kind.SPACE]
        if action.broken or not words or {token.kind for token in words} & {Kind.KEYWORD, Kind.ASSIGN}:
            return None
        if any(token.kind in (Kind.FIELD, Kind.VARIABLE) and len(token.text) > 1 for token in words):
            return None
        parts += (text[position : words[0].start], f"$v{number} := ")
        parts += (
            "list" if one.kind is Kind.IDENTIFIER else one.text for one in action.tokens if one.start >= words[0].start
        )
        position = action.tokens[-1].end
    return "".join((*parts, text[position:]))


def printed(text: str) -> str:
    """Return the text outside of actions, trimmed as in Go by their trim markers."""
    parts: list[str] = []
    position, trims = 0, False
    for action in _with_comments(text):
        part = text[position : action.start]
        part = part.lstrip(" \t\r\n") if trims else part
        left = re.match(r"\{\{-[ \t\r\n]", text[action.start :])
        parts.append(part.rstrip(" \t\r\n") if left else part)
        position, trims = action.end, action.trims
    rest = text[position:]
    return "".join((*parts, rest.lstrip(" \t\r\n") if trims else rest))


def _with_comments(text: str) -> list[Action]:
    found, position = list(actions(text)), 0
    comments: list[Action] = []
    for action in (*found, Action((), len(text), len(text), trims=False)):
        while comment := re.compile(r"\{\{(?:-[ \t\r\n])?/\*.*?\*/([ \t\r\n]-)?\}\}", re.DOTALL).search(text, position):
            if comment.start() >= action.start:
                break
            comments.append(Action((), comment.start(), comment.end(), trims=comment[1] is not None))
            position = comment.end()
        position = action.end
    return sorted((*found, *comments), key=lambda action: action.start)


def test_helm_prints_exactly_the_text_that_the_lexer_finds(tmp_path: Path, lint: Callable[..., Verdicts]) -> None:
    compared = 0
    mistakes: list[tuple[str, str, str]] = []
    for texts in batches(generated()):
        made = map(silent, texts)
        sources = {f"text{number}": text for number, text in enumerate(made) if text is not None and "{{" in text}
        verdicts = lint(sources, "text.txt")
        good = {name: text for name, text in sources.items() if verdicts[name] is None and text[0] != "\ufeff"}
        chart = tmp_path / "chart"
        document = "".join(f'# {{{{ include "kcd/templates/_{name}.tpl" . | b64enc }}}}\n' for name in good)
        for name, text in {"Chart.yaml": CHART, "templates/out.yaml": document}.items():
            (chart / "templates").mkdir(parents=True, exist_ok=True)
            (chart / name).write_text(text)
        for name, text in good.items():
            (chart / f"templates/_{name}.tpl").write_bytes(text.encode())
        done = subprocess.run([find_helm(), "template", str(chart)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = [line[2:] for line in done.stdout.splitlines() if line.startswith("# ") or line == "#"]
        outputs = [base64.b64decode(line).decode() for line in lines if not line.startswith("Source: ")]
        for text, output in zip(good.values(), outputs, strict=True):
            compared += 1
            if output != printed(text):
                mistakes.append((text, output, printed(text)))
    assert mistakes == []
    assert compared > TEXTS / 20
