"""The scripts of the GitHub Action, GitLab component, Jenkinsfile and Tekton Task, run as those systems do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubocd_gen import __version__
from kubocd_gen.comments.comment import CommentError, comment_body, marker
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.install_source import install_source
from tests.support.ci_origin import COMMENTS, NOTES, PROJECT, build, change, merge_request, pull_request, quickstart
from tests.support.ci_systems import (
    ACTION,
    COMPONENT,
    INSTALL_FROM,
    JENKINSFILE,
    ROOT,
    TASK,
    component,
    jenkins_script,
    run_component,
    run_jenkins,
    run_task,
)
from tests.support.fault_server import FaultServer, reply
from tests.support.registry import program

pytestmark = pytest.mark.slow

OURS = "<OWNER>/kcd-gen@<COMMIT>"
HOSTILE = "::warning::$(touch pwned)`touch pwned`;touch pwned##[error].yaml"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    directory = tmp_path / "origin"
    directory.mkdir()
    return quickstart(directory)


def test_a_pull_request_that_is_built_passes_and_is_commented_on(origin: Path, tmp_path: Path) -> None:
    change(origin)
    build(origin)
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", reply(200, b"[]"))
        server.script(f"POST {COMMENTS}", reply(201, b"{}"))
        job = pull_request(origin, tmp_path, api=server.url)
        code, steps = job.run()
    assert (code, steps["build"].log) == (0, "")
    assert "created a comment" in steps["comment"].log
    sent = server.asked[-1]
    body = json.loads(sent.body)["body"]
    assert sent.headers["authorization"] == "Bearer s3cret"
    assert body.startswith(marker(".") + "\n### What this change does")
    assert "shop.ingress.kubodoc.local" in body
    assert "kcd-gen: the output is up to date." in job.summary
    assert "shop.ingress.kubodoc.local" in job.summary
    assert (tmp_path / "runner/output").read_text() == "exit-code=0\n"
    assert "s3cret" not in "".join(step.log for step in steps.values())


def test_only_our_own_comment_is_replaced(origin: Path, tmp_path: Path) -> None:
    mark = marker(".")
    others = [{"id": n, "body": "x", "user": {"type": "User"}} for n in range(99)]
    other_user = {"id": 100, "body": mark, "user": {"type": "User"}, "author_association": "NONE"}
    ours = {"id": 101, "body": f"{mark}\nold", "user": {"type": "Bot"}, "author_association": "NONE"}
    pages = [reply(200, json.dumps(page).encode()) for page in ([*others, other_user], [ours])]
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", *pages)
        server.script("PATCH /repos/acme/platform/issues/comments/101", reply(200, b"{}"))
        (origin / "note.txt").write_text("nothing that compiles")
        code, steps = pull_request(origin, tmp_path, api=server.url).run()
    assert code == 0
    assert "updated the comment" in steps["comment"].log
    assert "does not affect the compiled output" in json.loads(server.asked[-1].body)["body"]


def test_a_token_without_permission_is_a_warning(origin: Path, tmp_path: Path) -> None:
    change(origin)
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", reply(200, b"[]"))
        refused = b'{"message": "Resource not accessible\\n::error::by integration"}'
        server.script(f"POST {COMMENTS}", reply(403, refused))
        code, steps = pull_request(origin, tmp_path, api=server.url).run()
    assert (code, steps["build"].exit, steps["comment"].exit) == (3, 3, 0)  # only drift
    assert server.asked[-1].method == "POST"
    (warning,) = [line for line in steps["comment"].log.splitlines() if line.startswith("::warning")]
    assert "check that the token has permission to comment" in warning
    assert not re.search("^::error", steps["comment"].log, re.MULTILINE)


def test_an_api_failure_is_a_warning_and_no_comment_is_duplicated(origin: Path, tmp_path: Path) -> None:
    change(origin)
    build(origin)
    with FaultServer() as server:
        server.script(f"GET {COMMENTS}", reply(200, b"[]"))
        server.script(f"POST {COMMENTS}", reply(502, b"<html>"))
        code, steps = pull_request(origin, tmp_path, api=server.url).run()
    assert code == 0
    assert server.paths().count(f"POST {COMMENTS}") == 1
    assert "::warning title=kcd-gen%3A comment::could not comment: " in steps["comment"].log


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
    assert "**the output is out of date**" in job.summary
    sarif = json.loads((job.workspace / "out/report.sarif").read_text())
    assert sarif["runs"][0]["results"][0]["ruleId"] == "outdated-output"


def test_without_check_it_builds(origin: Path, tmp_path: Path) -> None:
    change(origin)
    job = pull_request(origin, tmp_path, inputs={"check": "false", "comment": "false"})
    code, _steps = job.run()
    assert code == 0
    assert "shop." in (job.workspace / "deploy/flux/default/podinfo1.yaml").read_text()


def test_hostile_names_are_escaped(origin: Path, tmp_path: Path) -> None:
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
    assert runner_commands(steps["comment"].log) == []
    commands = runner_commands(steps["diff"].log)
    assert commands == ["::warning title=kcd-gen::cannot compare the change: one of its two sides does not compile"]
    assert "could not be compiled" in json.loads(server.asked[-1].body)["body"]
    assert not list(tmp_path.rglob("pwned*"))


def runner_commands(log: str) -> list[str]:
    """Return the lines that GitHub's runner obeys, without those that stop and resume it."""
    commands, stopped = [], ""
    for line in log.splitlines():
        if stopped:
            stopped = "" if line == f"::{stopped}::" else stopped
        elif line.startswith("::stop-commands::"):
            stopped = line.removeprefix("::stop-commands::")
        elif line.lstrip().startswith("::") or "##[" in line:  # the old form, which is recognized anywhere in a line
            commands.append(line)
    assert not stopped
    return commands


