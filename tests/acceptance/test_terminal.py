"""What a user sees on a real terminal, and how the output differs elsewhere."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
import pytest

from kubocd_gen.cli.commands import cli
from kubocd_gen.cli.terminal import truncate
from kubocd_gen.packages.cache import Cache
from tests.support.workspace import Workspace, kcd_gen

_PAINT = re.compile(r"\x1b\[[0-9;]*m")
PROGRAM = str(Path(sys.executable).parent / "kcd-gen")
BUILD = ["build", "--offline", "--source", "sources", "--output", "output", "--vendor", "packages"]


def on_terminal(*arguments: str, directory: Path, columns: int = 80, program: str = PROGRAM, **environment: str) -> str:
    """Return what a run writes to a terminal with `columns` columns, including standard error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [program, *arguments], cwd=directory, env=_clean(directory, environment), stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        printed = b"".join(_read(ours))
    os.close(ours)
    assert process.returncode in (0, 1, 2, 3, 4)
    return printed.decode()


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
        except OSError:  # Linux reports the end of a terminal like this
            return
        if not some:
            return
        yield some


@pytest.fixture
def broken(workspace: Workspace) -> Workspace:
    workspace.release("web", "parameters: {replicaz: 2}")
    return workspace


def test_a_terminal_gets_colors_and_a_pipe_the_same_text(broken: Workspace) -> None:
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
def test_colors_can_be_disabled(flags: list[str], environment: dict[str, str], broken: Workspace) -> None:
    arguments = [*BUILD, "--no-progress", *flags]
    seen = on_terminal(*arguments, directory=broken.root, **environment)  # type: ignore[arg-type]
    assert "\x1b" not in seen


def test_colors_can_be_forced_and_an_empty_variable_is_ignored(broken: Workspace) -> None:
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


def test_control_characters_of_a_source_are_not_printed(workspace: Workspace) -> None:
    workspace.release("web", r'parameters: {"\e[2Jred\e[31m": 2}')
    seen = on_terminal(*BUILD, "--no-progress", "--no-color", directory=workspace.root)
    assert "\x1b" not in seen
    assert r"\x1b[2Jred" in seen


@pytest.mark.parametrize("columns", [10, 40])
def test_progress_stays_on_its_line(columns: int, tmp_path: Path) -> None:
    code = "from kubocd_gen.cli.terminal import progress\nwith progress(wanted=True) as line: line('漢' * 60)"
    seen = on_terminal("-c", code, directory=tmp_path, columns=columns, program=sys.executable)
    shown, after = re.fullmatch(r"\r(漢+)\x1b\[K(.*)", seen).groups()  # type: ignore[union-attr]
    assert len(shown) == (columns - 1) // 2
    assert after == "\r\x1b[K"


def test_wide_characters_take_two_columns() -> None:
    assert truncate("ab漢字cd", 5) == "ab漢"
    assert truncate("e\N{COMBINING ACUTE ACCENT}a", 1) == "e\N{COMBINING ACUTE ACCENT}"
    assert truncate("漢", 1) == ""


def test_characters_outside_the_encoding_are_escaped(workspace: Workspace) -> None:
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
def test_every_command_has_a_no_color_flag(name: str) -> None:
    found = next(one for one in ALL[name].params if one.name == "no_color")
    assert found.envvar == ["KCD_GEN_NO_COLOR"]


# Flags of every command are in no row: `--debug`, `--no-color`, `--verbose` and `--help`. A command that only prints an
# answer, such as `version`, has no --quiet.
COMPILING = "build,diff,image,lint,migrate check,package"
FLAGS = {
    "--quiet": f"{COMPILING},cache prune,cache verify,dump,init,init server,lock,schema parameters,schema sources,"
    "serve,vendor",
    "--verbose": "",
    "--format": f"{COMPILING},cache list,dump,init,init server,lock,vendor,version",
    "--jobs": f"{COMPILING},lock,schema sources,serve,vendor",
    "--no-progress": f"{COMPILING},dump,lock,schema parameters,schema sources,serve,vendor",
    "--debug": "",
    "--no-color": "",
}
SHORT = {"--quiet": "-q", "--verbose": "-v", "--jobs": "-j"}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_has_the_same_spelling_in_every_command(flag: str) -> None:
    those = {name.removeprefix("kcd-gen "): one for name, one in ALL.items() if name != "kcd-gen"}
    found = {name: o for name, one in those.items() for o in one.params if flag in o.opts}
    assert set(found) == (set(FLAGS[flag].split(",")) if FLAGS[flag] else set(those))
    for name, parameter in found.items():
        assert parameter.opts == [flag, *([SHORT[flag]] if flag in SHORT else [])], name
        assert parameter.envvar == [f"KCD_GEN_{flag[2:].replace('-', '_').upper()}"], name


def test_every_command_that_uses_a_registry_shows_progress() -> None:
    for name, command in ALL.items():
        flags = {flag for one in command.params for flag in one.opts}
        if "--ca-file" in flags and name != "kcd-gen init server":  # which only shares the flags of a project
            assert "--no-progress" in flags, name


