"""CI in a checkout full of traps runs none of them and still does its job.

The scripts run unchanged, including the installation, with variables that could make them trust the checkout. Each
system uses another form of installation; test_ci_installation checks that all systems support the same forms.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.charts import commit_all
from tests.support.ci_origin import COMMENTS, NOTES, build, change, commit_of, merge_request, pull_request, quickstart
from tests.support.ci_systems import ROOT, ScriptResult, run_component, run_jenkins, run_task
from tests.support.fault_server import FaultServer, reply
from tests.support.installations import Form, Installation, installation
from tests.support.traps import Traps, interpreter

PROJECT = "platform"


@dataclass(frozen=True, slots=True)
class Trapped:
    """A repository whose branch `change` contains traps and a built change."""

    origin: Path
    traps: Traps
    variables: dict[str, str]  # the job's variables, except those that name its checkout
    python: Path
    installation: Installation

    def environment(self, checkout: Path) -> dict[str, str]:
        return {**self.traps.environment(checkout, self.python), **self.variables, **self.installation.variables}


@pytest.fixture
def form() -> Form:
    """The form in which `install-from` names kcd-gen."""
    return "requirements"


@pytest.fixture
def trapped(tmp_path: Path, form: Form) -> Iterator[Trapped]:
    origin, home = tmp_path / "origin", tmp_path / "home"
    origin.mkdir()
    home.mkdir()
    quickstart(origin, PROJECT)
    traps = Traps(tmp_path / "marks")
    for directory in (origin, origin / PROJECT):
        traps.lay(directory)
    traps.lay_repository(origin / PROJECT)
    change(origin / PROJECT)
    build(origin / PROJECT)
    variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    with installation(form, tmp_path / "source") as source:
        yield Trapped(origin, traps, variables, interpreter(tmp_path / "python"), source)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["git"])
def test_the_github_action(trapped: Trapped, tmp_path: Path) -> None:
    inputs = {"working-directory": PROJECT, "install-from": trapped.installation.install_from}
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", reply(200, b"[]"))
        server.script(f"POST {COMMENTS}", reply(201, b"{}"))
        job = pull_request(trapped.origin, tmp_path, api=server.url, inputs=inputs, install=True)
        job.variables = trapped.environment(job.workspace)
        code, steps = job.run()
    assert trapped.traps.sprung() == []
    assert (code, steps["build"].log) == (0, ""), steps
    assert "created a comment" in steps["comment"].log, steps
    assert "shop.ingress" in json.loads(server.asked[-1].body)["body"]
    assert [name for name, step in steps.items() if "s3cret" in step.log] == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["requirements"])
def test_the_gitlab_component(trapped: Trapped) -> None:
    origin = trapped.origin
    with FaultServer() as server:
        server.script("GET /user", reply(200, b'{"id": 5}'))
        server.script(f"GET {NOTES}", reply(200, b"[]"))
        server.script(f"POST {NOTES}", reply(201, b"{}"))
        environment = {**trapped.environment(origin), **merge_request(origin, server.url)}
        inputs = {"working_directory": PROJECT, "install_from": trapped.installation.install_from}
        ran = run_component(origin, environment, install=True, **inputs)
    assert trapped.traps.sprung() == []
    assert ran.exit == 0, ran.log
    assert "created a comment" in ran.log
    assert "shop.ingress" in (origin / ".kcd-gen-ci/diff.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["index"])
def test_jenkins(trapped: Trapped) -> None:
    project = trapped.origin / PROJECT
    environment = trapped.environment(project) | {"INSTALL_FROM": trapped.installation.install_from}
    passed(trapped, run_jenkins(project, environment, install=True))
    assert (project / "kcd-gen-reports/junit.xml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["wheel"])
def test_tekton(trapped: Trapped) -> None:
    environment = trapped.environment(trapped.origin)
    params = {"directory": PROJECT, "install_from": trapped.installation.install_from}
    passed(trapped, run_task(trapped.origin, environment, "--offline", install=True, **params))


def passed(trapped: Trapped, ran: ScriptResult) -> None:
    assert trapped.traps.sprung() == []
    assert ran.exit == 0, ran.log
    assert "deploy is up to date" in ran.log


def test_the_hooks_of_pre_commit(trapped: Trapped) -> None:
    project = trapped.origin / PROJECT
    commit_all(trapped.origin)
    # An absolute path into the checkout would let the author of the commit choose the program.
    path = ":".join(entry for entry in trapped.traps.path(project).split(":") if not entry.startswith(str(project)))
    assert path.startswith(".:")
    environment = {**trapped.variables, "PATH": f"{path}:{sys.prefix}/bin", "KCD_GEN_HELM": "helm"}
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")):
        name, *arguments = hook["entry"].split()
        command = [f"{sys.prefix}/bin/{name}", *arguments]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert trapped.traps.sprung() == [], hook["id"]
        assert done.returncode == 0, done.stderr


def test_reports_follow_no_symlink_of_the_repository(trapped: Trapped, tmp_path: Path) -> None:
    origin, outside = trapped.origin, tmp_path / "outside"
    outside.mkdir()
    (outside / "diff.md").write_text("mine")
    for link in (".kcd-gen-ci", "kcd-gen-reports"):
        (origin / link).symlink_to(outside)
    environment = {**trapped.variables, **merge_request(origin, "http://127.0.0.1:9"), "KCD_GEN_COMMENT_TOKEN": ""}
    environment |= {"PATH": f"{trapped.python}:/usr/bin:/bin", "KCD_GEN_PROJECT": f"{PROJECT}/kcd-gen.yaml"}
    assert run_component(origin, environment).exit == 0
    assert run_jenkins(origin, environment).exit == 0
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("diff.md", "mine")]
    assert (origin / ".kcd-gen-ci/codequality.json").is_file()
    assert (origin / "kcd-gen-reports/junit.xml").is_file()
    assert commit_of(origin, "change")
