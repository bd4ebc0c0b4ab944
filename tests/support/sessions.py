"""Run pages of the documentation: write their files, type their commands into a shell, and compare the output.

A page is one session from top to bottom, in one directory:

- a block of any language with `title="PATH"`, or below a line ``PATH`:` as in the how-to pages, is a file, which is
  written;
- a `console` block is typed line by line (`> ` continues the line before, as in a shell), and the output is compared
  with the lines below each command. `…` matches anything in a line, a line `…` matches any lines;
- a command with a line `^C` at the end of its output is interrupted once it has printed that output;
- a `sh` block is typed as a whole, and has to succeed; its output is not on the page;
- a block with `title="in the cluster"` needs a cluster, and is skipped.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

from tests.support.registry import program

ROOT = Path(__file__).resolve().parents[2]
IN_THE_CLUSTER = "in the cluster"
_SHELLS = ("console", "sh", "bash", "shell")
_TIMEOUT = 120.0  # seconds for one command, even on a busy machine


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, title, content, first line on the page, and section heading (`##`).

    Title and section are "" if there is none.
    """

    language: str
    title: str
    text: str
    line: int = 0
    section: str = ""

    @property
    def is_session(self) -> bool:
        """Whether it holds commands that can be run here."""
        return self.language in _SHELLS and not self.title

    @property
    def is_file(self) -> bool:
        return self.title not in ("", IN_THE_CLUSTER)


def all_pages() -> list[str]:
    """Return the pages of the documentation, by their paths in the repository."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in pages if path.exists())


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page in order, including those in lists."""
    found = []
    section = lead = ""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse((ROOT / page).read_text(encoding="utf-8"))
    for before, token in pairwise([tokens[0], *tokens]):
        if token.type == "inline":
            lead = token.content
            section = lead if before.tag == "h2" else section
        elif token.type == "fence":
            assert token.map is not None
            language, _, attributes = token.info.strip().partition(" ")
            title = re.search(r'title="([^"]*)"', attributes)
            if not title and language not in _SHELLS:
                title = re.fullmatch(r"`([^`\s]+)`[^`\n]*:", lead)
            found.append(Block(language, title[1] if title else "", token.content, token.map[0] + 1, section))
            lead = ""
    return found


def steps(block: Block) -> Iterator[tuple[str, str]]:
    """Return the commands of a `console` block, each with the output below it."""
    command, printed = "", ""
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:], ""
        elif line.startswith("> ") and not printed:
            command += line[2:]
        else:
            printed += line
    assert command, f"a console block begins with a prompt: {block.text}"
    yield command, printed


def fits(printed: str, shown: str) -> bool:
    """Whether the printed output matches the one that a page shows."""
    pattern = "".join(
        "(?:.*\n)*" if line == "…\n" else ".*".join(map(re.escape, line.split("…"))) for line in shown.splitlines(True)
    )
    return re.fullmatch(pattern, printed) is not None


@dataclass(frozen=True, slots=True)
class Stage:
    """What a page needs besides its directory: variables, and replacements for its own words, such as a port."""

    environment: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)


def run_page(page: str, directory: Path, stage: Stage | None = None) -> int:
    """Run a page in `directory`. Returns the number of commands; raises AssertionError with the first difference."""
    stage = stage or Stage()
    count = 0
    with _shell(directory, stage.environment) as shell:
        for block in blocks(page):
            text = block.text
            for old, new in stage.instead.items():
                text = text.replace(old, new)
            block = replace(block, text=text)
            where = f"{page}, the block in line {block.line}"
            if block.is_file:
                path = (directory / block.title).resolve()
                assert path.is_relative_to(directory.resolve()), where
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            elif block.is_session and block.language == "console":
                for command, shown in steps(block):
                    if shown.endswith("^C\n"):
                        shown = shown.removesuffix("^C\n")
                        printed = shell.wait_for(command, shown)
                    else:
                        printed, _ = shell.type(command)
                    assert fits(printed, shown), f"{where}:\n$ {command}{printed}--- is not\n{shown}"
                    count += 1
            elif block.is_session:
                printed, status = shell.type(text)
                assert status == 0, f"{where}:\n{text}--- ends with {status}\n{printed}"
                count += 1
    return count


class Shell:
    """A bash that keeps its working directory. Both output streams are one, as in a terminal."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self._count = 0

    def type(self, command: str) -> tuple[str, int]:
        """Run one or more commands and return their output and the exit status."""
        self._count += 1
        end = f"--- end of command {self._count}, with "
        text = command if command.endswith("\n") else command + "\n"
        self._write(f"{text}{{ _s=$?; printf '%s\\n' \"{end}$_s\"; (exit $_s); }}\n")
        ended = re.compile(rf"{re.escape(end)}(\d+)\n")
        read = self._read(lambda read: ended.search(read) is not None)
        found = ended.search(read)
        assert found, f"the command does not end:\n{command}\n{read}"
        return read[: found.start()], int(found[1])

    def wait_for(self, command: str, shown: str) -> str:
        """Run a command that does not end by itself; interrupt it once it has printed what the page shows."""
        self._write(f"{command.rstrip()} &\n")
        printed = self._read(lambda read: fits(read, shown))
        self.type("kill $!; wait $!")
        return printed

    def _write(self, text: str) -> None:
        self._in.write(text.encode())
        self._in.flush()

    def _read(self, enough: Callable[[str], bool]) -> str:
        read = b""
        deadline = time.monotonic() + _TIMEOUT
        while not enough(read.decode(errors="replace")):
            ready, _, _ = select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))
            if not (data := os.read(self._out.fileno(), 1 << 16) if ready else b""):
                break
            read += data
        return read.decode(errors="replace")


@contextlib.contextmanager
def _shell(directory: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """Start a bash in `directory` with this kcd-gen, without the configuration of the user who runs the tests."""
    binaries = directory.parent / f"{directory.name}-bin"
    binaries.mkdir()
    (binaries / "kcd-gen").symlink_to(Path(sys.executable).parent / "kcd-gen")
    home = directory.parent / f"{directory.name}-home"
    home.mkdir()
    (home / ".gitconfig").write_text("[init]\ndefaultBranch = main\n", encoding="utf-8")
    person = {"NAME": "A", "EMAIL": "a@example.com", "DATE": "2025-01-01T00:00:00Z"}
    variables = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in person.items()},
        **environment,
    }
    with open_shell(directory, variables) as shell:
        yield shell


@contextlib.contextmanager
def open_shell(directory: Path, variables: Mapping[str, str]) -> Iterator[Shell]:
    """Start a bash in `directory` with only these variables."""
    process = subprocess.Popen(
        [program("bash", "bash"), "--norc", "--noprofile"],
        cwd=directory,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Shell(process)
    finally:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # the shell, and whatever it left running
        process.stdin.close()
        process.stdout.close()
        process.wait(10)
