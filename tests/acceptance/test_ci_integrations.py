"""The GitHub Action, the GitLab component, the Jenkinsfile and the Tekton Task: their scripts, run as there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from kubocd_gen import __version__
from kubocd_gen.ci_comments.comment import CommentError, comment_body, marker
from tests.support.charts import commit_all, git
from tests.support.ci_systems import (
    ACTION,
    COMPONENT,
    JENKINSFILE,
    ROOT,
    TASK,
    GitHubJob,
    Ran,
    component,
    installed,
    run_bash,
    run_component,
)
from tests.support.fault_server import FaultServer, reply
from tests.support.registry import program
from tests.support.workspace import kcd_gen

PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters: [{name: prod, sources: [cluster], output: deploy}]
packages: {vendor: packages}
"""
COMMENTS = "/repos/acme/platform/issues/7/comments"
NOTES = "/projects/3/merge_requests/8/notes"
HOSTILE = "::warning::$(touch pwned)`touch pwned`;touch pwned.yaml"


def quickstart(folder: Path) -> Path:
    """A repository whose main branch has the quickstart, built; the branch `change` is checked out."""
    source = ROOT / "fixtures/quickstart"
    for name in ("cluster", "packages"):
        shutil.copytree(source / name, folder / name)
    (folder / "kcd-gen.yaml").write_text(PROJECT)
    git(folder, "init", "--quiet", "--initial-branch=main")
    build(folder)
    commit_all(folder)
    git(folder, "checkout", "--quiet", "-b", "change")
    return folder


def build(folder: Path) -> None:
    assert kcd_gen("build", "--offline", directory=folder).exit == 0
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def change(folder: Path, old: str = "fqdn: podinfo1.", new: str = "fqdn: shop.") -> None:
    release = folder / "cluster/releases/podinfo1.yaml"
    release.write_text(release.read_text().replace(old, new))


def commit_of(folder: Path, name: str) -> str:
    return git(folder, "rev-parse", name).strip()


def pull_request(origin: Path, tmp_path: Path, **given: Any) -> GitHubJob:
    """The job for the branch `change`: like actions/checkout, a clone of depth 1 of the merge that GitHub makes."""
    commit_all(origin)
    base, head = commit_of(origin, "main"), commit_of(origin, "change")
    git(origin, "checkout", "--quiet", "-b", "merge", "main")
    git(origin, "merge", "--quiet", "--no-ff", "-m", "merge", "change")
    workspace = tmp_path / "workspace"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=merge", f"file://{origin}", str(workspace))
    event = {"base.sha": base, "head.sha": head, "number": "7"}
    expressions = {f"github.event.pull_request.{name}": value for name, value in event.items()}
    return GitHubJob(workspace, tmp_path / "runner", expressions, **given)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    return quickstart(folder)


def test_a_pull_request_that_is_built_passes_and_is_commented_on(origin: Path, tmp_path: Path) -> None:
    change(origin)
    build(origin)
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", reply(200, b"[]"))
        server.script(f"POST {COMMENTS}", reply(201, b"{}"))
        job = pull_request(origin, tmp_path, api=server.url)
        code, steps = job.run()
    assert (code, steps["build"].log) == (0, "")
    assert "a comment was made" in steps["comment"].log
    sent = server.asked[-1]
    body = json.loads(sent.body)["body"]
    assert sent.headers["authorization"] == "Bearer s3cret"
    assert body.startswith(marker(".") + "\n### What this change does")
    assert "shop.ingress.kubodoc.local" in body
    assert "kcd-gen: the output is what the sources compile to." in job.summary
    assert "shop.ingress.kubodoc.local" in job.summary
    assert (tmp_path / "runner/output").read_text() == "exit-code=0\n"
    assert "s3cret" not in "".join(step.log for step in steps.values())


