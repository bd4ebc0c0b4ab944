"""`kcd-gen diff`: a Git revision and the working tree, compiled and compared. The repositories are real."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from unittest import mock

import jsonschema
import pytest

from kubocd_gen.diffing import revisions as comparing
from kubocd_gen.diffing.markdown import LIMIT
from kubocd_gen.helm.engine import Helm
from kubocd_gen.package_data import schema
from kubocd_gen.pipeline import compile_cluster
from tests.support.charts import commit_all, git, write_files
from tests.support.images import chart_archive, package_layer, write_layout
from tests.support.small_platform import write_cluster
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, files_below, kcd_gen, status_of

GOLDEN = Path(__file__).parent / "golden"
OTHER = WEB.replace("1.0.0", "2.0.0")


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    """Two Releases, committed to `main`."""
    workspace.release("web", "parameters: {replicas: 2, host: a.example.com}\n")
    workspace.release("other")
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    return workspace


def diff(workspace: Workspace, *flags: str) -> Outcome:
    """Run `diff` without an output directory, which it doesn't need."""
    where = ("--source", "sources", "--vendor", "packages", "--offline")
    return kcd_gen("diff", *where, *flags, directory=workspace.root)


def project(workspace: Workspace, more: str = "") -> None:
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        f"clusters:\n- {{name: prod, sources: [sources], output: output}}\n{more}"
    )


def report(outcome: Outcome) -> dict[str, object]:
    found: dict[str, object] = json.loads(outcome.out)
    jsonschema.Draft7Validator(schema("kcd-gen/comparison-v1alpha1")).validate(found)
    return found


def test_equal_revisions_print_nothing_and_are_compiled_once(web: Workspace) -> None:
    with mock.patch.object(comparing, "compile_cluster", wraps=compile_cluster) as compiled:
        for form in ("text", "markdown"):
            outcome = diff(web, "--format", form, "--exit-code")
            assert (outcome.exit, outcome.text) == (0, "exit 0\n\n".replace("\n\n", "\n"))
    assert compiled.call_count == 2  # of two runs
    assert report(diff(web, "--format", "json"))["releases"] == []
    assert "No differences" in diff(web, "--format", "html").out


def test_a_change_that_compiles_to_the_same_is_no_difference(web: Workspace) -> None:
    path = web.root / "sources/default-web.yaml"
    path.write_text("# A comment\n" + path.read_text())
    assert diff(web, "--exit-code").text == "exit 0\n"


def test_uncommitted_changes_are_compared_with_head(web: Workspace) -> None:
    web.release("web", "parameters: {replicas: 3, host: a.example.com}\n")
    outcome = diff(web)
    assert (outcome.exit, outcome.err) == (0, "")
    assert outcome.out.splitlines()[:4] == [
        "~ default/web",
        "  ~ HelmRelease web-main",
        "    - spec.values.replicas: 2",
        "    + spec.values.replicas: 3",
    ]
    assert outcome.out.splitlines()[-1].endswith(": 1 of 2 Releases changes; 1 value differs")
    assert diff(web, "--exit-code", "--quiet").text == "exit 3\n"
    assert not web.output.exists()


def test_a_branch_is_compared_with_its_merge_base(web: Workspace) -> None:
    git(web.root, "checkout", "-q", "-b", "feature")
    web.release("web", "parameters: {replicas: 3, host: a.example.com}\n")
    commit_all(web.root)
    git(web.root, "checkout", "-q", "main")
    web.release("later")
    commit_all(web.root)
    git(web.root, "checkout", "-q", "feature")
    names = [one["name"] for one in report(diff(web, "--format", "json"))["releases"]]  # type: ignore[attr-defined]
    assert names == ["web"]
    names = [one["name"] for one in report(diff(web, "--ref", "main", "--format", "json"))["releases"]]  # type: ignore[attr-defined]
    assert names == ["later", "web"]


