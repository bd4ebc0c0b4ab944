"""Every kcd-gen command and option in the pages exists, including those that tests can't run."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from kubocd_gen.cli.commands import cli
from tests.support.sessions import ROOT, all_pages
from website.commands import command_pages

# From where a command can begin to where the shell continues with something else.
CALL = re.compile(r"(?:^|[$:;&|(]|exec|run) *kcd-gen ((?:\\\n|[^\n|;&>#`()])+)", re.MULTILINE)
GENERATED = command_pages()


def code(tokens: list[Token]) -> Iterator[str]:
    """Yield the code of a page, from blocks and from inline code."""
    for token in tokens:
        if token.type in ("fence", "code_block", "code_inline"):
            yield token.content
        yield from code(token.children or [])


def calls(text: str) -> Iterator[list[str]]:
    """Return the words after each `kcd-gen` in the code of a page."""
    for piece in code(MarkdownIt("gfm-like", {"linkify": False}).parse(text)):
        for call in CALL.findall(piece):
            if (words := call.replace("\\\n", " ").split()) and re.fullmatch(r"--?[a-z-]+|[a-z]+", words[0]):
                yield words


def problem(words: list[str]) -> str | None:
    """Return kcd-gen's usage error for the words of a call, or None."""
    command: click.Command = cli
    with cli.make_context("kcd-gen", [], resilient_parsing=True) as context:
        while isinstance(command, click.Group) and words and re.fullmatch("[a-z]+", words[0]):
            inner = command.get_command(context, words[0])
            if inner is None:
                return f"no command '{words[0]}'"
            command, words = inner, words[1:]
        known = {name for parameter in command.get_params(context) for name in parameter.opts}
    for word in words:
        name = re.match(r"-{1,2}[a-z][a-z-]*", word)
        if name and name[0] not in known:
            return f"no option '{name[0]}'"
    return None


@pytest.mark.parametrize("page", [*all_pages(), *GENERATED])
def test_commands_and_options_exist(page: str) -> None:
    text = GENERATED[page] if page in GENERATED else (ROOT / page).read_text(encoding="utf-8")
    assert {" ".join(words): message for words in calls(text) if (message := problem(words))} == {}


def test_calls_are_found_in_blocks_and_inline_code() -> None:
    blocks = "    kcd-gen biuld && kcd-gen diff --ref x \\\n        --nothing\n\n```sh\nkcd-gen init srv\n```\n"
    text = f"`kcd-gen lock --chek` and that\n\n{blocks}"
    found = [problem(words) for words in calls(text)]
    assert found == ["no option '--chek'", "no command 'biuld'", "no option '--nothing'", "no command 'srv'"]
    assert problem(["lock", "--update", "redis"]) is None
    assert problem(["init", "server", "--image", "x"]) is None
