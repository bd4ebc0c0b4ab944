"""Every terminal session in the documentation is run: here, or by a test named below."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.charts import commit_all, git
from tests.support.quickstart import QUICKSTART
from tests.support.sessions import IN_THE_CLUSTER, ROOT, Block, Stage, all_pages, blocks, fits, run_page, steps
from tests.support.workspace import kcd_gen

SetUp = Callable[[Path], Stage]


def empty_directory(directory: Path) -> Stage:
    """Set up nothing: the page starts from an empty directory and copies files of this project from here."""
    return Stage({"CHECKOUT": str(ROOT)}, {"--port 8080": "--port 0", "127.0.0.1:8080": "127.0.0.1:…"})


def tutorial_repository(directory: Path) -> Stage:
    """Commit the tutorial's files, compiled and locked."""
    shutil.copytree(QUICKSTART / "chart", directory / "charts")
    for block in blocks("docs/tutorial.md"):
        if block.is_file:
            path = directory / block.title.removeprefix("platform/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    packaging = "package packages/podinfo.yaml --repo-prefix quay.io/acme/packages --output vendor/packages"
    for command in (packaging, "lock", "build"):
        assert kcd_gen(*command.split(), directory=directory).exit == 0
    shutil.rmtree(directory / ".git")  # with the tutorial's hook
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit_all(directory)
    return Stage()


def quickstart_with_another_host(directory: Path) -> Stage:
    """Commit the quickstart's directory, and leave a change uncommitted."""
    if not directory.joinpath("kcd-gen.yaml").exists():
        shutil.copytree(QUICKSTART, directory, dirs_exist_ok=True)
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit_all(directory)
    release = directory / "cluster/releases/podinfo1.yaml"
    release.write_text(release.read_text().replace("fqdn: podinfo1.", "fqdn: shop."))
    return Stage()


def built_quickstart(directory: Path) -> Stage:
    """Set up the same, with an output in the directory that does not have the change."""
    shutil.copytree(QUICKSTART, directory, dirs_exist_ok=True)
    project = directory / "kcd-gen.yaml"
    project.write_text(project.read_text().replace("../../.demo/output", "output"))
    assert kcd_gen("build", "--quiet", directory=directory).exit == 0
    return quickstart_with_another_host(directory)


def quickstart_with_output(directory: Path) -> Stage:
    """Commit the quickstart's directory, with its output in the checkout."""
    shutil.copytree(QUICKSTART, directory, dirs_exist_ok=True)
    project = directory / "kcd-gen.yaml"
    project.write_text(project.read_text().replace("../../.demo/output", "output"))
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit_all(directory)
    return Stage()


# How to set up a page's directory in order to run the page from top to bottom.
RUN_HERE: dict[str, SetUp] = {
    "docs/diff.md": quickstart_with_another_host,
    "docs/how-to/shards.md": built_quickstart,
    "docs/performance.md": quickstart_with_output,
    "docs/tutorial.md": empty_directory,
    "docs/under-the-hood.md": tutorial_repository,
}
# Pages with their own test, because they need more than a directory.
RUN_ELSEWHERE = {
    "README.md": "tests/acceptance/test_readme.py",
    "docs/helm.md": "tests/acceptance/test_compare_helm.py",
    "docs/deploying.md": "tests/acceptance/test_deploying_page.py",
    "docs/how-to/air-gap.md": "tests/acceptance/test_how_to_pages.py",
    "docs/how-to/editors.md": "tests/acceptance/test_editors.py",
    "docs/how-to/from-the-controller.md": "tests/acceptance/test_how_to_pages.py",
    "docs/how-to/monorepo.md": "tests/acceptance/test_how_to_pages.py",
    "docs/how-to/other-ci.md": "tests/acceptance/test_ci_integrations.py",
    "docs/how-to/package-author.md": "tests/acceptance/test_how_to_pages.py",
    "docs/how-to/private-registry.md": "tests/acceptance/test_how_to_pages.py",
    "docs/how-to/several-clusters.md": "tests/acceptance/test_how_to_pages.py",
    "docs/how-to/pre-commit.md": "tests/acceptance/test_pre_commit.py",
    "docs/how-to/watch.md": "tests/acceptance/test_watch.py",
    "docs/init.md": "tests/acceptance/test_init_page.py",
    "docs/lint.md": "tests/acceptance/test_lint.py",
    "docs/lock.md": "tests/acceptance/test_registry.py",
    "docs/migration.md": "tests/acceptance/test_migrate.py",
    "docs/packages.md": "tests/acceptance/test_packages_page.py",
    "docs/serve.md": "tests/server/test_serve.py",
    "docs/terminal.md": "tests/acceptance/test_completion.py",
    "docs/serving.md": "tests/server/test_serving_page.py",
}


LONG = ("docs/tutorial.md", "docs/under-the-hood.md")  # run only in CI


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in RUN_HERE]
)
def test_a_page_shows_the_real_output(page: str, tmp_path: Path) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    stage = RUN_HERE[page](directory)
    assert run_page(page, directory, stage) == sum(
        len(list(steps(block))) if block.language == "console" else 1 for block in blocks(page) if block.is_session
    )


