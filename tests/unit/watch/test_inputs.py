from __future__ import annotations

import subprocess
from pathlib import Path

from kubocd_gen.model.delivery import Delivery
from kubocd_gen.model.project import STDIN, Cluster, Project, RenderedSource
from kubocd_gen.watch.inputs import watched
from kubocd_gen.watch.scan import scan


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(project: Project, root: Path) -> set[str]:
    """Return the existing files that are watched, relative to `root`."""
    states = scan(watched(project, root / "kcd-gen.yaml")).states
    return {Path(path).relative_to(root).as_posix() for path, state in states.items() if state}


def test_the_inputs_are_those_of_a_build(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    read: tuple[str, ...] = (
        "kcd-gen.yaml",
        "kcd-gen.lock",
        "src/r.yaml",
        "apps/kustomization.yml",
        "apps/Kustomization",
    )
    read += ("out/server/kustomization.yaml", "packages/index.json", "packages/oci-layout")
    other: tuple[str, ...] = (
        "out/flux/a.yaml",
        "out/hr/i.yaml",
        "out/.kcd-gen/a.list",
        "packages/blobs/x.json",
        "notes.txt",
        ".ci.yaml",
    )
    write(tmp_path, *read, *other, ".ci.yaml")
    cluster = Cluster("prod", ("src", STDIN), tmp_path / "out")
    assert names(Project(tmp_path, (cluster,), vendor=tmp_path / "packages"), tmp_path) == set(read)


def test_kustomize_reads_files_of_any_name(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path, "kcd-gen.yaml", "apps/settings.properties")
    cluster = Cluster("prod", (), tmp_path / "out", rendered=(RenderedSource("kustomize", "apps"),))
    assert "apps/settings.properties" in names(Project(tmp_path, (cluster,)), tmp_path)


def test_with_charts_in_git_its_rules_are_inputs(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path, ".gitignore", "deploy/.sourceignore", "deploy/out/hr/.gitattributes")
    cluster = Cluster("prod", ("src",), tmp_path / "deploy/out", delivery=Delivery("git"))
    found = names(Project(tmp_path, (cluster,)), tmp_path)
    assert found >= {".gitignore", "deploy/.sourceignore", "deploy/out/hr/.gitattributes"}
    cluster = Cluster("prod", ("src",), tmp_path / "deploy/out")
    assert ".gitignore" not in names(Project(tmp_path, (cluster,)), tmp_path)


def test_the_lock_of_git_is_that_of_the_working_tree(tmp_path: Path) -> None:
    main, linked, none = (tmp_path / name for name in ("main", "linked", "none"))
    main.mkdir()
    none.mkdir()
    git(main, "init", "--quiet")
    git(main, "commit", "--quiet", "--allow-empty", "-m", "one")
    git(main, "worktree", "add", str(linked))

    def lock(root: Path) -> Path | None:
        return watched(Project(root, ()), None).lock

    assert lock(main) == main / ".git/index.lock"
    assert lock(linked) == main / ".git/worktrees/linked/index.lock"
    assert lock(none) is None
    (none / ".git").write_bytes(b"gitdir: \0\xff")
    assert scan(watched(Project(none, ()), None)).states  # only Git reports that it is broken