def test_our_comment_is_replaced_and_nobody_elses(origin: Path, tmp_path: Path) -> None:
    mark = marker(".")
    others = [{"id": n, "body": "x", "user": {"type": "User"}} for n in range(99)]
    stranger = {"id": 100, "body": mark, "user": {"type": "User"}, "author_association": "NONE"}
    ours = {"id": 101, "body": f"{mark}\nold", "user": {"type": "Bot"}, "author_association": "NONE"}
    pages = [reply(200, json.dumps(page).encode()) for page in ([*others, stranger], [ours])]
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", *pages)
        server.script("PATCH /repos/acme/platform/issues/comments/101", reply(200, b"{}"))
        (origin / "note.txt").write_text("nothing that compiles")
        code, steps = pull_request(origin, tmp_path, api=server.url).run()
    assert code == 0
    assert "the comment was updated" in steps["comment"].log
    assert "Nothing: what the sources compile to" in json.loads(server.asked[-1].body)["body"]


def test_a_token_without_the_right_is_a_warning(origin: Path, tmp_path: Path) -> None:
    change(origin)
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", reply(200, b"[]"))
        refused = b'{"message": "Resource not accessible\\n::error::by integration"}'
        server.script(f"POST {COMMENTS}", reply(403, refused))
        code, steps = pull_request(origin, tmp_path, api=server.url).run()
    assert (code, steps["build"].exit, steps["comment"].exit) == (3, 3, 0)  # drift alone
    assert server.asked[-1].method == "POST"
    (warning,) = [line for line in steps["comment"].log.splitlines() if line.startswith("::warning")]
    assert "the token may not have the right to comment" in warning
    assert not re.search("^::error", steps["comment"].log, re.MULTILINE)


def test_an_api_that_fails_is_a_warning_and_no_comment_is_made_twice(origin: Path, tmp_path: Path) -> None:
    change(origin)
    build(origin)
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", reply(200, b"[]"))
        server.script(f"POST {COMMENTS}", reply(502, b"<html>"))
        code, steps = pull_request(origin, tmp_path, api=server.url).run()
    assert code == 0
    assert server.paths().count(f"POST {COMMENTS}") == 1
    assert "::warning title=kcd-gen%3A comment::no comment was made: " in steps["comment"].log


def test_drift_is_annotated_and_reported(origin: Path, tmp_path: Path) -> None:
    change(origin)
    job = pull_request(
        origin, tmp_path, inputs={"comment": "false", "sarif": "out/report.sarif", "args": " --offline "}
    )
    code, steps = job.run()
    assert code == 3
    annotation = "::error file=deploy/flux/default/podinfo1.yaml,title=kcd-gen%3A outdated-output::"
    assert steps["build"].log.startswith(annotation)
    assert steps["build"].log.rstrip().endswith("run: kcd-gen build --offline")
    assert "**the output is not what the sources compile to**" in job.summary
    sarif = json.loads((job.workspace / "out/report.sarif").read_text())
    assert sarif["runs"][0]["results"][0]["ruleId"] == "outdated-output"


def test_without_check_it_builds(origin: Path, tmp_path: Path) -> None:
    change(origin)
    job = pull_request(origin, tmp_path, inputs={"check": "false", "comment": "false"})
    code, _steps = job.run()
    assert code == 0
    assert "shop." in (job.workspace / "deploy/flux/default/podinfo1.yaml").read_text()


def test_hostile_names_are_text(origin: Path, tmp_path: Path) -> None:
    change(origin, "fqdn:", '"fq$(touch pwned)\\n::error::`touch pwned`":')
    (origin / "cluster/releases/podinfo1.yaml").rename(origin / HOSTILE)
    (origin / "kcd-gen.yaml").write_text(PROJECT.replace("[cluster]", '["*.yaml"]'))
    with FaultServer() as server:
        stale = {"id": 1, "body": f"{marker('.')}\nold", "user": {"type": "Bot"}}
        server.script(f"GET {COMMENTS}", reply(200, json.dumps([stale]).encode()))
        server.script("PATCH /repos/acme/platform/issues/comments/1", reply(200, b"{}"))
        job = pull_request(origin, tmp_path, api=server.url)
        code, steps = job.run()
    assert code == 1
    assert all(line.startswith("::error file=%3A%3Awarning%3A%3A$(touch") for line in steps["build"].log.splitlines())
    commands = runner_commands(steps["comment"].log)
    assert commands == ["::warning title=kcd-gen::what the change does can't be told: one side of it does not compile"]
    assert "That can't be told" in json.loads(server.asked[-1].body)["body"]
    assert not list(tmp_path.rglob("pwned*"))


