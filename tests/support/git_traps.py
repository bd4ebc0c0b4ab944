"""Attacks by hostile commits and callers on a program that runs git, and a git wrapper that records its calls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kubocd_gen.git.setup import Setup, for_questions
from tests.support.charts import git
from tests.support.registry import program


def look_like_a_repository(directory: Path, mark: Path) -> None:
    """Make git take a directory for a bare repository; its configuration creates the file `mark`."""
    for name in ("objects", "refs/heads"):
        (directory / name).mkdir(parents=True)
        (directory / name / "keep").write_text("")
    (directory / "HEAD").write_text("0123456789" * 4 + "\n")
    script = directory / "evil.sh"
    script.write_text(f"#!/bin/sh\n: >{mark}\n")
    script.chmod(0o755)
    (directory / "config").write_text(
        "[core]\n\trepositoryformatversion = 1\n\tbare = false\n\tworktree = .\n"
        f"\tfsmonitor = {script}\n\thooksPath = .\n\tsshCommand = {script}\n"
        "[extensions]\n\tpartialClone = origin\n"
        f'[remote "origin"]\n\turl = ext::{script}\n\tpromisor = true\n'
        '[protocol "ext"]\n\tallow = always\n'
    )


def tree_bomb(repository: Path, depth: int = 7) -> str:
    """Store a tree of a few objects that expands to 10^depth files; return its id."""
    identity, entry = store(repository, "blob", b"x"), "100644 blob"
    for _ in range(depth):
        listing = "".join(f"{entry} {identity}\tf{number}.yaml\n" for number in range(10))
        identity, entry = _with_input(repository, ("mktree",), listing.encode()), "040000 tree"
    return identity


def tree(repository: Path, entries: Sequence[tuple[bytes, str, str]]) -> str:
    """Store a tree of names, modes and ids, valid or not; return its id."""
    data = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(one) for name, mode, one in entries)
    return store(repository, "tree", data)


def blob(repository: Path, data: bytes) -> str:
    """Store a blob; return its id."""
    return store(repository, "blob", data)


def commit_tree(repository: Path, root: str, branch: str = "main") -> str:
    """Store a commit of a tree and point a branch at it; return its id."""
    commit = git(repository, "commit-tree", "-m", "hostile", root).strip()
    git(repository, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def store(repository: Path, kind: str, data: bytes) -> str:
    """Store an object, valid or not; return its id."""
    return _with_input(repository, ("hash-object", "--literally", "-t", kind, "-w", "--stdin"), data)


def _with_input(repository: Path, arguments: Sequence[str], data: bytes) -> str:
    command = [program("git", "git"), "-C", str(repository), *arguments]
    return subprocess.run(command, input=data, check=True, stdout=subprocess.PIPE).stdout.decode().strip()


def instead_of_git(directory: Path, script: str) -> Setup:
    """Replace git with a shell script; return the setup."""
    (directory / "git").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "git").chmod(0o755)
    return for_questions({"PATH": f"{directory}:/usr/bin:/bin"})


class RecordingGit:
    """A `git` in `directory`, to be put first on the PATH, that records each call before it runs the real one.

    `sets` are variables that it sets for the real one.
    """

    def __init__(self, directory: Path, **sets: str) -> None:
        self.directory = directory
        self._calls = directory / "calls"
        self._calls.mkdir(parents=True)
        script = directory / "git"
        given = "".join(f"export {name}={value}\n" for name, value in sets.items())
        script.write_text(
            f'#!/bin/sh\ncall=$(mktemp -d {self._calls}/XXXXXX)\nprintf "%s\\n" "$@" >"$call/arguments"\n'
            f'env >"$call/environment"\npwd >"$call/directory"\n{given}exec {program("git", "git")} "$@"\n'
        )
        script.chmod(0o755)

    @property
    def path(self) -> str:
        """Return a PATH on which it comes first."""
        return f"{self.directory}{os.pathsep}{os.environ['PATH']}"

    def calls(self) -> list[tuple[list[str], dict[str, str], str]]:
        """Return each call's arguments, environment and directory."""
        found = []
        for call in self._calls.iterdir():
            lines = [line.partition("=") for line in (call / "environment").read_text().splitlines() if "=" in line]
            variables = {name: value for name, _, value in lines if name not in ("PWD", "SHLVL", "OLDPWD", "_")}
            arguments = (call / "arguments").read_text().splitlines()
            found.append((arguments, variables, (call / "directory").read_text().strip()))
        return found

    def said(self) -> str:
        """Return all command lines, as other users of the machine see them."""
        return json.dumps([arguments for arguments, _, _ in self.calls()])
