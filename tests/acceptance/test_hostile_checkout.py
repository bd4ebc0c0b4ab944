"""A pull request commits symlinks where kcd-gen writes or removes files: commands on its checkout never follow them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubocd_gen.output.moves import NEW, STAGING
from tests.support.bases import BaseMaker
from tests.support.charts import commit_all, git
from tests.support.workspace import Outcome, Workspace, kcd_gen

PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters: [{name: prod, sources: [sources], output: deploy/prod}]
packages: {vendor: packages}
"""
BLOB = "ab" * 32


@dataclass(frozen=True, slots=True)
class Checkout:
    """A clone of the pull request's repository, with a home directory next to it."""

    root: Path
    home: Path

    def run(self, *arguments: str) -> Outcome:
        return kcd_gen(*arguments, directory=self.root, environment={"XDG_CACHE_HOME": str(self.root.parent / "cache")})

    def protected_files(self) -> dict[str, tuple[int, int, bytes]]:
        """Return what no command on the checkout may change: the home, and Git's own directory."""
        found = {}
        for path in [self.home, *self.home.rglob("*"), *(self.root / ".git").rglob("*")]:
            status = path.lstat()
            found[str(path)] = (
                status.st_mode,
                status.st_mtime_ns if path.is_relative_to(self.home) else 0,
                path.read_bytes() if stat.S_ISREG(status.st_mode) else b"",
            )
        return found


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Callable[[Workspace], None]], Checkout]:
    """Return a function that commits a project with an attack, and clones it."""

    def made(attack: Callable[[Workspace], None]) -> Checkout:
        home = tmp_path / "home"
        for directory in ("blobs/sha256", "sha256", "hr", "flux/default", "kcd-gen"):
            (home / directory).mkdir(parents=True)
        for name in ("authorized_keys", "index.json", f"sha256/{BLOB}", f"blobs/sha256/{BLOB}", BLOB):
            (home / name).write_text('{"schemaVersion": 2, "manifests": []}')
        (home / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        workspace = Workspace(tmp_path / "origin")
        workspace.root.mkdir()
        (workspace.root / "kcd-gen.yaml").write_text(PROJECT)
        workspace.release("web")
        workspace.package()
        assert kcd_gen("lock", "--offline", directory=workspace.root).exit == 0
        attack(workspace)
        git(workspace.root, "init", "--quiet", "--initial-branch=main")
        git(workspace.root, "add", "--force", "--all")
        commit_all(workspace.root)
        git(tmp_path, "clone", "--quiet", str(workspace.root), str(tmp_path / "clone"))
        return Checkout(tmp_path / "clone", home)

    return made


Make = Callable[[Callable[[Workspace], None]], Checkout]


def link(path: str, target: str = "home", *, fresh: bool = False) -> Callable[[Workspace], None]:
    """Put a symlink at `path`, replacing what is there; `target` is relative to the checkout's parent directory."""

    def attack(workspace: Workspace) -> None:
        at = workspace.root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        if at.is_dir():
            shutil.rmtree(at)
        at.unlink(missing_ok=True)
        at.symlink_to(os.path.relpath(workspace.root.parent / target, at.parent))

    return attack


def built(path: str, target: str = "home") -> Callable[[Workspace], None]:
    """Put a symlink into a built output."""

    def attack(workspace: Workspace) -> None:
        assert kcd_gen("build", "--offline", directory=workspace.root).exit == 0
        link(f"deploy/prod/{path}", target)(workspace)
        (workspace.root / "sources/default-web.yaml").unlink()  # and the existing files have to be removed
        workspace.release("new")

    return attack


def unused(path: str, target: str = "home") -> Callable[[Workspace], None]:
    """Put a symlink into a vendor layout that no Release needs, so that everything has to be removed."""

    def attack(workspace: Workspace) -> None:
        link(path, target)(workspace)
        workspace.source("default-web.yaml", "")
        workspace.source("note.yaml", "note: there are no Releases\n")
        (workspace.root / "kcd-gen.lock").write_text("apiVersion: kcd-gen/v1alpha1\nkind: Lock\npackages: {}\n")

    return attack


BUILD = ("build", "--offline")
PRUNE = ("vendor", "--offline", "--prune", "--allow-removals", "all")
LAYOUT = ("--output", "layout")
CASES: Mapping[str, tuple[Callable[[Workspace], None], tuple[str, ...], str]] = {
    "the output": (link("deploy/prod"), BUILD, "outside-checkout"),
    "a directory above the output": (link("deploy"), BUILD, "outside-checkout"),
    "the output in Git's directory": (link("deploy", "clone/.git"), BUILD, "outside-checkout"),
    "the output in the sources": (link("deploy/prod", "clone/sources"), BUILD, "symlinked-output"),
    "the output in a directory of nothing": (link("deploy/prod", "clone/other"), BUILD, "symlinked-output"),
    "flux": (built("flux"), BUILD, "symlinked-output"),
    "flux in Git's directory": (built("flux", "clone/.git/hooks"), BUILD, "symlinked-output"),
    "a namespace in flux": (built("flux/default"), BUILD, "symlinked-output"),
    "a written file": (built("flux/default/web.yaml", "home/authorized_keys"), BUILD, "symlinked-output"),
    "hr": (built("hr"), BUILD, "symlinked-output"),
    "a chart directory": (built("hr/default/web"), BUILD, "symlinked-output"),
    "a new chart directory": (built("hr/default/new"), BUILD, "symlinked-output"),
    "the records": (built(".kcd-gen"), BUILD, "symlinked-output"),
    "a namespace's records": (built(".kcd-gen/default"), BUILD, "symlinked-output"),
    "the staging directory": (built(STAGING), BUILD, "foreign-staging"),
    "what is staged": (built(NEW), BUILD, "foreign-staging"),
    "the lock": (link("kcd-gen.lock", "home/new.lock"), ("lock", "--offline"), "outside-checkout"),
    "a report": (link("out"), (*BUILD, "--report", "sarif=out/report.sarif"), "unusable-file"),
    "a report in a new directory": (link("out"), (*BUILD, "--report", "junit=out/a/b.xml"), "unusable-file"),
    "a report itself": (
        link("report.xml", "home/authorized_keys"),
        (*BUILD, "--report", "junit=report.xml"),
        "unusable-file",
    ),
    "what helm is given": (link(".kcd-gen-debug"), (*BUILD, "--debug"), "helm-failed"),
    "a schema": (
        link("schema.json", "home/new"),
        ("schema", "sources", "--output", "schema.json"),
        "outside-checkout",
    ),
    "the schema's directory": (link("out"), ("schema", "sources", "--output", "out/s.json"), "outside-checkout"),
    "an unpacked package": (
        link("out"),
        ("dump", "oci:packages:registry.example.com/demo/web:1.0.0", "--output", "out/web"),
        "symlinked-output",
    ),
    "the vendor layout": (unused("packages"), PRUNE, "outside-checkout"),
    "a directory above the vendor layout": (
        unused("packages/blobs"),
        (*PRUNE, "--vendor", "packages/blobs/x"),
        "outside-checkout",
    ),
    "blobs": (unused("packages/blobs"), PRUNE, "bad-layout"),
    "blobs of sha256": (unused("packages/blobs/sha256"), PRUNE, "bad-layout"),
    "an index": (unused("packages/index.json", "home/index.json"), PRUNE, "bad-layout"),
    "VS Code's settings": (link(".vscode"), ("init", "--force"), "unusable-file"),
    "the hook's file": (link(".pre-commit-config.yaml", "home/authorized_keys"), ("init", "--force"), "unusable-file"),
}


@pytest.mark.parametrize(("attack", "command", "code"), CASES.values(), ids=CASES)
def test_no_write_follows_a_committed_symlink(
    make: Make, attack: Callable[[Workspace], None], command: tuple[str, ...], code: str
) -> None:
    checkout = make(attack)
    before = checkout.protected_files()
    outcome = checkout.run(*command)
    assert checkout.protected_files() == before
    assert outcome.exit == 1, outcome.text
    assert f"error[{code}" in outcome.err


@pytest.mark.parametrize(
    "where", ["layout", "layout/blobs", "layout/blobs/sha256", "layout/index.json", "layout/oci-layout"]
)
def test_an_image_is_not_written_through_a_committed_symlink(make: Make, where: str) -> None:
    checkout = make(link(where))
    maker = BaseMaker(checkout.root.parent / "base")
    before = checkout.protected_files()
    outcome = checkout.run("image", "--base", maker.named(maker.image()), "--output", "layout")
    assert outcome.exit == 1
    assert checkout.protected_files() == before


@pytest.mark.parametrize(
    "where", ["cache", "cache/blobs", "cache/blobs/sha256", "cache/names", "cache/blobs/sha256/ab"]
)
def test_a_cache_in_the_checkout_is_not_pruned_through_a_symlink(make: Make, where: str) -> None:
    checkout = make(link(where))
    before = checkout.protected_files()
    checkout.run("cache", "prune", "--unused-for", "0d", "--cache-dir", "cache")
    checkout.run("cache", "verify", "--cache-dir", "cache")
    assert checkout.protected_files() == before


def test_prune_removes_only_blobs(make: Make) -> None:
    def attack(workspace: Workspace) -> None:
        blobs = workspace.root / "packages/blobs/sha256"
        for name in (BLOB, "README", BLOB.upper(), f"{BLOB}0", ".gitattributes"):
            (blobs / name).write_text("")
        (blobs / ("cd" * 32)).symlink_to("README")
        (blobs / ("ef" * 32)).mkdir()
        (blobs / ("ef" * 32) / "file").write_text("")

    checkout = make(attack)
    blobs = checkout.root / "packages/blobs/sha256"
    before = {path.name for path in blobs.iterdir()}
    outcome = checkout.run("vendor", "--offline", "--prune")
    assert outcome.exit == 0, outcome.text
    assert before - {path.name for path in blobs.iterdir()} == {BLOB}


def test_a_lock_that_is_a_directory_is_refused(make: Make) -> None:
    checkout = make(lambda workspace: (workspace.root / "kcd-gen.lock").unlink())
    (checkout.root / "kcd-gen.lock").mkdir()
    outcome = checkout.run("lock", "--offline")
    assert outcome.exit == 1
    assert "lock" in outcome.err