def runner_commands(log: str) -> list[str]:
    """The lines that GitHub's runner obeys, without those that stop and resume it."""
    commands, stopped = [], ""
    for line in log.splitlines():
        if stopped:
            stopped = "" if line == f"::{stopped}::" else stopped
        elif line.startswith("::stop-commands::"):
            stopped = line.removeprefix("::stop-commands::")
        elif line.lstrip().startswith("::"):
            commands.append(line)
    assert not stopped
    return commands


def test_a_project_elsewhere_has_a_comment_of_its_own(origin: Path, tmp_path: Path) -> None:
    (origin / "kcd-gen.yaml").rename(origin / "fleet.yaml")
    change(origin)
    with FaultServer() as server:
        server.script("GET /user", reply(200, b'{"id": 5}'))
        for path in (COMMENTS, NOTES):
            server.script(f"GET {path}", reply(200, b"[]"))
            server.script(f"POST {path}", reply(201, b"{}"))
        environment = merge_request(origin, server.url)
        assert run_component(origin, environment, project="fleet.yaml").exit == 3
        job = pull_request(origin, tmp_path, api=server.url, inputs={"project": "fleet.yaml"})
        assert job.run()[0] == 3
    bodies = [json.loads(one.body)["body"] for one in server.asked if one.method == "POST"]
    assert [body.startswith(marker(". fleet.yaml")) for body in bodies] == [True, True]


def test_a_comment_is_never_longer_than_github_takes() -> None:
    assert len(comment_body("x" * 65_000, marker("a"))) < 65_536
    with pytest.raises(CommentError, match="65536"):
        comment_body("x" * 65_536, marker("a"))
    assert marker("--> hostile") != marker("a")
    assert "hostile" not in marker("--> hostile")


def merge_request(origin: Path, api: str) -> dict[str, str]:
    commit_all(origin)
    return {
        "CI_API_V4_URL": api,
        "CI_MERGE_REQUEST_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "8",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": commit_of(origin, "main"),
        "KCD_GEN_COMMENT_TOKEN": "s3cret",
    }


def reports(project: Path) -> tuple[list[Any], ElementTree.Element]:
    (job,) = component().values()
    named = job["artifacts"]["reports"]
    tree = ElementTree.parse(project / named["junit"])  # noqa: S314 - our own
    return json.loads((project / named["codequality"]).read_text()), tree.getroot()


def test_gitlab_reports_drift_and_notes_the_change(origin: Path) -> None:
    change(origin)
    with FaultServer() as server:
        server.script("GET /user", reply(200, b'{"id": 5}'))
        foreign = {"id": 1, "body": marker("."), "author": {"id": 6}}
        server.script(f"GET {NOTES}", reply(200, json.dumps([foreign]).encode()))
        server.script(f"POST {NOTES}", reply(201, b"{}"))
        ran = run_component(origin, merge_request(origin, server.url), args="--offline")
    assert ran.exit == 3
    assert "run: kcd-gen build --offline\n" in ran.log  # the differences are in the log, too
    quality, junit = reports(origin)
    assert [entry["location"]["path"] for entry in quality] == ["deploy/flux/default/podinfo1.yaml"]
    assert junit.attrib["failures"] == "1"
    sent = server.asked[-1]
    assert (sent.method, sent.headers["authorization"]) == ("POST", "Bearer s3cret")
    assert "shop.ingress" in json.loads(sent.body)["body"]


