"""A command imports only what it needs: imports are most of the time of a command that does little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART = ROOT / "fixtures/quickstart"
PROGRAM = """
import sys
before = set(sys.modules)
sys.argv = ["kcd-gen", *sys.argv[1:]]
from kubocd_gen.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
names = sorted(set(sys.modules) - before)
import json, os
os.write(int(os.environ["MODULES"]), json.dumps([code, names]).encode())
"""
# Large libraries, and what compiles Releases or reads packages.
_LIBRARIES = (
    "yaml",
    "jsonschema",
    "jsonschema_rs",
    "re2",
    "jinja2",
    "urllib3",
    "oras",
    "requests",
    "ssl",
    "watchfiles",
)
_COMPILING = (
    "kubocd_gen.helm.lexer",
    "kubocd_gen.helm.renderer",
    "kubocd_gen.compiler.helm_release",
    "kubocd_gen.compiler.secrets",
    "kubocd_gen.packages.image",
    "kubocd_gen.schema.json_schema",
    "kubocd_gen.pipeline.rendering",
    "kubocd_gen.git.repository",
)
_STARTING = (*_LIBRARIES, *_COMPILING, "kubocd_gen.pipeline", "kubocd_gen.kustomize", "subprocess", "logging")


class Start(NamedTuple):
    """A command line, the number of modules that it may import, those of kcd-gen among them, and what it must not."""

    words: str
    most: int
    own: int
    never: tuple[str, ...] = _STARTING


# The numbers are those of Python 3.11 with some room. If a command exceeds them, import what it needs where it uses it.
STARTS = [
    Start("--version", 8, 4, (*_STARTING, "click", "re", "typing")),
    Start("--help", 95, 9, (*_STARTING, "pathlib", "kubocd_gen.cli.command")),
    Start("build --help", 130, 32),
    *(Start(f"{name} --help", 135, 38) for name in ("diff", "dump", "init", "lint", "lock", "migrate", "package")),
    *(Start(f"{name} --help", 160, 48, (*_LIBRARIES[1:], *_COMPILING)) for name in ("image", "serve")),
    Start("vendor --help", 135, 38),
    Start("completion bash", 110, 20),
    Start("schema release", 150, 45),
    Start("cache list", 150, 44),
    Start("version", 155, 36, (*_LIBRARIES, *_COMPILING)),
]
COMPLETIONS = [Start("kcd-gen ", 100, 14), Start("kcd-gen build --so", 125, 33)]


def imported(*words: str, directory: Path, **variables: str) -> set[str]:
    """Return the names of the modules that a successful command imports in a new process."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as modules:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MODULES": str(writer), **variables},
            pass_fds=(writer,),
            capture_output=True,
            text=True,
            check=False,
        )
        os.close(writer)
        code, names = json.loads(modules.read())
    assert not code, done.stderr
    return set(names)


def check(modules: set[str], start: Start) -> None:
    """Fail if a command imports too much."""
    own = sorted(name for name in modules if name.partition(".")[0] == "kubocd_gen")
    assert not modules & {*start.never}
    assert len(own) <= start.own, own
    assert len(modules) <= start.most, sorted(modules)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.words)
def test_a_command_imports_little(start: Start, tmp_path: Path) -> None:
    check(imported(*start.words.split(), directory=tmp_path, XDG_CACHE_HOME=str(tmp_path)), start)


@pytest.mark.parametrize("start", COMPLETIONS, ids=lambda start: start.words)
def test_completion_imports_little(start: Start, tmp_path: Path) -> None:
    variables = {
        "_KCD_GEN_COMPLETE": "bash_complete",
        "COMP_LINE": start.words,
        "COMP_POINT": str(len(start.words)),
    }
    check(imported(directory=tmp_path, **variables), start)


def test_a_build_with_nothing_to_do_imports_nothing_that_compiles(tmp_path: Path) -> None:
    flags = ("--source", str(QUICKSTART / "cluster"), "--vendor", str(QUICKSTART / "packages"), "--output", "out")

    project = tmp_path / "project"
    project.mkdir()

    def build() -> set[str]:
        return imported("build", *flags, directory=project, XDG_CACHE_HOME=str(tmp_path / "cache"))

    assert {*_COMPILING} - build() <= {"kubocd_gen.git.repository"}
    check(build(), Start("build", 310, 150, (*_LIBRARIES[1:], *_COMPILING)))