@pytest.mark.slow
def test_a_project_in_another_directory_has_its_own_comment(origin: Path, tmp_path: Path) -> None:
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


def test_a_comment_never_exceeds_githubs_limit() -> None:
    assert len(comment_body("x" * 65_000, marker("a"))) < 65_536
    with pytest.raises(CommentError, match="65536"):
        comment_body("x" * 65_536, marker("a"))
    assert marker("--> hostile") != marker("a")
    assert "hostile" not in marker("--> hostile")


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
    assert "run: kcd-gen build --offline\n" in ran.log  # the log has the differences, too
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
    assert "updated the comment" in ran.log
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


def test_jenkins_runs_the_check(origin: Path) -> None:
    assert run_jenkins(origin, {}).exit == 0
    change(origin)
    assert run_jenkins(origin, {}).exit == 3
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
    assert "$(params" not in step["script"]  # a parameter is never parsed as shell
    assert run_task(origin, {}, "--offline").exit == 0
    change(origin)
    assert run_task(origin, {}, "--offline").exit == 3


def test_the_task_has_this_version() -> None:
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    assert task["metadata"]["labels"]["app.kubernetes.io/version"] == __version__


def test_by_default_only_the_actions_own_files_are_installed() -> None:
    head = yaml.safe_load(COMPONENT.read_text(encoding="utf-8").split("\n---\n")[0])
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    defaults = [
        ACTION["inputs"]["install-from"]["default"],
        head["spec"]["inputs"]["install-from"]["default"],
        next(one["default"] for one in task["spec"]["params"] if one["name"] == "install-from"),
        *re.findall(r"INSTALL_FROM = '(.*?)'", JENKINSFILE.read_text(encoding="utf-8")),
    ]
    assert defaults == [""] * 4


def test_only_the_step_that_comments_has_the_token() -> None:
    *others, last = ACTION["runs"]["steps"]
    assert "token" not in json.dumps(others).lower()
    assert last["env"]["GITHUB_TOKEN"] == "${{ inputs.token }}"
    assert last["working-directory"] == "${{ runner.temp }}"


def test_the_component_only_passes_the_token_to_the_comment(origin: Path) -> None:
    prefix, seen = origin.parent / "prefix", origin.parent / "seen"
    (prefix / "bin").mkdir(parents=True)
    for name in ("kcd-gen", "kcd-gen-ci"):
        script = f"""echo "$1 ${{KCD_GEN_COMMENT_TOKEN-none}}" >>'{seen}'\nexec '{sys.prefix}/bin/{name}' "$@"\n"""
        (prefix / "bin" / name).write_text(f"#!/bin/sh\n{script}")
        (prefix / "bin" / name).chmod(0o755)
    change(origin)
    build(origin)
    ran = run_component(origin, merge_request(origin, "http://127.0.0.1:9"), prefix=str(prefix))
    assert ran.exit == 0, ran.log
    assert seen.read_text().splitlines() == ["build none", "base none", "diff none", "comment s3cret"]


def test_standard_error_of_the_build_is_escaped(origin: Path, tmp_path: Path) -> None:
    change(origin)
    job = pull_request(origin, tmp_path, inputs={"args": "--nonsense=::error::x##[add-mask]y"})
    _code, steps = job.run()
    assert steps["build"].exit == 2
    assert "--nonsense" in steps["build"].log
    assert runner_commands(steps["build"].log) == []


def test_no_input_is_required() -> None:
    assert all("default" in one and one["description"] for one in ACTION["inputs"].values())
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert used == set(ACTION["inputs"])
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")  # an expression in a script is parsed as shell
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", f"a@{'0' * 40}"))


def test_the_files_from_init_use_known_inputs() -> None:
    inputs = yaml.safe_load(COMPONENT.read_text(encoding="utf-8").split("\n---\n")[0])["spec"]["inputs"]
    item = (ROOT / "templates/init/gitlab-item.yaml.j2").read_text(encoding="utf-8")
    written = set(re.findall(r"^    ([\w-]+):", item, re.MULTILINE))
    assert written
    assert written <= set(inputs)


