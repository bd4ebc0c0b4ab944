"""A suspended Release provides its roles as long as its HelmReleases are in the output."""

from __future__ import annotations

import pytest

from tests.support.charts import commit_all, git
from tests.support.workspace import Outcome, Workspace, helm_releases, kcd_gen

DB = {"name": "db-main", "namespace": "default"}
NEEDS = "dependencies: [database]\n"


@pytest.fixture
def db(workspace: Workspace) -> Workspace:
    """A provider and a Release that depends on it, built, committed and then suspended."""
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    workspace.release("db", "roles: [database]\n")
    workspace.release("app", NEEDS)
    assert run(workspace, "build").exit == 0
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    workspace.release("db", "roles: [database]\nsuspended: true\n")
    return workspace


def run(workspace: Workspace, *arguments: str) -> Outcome:
    return kcd_gen(*arguments, "--offline", directory=workspace.root)


def depends_on(workspace: Workspace, name: str) -> object:
    return helm_releases(workspace.output)[f"default/{name}-main"].get("dependsOn")


def test_others_depend_on_the_helm_releases_that_are_kept(db: Workspace) -> None:
    db.release("web", NEEDS)
    outcome = run(db, "build")
    assert outcome.exit == 0, outcome.text
    assert (
        "sources/default-db.yaml:7:3: note[suspended-provider]: default/db is suspended, but default/app, "
        in outcome.err
    )
    assert depends_on(db, "app") == depends_on(db, "web") == [DB]
    commit_all(db.root)
    assert run(db, "build", "--check").exit == 0
    assert run(db, "lint").exit == run(db, "diff", "--ref", "HEAD~1").exit == 0


def test_diff_reads_the_output_of_the_revision(db: Workspace) -> None:
    assert run(db, "build").exit == 0
    commit_all(db.root)
    db.release("web", NEEDS)
    outcome = run(db, "diff", "--ref", "HEAD")
    assert outcome.exit == 0, outcome.text
    assert "dependsOn" not in outcome.out.partition("default/web")[0]
    assert "+ spec.dependsOn[0].name: db-main" in outcome.out


def test_a_release_that_was_never_written_provides_nothing(db: Workspace) -> None:
    db.release("cache", "roles: [cache]\nsuspended: true\n")
    db.release("app", "dependencies: [cache]\n")
    outcome = run(db, "build")
    assert outcome.exit == 1
    assert "error[unmet-role]: default/app depends on the role 'cache': default/cache would provide it" in outcome.err
    assert "is suspended" in outcome.err


def test_a_helm_release_that_flux_has_suspended_provides_nothing(db: Workspace) -> None:
    override = "moduleOverrides: [{module: main, specPatch: {suspend: true}}]\n"
    db.release("db", f"roles: [database]\n{override}")
    assert run(db, "build").exit == 0
    db.release("db", f"roles: [database]\nsuspended: true\n{override}")
    assert "error[unmet-role]" in run(db, "build").err


def test_an_active_release_and_a_config_take_precedence(db: Workspace) -> None:
    db.release("other", "roles: [database]\n")
    outcome = run(db, "build")
    assert (outcome.exit, "suspended-provider" in outcome.err) == (0, False)
    assert depends_on(db, "app") == [{"name": "other-main", "namespace": "default"}]
    (db.root / "sources/default-other.yaml").unlink()
    db.source(
        "config.yaml",
        """
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Config
        metadata: {name: conf, namespace: kubocd}
        spec: {clusterRoles: [database]}
        """,
    )
    assert run(db, "build").exit == 0
    assert depends_on(db, "app") is None


def test_a_cycle_through_the_kept_helm_releases_is_an_error(db: Workspace) -> None:
    db.release("db", "roles: [database]\ndependencies: [disks]\n")
    db.release("disks", "roles: [disks]\n")
    assert run(db, "build").exit == 0
    db.release("db", "roles: [database]\nsuspended: true\n")
    db.release("disks", f"roles: [disks]\n{NEEDS}")
    outcome = run(db, "build")
    assert outcome.exit == 1
    assert "error[dependency-cycle]" in outcome.err
    assert "default/disks -> default/db -> default/disks" in outcome.err


def test_a_file_that_cannot_be_kept_provides_nothing(db: Workspace) -> None:
    (db.output / "flux/default/db.yaml").write_text("kind: Secret\n")
    outcome = run(db, "build", "--keep-going")
    assert outcome.exit == 1
    assert "error[unmet-role]" in outcome.err
    assert "error[suspended-output]" in outcome.err