def test_quiet_still_prints_the_answer(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(MANIFEST)
    for answer in (["dump", "shop.yaml"], ["schema", "parameters", "shop.yaml"]):
        assert on_pipe(*answer, "-q", directory=tmp_path) == on_pipe(*answer, directory=tmp_path) != ""
    for word in (["dump", "shop.yaml", "--output", "out"], ["cache", "prune"], ["cache", "verify"]):
        assert on_pipe(*word, "-q", directory=tmp_path) == ""


def test_debug_prints_the_traceback_of_a_defect_in_any_command(tmp_path: Path) -> None:
    for flags, expected in ((["--debug"], True), ([], False)):
        with mock.patch.object(Cache, "prune", side_effect=AssertionError("a mistake")):
            outcome = kcd_gen("cache", "prune", *flags, directory=tmp_path)
        assert outcome.exit == 70
        assert ("Traceback" in outcome.err) is expected


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("name", sorted(ALL))
def test_help_fits_the_terminal(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    command = ALL[name]
    printed = command.get_help(command.context_class(command, info_name=name, **cli.context_settings))
    examples = {line.strip() for line in (command.help or "").partition("\b\n")[2].partition("\n\n")[0].splitlines()}
    assert [line for line in printed.splitlines() if len(line) > columns and line.strip() not in examples] == []
    assert "Options:" in printed


def test_help_is_as_wide_as_the_terminal(tmp_path: Path) -> None:
    narrow, wide = (on_terminal("build", "--help", directory=tmp_path, columns=columns) for columns in (40, 120))
    assert "  --format [text|json|github|sarif|\r\n      gitlab|junit]\r\n" in narrow
    assert 80 < max(map(len, wide.partition("Options:")[2].splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("biuld", "build"),
        ("cache lst", "list"),
        ("schema relese", "release"),
        ("init sever", "server"),
        ("build --format githb", "github"),
        ("build --report junt=report.xml", "junit"),
        ("lint --ignore literal-secrt", "literal-secret"),
        ("init --ci gitlb", "gitlab"),
        ("completion bsh", "bash"),
        ("build --keep-goin", "--keep-going"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(arguments: str, meant: str, tmp_path: Path) -> None:
    outcome = kcd_gen(*arguments.split(), directory=tmp_path)
    assert (outcome.exit, outcome.out) == (2, "")
    assert re.search(rf"[Dd]id you mean(?: one of)?:? (?:'[^']*', )*'?{meant}'?\b", outcome.err)
    assert re.search(r"^Try 'kcd-gen.* --help' for help\.$", outcome.err, re.MULTILINE)


def test_only_the_usage_error_itself_is_red(tmp_path: Path) -> None:
    wrong = ["build", "--format", "\x1b[2J"]
    seen = on_terminal(*wrong, directory=tmp_path)
    assert "\x1b[31m\x1b[1mError:\x1b[0m Invalid value" in seen
    assert "\x1b[2J" not in seen
    for plain in (["--no-color", *wrong], [*wrong, "--no-color"], ["--no-color", "biuld"]):
        assert "\x1b" not in on_terminal(*plain, directory=tmp_path)


def test_no_color_can_precede_the_command(broken: Workspace) -> None:
    seen = on_terminal("--no-color", *BUILD, "--no-progress", directory=broken.root, FORCE_COLOR="1")
    assert "unknown-parameter" in seen
    assert "\x1b" not in seen


def test_lint_is_colored(broken: Workspace) -> None:
    lint = ["lint", "--offline", "--source", "sources", "--vendor", "packages", "--no-progress"]
    assert "\x1b[31m\x1b[1merror\x1b[0m[\x1b[1munknown-parameter\x1b[0m]" in on_terminal(*lint, directory=broken.root)
    assert "\x1b" not in on_pipe(*lint, directory=broken.root)


def test_the_pending_changes_of_init_are_colored(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    source = f"git+https://github.com/me/kcd-gen@{'0' * 40}"
    run = ["init", "--ci", "github", "--no-server", "--install-from", source]
    on_pipe(*run, directory=checkout)
    workflow = checkout / ".github/workflows/kcd-gen.yaml"
    workflow.write_text(workflow.read_text() + "# mine\n")
    assert "\x1b[31m-# mine\x1b[0m" in on_terminal(*run, directory=checkout)
    assert "\x1b" not in on_pipe(*run, directory=checkout)


LONG = "the name under which everybody reaches it, from wherever they are and whenever they like to " * 2
MANIFEST = f"""\
apiVersion: v1alpha1
name: shop
tag: 1.0.0
schema:
  parameters:
    properties:
      host: {{type: string, required: true, description: "{LONG}"}}
      größe漢漢漢: {{type: string, default: "{"漢" * 60}"}}
modules:
- name: back
  source: {{helmRepository: {{url: https://charts.example.com, chart: db, version: 2.0.0}}}}
"""


def columns_of(line: str) -> int:
    return next(count for count in range(len(line) * 2 + 1) if truncate(line, count) == line)


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_are_as_wide_as_the_terminal(columns: int, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(MANIFEST)
    seen, _, manifest = on_terminal("dump", "shop.yaml", directory=tmp_path, columns=columns).partition("Manifest\r\n")
    assert max(map(columns_of, seen.splitlines())) in (columns, columns - 1)  # half of a wide character does not fit
    assert "…" in seen
    assert LONG.strip() in manifest  # which is to be copied
    plain = on_pipe("dump", "shop.yaml", directory=tmp_path)
    assert "…" not in plain
    assert LONG.strip() in plain.partition("Manifest")[0]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_cache_is_listed_as_wide_as_the_terminal(columns: int, tmp_path: Path) -> None:
    blob = b"content"
    digest = hashlib.sha256(blob).hexdigest()
    kept = tmp_path / "cache/blobs/sha256" / digest[:2] / digest
    kept.parent.mkdir(parents=True)
    kept.write_bytes(blob)
    seen = on_terminal("cache", "list", "--cache-dir", "cache", directory=tmp_path, columns=columns).splitlines()
    assert len(seen) == 2
    assert all(len(line) <= columns for line in seen)
    assert ("…" in seen[0]) is (columns <= 80)
    assert digest in on_pipe("cache", "list", "--cache-dir", "cache", directory=tmp_path)
