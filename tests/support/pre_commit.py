"""Run pre-commit as a user does, with the hooks of this working tree committed as `rev`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
URL = "https://git.example.com/platform/kcd-gen"
PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters:
  - name: prod
    sources: [clusters/prod]
    output: deploy
packages:
  vendor: packages
"""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code and all output of a command."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """A user's repository. `home` holds pre-commit's environments, and `hooks`, the hooks' repository."""

    root: Path
    home: Path

    def run(self, *command: str) -> CommandResult:
        """Run a command as a user does, with `pre-commit` and `kcd-gen` on the PATH and Git configured for tests."""
        settings = {
            "user.name": "a",
            "user.email": "a@example.com",
            "init.defaultBranch": "main",
            "commit.gpgSign": "false",
            f"url.{self.home / 'hooks'}.insteadOf": URL,
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("KCD_", "HELM_", "GIT_"))}
        # Of Git's own variables, pre-commit passes only these on to the git that it runs.
        given = {f"GIT_CONFIG_KEY_{at}": name for at, name in enumerate(settings)}
        given |= {f"GIT_CONFIG_VALUE_{at}": value for at, value in enumerate(settings.values())}
        environment = {
            **clean,
            **given,
            "GIT_CONFIG_COUNT": str(len(settings)),
            "PRE_COMMIT_HOME": str(self.home / "environments"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout)

    def git(self, *arguments: str) -> str:
        done = self.run("git", *arguments)
        assert done.code == 0, done.output
        return done.output

    def commit(self, message: str = "a change", *more: str) -> CommandResult:
        return self.run("git", "commit", "--message", message, *more)

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def read(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def copy(self, root: Path) -> Checkout:
        shutil.copytree(self.root, root)
        return Checkout(root, self.home)


def commit_hooks(home: Path) -> str:
    """Make the repository `home/hooks`, served at `URL`, from the files of this working tree. Returns its commit."""
    hooks = Checkout(home / "hooks", home)
    named = ("kubocd_gen", "schemas", "templates", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
    for name in named:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, hooks.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, hooks.root / name)
    hooks.git("init", "--quiet")
    hooks.git("add", "--all")
    hooks.git("commit", "--quiet", "--message", "hooks")
    return hooks.git("rev-parse", "HEAD").strip()


def new_checkout(root: Path, home: Path, config: str) -> Checkout:
    """Create a project from the quickstart's Release and package, not yet compiled, with `config` for pre-commit."""
    quickstart = ROOT / "fixtures/quickstart"
    shutil.copytree(quickstart / "cluster/releases", root / "clusters/prod")
    shutil.copytree(quickstart / "packages", root / "packages")
    made = Checkout(root, home)
    made.write("kcd-gen.yaml", PROJECT)
    made.write(".pre-commit-config.yaml", config)
    made.git("init", "--quiet")
    return made
