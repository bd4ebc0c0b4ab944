"""The jobs of docs/how-to/shards.md: valid, and their commands do what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.charts import commit_all, git
from tests.support.pod_security import violations
from tests.support.workspace import Workspace, files_below, kcd_gen

PAGE = Path(__file__).parents[2] / "docs/how-to/shards.md"
PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
packages: {vendor: packages}
clusters: [{name: prod, sources: [sources], output: output}]
"""
COUNT = 9  # Releases


def documents() -> list[dict[str, Any]]:
    """Return the jobs of the page, in its order."""
    found = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [yaml.safe_load(block) for block in found]


GITHUB, GITLAB, SHARDS_JOB, MERGE_JOB, WORKFLOW = documents()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a project and its output, as one build writes it."""
    workspace = Workspace(tmp_path_factory.mktemp("origin"))
    workspace.package()
    for number in range(COUNT):
        workspace.release(f"web{number}", f"parameters: {{replicas: {number}}}\nroles: [r{number}]\n")
    workspace.release("last", "dependencies: [r1, r5]\n")
    (workspace.root / "kcd-gen.yaml").write_text(PROJECT)
    (workspace.root / ".gitignore").write_text(".cache\n*.shard\n")
    assert kcd_gen("build", "--offline", directory=workspace.root).exit == 0
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    return workspace.root


def head(repository: Path) -> str:
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def clone(origin: Path, directory: Path) -> Path:
    git(origin, "clone", "--quiet", str(origin), str(directory))
    return directory


def shell(script: str, directory: Path, **variables: str) -> str:
    """Run a script as a job does, and return what it prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KCD_", "CI_"))}
    path = f"{sys.prefix}/bin:{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-ec", script],
        cwd=directory,
        env={**clean, "PATH": path, "KCD_GEN_OFFLINE": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def assert_merged(printed: str) -> None:
    assert f"{COUNT + 1} Releases restored from 4 shards" in printed


def validate(schema: str, document: object, path: Path) -> None:
    path.write_text(json.dumps(document))
    command = [f"{sys.prefix}/bin/check-jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_files_are_valid_by_their_schemas(tmp_path: Path) -> None:
    assert {str(key) for key in GITHUB} == {"name", "True", "permissions", "jobs"}  # `on`, as YAML 1.1 reads it
    validate(
        "github-workflows",
        {"on" if str(key) == "True" else key: value for key, value in GITHUB.items()},
        tmp_path / "a.json",
    )
    validate("gitlab-ci", GITLAB, tmp_path / "b.json")


def test_the_workflow_of_github(origin: Path, tmp_path: Path) -> None:
    """Its artifacts are directories, which the merge gets as one."""
    shard, merge = GITHUB["jobs"]["shard"], GITHUB["jobs"]["merge"]
    (compile_step,) = [step for step in shard["steps"] if step.get("run", "").startswith("kcd-gen")]
    (merge_step,) = [step for step in merge["steps"] if step.get("run", "").startswith("kcd-gen")]
    (upload,) = [step for step in shard["steps"] if "upload" in step.get("uses", "")]
    (download,) = [step for step in merge["steps"] if "download" in step.get("uses", "")]
    assert upload["with"]["path"] == download["with"]["path"] == "${{ runner.temp }}/shards"
    for index in shard["strategy"]["matrix"]["index"]:
        number = shard["env"]["KCD_GEN_SHARD"].replace("${{ matrix.index }}", str(index))
        machine = clone(origin, tmp_path / f"machine{index}")
        shell(compile_step["run"], machine, RUNNER_TEMP=str(tmp_path), KCD_GEN_SHARD=number, HOME=str(tmp_path))
    printed = shell(merge_step["run"], clone(origin, tmp_path / "merge"), RUNNER_TEMP=str(tmp_path), HOME=str(tmp_path))
    assert_merged(printed)


def test_the_pipeline_of_gitlab(origin: Path, tmp_path: Path) -> None:
    """Its artifacts are extracted in the checkout."""
    variables = {"KCD_GEN_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    merge = clone(origin, tmp_path / "merge")
    (artifacts,) = GITLAB["shard"]["artifacts"]["paths"]
    count = GITLAB["shard"]["parallel"]
    for index in range(1, count + 1):
        machine = clone(origin, tmp_path / f"machine{index}")
        own = {"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(count)}
        shell("\n".join(GITLAB["shard"]["script"]), machine, **variables, **own)
        for path in (machine / artifacts).iterdir():
            (merge / artifacts).mkdir(exist_ok=True)
            (merge / artifacts / path.name).write_bytes(path.read_bytes())
    assert_merged(shell("\n".join(GITLAB["merge"]["script"]), merge, **variables))
    assert GITLAB["merge"]["needs"] == ["shard"]


def pods() -> Iterator[Mapping[str, Any]]:
    for job in (SHARDS_JOB, MERGE_JOB):
        yield job["spec"]["template"]["spec"]
    (template,) = [one for one in WORKFLOW["spec"]["templates"] if "container" in one]
    yield {
        "securityContext": WORKFLOW["spec"]["securityContext"],
        "containers": [template["container"]],
        "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": "a"}}],
    }


def test_the_pods_meet_the_restricted_standard() -> None:
    for spec in pods():
        assert violations(spec) == []
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def run_pod(spec: Mapping[str, Any], origin: Path, directory: Path, **variables: str) -> str:
    """Run the containers of a pod with its volumes in `directory`."""
    printed = ""
    for container in (*spec["initContainers"], *spec["containers"]):
        (script,) = container["args"]
        assert container["command"] == ["sh", "-ec"]
        workdir = directory / container["workingDir"].removeprefix("/")
        workdir.mkdir(parents=True, exist_ok=True)
        assert {one["name"] for one in container["env"]} == {"REPOSITORY", "COMMIT", "HOME"}
        own = {"REPOSITORY": str(origin), "COMMIT": head(origin), "HOME": str(directory)}
        printed = shell(script.replace("/shared", str(directory.parent / "shared")), workdir, **own, **variables)
    return printed


def test_the_jobs_of_kubernetes(origin: Path, tmp_path: Path) -> None:
    spec = SHARDS_JOB["spec"]
    assert spec["completionMode"] == "Indexed"
    names = {container["name"] for container in spec["template"]["spec"]["containers"]}
    assert {rule["onExitCodes"]["containerName"] for rule in spec["podFailurePolicy"]["rules"]} <= names
    for index in range(spec["completions"]):
        run_pod(spec["template"]["spec"], origin, tmp_path / f"pod{index}", JOB_COMPLETION_INDEX=str(index))
    assert_merged(run_pod(MERGE_JOB["spec"]["template"]["spec"], origin, tmp_path / "merge"))


def test_the_workflow_of_argo(origin: Path, tmp_path: Path) -> None:
    templates = {one["name"]: one for one in WORKFLOW["spec"]["templates"]}
    first, second = (step for (step,) in templates[WORKFLOW["spec"]["entrypoint"]]["steps"])
    worker = templates[first["template"]]
    sequence = first["withSequence"]
    numbers = range(int(sequence["start"]), int(sequence["end"]) + 1)
    shared = str(tmp_path / "shared")
    flags = [first["arguments"]["parameters"][0]["value"].replace("{{item}}", str(number)) for number in numbers]
    flags.append(second["arguments"]["parameters"][0]["value"])
    printed = ""
    for number, one in enumerate(flags):
        machine = clone(origin, tmp_path / f"pod{number}")
        (script,) = worker["container"]["args"]
        printed = shell(script, machine, FLAGS=one.replace("/shared", shared), HOME=str(tmp_path))
    assert_merged(printed)


def test_the_jobs_leave_the_output_as_one_build_writes_it(origin: Path, tmp_path: Path) -> None:
    before = files_below(origin / "output")
    checkout = clone(origin, tmp_path / "checkout")
    for index in (1, 2):
        shell(f"kcd-gen build --shard {index}/2 --shard-file shards", checkout, HOME=str(tmp_path))
    git(checkout, "rm", "-r", "--quiet", "output")
    shell("kcd-gen build --merge shards", checkout, HOME=str(tmp_path))
    assert files_below(checkout / "output") == before
