"""A repository whose changes CI checks: the built quickstart on `main`, and the branch `change` to be merged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.support.charts import commit_all, git
from tests.support.ci_systems import ROOT, GitHubJob
from tests.support.workspace import kcd_gen

PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters: [{name: prod, sources: [cluster], output: deploy}]
packages: {vendor: packages}
"""
COMMENTS = "/repos/acme/platform/issues/7/comments"
NOTES = "/projects/3/merge_requests/8/notes"


def quickstart(directory: Path, project: str = ".") -> Path:
    """Create a repository with the built quickstart in `project` on main; the branch `change` is checked out."""
    source = ROOT / "fixtures/quickstart"
    for name in ("cluster", "packages"):
        shutil.copytree(source / name, directory / project / name)
    (directory / project / "kcd-gen.yaml").write_text(PROJECT)
    git(directory, "init", "--quiet", "--initial-branch=main")
    build(directory / project)
    commit_all(directory)
    git(directory, "checkout", "--quiet", "-b", "change")
    return directory


def build(directory: Path) -> None:
    assert kcd_gen("build", "--offline", directory=directory).exit == 0
    shutil.rmtree(directory / ".cache", ignore_errors=True)


def change(directory: Path, old: str = "fqdn: podinfo1.", new: str = "fqdn: shop.") -> None:
    release = directory / "cluster/releases/podinfo1.yaml"
    release.write_text(release.read_text().replace(old, new))


def commit_of(directory: Path, name: str) -> str:
    return git(directory, "rev-parse", name).strip()


def pull_request(origin: Path, tmp_path: Path, **given: Any) -> GitHubJob:
    """Return the job for the branch `change`: like actions/checkout, a clone of depth 1 of GitHub's merge commit."""
    commit_all(origin)
    base, head = commit_of(origin, "main"), commit_of(origin, "change")
    git(origin, "checkout", "--quiet", "-b", "merge", "main")
    git(origin, "merge", "--quiet", "--no-ff", "-m", "merge", "change")
    workspace = tmp_path / "workspace"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=merge", f"file://{origin}", str(workspace))
    event = {"base.sha": base, "head.sha": head, "number": "7"}
    expressions = {f"github.event.pull_request.{name}": value for name, value in event.items()}
    return GitHubJob(workspace, tmp_path / "runner", expressions, **given)


def merge_request(origin: Path, api: str) -> dict[str, str]:
    commit_all(origin)
    return {
        "CI_API_V4_URL": api,
        "CI_MERGE_REQUEST_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "8",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": commit_of(origin, "main"),
        "KCD_GEN_COMMENT_TOKEN": "s3cret",
    }
