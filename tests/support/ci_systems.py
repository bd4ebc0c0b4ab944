"""Do what CI systems do with the files that kcd-gen ships for them: fill in inputs and run the scripts with bash.

By default the installation is skipped: the tests' own environment takes the place of the installed one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from tests.support.registry import program

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = ROOT / "templates/kcd-gen/template.yml"
JENKINSFILE = ROOT / "templates/ci/Jenkinsfile"
TASK = ROOT / "templates/ci/tekton-task.yaml"
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
# The default configuration of a workflow, pipeline or task, for tests that are not about the installation.
INSTALL_FROM = f"git+https://git.example.com/platform/kcd-gen@{'0123456789' * 4}"
_INSTALLATION = re.compile(r"^ *python3 -I -m venv (?:--clear )?(\S+)\n *#.*\n.* -m pip install .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """How a script ended and what its log shows."""

    exit: int
    log: str


def run_bash(script: str, directory: Path, environment: Mapping[str, str], *arguments: str) -> ScriptResult:
    """Run a script as runners do, with the shell's absolute path and an environment without our own variables."""
    home = {"HOME": str(directory), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [program("bash", "bash"), "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script, "bash", *arguments],
        cwd=directory,
        env={**home, "XDG_CACHE_HOME": f"{directory}/.cache", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    return ScriptResult(done.returncode, done.stdout.decode("utf-8", "replace"))


def installed(script: str, prefix: str = sys.prefix) -> str:
    """Return the script with its installation replaced by the virtual environment `prefix`."""
    replaced, count = _INSTALLATION.subn(rf"ln -sfn {prefix} \1\n", script)
    assert count == 1
    return replaced


@dataclass
class GitHubJob:
    """A job with one step, the action. `expressions` are the values of `${{ … }}` other than inputs.

    `variables` are those of the job. With `install`, the action's own step installs kcd-gen.
    """

    workspace: Path
    temp: Path
    expressions: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    api: str = "http://127.0.0.1:9"  # nothing listens here
    variables: Mapping[str, str] = field(default_factory=dict)
    install: bool = False

    def run(self) -> tuple[int, dict[str, ScriptResult]]:
        """Run the action and return its exit code and the outcome of each step, by the last word of its name."""
        self.temp.mkdir(parents=True, exist_ok=True)
        if not self.install:
            (self.temp / "kcd-gen").mkdir()
            (self.temp / "kcd-gen/venv").symlink_to(sys.prefix)
        ran, code = {}, 0
        for step in ACTION["runs"]["steps"]:
            if "run" not in step or (step.get("id") == "install" and not self.install):
                continue
            environment = {name: self._fill_in(value) for name, value in step["env"].items()}
            directory = self.workspace / self._fill_in(step.get("working-directory", ""))
            done = run_bash(step["run"], directory, {**self._runner(), **self.variables, **environment})
            ran[step["run"].split()[-1]] = done
            code = code or done.exit
        return code, ran

    @property
    def summary(self) -> str:
        return (self.temp / "summary").read_text(encoding="utf-8")

    def _runner(self) -> dict[str, str]:
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_API_URL": self.api,
            "GITHUB_OUTPUT": str(self.temp / "output"),
            "GITHUB_PATH": str(self.temp / "path"),
            "GITHUB_REPOSITORY": "acme/platform",
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary"),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
        }

    def _fill_in(self, text: str) -> str:
        known = {"runner.temp": str(self.temp), "github.token": "s3cret", **self.expressions}
        for name, declared in ACTION["inputs"].items():
            value = self.inputs.get(name, declared["default"])
            known[f"inputs.{name}"] = known[value[4:-3]] if value.startswith("${{") else value

        def found(match: re.Match[str]) -> str:
            names = [name.strip() for name in match[1].split("||")]
            return next((known[name] for name in names if known.get(name)), "")

        return re.sub(r"\$\{\{ (.*?) \}\}", found, text)


def component(**inputs: str) -> dict[str, Any]:
    """Return the component as GitLab includes it, with its inputs (`_` for `-`) filled in."""
    head, body = COMPONENT.read_text(encoding="utf-8").split("\n---\n")
    values = {name: str(one["default"]) for name, one in yaml.safe_load(head)["spec"]["inputs"].items()}
    values["install-from"] = INSTALL_FROM
    values |= {name.replace("_", "-"): value for name, value in inputs.items()}
    filled: dict[str, Any] = yaml.safe_load(
        re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda match: values[match[1]], body)
    )
    return filled


def run_component(
    checkout: Path, environment: Mapping[str, str], *, install: bool = False, prefix: str = sys.prefix, **inputs: str
) -> ScriptResult:
    """Run the component's job in a checkout. Without `install`, kcd-gen is taken from `prefix`."""
    (job,) = component(**inputs).values()
    (script,) = job["script"]
    predefined = {"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_DIR": str(checkout), **environment}
    declared = {
        name: re.sub(r"\$(\w+)", lambda match: predefined[match[1]], value) for name, value in job["variables"].items()
    }
    return run_bash(script if install else installed(script, prefix), checkout, {**declared, **predefined})


def jenkins_script() -> str:
    """Return the script of the Jenkinsfile, as the shell receives it."""
    (script,) = re.findall(r"sh '''\n(.*?)'''", JENKINSFILE.read_text(encoding="utf-8"), re.DOTALL)
    assert "\\" not in script.replace("\\\\", "")  # Groovy would treat a single backslash as an escape
    return dedent(script).replace("\\\\", "\\")


def run_jenkins(workspace: Path, environment: Mapping[str, str], *, install: bool = False) -> ScriptResult:
    """Run the stage of the Jenkinsfile in a workspace."""
    script = jenkins_script() if install else installed(jenkins_script())
    given = {"WORKSPACE": str(workspace), "WORKSPACE_TMP": f"{workspace}@tmp", "INSTALL_FROM": INSTALL_FROM}
    return run_bash(script, workspace, {**given, **environment})


def run_task(
    workspace: Path, environment: Mapping[str, str], *arguments: str, install: bool = False, **params: str
) -> ScriptResult:
    """Run the step of the Tekton Task in a workspace."""
    spec = yaml.safe_load(TASK.read_text(encoding="utf-8"))["spec"]
    (step,) = spec["steps"]
    values = {one["name"]: one["default"] for one in spec["params"]} | {"install-from": INSTALL_FROM}
    values |= {name.replace("_", "-"): value for name, value in params.items()}
    declared = {
        one["name"]: re.sub(r"\$\(params\.([\w-]+)\)", lambda match: values[match[1]], one["value"])
        for one in step["env"]
    }
    script = step["script"] if install else installed(step["script"])
    return run_bash(script.removeprefix("#!/bin/sh\n"), workspace, {**declared, **environment}, *arguments)