def test_every_page_with_commands_is_run() -> None:
    with_commands = {page for page in all_pages() if any(block.is_session for block in blocks(page))}
    assert with_commands == set(RUN_HERE) | set(RUN_ELSEWHERE)
    for page, test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8"), f"{test} does not read {page}"


def test_a_skipped_block_needs_a_cluster() -> None:
    for page in all_pages():
        for block in blocks(page):
            if block.title == IN_THE_CLUSTER:
                assert not block.text.startswith(("kcd-gen", "$ kcd-gen")), (page, block.line)
                assert any(word in block.text for word in ("kubectl", "flux")), (page, block.line)


def test_no_session_is_in_a_block_of_another_language() -> None:
    """A `$ kcd-gen` in a block without a language would never be run."""
    for page in all_pages():
        for block in blocks(page):
            if not block.is_session:
                assert "$ kcd-gen" not in block.text, (page, block.line)


def page(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Write a page with this content, for the tests of the test helpers."""
    monkeypatch.setattr("tests.support.sessions.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(text)
    (tmp_path / "here").mkdir()
    return "page.md"


def test_a_page_is_one_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = page(
        '```yaml title="a/b.yaml"\nx: 1\n```\n'
        "- in a list\n\n    ```console\n    $ cd a\n    $ cat b.yaml && false\n    x: 1\n"
        "    $ echo $?\n    1\n    ```\n\n"
        "```sh\nY=2\n```\n"
        "```console\n$ cat <<END\n> $Y\n> END\n2\n$ echo one; echo two; echo three\n…\nt…ee\n```\n"
        '```console title="in the cluster"\n$ kubectl get nothing\n```\n',
        monkeypatch,
        tmp_path,
    )
    assert run_page(name, tmp_path / "here") == 6


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ echo one\n```\n",
        "```console\n$ true\none\n```\n",
        "```sh\nfalse\n```\n",
    ],
)
def test_a_page_with_other_output_is_reported(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = page(text, monkeypatch, tmp_path)
    with pytest.raises(AssertionError, match=r"page\.md, the block in line 1"):
        run_page(name, tmp_path / "here")


def test_an_ellipsis_matches_omitted_output() -> None:
    assert fits("sha256:abc\nmore\nend\n", "sha256:…\n…\nend\n")
    assert fits("end\n", "…\nend\n")
    assert not fits("sha256:abc\nother\n", "sha256:…\n")
    assert not fits("a.c\n", "abc\n")


def test_a_block_is_classified_by_language_and_title() -> None:
    assert Block("yaml", "kcd-gen.yaml", "", 1).is_file
    assert not Block("yaml", IN_THE_CLUSTER, "", 1).is_file
    assert not Block("sh", IN_THE_CLUSTER, "", 1).is_session