def test_gitlab_updates_its_own_note(origin: Path) -> None:
    change(origin)
    build(origin)
    with FaultServer() as server:
        server.script("GET /user", reply(200, b'{"id": 5}'))
        ours = {"id": 2, "body": f"{marker('.')}\nold", "author": {"id": 5}}
        server.script(f"GET {NOTES}", reply(200, json.dumps([ours]).encode()))
        server.script(f"PUT {NOTES}/2", reply(200, b"{}"))
        ran = run_component(origin, merge_request(origin, server.url))
    assert ran.exit == 0
    assert "the comment was updated" in ran.log
    assert reports(origin)[0] == []


def test_gitlab_on_a_branch_only_checks(origin: Path) -> None:
    change(origin, "fqdn:", '"fq$(touch pwned)\\x01`touch pwned`":')
    (origin / "cluster/releases/podinfo1.yaml").rename(origin / f"cluster/releases/{HOSTILE}\x01.yaml")
    ran = run_component(origin, {})
    assert ran.exit == 1
    quality, junit = reports(origin)
    assert {entry["check_name"] for entry in quality} == {"missing-parameter", "unknown-parameter"}
    assert junit.attrib["failures"] == "1"
    assert not list(origin.rglob("pwned*"))
    assert not (origin / ".kcd-gen-ci/diff.md").exists()


def jenkins_script() -> str:
    (script,) = re.findall(r"sh '''\n(.*?)'''", JENKINSFILE.read_text(encoding="utf-8"), re.DOTALL)
    assert "$(" not in script  # nothing that Groovy or a shell would take differently
    return dedent(script).replace("\\\\", "\\")


def test_jenkins_runs_the_check(origin: Path) -> None:
    def run() -> Ran:
        return run_bash(installed(jenkins_script()), origin, {"WORKSPACE_TMP": str(origin) + "@tmp"})

    assert run().exit == 0
    change(origin)
    assert run().exit == 3
    tree = ElementTree.parse(origin / "kcd-gen-reports/junit.xml")  # noqa: S314 - our own
    assert tree.getroot().attrib["failures"] == "1"
    assert json.loads((origin / "kcd-gen-reports/kcd-gen.sarif").read_text())["runs"][0]["results"]


def test_tekton_runs_the_check(origin: Path) -> None:
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    assert (task["apiVersion"], task["kind"]) == ("tekton.dev/v1", "Task")
    spec = task["spec"]
    (step,) = spec["steps"]
    declared = {one["name"] for one in spec["params"]}
    text = json.dumps(step)
    assert set(re.findall(r"\$\(params\.([\w-]+)", text)) == declared
    assert set(re.findall(r"\$\(workspaces\.([\w-]+)", text)) == {one["name"] for one in spec["workspaces"]}
    assert "$(params" not in step["script"]  # a parameter is never read as shell
    values = {one["name"]: one["default"] for one in spec["params"]}
    environment = {
        one["name"]: re.sub(r"\$\(params\.([\w-]+)\)", lambda match: values[match[1]], one["value"])
        for one in step["env"]
    }
    script = installed(step["script"].removeprefix("#!/bin/sh\n"))
    assert run_bash(script, origin, environment, "--offline").exit == 0
    change(origin)
    assert run_bash(script, origin, environment, "--offline").exit == 3


def test_they_install_this_version() -> None:
    (job,) = component().values()
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    versions = [
        job["variables"]["VERSION"],
        next(one["default"] for one in task["spec"]["params"] if one["name"] == "version"),
        task["metadata"]["labels"]["app.kubernetes.io/version"],
        *re.findall(r"VERSION = '(.*?)'", JENKINSFILE.read_text(encoding="utf-8")),
    ]
    assert versions == [__version__] * 4
    assert ACTION["inputs"]["version"]["default"] == ""  # the action is its own version


def test_inputs_need_nothing() -> None:
    assert all("default" in one and one["description"] for one in ACTION["inputs"].values())
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert used == set(ACTION["inputs"])
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")  # an expression in a script is read as shell
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", f"a@{'0' * 40}"))


def test_what_init_writes_has_known_inputs() -> None:
    inputs = yaml.safe_load(COMPONENT.read_text(encoding="utf-8").split("\n---\n")[0])["spec"]["inputs"]
    item = (ROOT / "templates/init/gitlab-item.yaml.j2").read_text(encoding="utf-8")
    written = set(re.findall(r"^    ([\w-]+):", item, re.MULTILINE))
    assert written
    assert written <= set(inputs)


