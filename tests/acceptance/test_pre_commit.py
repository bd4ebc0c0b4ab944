"""The pre-commit hooks, run by the real pre-commit, and docs/how-to/pre-commit.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.support.pre_commit import ROOT, URL, Checkout, commit_hooks, new_checkout

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/how-to/pre-commit.md").read_text(encoding="utf-8")
SHELL = [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]
(PRINTED,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
RELEASE = "clusters/prod/podinfo1.yaml"
COMPILED = "deploy/flux/default/podinfo1.yaml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-commit home that only has the hooks' repository."""
    directory = tmp_path_factory.mktemp("home")
    (directory / "hooks").mkdir()
    return directory


@pytest.fixture(scope="module")
def commit(home: Path) -> str:
    """The commit of the hooks."""
    return commit_hooks(home)


@pytest.fixture(scope="module")
def configs(commit: str) -> list[str]:
    """The configurations of the page, with the address and commit of the hooks."""
    filled = {"<URL of your copy of kcd-gen>": URL, "<commit>": commit}
    found = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for placeholder, value in filled.items():
        assert all(placeholder in config for config in found)
        found = [config.replace(placeholder, value) for config in found]
    return found


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, home: Path, configs: list[str]) -> tuple[Checkout, str]:
    """The page's session up to a passing hook, and the output of its first commit."""
    made = new_checkout(tmp_path_factory.mktemp("session") / "checkout", home, configs[0])
    assert made.run("pre-commit", "install").code == 0
    made.git("add", "--all")
    first = made.commit("Compile with kcd-gen")
    assert first.code == 1
    for command in SHELL[1]:
        done = made.run("sh", "-c", command)
    assert done.code == 0, done.output
    return made, first.output


@pytest.fixture
def green(session: tuple[Checkout, str], tmp_path: Path) -> Checkout:
    """A checkout whose hook has passed."""
    return session[0].copy(tmp_path / "checkout")


def test_the_session_of_the_page(session: tuple[Checkout, str]) -> None:
    made, first = session
    assert "".join(line for line in first.splitlines(keepends=True) if not line.startswith("[INFO]")) == PRINTED
    assert COMPILED in made.git("ls-files").splitlines()
    assert made.git("status", "--porcelain") == ""


def test_three_lines_lead_to_a_passing_hook(tmp_path: Path, home: Path, commit: str) -> None:
    made = new_checkout(tmp_path / "checkout", home, "")
    for name in ("kcd-gen.yaml", ".pre-commit-config.yaml"):
        (made.root / name).unlink()
    assert SHELL[0][0] == 'pip install "$COPY" pre-commit'  # which is done
    assert len(SHELL[0]) == 3
    for line in SHELL[0][1:]:
        done = made.run("sh", "-c", f"COPY=git+{URL}@{commit}; {line}")
        assert done.code == 0, done.output
    assert re.search(r"kcd-gen build\.+Passed\n", done.output)
    assert "deploy/prod/flux/default/podinfo1.yaml" in made.git("ls-files").splitlines()
    assert made.git("status", "--porcelain") == ""


def test_pre_commit_accepts_the_configurations_of_the_page(green: Checkout, configs: list[str]) -> None:
    assert green.run("pre-commit", "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")).code == 0
    for config in configs:
        green.write(".pre-commit-config.yaml", config)
        assert green.run("pre-commit", "validate-config").code == 0
    green.git("restore", ".pre-commit-config.yaml")
    assert green.run("sh", "-c", SHELL[2][0]).code == 0


def test_a_change_is_committed_with_its_output(green: Checkout) -> None:
    green.write(RELEASE, green.read(RELEASE).replace("fqdn: podinfo1", "fqdn: shop"))
    green.git("add", RELEASE)
    for _ in range(2):  # committing again is not enough
        stopped = green.commit()
        assert stopped.code == 1
        assert "add the output to the commit: git add deploy" in stopped.output
    green.git("add", "deploy")
    assert green.commit().code == 0
    assert green.git("show", "--name-only", "--format=").splitlines() == [
        RELEASE,
        "deploy/.kcd-gen/default/podinfo1.list",
        COMPILED,
    ]


