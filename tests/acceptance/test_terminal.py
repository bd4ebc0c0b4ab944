"""What a user sees on a real terminal, and what is left of it elsewhere."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kubocd_gen.cli import cli
from kubocd_gen.cli.progress import fitting
from tests.support.workspace import Workspace

_PAINT = re.compile(r"\x1b\[[0-9;]*m")
PROGRAM = str(Path(sys.executable).parent / "kcd-gen")
BUILD = ["build", "--offline", "--source", "sources", "--output", "output", "--vendor", "packages"]


def on_terminal(*arguments: str, directory: Path, columns: int = 80, program: str = PROGRAM, **environment: str) -> str:
    """What a run writes to a terminal of so many columns, standard error included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [program, *arguments], cwd=directory, env=_clean(directory, environment), stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b"".join(_read(ours))
    os.close(ours)
    assert process.returncode in (0, 1, 2, 3, 4)
    return said.decode()


def on_pipe(*arguments: str, directory: Path, **environment: str) -> str:
    done = subprocess.run(
        [PROGRAM, *arguments],
        cwd=directory,
        env=_clean(directory, environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    )
    assert done.returncode in (0, 1, 2, 3, 4)
    return done.stdout


def _clean(directory: Path, environment: dict[str, str]) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(directory), "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment}


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:  # Linux's end of a terminal
            return
        if not some:
            return
        yield some


@pytest.fixture
def broken(workspace: Workspace) -> Workspace:
    workspace.release("web", "parameters: {replicaz: 2}")
    return workspace


def test_a_terminal_gets_colours_and_a_pipe_the_same_text(broken: Workspace) -> None:
    seen = on_terminal(*BUILD, "--no-progress", directory=broken.root)
    plain = on_pipe(*BUILD, directory=broken.root)
    assert "\x1b[31m\x1b[1merror\x1b[0m[\x1b[1munknown-parameter\x1b[0m]" in seen
    assert "\x1b" not in plain
    assert _PAINT.sub("", seen).replace("\r\n", "\n") == plain


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (["--no-color"], {"FORCE_COLOR": "1"}),
        ([], {"KCD_GEN_NO_COLOR": "1", "FORCE_COLOR": "1"}),
        ([], {"NO_COLOR": "0"}),
        ([], {"TERM": "dumb"}),
        (["--format", "json"], {"FORCE_COLOR": "1"}),
        (["--format", "github"], {"FORCE_COLOR": "1"}),
    ],
)
def test_colours_are_left_out(flags: list[str], environment: dict[str, str], broken: Workspace) -> None:
    arguments = [*BUILD, "--no-progress", *flags]
    seen = on_terminal(*arguments, directory=broken.root, **environment)  # type: ignore[arg-type]
    assert "\x1b" not in seen


def test_colours_are_forced_and_an_empty_variable_says_nothing(broken: Workspace) -> None:
    assert "\x1b[31m" in on_pipe(*BUILD, directory=broken.root, FORCE_COLOR="1")
    assert "\x1b" not in on_pipe(*BUILD, directory=broken.root, FORCE_COLOR="")
    assert "\x1b[31m" in on_terminal(*BUILD, directory=broken.root, NO_COLOR="")


def test_a_difference_is_green_and_red(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.build()
    workspace.release("web", "parameters: {replicas: 2}")
    seen = on_terminal(*BUILD, "--check", "--no-progress", directory=workspace.root)
    assert re.search(r"\x1b\[31m-\s+replicas: 1\x1b\[0m", seen)
    assert re.search(r"\x1b\[32m\+\s+replicas: 2\x1b\[0m", seen)


def test_a_source_paints_nothing(workspace: Workspace) -> None:
    workspace.release("web", r'parameters: {"\e[2Jred\e[31m": 2}')
    seen = on_terminal(*BUILD, "--no-progress", "--no-color", directory=workspace.root)
    assert "\x1b" not in seen
    assert r"\x1b[2Jred" in seen


@pytest.mark.parametrize("columns", [10, 40])
def test_progress_stays_in_its_line(columns: int, tmp_path: Path) -> None:
    told = "from kubocd_gen.cli.progress import progress\nwith progress(wanted=True) as line: line('漢' * 60)"
    seen = on_terminal("-c", told, directory=tmp_path, columns=columns, program=sys.executable)
    shown, after = re.fullmatch(r"\r(漢+)\x1b\[K(.*)", seen).groups()  # type: ignore[union-attr]
    assert len(shown) == (columns - 1) // 2
    assert after == "\r\x1b[K"


def test_wide_characters_take_two_columns() -> None:
    assert fitting("ab漢字cd", 5) == "ab漢"
    assert fitting("e\N{COMBINING ACUTE ACCENT}a", 1) == "e\N{COMBINING ACUTE ACCENT}"
    assert fitting("漢", 1) == ""


def test_what_the_encoding_lacks_is_escaped(workspace: Workspace) -> None:
    workspace.release("web", "parameters: {größe漢: 2}")
    seen = on_pipe(*BUILD, directory=workspace.root, LC_ALL="C", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert "unknown-parameter" in seen
    assert r"\u6f22" in seen


def commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = command.make_context(name, [], parent, resilient_parsing=True)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from commands(found, f"{name} {inner}", context)


ALL = dict(commands(cli, "kcd-gen"))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_shows_an_example_of_its_own(name: str) -> None:
    _, _, examples = (ALL[name].help or "").partition("\b\n")
    assert f"{name} " in f"{examples} ".replace("\n", " ").replace(')" ', " ") or f"{name})" in examples


@pytest.mark.parametrize("name", sorted(set(ALL) - {"kcd-gen"}))
def test_every_command_can_be_without_colours(name: str) -> None:
    found = next(one for one in ALL[name].params if one.name == "no_color")
    assert found.envvar == ["KCD_GEN_NO_COLOR"]


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(columns: int, tmp_path: Path) -> None:
    said = on_terminal("--help", directory=tmp_path, columns=columns)
    prose, _, _ = said.partition("kcd-gen build --source")
    listed = said.partition("Options:")[2]
    assert all(len(line) <= columns for line in [*prose.split("\r\n")[:-1], *listed.split("\r\n")])
