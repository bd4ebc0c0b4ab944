"""A suspended Release keeps its HelmReleases in the output, and no pull request changes them there unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git import repository
from tests.support.charts import commit_all, git
from tests.support.git_traps import RecordingGit
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, files_below, kcd_gen

SUSPENDED = "suspended: true\nparameters: {replicas: 2, host: a.example.com}\n"
ACTIVE = SUSPENDED.partition("\n")[2]
FILE = "output/flux/default/web.yaml"
BINDING = (
    "---\napiVersion: rbac.authorization.k8s.io/v1\nmetadata:\n  name: web-main\n"
    "  annotations: {x: '\nkind: HelmRelease\n'}\nkind: ClusterRoleBinding\n"
    "roleRef: {kind: ClusterRole, name: cluster-admin}\n"
)

Edit = Callable[[str], str]


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    """A project with a suspended and an active Release, built and committed to `main`."""
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    workspace.package()
    workspace.release("web", ACTIVE)
    workspace.release("web-shop")
    assert run(workspace, "build").exit == 0
    workspace.release("web", SUSPENDED)
    assert run(workspace, "build").exit == 0
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    return workspace


def run(workspace: Workspace, *arguments: str) -> Outcome:
    return kcd_gen(*arguments, "--offline", directory=workspace.root)


def edit(workspace: Workspace, change: Edit, *, record: bool) -> None:
    """Change the output file, and with `record` also its digest in the inventory."""
    path = workspace.root / FILE
    before = path.read_bytes()
    path.write_text(change(before.decode()))
    if record:
        inventory = workspace.output / ".kcd-gen/default/web.list"
        old, new = (hashlib.sha256(data).hexdigest() for data in (before, path.read_bytes()))
        inventory.write_text(inventory.read_text().replace(old, new))


def test_an_unedited_output_is_up_to_date_and_has_no_difference(web: Workspace) -> None:
    assert run(web, "build", "--check").text == "exit 0\noutput is up to date\n"
    assert run(web, "diff", "--exit-code").text == "exit 0\n"


EDITS: dict[str, tuple[Edit, str]] = {
    "a value": (lambda text: text.replace("a.example.com", "evil.example.com"), "+ spec.values.host: evil.example.com"),
    "a chart": (lambda text: text.replace("chart: main", "chart: evil"), "+ chart evil 1.0.0 (web-main)"),
    "a post renderer": (
        lambda text: text.replace("  releaseName:", "  postRenderers:\n  - kustomize: {}\n  releaseName:"),
        "+ spec.postRenderers[0].kustomize: {}",
    ),
    "another cluster": (
        lambda text: text.replace("  releaseName:", "  kubeConfig: {secretRef: {name: x}}\n  releaseName:"),
        "+ spec.kubeConfig.secretRef.name: x",
    ),
    "one more": (lambda text: text + helm_release(text).replace("web-main", "web-more"), "+ HelmRelease web-more"),
    "one less": (lambda text: text.replace(helm_release(text), ""), "- HelmRelease web-main"),
}


def helm_release(text: str) -> str:
    return "---\n" + text.split("---\n")[-1]


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_that_is_a_helm_release_of_the_release_is_refused_and_shown(web: Workspace, name: str) -> None:
    change, shown = EDITS[name]
    edit(web, change, record=False)
    edited = files_below(web.output)
    for flags in ((), ("--check",), ("--dry-run",)):
        outcome = run(web, "build", *flags)
        assert outcome.exit == 1
        assert f"{FILE}: error[suspended-output]: " in outcome.err
        assert "changed after kcd-gen wrote it" in outcome.err
    assert files_below(web.output) == edited
    outcome = run(web, "diff")
    assert shown in outcome.out
    assert "[suspended-output-changed]" in outcome.out


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_file_and_inventory_is_refused_and_shown(web: Workspace, name: str) -> None:
    change, shown = EDITS[name]
    git(web.root, "checkout", "--quiet", "-b", "feature")
    edit(web, change, record=True)
    commit_all(web.root)
    outcome = run(web, "build", "--check")
    assert outcome.exit == 1
    assert f"{FILE}: error[suspended-output]: " in outcome.err
    assert "git checkout " in outcome.err
    for form in ("text", "markdown", "json", "html"):
        outcome = run(web, "diff", "--format", form)
        assert outcome.exit == 0
        assert "suspended-output-changed" in outcome.out
    assert shown in run(web, "diff").out


@pytest.mark.parametrize("record", [False, True])
def test_another_resource_is_refused_at_its_position(web: Workspace, *, record: bool) -> None:
    line = (web.root / FILE).read_text().count("\n") + BINDING.count("\n") - 1  # of its `kind`
    edit(web, lambda text: text + BINDING, record=record)
    for command in (("build",), ("build", "--check"), ("diff",)):
        outcome = run(web, *command)
        assert outcome.exit == 1
        assert f"{FILE}:{line}:1: error[suspended-output]: " in outcome.err
        assert "'ClusterRoleBinding' of 'rbac.authorization.k8s.io/v1'" in outcome.err


def test_a_helm_release_name_of_another_release_is_refused(web: Workspace) -> None:
    edit(web, lambda text: text + helm_release(text).replace("name: web-main", "name: web-shop-main"), record=True)
    outcome = run(web, "build")
    assert outcome.exit == 1
    assert "the HelmRelease 'web-shop-main' belongs to default/web-shop" in outcome.err


def test_a_removed_file_is_not_recreated_without_its_helm_releases(web: Workspace) -> None:
    (web.root / FILE).unlink()
    outcome = run(web, "build")
    assert (outcome.exit, (web.root / FILE).exists()) == (1, False)
    assert "the file was removed after kcd-gen wrote it" in outcome.err
    (web.output / ".kcd-gen/default/web.list").unlink()
    outcome = run(web, "build", "--check")
    assert outcome.exit == 1
    assert "HelmRelease 'web-main' was removed since" in outcome.err
    assert "- HelmRelease web-main" in run(web, "diff").out


def test_suspending_an_unedited_release_shows_no_other_change(web: Workspace) -> None:
    web.release("web-shop", "suspended: true")
    for _ in range(2):
        outcome = run(web, "diff")
        assert outcome.out.splitlines()[:3] == ["~ default/web-shop", "    - suspended: false", "    + suspended: true"]
        assert "HelmRelease" not in outcome.out
        assert run(web, "build").exit == 0
    assert run(web, "build", "--check").exit == 0


def test_suspending_a_release_and_editing_it_shows_the_edit(web: Workspace) -> None:
    web.release("web-shop", "suspended: true")
    path = web.root / FILE.replace("web", "web-shop")
    path.write_text(path.read_text().replace("replicas: 1", "replicas: 9"))
    (web.output / ".kcd-gen/default/web-shop.list").unlink()
    assert "+ spec.values.replicas: 9" in run(web, "diff").out
    assert "HelmRelease 'web-shop-main' was changed since" in run(web, "build", "--check").err


def test_resuming_a_release_shows_its_new_output(web: Workspace) -> None:
    web.release("web", ACTIVE.replace("replicas: 2", "replicas: 3"))
    text = run(web, "diff").out
    assert "- spec.values.replicas: 2\n    + spec.values.replicas: 3" in text
    assert "dangers" not in text
    assert run(web, "build").exit == 0


def test_a_new_package_only_changes_the_sources_of_a_suspended_release(web: Workspace) -> None:
    written = helm_release((web.root / FILE).read_text())
    manifest = WEB_MANIFEST.replace("tag: 1.0.0", "tag: 2.0.0").replace("name: main", "name: other")
    web.package(manifest, reference=WEB.replace("1.0.0", "2.0.0"))
    web.release("web", SUSPENDED, package=WEB.replace("1.0.0", "2.0.0"))
    assert run(web, "build").exit == 0
    assert helm_release((web.root / FILE).read_text()) == written
    assert run(web, "build", "--check").exit == 0


def test_without_git_only_the_inventory_counts(web: Workspace, tmp_path: Path) -> None:
    (web.root / ".git").rename(tmp_path / "gone")
    outcome = run(web, "build", "--check")
    assert outcome.exit == 0
    assert "note[suspended-output]: " in outcome.err
    edit(web, EDITS["a value"][0], record=False)
    assert run(web, "build", "--check").exit == 1


def test_a_repository_that_git_cannot_use_is_an_error(web: Workspace, tmp_path_factory: pytest.TempPathFactory) -> None:
    foreign = RecordingGit(tmp_path_factory.mktemp("bin") / "git", GIT_TEST_ASSUME_DIFFERENT_OWNER="1").path
    outcome = kcd_gen("build", "--check", "--offline", directory=web.root, environment={"PATH": foreign})
    assert outcome.exit == 1
    assert "error[git-failed]: git cannot use the repository" in outcome.err
    assert "safe.directory" in outcome.err


def test_an_output_that_git_ignores_is_compared_with_its_inventory(web: Workspace) -> None:
    git(web.root, "rm", "-r", "--quiet", "--cached", "output")
    (web.root / ".gitignore").write_text("output/\n")
    commit_all(web.root)
    outcome = run(web, "build", "--check")
    assert outcome.exit == 0
    assert "Git ignores the output" in outcome.err
    assert run(web, "diff", "--exit-code").exit == 0


@pytest.mark.parametrize("error", [ProblemsError.of("git-failed", "Git failed"), BudgetExceededError("cpu-time", 1)])
def test_an_error_of_the_comparison_is_not_reduced_to_a_note(web: Workspace, error: ProblemsError) -> None:
    with mock.patch.object(repository, "find_repository", side_effect=error):
        outcome = run(web, "build", "--check")
    assert outcome.exit == 1
    assert f"error[{error.problem.code}]: " in outcome.err


def test_an_output_that_is_a_broken_symlink_out_of_the_repository_is_refused(web: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    checkout = Workspace(tmp_path / "checkout")
    for name in ("kcd-gen.yaml", "sources", "packages", "output", ".git"):
        checkout.root.mkdir(exist_ok=True)
        (web.root / name).rename(checkout.root / name)
    (checkout.root / "elsewhere").symlink_to(outside / "missing")
    outcome = run(checkout, "build", "--check", "--output", "elsewhere", "--allow-outside", str(outside))
    assert outcome.exit == 1
    assert "elsewhere: error[symlinked-output]: " in outcome.err


def test_with_keep_going_the_other_releases_are_written(web: Workspace) -> None:
    edit(web, EDITS["a value"][0], record=False)
    edited = (web.root / FILE).read_text()
    web.release("web-shop", "parameters: {replicas: 5}")
    outcome = run(web, "build", "--keep-going")
    assert outcome.exit == 1
    assert (web.root / FILE).read_text() == edited
    assert "replicas: 5" in (web.root / FILE.replace("web", "web-shop")).read_text()