def test_the_files_are_valid_by_their_schemas(tmp_path: Path) -> None:
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
        (ours,) = [step for step in job["steps"] if "/kcd-gen@" in step.get("uses", "")]
        assert ours["uses"] == OURS  # GitHub does not accept it as a name until it is replaced
        assert ours.get("with", {}).keys() <= ACTION["inputs"].keys()
    assert table("github.md") == set(ACTION["inputs"])


def workflows() -> Iterator[tuple[str, str]]:
    """Yield the workflows that run kcd-gen: those of the pages, and the one that `init` writes."""
    for path in sorted((ROOT / "docs").rglob("*.md")):
        found = re.findall(r"^```yaml[^\n]*\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for number, block in enumerate(found):
            if "\njobs:\n" in block and (OURS in block or "pipx install" in block):
                yield f"{path.stem}-{number}", block.replace(OURS, f"platform/kcd-gen@{INSTALL_FROM[-40:]}")
    template = scaffolds("init").get_template("github.yaml.j2")
    source = install_source(INSTALL_FROM)
    for name, action in (("action", f"platform/kcd-gen@{source.commit}"), ("no-action", None)):
        yield f"init-{name}", template.render(source=source, action=action, branches=["main"], directory="a b")


def test_the_workflows_for_users_have_the_permissions_they_need(tmp_path: Path) -> None:
    directory = tmp_path / ".github/workflows"
    directory.mkdir(parents=True)
    for name, text in workflows():
        (directory / f"{name}.yaml").write_text(text)
        workflow = yaml.safe_load(text)
        assert "pull_request_target" not in workflow[True], name  # `on`, as YAML 1.1 reads it
        for job in workflow["jobs"].values():
            rights = {**workflow["permissions"], **job.get("permissions", {})}
            written = {right for right, how in rights.items() if how == "write"}
            assert written <= {"pull-requests", "security-events"}, name
            for step in job["steps"]:
                assert "${{" not in step.get("run", ""), name
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False, name
    assert len(list(directory.iterdir())) >= 8
    # The pages name versions of actions, not commits.
    (tmp_path / "zizmor.yml").write_text("rules: {unpinned-uses: {config: {policies: {'*': ref-pin}}}}\n")
    audited = [f"{sys.prefix}/bin/zizmor", "--offline", "--no-progress", "--min-severity=medium"]
    audited += ["--config", str(tmp_path / "zizmor.yml"), str(directory), str(ROOT / "action.yml")]
    done = subprocess.run(audited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_run_that_could_be_imported_from_the_checkout() -> None:
    files = [ROOT / "action.yml", *(ROOT / ".github").rglob("*.yaml"), *(ROOT / "docs/how-to").glob("*.md")]
    files += [path for path in (ROOT / "templates").rglob("*") if path.is_file()]
    lines = [line.strip() for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    run = [line for line in lines if re.search(r"python[\d.]*\"? (-\w+ )*-m ", line) and line[0] not in "-`"]
    assert len(run) >= 8
    assert [line for line in run if " -I -m " not in line] == []


def test_the_pipelines_of_the_page(tmp_path: Path) -> None:
    inputs = yaml.safe_load(COMPONENT.read_text(encoding="utf-8").split("\n---\n")[0])["spec"]["inputs"]
    found = blocks("gitlab.md", "yaml")
    assert len(found) == 2
    for number, block in enumerate(found):
        (tmp_path / f"{number}.yml").write_text(block)
        validate("gitlab-ci", tmp_path / f"{number}.yml")
        (included,) = yaml.safe_load(block)["include"]
        assert re.fullmatch(
            r"/\.gitlab/kcd-gen\.yml|gitlab\.example\.com/.*/kcd-gen@[0-9a-f]{40}", next(iter(included.values()))
        )
        assert included["inputs"].keys() <= inputs.keys()
        assert install_source(included["inputs"]["install-from"])
    assert table("gitlab.md") == set(inputs)


def test_the_other_systems_of_the_page() -> None:
    assert blocks("other-ci.md", "groovy") == [JENKINSFILE.read_text(encoding="utf-8")]
    (command,) = blocks("other-ci.md", "bash")
    assert ROOT / command.split()[-1] == TASK
    (pipeline,) = map(yaml.safe_load, blocks("other-ci.md", "yaml"))
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    (used,) = [one for one in pipeline["spec"]["tasks"] if one["taskRef"]["name"] == task["metadata"]["name"]]
    assert {one["name"] for one in used["workspaces"]} == {one["name"] for one in task["spec"]["workspaces"]}
    assert {one["name"] for one in used["params"]} <= {one["name"] for one in task["spec"]["params"]}
    assert all(f"`{one['name']}`" in page("other-ci.md") for one in task["spec"]["params"])