def test_a_new_release_is_not_committed_without_its_new_files(green: Checkout) -> None:
    green.write("clusters/prod/shop.yaml", green.read(RELEASE).replace("name: podinfo1", "name: shop"))
    green.git("add", "clusters")
    assert green.commit().code == 1
    again = green.commit()  # if nothing is left to write, and no tracked file differs
    assert again.code == 1
    assert "add the output to the commit: git add deploy" in again.output
    green.git("add", "deploy")
    assert green.commit().code == 0
    assert "deploy/flux/default/shop.yaml" in green.git("ls-files")


def test_an_untracked_release_is_not_compiled_unnoticed(green: Checkout) -> None:
    green.write("clusters/prod/shop.yaml", green.read(RELEASE).replace("name: podinfo1", "name: shop"))
    green.write("note.txt", "about something else\n")
    green.git("add", "note.txt")
    assert green.commit().code == 1
    green.git("add", "deploy")
    stopped = green.commit()
    assert stopped.code == 1
    assert "clusters/prod/shop.yaml is a source but not tracked by Git" in stopped.output
    green.git("add", "clusters")
    assert green.commit().code == 0


def test_a_removal_is_noticed(green: Checkout) -> None:
    green.write("clusters/prod/shop.yaml", green.read(RELEASE).replace("name: podinfo1", "name: shop"))
    green.git("add", "clusters")
    green.commit()
    green.git("add", "deploy")
    green.git("commit", "--message", "two")
    green.git("rm", "--quiet", "clusters/prod/shop.yaml")
    stopped = green.commit()
    assert stopped.code == 1
    assert 'Removed HelmRelease "shop-main"' in stopped.output
    green.git("add", "deploy")
    assert green.commit().code == 0
    assert "shop" not in green.git("ls-files")


def test_the_hook_matches_the_files_of_a_project(green: Checkout) -> None:
    """With `always_run: false`; `green` contains sources, output, records and a vendor layout."""
    green.write("docs/notes.md", "about something else\n")
    green.git("add", "docs")
    assert green.commit("a lock").code == 0
    assert green.run("kcd-gen", "lock").code == 0
    green.git("add", "kcd-gen.lock")
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    (pattern,) = {hook["files"] for hook in hooks}
    names = {*green.git("ls-files").splitlines(), "more/clusters/a.yml", "packages/index.json"}
    assert {name for name in names if not re.search(pattern, name)} == {"docs/notes.md"}
    assert {"kcd-gen.lock", "packages/oci-layout", "deploy/.kcd-gen/default/podinfo1.list"} < names
    assert {"tgz", "yaml"} <= {name.rpartition(".")[2] for name in names}
    assert any("/blobs/sha256/" in name for name in names)


def test_with_always_run_false_other_commits_are_skipped(green: Checkout, configs: list[str]) -> None:
    config = ".pre-commit-config.yaml"
    green.write(config, configs[0].replace("kcd-gen-build\n", "kcd-gen-build\n        always_run: false\n"))
    assert "always_run: false" in green.read(config)
    green.git("add", config)
    green.commit("the hook")
    green.write("notes.md", "about something else\n")
    green.git("add", "notes.md")
    assert re.search(r"kcd-gen build\.+\(no files to check\)Skipped\n", green.commit().output)
    green.write(RELEASE, green.read(RELEASE).replace("fqdn: podinfo1", "fqdn: shop"))
    green.git("add", RELEASE)
    assert re.search(r"kcd-gen build\.+Failed\n", green.commit().output)


def test_a_manual_edit_is_undone_and_reported(green: Checkout) -> None:
    compiled = green.read(COMPILED)
    green.write(COMPILED, compiled.replace("interval: 30m0s", "interval: 1m0s"))
    green.git("add", "deploy")
    stopped = green.commit()
    assert stopped.code == 1
    assert f"{COMPILED}: warning[edited-output]: " in stopped.output
    assert green.read(COMPILED) == compiled