def test_they_are_what_their_schemas_ask_for(tmp_path: Path) -> None:
    (tmp_path / "gitlab.yml").write_text(yaml.safe_dump(component()))
    for schema, path in (("github-actions", ROOT / "action.yml"), ("gitlab-ci", tmp_path / "gitlab.yml")):
        validate(schema, path)


def validate(schema: str, path: Path) -> None:
    command = [f"{sys.prefix}/bin/check-jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_scripts_pass_shellcheck(tmp_path: Path) -> None:
    (job,) = component().values()
    scripts = {
        "github.sh": (ROOT / "templates/ci/github-action.sh").read_text(encoding="utf-8"),
        "gitlab.sh": f"#!/bin/sh\n{job['script'][0]}",
        "jenkins.sh": f"#!/bin/sh\n{jenkins_script()}",
        "tekton.sh": yaml.safe_load(TASK.read_text(encoding="utf-8"))["spec"]["steps"][0]["script"],
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
    checked = [program("shellcheck", "shellcheck"), *(str(tmp_path / name) for name in scripts)]
    done = subprocess.run(checked, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stdout


def page(name: str) -> str:
    return (ROOT / "docs/how-to" / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page(name), re.DOTALL | re.MULTILINE)


def table(name: str) -> set[str]:
    (rows,) = re.findall(r"\| input \|.*\n\|---.*\n((?:\|.*\n)*)", page(name))
    return set(re.findall(r"^\| `(.*?)`", rows, re.MULTILINE))


def test_the_workflows_of_the_page(tmp_path: Path) -> None:
    found = blocks("github.md", "yaml")
    assert len(found) == 3
    for number, block in enumerate(found):
        (tmp_path / f"{number}.yaml").write_text(block)
        validate("github-workflows", tmp_path / f"{number}.yaml")
        (job,) = yaml.safe_load(block)["jobs"].values()
        (ours,) = [step for step in job["steps"] if step.get("uses", "").startswith("kubotal/")]
        assert ours["uses"] == f"kubotal/kcd-gen@v{__version__}"
        assert ours.get("with", {}).keys() <= ACTION["inputs"].keys()
    assert table("github.md") == set(ACTION["inputs"])


def test_the_pipelines_of_the_page(tmp_path: Path) -> None:
    inputs = yaml.safe_load(COMPONENT.read_text(encoding="utf-8").split("\n---\n")[0])["spec"]["inputs"]
    found = blocks("gitlab.md", "yaml")
    assert len(found) == 2
    for number, block in enumerate(found):
        (tmp_path / f"{number}.yml").write_text(block)
        validate("gitlab-ci", tmp_path / f"{number}.yml")
        (included,) = yaml.safe_load(block)["include"]
        assert included["component"] == f"gitlab.com/kubotal/kcd-gen/kcd-gen@{__version__}"
        assert included.get("inputs", {}).keys() <= inputs.keys()
    assert table("gitlab.md") == set(inputs)


def test_the_other_systems_of_the_page() -> None:
    assert blocks("other-ci.md", "groovy") == [JENKINSFILE.read_text(encoding="utf-8")]
    (command,) = blocks("other-ci.md", "bash")
    base = f"https://raw.githubusercontent.com/kubotal/kcd-gen/v{__version__}/"
    assert (ROOT / command.strip().partition(base)[2]) == TASK
    (pipeline,) = map(yaml.safe_load, blocks("other-ci.md", "yaml"))
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    (used,) = [one for one in pipeline["spec"]["tasks"] if one["taskRef"]["name"] == task["metadata"]["name"]]
    assert {one["name"] for one in used["workspaces"]} == {one["name"] for one in task["spec"]["workspaces"]}
    assert {one["name"] for one in used["params"]} <= {one["name"] for one in task["spec"]["params"]}
    assert all(f"`{one['name']}`" in page("other-ci.md") for one in task["spec"]["params"])
