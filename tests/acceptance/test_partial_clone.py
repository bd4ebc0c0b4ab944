"""`diff` and `build --check` in clones that lack the content of other revisions (`git clone --filter`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.charts import commit_all, git
from tests.support.workspace import Outcome, Workspace, kcd_gen

PROJECT = (
    "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: packages}}\n"
    "clusters:\n- {{name: a, sources: [sources], output: output, repositoryURL: http://{host}}}\n"
)


@pytest.fixture
def server(workspace: Workspace) -> Workspace:
    """A repository with 20 Releases, of which five are suspended, and four symlinks; a branch changes everything."""
    (workspace.root / "shared").mkdir()
    for number in range(4):
        workspace.release(f"s{number}")
        file = workspace.root / f"sources/default-s{number}.yaml"
        file.rename(workspace.root / f"shared/{file.name}")
        file.symlink_to(f"../shared/{file.name}")
    for change in ("one", "two"):
        for number in range(16):
            suspended = "suspended: true\n" if number < 5 and change == "two" else ""
            workspace.release(f"r{number}", f"{suspended}parameters: {{host: {change}}}\n")
        if change == "two":
            for number in range(4):
                link = workspace.root / f"sources/default-s{number}.yaml"
                link.unlink()
                link.symlink_to(f"../shared/./{link.name}")
        (workspace.root / "kcd-gen.yaml").write_text(PROJECT.format(host=change))
        assert kcd_gen("build", "--offline", directory=workspace.root).exit == 0
        if change == "one":
            (workspace.root / ".gitignore").write_text(".cache\n")
            git(workspace.root, "init", "--quiet", "--initial-branch=main")
        else:
            git(workspace.root, "checkout", "--quiet", "-b", "topic")
        commit_all(workspace.root)
    git(workspace.root, "symbolic-ref", "HEAD", "refs/heads/main")
    for name in ("allowFilter", "allowAnySHA1InWant"):
        git(workspace.root, "config", f"uploadpack.{name}", "true")
    return workspace


@pytest.fixture
def clone(server: Workspace, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a filter, by default that of blobs."""
    directory = tmp_path_factory.mktemp("clone") / "clone"
    filter_ = getattr(request, "param", "blob:none")
    git(
        server.root,
        "clone",
        "--quiet",
        "--branch=topic",
        f"--filter={filter_}",
        f"file://{server.root}",
        str(directory),
    )
    return directory


def traced(directory: Path, *arguments: str) -> tuple[Outcome, int]:
    """Run kcd-gen; return its outcome and the number of fetches."""
    trace = directory.parent / "trace"
    outcome = kcd_gen(*arguments, directory=directory, environment={"GIT_TRACE": str(trace)})
    return outcome, trace.read_text().count("built-in: git fetch --quiet")


@pytest.mark.parametrize("clone", ["blob:none", "tree:0", "blob:limit=10"], indirect=True)
def test_the_number_of_fetches_does_not_depend_on_the_number_of_files(server: Workspace, clone: Path) -> None:
    expected = kcd_gen("diff", "--offline", "--ref", "main", directory=server.root)
    assert expected.exit == 0, expected.err
    outcome, fetches = traced(clone, "diff", "--ref", "origin/main")
    assert outcome.out == expected.out.replace("compared with main", "compared with origin/main")
    assert fetches <= 5  # trees, project file, symlinks, sources, output of suspended Releases
    outcome, fetches = traced(clone, "diff", "--offline", "--ref", "origin/main")
    assert outcome.exit == 0, outcome.err


def test_the_output_of_suspended_releases_is_fetched_at_once(clone: Path) -> None:
    outcome, fetches = traced(clone, "build", "--check")
    assert outcome.err.count("HelmRelease") == 0, outcome.err
    assert fetches == 1


@pytest.mark.parametrize("clone", ["blob:none", "tree:0"], indirect=True)
def test_offline_the_error_names_the_partial_clone_and_a_command_that_completes_it(clone: Path) -> None:
    for command in (("diff", "--ref", "origin/main"), ("build", "--check")):
        outcome = kcd_gen(*command, "--offline", directory=clone)
        assert outcome.exit == 1
        assert "is not in this partial clone, and --offline prevents fetching it" in outcome.err
    completing = outcome.err.rpartition("first run: git ")[2].splitlines()[0]
    git(clone, *completing.split())
    outcome = kcd_gen("diff", "--offline", "--ref", "origin/main", directory=clone)
    assert outcome.exit == 0, outcome.err
