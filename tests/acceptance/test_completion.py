"""Completion in the shells themselves: real bash, zsh and fish, with the script that kcd-gen prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.registry import program
from tests.support.workspace import WEB, Workspace

PAGE = (Path(__file__).resolve().parents[2] / "docs/terminal.md").read_text(encoding="utf-8")
PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters:
  - {name: prod, sources: [sources], output: out/prod}
  - {name: staging, sources: [sources], output: out/staging}
"""
BASH = """\
. "$KCD_COMPLETION"
compopt() { [[ $2 != nospace ]] || echo "$@"; }
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=($1) COMP_CWORD=1
_kcd_gen_completion kcd-gen
printf '%s\\n' "${COMPREPLY[@]}"
"""
# compadd and related commands only work inside the line editor: here they print their suggestions.
ZSH = """\
autoload -U compinit; compinit -u -D
. "$KCD_COMPLETION"
compadd() { [[ $1 != -S || -n $2 ]] || print -- "-o nospace"
    while [[ $# -gt 0 && $1 != -a ]]; do shift; done; [[ $# -gt 0 ]] && print -l -- ${(P)2}; return 0 }
_describe() { local -a all; all=("${(@P)3}"); print -l -- ${all%%:*}; return 0 }
words=("${(@s: :)1}"); CURRENT=${#words}
$_comps[kcd-gen]
"""
FISH = "source $KCD_COMPLETION; complete -C $argv[1]"


@pytest.fixture
def project(workspace: Workspace) -> Path:
    (workspace.root / "kcd-gen.yaml").write_text(PROJECT)
    workspace.release("web")
    workspace.release("shop", namespace="sales")
    return workspace.root


def offered(shell: str, line: str, directory: Path) -> list[str]:
    """Return what the shell suggests at the end of `line`. Nothing else may be printed."""
    path = program(shell, shell)
    command = {
        "bash": [path, "--norc", "-c", BASH, "bash", line],
        "zsh": [path, "-f", "-c", ZSH, "zsh", line],
        "fish": [path, "--no-config", "-c", FISH, line],
    }[shell]
    script = directory / f".completion.{shell}"
    if not script.exists():
        script.write_text(run([str(Path(sys.executable).parent / "kcd-gen"), "completion", shell], directory))
    printed = run(command, directory, KCD_COMPLETION=str(script))
    return [text.split("\t")[0] for text in printed.splitlines() if text]


def run(command: list[str], directory: Path, **variables: str) -> str:
    """Run a command with kcd-gen on the PATH and `directory` as home; stderr must be empty."""
    clean = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=directory, env={**clean, **variables}, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "shell", ["bash", pytest.param("zsh", marks=pytest.mark.slow), pytest.param("fish", marks=pytest.mark.slow)]
)
def test_a_shell_suggests_names_from_the_project(shell: str, project: Path) -> None:
    assert offered(shell, "kcd-gen bui", project) == ["build"]
    assert offered(shell, "kcd-gen cache ver", project) == ["verify"]
    assert offered(shell, "kcd-gen build --cluster ", project) == ["prod", "staging"]
    assert offered(shell, "kcd-gen build --cluster st", project) == ["staging"]
    assert offered(shell, "kcd-gen build --allow-protected-removal s", project) == ["sales/shop"]
    assert offered(shell, "kcd-gen dump reg", project) == [WEB]
    open_ended = [] if shell == "fish" else ["-o nospace"]  # in fish that follows from the character itself
    assert offered(shell, "kcd-gen build --limit lay", project) == [*open_ended, "layer="]


def test_bash_completes_after_its_word_break_characters(project: Path) -> None:
    assert offered("bash", f"kcd-gen dump {WEB.rpartition(':')[0]}:", project) == [WEB.rpartition(":")[2]]
    assert offered("bash", "kcd-gen build --cluster=p", project) == ["prod"]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_an_invalid_project_has_no_suggestions_and_prints_nothing(shell: str, project: Path) -> None:
    (project / "kcd-gen.yaml").write_text("clusters: [")
    assert offered(shell, "kcd-gen build --cluster ", project) == []


def test_the_lines_of_the_page_install_it(project: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    bash, zsh, fish = block.splitlines()
    assert run([program("bash", "bash"), "--norc", "-c", f"{bash}\ncomplete -p kcd-gen"], project).endswith(
        " kcd-gen\n"
    )
    loaded = f"autoload -U compinit; compinit -u -D\n{zsh}\nprint $_comps[kcd-gen]"
    assert run([program("zsh", "zsh"), "-f", "-c", loaded], project) == "_kcd_gen_completion\n"
    (project / ".config/fish/completions").mkdir(parents=True)
    run([program("fish", "fish"), "--no-config", "-c", fish], project)
    printed = run([program("fish", "fish"), "-c", "complete -C 'kcd-gen bui'"], project)
    assert printed.split("\t")[0].strip() == "build"