def test_an_error_is_printed_and_nothing_is_written(green: Checkout) -> None:
    green.write(RELEASE, green.read(RELEASE).replace("fqdn:", "fqnd:"))
    green.git("add", RELEASE)
    stopped = green.commit()
    assert stopped.code == 1
    assert f"{RELEASE}:13:5: error[unknown-parameter]: parameter 'fqnd' is not in the schema" in stopped.output
    assert "add the output" not in stopped.output
    assert green.git("status", "--porcelain", "deploy") == ""


def test_only_the_staged_part_of_a_file_is_compiled(green: Checkout) -> None:
    staged = green.read(RELEASE).replace("fqdn: podinfo1", "fqdn: shop")
    green.write(RELEASE, staged)
    green.git("add", RELEASE)
    later = staged.replace("interval: 30m", "interval: 7m")
    green.write(RELEASE, later)
    assert green.commit().code == 1
    assert green.read(RELEASE) == later
    green.git("add", "deploy")
    assert green.commit().code == 0
    committed = green.git("show", f"HEAD:{COMPILED}")
    assert "host: shop.ingress" in committed
    assert "interval: 7m0s" not in committed


def test_an_unstaged_edit_is_restored(green: Checkout) -> None:
    green.write(RELEASE, green.read(RELEASE).replace("fqdn: podinfo1", "fqdn: shop"))
    green.git("add", RELEASE)
    edited = green.read(COMPILED).replace("host: podinfo1", "host: mine")
    green.write(COMPILED, edited)
    stopped = green.commit()
    assert stopped.code == 1
    assert "Stashed changes conflicted with hook auto-fixes" in stopped.output
    assert "Stashed changes conflicted with hook auto-fixes" in PAGE
    assert green.read(COMPILED) == edited


def test_files_left_out_of_a_partial_commit_are_reported(green: Checkout) -> None:
    green.git("checkout", "--quiet", "--orphan", "other")  # everything is staged, and nothing committed
    sources = ["clusters", "packages", "kcd-gen.yaml", ".pre-commit-config.yaml"]
    stopped = green.commit("a part", "--only", *sources)
    assert stopped.code == 1
    assert "add the output to the commit: git add deploy" in stopped.output
    assert green.commit("all").code == 0


def test_a_change_missed_by_a_hook_is_found_later(green: Checkout) -> None:
    green.write(RELEASE, green.read(RELEASE).replace("fqdn: podinfo1", "fqdn: shop"))
    assert green.commit("unseen", "--all", "--no-verify").code == 0
    found = green.run("sh", "-c", SHELL[2][0])
    assert found.code == 3
    assert "run: kcd-gen build" in found.output


def test_lint_fails_on_a_warning(green: Checkout) -> None:
    text = green.read(RELEASE).replace("fqdn: podinfo1.", "fqdn: 'p{{ now | unixEpoch }}.") + "\n"
    green.write(RELEASE, re.sub(r"(fqdn: '.*)", r"\1'", text))
    green.git("add", RELEASE)
    stopped = green.run("pre-commit", "run", "kcd-gen-lint")
    assert stopped.code == 1
    assert f"{RELEASE}:13:" in stopped.output
    assert "warning[varying-function]" in stopped.output


def test_the_check_hook_writes_nothing(green: Checkout, commit: str) -> None:
    def try_repo() -> str:
        return green.run("pre-commit", "try-repo", str(green.home / "hooks"), "kcd-gen-check", "--ref", commit).output

    green.git("rm", "--quiet", "--cached", "deploy/flux/kustomization.yaml")
    output = try_repo()
    assert re.search(r"kcd-gen build --check\.+Failed\n", output), output
    assert "deploy is up to date" in output
    assert "add the output to the commit: git add deploy" in output
    assert green.git("status", "--porcelain").splitlines() == [
        "D  deploy/flux/kustomization.yaml",
        "?? deploy/flux/kustomization.yaml",
    ]
