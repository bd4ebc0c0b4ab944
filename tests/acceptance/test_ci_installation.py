"""The source from which CI installs kcd-gen is configured and pinned; otherwise it is refused before pip runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.install_source import install_source
from tests.support.ci_origin import change, quickstart
from tests.support.ci_systems import (
    COMPONENT,
    INSTALL_FROM,
    JENKINSFILE,
    ROOT,
    TASK,
    GitHubJob,
    ScriptResult,
    run_bash,
    run_component,
    run_jenkins,
    run_task,
)
from tests.support.installations import Form, installation

Run = Callable[[Path, str, dict[str, str]], ScriptResult]
SCRIPTS = (COMPONENT, JENKINSFILE, TASK, ROOT / "templates/ci/github-action.sh")
COMMIT = "0123456789" * 4


def github(checkout: Path, install_from: str, variables: dict[str, str]) -> ScriptResult:
    inputs = {"install-from": install_from}
    job = GitHubJob(checkout, checkout.parent / "runner", inputs=inputs, variables=variables, install=True)
    return job.run()[1]["install"]


def gitlab(checkout: Path, install_from: str, variables: dict[str, str]) -> ScriptResult:
    return run_component(checkout, variables, install=True, install_from=install_from)


def jenkins(checkout: Path, install_from: str, variables: dict[str, str]) -> ScriptResult:
    return run_jenkins(checkout, variables | {"INSTALL_FROM": install_from}, install=True)


def tekton(checkout: Path, install_from: str, variables: dict[str, str]) -> ScriptResult:
    return run_task(checkout, variables, install=True, install_from=install_from)


every_system = pytest.mark.parametrize("run", [github, gitlab, jenkins, tekton])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "checkout"
    directory.mkdir()
    return directory


@pytest.mark.parametrize(
    "install_from",
    [
        "kcd-gen",
        "kcd-gen==0.1.0",
        ".",
        "git+https://git.example.com/platform/kcd-gen",
        "git+https://git.example.com/platform/kcd-gen@v0.1.0",
        f"git+http://git.example.com/platform/kcd-gen@{COMMIT}",
        f"git+https://git.example.com/platform/kcd-gen@{COMMIT[1:]}",
        "https://packages.example.com/kcd_gen-0.1.0-py3-none-any.whl",
        f"https://packages.example.com/kcd_gen-0.1.0-py3-none-any.whl#sha1={COMMIT}",
        "--index-url http://packages.example.com/simple kcd-gen==0.1.0",
        "--index-url https://packages.example.com/simple kcd-gen",
        "-r /requirements.txt",
        "--require-hashes -r requirements.txt",
        f"{INSTALL_FROM} other",
    ],
)
def test_an_unpinned_source_is_refused(install_from: str, checkout: Path) -> None:
    assert tekton(checkout, install_from, {}).exit == 2


@every_system
def test_every_system_names_the_missing_setting(run: Run, checkout: Path) -> None:
    ran = run(checkout, "kcd-gen==0.1.0", {})
    assert ran.exit == 2
    assert "install-from" in ran.log or "INSTALL_FROM in the Jenkinsfile" in ran.log
    assert "git+https://HOST/PATH@COMMIT" in ran.log
    assert not list(checkout.parent.rglob("pyvenv.cfg"))


@pytest.mark.parametrize("run", [gitlab, jenkins, tekton])
def test_a_job_without_a_source_names_the_missing_setting(run: Run, checkout: Path) -> None:
    ran = run(checkout, "", {})
    assert ran.exit == 2
    first, *forms = ran.log.splitlines()
    assert re.fullmatch(r"kcd-gen: set .*(install-from|INSTALL_FROM).* to one of these arguments.*:", first)
    assert len(forms) == 4


def test_the_action_without_its_repository_names_the_missing_setting(checkout: Path) -> None:
    action = checkout.parent / "action"
    (action / "templates/ci").mkdir(parents=True)
    shutil.copy(ROOT / "templates/ci/github-action.sh", action / "templates/ci")
    ran = github(checkout, "", {"GITHUB_ACTION_PATH": str(action)})
    assert ran.exit == 2
    assert ran.log.startswith("::error title=kcd-gen::set the input install-from to one of")


@every_system
def test_requirements_of_the_checkout_are_refused(run: Run, checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("kcd-gen\n")
    (checkout.parent / "link").symlink_to(checkout)
    for directory in (checkout, checkout.parent / "link"):
        ran = run(checkout, f"--require-hashes -r {directory}/requirements.txt", {})
        assert ran.exit == 2
        assert "names a requirements file in the checkout" in ran.log


@pytest.mark.slow
@pytest.mark.parametrize("form", ["git", "wheel", "index"])
def test_the_workflow_from_init_installs_without_a_copy_on_github(form: Form, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with installation(form, tmp_path / "source") as source:
        named = install_source(source.install_from)
        assert named.action("github.com") is None
        template = scaffolds("init").get_template("github.yaml.j2")
        text = template.render(source=named, action=None, branches=["main"], directory="")
        (job,) = yaml.safe_load(text)["jobs"].values()
        install, _checkout, check = job["steps"]
        environment = {"RUNNER_TEMP": str(tmp_path), **source.variables}
        installed = run_bash(install["run"], workspace, environment | install["env"])
        assert installed.exit == 0, installed.log
        quickstart(workspace)  # what actions/checkout does
        assert run_bash(check["run"], workspace, environment).exit == 0
        change(workspace)
        drift = run_bash(check["run"], workspace, environment)
    assert drift.exit == 3
    assert drift.log.startswith("::error file=deploy/flux/default/podinfo1.yaml,title=kcd-gen%3A outdated-output::")


@pytest.mark.slow
def test_a_wheel_with_another_hash_is_refused(checkout: Path) -> None:
    with installation("wheel", checkout.parent / "source") as source:
        address = source.install_from.partition("#")[0]
        ran = tekton(checkout, f"{address}#sha256={'0' * 64}", source.variables)
    assert ran.exit == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in ran.log


@pytest.mark.slow
def test_requirements_without_a_hash_are_refused(checkout: Path) -> None:
    with installation("requirements", checkout.parent / "source") as source:
        file = Path(source.install_from.rpartition(" ")[2])
        file.write_text(file.read_text().partition(" ")[0])
        ran = tekton(checkout, source.install_from, source.variables)
    assert ran.exit == 1
    assert "Hashes are required in --require-hashes mode" in ran.log


def test_the_forms_are_the_same_everywhere() -> None:
    forms = [re.findall(r'^ *forms="?(.*)$', path.read_text(encoding="utf-8"), re.MULTILINE) for path in SCRIPTS]
    assert len(forms[0]) == 2
    assert forms == [forms[0]] * len(SCRIPTS)
