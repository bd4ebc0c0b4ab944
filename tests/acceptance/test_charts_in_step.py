"""A build compares the Releases with the charts of the pinned image, and a new image makes Flux fetch its charts."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from kubocd_gen.kustomize.build import kustomize_command
from tests.support.bases import BaseMaker
from tests.support.charts import git
from tests.support.registry import Running, run_registry
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, kcd_gen

NEWER = "registry.example.com/demo/web:2.0.0"
NEWEST = "registry.example.com/demo/web:3.0.0"
LIST = "output/server/charts.list"
PIN = "output/server/kustomization.yaml"
PAGE = (Path(__file__).resolve().parents[2] / "docs/image.md").read_text(encoding="utf-8")
STALE = f"{PIN}:16:3: warning[stale-image]: the image that is pinned here does not have the charts of "


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


class Platform:
    """A committed project of one cluster with the Releases web and shop, and a server without an image."""

    def __init__(self, root: Path, registry: Running) -> None:
        self.root, self.registry = root, registry
        self.workspace = Workspace(root)
        self.workspace.package()
        for reference in (NEWER, NEWEST):
            version = reference.rpartition(":")[2]
            status = f"apiVersion: v1alpha1\nchartByModule: {{main: {{name: main, version: {version}}}}}\n"
            self.workspace.package(WEB_MANIFEST.replace("1.0.0", version), reference=reference, status=status)
        for name in ("web", "shop"):
            self.workspace.release(name)
        head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        (root / "kcd-gen.yaml").write_text(f"{head}clusters:\n- {{name: prod, sources: [sources], output: output}}\n")
        (root / ".gitignore").write_text(".cache/\n/base/\n")
        self.maker = BaseMaker(root / "base")
        self.base = self.maker.named(self.maker.image())
        assert self.run("init", "server", "--image", f"{registry.host}/charts").exit == 0
        assert self.run("build").exit == 0
        git(root, "init", "--quiet", "--initial-branch", "main")
        self.commit("the platform")

    def run(self, *arguments: str) -> Outcome:
        return kcd_gen(*arguments, directory=self.root)

    def push(self, *arguments: str) -> Outcome:
        target = f"{self.registry.host}/charts:prod"
        return self.run("image", "--base", self.base, "--push", target, "--insecure", *arguments)

    def pushed(self) -> str:
        """Push an image, build, and return what the image command has printed."""
        outcome = self.push()
        assert outcome.exit == 0, outcome
        assert self.run("build").err == ""
        return outcome.out

    def commit(self, message: str) -> None:
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", message)

    def use(self, package: str, *names: str) -> None:
        for name in names:
            self.workspace.release(name, package=package)

    def checked(self, *flags: str) -> Outcome:
        return self.run("build", "--check", *flags)

    def requested(self) -> dict[str, str]:
        """Return what `requestedAt` of each HelmRepository is, as kustomize builds it."""
        directory = self.root / "output/flux"
        done = subprocess.run(
            [*kustomize_command(), str(directory)], capture_output=True, text=True, check=True, cwd=self.root
        )
        repositories = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "HelmRepository"]
        return {
            one["metadata"]["name"].removeprefix("kcd-"): one["metadata"]["annotations"][
                "reconcile.fluxcd.io/requestedAt"
            ]
            for one in repositories
        }

    def deployed(self) -> str:
        """Return the image of the server, as kustomize builds it."""
        command = [*kustomize_command(), str(self.root / "output/server")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.root)
        (found,) = re.findall(r"image: (\S+)", done.stdout)
        return str(found)


@pytest.fixture
def platform(tmp_path: Path, registry: Running) -> Platform:
    return Platform(tmp_path, registry)


def test_the_first_image_changes_no_release(platform: Platform) -> None:
    before = platform.requested()
    out = platform.push().out
    assert f"\nUpdated {PIN}\nCreated {LIST}\n" in out
    assert "kcd-gen build" not in out
    assert (platform.checked().exit, platform.checked("--fail-on-stale-image").exit) == (0, 0)
    assert platform.requested() == before
    digest = re.findall(r"sha256:[0-9a-f]{64}", out)[0]
    assert platform.deployed() == f"{platform.registry.host}/charts@{digest}"


def test_an_image_that_comes_one_commit_later_makes_flux_fetch_its_charts(platform: Platform) -> None:
    platform.pushed()
    platform.commit("the image")
    first = platform.requested()
    platform.use(NEWER, "web")
    built = platform.run("build")
    assert built.exit == 0
    assert f"{STALE}a Release: default/web\n" in built.err
    assert f"--push {platform.registry.host}/charts:TAG; then run 'kcd-gen build', and commit both" in built.err
    platform.commit("a new chart without its image")
    second = platform.requested()
    assert second["shop"] == first["shop"]
    assert second["web"] != first["web"]

    checked = platform.checked()
    assert checked.exit == 0
    assert STALE in checked.err
    assert "the output" not in checked.out
    strict = platform.checked("--fail-on-stale-image", "--quiet")
    assert (strict.exit, strict.out) == (3, "")
    assert strict.err == f"{STALE.replace('warning[stale-image]: ', '')}a Release: default/web\n"
    assert platform.run("build", "--fail-on-stale-image").exit == 3
    by_variable = {"KCD_GEN_FAIL_ON_STALE_IMAGE": "true"}
    assert kcd_gen("build", "--check", directory=platform.root, environment=by_variable).exit == 3
    annotated = platform.checked("--format", "github")
    assert annotated.exit == 0
    assert f"::warning file={PIN},line=16,col=3,title=kcd-gen%3A stale-image::" in annotated.out

    out = platform.push().out
    assert "run 'kcd-gen build' and commit everything together: Flux then fetches the new charts of a Release\n" in out
    outdated = platform.checked()
    assert outdated.exit == 3
    assert "warning" not in outdated.err
    assert platform.run("build", "--fail-on-change").exit == 3
    platform.commit("the image with the new chart")
    third = platform.requested()
    assert third["shop"] == first["shop"]
    assert third["web"] not in (first["web"], second["web"])
    assert platform.checked("--fail-on-change", "--fail-on-stale-image").exit == 0


def test_one_commit_with_charts_and_image_is_in_step(platform: Platform) -> None:
    platform.pushed()
    first = platform.requested()
    platform.use(NEWER, "web")
    platform.pushed()
    assert platform.checked("--fail-on-stale-image").exit == 0
    second = platform.requested()
    assert second["shop"] == first["shop"]
    assert second["web"] != first["web"]
    written = platform.workspace.output.rglob("*")
    before = {path: path.stat().st_mtime_ns for path in written if path.is_file()}
    assert "kcd-gen build" not in platform.pushed()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_image_with_another_base_changes_no_release(platform: Platform) -> None:
    platform.pushed()
    platform.use(NEWER, "web")
    platform.pushed()
    before, image = platform.requested(), platform.deployed()
    other = BaseMaker(platform.root / "base2", docker=True)
    platform.base = other.named(other.image())
    assert "kcd-gen build" not in platform.pushed()
    assert platform.deployed() != image
    assert platform.requested() == before


def test_going_back_makes_flux_fetch_again(platform: Platform) -> None:
    platform.pushed()
    platform.use(NEWER, "web")
    platform.pushed()
    newer = platform.requested()["web"]
    platform.use(WEB, "web")
    assert STALE in platform.run("build").err
    between = platform.requested()["web"]
    assert "Updated" in platform.pushed()
    assert len({newer, between, platform.requested()["web"]}) == 3


def test_a_digest_that_was_set_by_hand_is_noticed(platform: Platform) -> None:
    platform.pushed()
    platform.use(NEWER, "web")
    platform.pushed()
    before = platform.requested()
    path = platform.root / PIN
    path.write_text(re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", path.read_text()))
    noticed = platform.checked("--fail-on-stale-image")
    assert noticed.exit == 3
    assert "is not the one whose charts are listed in 'server/charts.list'" in noticed.err
    platform.run("build")
    between = platform.requested()
    platform.pushed()
    after = platform.requested()
    assert all(len({before[name], between[name], after[name]}) >= 2 for name in before)
    assert all(between[name] != after[name] for name in before)


def test_a_pinned_digest_without_a_list_is_a_note_until_the_next_push(platform: Platform) -> None:
    path = platform.root / PIN
    assert platform.push().exit == 0
    (platform.root / LIST).unlink()
    before = platform.requested()
    unknown = platform.checked()
    assert unknown.exit == 0
    assert f"{PIN}:16:3: note[stale-image]: the charts of the image that is pinned here are unknown" in unknown.err
    assert platform.checked("--fail-on-stale-image").exit == 3
    pinned = path.read_text()
    assert platform.push("--check").exit == 3
    assert f"Unchanged {PIN}\nCreated {LIST}\nrun 'kcd-gen build'" in platform.push().out
    assert path.read_text() == pinned
    assert platform.push("--check").exit == 0
    assert platform.run("build").err == ""
    assert all(value != before[name] for name, value in platform.requested().items())


def test_a_removed_release_is_not_reported(platform: Platform) -> None:
    platform.pushed()
    before = platform.requested()
    (platform.root / "sources/default-shop.yaml").unlink()
    assert platform.run("build", "--allow-removals", "1", "--fail-on-stale-image").exit == 0
    assert platform.requested() == {"web": before["web"]}
    assert platform.push("--check").exit == 3


def resolve_ours(platform: Platform) -> None:
    git(platform.root, "checkout", "--ours", "--", PIN, LIST)


def resolve_each_line(platform: Platform) -> None:
    """Take the digest of one image, and the lines of both for the list, as an editor offers."""
    git(platform.root, "checkout", "--ours", "--", PIN)
    text = (platform.root / LIST).read_text()
    (platform.root / LIST).write_text(re.sub(r"^(<{7}|={7}|>{7}).*\n", "", text, flags=re.MULTILINE))


def keep_the_markers(platform: Platform) -> None:
    git(platform.root, "checkout", "--ours", "--", PIN)


@pytest.mark.parametrize("resolve", [resolve_ours, resolve_each_line, keep_the_markers])
def test_two_images_that_were_merged_have_the_charts_of_neither_branch(
    platform: Platform, resolve: Callable[[Platform], None]
) -> None:
    platform.pushed()
    platform.commit("the image")
    git(platform.root, "switch", "--quiet", "--create", "other")
    platform.use(NEWER, "web")
    platform.pushed()
    platform.commit("web 2")
    git(platform.root, "switch", "--quiet", "main")
    platform.use(NEWEST, "shop")
    platform.pushed()
    platform.commit("shop 3")
    with pytest.raises(subprocess.CalledProcessError):
        git(platform.root, "merge", "--quiet", "other")
    resolve(platform)
    merged = platform.checked("--fail-on-stale-image")
    assert merged.exit == 3
    assert "warning[stale-image]" in merged.err
    git(platform.root, "add", "--all")
    git(platform.root, "commit", "--quiet", "--message", "merged")
    before = platform.requested()
    platform.pushed()
    assert platform.checked("--fail-on-stale-image").exit == 0
    assert platform.requested()["web"] != before["web"]  # ours did not have it


def test_a_branch_with_a_new_chart_merges_with_one_that_has_an_image(platform: Platform) -> None:
    platform.pushed()
    platform.commit("the image")
    git(platform.root, "switch", "--quiet", "--create", "other")
    platform.use(NEWER, "web")
    assert platform.run("build").exit == 0
    platform.commit("web 2, without an image")
    git(platform.root, "switch", "--quiet", "main")
    platform.use(NEWEST, "shop")
    platform.pushed()
    platform.commit("shop 3")
    git(platform.root, "merge", "--quiet", "--no-edit", "other")
    checked = platform.checked()
    assert checked.exit == 0
    assert f"{STALE}a Release: default/web\n" in checked.err


def test_the_branch_that_flux_watches_gets_each_chart_with_its_image(platform: Platform) -> None:
    """The commands of docs/image.md for a job after the merge: the default branch never has a digest."""
    job = re.search(r"^    git switch deployed && (git merge .*)$", PAGE, re.MULTILINE)
    assert job is not None
    git(platform.root, "branch", "deployed")
    requested: list[dict[str, str]] = []
    for package, names in ((WEB, ()), (NEWER, ("web",)), (NEWEST, ("web", "shop")), (NEWER, ("shop",))):
        git(platform.root, "switch", "--quiet", "main")
        platform.use(package, *names)
        assert platform.run("build").err == ""
        git(platform.root, "add", "--all")
        git(platform.root, "commit", "--quiet", "--allow-empty", "--message", "a change")
        git(platform.root, "switch", "--quiet", "deployed")
        git(platform.root, *job[1].replace("origin/", "").split()[1:])
        assert platform.push().exit == 0
        built = platform.run("build", "--fail-on-stale-image")
        assert built.exit == 0
        platform.commit("the image of the charts")
        requested.append(platform.requested())
        assert platform.checked("--fail-on-stale-image", "--fail-on-change").exit == 0
    webs, shops = ([one[name] for one in requested] for name in ("web", "shop"))
    assert (len(set(webs)), len(set(shops))) == (3, 3)
    assert webs[2] == webs[3]
    assert shops[0] == shops[1]


def fifo(path: Path) -> None:
    os.mkfifo(path)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "huge": lambda path: path.write_bytes(b"#" * (2 << 20)),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "a symlink": lambda path: path.symlink_to("/etc/hostname"),
    "a directory": lambda path: path.mkdir(),
    "a FIFO": fifo,
    "a list of YAML": lambda path: path.write_text("- 1\n- {a: b}\n"),
}


@pytest.mark.parametrize("file", [LIST, PIN])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_a_warning_and_never_followed(platform: Platform, kind: str, file: str) -> None:
    platform.pushed()
    path = platform.root / file
    path.unlink()
    HOSTILE[kind](path)
    outcome = platform.checked("--fail-on-stale-image")
    assert outcome.exit == 3
    assert f"{file}" in outcome.err
    assert "warning[stale-image]" in outcome.err
    assert "\n    " in outcome.err  # a hint
    assert platform.run("build").exit == 0
    requests = len(platform.registry.requests())
    pushed = platform.push()
    if file == PIN or kind in ("a symlink", "a directory", "a FIFO"):
        assert pushed.exit == 1
        assert not [one for one in platform.registry.requests()[requests:] if one.startswith(("PUT", "POST"))]
    else:
        assert pushed.exit == 0
        assert platform.run("build").err == ""


def test_a_build_only_reads_the_list_and_a_push_replaces_a_read_only_one(platform: Platform) -> None:
    platform.pushed()
    path = platform.root / LIST
    path.chmod(0o444)
    before = (path.stat().st_mode, path.stat().st_mtime_ns)
    platform.use(NEWER, "web")
    assert platform.run("build").exit == 0
    assert (path.stat().st_mode, path.stat().st_mtime_ns) == before
    platform.pushed()
    assert path.stat().st_mode == before[0]
    assert platform.checked("--fail-on-stale-image").exit == 0


def test_an_untracked_list_is_missing_in_the_commit(platform: Platform) -> None:
    platform.pushed()
    git(platform.root, "commit", "--quiet", "--all", "--message", "the image")
    stopped = platform.run("build", "--fail-on-change")
    assert (stopped.exit, "git add output" in stopped.err) == (3, True)
    platform.commit("the list")
    assert platform.run("build", "--fail-on-change").exit == 0


def test_one_release_is_built_and_compared_alone(platform: Platform) -> None:
    platform.pushed()
    platform.use(NEWER, "web", "shop")
    outcome = platform.run("build", "--release", "web")
    assert f"{STALE}a Release: default/web\n" in outcome.err


def test_diff_shows_no_annotation(platform: Platform) -> None:
    platform.pushed()
    platform.commit("the image")
    platform.use(NEWER, "web")
    assert platform.run("build").exit == 0
    platform.commit("a new chart")
    platform.pushed()
    assert platform.run("diff", "--ref", "HEAD") == Outcome(0, "", "")


def test_another_kustomization_gets_no_list(platform: Platform) -> None:
    (platform.root / "own.yaml").write_text("images:\n- name: kcd-gen-charts\n")
    outcome = platform.push("--kustomization", "own.yaml")
    assert "Updated own.yaml\n" in outcome.out
    assert not (platform.root / LIST).exists()
    assert f"Created {LIST}" in platform.push("--kustomization", PIN).out


def test_charts_that_are_kept_elsewhere_are_compared(platform: Platform) -> None:
    path = platform.root / "kcd-gen.yaml"
    path.write_text(path.read_text() + "charts: separate\n")
    platform.pushed()
    platform.use(NEWER, "shop")
    assert f"{STALE}a Release: default/shop\n" in platform.run("build").err


def test_a_suspended_release_is_compared(platform: Platform) -> None:
    platform.pushed()
    platform.commit("the image")
    platform.workspace.release("web", "suspended: true\n", package=NEWER)
    assert f"{STALE}a Release: default/web\n" in platform.run("build").err
    before = platform.requested()
    platform.pushed()
    assert platform.requested()["web"] != before["web"]


def test_the_report_names_the_list(platform: Platform) -> None:
    report = json.loads(platform.push("--format", "json").out)
    assert report["charts"] == {"path": LIST, "current": False}
    assert json.loads(platform.push("--format", "json").out)["charts"] == {"path": LIST, "current": True}


def test_a_cluster_without_a_server_is_not_compared(platform: Platform) -> None:
    platform.pushed()
    path = platform.root / "kcd-gen.yaml"
    path.write_text(path.read_text() + "delivery: git\n")
    platform.use(NEWER, "web")
    outcome = platform.run("build", "--fail-on-stale-image")
    assert (outcome.exit, "stale-image" in outcome.err) == (0, False), outcome


def test_several_clusters_have_an_image_each(tmp_path: Path, registry: Running) -> None:
    platform = Platform(tmp_path, registry)
    path = platform.root / "kcd-gen.yaml"
    path.write_text(path.read_text() + "- {name: test, sources: [sources], output: test}\n")
    assert platform.push("--cluster", "prod").exit == 0
    platform.use(NEWER, "web")
    outcome = platform.run("build")
    assert outcome.exit == 0
    assert "kcd-gen image --cluster prod --base BASE" in outcome.err
    assert outcome.err.count("stale-image") == 1