def test_the_default_branch_of_the_remote_comes_first(web: Workspace, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(web.root, "clone", "--quiet", f"file://{web.root}", str(clone))
    copy = Workspace(clone)
    copy.release("web")
    commit_all(clone)  # on main, ahead of origin/main
    assert "spec.values.replicas: 1" in diff(copy).out


def test_added_and_removed_releases_are_reported(web: Workspace) -> None:
    (web.root / "sources/default-other.yaml").unlink()
    web.release("new", "parameters: {host: new.example.com}")
    found = report(diff(web, "--format", "json"))
    assert [(one["name"], one["status"]) for one in found["releases"]] == [("other", "removed"), ("new", "added")]  # type: ignore[attr-defined]
    assert found["summary"] == {
        "releasesBefore": 2,
        "releasesAfter": 2,
        "changed": 0,
        "added": 1,
        "removed": 1,
        "values": 0,
        "dangers": 1,
    }
    text = diff(web).out
    assert (
        "+ default/new\n    + package registry.example.com/demo/web:1.0.0\n    + chart main 1.0.0 (new-main)\n" in text
    )
    assert "+ spec.values.host: new.example.com" in text
    assert "- default/other\n" in text


def test_dangers_are_reported(web: Workspace) -> None:
    web.release("kept", "protected: true")
    commit_all(web.root)
    (web.root / "sources/default-kept.yaml").unlink()
    manifest = WEB_MANIFEST.replace("tag: 1.0.0", "tag: 2.0.0") + "      persistence: {storageClass: fast}\n"
    status = status_of(manifest).replace("version: 1.0.0", "version: 2.0.0")
    web.package(manifest, reference=OTHER, status=status)
    web.release(
        "web", "targetNamespace: web\nmoduleOverrides: [{module: main, specPatch: {releaseName: www}}]", package=OTHER
    )
    outcome = diff(web, "--format", "json")
    codes = [danger["code"] for release in report(outcome)["releases"] for danger in release["dangers"]]  # type: ignore[attr-defined]
    assert sorted(codes) == [
        "chart-major-version",
        "protected-release-removed",
        "release-name-changed",
        "release-removed",
        "storage-changed",
        "target-namespace-changed",
    ]
    text = diff(web).out
    assert "default/kept: the Release is protected, but is removed [protected-release-removed]" in text
    assert "default/kept: the Release is removed: Flux uninstalls kept-main [release-removed]" in text
    assert text.endswith("; 6 dangers\n")


def test_a_release_that_is_removed_renamed_or_moved_comes_first_and_is_an_uninstallation(web: Workspace) -> None:
    packages = {name: f"registry.example.com/demo/{name}:1.0.0" for name in ("x-removed", "y-renamed", "z-moved")}
    for name, package in packages.items():
        web.package(reference=package)
        web.release(name, package=package)
    commit_all(web.root)
    for name in ("x-removed", "y-renamed", "z-moved"):
        (web.root / f"sources/default-{name}.yaml").unlink()
    web.release("a-first")
    web.release("z-moved", package=packages["z-moved"], namespace="elsewhere")
    releases = report(diff(web, "--format", "json"))["releases"]
    assert isinstance(releases, list)
    assert [(one["status"], one["name"]) for one in releases] == [
        ("removed", "x-removed"),
        ("removed", "y-renamed"),
        ("removed", "z-moved"),
        ("added", "a-first"),
        ("added", "z-moved"),
    ]
    assert [danger["code"] for one in releases for danger in one["dangers"]] == [
        "release-removed",
        "release-removed",
        "release-moved",
    ]
    web.release("renamed", package=packages["y-renamed"])
    text = diff(web).out
    assert "default/y-renamed: the Release is renamed to 'default/renamed'" in text
    assert "default/z-moved: the Release is moved to 'elsewhere/z-moved'" in text


def test_a_suspended_release_keeps_its_helm_releases(web: Workspace) -> None:
    web.release("web", "suspended: true\nparameters: {replicas: 2, host: a.example.com}\n")
    text = diff(web).out
    assert "+ suspended: true" in text
    assert "HelmRelease" not in text


def test_secrets_are_masked_in_every_format(web: Workspace) -> None:
    web.package(
        WEB_MANIFEST + "      adminPassword: {{ .Parameters.host }}\n"
        "      env: [{name: DB_PASSWORD, value: {{ .Parameters.host }}}]\n"
        "      url: https://me:{{ .Parameters.host }}@example.com\n"
    )
    web.release("web", "parameters: {replicas: 2, host: first-secret}\n")
    commit_all(web.root)
    web.package(
        WEB_MANIFEST.replace("host: {{ .Parameters.host }}", "") + "      adminPassword: {{ .Parameters.host }}2\n"
        "      env: [{name: DB_PASSWORD, value: {{ .Parameters.host }}2}]\n"
    )
    for form in ("text", "markdown", "json", "html"):
        outcome = diff(web, "--format", form)
        assert outcome.exit == 0
        shown = re.sub(
            r'"?(?:spec\.values\.)?host"?: first-secret|.*"old": "first-secret".*|.*values\.host.*', "", outcome.out
        )
        assert "first-secret2" not in shown, form
        assert "me:first-secret" not in shown, form


def test_a_side_that_does_not_compile_is_an_error_that_names_the_revision(web: Workspace) -> None:
    web.release("web", "parameters: {replicaz: 3}\n")
    commit_all(web.root)
    web.release("web", "parameters: {replicas: 3}\n")
    outcome = diff(web, "--ref", "HEAD")
    assert (outcome.exit, outcome.out) == (1, "")
    assert outcome.err.startswith("HEAD:sources/default-web.yaml:6:16: error[unknown-parameter]: ")
    git(web.root, "stash", "--quiet")
    assert diff(web).exit == 1  # both sides are the same, and neither compiles
    found = report(diff(web, "--format", "json"))
    assert (found["revision"], found["summary"]) == (None, None)


def test_only_new_warnings_are_reported(web: Workspace) -> None:
    web.release("first", "moduleOverrides: [{module: mian, timeout: 1m}]")
    commit_all(web.root)
    web.release("second", "moduleOverrides: [{module: mian, timeout: 1m}]")
    assert re.findall(r"sources/default-(\w+)\.yaml\S* warning", diff(web).err) == ["second"]


def test_the_project_and_lock_of_the_revision_are_used(web: Workspace) -> None:
    project(web)
    commit_all(web.root)
    project(web, "- {name: test, sources: [sources], output: test}\ndependencies: ignore\n")
    found = report(kcd_gen("diff", "--offline", "--format", "json", directory=web.root / "sources"))
    assert {(one["cluster"], one["status"]) for one in found["releases"]} == {("test", "added")}  # type: ignore[attr-defined]
    assert kcd_gen("diff", "--offline", "--cluster", "prod", directory=web.root).text == "exit 0\n"
    (web.root / "kcd-gen.lock").write_text("nonsense: [")
    commit_all(web.root)
    (web.root / "kcd-gen.lock").unlink()
    outcome = kcd_gen("diff", "--offline", "--ref", "main", directory=web.root)
    assert outcome.exit == 1
    assert outcome.err.startswith("main:kcd-gen.lock:")


def test_an_invalid_project_file_in_the_revision_is_reported_with_the_revision(web: Workspace) -> None:
    (web.root / "kcd-gen.yaml").write_text("apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusterz: []\n")
    commit_all(web.root)
    project(web)
    outcome = kcd_gen("diff", "--offline", "--ref", "HEAD", directory=web.root)
    assert outcome.exit == 1
    assert outcome.err.startswith("HEAD:kcd-gen.yaml:3:1: error[")
    assert "kcd-gen-revision" not in outcome.err


def test_a_project_that_is_new_adds_everything(web: Workspace) -> None:
    project(web)
    found = report(kcd_gen("diff", "--offline", "--format", "json", directory=web.root))
    assert found["summary"]["added"] == 2  # type: ignore[index]


def test_the_vendor_layout_of_the_revision_is_used(web: Workspace) -> None:
    web.package(WEB_MANIFEST + "      more: true\n")  # the same tag now names another image
    found = report(diff(web, "--format", "json"))
    old, new = (found["releases"][0][side]["digest"] for side in ("old", "new"))  # type: ignore[index]
    assert old != new
    assert "+ spec.values.more: true" in diff(web).out
    shutil.rmtree(web.root / "packages/blobs")  # the revision's blobs are in Git
    git(web.root, "checkout", "--quiet", "packages/index.json")
    assert diff(web).exit == 1  # the working tree's are gone
    web.package(WEB_MANIFEST + "      more: true\n")
    assert diff(web).exit == 0


def test_a_vendor_layout_that_is_not_committed_is_shared(workspace: Workspace) -> None:
    workspace.release("web")
    (workspace.root / ".gitignore").write_text("packages/\n")
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    assert "packages" not in git(workspace.root, "ls-files")
    workspace.release("web", "parameters: {replicas: 5}")
    assert "+ spec.values.replicas: 5" in diff(workspace).out


def test_the_checkout_is_unchanged(web: Workspace) -> None:
    git(web.root, "status")
    web.release("web")
    before = files_below(web.root)
    assert diff(web, "--ref", "HEAD").exit == 0
    assert {path: data for path, data in files_below(web.root).items() if not path.startswith(".cache")} == before


@pytest.mark.parametrize("ref", ["nowhere", "--upload-pack=touch x", "-h", "main\n", "HEAD:sources", "", "main...x"])
def test_an_unknown_revision_is_an_error_and_never_an_option(web: Workspace, ref: str) -> None:
    outcome = diff(web, f"--ref={ref}")
    assert outcome.exit in (1, 2)
    assert outcome.exit == 2 or "error[unknown-revision]" in outcome.err
    assert not (web.root / "x").exists()


def test_a_tag_and_a_short_id_are_accepted(web: Workspace) -> None:
    git(web.root, "tag", "--annotate", "--message", "one", "v1")
    web.release("web")
    for ref in ("v1", git(web.root, "rev-parse", "--short", "HEAD").strip(), "HEAD", "main~0", "@{0}"):
        assert diff(web, "--ref", ref, "--exit-code").exit == 3


def test_an_error_in_a_shallow_clone_explains_how_to_deepen_it(web: Workspace, tmp_path: Path) -> None:
    web.release("web")
    commit_all(web.root)
    clone = tmp_path / "clone"
    git(web.root, "clone", "--quiet", "--depth", "1", f"file://{web.root}", str(clone))
    copy = Workspace(clone)
    outcome = diff(copy, "--ref", "HEAD~1")
    assert outcome.exit == 1
    assert "git fetch --unshallow" in outcome.err
    assert diff(copy).text == "exit 0\n"
    git(clone, "checkout", "--quiet", "--detach")
    git(clone, "branch", "--quiet", "-D", "main")
    git(clone, "remote", "remove", "origin")
    assert "the clone is shallow and has no branch to compare with" in diff(copy).err


def test_a_submodule_is_read_if_it_is_checked_out(web: Workspace, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copy(web.root / "sources/default-web.yaml", inner / "third.yaml")
    text = (inner / "third.yaml").read_text().replace("name: web", "name: third")
    (inner / "third.yaml").write_text(text)
    git(inner, "init", "--quiet", "--initial-branch=main")
    commit_all(inner)
    git(web.root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{inner}", "sources/inner")
    commit_all(web.root)
    assert diff(web).text == "exit 0\n"
    (web.root / "sources/inner/third.yaml").write_text(text.replace("replicas: 2", "replicas: 4"))
    assert "~ default/third" in diff(web).out
    shutil.rmtree(web.root / "sources/inner")
    outcome = diff(web, "--ref", "HEAD")
    assert outcome.exit == 1
    assert "HEAD:sources/inner: error[unreadable-revision]: this submodule is not checked out" in outcome.err


def test_a_git_lfs_pointer_is_followed_or_refused(web: Workspace) -> None:
    path = web.root / "sources/default-web.yaml"
    content = path.read_bytes()
    identity = hashlib.sha256(content).hexdigest()
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{identity}\nsize {len(content)}\n")
    commit_all(web.root)
    outcome = diff(web, "--ref", "main")
    assert outcome.exit == 1
    assert "main:sources/default-web.yaml: error[unreadable-revision]: this is a Git LFS pointer" in outcome.err
    assert "git lfs fetch origin main" in outcome.err
    path.write_bytes(content)  # as `git lfs pull` leaves it
    assert diff(web).text == "exit 0\n"
    path.write_bytes(content.replace(b"replicas: 2", b"replicas: 3"))
    store = web.root / f".git/lfs/objects/{identity[:2]}/{identity[2:4]}"
    store.mkdir(parents=True)
    (store / identity).write_bytes(content)
    assert "+ spec.values.replicas: 3" in diff(web).out
    (store / identity).write_bytes(b"other")
    assert diff(web).exit == 1


def test_an_encrypted_file_is_refused(web: Workspace) -> None:
    (web.root / "sources/more.yaml").write_bytes(b"\0GITCRYPT\0\1\2\3")
    commit_all(web.root)
    assert "the file is encrypted with git-crypt" in diff(web).err


def test_symlinks_are_followed_only_inside_the_repository(web: Workspace) -> None:
    shared = web.root / "shared/deep"
    shared.mkdir(parents=True)
    (web.root / "sources/default-web.yaml").rename(shared / "web.yaml")
    (web.root / "sources/links").symlink_to("../shared")
    commit_all(web.root)
    assert diff(web).text == "exit 0\n"
    text = (shared / "web.yaml").read_text()
    (shared / "web.yaml").write_text(text.replace("replicas: 2", "replicas: 7"))
    assert "+ spec.values.replicas: 7" in diff(web).out
    for target in ("/etc", "../../outside", "../sources/../../outside"):
        (web.root / "sources/links").unlink()
        (web.root / "sources/links").symlink_to(target)
        commit_all(web.root)
        outcome = diff(web, "--ref", "HEAD")
        assert outcome.exit == 1
        assert "HEAD:sources/links: error[unreadable-revision]: " in outcome.err


def test_a_symlink_to_a_directory_without_sources_is_not_broken_in_a_revision(web: Workspace) -> None:
    write_files(web.root / "docs", {"notes.md": b"notes\n"})
    (web.root / "sources/docs").symlink_to("../docs")
    commit_all(web.root)
    assert diff(web).text == "exit 0\n"
    (web.root / "sources/docs").unlink()
    (web.root / "sources/docs").symlink_to("../gone")
    commit_all(web.root)
    (web.root / "sources/docs").unlink()
    assert ":sources/docs: error[unreadable-source]: " in diff(web).err


def test_a_project_outside_of_git_is_an_error(workspace: Workspace) -> None:
    workspace.release("web")
    assert "error[no-repository]" in diff(workspace).err
    outcome = kcd_gen(
        "diff",
        "--source",
        "sources",
        "--vendor",
        "packages",
        directory=workspace.root,
        environment={"PATH": "/nowhere"},
    )
    assert "error[git-missing]" in outcome.err


def test_sources_outside_of_the_repository_have_no_revision(web: Workspace) -> None:
    outcome = kcd_gen("diff", "--source", "..", "--vendor", "packages", directory=web.root)
    assert outcome.exit == 1
    assert "error[no-repository]: the source '..' is outside the Git repository" in outcome.err


def test_globs_and_absolute_sources_are_compared(web: Workspace) -> None:
    web.release("web")
    for source in ("sour*/*.yaml", str(web.root / "sources"), "./sources/", "sources/default-web.yaml", "**/*.yaml"):
        outcome = kcd_gen("diff", "--source", source, "--vendor", "packages", directory=web.root)
        assert (outcome.exit, outcome.out.splitlines()[0]) == (0, "~ default/web"), source


def test_an_output_among_the_sources_is_not_read_on_either_side(web: Workspace) -> None:
    flags = ("--source", ".", "--output", "deploy", "--vendor", "packages", "--offline")
    assert kcd_gen("build", *flags, directory=web.root).exit == 0
    commit_all(web.root)
    with mock.patch.object(comparing, "compile_cluster", wraps=compile_cluster) as compiled:
        assert kcd_gen("diff", *flags, directory=web.root).text == "exit 0\n"
        shutil.rmtree(web.root / "deploy")
        assert kcd_gen("diff", *flags, directory=web.root).text == "exit 0\n"
    assert compiled.call_count == 2  # once per run


def chart(template: str) -> bytes:
    files = {
        "web/Chart.yaml": b"apiVersion: v2\nname: web\nversion: 1.0.0\n",
        "web/templates/all.yaml": template.encode(),
    }
    return chart_archive(files)


def with_chart(workspace: Workspace, template: str) -> None:
    status = "apiVersion: v1alpha1\nchartByModule: {main: {name: web, version: 1.0.0}}\n"
    workspace.layers[WEB] = package_layer(WEB_MANIFEST, status, {"web-1.0.0.tgz": chart(template)})
    write_layout(workspace.root / "packages", workspace.layers)


MANIFESTS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {replicas: "{{ .Values.replicas }}", namespace: {{ .Release.Namespace }}}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData: {replicas: "{{ .Values.replicas }}"}
{{- if gt (int .Values.replicas) 2 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: {{ .Release.Name }}}
spec: {minAvailable: 1}
{{- end }}
"""


def test_the_charts_are_rendered_and_compared_by_identity(web: Workspace) -> None:
    with_chart(web, MANIFESTS)
    commit_all(web.root)
    web.release("web", "parameters: {replicas: 3, host: a.example.com}\n")
    found = report(diff(web, "--charts", "--format", "json"))
    made = [one for one in found["releases"][0]["resources"] if one["renderedBy"]]  # type: ignore[index]
    assert [(one["kind"], one["status"]) for one in made] == [
        ("ConfigMap", "changed"),
        ("Secret", "changed"),
        ("PodDisruptionBudget", "added"),
    ]
    assert made[0]["changes"] == [{"path": "data.replicas", "old": "2", "new": "3"}]
    assert made[1]["changes"] == [{"path": "stringData.replicas", "old": "•••", "new": "•••"}]
    assert "  + PodDisruptionBudget default/web-main\n    + spec.minAvailable: 1\n" in diff(web, "--charts").out


def test_a_chart_receives_every_value_unchanged(web: Workspace) -> None:
    with_chart(
        web, "kind: A\nmetadata: {name: a}\nhost: {{ .Values.host | quote }}\nreplicas: {{ .Values.replicas }}\n"
    )
    commit_all(web.root)
    web.release("web", 'parameters: {replicas: 1000000, host: "a 😀 é"}\n')
    found = report(diff(web, "--charts", "--format", "json"))
    made = [one for one in found["releases"][0]["resources"] if one["renderedBy"]]  # type: ignore[index]
    changed = {change["path"]: change["new"] for change in made[0]["changes"]}
    assert changed["host"] == "a 😀 é"
    assert changed["replicas"] == 1e6


def test_a_failing_chart_is_reported_and_hides_no_other_change(web: Workspace) -> None:
    with_chart(web, "{{ if gt (int .Values.replicas) 2 }}{{ fail `too many` }}{{ end }}")
    web.release("other", "parameters: {replicas: 2}")
    web.release("web", "parameters: {replicas: 3}\n")
    outcome = diff(web, "--charts")
    assert outcome.exit == 1
    assert "~ default/other" in outcome.out
    assert (
        "sources/default-web.yaml:3:12: error[chart-failed]: HelmRelease 'web-main': helm failed to render the chart"
        in outcome.err
    )
    assert "too many" in outcome.err


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A committed platform of 24 Releases; the working tree changes its ingress suffix and more."""
    sources, _ = write_cluster(tmp_path, releases=24)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit_all(tmp_path)
    for name, old, new in (
        ("platform", '"apps.example.com"', '"apps.example.org"'),
        ("release3", "replicas: 3", "replicas: 1"),
        ("release5", "host: app5", "host: shop"),
        ("release9", "interval: 30m", "interval: 1h"),
    ):
        path = sources / f"{name}.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    (sources / "release7.yaml").unlink()
    text = (sources / "release8.yaml").read_text()
    (sources / "another.yaml").write_text(text.replace("name: release8,", "name: another,"))
    return tmp_path


def fleet_diff(directory: Path, *flags: str) -> Outcome:
    return kcd_gen("diff", "--source", "sources", "--vendor", "layout", "--ref", "main", *flags, directory=directory)


@pytest.mark.parametrize(("form", "name"), [("markdown", "diff.md"), ("html", "diff.html"), ("text", "diff.txt")])
def test_the_diff_of_a_platform_matches_the_golden_file(
    fleet: Path, form: str, name: str, request: pytest.FixtureRequest
) -> None:
    outcome = fleet_diff(fleet, "--format", form)
    assert (outcome.exit, outcome.err) == (0, "")
    golden = GOLDEN / name
    if request.config.getoption("--snapshot-update"):
        golden.write_text(outcome.out, encoding="utf-8")
    commit = git(fleet, "rev-parse", "--short=12", "main").strip()
    assert commit in outcome.out or form == "text"
    assert outcome.out == golden.read_text(encoding="utf-8")


def test_the_golden_diff_has_the_right_counts(fleet: Path) -> None:
    found = report(fleet_diff(fleet, "--format", "json"))
    assert found["summary"] == {
        "releasesBefore": 24,
        "releasesAfter": 24,
        "changed": 23,
        "added": 1,
        "removed": 1,
        "values": 28,  # 23 hosts, the replicas of one, and four intervals of another
        "dangers": 1,  # the removal
    }
    assert [(one["old"], one["new"], one["values"]) for one in found["repeats"]] == [  # type: ignore[attr-defined]
        ("apps.example.com", "apps.example.org", 22)
    ]


def test_markdown_stays_below_the_limit_and_reports_what_was_cut(fleet: Path) -> None:
    for index in range(24):
        path = fleet / f"sources/release{index}.yaml"
        if path.exists():
            patch = f"  moduleOverrides:\n  - module: main\n    specPatch: {{values: {{own{index}: {{\n"
            patch += "".join(f"      key{index}{n}: {index}{'x' * 100},\n" for n in range(50)) + "    }}}\n"
            path.write_text(path.read_text() + patch)
    outcome = fleet_diff(fleet, "--format", "markdown")
    assert outcome.exit == 0
    assert len(outcome.out) < LIMIT
    assert re.search(r"… and \d+ sections more; run `kcd-gen diff` to see all of them\.\n$", outcome.out)


def test_two_runs_print_the_same_and_share_helm(fleet: Path) -> None:
    assert fleet_diff(fleet).out == fleet_diff(fleet, "--jobs", "1").out
    with mock.patch.object(Helm, "render", autospec=True, side_effect=Helm.render) as render:
        git(fleet, "stash", "--quiet", "--include-untracked")
        assert fleet_diff(fleet).text == "exit 0\n"
    assert render.call_count == 2  # the two phases of one compilation


def test_the_help_has_examples(tmp_path: Path) -> None:
    outcome = kcd_gen("diff", "--help", directory=tmp_path)
    assert "kcd-gen diff --ref HEAD --exit-code" in outcome.out
